"""A simulated study that goes through the house as a real one does: recordings, a round, answers, signatures, unblinding.

Its people, strips and study are a demo's, so that every screen says so. Strips are placeholders, the same noise in both arms: what the readers
know of them is planted, not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.request import RHYTHMS, DrawRequest
from generator.strip import STORED, Counts, canonical_from_stored, from_bytes, strip_hash, to_bytes
from storage import strips
from storage import studies as kept
from storage.database import Database
from storage.export import StudyData
from storage.tables import now
from study import people, reading, signing, unblinding
from study.answers import Answer
from study.errors import StudyError
from study.people import Person, person_by_id
from study.protocol import MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, RHYTHM_ANSWERS, Protocol
from study.results import unblinded
from study.roles import Role
from study.rounds import RoundPlan, open_round
from study.simulation.model import Answers, Planted, Shown, draw_answers, draw_readers, rng
from study.studies import create_study

Report = Callable[[int, int, str], None]  # (done, total, what is being done)
SIMULATED = "placeholder strips, and readers who are numbers: nobody has seen anything"
SECONDS = 20  # that every simulated reading took
COLLECTION = "simulated placeholders"


@dataclass(frozen=True)
class Kept:
    """A simulated study in its database: read, unblinded."""

    study_id: int
    title: str
    coordinator: Person
    data: StudyData
    shown: Shown  # cases in order of their ids


def simulate(db: Database, planted: Planted, seed: int, margin: float, report: Report | None = None) -> Kept:
    """Makes the study `rng(seed, 0)` in an empty database. Raises StudyError for any other database, and what opening and reading raise."""
    if not people.first_run(db):
        raise StudyError(
            "--database: there are people in this database. A simulated study is kept apart: name a database that is empty or not there."
        )
    tell = report or (lambda done, total, doing: None)
    coordinator, second, readers = _people(db, planted)
    _recordings(db, planted, seed)
    title = f"Simulated study, seed {seed}"
    study_id = create_study(db, coordinator, title, Protocol(margin=margin, washout_days=0), [reader.id for reader in readers])
    plan = RoundPlan(cases=planted.shown, repeat_share=planted.repeats / planted.shown, seed=seed)
    round_id = open_round(db, coordinator, study_id, plan, _draw, gate=_no_gate)
    with db.read() as session:
        cases = kept.cases(session, study_id)
        samples = strips.samples(session, [case.strip_id for case in cases])
    hashes = _real_hashes(planted, seed)
    shown, place = laid_out(cases, {strip: strip_hash(from_bytes(blob)) not in hashes for strip, blob in samples.items()})
    generator = rng(seed, 0)
    answers = draw_answers(planted, draw_readers(planted, generator), shown, generator)
    codes = {case.code: place[case.id] for case in cases}
    for column, reader in enumerate(readers):
        tell(column, len(readers), f"{reader.name} reads")
        while (case := reading.next_case(db, reader, round_id)) is not None:
            reading.submit(db, reader, case.code, answer(answers, codes[case.code], column), now() - timedelta(seconds=SECONDS))
        signing.sign(db, reader, round_id, "")
    unblinding.ask(db, coordinator, study_id, "Every simulated reader has read and signed.")
    unblinding.confirm(db, second, study_id)
    return Kept(study_id, title, coordinator, _renamed(unblinded(db, coordinator, study_id), seed), shown)


def laid_out(cases: Sequence[kept.CaseRow], synthetic: dict[int, bool]) -> tuple[Shown, dict[int, int]]:
    """What simulated readers are shown, and the row of their answers for each case, by case id. synthetic: by strip id."""
    scored, again = ([case for case in cases if case.role == role] for role in ("scored", "repeat"))
    place = {case.id: row for row, case in enumerate([*scored, *again])}
    originals = np.array([place[case.repeat_of] for case in again if case.repeat_of is not None], dtype=int)
    arms = np.array([synthetic[case.strip_id] for case in scored])
    return Shown(arms, np.array([RHYTHM_ANSWERS.index(case.rhythm) for case in scored]), originals), place


def answer(answers: Answers, row: int, column: int) -> Answer:
    """What one reader says of one case."""
    judged = answers.morphology[row, column]
    morphology = {item: MORPHOLOGY_ANSWERS[said] for item, said in zip(MORPHOLOGY_ITEMS, judged, strict=True)}
    return Answer(int(answers.step[row, column]), RHYTHM_ANSWERS[answers.rhythm[row, column]], morphology)


def _renamed(data: StudyData, seed: int) -> StudyData:
    """The codes of cases and the study's own seed are random and drive the bootstrap: from the seed, so that the same seed gives the same answer."""
    codes = {case.id: hashlib.sha256(f"{seed}:{case.id}".encode()).hexdigest()[:16] for case in data.cases}
    return replace(data, study=replace(data.study, seed=seed), cases=[replace(case, code=codes[case.id]) for case in data.cases])


