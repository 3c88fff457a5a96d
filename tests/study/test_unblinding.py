from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from storage import audit, signatures, truth
from storage import people as stored_people
from storage.database import Database
from storage.errors import StorageError
from storage.tables import AuditEntry
from study import closing, invitations, reading, unblinding
from study.errors import NotAllowed, StudyError
from study.people import Person, person_by_id
from study.protocol import Protocol
from study.roles import Role
from study.rounds import open_round
from study.studies import add_readers, create_study, studies, study
from tests import ending
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


@pytest.fixture
def opened(house: Hospital) -> tuple[int, int]:
    """(study, round of 10 cases) for two readers."""
    add_recordings(house.db, 8)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:2])
    return study_id, open_round(house.db, house.coordinator, study_id, house.plan(cases=10), Drawer(), gate=open_gate)


def read_through(house: Hospital, round_id: int, readers: int = 2, *, sign: bool = True) -> None:
    for reader in house.readers[:readers]:
        while case := reading.next_case(house.db, reader, round_id):
            reading.submit(house.db, reader, case.code, answer(), just_now())
        if sign:  # without the password that study.signing asks for
            with house.db.write() as session:
                signatures.add(session, round_id, reader.id, "f" * 64)


def arms(house: Hospital, study_id: int) -> dict[int, truth.Arm]:
    with house.db.read() as session:
        return truth.arms_after_unblinding(session, study_id)


def add(house: Hospital, username: str, role: Role, site: str | None) -> Person:
    with house.db.write() as session:
        new = stored_people.NewPerson(username, username.title(), role.value, site)
        person_id = stored_people.add(session, new, password_hash=None)
    person = person_by_id(house.db, person_id)
    assert person is not None
    return person


def newest_entry(house: Hospital) -> AuditEntry:
    with house.db.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    return entry


