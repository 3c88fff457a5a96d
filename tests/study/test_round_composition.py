"""What a round is made of beyond its scored cases: anchors and rotating cases, repeats of earlier rounds, controls."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select, update

from generator.noise import noise
from generator.simulate import noisy
from generator.strip import to_bytes
from storage import audit, strips
from storage import studies as stored
from storage.database import Database
from storage.tables import Drawing, Placement, ReadingCase, Recording, Strip, Truth
from study import round_plan, studies
from study.errors import NotAllowed, StudyError
from study.overview import TELLING
from study.protocol import Protocol
from study.reading import next_case, submit
from study.rounds import check_plan, open_round
from study.studies import create_study
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def new_study(house: Hospital, protocol: Protocol | None = None, title: str = "Sinus rhythm") -> int:
    return create_study(house.db, house.coordinator, title, protocol or Protocol(), house.reader_ids)


# ---- anchors and rotating cases ----


def read_by(db: Database, study_id: int, round_id: int) -> dict[int, list[int]]:
    """Reader id -> case ids in the reader's order, of the first phase."""
    with db.read() as session:
        rows = [one for one in stored.placements(session, study_id) if one.round_id == round_id and one.phase == 1]
    return {reader: [one.case_id for one in rows if one.reader_id == reader] for reader in sorted({one.reader_id for one in rows})}


def arms(db: Database) -> dict[int, tuple[str, str]]:
    """Case id -> (arm, rhythm), looked up where only tests may."""
    query = select(ReadingCase.id, Truth.arm, Strip.rhythm).join(Truth, Truth.strip_id == ReadingCase.strip_id).join(Strip)
    with db.read() as session:
        return {case: (arm, rhythm) for case, arm, rhythm in session.execute(query)}


def test_all_read_the_anchors_and_the_others_rotate(house: Hospital) -> None:
    """24 cases: 2 repeats, 2 controls, 8 anchors, 12 of a pool of 24 that two readers of two sites read."""
    add_recordings(house.db, 20)
    study_id, drawer = new_study(house), Drawer()
    plan = house.plan(cases=24, repeat_share=0.1, controls=1, anchors=8, readings=2)
    round_id = open_round(house.db, house.coordinator, study_id, plan, drawer, gate=open_gate)
    given, cells = read_by(house.db, study_id, round_id), arms(house.db)
    with house.db.read() as session:
        cases = {case.id: case for case in stored.cases(session, study_id)}
        opened = stored.round_by_id(session, round_id)
    assert [len(own) for own in given.values()] == [24] * 4
    assert opened.cases == len(cases) == 36
    scored = [case.id for case in cases.values() if case.role == "scored"]
    times = Counter(case for own in given.values() for case in own)
    assert Counter(times[case] for case in scored) == {4: 8, 2: 24}
    assert all(times[case.id] == 4 for case in cases.values() if case.role != "scored")
    anchors = [case for case in scored if times[case] == 4]
    assert Counter(cells[case] for case in anchors) == dict.fromkeys(cells.values(), 2)
    for own in given.values():
        assert Counter(cells[case] for case in own if times[case] == 2) == dict.fromkeys(cells.values(), 3)
    repeats = [case for case in cases.values() if case.role == "repeat"]
    assert {case.repeat_of for case in repeats} <= set(anchors)
    assert all(own.index(case.id) - own.index(case.repeat_of) >= 10 for own in given.values() for case in repeats if case.repeat_of)
    north, south = set(house.reader_ids[:2]), set(house.reader_ids[2:])
    for case in scored:
        if times[case] == 2:
            readers = {reader for reader, own in given.items() if case in own}
            assert len(readers & north) == len(readers & south) == 1
    assert opened.plan["achieved"]["rotation"] == {"anchors": 8, "pool": 24, "readers": 4}
    assert sum(request.n for request, _first in drawer.asked) == 16


