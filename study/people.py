"""People and their sign-ins: the first set-up, adding people, passwords (argon2id), the lock after failures, the demo's one-click sign-in."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.orm import Session

from storage import audit
from storage import people as stored
from storage.database import Database
from storage.people import NewPerson, PersonRow
from storage.tables import now
from study.errors import NotAllowed, SignInRefused, StudyError
from study.roles import Action, Role, demand

SIGN_IN_HOURS = 8  # a working day; the cookie's life as well
PASSWORD_LENGTH = 10
FAILURES = 5  # wrong passwords for a user name ...
FAILURE_MINUTES = 15  # ... within this time lock it until the oldest is this old

_HASHER = PasswordHasher()  # argon2id, RFC 9106's low-memory profile: 64 MiB, 3 passes
# A hash of nobody's password under the same profile: a user name that does not exist takes as long as one that does.
_DUMMY = "$argon2id$v=19$m=65536,t=3,p=4$aJUHuS3zRHyhchXprSZLgQ$DK/jlWXKQLVWzMi/rGY5CsOLwczbIAUTPsnhIvu/Ivg"
_HASHING = threading.BoundedSemaphore(4)  # 64 MiB each: a flood of sign-ins waits instead of filling the memory
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")


@dataclass(frozen=True)
class Person:
    """Somebody who may sign in. Readers belong to a site; others may."""

    id: int
    username: str
    name: str
    role: Role
    site: str | None
    demo: bool


def first_run(db: Database) -> bool:
    """Whether there is nobody yet, not even the demo's people."""
    with db.read() as session:
        return stored.nobody_yet(session)


def can_set_up(db: Database) -> bool:
    """Whether the first real person is still to come: until then the demo is open and anybody at the screen may set up."""
    with db.read() as session:
        return not stored.real_person_exists(session)


def set_up(db: Database, username: str, name: str, password: str, site: str | None) -> str:
    """Make the first real person, an admin, close the demo, and sign them in: returns the token.

    Raises StudyError if somebody else was first, or for a user name, name, site or password that will not do.
    """
    fields = _checked(username, name, Role.ADMIN, site)
    hashed = _hash(password)
    with db.write() as session:
        if stored.real_person_exists(session):
            raise StudyError("Somebody has set up this database already. Sign in, or ask an admin to add you.")
        stored.close_demo(session)
        person_id = stored.add(session, fields, password_hash=hashed)
        audit.append(session, person_id, "set up", f"person {person_id}", _in_the_trail(fields))
        return _start(session, person_id)


def add_person(db: Database, by: Person, username: str, name: str, role: Role, site: str | None, password: str) -> Person:
    """Add somebody. Coordinators and admins may; only an admin may add another admin. Raises NotAllowed or StudyError."""
    demand(by, Action.MANAGE_PEOPLE)
    if role is Role.ADMIN and by.role is not Role.ADMIN:
        raise NotAllowed(f"{by.name} ({by.role}) may not add an admin. Ask an admin to do it.")
    if by.demo:
        raise StudyError("The demo has its people. Set up a study of your own to add real ones.")
    fields = _checked(username, name, role, site)
    hashed = _hash(password)
    with db.write() as session:
        person_id = stored.add(session, fields, password_hash=hashed)
        audit.append(session, by.id, "person added", f"person {person_id}", _in_the_trail(fields))
        return _person(stored.by_id(session, person_id))


