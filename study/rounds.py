"""Opening a round: checked, drawn afresh, past the leak gate, and then stored in one transaction or not at all."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from generator.request import DrawRequest
from generator.strip import from_bytes, strip_hash, to_bytes
from storage import audit, judgements, strips, truth
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import allocation
from study.allocation import Cell, Composition
from study.errors import StudyError
from study.people import Person
from study.rejections import Rejected
from study.roles import Action, demand
from study.studies import REFUSED_BY_THE_GATE, TELLING, place, refuse_when_unblinding_asked, study_to_change

REFUSE = "refuse"  # the leak gate's verdict that keeps a round shut
ONE_ARM = "The round has one arm only: there is nothing to tell apart."
OPENED_IN_A_DEMO = "This is a demo: its real arm is simulated, so the gate's refusal is told here and does not keep the round shut."
SMALLEST_ARM = 5  # strips of an arm that the leak gate needs: generator.leak.FOLDS, which the web process cannot import
CODE_BYTES = 8
_COLUMNS = {"checkpoint", "rhythm", "n", "sampler", "steps", "guidance", "seed", "number", "device"}  # of a drawing, or of its strip
SEEDS = 2**31  # seeds are below this: they fit in every database's integer


@dataclass(frozen=True)
class RoundPlan:
    """What a coordinator asks for. Shares are rounded to whole cases; what was achieved is stored beside what was asked."""

    cases: int = 24  # what each reader reads: scored cases and repeats
    synthetic_share: float = 0.5  # of the scored cases
    af_share: float = 0.5  # of the scored cases, in each arm alike
    repeat_share: float = 0.1  # of all cases
    washout_days: int | None = None  # since the last judgement in an earlier round; None: the protocol's
    seed: int | None = None  # 0 to 2**31 - 1; None: a random one, stored with the round
    checkpoint: str | None = None  # folder of the checkpoint; None: the one that ships
    steps: int = 20  # of the sampler

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> RoundPlan:
        """Raises StudyError for a key that no plan has."""
        unknown = sorted(set(values) - {field.name for field in fields(RoundPlan)})
        if unknown:
            raise StudyError(f"round plan: unknown field {', '.join(unknown)}. Known: {', '.join(field.name for field in fields(RoundPlan))}.")
        return RoundPlan(**values)


class Drawn(Protocol):
    """A sample that was drawn: its counts (8, 1000), or why it was rejected; conditions: what was chosen for it, see Draw."""

    @property
    def number(self) -> int: ...
    @property
    def counts(self) -> NDArray[np.int16] | None: ...
    @property
    def rejected(self) -> str | None: ...
    @property
    def conditions(self) -> dict[str, Any]: ...


class Draw(Protocol):
    """Draws the samples numbered first to request.n - 1 of a request; a sample depends on request and number, never on what else is drawn.

    Each sample's conditions name the checkpoint's SHA-256 ("checkpoint"), the device ("device") and what was checked ("quality_control",
    generator.quality_control.checks) beside what was chosen for it.
    """

    def __call__(self, request: DrawRequest, *, first: int = 0) -> Sequence[Drawn]: ...


Gate = Callable[[Sequence[NDArray[np.int16]], Sequence[NDArray[np.int16]], int], dict[str, Any]]  # (real, synthetic, seed) -> the report


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
        return _check(session, by, study_id, plan)


def open_round(
    db: Database,
    by: Person,
    study_id: int,
    plan: RoundPlan,
    draw: Draw,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    gate: Gate | None = None,
    job_id: int | None = None,
) -> int:
    """Opens a round and returns its id: draws its synthetic strips, chooses real ones not shown before, passes both through the leak gate.

    draw: must draw with the plan's checkpoint; called outside any transaction. progress(done, total, what is being done). gate: None for
    generator.leak. A demo study's round opens whatever the gate says, as its "real" strips are no recordings; the report is stored with it.
    Raises NotAllowed, or StudyError (too few recordings, too many rejected samples, arms that format features tell apart): then nothing
    was stored, except that the audit trail notes a refusal of the gate: who opens with seed after seed until it gives way is seen.
    """
    demand(by, Action.OPEN_ROUNDS)
    report = progress or (lambda done, total, doing: None)
    seed = secrets.randbelow(SEEDS) if plan.seed is None else plan.seed
    with db.read() as session:
        checked = _check(session, by, study_id, plan)
        study = stored.study(session, study_id)
        wanted = {rhythm: checked.composition.number(arm="real", rhythm=rhythm) for rhythm in allocation.RHYTHMS}
        real = allocation.choose_real(truth.arms_for_opening(session, study_id, stand_ins=study.demo), wanted, seed)
        real_samples = strips.samples(session, [strip.strip_id for strip in real])

    total = checked.composition.number(arm="synthetic") + 1
    batches: list[_Batch] = []
    for rhythm in allocation.RHYTHMS:
        if number := checked.composition.number(arm="synthetic", rhythm=rhythm):
            report(sum(len(batch.accepted) for batch in batches), total, f"Drawing {number} {rhythm} strips")
            request = DrawRequest(rhythm=rhythm, n=number, seed=allocation.draw_seed(seed, rhythm), steps=plan.steps)
            batches.append(_draw_enough(draw, request))
    synthetic = [_counts(sample) for batch in batches for sample in batch.accepted]
    _refuse_known(db, synthetic)

    if warning := _rejected(batches).warning:
        report(total - 1, total, warning)
    report(total - 1, total, "Passing both arms through the leak gate")
    real_counts = [from_bytes(real_samples[strip.strip_id]) for strip in real]
    leak = (
        (gate or leak_gate)(real_counts, synthetic, allocation.gate_seed(seed))
        if real_counts and synthetic
        else {"verdict": "open", "reason": ONE_ARM}
    )
    if leak["verdict"] == REFUSE:
        if not study.demo:
            _note_refusal(db, by, study_id, leak)
            raise StudyError(_leak_message(leak))
        leak = {**leak, "opened_all_the_same": OPENED_IN_A_DEMO}

    opening = _Opening(study_id, by, plan, seed, real, batches, leak, job_id)
    with db.write() as session:
        round_id = _store(session, opening)
    report(total, total, "The round is open")
    return round_id


@dataclass(frozen=True)
class _Batch:
    """The samples of one request: those a round shows, and those that quality control rejected on the way."""

    request: DrawRequest
    accepted: list[Drawn]
    rejected: list[Drawn]

    @property
    def reasons(self) -> Counter[str]:
        return Counter(_why(sample) for sample in self.rejected)


@dataclass(frozen=True)
class _Opening:
    """Everything decided outside the transaction."""

    study_id: int
    by: Person
    plan: RoundPlan
    seed: int
    real: list[truth.RealStrip]
    batches: list[_Batch]
    leak: dict[str, Any]
    job_id: int | None


def _check(session: Session, by: Person, study_id: int, plan: RoundPlan, *, lock: bool = False) -> CheckedPlan:
    study = study_to_change(session, by, study_id, lock=lock)
    refuse_when_unblinding_asked(study)
    if not stored.readers(session, study_id):
        raise StudyError(f"{study.title!r} has no readers. Add readers before you open a round.")
    _check_numbers(plan)
    protocol = study.protocol
    composition = allocation.composition(plan.cases, plan.synthetic_share, plan.af_share, plan.repeat_share)
    smallest = min(composition.number(arm=arm) for arm in allocation.ARMS)
    if 0 < smallest < SMALLEST_ARM:
        raise StudyError(f"{plan.cases} cases with these shares leave {smallest} in one arm; the leak gate needs {SMALLEST_ARM}. Ask for more cases.")
    allocation.check_distance(plan.cases, composition.repeats, protocol["min_repeat_distance"])
    real = truth.arms_for_opening(session, study_id, stand_ins=study.demo)
    available = {rhythm: len({strip.patient for strip in real if strip.rhythm == rhythm}) for rhythm in allocation.RHYTHMS}
    needed = {rhythm: composition.number(arm="real", rhythm=rhythm) for rhythm in allocation.RHYTHMS}
    if any(available[rhythm] < needed[rhythm] for rhythm in allocation.RHYTHMS):
        raise StudyError(
            "Too few recordings that this study has not shown yet, one a patient: "
            + " and ".join(f"{needed[rhythm]} {rhythm} needed, {available[rhythm]} there" for rhythm in allocation.RHYTHMS)
            + ". Import more recordings, or ask for fewer cases or a larger share of synthetic ones."
        )
    return CheckedPlan(composition, available, _starts_at(session, study_id, _washout_days(plan, protocol)))


def _check_numbers(plan: RoundPlan) -> None:
    for name, value, highest in (("washout_days", plan.washout_days, 3650), ("seed", plan.seed, SEEDS - 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest):
            raise StudyError(f"{name}: {value!r} is out of range. Choose a whole number from 0 to {highest}, or leave it out.")
    if plan.synthetic_share:
        DrawRequest(rhythm="AF", n=1, seed=0, steps=plan.steps)  # refuses a number of steps that no sampler takes, before anything is drawn


def _washout_days(plan: RoundPlan, protocol: Mapping[str, Any]) -> int:
    return int(protocol["washout_days"] if plan.washout_days is None else plan.washout_days)


def _starts_at(session: Session, study_id: int, washout_days: int) -> datetime:
    """Now, or the wash-out after the last round opened or was last read in. Who reads an earlier round later starts later: study.reading."""
    rounds = stored.rounds(session, study_id)
    if not rounds:
        return now()
    last = max(moment for moment in (rounds[-1].opened_at, judgements.last_in_study(session, study_id)) if moment)
    return max(now(), last + timedelta(days=washout_days))


def _draw_enough(draw: Draw, request: DrawRequest) -> _Batch:
    """request.n accepted samples; a rejected one is replaced by the next number of the same seed. Gives up where more than half are rejected."""
    samples: list[Drawn] = []
    asked = request.n
    while True:
        samples += draw(replace(request, n=asked), first=len(samples))
        if any(not {"checkpoint", "device"} <= set(sample.conditions) for sample in samples):
            raise StudyError("The generator did not say which checkpoint and device it drew with: the strips could not be drawn again.")
        accepted = [sample for sample in samples if sample.counts is not None]
        if len(samples) != asked:
            raise StudyError(f"The generator gave {len(samples)} of {asked} {request.rhythm} strips. Look at the generator's messages and try again.")
        if len(accepted) >= request.n:
            break
        if asked >= 2 * request.n + 2:
            counted = Rejected(asked, Counter(_why(sample) for sample in samples if sample.counts is None)).counted
            raise StudyError(
                f"{asked - len(accepted)} of {asked} {request.rhythm} samples were rejected ({counted}). "
                "Choose more steps, or another checkpoint; nothing was stored."
            )
        asked = min(asked + request.n - len(accepted), 2 * request.n + 2)
    return _Batch(request, accepted, [sample for sample in samples if sample.counts is None])


def _counts(sample: Drawn) -> NDArray[np.int16]:
    if sample.counts is None:
        raise StudyError(f"Sample {sample.number} was rejected ({sample.rejected}) and cannot be shown.")
    return sample.counts


def _refuse_known(db: Database, synthetic: Sequence[NDArray[np.int16]]) -> None:
    with db.read() as session:
        known = strips.known(session, [strip_hash(counts) for counts in synthetic])
    if known:
        raise StudyError(f"{len(known)} of the strips drawn with this seed are in the database already. Choose another seed, or leave it out.")


def _note_refusal(db: Database, by: Person, study_id: int, leak: Mapping[str, Any]) -> None:
    """Without the seed and the strips: whoever may read the trail must not learn arms from it."""
    with db.write() as session:
        detail = {name: leak[name] for name in ("verdict", "auc", "p_value", "worst_feature")}
        audit.append(session, by.id, REFUSED_BY_THE_GATE, f"study {study_id}", detail)


def _store(session: Session, opening: _Opening) -> int:
    """The one transaction. What could have changed since the check is checked again."""
    by, plan, seed = opening.by, opening.plan, opening.seed
    checked = _check(session, by, opening.study_id, plan, lock=True)
    study = stored.study(session, opening.study_id)
    still_there = {strip.strip_id: strip for strip in truth.arms_for_opening(session, study.id, stand_ins=study.demo)}
    if not study.demo and any(strip.stand_in for strip in opening.real):
        raise StudyError(f"{study.title!r} is no demo study: a simulator's stand-in cannot take a recording's place in it. Import recordings.")
    if any(strip.strip_id not in still_there for strip in opening.real):
        raise StudyError("Another round of this study was opened meanwhile and shows some of the same recordings. Open the round again.")

    scored: list[tuple[int, Cell]] = [(strip.strip_id, ("real", strip.rhythm)) for strip in opening.real]
    for batch in opening.batches:
        scored += [(_add_drawing(session, opening, batch.request, sample), ("synthetic", batch.request.rhythm)) for sample in batch.accepted]
        strips.add_rejections(session, [_rejection(opening, batch.request, sample) for sample in batch.rejected])

    number = len(stored.rounds(session, study.id)) + 1
    record = _record(opening, checked, study.protocol)
    round_id = stored.add_round(
        session, study_id=study.id, number=number, plan=record, leak=opening.leak, opened_by=by.id, starts_at=checked.starts_at
    )
    stored.add_cases(session, round_id, _cases(scored, checked.composition.repeats, seed))
    cases = [case for case in stored.cases(session, study.id) if case.round_id == round_id]
    place(session, round_id, record, cases, [reader.id for reader in stored.readers(session, study.id)])
    audit.append(
        session,
        by.id,
        "round opened",
        f"round {round_id}",
        {
            "study": study.id,
            "number": number,
            "plan": {key: value for key, value in record.items() if key not in TELLING},
            "leak": opening.leak["verdict"],
        },
    )
    return round_id


def _cases(scored: Sequence[tuple[int, Cell]], repeats: int, seed: int) -> list[stored.NewCase]:
    """Scored cases and repeats in a shuffled order under random codes, so that neither id nor code tells the arm or the role."""
    again = allocation.choose_repeats([cell for _strip, cell in scored], repeats, seed)
    unshuffled = [(strip_id, "scored", None) for strip_id, _cell in scored] + [(scored[i][0], "repeat", i) for i in again]
    order = allocation.shuffled(len(unshuffled), seed)
    place_of = {old: new for new, old in enumerate(order)}
    return [
        stored.NewCase(strip_id, role, secrets.token_hex(CODE_BYTES), None if original is None else place_of[original])
        for strip_id, role, original in (unshuffled[old] for old in order)
    ]


def _add_drawing(session: Session, opening: _Opening, request: DrawRequest, sample: Drawn) -> int:
    made = sample.conditions
    strip_id = strips.add_drawing(
        session,
        strips.NewDrawing(
            samples=to_bytes(_counts(sample)),
            rhythm=request.rhythm,
            checkpoint=made["checkpoint"],
            sampler=request.sampler,
            steps=request.steps,
            guidance=request.guidance,
            seed=request.seed,
            number=sample.number,
            device=made["device"],
            purpose="round",
            conditions={key: value for key, value in made.items() if key not in _COLUMNS},
            job_id=opening.job_id,
        ),
    )
    if strip_id is None:
        raise StudyError(f"Sample {sample.number} of seed {request.seed} is in the database already. Choose another seed, or leave it out.")
    return strip_id


def _rejection(opening: _Opening, request: DrawRequest, sample: Drawn) -> strips.NewRejection:
    return strips.NewRejection(sample.conditions["checkpoint"], request.rhythm, request.seed, sample.number, _why(sample), opening.job_id)


def _why(sample: Drawn) -> str:
    return sample.rejected or "rejected without a reason"


def _rejected(batches: Sequence[_Batch]) -> Rejected:
    """Of all that was drawn for a round."""
    reasons = sum((batch.reasons for batch in batches), Counter[str]())
    return Rejected(sum(len(batch.accepted) + len(batch.rejected) for batch in batches), reasons)


def _record(opening: _Opening, checked: CheckedPlan, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored as the round's plan: asked and achieved, and every seed."""
    request = opening.batches[0].request if opening.batches else None
    return {
        **asdict(opening.plan),
        "checkpoint": sorted({sample.conditions["checkpoint"] for batch in opening.batches for sample in batch.accepted}),
        "washout_days": _washout_days(opening.plan, protocol),
        "min_repeat_distance": protocol["min_repeat_distance"],
        "sampler": request.sampler if request else None,
        "guidance": request.guidance if request else None,
        "achieved": {
            **checked.composition.shares(),
            "repeats": checked.composition.repeats,
            "scored": {f"{arm} {rhythm}": n for (arm, rhythm), n in checked.composition.scored.items()},
        },
        "drawn": {
            batch.request.rhythm: {"accepted": len(batch.accepted), "rejected": len(batch.rejected), "reasons": dict(batch.reasons)}
            for batch in opening.batches
        },
        "quality_control": sorted({sample.conditions.get("quality_control", "") for batch in opening.batches for sample in batch.accepted}),
        **({"too many rejected": warning} if (warning := _rejected(opening.batches).warning) else {}),
        "seed": opening.seed,  # of the choice, the repeats, the numbering and each reader's order, by study.allocation
        "seeds": {f"draw {batch.request.rhythm}": batch.request.seed for batch in opening.batches}
        | {"leak gate": allocation.gate_seed(opening.seed)},
    }


def leak_gate(real: Sequence[NDArray[np.int16]], synthetic: Sequence[NDArray[np.int16]], seed: int) -> dict[str, Any]:
    """generator.leak over the strips of a round: its report as a dictionary for JSON."""
    from generator.leak import leak  # scikit-learn: not in the web process

    return leak(np.stack(real), np.stack(synthetic), seed).as_dict()


def _leak_message(leak: Mapping[str, Any]) -> str:
    return (
        f"The leak gate is shut: the strips' format alone tells the arms apart (AUC {leak['auc']:.2f}, p = {leak['p_value']:.3f}), "
        f"{leak['worst_feature']} most of all. {leak['remedy']} Nothing was stored but a note in the audit trail."
    )
