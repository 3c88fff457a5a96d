"""Opening a study's practice: a short round whose answers are told. study.practice serves it; no analysis sees it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy.orm import Session

from generator.request import DrawRequest
from storage import audit, truth
from storage import practice as stored_practice
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import allocation, round_strips
from study.allocation import Composition
from study.errors import StudyError
from study.overview import TELLING
from study.people import Person
from study.roles import Action, demand
from study.round_plan import SEEDS, check_number, refuse_too_few
from study.round_strips import Draw, Report
from study.studies import place, refuse_when_unblinding_asked, study_to_change

MOST_CASES = 40
NO_GATE = "Practice tells its answers and is no part of the analysis: its strips did not pass through the leak gate."
CODE_BYTES = 8


@dataclass(frozen=True)
class PracticePlan:
    """What a coordinator asks for: half of the cases real, half synthetic, each rhythm as often as whole numbers allow."""

    cases: int = 6  # an even number from 4 to MOST_CASES
    pass_mark: float | None = None  # share of rhythms to name right before the rounds open to a reader; None: going through is enough
    seed: int | None = None  # 0 to 2**31 - 1; None: a random one, stored with the practice
    checkpoint: str | None = None  # folder of the checkpoint; None: the one that ships
    steps: int = 20  # of the sampler

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PracticePlan:
        """Raises StudyError for a key that no plan has."""
        known = [field.name for field in fields(PracticePlan)]
        if unknown := sorted(set(values) - set(known)):
            raise StudyError(f"practice plan: unknown field {', '.join(unknown)}. Known: {', '.join(known)}.")
        return PracticePlan(**values)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_practice(db: Database, by: Person, study_id: int, plan: PracticePlan) -> Composition:
    """Whether the practice could be opened now, and what it would come to. Raises NotAllowed or StudyError with what to do."""
    demand(by, Action.OPEN_ROUNDS)
    with db.read() as session:
        return _check(session, by, study_id, plan)[0]


def open_practice(
    db: Database, by: Person, study_id: int, plan: PracticePlan, draw: Draw, progress: Report | None = None, *, job_id: int | None = None
) -> int:
    """Opens a study's practice and returns its round's id: strips that no study has shown, and that none will show afterwards.

    draw, progress, job_id: as for study.rounds.open_round. Once a study, before its first judgement. All readers, those added later
    too, go through it before their rounds open to them. Raises NotAllowed or StudyError; then nothing was stored.
    """
    demand(by, Action.OPEN_ROUNDS)
    report = progress or (lambda done, total, doing: None)
    with db.read() as session:
        composition, available = _check(session, by, study_id, plan)
    asked = secrets.randbelow(SEEDS) if plan.seed is None else plan.seed
    seed = allocation.practice_seed(asked)
    real = allocation.choose_real(available, _by_rhythm(composition, "real"), seed)
    total = composition.number(arm="synthetic") + 1
    batches = round_strips.draw_batches(draw, _by_rhythm(composition, "synthetic"), seed, plan.steps, report, total)
    round_strips.refuse_known(db, round_strips.shown(batches))

    with db.write() as session:
        composition, available = _check(session, by, study_id, plan, lock=True)
        if not set(real) <= set(available):
            raise StudyError("A round was opened meanwhile and shows some of the same recordings. Open the practice again.")
        drawn = round_strips.store(session, batches, "practice", job_id)
        arms = [(strip.strip_id, "real") for strip in real] + [(strip_id, "synthetic") for strip_id, _rhythm in drawn]
        record = {
            **asdict(plan),
            "min_repeat_distance": 0,
            "phases": 1,
            "achieved": {**composition.shares(), "scored": {f"{arm} {rhythm}": n for (arm, rhythm), n in composition.scored.items()}},
            **round_strips.record(batches),
            "seed": seed,  # of the choice, the numbering and each reader's order: study.allocation.practice_seed of the one asked for
            "seeds": {"asked": asked} | round_strips.seeds(batches),
        }
        leak = {"verdict": "not asked", "reason": NO_GATE}
        round_id = stored.add_round(session, study_id=study_id, number=0, plan=record, leak=leak, opened_by=by.id, starts_at=now(), practice=True)
        in_order = [arms[i] for i in allocation.shuffled(len(arms), seed)]
        ids = stored.add_cases(
            session, round_id, [stored.NewCase(strip_id, "practice", secrets.token_hex(CODE_BYTES)) for strip_id, _arm in in_order]
        )
        stored_practice.add_cases(session, {case_id: arm for case_id, (_strip, arm) in zip(ids, in_order, strict=True)})
        cases = stored.cases(session, study_id, practice=True)
        place(session, round_id, record, cases, [reader.id for reader in stored.readers(session, study_id, active=True)])
        told = {key: value for key, value in record.items() if key not in TELLING}
        audit.append(session, by.id, "practice opened", f"study {study_id}", {"round": round_id, "plan": told, "leak gate": NO_GATE})
    report(total, total, "The practice is open")
    return round_id


def _check(session: Session, by: Person, study_id: int, plan: PracticePlan, *, lock: bool = False) -> tuple[Composition, list[truth.RealStrip]]:
    study = study_to_change(session, by, study_id, lock=lock)
    refuse_when_unblinding_asked(study)
    if stored.practice_round(session, study_id) is not None:
        raise StudyError(f"{study.title!r} has its practice already: there is one a study.")
    if study.frozen_at is not None:
        raise StudyError(f"{study.title!r} is being read since {study.frozen_at:%Y-%m-%d %H:%M} UTC. Practice comes before the first judgement.")
    cases, mark = plan.cases, plan.pass_mark
    if isinstance(cases, bool) or not isinstance(cases, int) or not 4 <= cases <= MOST_CASES or cases % 2:
        raise StudyError(f"cases: {cases!r} will not do. Choose an even number from 4 to {MOST_CASES}: half real, half synthetic.")
    if mark is not None and (isinstance(mark, bool) or not isinstance(mark, (int, float)) or not 0 < mark <= 1):
        raise StudyError(f"pass_mark: {mark!r} is out of range. Choose a share of the rhythms above 0 and up to 1, or leave it out.")
    check_number("seed", plan.seed, SEEDS - 1)
    DrawRequest(rhythm="AF", n=1, seed=0, steps=plan.steps)  # refuses a number of steps that no sampler takes
    composition = allocation.composition(cases, 0.5, 0.5, 0.0)
    real = truth.arms_for_opening(session, study_id, stand_ins=study.stand_ins, nowhere_shown=True)
    available = {rhythm: len({strip.patient for strip in real if strip.rhythm == rhythm}) for rhythm in allocation.RHYTHMS}
    refuse_too_few(_by_rhythm(composition, "real"), available)
    return composition, real


def _by_rhythm(composition: Composition, arm: str) -> dict[str, int]:
    return {rhythm: composition.number(arm=arm, rhythm=rhythm) for rhythm in allocation.RHYTHMS}
