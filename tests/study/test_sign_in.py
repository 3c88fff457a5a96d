from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from argon2 import PasswordHasher, extract_parameters
from sqlalchemy import event, select, update

from storage import audit
from storage.database import Database
from storage.tables import FailedSignIn, SignIn, now
from storage.tables import Person as PersonTable
from study import passwords, people, sign_in
from study.errors import SignInRefused, StudyError
from study.people import Person
from study.roles import Role
from tests.databases import looks_into_sqlite

PASSWORD = "correct horse battery"


def _admin(db: Database) -> Person:
    person = sign_in.person_for(db, sign_in.set_up(db, "Ada", "Ada Admin", PASSWORD, "North"))
    assert person
    return person


def _demo(db: Database, username: str = "anna", role: Role = Role.READER) -> int:
    with db.write() as session:
        return people.add_demo_person(session, username, username.title(), role, "North")


# ---- the first run ----


def test_the_first_person_is_an_admin_and_signed_in(db: Database) -> None:
    assert people.first_run(db)
    assert people.can_set_up(db)
    assert _admin(db) == Person(1, "ada", "Ada Admin", Role.ADMIN, "North", demo=False)
    assert not people.first_run(db)
    assert not people.can_set_up(db)


def test_of_two_who_set_up_at_once_one_wins(db: Database) -> None:
    ready = threading.Barrier(2)
    outcomes: list[people.Person | str | None] = []

    def set_up(username: str) -> None:
        ready.wait()
        try:
            outcomes.append(sign_in.person_for(db, sign_in.set_up(db, username, username, PASSWORD, None)))
        except StudyError as error:
            outcomes.append(str(error))

    racing = [threading.Thread(target=set_up, args=(name,)) for name in ("first", "second")]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Person", "str"]
    assert any("set up this database already" in str(outcome) for outcome in outcomes)
    with db.read() as session:
        assert len(session.scalars(select(PersonTable)).all()) == 1


def test_setting_up_closes_the_demo(db: Database) -> None:
    _demo(db)
    token = sign_in.sign_in_demo(db, "anna")
    assert sign_in.person_for(db, token)
    assert [person.username for person in people.demo_people(db)] == ["anna"]
    assert people.can_set_up(db)
    admin = _admin(db)
    assert sign_in.person_for(db, token) is None
    assert people.demo_people(db) == []
    assert people.people(db, admin) == [admin]
    with pytest.raises(SignInRefused, match="demo is closed"):
        sign_in.sign_in_demo(db, "anna")
    with pytest.raises(StudyError, match="real people"):
        _demo(db, "bert")


# ---- signing in ----


def test_signing_in_and_out(db: Database) -> None:
    admin = _admin(db)
    token = sign_in.sign_in(db, " ADA ", PASSWORD)
    assert sign_in.person_for(db, token) == admin
    sign_in.sign_out(db, token)
    assert sign_in.person_for(db, token) is None
    for nothing in (None, "", "guess", "\udcff"):
        assert sign_in.person_for(db, nothing) is None
        sign_in.sign_out(db, nothing)
    with db.read() as session:
        assert audit.verify(session) == 4  # set up, signed in, signed in, signed out


@looks_into_sqlite
def test_the_token_itself_is_not_in_the_database(db: Database) -> None:
    token = sign_in.set_up(db, "ada", "Ada", PASSWORD, None)
    with db.engine.connect() as connection:
        everything = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert token not in everything
    assert PASSWORD not in everything
    assert "$argon2id$" in everything


def test_a_sign_in_ends_by_itself(db: Database) -> None:
    token = sign_in.set_up(db, "ada", "Ada", PASSWORD, None)
    with db.write() as session:
        session.execute(update(SignIn).values(expires_at=now() - timedelta(seconds=1)))
    assert sign_in.person_for(db, token) is None


def test_a_sign_in_ends_with_its_person(db: Database) -> None:
    token = sign_in.set_up(db, "ada", "Ada", PASSWORD, None)
    with db.write() as session:
        session.execute(update(PersonTable).values(active=False))
    assert sign_in.person_for(db, token) is None
    with pytest.raises(SignInRefused, match="wrong"):
        sign_in.sign_in(db, "ada", PASSWORD)


@looks_into_sqlite
def test_looking_a_sign_in_up_is_one_query_by_an_index(db: Database) -> None:
    token = sign_in.set_up(db, "ada", "Ada", PASSWORD, None)
    statements: list[tuple[str, tuple[object, ...]]] = []
    event.listen(db.engine, "before_cursor_execute", lambda c, cur, statement, parameters, *_: statements.append((statement, parameters)))
    assert sign_in.person_for(db, token)
    asked = [(statement, parameters) for statement, parameters in statements if not statement.startswith("BEGIN")]
    assert len(asked) == 1
    with db.engine.connect() as connection:
        plan = str(connection.exec_driver_sql("EXPLAIN QUERY PLAN " + asked[0][0], asked[0][1]).all())
    assert "SCAN" not in plan


