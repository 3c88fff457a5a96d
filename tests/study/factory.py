"""Studies that are read and unblinded, with planted answers, written straight through the storage room: no drawing, no clicking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from storage import audit, people, signatures, snapshots, strips, studies
from storage.database import Database
from storage.people import NewPerson
from storage.strips import NewDrawing, NewRecording, NewRejection
from storage.studies import NewCase
from storage.tables import Judgement
from study.commitment import commit
from study.people import Person
from study.protocol import CUES, MORPHOLOGY_ITEMS, Protocol
from study.roles import Role
from study.signing import judgements_hash

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
CHECKPOINT = "c" * 64


@dataclass(frozen=True)
class PlantedReader:
    site: str = "Heidelberg"
    accuracy: float = 0.7  # chance of the right call on a scored case
    consistency: float = 1.0  # chance of repeating the first answer's call on a repeat


@dataclass(frozen=True)
class Planted:
    study_id: int
    coordinator: Person
    reader_ids: list[int]
    calls: dict[tuple[int, int], bool]  # (reader id, case id) -> called synthetic, newest revision
    synthetic: dict[int, bool]  # case id -> truth


READERS = (PlantedReader("Heidelberg", 0.8), PlantedReader("Heidelberg", 0.6), PlantedReader("Mannheim", 0.9, 0.8), PlantedReader("Mannheim", 0.5))


def read_study(
    db: Database,
    readers: Sequence[PlantedReader] = READERS,
    *,
    cases: int = 24,
    repeats: int = 4,
    seed: int = 1,
    demo: bool = False,
    title: str = "Reader study",
    unblinded: bool = True,
    revise: int = 2,
    synthetic_share: float = 0.5,
    unread: int = 0,
    draw: Callable[[str, int], np.ndarray] | None = None,
) -> Planted:
    """`cases` scored cases, alternating arms (as far as `synthetic_share` goes) and rhythms in pairs, and `repeats` of the first ones.

    Each reader's first `revise` answers were wrong about the arm before they were corrected; the last `unread` cases were read by nobody.
    `draw(rhythm, number)` gives a strip's counts; without it strips are noise.
    """
    rng = np.random.default_rng(seed)
    with db.write() as session:
        coordinator_id = people.add(
            session, NewPerson(f"coordinator{seed}", "Cora Ordinator", "coordinator", "Heidelberg"), password_hash=None, demo=demo
        )
        second_id = people.add(session, NewPerson(f"researcher{seed}", "Rhea Searcher", "researcher", "Mannheim"), password_hash=None, demo=demo)
        reader_ids = [
            people.add(session, NewPerson(f"reader{seed}-{i}", f"Reader Number{i}", "reader", one.site), password_hash=None, demo=demo)
            for i, one in enumerate(readers)
        ]
        protocol = Protocol(margin=0.1)
        study_id = studies.add_study(
            session,
            title=title,
            demo=demo,
            stand_ins=demo,
            protocol=protocol.as_dict(),
            protocol_hash=protocol.hash(),
            seed=seed,
            created_by=coordinator_id,
        )
        audit.append(session, coordinator_id, "study set up", f"study {study_id}", {"title": title, "readers": reader_ids})
        studies.add_readers(session, study_id, reader_ids)

        truth = [i % 2 == 0 for i in range(cases)] if synthetic_share == 0.5 else [i < round(cases * synthetic_share) for i in range(cases)]
        labels = [("NSR", "AF")[i // 2 % 2] for i in range(cases)]
        strip_ids = [_strip(session, draw or (lambda rhythm, number: _noise(rng)), labels[i], truth[i], i, seed, demo) for i in range(cases)]
        strips.add_rejections(session, [NewRejection(CHECKPOINT, "AF", seed, cases, "flat")])
        plan = {"cases": cases + repeats, "seed": seed, "seeds": {"draw": {"AF": seed}}, "checkpoint": CHECKPOINT, "min_repeat_distance": 5}
        round_id = studies.add_round(
            session, study_id=study_id, number=1, plan=plan, leak={"auc": 0.5, "verdict": "open"}, opened_by=coordinator_id, starts_at=START
        )
        coordinator = Person(coordinator_id, f"coordinator{seed}", "Cora Ordinator", Role.COORDINATOR, "Heidelberg", demo)
        commit(session, coordinator, round_id)
        new = [NewCase(strip_ids[i], "scored", f"{seed:04x}{i:08x}") for i in range(cases)]
        new += [NewCase(strip_ids[i], "repeat", f"{seed:04x}{cases + i:08x}", repeat_of=i) for i in range(repeats)]
        case_ids = studies.add_cases(session, round_id, new)
        audit.append(session, coordinator_id, "round opened", f"round {round_id}", {"study": study_id})

        calls: dict[tuple[int, int], bool] = {}
        for reader_id, planted in zip(reader_ids, readers, strict=True):
            order = [*rng.permutation(cases), *range(cases, cases + repeats)]
            studies.add_placements(session, round_id, reader_id, [case_ids[i] for i in order])
            for position, i in enumerate(order):
                if cases - unread <= i < cases:
                    continue
                source = i if i < cases else i - cases
                if i < cases:
                    call = truth[i] if rng.random() < planted.accuracy else not truth[i]
                else:
                    first = calls[reader_id, case_ids[source]]
                    call = first if rng.random() < planted.consistency else not first
                calls[reader_id, case_ids[i]] = call
                shown = START + timedelta(minutes=2 * position)
                if position < revise:
                    _judge(session, rng, case_ids[i], reader_id, 1, not call, labels[source], shown, protocol.hash())
                _judge(session, rng, case_ids[i], reader_id, 2 if position < revise else 1, call, labels[source], shown, protocol.hash())
            if not unread:
                signatures.add(session, round_id, reader_id, judgements_hash(session, round_id, reader_id))
        if unblinded:
            studies.change(session, study_id, unblinding_asked_by=coordinator_id, unblinding_asked_at=START + timedelta(days=1))
            studies.change(session, study_id, unblinded_by=second_id, unblinded_at=START + timedelta(days=1, minutes=5))
            audit.append(session, second_id, "unblinded", f"study {study_id}", {"snapshot": snapshots.take(session, study_id)})
        audit.append(session, coordinator_id, "person added", "person 999", {"username": "somebody.else"})
    return Planted(study_id, coordinator, reader_ids, calls, dict(zip(case_ids, truth + truth[:repeats], strict=True)))


def _noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-200, 200, size=(8, 1000))


def _strip(session: Session, draw: Callable[[str, int], np.ndarray], rhythm: str, synthetic: bool, number: int, seed: int, demo: bool) -> int:
    samples = draw(rhythm, number).astype("<i2").tobytes()
    if synthetic:
        new = NewDrawing(samples, rhythm, CHECKPOINT, "dpm++2m", 20, 1.0, seed, number, "cpu", "round", {"heart_rate": 71.5})
        strip_id = strips.add_drawing(session, new)
    else:
        collection = "simulator" if demo else "ptbxl"
        strip_id = strips.add_recording(
            session, NewRecording(samples, rhythm, collection, f"{number:05d}_hr", f"p{number:063d}", 500.0, 61.0, "female", demo)
        )
    assert strip_id is not None
    return strip_id


def _judge(
    session: Session,
    rng: np.random.Generator,
    case_id: int,
    reader_id: int,
    revision: int,
    call: bool,
    rhythm: str,
    shown: datetime,
    protocol_hash: str,
) -> None:
    session.add(  # not by storage.judgements.add, which stamps the moment itself
        Judgement(
            case_id=case_id,
            reader_id=reader_id,
            revision=revision,
            realism=int(rng.integers(4, 7) if call else rng.integers(1, 4)),
            rhythm=rhythm if rng.random() < 0.9 else "unsure",
            morphology={item: ("plausible", "implausible", "cannot judge")[rng.choice(3, p=[0.7, 0.2, 0.1])] for item in MORPHOLOGY_ITEMS},
            cues=[CUES[0]] if call and rng.random() < 0.5 else [],
            comment='semicolons; commas, "quotes"\nand a second line' if revision == 2 else "",
            shown_at=shown,
            submitted_at=shown + timedelta(seconds=float(rng.integers(5, 60)) + 60 * (revision - 1)),
            protocol_hash=protocol_hash,
        )
    )
    session.flush()
