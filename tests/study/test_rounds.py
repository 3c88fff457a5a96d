from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import func, select

from generator import leak
from generator.errors import GeneratorError
from storage import audit, export
from storage import studies as stored
from storage.database import Database
from storage.tables import Base, Drawing, ReadingCase, Recording, Rejection, Round, Strip, Truth, now
from study import round_plan, rounds, studies, unblinding
from study.allocation import gate_seed
from study.errors import NotAllowed, StudyError
from study.protocol import Protocol
from study.reading import next_case, submit
from study.rounds import RoundPlan, check_plan, open_round
from study.studies import create_study
from tests import ending
from tests.study.hospital import Drawer, Hospital, Sample, add_recordings, answer, hospital, just_now, open_gate, shut_gate


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def new_study(house: Hospital, protocol: Protocol | None = None, title: str = "Sinus rhythm") -> int:
    return create_study(house.db, house.coordinator, title, protocol or Protocol(), house.reader_ids)


def everything(db: Database) -> dict[str, int]:
    """Rows by table."""
    with db.read() as session:
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in Base.metadata.sorted_tables}


def test_a_round_is_what_was_planned(house: Hospital) -> None:
    add_recordings(house.db, 20)
    study_id, drawer = new_study(house), Drawer()
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(cases=24, repeat_share=0.1), drawer, gate=open_gate)
    with house.db.read() as session:
        rows = session.execute(select(ReadingCase, Truth, Strip.rhythm).join(Truth, Truth.strip_id == ReadingCase.strip_id).join(Strip)).all()
        opened = stored.round_by_id(session, round_id)
        placements = stored.placements(session, study_id)
        drawings = session.scalars(select(Drawing)).all()
        patients = session.scalars(select(Recording.patient).join(ReadingCase, ReadingCase.strip_id == Recording.strip_id)).all()
        audit.verify(session)
    scored = Counter((truth.arm, rhythm) for case, truth, rhythm in rows if case.role == "scored")
    assert scored == {("synthetic", "AF"): 6, ("synthetic", "NSR"): 5, ("real", "AF"): 5, ("real", "NSR"): 6}
    assert Counter(case.role for case, _truth, _rhythm in rows) == {"scored": 22, "repeat": 2}
    strip_of = {case.id: case.strip_id for case, _truth, _rhythm in rows}
    repeats = [case for case, _truth, _rhythm in rows if case.role == "repeat"]
    assert all(case.repeat_of is not None and strip_of[case.repeat_of] == case.strip_id for case in repeats)
    assert len(set(patients)) == 11
    for reader in house.readers:
        order = [one.case_id for one in placements if one.reader_id == reader.id]
        assert sorted(order) == sorted(strip_of)
        assert all(order.index(case.id) - order.index(case.repeat_of) >= 10 for case in repeats if case.repeat_of)
    assert len({tuple(one.case_id for one in placements if one.reader_id == reader.id) for reader in house.readers}) == 4
    assert (opened.number, opened.cases, opened.leak["verdict"]) == (1, 24, "open")
    assert opened.plan["seed"] == 5
    assert opened.plan["seeds"] == {"draw NSR": drawer.asked[0][0].seed, "draw AF": drawer.asked[1][0].seed, "leak gate": gate_seed(5)}
    assert {(one.seed, one.purpose, one.checkpoint, one.device) for one in drawings} == {
        (request.seed, "round", "c" * 64, "cpu") for request, _first in drawer.asked
    }
    assert all(one.conditions == {"heart_rate": 72.0} for one in drawings)