def _people(db: Database, planted: Planted) -> tuple[Person, Person, list[Person]]:
    """Two who run the study, and its readers, site by site."""
    wanted: list[tuple[str, str, Role, str | None]] = [
        ("cora", "Coordinator (simulated)", Role.COORDINATOR, None),
        ("remy", "Researcher (simulated)", Role.RESEARCHER, None),
    ]
    places = [f"Simulated hospital {number + 1:02d}" for number in range(planted.sites) for _ in range(planted.readers)]
    wanted += [(f"{n:03d}", f"Reader {n} (simulated)", Role.READER, place) for n, place in enumerate(places, start=1)]
    with db.write() as session:
        ids = [people.add_demo_person(session, f"simulated-{who}", name, role, site) for who, name, role, site in wanted]
    coordinator, second, *readers = [found for one in ids if (found := person_by_id(db, one)) is not None]
    return coordinator, second, readers


# ---- strips ----


def _placeholder(*key: int) -> Counts:
    """Noise in canonical form, of the seed that the key is."""
    walk = np.cumsum(np.random.default_rng(key).normal(0, 0.05, (len(STORED), 1000)), axis=1)
    return canonical_from_stored(walk)


def _real(planted: Planted, seed: int) -> list[tuple[str, Counts]]:
    """As many placeholders in the recordings' place as a round takes of each rhythm."""
    each = -(-planted.cases // 4)
    return [(rhythm, _placeholder(seed, 0, kind, number)) for kind, rhythm in enumerate(RHYTHMS) for number in range(each)]


def _real_hashes(planted: Planted, seed: int) -> set[str]:
    return {strip_hash(counts) for _rhythm, counts in _real(planted, seed)}


def _recordings(db: Database, planted: Planted, seed: int) -> None:
    with db.write() as session:
        for number, (rhythm, counts) in enumerate(_real(planted, seed)):
            patient = hashlib.sha256(f"{COLLECTION} {seed} {number}".encode()).hexdigest()
            new = strips.NewRecording(to_bytes(counts), rhythm, COLLECTION, f"placeholder-{number:04d}", patient, rate=100.0, stand_in=True)
            strips.add_recording(session, new)


@dataclass(frozen=True)
class _Sample:
    number: int
    counts: NDArray[np.int16]
    conditions: dict[str, Any]
    rejected: str | None = None


def _draw(request: DrawRequest, *, first: int = 0) -> Sequence[_Sample]:
    made = {"checkpoint": hashlib.sha256(COLLECTION.encode()).hexdigest(), "device": "none", "quality_control": COLLECTION}
    return [_Sample(number, _placeholder(request.seed, 1, RHYTHMS.index(request.rhythm), number), made) for number in range(first, request.n)]


def _no_gate(real: Sequence[Counts], synthetic: Sequence[Counts], seed: int) -> dict[str, Any]:
    return {"verdict": "open", "reason": "Both arms are the same simulated noise: there is no format to tell apart."}
