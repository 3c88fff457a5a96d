from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DatabaseError

from storage import audit, judgements, signatures
from storage.database import Database
from storage.errors import StorageError
from storage.tables import AuditEntry, FailedSignIn, Signature, now
from study import reading, sign_in, signing
from study.answers import Answer, Mark
from study.errors import NotAllowed, SignInRefused, StudyError
from study.people import Person
from study.protocol import CUES, Protocol
from study.roles import Role
from study.rounds import open_round
from study.signing import GivenAnswer
from study.studies import add_readers, create_study
from tests import ending
from tests.joining import joined
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate
from tests.study.practising import open_practice
from tests.world import World, make

PASSWORD = "correct horse battery"
CASES = 12


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


@pytest.fixture
def round_id(house: Hospital) -> int:
    add_recordings(house.db, 12)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids)
    return open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)


def study_of(house: Hospital) -> int:
    with house.db.read() as session:
        detail: dict[str, int] = session.scalars(select(AuditEntry.detail).where(AuditEntry.action == "round opened")).one()
    return detail["study"]


@pytest.fixture
def eva(house: Hospital, round_id: int) -> Person:
    """A reader with a password."""
    reader = joined(house.db, house.admin, "eva", "Eva", Role.READER, "South", PASSWORD)
    add_readers(house.db, house.coordinator, study_of(house), [reader.id])
    return reader


def read(house: Hospital, reader: Person, round_id: int, n: int = CASES) -> list[str]:
    codes = []
    for i in range(n):
        case = reading.next_case(house.db, reader, round_id)
        assert case is not None
        assert reading.submit(house.db, reader, case.code, answer(1 + i % 6), just_now())
        codes.append(case.code)
    return codes


def signatures_of(house: Hospital) -> list[Signature]:
    with house.db.read() as session:
        return list(session.scalars(select(Signature)))


def failures(house: Hospital) -> int:
    with house.db.read() as session:
        return len(session.scalars(select(FailedSignIn.id)).all())


# ---- who, when ----


def test_a_round_read_through_is_signed_with_the_password(house: Hospital, eva: Person, round_id: int) -> None:
    read(house, eva, round_id)
    (told,) = reading.rounds_to_read(house.db, eva)
    assert (told.done, told.signed_at) == (CASES, None)
    before = now()
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    (told,) = reading.rounds_to_read(house.db, eva)
    assert told.signed_at is not None
    assert before <= told.signed_at <= now()
    (only,) = signatures_of(house)
    assert (only.round_id, only.reader_id) == (round_id, eva.id)
    with house.db.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert entry is not None
        assert (entry.person_id, entry.action, entry.subject) == (eva.id, "round signed", f"round {round_id}")
        assert entry.detail == {"judgements_sha256": only.judgements_sha256}
        audit.verify(session)


@pytest.mark.parametrize("read_so_far", [0, CASES - 1])
def test_a_round_with_cases_left_cannot_be_signed(house: Hospital, eva: Person, round_id: int, read_so_far: int) -> None:
    read(house, eva, round_id, read_so_far)
    with pytest.raises(StudyError, match=r"cases without your answer\. Read them first, then sign"):
        signing.sign(house.db, eva, round_id, PASSWORD)
    assert signatures_of(house) == []
    assert failures(house) == 0  # the password was right


@pytest.mark.parametrize("wrong", ["", "correct horse battery ", "CORRECT HORSE BATTERY", "nul\0", "half a pair \ud83d"])
def test_a_wrong_password_signs_nothing_and_counts(house: Hospital, eva: Person, round_id: int, wrong: str) -> None:
    read(house, eva, round_id)
    with pytest.raises(SignInRefused, match=r"The password is wrong\. Nothing was signed"):
        signing.sign(house.db, eva, round_id, wrong)
    assert signatures_of(house) == []
    assert failures(house) == 1
    (told,) = reading.rounds_to_read(house.db, eva)
    assert told.signed_at is None
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    assert failures(house) == 0


def test_five_wrong_passwords_lock_signing_and_signing_in(house: Hospital, eva: Person, round_id: int) -> None:
    read(house, eva, round_id)
    for _ in range(sign_in.FAILURES):
        with pytest.raises(SignInRefused, match="wrong"):
            signing.sign(house.db, eva, round_id, "guess")
    with pytest.raises(SignInRefused, match=r"Too many wrong passwords\. Wait 1[56] minutes"):
        signing.sign(house.db, eva, round_id, PASSWORD)
    with pytest.raises(SignInRefused, match="Too many"):
        sign_in.sign_in(house.db, "eva", PASSWORD)
    assert signatures_of(house) == []
    with house.db.write() as session:
        session.execute(update(FailedSignIn).values(at=now() - sign_in.FIRST_WAIT - timedelta(seconds=1)))
    assert signing.sign(house.db, eva, round_id, PASSWORD)


