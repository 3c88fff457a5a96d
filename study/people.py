"""People: who they are, whom they see, what changes about them. Ways in are study.sign_in and study.invitations."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from storage import audit, parts
from storage import people as stored
from storage.database import Database
from storage.people import NewPerson, PersonRow
from study.errors import NotAllowed, StudyError
from study.roles import Action, Role, demand

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True)
class Person:
    """Somebody who may sign in, in one role. Readers belong to a site; others may."""

    id: int
    username: str
    name: str
    role: Role
    site: str | None
    demo: bool
    email: str | None = None  # by which the hospital's single sign-on knows them


@dataclass(frozen=True)
class Deleted:
    """What is left of an account that was deleted."""

    named_in_trail: bool  # the user name: the audit trail, which cannot be changed, has it from before it held ids alone
    in_log: bool  # what was overwritten: SQLite's log could not be emptied, because somebody was reading


IN_LOG = (
    "The account is deleted, but somebody was reading from the database, so that SQLite's log (the file that ends in -wal) still holds what was "
    "overwritten. To empty it, stop blindstrip and run `blindstrip people list --as USERNAME` once."
)


def first_run(db: Database) -> bool:
    """Whether there is nobody yet, not even the demo's people."""
    with db.read() as session:
        return stored.nobody_yet(session)


def can_set_up(db: Database) -> bool:
    """Whether the first real person is still to come: until then the demo is open and anybody at the screen may set up."""
    with db.read() as session:
        return not stored.real_person_exists(session)


def people(db: Database, by: Person) -> list[Person]:
    """Who is active: for admins everybody; for others their own site's people; for coordinators also whom they invited and who read for them."""
    demand(by, Action.SEE_PEOPLE)
    with db.read() as session:
        seen = _seen_by(session, by)
        return [of_row(row) for row in stored.everybody(session) if seen(row)]


def readers_to_choose(db: Database, by: Person) -> list[Person]:
    """Readers whom a study of one's own may have: of all sites, as a study is read at several. Raises NotAllowed."""
    demand(by, Action.MANAGE_STUDIES)
    with db.read() as session:
        return [of_row(row) for row in stored.everybody(session, demo=by.demo) if row.role == Role.READER]


def waiting(db: Database, by: Person) -> set[int]:
    """Ids of those who have a link that they have not used yet. Raises NotAllowed."""
    demand(by, Action.MANAGE_PEOPLE)
    with db.read() as session:
        return stored.waiting(session)


def change_role(db: Database, by: Person, person_id: int, role: Role, site: str | None = None) -> None:
    """Gives somebody another role, in all studies; at their next click it counts. site: None keeps theirs. Admins may, but not for themselves.

    Raises NotAllowed, or StudyError for a reader who has cases in a study that is blind, and for somebody who is not there.
    """
    demand(by, Action.MANAGE_PEOPLE)
    if by.role is not Role.ADMIN:
        raise NotAllowed(f"{by.name} ({by.role}) may not change roles. Ask an admin to do it.")
    with db.write() as session:
        person = to_manage(session, by, person_id)
        fields = checked(person.username, person.name, role, site or person.site)
        changed = (fields.role, fields.site) != (person.role.value, person.site)
        if changed and person.role is Role.READER and (blind := parts.blind_studies_read_by(session, person.id)):
            told = ", ".join(map(repr, blind))
            raise StudyError(f"{person.name} reads in {told}: one person holds one role in a study, at one site. Wait until it is unblinded.")
        stored.set_role(session, person.id, fields.role, fields.site)
        states = {"from": {"role": person.role.value, "site": person.site}, "to": {"role": fields.role, "site": fields.site}}
        audit.append(session, by.id, "role changed", f"person {person.id}", states)


def set_email(db: Database, by: Person, person_id: int, email: str | None) -> None:
    """The address by which the hospital's single sign-on knows somebody; None: they sign in by password alone.

    As with links, a coordinator may for readers, an admin for everybody. Raises NotAllowed, StudyError, or StorageError for an address that is taken.
    """
    with db.write() as session:
        person = to_manage(session, by, person_id)
        refuse_way_in(by, person)
        known_by = checked(person.username, person.name, person.role, person.site, email).email
        stored.set_email(session, person.id, known_by)
        audit.append(session, by.id, "e-mail address changed", f"person {person.id}", {"from": bool(person.email), "to": bool(known_by)})


def delete_person(db: Database, by: Person, person_id: int) -> Deleted:
    """Erases an account for good: names, e-mail address, password, sign-ins, screens. What the person judged stays under the pseudonym.

    Raises NotAllowed, or StudyError for somebody who is not there, the demo's people, an admin where no admin asks, and oneself.
    """
    with db.write() as session:
        person = to_manage(session, by, person_id)
        stored.erase(session, person_id)
        states = {"from": {"active": True, "role": person.role.value, "site": person.site}, "to": {"active": False}}
        audit.append(session, by.id, "account deleted", f"person {person_id}", states)
        named = audit.names_user(session, f"person {person_id}")
    return Deleted(named, in_log=not db.put_away_log())


