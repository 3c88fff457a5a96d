"""What tests of studies and rounds start from: people of two sites, recordings, and a generator that draws stand-ins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.request import DrawRequest
from generator.simulate import stand_in
from generator.strip import to_bytes
from storage import people as stored_people
from storage import strips
from storage.database import Database
from storage.tables import now
from study.answers import Answer
from study.people import Person, person_by_id
from study.protocol import MORPHOLOGY_ITEMS
from study.roles import Role
from study.rounds import RoundPlan

PLAUSIBLE = dict.fromkeys(MORPHOLOGY_ITEMS, "plausible")


@dataclass
class Hospital:
    db: Database
    coordinator: Person
    researcher: Person
    admin: Person
    readers: list[Person]

    @property
    def reader_ids(self) -> list[int]:
        return [reader.id for reader in self.readers]

    def plan(self, **values: Any) -> RoundPlan:
        return RoundPlan(**{"cases": 12, "repeat_share": 0.0, "seed": 5, **values})


def hospital(db: Database, *, demo: bool = False) -> Hospital:
    def add(username: str, role: Role, site: str | None) -> Person:
        with db.write() as session:
            new = stored_people.NewPerson(username, username.title(), role.value, site)
            person_id = stored_people.add(session, new, password_hash=None, demo=demo)
        person = person_by_id(db, person_id)
        assert person is not None
        return person

    return Hospital(
        db,
        add("cora", Role.COORDINATOR, "North"),
        add("remy", Role.RESEARCHER, None),
        add("adam", Role.ADMIN, None),
        [add("ada", Role.READER, "North"), add("ben", Role.READER, "North"), add("cai", Role.READER, "South"), add("dot", Role.READER, "South")],
    )


def add_recordings(db: Database, per_rhythm: int, *, stand_ins: bool = False, first: int = 0) -> None:
    """Simulated strips entered as recordings, or as what they are."""
    with db.write() as session:
        for rhythm in ("NSR", "AF"):
            for i in range(first, first + per_rhythm):
                strip_id = strips.add_recording(
                    session,
                    strips.NewRecording(
                        samples=to_bytes(simulated(rhythm, i)),
                        rhythm=rhythm,
                        collection="simulator" if stand_ins else "test",
                        record=f"{rhythm}{i}",
                        patient=hashlib.sha256(f"{rhythm}{i}".encode()).hexdigest(),
                        rate=100.0,
                        age=40.0 + i,
                        stand_in=stand_ins,
                    ),
                )
                assert strip_id is not None


@lru_cache(maxsize=500)
def simulated(rhythm: str, seed: int) -> NDArray[np.int16]:
    return stand_in(rhythm, seed)


@dataclass(frozen=True)
class Sample:
    number: int
    counts: NDArray[np.int16] | None
    rejected: str | None
    conditions: dict[str, Any] = field(default_factory=lambda: {"checkpoint": "c" * 64, "device": "cpu", "heart_rate": 72.0})


@dataclass
class Drawer:
    """Draws stand-ins in place of a network; rejects the numbers it is told to, and remembers what it was asked."""

    reject: frozenset[int] = frozenset()
    asked: list[tuple[DrawRequest, int]] = field(default_factory=list)

    def __call__(self, request: DrawRequest, *, first: int = 0) -> Sequence[Sample]:
        self.asked.append((request, first))
        return [
            Sample(number, None, "flat lead")
            if number in self.reject
            else Sample(number, simulated(request.rhythm, 1_000_000 + request.seed * 1000 + number), None)
            for number in range(first, request.n)
        ]


def answer(realism: int = 2, rhythm: str = "NSR", **values: Any) -> Answer:
    return Answer(realism, rhythm, **{"morphology": dict(PLAUSIBLE), **values})


def just_now() -> datetime:
    return now() - timedelta(seconds=20)


def open_gate(real: Sequence[NDArray[np.int16]], synthetic: Sequence[NDArray[np.int16]], seed: int) -> dict[str, Any]:
    """A leak gate that is always open, for tests of something else."""
    return {"verdict": "open", "auc": 0.5, "p_value": 1.0}


def shut_gate(real: Sequence[NDArray[np.int16]], synthetic: Sequence[NDArray[np.int16]], seed: int) -> dict[str, Any]:
    return {"verdict": "refuse", "auc": 0.99, "p_value": 0.001, "worst_feature": "offset", "remedy": "Choose others."}
