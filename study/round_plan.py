"""The plan of a round: what is asked for, what it comes to, and whether it can be opened now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from generator.request import DrawRequest
from storage import judgements, truth
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import allocation
from study.allocation import Composition
from study.controls import CONTROL_RHYTHM
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand
from study.studies import refuse_when_unblinding_asked, study_to_change, study_to_see

SMALLEST_ARM = 5  # strips of an arm that the leak gate needs: generator.leak.FOLDS, which the web process cannot import
SEEDS = 2**31  # seeds are below this: they fit in every database's integer


@dataclass(frozen=True)
class RoundPlan:
    """What a coordinator asks for. Shares are rounded to whole cases; what was achieved is stored beside what was asked."""

    cases: int = 24  # what each reader reads: scored cases, repeats and controls
    synthetic_share: float = 0.5  # of the scored cases
    af_share: float = 0.5  # of the scored cases, in each arm alike
    repeat_share: float = 0.1  # of all cases
    washout_days: int | None = None  # since the last judgement in an earlier round; None: the protocol's
    seed: int | None = None  # 0 to 2**31 - 1; None: a random one, stored with the round
    checkpoint: str | None = None  # folder of the checkpoint; None: the one that ships
    steps: int = 20  # of the sampler
    anchors: int | None = None  # scored cases that every reader reads; None: all
    readings: int | None = None  # readers of each of the other cases; None where there are none
    earlier_repeats: float = 0.0  # of all cases: scored cases of earlier rounds, shown again
    controls: int = 0  # pairs: an obviously mechanical strip and an obviously recorded one

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> RoundPlan:
        """Raises StudyError for a key that no plan has."""
        unknown = sorted(set(values) - {field.name for field in fields(RoundPlan)})
        if unknown:
            raise StudyError(f"round plan: unknown field {', '.join(unknown)}. Known: {', '.join(field.name for field in fields(RoundPlan))}.")
        return RoundPlan(**values)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class CheckedPlan:
    """What a plan comes to now."""

    composition: Composition
    available: dict[str, int]  # real recordings not yet shown in the study, by rhythm
    starts_at: datetime  # now, or after the wash-out


def check_plan(db: Database, by: Person, study_id: int, plan: RoundPlan) -> CheckedPlan:
    """Whether the round could be opened now, and what it would come to. Raises NotAllowed or StudyError with the numbers and what to do."""
    demand(by, Action.OPEN_ROUNDS)
    with db.read() as session:
        return check(session, by, study_id, plan)


def preview(db: Database, by: Person, study_id: int, plan: RoundPlan) -> Composition:
    """What the plan would come to with the study's readers of now, without a look at the recordings: quick. Raises as `check_plan`."""
    demand(by, Action.OPEN_ROUNDS)
    with db.read() as session:
        study = study_to_see(session, by, study_id)
        return _composed(session, study, plan)


def in_words(composition: Composition) -> str:
    """What a plan comes to, for the coordinator."""
    fewest, most = composition.fewest_cases, composition.cases
    each = str(most) if fewest == most else f"{fewest} or {most}"
    parts = [f"{composition.anchors} scored"]
    if composition.rotating:
        low, high = composition.shares_of_pool
        pool = sum(composition.rotating.values())
        share = str(high) if low == high else f"{low} or {high}"
        parts = [f"{composition.anchors} scored that all read", f"{share} scored of a pool of {pool}, each read by {composition.readings}"]
    for number, what in ((composition.repeats, "repeated"), (composition.earlier, "of earlier rounds"), (2 * composition.controls, "controls")):
        if number:
            parts.append(f"{number} {what}")
    real, synthetic = (
        ", ".join(f"{composition.number(arm=arm, rhythm=rhythm)} {rhythm}" for rhythm in allocation.RHYTHMS) for arm in allocation.ARMS
    )
    scored = composition.anchors + composition.shares_of_pool[1]
    return (
        f"Each reader reads {each} cases: {', '.join(parts)}. The round has {composition.pool} cases and takes "
        f"{composition.number(arm='real')} recordings ({real}) and {composition.number(arm='synthetic')} synthetic strips ({synthetic}). "
        f"The share that a reader gets right will be known to about ±{100 * _half_width(scored):.0f} percentage points."
    )


