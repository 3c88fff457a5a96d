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
from study import people
from study.errors import NotAllowed, Problems, SignInRefused, StudyError
from study.people import Person
from study.roles import Action, Role, demand, may
from study.settings import Settings

PASSWORD = "correct horse battery"


def _admin(db: Database) -> Person:
    person = people.person_for(db, people.set_up(db, "Ada", "Ada Admin", PASSWORD, "North"))
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
            outcomes.append(people.person_for(db, people.set_up(db, username, username, PASSWORD, None)))
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
    token = people.sign_in_demo(db, "anna")
    assert people.person_for(db, token)
    assert [person.username for person in people.demo_people(db)] == ["anna"]
    assert people.can_set_up(db)
    admin = _admin(db)
    assert people.person_for(db, token) is None
    assert people.demo_people(db) == []
    assert people.people(db, admin) == [admin]
    with pytest.raises(SignInRefused, match="demo is closed"):
        people.sign_in_demo(db, "anna")
    with pytest.raises(StudyError, match="real people"):
        _demo(db, "bert")


# ---- signing in ----


def test_signing_in_and_out(db: Database) -> None:
    admin = _admin(db)
    token = people.sign_in(db, " ADA ", PASSWORD)
    assert people.person_for(db, token) == admin
    people.sign_out(db, token)
    assert people.person_for(db, token) is None
    for nothing in (None, "", "guess", "\udcff"):
        assert people.person_for(db, nothing) is None
        people.sign_out(db, nothing)
    with db.read() as session:
        assert audit.verify(session) == 4  # set up, signed in, signed in, signed out


def test_the_token_itself_is_not_in_the_database(db: Database) -> None:
    token = people.set_up(db, "ada", "Ada", PASSWORD, None)
    with db.engine.connect() as connection:
        everything = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert token not in everything
    assert PASSWORD not in everything
    assert "$argon2id$" in everything


def test_a_sign_in_ends_by_itself(db: Database) -> None:
    token = people.set_up(db, "ada", "Ada", PASSWORD, None)
    with db.write() as session:
        session.execute(update(SignIn).values(expires_at=now() - timedelta(seconds=1)))
    assert people.person_for(db, token) is None


def test_a_sign_in_ends_with_its_person(db: Database) -> None:
    token = people.set_up(db, "ada", "Ada", PASSWORD, None)
    with db.write() as session:
        session.execute(update(PersonTable).values(active=False))
    assert people.person_for(db, token) is None
    with pytest.raises(SignInRefused, match="wrong"):
        people.sign_in(db, "ada", PASSWORD)


def test_looking_a_sign_in_up_is_one_query_by_an_index(db: Database) -> None:
    token = people.set_up(db, "ada", "Ada", PASSWORD, None)
    statements: list[tuple[str, tuple[object, ...]]] = []
    event.listen(db.engine, "before_cursor_execute", lambda c, cur, statement, parameters, *_: statements.append((statement, parameters)))
    assert people.person_for(db, token)
    asked = [(statement, parameters) for statement, parameters in statements if not statement.startswith("BEGIN")]
    assert len(asked) == 1
    with db.engine.connect() as connection:
        plan = str(connection.exec_driver_sql("EXPLAIN QUERY PLAN " + asked[0][0], asked[0][1]).all())
    assert "SCAN" not in plan


@pytest.mark.parametrize("username", ["ada", "nobody"])
def test_five_wrong_passwords_lock_a_user_name_known_or_not(db: Database, username: str) -> None:
    _admin(db)
    for _ in range(people.FAILURES):
        with pytest.raises(SignInRefused, match="User name or password is wrong"):
            people.sign_in(db, username, "not the password")
    for password in ("not the password", PASSWORD):
        with pytest.raises(SignInRefused, match="Wait 15 minutes"):
            people.sign_in(Database(db.url), username, password)  # in the database: another process knows it too
    with db.write() as session:
        session.execute(update(FailedSignIn).values(at=now() - timedelta(minutes=people.FAILURE_MINUTES, seconds=1)))
    if username == "ada":
        assert people.sign_in(db, username, PASSWORD)
    with pytest.raises(SignInRefused, match="wrong"):
        people.sign_in(db, "nobody", PASSWORD)