def to_manage(session: Session, by: Person, person_id: int) -> Person:
    """The person, if `by` may change their account. Raises NotAllowed, or StudyError for nobody, the demo's people and oneself."""
    demand(by, Action.MANAGE_PEOPLE)
    row = stored.by_id(session, person_id)
    if row is not None and row.role == Role.ADMIN and by.role is not Role.ADMIN:
        raise NotAllowed(f"{by.name} ({by.role}) may not change an admin's account. Ask an admin to do it.")
    if row is None or not row.active or not (row.demo or _seen_by(session, by)(row)):
        raise StudyError(f"There is no account with id {person_id}. Choose one from the list of people.")
    if row.demo or by.demo:
        raise StudyError("The demo's people stay as they are; they are closed when a study of your own is set up.")
    if row.id == by.id:
        raise StudyError("You cannot do this to the account that you are signed in with. Ask another admin or coordinator.")
    return of_row(row)


def refuse_way_in(by: Person, person: Person) -> None:
    """A coordinator may open a way in (a link, an address) for readers alone: with one for who may unblind, one person could unblind."""
    if person.role is not Role.READER and by.role is not Role.ADMIN:
        raise NotAllowed(f"{person.name} is a {person.role}, and could unblind a study: only an admin may change how they sign in.")


def add_demo_person(session: Session, username: str, name: str, role: Role, site: str | None) -> int:
    """The id of a demo person, who signs in by one click and has no password; in the caller's transaction.

    Raises StudyError once real people exist.
    """
    if stored.real_person_exists(session):
        raise StudyError("This database has real people: the demo stays closed. Use an empty database for it.")
    fields = checked(username, name, role, site)
    person_id = stored.add(session, fields, password_hash=None, demo=True)
    audit.append(session, None, "person added", f"person {person_id}", in_the_trail(fields))
    return person_id


def demo_people(db: Database) -> list[Person]:
    """The demo's people as long as it is open."""
    with db.read() as session:
        if stored.real_person_exists(session):
            return []
        return [of_row(row) for row in stored.everybody(session, demo=True)]


def person_by_id(db: Database, person_id: int) -> Person | None:
    with db.read() as session:
        row = stored.by_id(session, person_id)
    return of_row(row) if row and row.active else None


def person_by_username(db: Database, username: str) -> Person | None:
    with db.read() as session:
        row = stored.by_username(session, plain_username(username))
    return of_row(row) if row and row.active else None


def of_row(row: PersonRow | None) -> Person:
    if row is None:
        raise StudyError("This person is not in the database any more. Sign in again.")
    return Person(row.id, row.username, row.name, Role(row.role), row.site, row.demo, row.email)


def in_the_trail(fields: NewPerson) -> dict[str, Any]:
    """What the audit trail keeps of a new person: nothing that could not stay when the account is deleted."""
    return {"from": None, "to": {"role": fields.role, "site": fields.site}}


def checked(username: str, name: str, role: Role, site: str | None, email: str | None = None) -> NewPerson:
    """A person's fields as they are kept. Raises StudyError for one that will not do."""
    known_as, name, site = plain_username(username), _line(name), _line(site or "") or None
    if not _USERNAME.fullmatch(known_as):
        raise StudyError(f"User name {username!r} will not do: write 2 to 64 of a-z, 0-9 and . - _ @, starting with a letter or digit.")
    if not 1 <= len(name) <= 120:
        raise StudyError("Write the person's name in 1 to 120 characters.")
    if site and len(site) > 120:
        raise StudyError("Write the site's name in at most 120 characters.")
    if role is Role.READER and site is None:
        raise StudyError(f"Reader {known_as!r} has no site. Write the hospital's name: results are counted by site.")
    if email and (len(plain_email(email)) > 254 or not _EMAIL.fullmatch(plain_email(email))):
        raise StudyError(f"E-mail address {email!r} will not do: write it as name@hospital.org, or leave it out.")
    return NewPerson(known_as, name, role.value, site, plain_email(email) if email else None)


def plain_username(username: str) -> str:
    return username.strip().lower()


def plain_email(email: str) -> str:
    return email.strip().lower()


def _line(text: str) -> str:
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def _seen_by(session: Session, by: Person) -> Callable[[PersonRow], bool]:
    """Whom this person sees on the People screen."""
    known = {by.id}
    if by.role is Role.COORDINATOR:
        known |= stored.invited_by(session, by.id) | parts.readers_led_by(session, by.id)

    def seen(row: PersonRow) -> bool:
        return by.role is Role.ADMIN or row.id in known or (by.site is not None and row.site == by.site)

    return seen