@pytest.mark.parametrize("username", ["ada", "nobody"])
def test_five_wrong_passwords_lock_a_user_name_known_or_not_and_each_further_one_for_twice_as_long(db: Database, username: str) -> None:
    _admin(db)

    def guess(password: str, answer: str) -> None:
        with pytest.raises(SignInRefused, match=answer):
            sign_in.sign_in(Database(db.url), username, password)  # in the database: another process knows it too

    def wait(minutes: float) -> None:
        with db.write() as session:
            for row in session.scalars(select(FailedSignIn)):
                row.at -= timedelta(minutes=minutes)

    for _ in range(sign_in.FAILURES):
        guess("not the password", "User name or password is wrong")
    for minutes in (15, 30, 60, 120, 240, 240):
        guess(PASSWORD, f"Wait {minutes} minutes")
        wait(minutes - 0.5)
        guess(PASSWORD, "Wait 1 minutes")
        wait(1)
        guess("not the password", "User name or password is wrong")
    wait(241)
    if username == "ada":
        assert sign_in.sign_in(db, username, PASSWORD)
        guess("not the password", "wrong")  # a right one has cleared what was before
    wait(24 * 60)
    for _ in range(sign_in.FAILURES):
        guess("not the password", "wrong")


def test_guesses_sent_at_once_do_not_slip_past_the_lock(db: Database) -> None:
    _admin(db)
    ready, answers = threading.Barrier(12), []

    def guess() -> None:
        ready.wait()
        try:
            sign_in.sign_in(db, "ada", "not the password")
        except SignInRefused as refusal:
            answers.append(str(refusal))

    guessing = [threading.Thread(target=guess) for _ in range(12)]
    for thread in guessing:
        thread.start()
    for thread in guessing:
        thread.join()
    assert sum("User name or password" in answer for answer in answers) == sign_in.FAILURES
    assert sum("Wait" in answer for answer in answers) == 12 - sign_in.FAILURES


def test_a_right_password_clears_earlier_failures(db: Database) -> None:
    _admin(db)
    for _ in range(3):
        for _ in range(sign_in.FAILURES - 1):
            with pytest.raises(SignInRefused, match="wrong"):
                sign_in.sign_in(db, "ada", "not the password")
        assert sign_in.sign_in(db, "ada", PASSWORD)


def test_an_unknown_name_costs_one_verification_of_the_same_profile(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    _admin(db)
    verified: list[str] = []
    hasher = passwords._HASHER

    class Counting:
        def verify(self, kept: str, password: bytes) -> bool:
            verified.append(kept)
            return hasher.verify(kept, password)

    monkeypatch.setattr(passwords, "_HASHER", Counting())
    for username in ("ada", "nobody"):
        with pytest.raises(SignInRefused, match="wrong"):
            sign_in.sign_in(db, username, "not the password")
    assert len(verified) == 2
    standard = PasswordHasher()
    assert extract_parameters(passwords._DUMMY) == extract_parameters(standard.hash("x"))
    assert standard.check_needs_rehash(passwords._DUMMY) is False


def test_a_hash_of_an_older_profile_is_renewed_at_sign_in(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    _admin(db)
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", stronger)
    assert sign_in.sign_in(db, "ada", PASSWORD)
    with db.read() as session:
        assert not stronger.check_needs_rehash(session.scalars(select(PersonTable.password_hash)).one() or "")
    assert sign_in.sign_in(db, "ada", PASSWORD)


def test_an_accent_may_be_typed_in_one_code_point_or_two(db: Database) -> None:
    sign_in.set_up(db, "ada", "Ada", "caf\u00e9 au lait", None)
    assert sign_in.sign_in(db, "ada", "cafe\u0301 au lait")


def test_the_demo_opens_by_one_click_for_its_people_only(db: Database) -> None:
    _demo(db)
    person = sign_in.person_for(db, sign_in.sign_in_demo(db, "anna"))
    assert person
    assert (person.username, person.role, person.demo) == ("anna", Role.READER, True)
    with pytest.raises(SignInRefused, match="Nobody in the demo"):
        sign_in.sign_in_demo(db, "bert")
    with pytest.raises(SignInRefused, match="wrong"):
        sign_in.sign_in(db, "anna", "")
