"""Opening a round: checked, drawn afresh, past the leak gate, and then stored in one transaction or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from generator.strip import from_bytes
from storage import audit, strips, truth
from storage import studies as stored
from storage.database import Database
from study import allocation, controls, rotation, round_strips
from study.allocation import Cell, Composition
from study.commitment import commit
from study.controls import Controls
from study.errors import StudyError
from study.leak_gate import REFUSED_BY_THE_GATE, noted
from study.overview import TELLING
from study.people import Person
from study.protocol import phases
from study.roles import Action, demand
from study.round_plan import SEEDS, CheckedPlan, RoundPlan, check, check_plan, choose_earlier, earlier_cases, washout_days
from study.round_strips import Batch, Draw, Report
from study.studies import place

__all__ = ["ONE_ARM", "OPENED_IN_A_DEMO", "REFUSE", "SEEDS", "CheckedPlan", "Draw", "Gate", "RoundPlan", "check_plan", "leak_gate", "open_round"]

REFUSE = "refuse"  # the leak gate's verdict that keeps a round shut
ONE_ARM = "The round has one arm only: there is nothing to tell apart."
OPENED_IN_A_DEMO = "This is a demo: the gate's refusal is told here and does not keep the round shut."
CODE_BYTES = 8

Gate = Callable[[Sequence[NDArray[np.int16]], Sequence[NDArray[np.int16]], int], dict[str, Any]]  # (real, synthetic, seed) -> the report


def open_round(
    db: Database,
    by: Person,
    study_id: int,
    plan: RoundPlan,
    draw: Draw,
    progress: Report | None = None,
    *,
    gate: Gate | None = None,
    job_id: int | None = None,
) -> int:
    """Opens a round and returns its id: draws its synthetic strips, chooses real ones not shown before, passes both through the leak gate.

    draw: must draw with the plan's checkpoint; called outside any transaction. progress(done, total, what is being done). gate: None for
    generator.leak; it sees the scored strips, not the controls. A demo study's round opens whatever the gate says;
    the report is stored with it. Raises NotAllowed, or StudyError (too few recordings, too many rejected samples, arms that format
    features tell apart): then nothing was stored, except that the audit trail notes a refusal of the gate: who opens with seed after seed
    until it gives way is seen.
    """
    demand(by, Action.OPEN_ROUNDS)
    report = progress or (lambda done, total, doing: None)
    seed = secrets.randbelow(SEEDS) if plan.seed is None else plan.seed
    with db.read() as session:
        checked = check(session, by, study_id, plan)
        study = stored.study(session, study_id)
        wanted = {rhythm: checked.composition.number(arm="real", rhythm=rhythm) for rhythm in allocation.RHYTHMS}
        available = truth.arms_for_opening(session, study_id, stand_ins=study.stand_ins)
        real = allocation.choose_real(available, wanted, seed)
        chosen = controls.choose(session, available, real, checked.composition.controls, seed, stand_ins=study.stand_ins)
        real_samples = strips.samples(session, [strip.strip_id for strip in real])

    total = checked.composition.number(arm="synthetic") + 1
    numbers = {rhythm: checked.composition.number(arm="synthetic", rhythm=rhythm) for rhythm in allocation.RHYTHMS}
    batches = round_strips.draw_batches(draw, numbers, seed, plan.steps, report, total)
    synthetic = round_strips.shown(batches)
    round_strips.refuse_known(db, [*synthetic, *chosen.drawn])

    if warning := round_strips.rejected(batches).warning:
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

    opening = _Opening(study_id, by, plan, checked.composition, seed, real, batches, chosen, leak, job_id)
    with db.write() as session:
        round_id = _store(session, opening)
    report(total, total, "The round is open")
    return round_id


@dataclass(frozen=True)
class _Opening:
    """Everything decided outside the transaction."""

    study_id: int
    by: Person
    plan: RoundPlan
    composition: Composition
    seed: int
    real: list[truth.RealStrip]
    batches: list[Batch]
    controls: Controls
    leak: dict[str, Any]
    job_id: int | None


def _note_refusal(db: Database, by: Person, study_id: int, leak: Mapping[str, Any]) -> None:
    """Without the seed and the strips: whoever may read the trail must not learn arms from it."""
    with db.write() as session:
        audit.append(session, by.id, REFUSED_BY_THE_GATE, f"study {study_id}", noted(leak))


def _store(session: Session, opening: _Opening) -> int:
    """The one transaction. What could have changed since the check is checked again."""
    by, plan, seed = opening.by, opening.plan, opening.seed
    checked = check(session, by, opening.study_id, plan, lock=True)
    study = stored.study(session, opening.study_id)
    recordings = [*opening.real, *opening.controls.recorded]
    still_there = {strip.strip_id for strip in truth.arms_for_opening(session, study.id, stand_ins=study.stand_ins)}
    if not study.stand_ins and any(strip.stand_in for strip in recordings):
        raise StudyError(f"{study.title!r} shows recordings: a simulator's stand-in cannot take their place in it. Import recordings.")
    if any(strip.strip_id not in still_there for strip in recordings):
        raise StudyError("Another round of this study was opened meanwhile and shows some of the same recordings. Open the round again.")
    if checked.composition != opening.composition:
        raise StudyError("Readers were added meanwhile, and the plan comes to other numbers with them. Open the round again.")

    scored: list[tuple[int, Cell]] = [(strip.strip_id, ("real", strip.rhythm)) for strip in opening.real]
    drawn = round_strips.store(session, opening.batches, "round", opening.job_id)
    scored += [(strip_id, ("synthetic", rhythm)) for strip_id, rhythm in drawn]
    earlier = choose_earlier(earlier_cases(session, study.id), checked.composition.earlier, seed) if checked.composition.earlier else []
    made = _Cases(scored, earlier, controls.store(session, opening.controls, opening.job_id), checked.composition, seed)

    number = len(stored.rounds(session, study.id)) + 1
    record = _record(opening, checked, study.protocol)
    round_id = stored.add_round(
        session, study_id=study.id, number=number, plan=record, leak=opening.leak, opened_by=by.id, starts_at=checked.starts_at
    )
    ids = stored.add_cases(session, round_id, made.new())
    cases = [case for case in stored.cases(session, study.id) if case.round_id == round_id]
    readers = stored.readers(session, study.id, active=True)
    read_by = made.read_by({reader.id: reader.site for reader in readers}, ids)
    place(session, round_id, record, cases, [reader.id for reader in readers], read_by=read_by)
    commit(session, by, round_id)
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


class _Cases:
    """The cases of a round in a shuffled order under random codes, so that neither id nor code tells arm, role, or who reads a case."""

    def __init__(
        self, scored: Sequence[tuple[int, Cell]], earlier: Sequence[stored.CaseRow], control_ids: Sequence[int], of: Composition, seed: int
    ) -> None:
        self._cells = [cell for _strip, cell in scored]
        self._of, self._seed = of, seed
        self._anchors = allocation.choose_anchors(self._cells, of.rotating, seed)
        again = [self._anchors[i] for i in allocation.choose_repeats([self._cells[i] for i in self._anchors], of.repeats, seed)]
        self._unshuffled: list[tuple[int, str, int | None, int | None]] = [(strip_id, "scored", None, None) for strip_id, _cell in scored]
        self._unshuffled += [(scored[i][0], "repeat", i, None) for i in again]
        self._unshuffled += [(case.strip_id, "repeat", None, case.id) for case in earlier]
        self._unshuffled += [(strip_id, "control", None, None) for strip_id in control_ids]
        self._order = allocation.shuffled(len(self._unshuffled), seed)
        self._place_of = {old: new for new, old in enumerate(self._order)}

    def new(self) -> list[stored.NewCase]:
        return [
            stored.NewCase(strip_id, role, secrets.token_hex(CODE_BYTES), None if original is None else self._place_of[original], earlier)
            for strip_id, role, original, earlier in (self._unshuffled[old] for old in self._order)
        ]

    def read_by(self, sites: Mapping[int, str], ids: Sequence[int]) -> dict[int, list[int]] | None:
        """Reader id -> ids of their cases; None: everybody reads all. ids: of the cases that `new` gave, in their order."""
        if not self._of.rotating:
            return None
        anchors = set(self._anchors)
        rotating = [i for i in range(len(self._cells)) if i not in anchors]
        common = [i for i in range(len(self._unshuffled)) if i not in set(rotating)]
        dealt = rotation.deal([self._cells[i] for i in rotating], sites, self._of.readings, self._seed)
        return {
            reader: sorted(ids[self._place_of[i]] for i in (*common, *(rotating[j] for j in own)))  # in order of id
            for reader, own in dealt.items()
        }


def _record(opening: _Opening, checked: CheckedPlan, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored as the round's plan: asked and achieved, and every seed."""
    composition = checked.composition
    rotated = {"anchors": composition.anchors, "pool": sum(composition.rotating.values()), "readers": composition.readers}
    return {
        **asdict(opening.plan),
        "seed named by hand": opening.plan.seed is not None,  # whoever named it could draw the synthetic strips again
        "washout_days": washout_days(opening.plan, protocol),
        "min_repeat_distance": protocol["min_repeat_distance"],
        "phases": phases(protocol["question_order"]),
        "achieved": {
            **composition.shares(),
            "repeats": composition.repeats,
            "scored": {f"{arm} {rhythm}": n for (arm, rhythm), n in composition.scored.items()},
            **({"earlier repeats": composition.earlier} if composition.earlier else {}),
            **({"rotation": rotated} if composition.rotating else {}),
        },
        **round_strips.record(opening.batches),
        **opening.controls.record(),
        "seed": opening.seed,  # of the choice, the repeats, the numbering, the shares and each reader's order, by study.allocation
        "seeds": round_strips.seeds(opening.batches) | {"leak gate": allocation.gate_seed(opening.seed)} | opening.controls.seeds(),
    }


def leak_gate(real: Sequence[NDArray[np.int16]], synthetic: Sequence[NDArray[np.int16]], seed: int) -> dict[str, Any]:
    """generator.leak over the strips of a round: its report as a dictionary for JSON."""
    from generator.leak import leak  # only where a round is opened: the web process does without

    return leak(np.stack(real), np.stack(synthetic), seed).as_dict()


def _leak_message(leak: Mapping[str, Any]) -> str:
    return (
        f"The leak gate is shut: the strips' format alone tells the arms apart (AUC {leak['auc']:.2f}, p = {leak['p_value']:.3f}), "
        f"{leak['worst_feature']} most of all. {leak['remedy']} Nothing was stored but a note in the audit trail."
    )