def check(session: Session, by: Person, study_id: int, plan: RoundPlan, *, lock: bool = False) -> CheckedPlan:
    """`check_plan` in a transaction."""
    study = study_to_change(session, by, study_id, lock=lock)
    refuse_when_unblinding_asked(study)
    if not stored.readers(session, study_id, active=True):
        raise StudyError(f"{study.title!r} has no readers. Add readers before you open a round.")
    composition = _composed(session, study, plan)
    smallest = min(composition.number(arm=arm) for arm in allocation.ARMS)
    if 0 < smallest < SMALLEST_ARM:
        raise StudyError(f"{plan.cases} cases with these shares leave {smallest} in one arm; the leak gate needs {SMALLEST_ARM}. Ask for more cases.")
    real = truth.arms_for_opening(session, study_id, stand_ins=study.stand_ins)
    available = {rhythm: len({strip.patient for strip in real if strip.rhythm == rhythm}) for rhythm in allocation.RHYTHMS}
    needed = {rhythm: composition.number(arm="real", rhythm=rhythm) for rhythm in allocation.RHYTHMS}
    if not study.stand_ins:  # whose controls are simulated
        needed[CONTROL_RHYTHM] += composition.controls
    refuse_too_few(needed, available)
    return CheckedPlan(composition, available, _starts_at(session, study_id, washout_days(plan, study.protocol)))


def refuse_too_few(needed: Mapping[str, int], available: Mapping[str, int]) -> None:
    """Raises StudyError, with the numbers, where recordings are missing. Both by rhythm, one a patient."""
    if any(available[rhythm] < needed[rhythm] for rhythm in allocation.RHYTHMS):
        raise StudyError(
            "Too few recordings that this study has not shown yet, one a patient: "
            + " and ".join(f"{needed[rhythm]} {rhythm} needed, {available[rhythm]} there" for rhythm in allocation.RHYTHMS)
            + ". Import more recordings, or ask for fewer cases or a larger share of synthetic ones."
        )


def check_number(name: str, value: Any, highest: int) -> None:
    """Raises StudyError for what is neither None nor a whole number from 0 to highest."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest):
        raise StudyError(f"{name}: {value!r} is out of range. Choose a whole number from 0 to {highest}, or leave it out.")


def washout_days(plan: RoundPlan, protocol: Mapping[str, Any]) -> int:
    return int(protocol["washout_days"] if plan.washout_days is None else plan.washout_days)


def earlier_cases(session: Session, study_id: int) -> list[stored.CaseRow]:
    """The cases that can be shown again, in order of id: scored in an earlier round, given to every reader of now then, and never repeated."""
    cases = stored.cases(session, study_id)
    repeated = {case.repeat_of for case in cases}
    readers = {reader.id for reader in stored.readers(session, study_id, active=True)}
    given: dict[int, set[int]] = {}
    for row in stored.placements(session, study_id):
        given.setdefault(row.case_id, set()).add(row.reader_id)
    return [case for case in cases if case.role == "scored" and case.id not in repeated and readers <= given.get(case.id, set())]


def choose_earlier(cases: Sequence[stored.CaseRow], number: int, seed: int) -> list[stored.CaseRow]:
    """Raises StudyError for more than there are."""
    return [cases[i] for i in allocation.choose_earlier([case.rhythm for case in cases], number, seed)]


def _composed(session: Session, study: stored.StudyRow, plan: RoundPlan) -> Composition:
    check_number("washout_days", plan.washout_days, 3650)
    check_number("seed", plan.seed, SEEDS - 1)
    if plan.synthetic_share:
        DrawRequest(rhythm="AF", n=1, seed=0, steps=plan.steps)  # refuses a number of steps that no sampler takes, before anything is drawn
    composition = allocation.composition(
        plan.cases,
        plan.synthetic_share,
        plan.af_share,
        plan.repeat_share,
        earlier_share=plan.earlier_repeats,
        controls=plan.controls,
        anchors=plan.anchors,
        readings=plan.readings,
        readers=len(stored.readers(session, study.id, active=True)),
    )
    allocation.check_distance(composition.fewest_cases, composition.repeats, study.protocol["min_repeat_distance"])
    if composition.earlier:
        if not stored.rounds(session, study.id):
            raise StudyError("earlier_repeats: this study has no earlier round whose cases could be shown again. Leave it at 0 in the first round.")
        choose_earlier(earlier_cases(session, study.id), composition.earlier, 0)
    return composition


def _starts_at(session: Session, study_id: int, days: int) -> datetime:
    """Now, or the wash-out after the last round opened or was last read in. Who reads an earlier round later starts later: study.reading."""
    rounds = stored.rounds(session, study_id)
    if not rounds:
        return now()
    last = max(moment for moment in (rounds[-1].opened_at, judgements.last_in_study(session, study_id)) if moment)
    return max(now(), last + timedelta(days=days))


def _half_width(n: int) -> float:
    """Of Wilson's 95 % interval about 1/2 of n independent readings."""
    z = 1.959964
    return float(z / (2 * (n + z**2) ** 0.5))
