from __future__ import annotations

import pytest
from sqlalchemy import select

from storage import signatures, truth
from storage.database import Database
from storage.errors import StorageError
from storage.tables import AuditEntry
from study import reading, unblinding
from study.errors import NotAllowed, StudyError
from study.protocol import Protocol
from study.rounds import open_round
from study.studies import add_readers, create_study, studies, study
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


def test_two_people_unblind_a_study_that_is_read_through(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    assert study(house.db, house.coordinator, study_id).read_through
    assert study(house.db, house.coordinator, study_id).signed_through
    unblinding.ask(house.db, house.coordinator, study_id)
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


def test_one_person_is_not_enough(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(StudyError, match="one person asks"):
        unblinding.confirm(house.db, house.coordinator, study_id)
    unblinding.ask(house.db, house.coordinator, study_id)
    with pytest.raises(StudyError, match="Another person"):
        unblinding.confirm(house.db, house.coordinator, study_id)
    with pytest.raises(StudyError, match="asked for already"):
        unblinding.ask(house.db, house.researcher, study_id)
    with pytest.raises(StorageError, match="blind"):
        arms(house, study_id)


def test_readers_neither_ask_nor_confirm(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(NotAllowed):
        unblinding.ask(house.db, house.readers[3], study_id)
    unblinding.ask(house.db, house.coordinator, study_id)
    with pytest.raises(NotAllowed):
        unblinding.confirm(house.db, house.readers[3], study_id)
    with pytest.raises(NotAllowed):
        unblinding.withdraw(house.db, house.readers[3], study_id)


def test_an_early_end_needs_a_reason_that_is_logged(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    with pytest.raises(StudyError, match="nothing to unblind"):
        unblinding.ask(house.db, house.coordinator, study_id, reason="no time")
    read_through(house, round_id, readers=1)
    for reason in (None, "", "   "):
        with pytest.raises(StudyError, match="10 of 20 judgements"):
            unblinding.ask(house.db, house.coordinator, study_id, reason=reason)
    unblinding.ask(house.db, house.coordinator, study_id, reason="Dr. Ben has left.")
    with house.db.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert entry.detail == {"done": 10, "total": 20, "signed": 1, "to sign": 2, "reason": "Dr. Ben has left."}


def test_a_round_that_is_read_and_not_signed_needs_a_reason_that_is_logged(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id, readers=1)
    read_through(house, round_id, sign=False)
    detail = study(house.db, house.coordinator, study_id)
    assert (detail.read_through, detail.signed_through) == (True, False)
    assert [(reader.signed, reader.rounds, reader.signed_at is not None) for reader in detail.readers] == [(1, 1, True), (0, 1, False)]
    assert [reader.signed for reader in detail.rounds[0].readers] == [1, 0]
    with pytest.raises(StudyError, match="read but not signed: 1 of 2 signatures"):
        unblinding.ask(house.db, house.coordinator, study_id, reason=" ")
    unblinding.ask(house.db, house.coordinator, study_id, reason="Dr. Ben cannot be reached.")
    with house.db.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert entry.detail == {"done": 20, "total": 20, "signed": 1, "to sign": 2, "reason": "Dr. Ben cannot be reached."}


def test_a_request_can_be_withdrawn(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    read_through(house, round_id)
    with pytest.raises(StudyError, match="Nobody has asked"):
        unblinding.withdraw(house.db, house.coordinator, study_id)
    unblinding.ask(house.db, house.coordinator, study_id)
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
    unblinding.ask(house.db, house.coordinator, study_id, reason="a pilot")
    reading.submit(house.db, reader, following.code, answer(), just_now())  # asked is not unblinded
    unblinding.confirm(house.db, house.admin, study_id)
    with pytest.raises(StudyError, match="no more judgements"):
        reading.next_case(house.db, reader, round_id)
    with pytest.raises(StudyError, match="no more judgements"):
        reading.submit(house.db, reader, following.code, answer(), just_now())
    with pytest.raises(StudyError, match="no more judgements"):
        reading.revise(house.db, reader, first.code, answer(6), just_now())
    assert reading.rounds_to_read(house.db, reader) == []
    for again in (unblinding.ask, unblinding.confirm, unblinding.withdraw):
        with pytest.raises(StudyError, match="was unblinded"):
            again(house.db, house.researcher, study_id)


def test_another_study_stays_blind(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    other = create_study(house.db, house.coordinator, "Another study", Protocol(), house.reader_ids)
    open_round(house.db, house.coordinator, other, house.plan(cases=10, seed=8), Drawer(), gate=open_gate)
    read_through(house, round_id)
    unblinding.ask(house.db, house.coordinator, study_id)
    unblinding.confirm(house.db, house.researcher, study_id)
    assert len(arms(house, study_id)) == 10
    with pytest.raises(StorageError, match="blind"):
        arms(house, other)
    with pytest.raises(StorageError, match="no study"):
        arms(house, 999)
