"""Before a round is read a hash binds its seeds; it is shown to everybody, and nothing that opens it leaves before unblinding."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import pytest
from sqlalchemy import select

from storage import commitments, export
from storage import studies as stored
from storage.database import Database
from storage.errors import StorageError
from storage.tables import AuditEntry, Commitment, Round, now
from study import audit_check, commitment, reading
from study.errors import NotAllowed
from study.protocol import Protocol
from study.rounds import open_round
from study.studies import create_study, study
from tests import ending
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate

SEED = 760_713_662


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


@pytest.fixture
def opened(house: Hospital) -> tuple[int, int]:
    add_recordings(house.db, 8)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:2])
    return study_id, open_round(house.db, house.coordinator, study_id, house.plan(cases=10, seed=SEED), Drawer(), gate=open_gate)


def test_the_hash_is_shown_to_coordinators_and_readers_and_stands_in_the_trail(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    [shown] = study(house.db, house.researcher, study_id).rounds
    [to_read] = reading.rounds_to_read(house.db, house.readers[0])
    published = commitment.published(house.db, house.coordinator, study_id)
    assert shown.commitment == to_read.commitment == published["rounds"][0]["commitment"]
    assert len(shown.commitment or "") == 64
    with house.db.read() as session:
        [entry] = export.trail(session, f"round {round_id}", commitment.COMMITTED)
        assert (entry.detail["to"], entry.person_id) == (shown.commitment, house.coordinator.id)
        assert published["audit_trail"]["last_hash"] == session.scalar(select(AuditEntry.hash).order_by(AuditEntry.id.desc()))
    with pytest.raises(NotAllowed):
        commitment.published(house.db, house.readers[0], study_id)


def test_what_opens_it_is_told_after_unblinding_alone(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, round_id = opened
    with house.db.read() as session:
        nonce = session.scalar(select(Commitment.nonce))
        details = json.dumps(list(session.scalars(select(AuditEntry.detail))))
        with pytest.raises(StorageError, match="blind"):
            commitments.revealed(session, study_id)
    assert nonce is not None
    seen = json.dumps([asdict(study(house.db, house.coordinator, study_id)), commitment.published(house.db, house.admin, study_id)], default=str)
    for secret in (nonce, str(SEED)):
        assert secret not in seen + details + repr(reading.rounds_to_read(house.db, house.readers[0]))
    case = reading.next_case(house.db, house.readers[0], round_id)
    assert case is not None
    reading.submit(house.db, house.readers[0], case.code, answer(), just_now())
    ending.end(house.db, house.coordinator, house.researcher, study_id)
    with house.db.read() as session:
        [told] = commitments.revealed(session, study_id)
    assert told.nonce == nonce


def test_another_seed_round_protocol_or_nonce_has_another_hash(house: Hospital, opened: tuple[int, int]) -> None:
    """By code that shares nothing with ours but the list that is hashed."""
    study_id, round_id = opened
    with house.db.read() as session:
        [row] = export.studies.rounds(session, study_id)
        nonce = session.scalar(select(Commitment.nonce)) or ""
        sha256 = commitments.published(session, study_id)[round_id]
    bound = ["blindstrip: seeds of a round", round_id, Protocol().hash(), nonce, SEED, row.plan["seeds"]]
    assert hashlib.sha256(json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == sha256
    assert commitment.digest(round_id, row.protocol_hash, nonce, row.plan) == sha256
    other_seeds = {**row.plan, "seeds": {**row.plan["seeds"], "leak gate": 1}}
    others = [
        commitment.digest(round_id, row.protocol_hash, nonce, {**row.plan, "seed": SEED + 1}),
        commitment.digest(round_id, row.protocol_hash, nonce, other_seeds),
        commitment.digest(round_id + 1, row.protocol_hash, nonce, row.plan),
        commitment.digest(round_id, "0" * 64, nonce, row.plan),
        commitment.digest(round_id, row.protocol_hash, "0" * 64, row.plan),
    ]
    assert len({sha256, *others}) == 6


def test_a_changed_seed_is_named_while_the_study_is_blind(house: Hospital, opened: tuple[int, int]) -> None:
    _study, round_id = opened
    assert audit_check.database(house.db)["commitments"] == 1
    with house.db.write() as session:
        row = session.get(Round, round_id)
        assert row is not None
        row.plan = {**row.plan, "seed": SEED + 1}
    with pytest.raises(StorageError, match=f"The seeds of round {round_id} are not those that were committed to") as told:
        audit_check.database(house.db)
    assert str(SEED) not in str(told.value)


def test_a_study_that_is_said_to_be_unblinded_and_was_not_is_named(house: Hospital, opened: tuple[int, int]) -> None:
    study_id, _round = opened
    with house.db.write() as session:
        stored.change(session, study_id, unblinded_at=now(), unblinded_by=house.admin.id)
    with pytest.raises(StorageError, match=f"The unblinding of study {study_id} is not the one in the audit trail"):
        audit_check.database(house.db)


def test_two_rounds_of_one_seed_have_nonces_of_their_own(house: Hospital, opened: tuple[int, int]) -> None:
    other = create_study(house.db, house.coordinator, "Another", Protocol(), house.reader_ids[:2])
    open_round(house.db, house.coordinator, other, house.plan(cases=10, seed=SEED + 1), Drawer(), gate=open_gate)
    with house.db.read() as session:
        nonces, hashes = zip(*session.execute(select(Commitment.nonce, Commitment.sha256)).all(), strict=True)
    assert len(set(nonces)) == len(set(hashes)) == 2