def test_the_same_seed_and_database_give_the_same_round(tmp_path: Any) -> None:
    made = []
    for name in "ab":
        db = Database(f"sqlite:///{tmp_path / name}.db")
        db.migrate()
        house = hospital(db)
        add_recordings(db, 20)
        study_id = new_study(house)
        open_round(db, house.coordinator, study_id, house.plan(cases=24, repeat_share=0.1), Drawer(), gate=open_gate)
        with db.read() as session:
            cases, placements = stored.cases(session, study_id), stored.placements(session, study_id)
            sha256 = dict(session.execute(select(Strip.id, Strip.sha256)).all())
        made.append(([(sha256[case.strip_id], case.role, case.repeat_of) for case in cases], placements, {case.code for case in cases}))
        db.close()
    assert made[0][:2] == made[1][:2]
    assert not made[0][2] & made[1][2]  # codes are secrets, not seeded


def test_a_second_round_shows_no_recording_of_the_first(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = new_study(house, Protocol(washout_days=0))
    for seed in (1, 2):
        open_round(house.db, house.coordinator, study_id, house.plan(seed=seed), Drawer(), gate=open_gate)
    with house.db.read() as session:
        shown = session.scalars(select(ReadingCase.strip_id)).all()
    assert len(set(shown)) == 24
    with pytest.raises(StudyError, match=r"3 NSR needed, 0 there and 3 AF needed, 0 there.*Import more recordings"):
        check_plan(house.db, house.coordinator, study_id, house.plan(seed=3))
    other = new_study(house, title="Another study")
    assert check_plan(house.db, house.coordinator, other, house.plan()).available == {"NSR": 6, "AF": 6}


def test_the_next_round_starts_after_the_washout(house: Hospital) -> None:
    add_recordings(house.db, 20)
    study_id = new_study(house, Protocol(washout_days=7))
    first = check_plan(house.db, house.coordinator, study_id, house.plan())
    assert first.starts_at <= now()
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    second = check_plan(house.db, house.coordinator, study_id, house.plan(seed=6))
    assert timedelta(days=6, hours=23) < second.starts_at - now() <= timedelta(days=7)
    case = next_case(house.db, house.readers[0], round_id)
    assert case is not None
    submit(house.db, house.readers[0], case.code, answer(), just_now())
    assert check_plan(house.db, house.coordinator, study_id, house.plan(seed=6)).starts_at > second.starts_at
    assert check_plan(house.db, house.coordinator, study_id, house.plan(washout_days=0)).starts_at <= now()
    later = open_round(house.db, house.coordinator, study_id, house.plan(seed=6, washout_days=30), Drawer(), gate=open_gate)
    with house.db.read() as session:
        opened = stored.round_by_id(session, later)
    assert opened.plan["washout_days"] == 30
    assert opened.starts_at - now() > timedelta(days=29)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"cases": 0}, "cases"),
        ({"cases": 8}, "leave 4 in one arm; the leak gate needs 5"),
        ({"cases": 24, "repeat_share": 0.5}, "cannot all stand 15 positions"),
        ({"synthetic_share": 1.5}, "synthetic_share"),
        ({"washout_days": -1}, "washout_days"),
        ({"seed": 2**31}, "seed"),
        ({"seed": -1}, "seed"),
        ({"steps": 0}, "steps"),
        ({"cases": 200}, "50 NSR needed, 20 there"),
        ({"controls": 40}, "controls: 40"),
        ({"anchors": 4}, "readings"),
        ({"cases": 40, "anchors": 10, "readings": 9}, "has 4 readers"),
        ({"earlier_repeats": 0.7}, "earlier_repeats"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_anything_is_drawn(house: Hospital, plan: dict[str, Any], message: str) -> None:
    add_recordings(house.db, 20)
    study_id, drawer = new_study(house, Protocol(min_repeat_distance=15)), Drawer()
    before = everything(house.db)
    for attempt in (
        lambda: check_plan(house.db, house.coordinator, study_id, house.plan(**plan)),
        lambda: open_round(house.db, house.coordinator, study_id, house.plan(**plan), drawer, gate=open_gate),
    ):
        with pytest.raises((StudyError, GeneratorError), match=message):
            attempt()
    assert drawer.asked == []
    assert everything(house.db) == before


def test_an_unknown_field_of_a_plan_is_refused() -> None:
    with pytest.raises(StudyError, match="blinding"):
        RoundPlan.from_dict({"cases": 24, "blinding": "double"})


def test_only_coordinators_and_admins_open_rounds(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = new_study(house)
    for person in (house.readers[0], house.researcher):
        with pytest.raises(NotAllowed):
            open_round(house.db, person, study_id, house.plan(), Drawer(), gate=open_gate)
    open_round(house.db, house.admin, study_id, house.plan(), Drawer(), gate=open_gate)


def test_a_study_needs_readers_and_must_be_blind(house: Hospital) -> None:
    add_recordings(house.db, 12)
    empty = create_study(house.db, house.coordinator, "No readers", Protocol(), [])
    with pytest.raises(StudyError, match="Add readers"):
        check_plan(house.db, house.coordinator, empty, house.plan())
    study_id = new_study(house)
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    case = next_case(house.db, house.readers[0], round_id)
    assert case is not None
    submit(house.db, house.readers[0], case.code, answer(), just_now())
    ending.ask(house.db, house.coordinator, study_id)
    with pytest.raises(StudyError, match="withdraw"):
        check_plan(house.db, house.coordinator, study_id, house.plan(seed=6))
    unblinding.confirm(house.db, house.researcher, study_id)
    with pytest.raises(StudyError, match="was unblinded"):
        check_plan(house.db, house.coordinator, study_id, house.plan(seed=6))


# ---- drawing ----


def test_rejected_samples_are_replaced_from_the_same_seed_and_kept(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id, drawer = new_study(house), Drawer(reject=frozenset({0, 2}))
    open_round(house.db, house.coordinator, study_id, house.plan(), drawer, gate=open_gate)
    assert [(request.rhythm, request.n, first) for request, first in drawer.asked] == [("NSR", 3, 0), ("NSR", 5, 3), ("AF", 3, 0), ("AF", 5, 3)]
    with house.db.read() as session:
        assert sorted(session.scalars(select(Drawing.number))) == [1, 1, 3, 3, 4, 4]
        rejected = session.execute(select(Rejection.rhythm, Rejection.number, Rejection.reason, Rejection.seed)).all()
        plan = session.scalars(select(Round.plan)).one()
    assert sorted((rhythm, number, reason) for rhythm, number, reason, _seed in rejected) == [
        (rhythm, number, "flat lead") for rhythm in ("AF", "NSR") for number in (0, 2)
    ]
    assert {seed for *_rest, seed in rejected} == {request.seed for request, _first in drawer.asked}
    drawn = {"accepted": 3, "rejected": 2, "reasons": {"flat lead": 2}}
    assert plan["drawn"] == {"NSR": drawn, "AF": drawn}
    assert "4 of 10 samples were rejected (40.0 %): flat lead: 4." in plan["too many rejected"]


def test_a_generator_that_is_mostly_rejected_opens_nothing(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = new_study(house)
    before = everything(house.db)
    with pytest.raises(StudyError, match=r"of 8 NSR samples were rejected \(flat lead: 8\)"):
        open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(reject=frozenset(range(100))), gate=open_gate)
    assert everything(house.db) == before


def test_strips_without_provenance_are_not_shown(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = new_study(house)

    def draw(request: Any, *, first: int = 0) -> Sequence[Sample]:
        return [Sample(one.number, one.counts, one.rejected, {}) for one in Drawer()(request, first=first)]

    with pytest.raises(StudyError, match="which checkpoint"):
        open_round(house.db, house.coordinator, study_id, house.plan(), draw, gate=open_gate)


def test_the_same_seed_twice_is_refused_before_the_gate(house: Hospital) -> None:
    add_recordings(house.db, 12)
    first, second = new_study(house), new_study(house, title="Another study")
    open_round(house.db, house.coordinator, first, house.plan(), Drawer(), gate=open_gate)
    before = everything(house.db)
    with pytest.raises(StudyError, match="Choose another seed"):
        open_round(house.db, house.coordinator, second, house.plan(), Drawer(), gate=open_gate)
    assert everything(house.db) == before


# ---- the leak gate ----


def but_for_the_trail(rows: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in rows.items() if name != "audit"}


def test_a_shut_gate_leaves_nothing_half_made(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = new_study(house)
    before = everything(house.db)
    with pytest.raises(StudyError, match=r"shut.*AUC 0.99, p = 0.001\), offset most of all. Choose others. Nothing was stored but a note"):
        open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(reject=frozenset({1})), gate=shut_gate)
    assert but_for_the_trail(everything(house.db)) == but_for_the_trail(before)


def test_who_tries_seed_after_seed_until_the_gate_opens_is_seen(house: Hospital) -> None:
    """Each refusal stands in the trail, without what would tell arms: no seed, no strip."""
    add_recordings(house.db, 6)
    study_id, other = new_study(house), new_study(house, title="Another study")
    assert studies.study(house.db, house.coordinator, study_id).refused_openings == 0
    for seed in (5, 6):
        with pytest.raises(StudyError, match="gate is shut"):
            open_round(house.db, house.coordinator, study_id, house.plan(seed=seed), Drawer(), gate=shut_gate)
    with house.db.read() as session:
        notes = export.trail(session, f"study {study_id}", "round refused by the leak gate")
        audit.verify(session)
    assert [(note.person_id, note.detail) for note in notes] == 2 * [
        (house.coordinator.id, {"verdict": "refuse", "auc": 0.99, "p_value": 0.001, "worst_feature": "offset", "remedy": "Choose others."})
    ]
    open_round(house.db, house.coordinator, study_id, house.plan(seed=7), Drawer(), gate=open_gate)
    assert studies.study(house.db, house.coordinator, study_id).refused_openings == 2
    assert studies.study(house.db, house.coordinator, other).refused_openings == 0


def test_the_gate_sees_the_strips_of_the_round(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = new_study(house)
    seen: list[Any] = []

    def gate(real: Sequence[NDArray[np.int16]], synthetic: Sequence[NDArray[np.int16]], seed: int) -> dict[str, Any]:
        seen.extend([real, synthetic, seed])
        return open_gate(real, synthetic, seed)

    open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=gate)
    assert (len(seen[0]), len(seen[1]), seen[2]) == (6, 6, gate_seed(5))


def test_the_gate_itself_opens_for_arms_of_one_make(house: Hospital) -> None:
    add_recordings(house.db, 6)
    round_id = open_round(house.db, house.coordinator, new_study(house), house.plan(), Drawer())
    with house.db.read() as session:
        report = stored.round_by_id(session, round_id).leak
    assert report["verdict"] in ("open", "warn")
    assert (report["real"], report["synthetic"], report["seed"]) == (6, 6, gate_seed(5))
    assert 0 <= report["auc"] <= 1
    assert 0 < report["p_value"] <= 1
    json.dumps(report, allow_nan=False)


def test_the_gate_itself_shuts_on_an_offset(house: Hospital) -> None:
    add_recordings(house.db, 20)
    study_id = new_study(house)
    before = everything(house.db)

    def draw(request: Any, *, first: int = 0) -> Sequence[Sample]:
        drawn = Drawer()(request, first=first)
        return [replace(one, counts=one.counts + np.int16(3)) for one in drawn if one.counts is not None]

    with pytest.raises(StudyError, match=r"gate is shut.*offset most of all.*canonical form.*Nothing was stored but a note"):
        open_round(house.db, house.coordinator, study_id, house.plan(cases=24), draw)
    assert but_for_the_trail(everything(house.db)) == but_for_the_trail(before)


def test_the_smallest_arm_is_the_gate_s() -> None:
    assert leak.FOLDS == round_plan.SMALLEST_ARM


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_round_of_one_arm_has_nothing_to_leak(house: Hospital, share: float) -> None:
    add_recordings(house.db, 6)
    study_id = new_study(house)
    open_round(house.db, house.coordinator, study_id, house.plan(synthetic_share=share), Drawer(), gate=shut_gate)
    with house.db.read() as session:
        assert set(session.scalars(select(Truth.arm).join(ReadingCase, ReadingCase.strip_id == Truth.strip_id))) == {"synthetic" if share else "real"}
        assert session.scalars(select(Round.leak)).one() == {"verdict": "open", "reason": rounds.ONE_ARM}


def test_progress_ends_at_its_total(house: Hospital) -> None:
    add_recordings(house.db, 6)
    told: list[tuple[int, int, str]] = []
    open_round(house.db, house.coordinator, new_study(house), house.plan(), Drawer(), lambda *news: told.append(news), gate=open_gate)
    assert told[0] == (0, 7, "Drawing 3 NSR strips")
    assert told[-1][:2] == (7, 7)


def test_nothing_is_drawn_or_tested_inside_a_transaction(house: Hospital) -> None:
    """While the generator and the gate work, others can write."""
    add_recordings(house.db, 6)
    study_id = new_study(house)

    class Writing(Drawer):
        def __call__(self, request: Any, *, first: int = 0) -> Sequence[Sample]:
            new_study(house, title=f"Meanwhile {request.rhythm}")
            return super().__call__(request, first=first)

    def gate(*given: Any) -> dict[str, Any]:
        new_study(house, title="Meanwhile, the gate")
        return open_gate(*given)

    assert open_round(house.db, house.coordinator, study_id, house.plan(), Writing(), gate=gate)


def test_what_changed_meanwhile_is_noticed(house: Hospital) -> None:
    add_recordings(house.db, 3)
    study_id = new_study(house, Protocol(washout_days=0))

    def gate(*given: Any) -> dict[str, Any]:
        open_round(house.db, house.coordinator, study_id, house.plan(seed=9), Drawer(), gate=open_gate)
        return open_gate(*given)

    with pytest.raises(StudyError, match=r"Too few recordings|opened meanwhile"):
        open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=gate)
    assert everything(house.db)["round"] == 1


# ---- stand-ins ----


def test_a_study_that_is_not_a_demo_refuses_stand_ins(house: Hospital) -> None:
    add_recordings(house.db, 20, stand_ins=True)
    study_id = new_study(house)
    with pytest.raises(StudyError, match="3 NSR needed, 0 there"):
        open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)


def test_a_demo_study_takes_stand_ins_only_and_opens_whatever_the_gate_says(db: Database) -> None:
    house = hospital(db, demo=True)
    add_recordings(db, 6)
    study_id = new_study(house)
    with pytest.raises(StudyError, match="3 NSR needed, 0 there"):
        check_plan(db, house.coordinator, study_id, house.plan())
    add_recordings(db, 6, stand_ins=True, first=100)
    open_round(db, house.coordinator, study_id, house.plan(), Drawer(), gate=shut_gate)
    with db.read() as session:
        arms = session.execute(select(Truth.arm, Truth.stand_in).join(ReadingCase, ReadingCase.strip_id == Truth.strip_id)).all()
        report = session.scalars(select(Round.leak)).one()
    assert set(arms) == {("real", True), ("synthetic", False)}
    assert (report["verdict"], report["opened_all_the_same"]) == ("refuse", rounds.OPENED_IN_A_DEMO)
    assert studies.study(db, house.coordinator, study_id).refused_openings == 0


def test_a_stand_in_that_slips_through_the_choice_is_stopped_at_the_end(house: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    add_recordings(house.db, 6)
    add_recordings(house.db, 6, stand_ins=True, first=100)
    study_id = new_study(house)
    before = everything(house.db)
    choose, arms = rounds.allocation.choose_real, rounds.truth.arms_for_opening
    with house.db.read() as session:
        wrong = arms(session, study_id, stand_ins=True)
    monkeypatch.setattr(rounds.allocation, "choose_real", lambda available, wanted, seed: choose(wrong, wanted, seed))
    with pytest.raises(StudyError, match="stand-in"):
        open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    assert everything(house.db) == before
