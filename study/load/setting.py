"""A study for simulated readers: people of the demo, one round that all of them read, nothing drawn and no leak gate, so that it is there at once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from generator.request import RHYTHMS
from generator.simulate import stand_in
from generator.strip import Counts, to_bytes
from storage import audit, strips
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import people, sign_in
from study.commitment import commit
from study.errors import StudyError
from study.overview import TELLING
from study.people import Person
from study.protocol import Protocol
from study.roles import Role
from study.studies import create_study, place

COORDINATOR = ("cora", "Cora Weiss")
RESEARCHER = ("remy", "Remy Duval")
SITE = "Northgate"


def set_up(
    db: Database, cases: int, readers: int, drawn: Sequence[Counts] | None = None, strip: Callable[[str, int], Counts] = stand_in
) -> list[tuple[Person, str]]:
    """A round of that many cases in a database that is empty so far: each reader with the token of their sign-in.

    drawn: half of the cases; None: stand-ins in their place. strip(rhythm, number): the others.
    """
    with db.write() as session:
        people.add_demo_person(session, *COORDINATOR, Role.COORDINATOR, SITE)
        people.add_demo_person(session, *RESEARCHER, Role.RESEARCHER, SITE)
        for number in range(readers):
            people.add_demo_person(session, f"reader-{number}", f"Reader {number}", Role.READER, SITE)
    tokens = [sign_in.sign_in_demo(db, f"reader-{number}") for number in range(readers)]
    found = [(person, token) for token in tokens if (person := sign_in.person_for(db, token)) is not None]
    coordinator = demo_person(db, COORDINATOR[0])
    study_id = create_study(db, coordinator, "How fast", Protocol(), [person.id for person, _ in found])
    synthetic = [strip(RHYTHMS[i % 2], cases + i) for i in range(cases // 2)] if drawn is None else drawn
    real = [strip(RHYTHMS[i % 2], i) for i in range(cases - len(synthetic))]
    with db.write() as session:
        ids = [
            strips.add_drawing(session, strips.NewDrawing(to_bytes(counts), "AF", "c" * 64, "s", 8, 1.0, 1, i, "cpu", "round"))
            for i, counts in enumerate(synthetic)
        ]
        for i, counts in enumerate(real):
            new = strips.NewRecording(to_bytes(counts), RHYTHMS[i % 2], "simulator", f"r{i}", f"p{i}", 100.0, stand_in=True)
            ids.append(strips.add_recording(session, new))
        plan = {"cases": cases, "washout_days": 0, "min_repeat_distance": 10, "seed": 7, "seeds": []}
        round_id = stored.add_round(session, study_id=study_id, number=1, plan=plan, leak={}, opened_by=coordinator.id, starts_at=now())
        codes = random.Random(5)
        stored.add_cases(session, round_id, [stored.NewCase(strip_id or 0, "scored", f"{codes.getrandbits(64):016x}") for strip_id in ids])
        place(session, round_id, plan, stored.cases(session, study_id), [person.id for person, _ in found])
        commit(session, coordinator, round_id)
        told = {"study": study_id, "number": 1, "plan": {name: value for name, value in plan.items() if name not in TELLING}, "leak": None}
        audit.append(session, coordinator.id, "round opened", f"round {round_id}", told)
    return found


def demo_person(db: Database, username: str) -> Person:
    """Raises StudyError where `set_up` has not been."""
    person = people.person_by_username(db, username)
    if person is None:
        raise StudyError(f"There is nobody with the user name {username!r}: this database has no simulated readers.")
    return person