def test_the_same_seed_gives_the_same_shares(tmp_path: Any) -> None:
    made = []
    for name in "ab":
        db = Database(f"sqlite:///{tmp_path / name}.db")
        db.migrate()
        house = hospital(db)
        add_recordings(db, 20)
        study_id = new_study(house)
        plan = house.plan(cases=24, controls=1, anchors=6, readings=3)
        made.append(read_by(db, study_id, open_round(db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)))
        db.close()
    assert made[0] == made[1]


def test_an_open_round_without_anchors_is_what_it_was(house: Hospital) -> None:
    """The new fields left alone change nothing: the placements of the first release, by their hash."""
    add_recordings(house.db, 20)
    study_id = new_study(house)
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(cases=24, repeat_share=0.1), Drawer(), gate=open_gate)
    given = read_by(house.db, study_id, round_id)
    assert hashlib.sha256(json.dumps(list(given.values())).encode()).hexdigest()[:16] == "1686e8bd64a03b85"


def test_who_comes_later_gets_a_share_and_nobody_s_order_changes(house: Hospital) -> None:
    add_recordings(house.db, 20)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:3])
    plan = house.plan(cases=24, repeat_share=0.1, controls=1, anchors=8, readings=2)
    round_id = open_round(house.db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)
    before, cells = read_by(house.db, study_id, round_id), arms(house.db)
    studies.add_readers(house.db, house.coordinator, study_id, house.reader_ids)
    after = read_by(house.db, study_id, round_id)
    late = house.reader_ids[3]
    assert {reader: own for reader, own in after.items() if reader != late} == before
    common = set.intersection(*(set(own) for own in before.values()))
    assert len(after[late]) == len(set(after[late])) == 24
    assert common <= set(after[late])
    assert len(common) == 12
    assert sum(cells[case][1] == "AF" for case in set(after[late]) - common) == 6
    with house.db.read() as session:
        assert Counter(stored.round_by_id(session, round_id).plan["achieved"]["rotation"]) == {"anchors": 8, "pool": 18, "readers": 3}


def test_readers_added_while_the_strips_are_drawn_are_noticed_where_it_matters(house: Hospital) -> None:
    add_recordings(house.db, 20)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:3])

    def gate(*given: Any) -> dict[str, Any]:
        studies.add_readers(house.db, house.coordinator, study_id, house.reader_ids)
        return open_gate(*given)

    with pytest.raises(StudyError, match="Readers were added meanwhile"):
        open_round(house.db, house.coordinator, study_id, house.plan(cases=20, anchors=8, readings=2), Drawer(), gate=gate)


def test_a_preview_is_what_the_round_becomes(house: Hospital) -> None:
    study_id = new_study(house)
    plan = house.plan(cases=24, repeat_share=0.1, controls=1, anchors=8, readings=3)
    made = round_plan.preview(house.db, house.coordinator, study_id, plan)  # without a recording in the database
    words = round_plan.in_words(made)
    assert "8 scored that all read, 12 scored of a pool of 16, each read by 3, 2 repeated, 2 controls" in words
    assert "The round has 28 cases and takes 12 recordings (6 NSR, 6 AF) and 12 synthetic strips (6 NSR, 6 AF)" in words
    assert "about ±20 percentage points" in words
    with pytest.raises(NotAllowed):
        round_plan.preview(house.db, house.readers[0], study_id, plan)
    with pytest.raises(StudyError, match="readings"):
        round_plan.preview(house.db, house.coordinator, study_id, house.plan(cases=24, anchors=8, readings=5))


# ---- repeats of earlier rounds ----