def delete_person(db: Database, by: Person, person_id: int) -> bool:
    """Erases an account for good: its name, user name, password, sign-ins and calibrated screens. What the person judged stays under the pseudonym.

    Returns whether the audit trail, which cannot be changed, still has the user name: from before it held ids alone. Raises NotAllowed, or
    StudyError for somebody who is not there, the demo's people, an admin where no admin asks, and oneself.
    """
    demand(by, Action.MANAGE_PEOPLE)
    with db.write() as session:
        person = stored.by_id(session, person_id)
        if person is None or not person.active:
            raise StudyError(f"There is no account with id {person_id}. Choose one from the list of people.")
        if person.demo or by.demo:
            raise StudyError("The demo's people stay as they are; they are closed when a study of your own is set up.")
        if person.role == Role.ADMIN and by.role is not Role.ADMIN:
            raise NotAllowed(f"{by.name} ({by.role}) may not delete an admin's account. Ask an admin to do it.")
        if person.id == by.id:
            raise StudyError("You cannot delete the account that you are signed in with. Ask another admin or coordinator.")
        stored.erase(session, person_id)
        states = {"from": {"active": True, "role": person.role, "site": person.site}, "to": {"active": False}}
        audit.append(session, by.id, "account deleted", f"person {person_id}", states)
        named = audit.names_user(session, f"person {person_id}")
    db.put_away_log()
    return named


def add_demo_person(session: Session, username: str, name: str, role: Role, site: str | None) -> int:
    """The id of a demo person, who signs in by one click and has no password; in the caller's transaction.

    Raises StudyError once real people exist.
    """
    if stored.real_person_exists(session):
        raise StudyError("This database has real people: the demo stays closed. Use an empty database for it.")
    fields = _checked(username, name, role, site)
    person_id = stored.add(session, fields, password_hash=None, demo=True)
    audit.append(session, None, "person added", f"person {person_id}", _in_the_trail(fields))
    return person_id


def people(db: Database, by: Person) -> list[Person]:
    """Who is active: for coordinators and admins everybody, for others the people of their own site."""
    demand(by, Action.SEE_PEOPLE)
    with db.read() as session:
        rows = stored.everybody(session, site=None if by.role in (Role.COORDINATOR, Role.ADMIN) else by.site or "")
        return [_person(row) for row in rows]


def demo_people(db: Database) -> list[Person]:
    """The demo's people as long as it is open."""
    with db.read() as session:
        if stored.real_person_exists(session):
            return []
        return [_person(row) for row in stored.everybody(session, demo=True)]


def person_by_id(db: Database, person_id: int) -> Person | None:
    with db.read() as session:
        row = stored.by_id(session, person_id)
    return _person(row) if row and row.active else None


def person_by_username(db: Database, username: str) -> Person | None:
    with db.read() as session:
        row = stored.by_username(session, _plain_username(username))
    return _person(row) if row and row.active else None


def person_for(db: Database, token: str | None) -> Person | None:
    """Whose sign-in this is now: one indexed query, asked again at each run of each screen, so that signing out counts at once."""
    if not token:
        return None
    with db.read() as session:
        row = stored.signed_in(session, _fingerprint(token))
    return _person(row) if row else None


def sign_in(db: Database, username: str, password: str) -> str:
    """The token of a new sign-in, for an HttpOnly cookie; only its SHA-256 is stored.

    Raises SignInRefused: after five wrong passwords in 15 minutes for a user name, known or not, until the oldest is 15 minutes old;
    otherwise in the same words and the same time whether the name or the password is wrong.
    """
    known_as = _plain_username(username)[:64]
    window = now() - timedelta(minutes=FAILURE_MINUTES)
    with db.write() as session:  # counted as a failure until it succeeds: guesses sent at the same time cannot slip past the lock
        if stored.failures_since(session, known_as, window) >= FAILURES:
            raise SignInRefused(f"Too many attempts for this user name. Wait {FAILURE_MINUTES} minutes, then try again.")
        stored.note_failure(session, known_as, forget_before=window)
        account = stored.password_hash(session, known_as)
    if not _matches(account[1] if account else _DUMMY, password) or account is None:
        raise SignInRefused("User name or password is wrong.")
    person_id, hashed = account
    renewed = _hash(password, check=False) if _HASHER.check_needs_rehash(hashed) else None
    with db.write() as session:
        stored.forget_failures(session, known_as)
        if renewed:
            stored.set_password_hash(session, person_id, renewed)
        return _start(session, person_id)