def test_failed_sign_ins_count_towards_the_same_lock(house: Hospital, eva: Person, round_id: int) -> None:
    read(house, eva, round_id)
    for _ in range(sign_in.FAILURES - 1):
        with pytest.raises(SignInRefused):
            sign_in.sign_in(house.db, "eva", "guess")
    with pytest.raises(SignInRefused):
        signing.sign(house.db, eva, round_id, "guess")
    with pytest.raises(SignInRefused, match="Too many"):
        signing.sign(house.db, eva, round_id, PASSWORD)


def test_one_reader_s_guesses_lock_nobody_else_out(house: Hospital, eva: Person, round_id: int) -> None:
    other = joined(house.db, house.admin, "fay", "Fay", Role.READER, "South", PASSWORD)
    for _ in range(sign_in.FAILURES):
        with pytest.raises(SignInRefused):
            sign_in.confirm(house.db, other, "guess")
    read(house, eva, round_id)
    assert signing.sign(house.db, eva, round_id, PASSWORD)


def test_somebody_else_s_password_does_not_sign(house: Hospital, eva: Person, round_id: int) -> None:
    joined(house.db, house.admin, "fay", "Fay", Role.READER, "South", "another password")
    read(house, eva, round_id)
    with pytest.raises(SignInRefused):
        signing.sign(house.db, eva, round_id, "another password")


def test_who_has_no_password_and_is_not_of_the_demo_cannot_sign(house: Hospital, round_id: int) -> None:
    ada = house.readers[0]
    read(house, ada, round_id)
    for password in ("", PASSWORD):
        with pytest.raises(SignInRefused):
            signing.sign(house.db, ada, round_id, password)
    assert signatures_of(house) == []


def test_a_second_signature_is_no_second_one(house: Hospital, eva: Person, round_id: int) -> None:
    read(house, eva, round_id)
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    (first,) = signatures_of(house)
    assert not signing.sign(house.db, eva, round_id, PASSWORD)
    (only,) = signatures_of(house)
    assert (only.signed_at, only.judgements_sha256) == (first.signed_at, first.judgements_sha256)
    with house.db.read() as session:
        assert audit.count(session, action="round signed", subject=f"round {round_id}") == 1


def test_who_does_not_read_the_round_cannot_sign_it(house: Hospital, round_id: int) -> None:
    stranger = joined(house.db, house.admin, "fay", "Fay", Role.READER, "South", PASSWORD)
    with pytest.raises(StudyError, match="not among yours"):
        signing.sign(house.db, stranger, round_id, PASSWORD)
    with pytest.raises(StorageError, match="no round"):
        signing.sign(house.db, stranger, 999, PASSWORD)
    assert signing.answers_of_round(house.db, stranger, round_id) == []
    for person in (house.coordinator, house.researcher, house.admin):
        with pytest.raises(NotAllowed):
            signing.sign(house.db, person, round_id, PASSWORD)
        with pytest.raises(NotAllowed):
            signing.answers_of_round(house.db, person, round_id)
    assert failures(house) == 0


def test_after_unblinding_a_round_cannot_be_signed(house: Hospital, eva: Person, round_id: int) -> None:
    read(house, eva, round_id)
    ending.end(house.db, house.coordinator, house.researcher, study_of(house))
    with pytest.raises(StudyError, match="unblinded: its rounds are closed"):
        signing.sign(house.db, eva, round_id, PASSWORD)
    assert signatures_of(house) == []


# ---- what it binds ----


def test_answers_stand_once_they_are_signed(house: Hospital, eva: Person, round_id: int) -> None:
    codes = read(house, eva, round_id)
    assert reading.revise(house.db, eva, codes[2], answer(6), just_now())
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    for code in codes:
        with pytest.raises(StudyError, match="signed this round: its answers stand"):
            reading.revise(house.db, eva, code, answer(1, "AF"), just_now())
        assert not reading.submit(house.db, eva, code, answer(1, "AF"), just_now())
    with house.db.read() as session:
        assert len(judgements.of_round(session, round_id, eva.id)) == CASES
        assert sum(row.revision for row in judgements.of_round(session, round_id, eva.id)) == CASES + 1


def test_others_may_go_on_correcting(house: Hospital, eva: Person, round_id: int) -> None:
    read(house, eva, round_id)
    ada = house.readers[0]
    (code,) = read(house, ada, round_id, 1)
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    assert reading.revise(house.db, ada, code, answer(6), just_now())


def hash_now(house: Hospital, reader: Person, round_id: int) -> str:
    with house.db.read() as session:
        return signing.judgements_hash(session, round_id, reader.id)


def test_the_hash_changes_when_an_answer_is_revised(house: Hospital, eva: Person, round_id: int) -> None:
    codes = read(house, eva, round_id)
    before = hash_now(house, eva, round_id)
    assert hash_now(house, eva, round_id) == before
    assert reading.revise(house.db, eva, codes[5], answer(1), just_now())
    after = hash_now(house, eva, round_id)
    assert after != before
    assert reading.revise(house.db, eva, codes[5], answer(6), just_now())  # back to what it was: a correction all the same
    assert hash_now(house, eva, round_id) not in (before, after)
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    (only,) = signatures_of(house)
    assert only.judgements_sha256 == hash_now(house, eva, round_id)


