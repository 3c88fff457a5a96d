"""A reader whose account was deleted is given nothing more: no round, no practice, and no count of a plan includes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from storage import people as stored_people
from storage import studies as stored
from storage.database import Database
from study.errors import StudyError
from study.practice_round import PracticePlan, open_practice
from study.protocol import Protocol
from study.round_plan import check_plan
from study.rounds import open_round
from study.studies import create_study
from tests.study.hospital import Drawer, Hospital, add_recordings, hospital, open_gate


@pytest.fixture
def house(db: Database) -> Hospital:
    house = hospital(db)
    add_recordings(db, 24)
    return house


def leaves(house: Hospital, *places: int) -> None:
    with house.db.write() as session:
        for place in places:
            stored_people.erase(session, house.reader_ids[place])


def readings(house: Hospital, study_id: int, round_id: int) -> dict[int, Counter[int]]:
    """Reader id -> how often each case of the round was given to them."""
    found: dict[int, Counter[int]] = {}
    for reader in house.reader_ids:
        with house.db.read() as session:
            rounds = {one.id for one in stored.rounds_of_reader(session, reader)}
            placed = [row.case_id for row in stored.placements(session, study_id) if (row.reader_id, row.round_id) == (reader, round_id)]
        if round_id in rounds:
            found[reader] = Counter(placed)
    return found


def test_a_later_round_and_practice_are_given_to_those_who_are_there(house: Hospital) -> None:
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(washout_days=0), house.reader_ids)
    first = open_round(house.db, house.coordinator, study_id, house.plan(cases=10), Drawer(), gate=open_gate)
    leaves(house, 1)
    practice = open_practice(house.db, house.coordinator, study_id, PracticePlan(cases=4, seed=3), Drawer())
    second = open_round(house.db, house.coordinator, study_id, house.plan(cases=10, seed=6), Drawer(), gate=open_gate)
    there = {house.reader_ids[place] for place in (0, 2, 3)}
    assert set(readings(house, study_id, first)) == set(house.reader_ids)  # what was given stays
    assert set(readings(house, study_id, practice)) == set(readings(house, study_id, second)) == there


def test_rotating_cases_are_shared_out_among_those_who_are_there(house: Hospital) -> None:
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids)
    plan = house.plan(cases=12, anchors=6, readings=2)
    with_all = check_plan(house.db, house.coordinator, study_id, plan).composition
    leaves(house, 1)
    composition = check_plan(house.db, house.coordinator, study_id, plan).composition
    assert (with_all.readers, composition.readers) == (4, 3)
    round_id = open_round(house.db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)
    given = readings(house, study_id, round_id)
    assert set(given) == {house.reader_ids[place] for place in (0, 2, 3)}
    assert sorted(Counter(sum(given.values(), Counter[int]()).values()).items()) == [(2, sum(composition.rotating.values())), (3, 6)]


def test_cases_that_all_who_are_there_have_read_can_be_shown_again(house: Hospital) -> None:
    """Somebody who came later, was given none of the first round's cases, and has left."""
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(washout_days=0, min_repeat_distance=0), house.reader_ids[:2])
    open_round(house.db, house.coordinator, study_id, house.plan(cases=10), Drawer(), gate=open_gate)
    with house.db.write() as session:
        stored.add_readers(session, study_id, [house.reader_ids[2]])
    plan = replace(house.plan(cases=20, seed=6), earlier_repeats=0.1)
    with pytest.raises(StudyError, match="earlier"):
        check_plan(house.db, house.coordinator, study_id, plan)
    leaves(house, 2)
    assert check_plan(house.db, house.coordinator, study_id, plan).composition.earlier == 2


def test_a_study_all_of_whose_readers_have_left_opens_nothing(house: Hospital) -> None:
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:2])
    leaves(house, 0, 1)
    with pytest.raises(StudyError, match="has no readers"):
        check_plan(house.db, house.coordinator, study_id, house.plan(cases=10))