def test_guesses_sent_at_once_do_not_slip_past_the_lock(db: Database) -> None:
    _admin(db)
    ready, answers = threading.Barrier(12), []

    def guess() -> None:
        ready.wait()
        try:
            people.sign_in(db, "ada", "not the password")
        except SignInRefused as refusal:
            answers.append(str(refusal))

    guessing = [threading.Thread(target=guess) for _ in range(12)]
    for thread in guessing:
        thread.start()
    for thread in guessing:
        thread.join()
    assert sum("wrong" in answer for answer in answers) == people.FAILURES
    assert sum("Wait" in answer for answer in answers) == 12 - people.FAILURES


def test_a_right_password_clears_earlier_failures(db: Database) -> None:
    _admin(db)
    for _ in range(3):
        for _ in range(people.FAILURES - 1):
            with pytest.raises(SignInRefused, match="wrong"):
                people.sign_in(db, "ada", "not the password")
        assert people.sign_in(db, "ada", PASSWORD)


def test_an_unknown_name_costs_one_verification_of_the_same_profile(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    _admin(db)
    verified: list[str] = []
    real = people._matches

    def matches(hashed: str, password: str) -> bool:
        verified.append(hashed)
        return real(hashed, password)

    monkeypatch.setattr(people, "_matches", matches)
    for username in ("ada", "nobody"):
        with pytest.raises(SignInRefused, match="wrong"):
            people.sign_in(db, username, "not the password")
    assert len(verified) == 2
    standard = PasswordHasher()
    assert extract_parameters(people._DUMMY) == extract_parameters(standard.hash("x"))
    assert standard.check_needs_rehash(people._DUMMY) is False


def test_a_hash_of_an_older_profile_is_renewed_at_sign_in(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    _admin(db)
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(people, "_HASHER", stronger)
    assert people.sign_in(db, "ada", PASSWORD)
    with db.read() as session:
        assert not stronger.check_needs_rehash(session.scalars(select(PersonTable.password_hash)).one() or "")
    assert people.sign_in(db, "ada", PASSWORD)


def test_an_accent_may_be_typed_in_one_code_point_or_two(db: Database) -> None:
    people.set_up(db, "ada", "Ada", "caf\u00e9 au lait", None)
    assert people.sign_in(db, "ada", "cafe\u0301 au lait")


def test_the_demo_opens_by_one_click_for_its_people_only(db: Database) -> None:
    _demo(db)
    person = people.person_for(db, people.sign_in_demo(db, "anna"))
    assert person
    assert (person.username, person.role, person.demo) == ("anna", Role.READER, True)
    with pytest.raises(SignInRefused, match="Nobody in the demo"):
        people.sign_in_demo(db, "bert")
    with pytest.raises(SignInRefused, match="wrong"):
        people.sign_in(db, "anna", "")


# ---- adding people ----


def test_people_see_their_own_site_and_coordinators_everybody(db: Database) -> None:
    admin = _admin(db)
    carl = people.add_person(db, admin, "carl", "Carl", Role.COORDINATOR, None, PASSWORD)
    rita = people.add_person(db, carl, "rita", "Rita", Role.READER, "north", PASSWORD)  # the same hospital, typed otherwise
    sven = people.add_person(db, carl, "sven", "Sven", Role.READER, "South", PASSWORD)
    rosa = people.add_person(db, carl, "rosa", "Rosa", Role.RESEARCHER, None, PASSWORD)
    assert rita.site == "North"
    assert people.people(db, carl) == people.people(db, admin) == [admin, carl, rita, rosa, sven]
    assert people.people(db, rita) == [admin, rita]
    assert people.people(db, sven) == [sven]
    assert people.people(db, rosa) == []
    assert people.person_by_id(db, sven.id) == people.person_by_username(db, "SVEN") == sven


def test_only_coordinators_and_admins_add_people_and_only_admins_admins(db: Database) -> None:
    admin = _admin(db)
    carl = people.add_person(db, admin, "carl", "Carl", Role.COORDINATOR, None, PASSWORD)
    rita = people.add_person(db, admin, "rita", "Rita", Role.READER, "North", PASSWORD)
    with pytest.raises(NotAllowed, match="Sign in as a coordinator or an admin"):
        people.add_person(db, rita, "x1", "X", Role.READER, "North", PASSWORD)
    with pytest.raises(NotAllowed, match="Ask an admin"):
        people.add_person(db, carl, "x2", "X", Role.ADMIN, None, PASSWORD)
    assert people.add_person(db, admin, "x3", "X", Role.ADMIN, None, PASSWORD).role is Role.ADMIN


@pytest.mark.parametrize(
    ("username", "name", "role", "site", "password", "words"),
    [
        ("ada", "Ada Two", Role.READER, "North", PASSWORD, "'ada' is taken"),
        ("a", "A", Role.READER, "North", PASSWORD, "2 to 64"),
        ("-dash", "A", Role.READER, "North", PASSWORD, "2 to 64"),
        ("two words", "A", Role.READER, "North", PASSWORD, "2 to 64"),
        ("ünal", "A", Role.READER, "North", PASSWORD, "2 to 64"),
        ("x" * 65, "A", Role.READER, "North", PASSWORD, "2 to 64"),
        ("bert", " \n", Role.READER, "North", PASSWORD, "person's name"),
        ("bert", "B" * 121, Role.READER, "North", PASSWORD, "person's name"),
        ("bert", "Bert", Role.READER, " ", PASSWORD, "has no site"),
        ("bert", "Bert", Role.READER, "S" * 121, PASSWORD, "site's name"),
        ("bert", "Bert", Role.READER, "North", "ninechars", "at least 10"),
    ],
)
def test_what_will_not_do_is_refused_with_a_remedy(db: Database, username: str, name: str, role: Role, site: str, password: str, words: str) -> None:
    admin = _admin(db)
    with pytest.raises(Problems, match=words):
        people.add_person(db, admin, username, name, role, site, password)
    assert people.people(db, admin) == [admin]


def test_any_ten_characters_make_a_password(db: Database) -> None:
    admin = _admin(db)
    for number, password in enumerate(["aaaaaaaaaa", "          ", "🫀🫀🫀🫀🫀🫀🫀🫀🫀🫀", "p" * 5000]):
        person = people.add_person(db, admin, f"user{number}", "U", Role.RESEARCHER, None, password)
        assert people.person_for(db, people.sign_in(db, f"user{number}", password)) == person


# ---- roles and settings ----


def test_nobody_may_do_anything_and_who_knows_the_truth_may_not_read() -> None:
    somebody = {role: Person(1, "x", "Xenia", role, None, False) for role in Role}
    assert not any(may(None, action) for action in Action)
    assert [role for role in Role if may(somebody[role], Action.READ_CASES)] == [Role.READER]
    assert not any(may(somebody[Role.READER], action) for action in (Action.SEE_RESULTS, Action.UNBLIND, Action.EXPORT, Action.SEE_STRIPS))
    assert {action for action in Action if may(somebody[Role.ADMIN], action)} == set(Action) - {Action.READ_CASES}
    with pytest.raises(NotAllowed, match=r"Xenia \(reader\) may not open a round\. Sign in as a coordinator or an admin\."):
        demand(somebody[Role.READER], Action.OPEN_ROUNDS)
    with pytest.raises(NotAllowed, match="not signed in"):
        demand(None, Action.READ_CASES)


def test_settings_come_from_the_environment_and_the_command_line_goes_first(tmp_path: object) -> None:
    assert Settings.from_environment(None, {}).database.endswith("/.local/share/blindstrip/blindstrip.db")
    environment = {"BLINDSTRIP_DATABASE": "sqlite:///a.db", "BLINDSTRIP_SCHEDULER": "tcp://gpu:8786", "BLINDSTRIP_CHECKPOINT": str(tmp_path)}
    assert Settings.from_environment(None, environment).database == "sqlite:///a.db"
    assert Settings.from_environment("sqlite:///b.db", environment).database == "sqlite:///b.db"
    assert str(Settings.from_environment(None, environment).checkpoint) == str(tmp_path)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"BLINDSTRIP_DATABSE": "sqlite:///a.db"}, "BLINDSTRIP_DATABSE means nothing"),
        ({"BLINDSTRIP_CHECKPOINT": "/nowhere"}, "/nowhere is no folder"),
    ],
)
def test_a_setting_that_would_be_overlooked_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        Settings.from_environment(None, environment)
