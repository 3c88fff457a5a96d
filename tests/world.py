"""A small hospital world in a database, for tests of screens: people of the demo (no password hashing), one study, one round, no leak gate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from generator.strip import Counts, canonical_from_stored, to_bytes
from storage import strips
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import people, sign_in
from study.answers import Answer
from study.people import Person
from study.protocol import REALISM_FIRST, Protocol, phases
from study.roles import Role
from study.studies import create_study, place

PEOPLE = {
    "reader": ("ada", "Dr. Ada Lindqvist", Role.READER, "Northgate Hospital"),
    "other": ("ben", "Dr. Ben Okafor", Role.READER, "Lakeside Hospital"),
    "coordinator": ("cora", "Cora Weiss", Role.COORDINATOR, "Northgate Hospital"),
    "researcher": ("remy", "Remy Duval", Role.RESEARCHER, None),
}
GOOD_ANSWER = Answer(
    realism=2,
    rhythm="NSR",
    morphology={
        "P wave": "plausible",
        "PR interval": "plausible",
        "QRS complex": "plausible",
        "ST segment": "implausible",
        "T wave": "plausible",
        "QT interval": "cannot judge",
    },
)


@dataclass
class World:
    db: Database
    people: dict[str, Person] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    study_id: int = 0
    round_id: int = 0
    arm_of_code: dict[str, str] = field(default_factory=dict)


def beats(seed: int, rate: float = 70.0) -> Counts:
    """A strip with QRS-like spikes every minute/rate and a little noise, in the canonical form; any two seeds give different strips."""
    rng = np.random.default_rng(seed)
    t = np.arange(1000) / 100
    phase = (t + rng.uniform(0, 0.5)) % (60 / rate)
    qrs = np.exp(-(((phase - 0.3) / 0.02) ** 2)) + 0.2 * np.exp(-(((phase - 0.55) / 0.06) ** 2)) + 0.1 * np.exp(-(((phase - 0.15) / 0.03) ** 2))
    gains = np.array([0.6, 1.0, -0.4, -0.8, 0.5, 1.2, 1.1, 0.9])[:, None] * rng.uniform(0.8, 1.2)
    return canonical_from_stored(gains * qrs + rng.normal(0, 0.01, (8, 1000)))


def make(db: Database, *, cases: int = 6, question_order: str = REALISM_FIRST) -> World:
    """Four people and a round of `cases` strips, real and synthetic in turn, that both readers read."""
    db.migrate()
    world = World(db)
    with db.write() as session:
        for username, name, role, site in PEOPLE.values():
            people.add_demo_person(session, username, name, role, site)
    for key, (username, *_rest) in PEOPLE.items():
        world.tokens[key] = sign_in.sign_in_demo(db, username)
        person = sign_in.person_for(db, world.tokens[key])
        assert person is not None
        world.people[key] = person
    readers = [world.people["reader"].id, world.people["other"].id]
    world.study_id = create_study(db, world.people["coordinator"], "Sinus rhythm and AF", Protocol(question_order=question_order), readers)
    with db.write() as session:
        new = []
        for i in range(cases):
            code = hashlib.sha256(f"case {i}".encode()).hexdigest()[:16]
            rhythm = "NSR" if i % 4 < 2 else "AF"
            if i % 2:
                strip_id = strips.add_drawing(
                    session,
                    strips.NewDrawing(
                        samples=to_bytes(beats(i)),
                        rhythm=rhythm,
                        checkpoint="c" * 64,
                        sampler="dpm++2m",
                        steps=20,
                        guidance=1.0,
                        seed=7,
                        number=i,
                        device="cpu",
                        purpose="round",
                    ),
                )
            else:
                strip_id = strips.add_recording(
                    session,
                    strips.NewRecording(
                        samples=to_bytes(beats(i)), rhythm=rhythm, collection="simulator", record=f"r{i}", patient=f"p{i}", rate=100.0, stand_in=True
                    ),
                )
            assert strip_id is not None
            world.arm_of_code[code] = "synthetic" if i % 2 else "real"
            new.append(stored.NewCase(strip_id, "scored", code))
        plan = {"cases": cases, "washout_days": 14, "min_repeat_distance": 10, "phases": phases(question_order), "seed": 11}
        world.round_id = stored.add_round(
            session, study_id=world.study_id, number=1, plan=plan, leak={}, opened_by=world.people["coordinator"].id, starts_at=now()
        )
        stored.add_cases(session, world.round_id, new)
        rows = stored.cases(session, world.study_id)
        place(session, world.round_id, plan, rows, readers)
    return world