def test_cases_of_an_earlier_round_are_shown_again_once(house: Hospital) -> None:
    add_recordings(house.db, 40)
    study_id = new_study(house, Protocol(washout_days=0))
    first = open_round(house.db, house.coordinator, study_id, house.plan(cases=20, repeat_share=0.1, seed=1), Drawer(), gate=open_gate)
    again = house.plan(cases=20, repeat_share=0.1, earlier_repeats=0.2, seed=2)
    second = open_round(house.db, house.coordinator, study_id, again, Drawer(), gate=open_gate)
    third = open_round(house.db, house.coordinator, study_id, replace(again, seed=3), Drawer(), gate=open_gate)
    with house.db.read() as session:
        cases = {case.id: case for case in stored.cases(session, study_id)}
        plan = stored.round_by_id(session, second).plan
    earlier = [case for case in cases.values() if case.repeat_of and cases[case.repeat_of].round_id != case.round_id]
    assert Counter(case.round_id for case in earlier) == {second: 4, third: 4}
    originals = [case.repeat_of for case in cases.values() if case.repeat_of]
    assert len(originals) == len(set(originals)) == 2 + 6 + 6  # never twice, not even within its own round
    for case in earlier:
        original = cases[case.repeat_of or 0]
        assert (case.role, original.role, case.strip_id) == ("repeat", "scored", original.strip_id)
    assert Counter(cases[case.repeat_of or 0].rhythm for case in earlier if case.round_id == second) == {"NSR": 2, "AF": 2}
    assert {len(own) for round_id in (first, second, third) for own in read_by(house.db, study_id, round_id).values()} == {20}
    assert (plan["achieved"]["earlier repeats"], plan["achieved"]["earlier repeat"]) == (4, 0.2)


def test_only_what_every_reader_was_given_is_shown_again(house: Hospital) -> None:
    add_recordings(house.db, 40)
    study_id = new_study(house, Protocol(washout_days=0))
    plan = house.plan(cases=20, anchors=4, readings=2, seed=1)
    first = open_round(house.db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)
    common = set.intersection(*(set(own) for own in read_by(house.db, study_id, first).values()))
    with pytest.raises(StudyError, match=r"earlier_repeats: 5 cases of earlier rounds are needed, 4 that every reader was given"):
        check_plan(house.db, house.coordinator, study_id, house.plan(cases=20, earlier_repeats=0.25, seed=2))
    open_round(house.db, house.coordinator, study_id, house.plan(cases=20, earlier_repeats=0.15, seed=2), Drawer(), gate=open_gate)
    with house.db.read() as session:
        again = {case.repeat_of for case in stored.cases(session, study_id) if case.repeat_of}
    assert len(again) == 3
    assert again <= common


def test_the_first_round_has_no_earlier_one(house: Hospital) -> None:
    add_recordings(house.db, 12)
    with pytest.raises(StudyError, match="no earlier round"):
        check_plan(house.db, house.coordinator, new_study(house), house.plan(earlier_repeats=0.1))


def test_who_comes_later_sees_again_what_they_were_given(house: Hospital) -> None:
    add_recordings(house.db, 40)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(washout_days=0), house.reader_ids[:3])
    plan = house.plan(cases=20, anchors=6, readings=3, seed=1)  # three readers of three: each reads all
    first = open_round(house.db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)
    second = open_round(house.db, house.coordinator, study_id, house.plan(cases=20, earlier_repeats=0.2, seed=2), Drawer(), gate=open_gate)
    studies.add_readers(house.db, house.coordinator, study_id, house.reader_ids)
    late = house.reader_ids[3]
    given = {round_id: read_by(house.db, study_id, round_id) for round_id in (first, second)}
    assert [len(given[round_id][late]) for round_id in (first, second)] == [20, 20]
    with house.db.read() as session:
        again = {case.repeat_of for case in stored.cases(session, study_id) if case.repeat_of}
    assert again <= set(given[first][late])


# ---- controls ----