def test_the_hash_is_made_again_from_the_audit_trail_alone(house: Hospital, eva: Person, round_id: int) -> None:
    codes = read(house, eva, round_id)
    said = answer(4, "AF", cues=[CUES[1]], marks=[Mark("V2", 100, 900)], comment="grün, \U0001fac0")
    assert reading.revise(house.db, eva, codes[7], said, just_now())
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    newest: dict[int, list[object]] = {}
    with house.db.read() as session:
        for entry in session.scalars(select(AuditEntry).where(AuditEntry.person_id == eva.id).order_by(AuditEntry.id)):
            if entry.action in ("judgement submitted", "judgement revised"):
                newest[entry.detail["position"]] = [entry.detail[name] for name in ("position", "revision", "to")]
        kept = signatures.of_study(session, study_of(house))
    text = json.dumps([newest[position] for position in sorted(newest)], separators=(",", ":"))
    ((key, (at, digest)),) = kept.items()
    assert key == (round_id, eva.id)
    assert at <= now()
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert newest[8][1] == 2


def test_two_readers_with_the_same_answers_in_the_same_places_have_the_same_hash(house: Hospital, round_id: int) -> None:
    ada, ben = house.readers[:2]
    read(house, ada, round_id)
    read(house, ben, round_id)
    assert hash_now(house, ada, round_id) == hash_now(house, ben, round_id)
    assert hash_now(house, house.readers[2], round_id) == hashlib.sha256(b"[]").hexdigest()


def test_the_last_look_shows_the_newest_answers_in_order(house: Hospital, eva: Person, round_id: int) -> None:
    codes = read(house, eva, round_id)
    said = answer(4, "AF", cues=[CUES[1]], marks=[Mark("V2", 100, 900)], comment="so")
    assert reading.revise(house.db, eva, codes[2], said, just_now())
    expected = [GivenAnswer(i + 1, 1, 1, answer(1 + i % 6)) for i in range(CASES)]
    expected[2] = GivenAnswer(3, 1, 2, said)
    assert signing.answers_of_round(house.db, eva, round_id) == expected
    assert all(isinstance(one.answer, Answer) for one in expected)


def test_a_signature_is_never_changed_or_removed(house: Hospital, eva: Person, round_id: int) -> None:
    read(house, eva, round_id)
    assert signing.sign(house.db, eva, round_id, PASSWORD)
    for change in (update(Signature).values(judgements_sha256="0" * 64), delete(Signature)):
        with pytest.raises(DatabaseError, match="append-only"), house.db.write() as session:
            session.execute(change)
    assert len(signatures_of(house)) == 1


# ---- the demo ----


@pytest.fixture
def world(db: Database) -> World:
    return make(db, cases=4)


def read_demo(world: World, reader: Person) -> None:
    while (case := reading.next_case(world.db, reader, world.round_id)) is not None:
        assert reading.submit(world.db, reader, case.code, answer(), just_now())


def test_the_demo_s_people_sign_without_a_password(world: World) -> None:
    reader = world.people["reader"]
    with pytest.raises(StudyError, match="cases without your answer"):
        signing.sign(world.db, reader, world.round_id, "")
    read_demo(world, reader)
    assert signing.sign(world.db, reader, world.round_id, "")
    assert not signing.sign(world.db, reader, world.round_id, "whatever")
    with world.db.read() as session:
        assert set(signatures.of_study(session, world.study_id)) == {(world.round_id, reader.id)}
        assert signatures.signed_at(session, world.round_id, world.people["other"].id) is None


def test_four_clicks_at_once_sign_once(world: World) -> None:
    reader = world.people["reader"]
    read_demo(world, reader)
    signed, start = [], threading.Barrier(4)

    def click() -> None:
        start.wait()
        signed.append(signing.sign(world.db, reader, world.round_id, ""))

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(signed) == [False, False, False, True]
    with world.db.read() as session:
        assert audit.count(session, action="round signed", subject=f"round {world.round_id}") == 1
        audit.verify(session)


def test_practice_is_not_signed(world: World) -> None:
    reader = world.people["reader"]
    of = open_practice(world.db, world.study_id, world.people["coordinator"], [reader])
    of.go_through(reader)
    with pytest.raises(StudyError, match="not among yours"):
        signing.sign(world.db, reader, of.round_id, "")
    assert signing.answers_of_round(world.db, reader, of.round_id) == []
    read_demo(world, reader)
    assert len(signing.answers_of_round(world.db, reader, world.round_id)) == 4
    assert asdict(signing.answers_of_round(world.db, reader, world.round_id)[0].answer) == answer().as_dict()
