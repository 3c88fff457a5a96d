"""Invitations, a password of one's own, and the hospital's single sign-on."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from storage import export
from storage.database import Database
from storage.errors import StorageError
from storage.tables import Invitation, SignIn, now
from study import invitations, people, sign_in
from study.errors import NotAllowed, SignInRefused, StudyError
from study.people import Person
from study.roles import Role
from tests.databases import looks_into_sqlite
from tests.joining import PASSWORD, joined


@pytest.fixture
def admin(db: Database) -> Person:
    person = sign_in.person_for(db, sign_in.set_up(db, "ada", "Ada Admin", PASSWORD, "North"))
    assert person
    return person


def test_a_link_sets_a_password_once(db: Database, admin: Person) -> None:
    made = invitations.invite(db, admin, "rita", "Rita", Role.READER, "South")
    assert made.path == f"/join?link={made.token}"
    assert invitations.invited(db, made.token) == made.person
    assert people.waiting(db, admin) == {made.person.id}
    with pytest.raises(SignInRefused, match="wrong"):
        sign_in.sign_in(db, "rita", "")  # no password is no password
    with pytest.raises(StudyError, match="at least 10"):
        invitations.accept(db, made.token, "short")
    token = invitations.accept(db, made.token, "a calm sentence")
    assert sign_in.person_for(db, token) == made.person
    assert sign_in.sign_in(db, "rita", "a calm sentence")
    assert people.waiting(db, admin) == set()
    for again in (made.token, "", "x" * 43):
        assert invitations.invited(db, again) is None
        with pytest.raises(SignInRefused, match="Ask your coordinator"):
            invitations.accept(db, again, "another sentence")
    assert sign_in.sign_in(db, "rita", "a calm sentence")


def test_of_two_who_open_a_link_at_once_one_gets_in(db: Database, admin: Person) -> None:
    made, ready, outcomes = invitations.invite(db, admin, "rita", "Rita", Role.READER, "South"), threading.Barrier(4), []

    def accept(number: int) -> None:
        ready.wait()
        try:
            outcomes.append(sign_in.person_for(db, invitations.accept(db, made.token, f"password number {number}")))
        except SignInRefused:
            outcomes.append(None)

    racing = [threading.Thread(target=accept, args=(number,)) for number in range(4)]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    assert sorted(outcomes, key=bool) == [None, None, None, made.person]


def test_a_link_ends_after_a_week_with_a_newer_one_and_with_the_account(db: Database, admin: Person) -> None:
    first = invitations.invite(db, admin, "rita", "Rita", Role.READER, "South")
    second = invitations.new_link(db, admin, first.person.id)
    assert invitations.invited(db, first.token) is None
    with db.write() as session:
        session.execute(update(Invitation).values(expires_at=now() - timedelta(seconds=1)))
    assert invitations.invited(db, second.token) is None
    third = invitations.new_link(db, admin, first.person.id)
    assert timedelta(days=6.9) < third.expires_at - now() < timedelta(days=7)
    people.delete_person(db, admin, first.person.id)
    assert invitations.invited(db, third.token) is None
    with db.read() as session:
        assert session.scalars(select(Invitation)).all() == []


@looks_into_sqlite
def test_the_link_itself_is_not_in_the_database(db: Database, admin: Person) -> None:
    made = invitations.invite(db, admin, "rita", "Rita", Role.READER, "South")
    with db.engine.connect() as connection:
        everything = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert made.token not in everything


def test_a_new_link_for_a_forgotten_password(db: Database, admin: Person) -> None:
    rita = joined(db, admin, "rita", "Rita", Role.READER, "South", "the old password")
    elsewhere = sign_in.sign_in(db, "rita", "the old password")
    made = invitations.new_link(db, admin, rita.id)
    assert sign_in.sign_in(db, "rita", "the old password")  # until the link is used: nobody can be locked out by a click
    for _ in range(sign_in.FAILURES):
        with pytest.raises(SignInRefused, match="wrong"):
            sign_in.sign_in(db, "rita", "forgotten")
    token = invitations.accept(db, made.token, "the new password")
    assert sign_in.person_for(db, elsewhere) is None
    assert sign_in.person_for(db, token) == rita
    assert sign_in.sign_in(db, "rita", "the new password")  # the wait has ended too
    with pytest.raises(SignInRefused, match="wrong"):
        sign_in.sign_in(db, "rita", "the old password")
    with db.read() as session:
        [_, second] = export.trail(session, f"person {rita.id}", "invitation made")
    assert second.person_id == admin.id


def test_a_coordinator_opens_a_way_in_for_readers_they_know_alone(db: Database, admin: Person) -> None:
    carl = joined(db, admin, "carl", "Carl", Role.COORDINATOR, "North")
    rita = joined(db, admin, "rita", "Rita", Role.READER, "North")
    far = joined(db, admin, "sven", "Sven", Role.READER, "South")
    rosa = joined(db, carl, "rosa", "Rosa", Role.RESEARCHER, "North")
    assert invitations.new_link(db, carl, rita.id).person == rita
    for somebody in (rosa, joined(db, carl, "cleo", "Cleo", Role.COORDINATOR, "North")):  # may unblind: one person could be both of two
        with pytest.raises(NotAllowed, match="only an admin"):
            invitations.new_link(db, carl, somebody.id)
        with pytest.raises(NotAllowed, match="only an admin"):
            people.set_email(db, carl, somebody.id, "carl@north.org")
    with pytest.raises(NotAllowed, match="an admin's account"):
        invitations.new_link(db, carl, admin.id)
    with pytest.raises(StudyError, match="no account with id"):
        invitations.new_link(db, carl, far.id)
    with pytest.raises(StudyError, match="signed in with"):
        invitations.new_link(db, admin, admin.id)
    for by in (rita, rosa):
        with pytest.raises(NotAllowed):
            invitations.new_link(db, by, far.id)


def test_changing_one_s_password(db: Database, admin: Person) -> None:
    here, elsewhere = sign_in.sign_in(db, "ada", PASSWORD), sign_in.sign_in(db, "ada", PASSWORD)
    wrong = (("wrong", "another sentence", "old password is wrong"), (PASSWORD, PASSWORD, "the old one"), (PASSWORD, "short", "at least 10"))
    for old, new, words in wrong:
        with pytest.raises((SignInRefused, StudyError), match=words):
            sign_in.change_password(db, admin, here, old, new)
    assert sign_in.person_for(db, elsewhere) == admin
    sign_in.change_password(db, admin, here, PASSWORD, "another sentence")
    assert sign_in.person_for(db, here) == admin
    assert sign_in.person_for(db, elsewhere) is None
    assert sign_in.sign_in(db, "ada", "another sentence")
    with pytest.raises(SignInRefused):
        sign_in.sign_in(db, "ada", PASSWORD)


def test_guessing_the_old_password_waits_as_signing_in_does(db: Database, admin: Person) -> None:
    for _ in range(sign_in.FAILURES):
        with pytest.raises(SignInRefused, match="wrong"):
            sign_in.change_password(db, admin, None, "a guess", "another sentence")
    with pytest.raises(SignInRefused, match="Wait"):
        sign_in.change_password(db, admin, None, PASSWORD, "another sentence")


# ---- the hospital's single sign-on ----


def claims(**others: Any) -> dict[str, Any]:
    return {"email": "Rita.Reader@South.org", "email_verified": True, "iat": now().timestamp(), **others}


@pytest.fixture
def rita(db: Database, admin: Person) -> Person:
    return invitations.invite(db, admin, "rita", "Rita", Role.READER, "South", email=" rita.reader@south.ORG ").person


def test_the_hospital_says_who_it_is(db: Database, rita: Person) -> None:
    assert rita.email == "rita.reader@south.org"
    assert sign_in.person_for(db, sign_in.sign_in_through_hospital(db, claims())) == rita
    del (told := claims())["email_verified"]  # not every provider says it
    assert sign_in.person_for(db, sign_in.sign_in_through_hospital(db, told)) == rita


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"email": "rita@elsewhere.org"}, "Nobody here has the e-mail address rita@elsewhere.org"),
        ({"email": None}, "does not vouch"),
        ({"email_verified": False}, "does not vouch"),
        ({"iat": None}, "too long ago"),
        ({"iat": 1_600_000_000}, "too long ago"),
        ({"iat": 9_600_000_000}, "too long ago"),
    ],
)
def test_what_the_hospital_does_not_vouch_for_is_refused(db: Database, rita: Person, others: dict[str, Any], words: str) -> None:
    with pytest.raises(SignInRefused, match=words):
        sign_in.sign_in_through_hospital(db, claims(**others))


def test_an_account_that_is_gone_has_no_way_in(db: Database, admin: Person, rita: Person) -> None:
    people.delete_person(db, admin, rita.id)
    with pytest.raises(SignInRefused, match="Nobody here"):
        sign_in.sign_in_through_hospital(db, claims())


def test_an_address_is_one_person_s(db: Database, admin: Person, rita: Person) -> None:
    with pytest.raises(StorageError, match="another account's"):
        invitations.invite(db, admin, "sven", "Sven", Role.READER, "South", email="rita.reader@south.org")
    sven = joined(db, admin, "sven", "Sven", Role.READER, "South")
    with pytest.raises(StorageError, match="another account's"):
        people.set_email(db, admin, sven.id, "RITA.reader@south.org")
    with pytest.raises(StudyError, match="will not do"):
        people.set_email(db, admin, sven.id, "no address")
    people.set_email(db, admin, rita.id, None)
    people.set_email(db, admin, sven.id, "rita.reader@south.org")
    assert sign_in.person_for(db, sign_in.sign_in_through_hospital(db, claims())).username == "sven"  # type: ignore[union-attr]


def test_who_has_no_password_signs_with_a_fresh_sign_in(db: Database, rita: Person) -> None:
    with pytest.raises(SignInRefused, match="through your hospital"):
        sign_in.confirm(db, rita, "")
    token = sign_in.sign_in_through_hospital(db, claims())
    sign_in.confirm(db, rita, "")
    with db.write() as session:
        session.execute(update(SignIn).where(SignIn.token_sha256 == sign_in.fingerprint(token)).values(created_at=now() - timedelta(minutes=16)))
    with pytest.raises(SignInRefused, match="Nothing was signed"):
        sign_in.confirm(db, rita, "")
    with pytest.raises(StudyError, match="no password to change"):
        sign_in.change_password(db, rita, token, "", "another sentence")