def confirm_password(db: Database, person: Person, password: str) -> None:
    """Returns if this is the person's password, or they are of the demo and have none. Raises SignInRefused; failures count as at sign-in."""
    if person.demo:
        return
    window = now() - timedelta(minutes=FAILURE_MINUTES)
    with db.write() as session:
        if stored.failures_since(session, person.username, window) >= FAILURES:
            raise SignInRefused(f"Too many wrong passwords. Wait {FAILURE_MINUTES} minutes, then try again.")
        stored.note_failure(session, person.username, forget_before=window)
        account = stored.password_hash(session, person.username)
    if account is None or not _matches(account[1], password):
        raise SignInRefused("The password is wrong. Nothing was signed.")
    with db.write() as session:
        stored.forget_failures(session, person.username)


def sign_in_demo(db: Database, username: str) -> str:
    """The token of a demo person's sign-in, without a password.

    Raises SignInRefused once a real person exists, or if nobody in the demo has that name.
    """
    with db.write() as session:
        if stored.real_person_exists(session):
            raise SignInRefused("The demo is closed: this database is in use. Sign in with your user name and password.")
        row = stored.by_username(session, _plain_username(username))
        if row is None or not (row.demo and row.active):
            raise SignInRefused("Nobody in the demo has that name. Choose one from the list.")
        return _start(session, row.id)


def sign_out(db: Database, token: str | None) -> None:
    """Ends the sign-in, if it is one."""
    if not token:
        return
    with db.write() as session:
        person_id = stored.end_sign_in(session, _fingerprint(token))
        if person_id is not None:
            audit.append(session, person_id, "signed out", f"person {person_id}")


def _start(session: Session, person_id: int) -> str:
    token = secrets.token_urlsafe(32)
    stored.start_sign_in(session, person_id, _fingerprint(token), now() + timedelta(hours=SIGN_IN_HOURS))
    audit.append(session, person_id, "signed in", f"person {person_id}")
    return token


def _in_the_trail(fields: NewPerson) -> dict[str, Any]:
    """What the audit trail keeps of a new person: nothing that could not stay when the account is deleted."""
    return {"from": None, "to": {"role": fields.role, "site": fields.site}}


def _person(row: PersonRow | None) -> Person:
    if row is None:
        raise StudyError("This person is not in the database any more. Sign in again.")
    return Person(row.id, row.username, row.name, Role(row.role), row.site, row.demo)


def _checked(username: str, name: str, role: Role, site: str | None) -> NewPerson:
    known_as, name, site = _plain_username(username), _line(name), _line(site or "") or None
    if not _USERNAME.fullmatch(known_as):
        raise StudyError(f"User name {username!r} will not do: write 2 to 64 of a-z, 0-9 and . - _ @, starting with a letter or digit.")
    if not 1 <= len(name) <= 120:
        raise StudyError("Write the person's name in 1 to 120 characters.")
    if site and len(site) > 120:
        raise StudyError("Write the site's name in at most 120 characters.")
    if role is Role.READER and site is None:
        raise StudyError(f"Reader {known_as!r} has no site. Write the hospital's name: results are counted by site.")
    return NewPerson(known_as, name, role.value, site)


def _plain_username(username: str) -> str:
    return username.strip().lower()


def _line(text: str) -> str:
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def _hash(password: str, *, check: bool = True) -> str:
    if check and len(password) < PASSWORD_LENGTH:
        raise StudyError(f"The password has {len(password)} characters. Choose one of at least {PASSWORD_LENGTH}; any characters will do.")
    with _HASHING:
        return _HASHER.hash(_same_on_every_keyboard(password))


def _matches(hashed: str, password: str) -> bool:
    try:
        with _HASHING:
            return _HASHER.verify(hashed, _same_on_every_keyboard(password))
    except (VerificationError, InvalidHashError):
        return False


def _same_on_every_keyboard(password: str) -> bytes:
    """NFKC, as NIST SP 800-63B advises: an accented letter may come in one code point or two."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
