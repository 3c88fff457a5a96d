"""The demo: two hospitals, a study to read, and a study that simulated readers with planted skill have read. Everything in it says that it is one.

It is made by the same steps as a real study: recordings that were fetched, or stand-ins in their place, drawn strips, rounds past the leak gate,
judgements, unblinding.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from scipy.stats import norm

from generator.errors import Refused
from generator.physionet import COLLECTIONS
from generator.recordings import find, read_all
from generator.simulate import stand_in
from generator.strip import as_shown, from_bytes, strip_hash, to_bytes
from storage import audit, strips
from storage import people as stored_people
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import fetch, notices, people, reading, signing, unblinding
from study.answers import Answer
from study.errors import StudyError
from study.intake import new_recording
from study.people import Person, person_by_username
from study.protocol import CUES, MORPHOLOGY_ITEMS, Protocol
from study.reading import ReadingCase
from study.roles import Role
from study.rounds import Draw, Gate, RoundPlan, open_round
from study.studies import create_study

SITES = ("Northgate University Hospital (demo)", "Lakeside University Hospital (demo)")
PEOPLE = (  # user name, name, role, site
    ("demo-ada", "Dr. Ada Lindqvist", Role.READER, SITES[0]),
    ("demo-ben", "Dr. Ben Okafor", Role.READER, SITES[0]),
    ("demo-chiara", "Dr. Chiara Moretti", Role.READER, SITES[1]),
    ("demo-dev", "Dr. Dev Raman", Role.READER, SITES[1]),
    ("demo-cora", "Cora Weiss", Role.COORDINATOR, SITES[0]),
    ("demo-remy", "Remy Duval", Role.RESEARCHER, SITES[1]),
)
TO_READ = "Sinus rhythm and atrial fibrillation (demo)"
ALREADY_READ = "Pilot (demo: simulated readers)"
COLLECTION = "simulator"
STAND_INS = 40  # of each rhythm; as many recordings, each of another patient, where it is made with recordings
FEWEST = 20  # recordings of each rhythm: the pilot takes 12, and controls of other patients
SEED = 20260101
MOST = 100_000  # recordings of a rhythm that simulated readers know


@dataclass(frozen=True)
class PlantedSkill:
    """What a simulated reader is made to be; each figure is the probability for a single strip, so results scatter about it."""

    sensitivity: float  # calls a synthetic strip synthetic
    specificity: float  # calls a real strip real
    rhythm: float  # names the strip's rhythm


PLANTED = {
    "demo-ada": PlantedSkill(0.70, 0.75, 0.97),
    "demo-ben": PlantedSkill(0.55, 0.65, 0.92),
    "demo-chiara": PlantedSkill(0.60, 0.80, 0.95),
    "demo-dev": PlantedSkill(0.50, 0.50, 0.90),
}
_SHARED = 0.35  # of a call's variance: the strip's part, alike for all readers
_OWN = 0.35  # the reader's view of the strip, alike in a repeat; the rest is fresh each time


def make_demo(
    db: Database,
    draw: Draw,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    gate: Gate | None = None,
    collection: str | None = None,
) -> bool:
    """Makes the demo, or what is missing of it: True; False if it is there already.

    draw, gate: as for study.rounds.open_round; about 35 strips are drawn. progress(done, total, what is being done). collection: one that was
    fetched, whose recordings are the real arm; None: stand-ins. A demo with stand-ins stays beside one with recordings.
    Raises StudyError in a database with real people and for a collection of which too little is there, and whatever keeps a round from being
    opened; asking again goes on from there.
    """
    report = progress or (lambda done, total, doing: None)
    if collection is not None:
        fetch.check_fetched(collection)
    to_read, already_read = (notices.titled(one, collection) for one in (TO_READ, ALREADY_READ))
    if _complete(db, to_read, already_read):
        report(100, 100, "The demo is there.")
        return False
    report(0, 100, "Inviting the demo's people")
    coordinator, researcher, readers = _people(db)
    protocol = Protocol(min_repeat_distance=10, washout_days=0)
    filed = _stand_ins(db, _part(report, 2, 10)) if collection is None else _recordings(db, collection, _part(report, 2, 10))

    seed = SEED if collection is None else SEED + 2  # other strips than those that a demo with stand-ins shows
    pilot = _study(db, coordinator, already_read, protocol, readers, recordings=collection is not None)
    plan = RoundPlan(cases=54, repeat_share=1 / 9, seed=seed)  # 12 of each arm and rhythm, 6 repeats
    round_id = _round(db, coordinator, pilot, plan, draw, gate, _part(report, 10, 65))
    _read(db, pilot, round_id, readers, filed, _part(report, 65, 75))
    _unblind(db, coordinator, researcher, pilot)
    _utility(db, pilot, _part(report, 75, 85))

    reading = _study(db, coordinator, to_read, protocol, readers, recordings=collection is not None)
    _round(db, coordinator, reading, RoundPlan(cases=16, repeat_share=0.1, seed=seed + 1), draw, gate, _part(report, 85, 100))
    report(100, 100, "The demo is ready.")
    return True


def simulated_answer(case_sha256: str, arm: str, rhythm: str, reader: str, skill: PlantedSkill, showing: int) -> Answer:
    """What a simulated reader answers: a signal detection model with the planted rates, seeded by strip, reader and how often it was shown.

    case_sha256: strip_hash; arm: real or synthetic; rhythm: NSR or AF; reader: user name; showing: 0 at first, 1 for the repeat.
    A standard normal evidence (strip, reader's view and noise) above the threshold norm.ppf(1 - P(call synthetic)) is called synthetic; its distance
    from the threshold is the confidence.
    """
    strip = int(case_sha256[:8], 16)
    name = int(hashlib.sha256(reader.encode()).hexdigest()[:8], 16)
    shared, own = (np.random.default_rng([SEED, *key]).standard_normal() for key in ((strip,), (strip, name)))
    rng = np.random.default_rng([SEED, strip, name, 1 + showing])
    evidence = np.sqrt(_SHARED) * shared + np.sqrt(_OWN) * own + np.sqrt(1 - _SHARED - _OWN) * rng.standard_normal()
    calls_synthetic = skill.sensitivity if arm == "synthetic" else 1 - skill.specificity
    beyond = float(evidence - norm.ppf(1 - calls_synthetic))
    confidence = int(np.searchsorted([0.4, 1.1], abs(beyond)))  # possibly, probably, definitely
    realism = 4 + confidence if beyond > 0 else 3 - confidence
    others = [one for one in ("NSR", "AF") if one != rhythm] + ["other", "unsure"]
    named = rhythm if rng.random() < skill.rhythm else str(rng.choice(others, p=[0.6, 0.1, 0.3]))
    implausible = 0.25 if beyond > 0 else 0.03
    morphology = {
        item: "cannot judge"
        if named == "AF" and item in ("P wave", "PR interval")
        else str(rng.choice(["implausible", "plausible", "cannot judge"], p=[implausible, 0.97 - implausible, 0.03]))
        for item in MORPHOLOGY_ITEMS
    }
    cues = [str(cue) for cue in rng.choice(CUES[:-1], size=rng.integers(1, 3), replace=False)] if beyond > 0 else []
    return Answer(realism, named, morphology, cues)


def _complete(db: Database, to_read: str, already_read: str) -> bool:
    with db.read() as session:
        found = {study.title: study for study in stored.all_studies(session) if study.demo}
        return (
            {to_read, already_read} <= set(found) and found[already_read].unblinded_at is not None and bool(stored.rounds(session, found[to_read].id))
        )


def _people(db: Database) -> tuple[Person, Person, list[Person]]:
    """Coordinator, researcher, readers; made where they are missing."""
    with db.write() as session:
        for username, name, role, site in PEOPLE:
            if stored_people.by_username(session, username) is None:
                people.add_demo_person(session, username, name, role, site)
    found = []
    for username, *_rest in PEOPLE:
        person = person_by_username(db, username)
        if person is None or not person.demo:
            raise StudyError(f"The demo's {username!r} is closed in this database. Use an empty database for the demo.")
        found.append(person)
    return found[4], found[5], found[:4]


def _stand_ins(db: Database, report: Callable[[int, int, str], None]) -> str:
    """Returns what they are filed under."""
    made: list[strips.NewRecording] = []
    for rhythm in ("NSR", "AF"):
        for i in range(STAND_INS):
            report(len(made), 2 * STAND_INS, "Simulating stand-ins for recordings")
            record = f"{rhythm}-{i:02d}"
            made.append(
                strips.NewRecording(
                    samples=to_bytes(stand_in(rhythm, SEED + i)),
                    rhythm=rhythm,
                    collection=COLLECTION,
                    record=record,
                    patient=hashlib.sha256(f"{COLLECTION} {SEED} {record}".encode()).hexdigest(),
                    rate=100.0,
                    stand_in=True,
                )
            )
    with db.write() as session:
        added = [strips.add_recording(session, new) for new in made]
        audit.append(session, None, "stand-ins simulated", COLLECTION, {"new": sum(strip_id is not None for strip_id in added), "seed": SEED})
    return COLLECTION


def _recordings(db: Database, collection: str, report: Callable[[int, int, str], None]) -> str:
    """Recordings of a fetched collection, chosen by a seed, one a patient; those that cannot be used are passed over and counted in the trail.

    Returns what they are filed under.
    """
    listing = find(fetch.folder_of(collection))
    refused, new = Counter[str](), list[strips.NewRecording]()
    for rhythm in ("NSR", "AF"):
        by_patient = {one.patient: one for one in listing.candidates if one.rhythm == rhythm}
        in_turn = [by_patient[patient] for patient in np.random.default_rng(SEED).permutation(sorted(by_patient))]
        taken = 0
        for candidate, result in read_all(in_turn, recorded=True):
            if isinstance(result, Refused):
                refused[result.reason] += 1
                continue
            new.append(new_recording(candidate, result))
            taken += 1
            report(len(new), 2 * STAND_INS, f"Reading recordings of {COLLECTIONS[collection].title}")
            if taken == STAND_INS:
                break
        if taken < FEWEST:
            raise StudyError(
                f"{collection}: recordings of {taken} patients with {rhythm} can be used of what was fetched, {FEWEST} are needed. "
                f"Fetch more (`blindstrip fetch {collection} --n 200`), or make the demo with stand-ins."
            )
    with db.write() as session:
        added = [strips.add_recording(session, one) for one in new]
        told = {"new": sum(strip_id is not None for strip_id in added), "refused": dict(refused), "seed": SEED}
        audit.append(session, None, "demo recordings read", collection, told)
    return listing.candidates[0].collection


def _study(db: Database, coordinator: Person, title: str, protocol: Protocol, readers: list[Person], *, recordings: bool) -> int:
    with db.read() as session:
        there = [study.id for study in stored.all_studies(session) if study.title == title and study.demo]
    return there[0] if there else create_study(db, coordinator, title, protocol, [reader.id for reader in readers], recordings=recordings)


def _round(db: Database, by: Person, study_id: int, plan: RoundPlan, draw: Draw, gate: Gate | None, report: Callable[[int, int, str], None]) -> int:
    with db.read() as session:
        there = [opened.id for opened in stored.rounds(session, study_id)]
    return there[0] if there else open_round(db, by, study_id, plan, draw, report, gate=gate)


def _read(db: Database, study_id: int, round_id: int, readers: list[Person], filed: str, report: Callable[[int, int, str], None]) -> None:
    """Simulated readers know what they read: its arm from what is filed there, its rhythm from the case."""
    with db.read() as session:
        if stored.study(session, study_id).unblinded_at is not None:
            return
        rhythms = {case.code: case.rhythm for case in stored.cases(session, study_id)}
        real = {
            strip_hash(as_shown(from_bytes(row.samples)))
            for rhythm in ("NSR", "AF")
            for row in strips.recorded_strips(session, collection=filed, rhythm=rhythm, limit=MOST)
        }
    rng = np.random.default_rng(SEED)
    for place, reader in enumerate(readers):
        shown: dict[str, int] = {}
        while (case := reading.next_case(db, reader, round_id)) is not None:
            report(place, len(readers), f"{reader.name} (simulated) reads")
            sha256 = strip_hash(case.counts)
            showing = shown.get(sha256, 0)
            shown[sha256] = showing + 1
            arm = "real" if sha256 in real else "synthetic"
            answer = simulated_answer(sha256, arm, rhythms[case.code], reader.username, PLANTED[reader.username], showing)
            _submit(db, reader, case, answer, seconds=float(rng.lognormal(np.log(16), 0.5)))
        signing.sign(db, reader, round_id, "")


def _submit(db: Database, reader: Person, case: ReadingCase, answer: Answer, *, seconds: float) -> None:
    reading.submit(db, reader, case.code, answer, now() - timedelta(seconds=seconds))


def _unblind(db: Database, coordinator: Person, researcher: Person, study_id: int) -> None:
    with db.read() as session:
        study = stored.study(session, study_id)
    if study.unblinding_asked_at is None:
        unblinding.ask(db, coordinator, study_id, "A demo: simulated readers have read it.")
    if study.unblinded_at is None:
        unblinding.confirm(db, researcher, study_id)


def _utility(db: Database, study_id: int, report: Callable[[int, int, str], None]) -> None:
    from study.utility import compute_utility  # scikit-learn: not in the web process

    compute_utility(db, study_id, lambda done, total: report(done, total, "Training classifiers"))


def _part(report: Callable[[int, int, str], None], first: int, last: int) -> Callable[[int, int, str], None]:
    """A report whose whole is the stretch from first to last of 100."""
    return lambda done, total, doing: report(first + round((last - first) * done / max(total, 1)), 100, doing)
