from __future__ import annotations

import pytest

from storage.database import Database
from study import people, sign_in
from study.errors import NotAllowed, Problems, StudyError
from study.people import Person
from study.protocol import Protocol
from study.roles import Action, Role, demand, may
from study.settings import Settings
from study.studies import create_study
from tests.joining import joined

PASSWORD = "correct horse battery"


def _admin(db: Database) -> Person:
    person = sign_in.person_for(db, sign_in.set_up(db, "Ada", "Ada Admin", PASSWORD, "North"))
    assert person
    return person


# ---- adding people ----


def test_people_see_their_own_site_and_coordinators_those_they_invited_or_lead_too(db: Database) -> None:
    admin = _admin(db)
    carl = joined(db, admin, "carl", "Carl", Role.COORDINATOR, None)
    cleo = joined(db, admin, "cleo", "Cleo", Role.COORDINATOR, "South")
    rita = joined(db, carl, "rita", "Rita", Role.READER, "north")  # the same hospital, typed otherwise
    sven = joined(db, admin, "sven", "Sven", Role.READER, "South")
    rosa = joined(db, carl, "rosa", "Rosa", Role.RESEARCHER, None)
    assert rita.site == "North"
    assert people.people(db, admin) == [admin, carl, cleo, rita, rosa, sven]
    assert people.people(db, carl) == [carl, rita, rosa]
    assert people.people(db, cleo) == [cleo, sven]
    assert people.people(db, rita) == [admin, rita]
    assert people.people(db, sven) == [cleo, sven]
    assert people.people(db, rosa) == [rosa]
    assert people.readers_to_choose(db, cleo) == [rita, sven]
    create_study(db, cleo, "Led by Cleo", Protocol(), [rita.id])
    assert people.people(db, cleo) == [cleo, rita, sven]
    assert people.person_by_id(db, sven.id) == people.person_by_username(db, "SVEN") == sven


def test_only_coordinators_and_admins_add_people_and_only_admins_admins(db: Database) -> None:
    admin = _admin(db)
    carl = joined(db, admin, "carl", "Carl", Role.COORDINATOR, None, PASSWORD)
    rita = joined(db, admin, "rita", "Rita", Role.READER, "North", PASSWORD)
    with pytest.raises(NotAllowed, match="Sign in as a coordinator or an admin"):
        joined(db, rita, "x1", "X", Role.READER, "North", PASSWORD)
    with pytest.raises(NotAllowed, match="Ask an admin"):
        joined(db, carl, "x2", "X", Role.ADMIN, None, PASSWORD)
    assert joined(db, admin, "x3", "X", Role.ADMIN, None, PASSWORD).role is Role.ADMIN


@pytest.mark.parametrize(
    ("username", "name", "role", "site", "words"),
    [
        ("ada", "Ada Two", Role.READER, "North", "'ada' is taken"),
        ("a", "A", Role.READER, "North", "2 to 64"),
        ("-dash", "A", Role.READER, "North", "2 to 64"),
        ("two words", "A", Role.READER, "North", "2 to 64"),
        ("ünal", "A", Role.READER, "North", "2 to 64"),
        ("x" * 65, "A", Role.READER, "North", "2 to 64"),
        ("bert", " \n", Role.READER, "North", "person's name"),
        ("bert", "B" * 121, Role.READER, "North", "person's name"),
        ("bert", "Bert", Role.READER, " ", "has no site"),
        ("bert", "Bert", Role.READER, "S" * 121, "site's name"),
    ],
)
def test_what_will_not_do_is_refused_with_a_remedy(db: Database, username: str, name: str, role: Role, site: str, words: str) -> None:
    admin = _admin(db)
    with pytest.raises(Problems, match=words):
        joined(db, admin, username, name, role, site)
    assert people.people(db, admin) == [admin]


def test_any_ten_characters_make_a_password(db: Database) -> None:
    admin = _admin(db)
    for number, password in enumerate(["aaaaaaaaaa", "          ", "🫀🫀🫀🫀🫀🫀🫀🫀🫀🫀", "p" * 5000]):
        person = joined(db, admin, f"user{number}", "U", Role.RESEARCHER, None, password)
        assert sign_in.person_for(db, sign_in.sign_in(db, f"user{number}", password)) == person


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