def test_controls_are_obvious_outside_the_gate_and_balanced(house: Hospital) -> None:
    add_recordings(house.db, 10)
    with house.db.write() as session:
        loud = strips.NewRecording(to_bytes(noisy(7)), "NSR", "test", "loud", "l" * 64, 100.0)
        loud_id = strips.add_recording(session, loud)
        louder_af = strips.NewRecording(to_bytes(3 * noisy(8)), "AF", "test", "louder", "m" * 64, 100.0)
        strips.add_recording(session, louder_af)
    study_id, seen = new_study(house), list[int]()

    def gate(real: Sequence[NDArray[np.int16]], synthetic: Sequence[NDArray[np.int16]], seed: int) -> dict[str, Any]:
        seen.extend([len(real), len(synthetic)])
        return open_gate(real, synthetic, seed)

    # a seed whose scored cases do not take the loud recording
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(cases=16, controls=2, seed=5), Drawer(), gate=gate)
    cells = arms(house.db)
    with house.db.read() as session:
        cases = [case for case in stored.cases(session, study_id) if case.role == "control"]
        drawn = session.scalars(select(Drawing).where(Drawing.purpose == "control")).all()
        opened = stored.round_by_id(session, round_id)
        audit.verify(session)
    assert Counter(cells[case.id] for case in cases) == {("synthetic", "NSR"): 2, ("real", "NSR"): 2}
    assert loud_id in {case.strip_id for case in cases}
    assert {(one.checkpoint, one.sampler) for one in drawn} == {("simulator", "simulator")}
    assert seen == [6, 6]
    assert {len(own) for own in read_by(house.db, study_id, round_id).values()} == {16}
    assert max(opened.plan["control strips"]["noise of the recorded (microvolts)"]) == pytest.approx(noise(noisy(7)), abs=0.1)
    told = json.dumps({key: value for key, value in opened.plan.items() if key not in TELLING})
    assert not any(str(one.seed) in told for one in drawn)
    assert {one.seed for one in drawn} == {opened.plan["seeds"]["control 1"], opened.plan["seeds"]["control 2"]}


def test_a_control_needs_a_recording_of_its_own(house: Hospital) -> None:
    add_recordings(house.db, 3)
    study_id = new_study(house)
    check_plan(house.db, house.coordinator, study_id, house.plan(cases=12))
    with pytest.raises(StudyError, match="4 NSR needed, 3 there"):
        check_plan(house.db, house.coordinator, study_id, house.plan(cases=14, controls=1))


def test_a_demo_s_controls_are_simulated_and_say_so(db: Database) -> None:
    house = hospital(db, demo=True)
    add_recordings(db, 3, stand_ins=True)
    study_id = new_study(house)
    open_round(db, house.coordinator, study_id, house.plan(cases=14, controls=1), Drawer(), gate=open_gate)
    with db.read() as session:
        rows = session.execute(
            select(Truth.arm, Truth.stand_in).join(ReadingCase, ReadingCase.strip_id == Truth.strip_id).where(ReadingCase.role == "control")
        ).all()
        recorded = session.scalars(select(Recording).where(Recording.record.startswith("control-"))).one()
    assert set(rows) == {("real", True), ("synthetic", False)}
    assert (recorded.collection, len(recorded.patient)) == ("simulator", 64)


def test_the_first_judgement_freezes_the_protocol_be_it_of_a_control(house: Hospital) -> None:
    """Otherwise a control at position 1 would leave the protocol open once somebody has read under it."""
    add_recordings(house.db, 40)
    study_id = new_study(house)
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(cases=18, controls=3), Drawer(), gate=open_gate)
    with house.db.write() as session:  # a control to the front of this reader's order
        reader = house.readers[0]
        control = next(case.id for case in stored.cases(session, study_id) if case.role == "control")
        of_reader = (Placement.round_id == round_id, Placement.reader_id == reader.id)
        session.execute(update(Placement).where(*of_reader, Placement.case_id == control).values(position=0))
    case = next_case(house.db, reader, round_id)
    assert case is not None
    assert case.position == 0
    assert studies.study(house.db, house.coordinator, study_id).frozen_at is None
    submit(house.db, reader, case.code, answer(), just_now())
    assert studies.study(house.db, house.coordinator, study_id).frozen_at is not None