def test_two_people_unblind_a_study_that_is_read_through(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    assert study(house.db, house.coordinator, study_id).closed
    unblinding.ask(house.db, house.coordinator, study_id, "Read and signed by all.")
    detail = study(house.db, house.coordinator, study_id)
    assert (detail.state, detail.unblinding_asked_by, detail.unblinded_at) == ("unblinding asked", "Cora", None)
    with pytest.raises(StorageError, match="blind"):
        arms(house, study_id)
    unblinding.confirm(house.db, house.researcher, study_id)
    detail = study(house.db, house.coordinator, study_id)
    assert (detail.state, detail.unblinded_by) == ("unblinded", "Remy")
    assert sorted(arm.arm for arm in arms(house, study_id).values()) == ["real"] * 5 + ["synthetic"] * 5
    with house.db.read() as session:
        trail = [(entry.action, entry.person_id) for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert trail[-2:] == [("unblinding asked", house.coordinator.id), ("unblinded", house.researcher.id)]
    assert newest_entry(house).detail["snapshot"] == detail.snapshot


def test_one_person_is_not_enough(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(StudyError, match="one person asks"):
        unblinding.confirm(house.db, house.coordinator, study_id)
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    with pytest.raises(StudyError, match="Another person"):
        unblinding.confirm(house.db, house.coordinator, study_id)
    with pytest.raises(StudyError, match="asked for already"):
        unblinding.ask(house.db, house.researcher, study_id, "read")
    with pytest.raises(StorageError, match="blind"):
        arms(house, study_id)


def test_where_people_of_two_hospitals_can_unblind_one_of_each_does(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    same, elsewhere = add(house, "nora", Role.ADMIN, "North"), add(house, "sam", Role.COORDINATOR, "South")
    with pytest.raises(StudyError, match="you belong to none"):
        unblinding.ask(house.db, house.admin, study_id, "read")
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    for other in (same, house.researcher, house.admin):  # of the same hospital, and of none
        with pytest.raises(StudyError, match="Somebody of South has to confirm it"):
            unblinding.confirm(house.db, other, study_id)
    unblinding.confirm(house.db, elsewhere, study_id)
    detail = newest_entry(house).detail
    assert (detail["asked_from"], detail["confirmed_from"]) == ("North", "South")


def test_where_all_are_of_one_hospital_any_two_of_them_do(house: Hospital, opened: tuple[int, int]) -> None:
    """Readers of another hospital are no people who could unblind, nor is somebody who has left."""
    study_id, round_id = opened
    read_through(house, round_id)
    same, gone = add(house, "nora", Role.ADMIN, "North"), add(house, "sam", Role.COORDINATOR, "South")
    with house.db.write() as session:
        stored_people.erase(session, gone.id)
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    unblinding.confirm(house.db, same, study_id)
    assert study(house.db, house.coordinator, study_id).unblinded_by == "Nora"


def test_nobody_confirms_with_an_account_that_the_asker_gave_out(house: Hospital, opened: tuple[int, int]) -> None:
    """Or asks with one and confirms with their own, or does both with two: a hospital is as quickly written as a name."""
    study_id, round_id = opened
    read_through(house, round_id)
    one = invitations.invite(house.db, house.coordinator, "one", "One", Role.RESEARCHER, "South").person
    two = invitations.invite(house.db, house.coordinator, "two", "Two", Role.COORDINATOR, "East").person
    three = invitations.invite(house.db, two, "three", "Three", Role.COORDINATOR, "West").person
    for asks, confirms in ((house.coordinator, one), (one, house.coordinator), (one, two), (house.coordinator, three), (three, one)):
        unblinding.ask(house.db, asks, study_id, "read")
        with pytest.raises(StudyError, match="One person gave out both accounts"):
            unblinding.confirm(house.db, confirms, study_id)
        unblinding.withdraw(house.db, asks, study_id)
    with pytest.raises(StorageError, match="blind"):
        arms(house, study_id)
    other = add(house, "sam", Role.COORDINATOR, "South")
    unblinding.ask(house.db, one, study_id, "read")
    with pytest.raises(StudyError, match="Somebody of East or North or West"):
        unblinding.confirm(house.db, other, study_id)
    unblinding.withdraw(house.db, one, study_id)
    unblinding.ask(house.db, two, study_id, "read")
    unblinding.confirm(house.db, other, study_id)
    assert study(house.db, house.coordinator, study_id).unblinded_by == "Sam"


def test_admins_may_add_anybody_and_ask_or_confirm_with_them(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    one = invitations.invite(house.db, house.admin, "one", "One", Role.RESEARCHER, "North").person
    two = invitations.invite(house.db, house.admin, "two", "Two", Role.COORDINATOR, "North").person
    unblinding.ask(house.db, house.admin, study_id, "read")
    invitations.new_link(house.db, house.admin, one.id)  # with which they could confirm themselves
    with pytest.raises(StudyError, match="after this unblinding was asked for"):
        unblinding.confirm(house.db, one, study_id)
    unblinding.confirm(house.db, two, study_id)
    assert study(house.db, house.coordinator, study_id).unblinded_by == "Two"


def test_who_came_after_the_request_does_not_confirm_it(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    reader = house.readers[3]
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    late = invitations.invite(house.db, house.admin, "late", "Late", Role.RESEARCHER, "North").person
    with pytest.raises(StudyError, match="after this unblinding was asked for"):
        unblinding.confirm(house.db, late, study_id)
    with house.db.write() as session:
        stored_people.set_role(session, reader.id, Role.COORDINATOR, "North")
        audit.append(session, house.admin.id, "role changed", f"person {reader.id}", {})
    with pytest.raises(StudyError, match="after this unblinding was asked for"):
        unblinding.confirm(house.db, replace(reader, role=Role.COORDINATOR), study_id)
    unblinding.withdraw(house.db, house.admin, study_id)
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    unblinding.confirm(house.db, late, study_id)


def test_readers_neither_ask_nor_confirm(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(NotAllowed):
        unblinding.ask(house.db, house.readers[3], study_id, "read")
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    with pytest.raises(NotAllowed):
        unblinding.confirm(house.db, house.readers[3], study_id)
    with pytest.raises(NotAllowed):
        unblinding.withdraw(house.db, house.readers[3], study_id)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, "a\0b"])
def test_a_reason_is_needed_even_where_everything_is_read(house: Hospital, opened: tuple[int, int], reason: str) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(StudyError, match="reason"):
        unblinding.ask(house.db, house.coordinator, study_id, reason)
    assert study(house.db, house.coordinator, study_id).state == "read through"


def test_every_round_has_to_be_closed(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    with pytest.raises(StudyError, match="nothing to unblind"):
        unblinding.ask(house.db, house.coordinator, study_id, reason="no time")
    read_through(house, round_id, readers=1)
    with pytest.raises(StudyError, match="10 of 20 judgements, 1 of 2 signatures"):
        unblinding.ask(house.db, house.coordinator, study_id, reason="Dr. Ben has left.")
    read_through(house, round_id, sign=False)
    assert not study(house.db, house.coordinator, study_id).closed
    with pytest.raises(StudyError, match="20 of 20 judgements, 1 of 2 signatures"):
        unblinding.ask(house.db, house.coordinator, study_id, reason="Dr. Ben has left.")
    closing.close_round(house.db, house.coordinator, study_id, 1, "Dr. Ben  has left.")
    detail = {"from": "open", "to": "closed", "why": "Dr. Ben has left.", "done": 20, "total": 20, "signed": 1, "to sign": 2}
    assert newest_entry(house).detail == detail
    unblinding.ask(house.db, house.coordinator, study_id, "Round 1 is closed.")
    asked = {"from": "blind", "to": "unblinding asked", "why": "Round 1 is closed.", "done": 20, "total": 20, "signed": 1, "to sign": 2}
    assert newest_entry(house).detail == asked


def test_a_closed_round_takes_no_answer_and_no_signature(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id, readers=1, sign=False)
    reader, other = house.readers[:2]
    waiting = reading.next_case(house.db, other, round_id)
    assert waiting is not None
    closing.close_round(house.db, house.coordinator, study_id, 1, "no time")
    for act in (
        lambda: reading.next_case(house.db, other, round_id),
        lambda: reading.submit(house.db, other, waiting.code, answer(), just_now()),
        lambda: reading.revise(house.db, reader, waiting.code, answer(6), just_now()),
    ):
        with pytest.raises(StudyError, match="was closed on"):
            act()
    assert reading.rounds_to_read(house.db, reader) == []
    with pytest.raises(StudyError, match="closed already"):
        closing.close_round(house.db, house.coordinator, study_id, 1, "again")
    with pytest.raises(StudyError, match="no round 7"):
        closing.close_round(house.db, house.coordinator, study_id, 7, "a slip")
    with pytest.raises(NotAllowed):
        closing.close_round(house.db, house.researcher, study_id, 1, "mine")
    add_readers(house.db, house.coordinator, study_id, house.reader_ids)  # who comes now has nothing to read in it
    assert [one.total for one in study(house.db, house.coordinator, study_id).rounds[0].readers] == [10, 10, 0, 0]


def test_a_round_that_all_have_signed_is_closed_until_somebody_joins_it(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(StudyError, match="closed already"):
        closing.close_round(house.db, house.coordinator, study_id, 1, "why not")
    add_readers(house.db, house.coordinator, study_id, house.reader_ids)
    assert not study(house.db, house.coordinator, study_id).closed
    with pytest.raises(StudyError, match="20 of 40 judgements"):
        unblinding.ask(house.db, house.coordinator, study_id, "read")


def test_a_closed_round_holds_nobody_back_in_the_next(house: Hospital) -> None:
    """Whoever leaves cases of an open round unread waits for the wash-out; a closed round is over."""
    add_recordings(house.db, 14)
    study_id = create_study(house.db, house.coordinator, "Two rounds", Protocol(washout_days=7), house.reader_ids[:2])
    first = open_round(house.db, house.coordinator, study_id, house.plan(cases=10), Drawer(), gate=open_gate)
    second = open_round(house.db, house.coordinator, study_id, house.plan(cases=10, seed=6, washout_days=7), Drawer(), gate=open_gate)
    reader = house.readers[0]
    before = {one.round_id: one.starts_at for one in reading.rounds_to_read(house.db, reader)}
    closing.close_round(house.db, house.coordinator, study_id, 1, "postponed")
    after = {one.round_id: one.starts_at for one in reading.rounds_to_read(house.db, reader)}
    assert (set(before), set(after)) == ({first, second}, {second})
    again = {one.round_id: one.starts_at for one in reading.rounds_to_read(house.db, reader)}
    assert after == again  # a moment that stands, not a week from whenever it is asked for


def test_a_request_can_be_withdrawn(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(StudyError, match="Nobody has asked"):
        unblinding.withdraw(house.db, house.coordinator, study_id)
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    with pytest.raises(StudyError, match="withdraw"):
        add_readers(house.db, house.coordinator, study_id, house.reader_ids)
    unblinding.withdraw(house.db, house.admin, study_id)
    with pytest.raises(StudyError, match="one person asks"):
        unblinding.confirm(house.db, house.researcher, study_id)
    assert studies(house.db, house.coordinator)[0].state == "read through"


def test_after_unblinding_nothing_changes_any_more(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    reader = house.readers[0]
    first = reading.next_case(house.db, reader, round_id)
    assert first is not None
    reading.submit(house.db, reader, first.code, answer(), just_now())
    following = reading.next_case(house.db, reader, round_id)
    assert following is not None
    ending.ask(house.db, house.coordinator, study_id)
    with pytest.raises(StudyError, match="closed"):  # what was counted when it was asked for stays so
        reading.submit(house.db, reader, following.code, answer(), just_now())
    unblinding.confirm(house.db, house.admin, study_id)
    with pytest.raises(StudyError, match="no more judgements"):
        reading.next_case(house.db, reader, round_id)
    with pytest.raises(StudyError, match="no more judgements"):
        reading.submit(house.db, reader, following.code, answer(), just_now())
    with pytest.raises(StudyError, match="no more judgements"):
        reading.revise(house.db, reader, first.code, answer(6), just_now())
    assert reading.rounds_to_read(house.db, reader) == []
    for again in (
        lambda: unblinding.ask(house.db, house.researcher, study_id, "again"),
        lambda: unblinding.confirm(house.db, house.researcher, study_id),
        lambda: unblinding.withdraw(house.db, house.researcher, study_id),
        lambda: closing.close_round(house.db, house.coordinator, study_id, 1, "again"),
    ):
        with pytest.raises(StudyError, match="was unblinded"):
            again()


def test_another_study_stays_blind(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    other = create_study(house.db, house.coordinator, "Another study", Protocol(), house.reader_ids)
    open_round(house.db, house.coordinator, other, house.plan(cases=10, seed=8), Drawer(), gate=open_gate)
    read_through(house, round_id)
    unblinding.ask(house.db, house.coordinator, study_id, "read")
    unblinding.confirm(house.db, house.researcher, study_id)
    assert len(arms(house, study_id)) == 10
    with pytest.raises(StorageError, match="blind"):
        arms(house, other)
    with pytest.raises(StorageError, match="no study"):
        arms(house, 999)
