"""Ways in: the first set-up, user name and password, the hospital's single sign-on, the demo's one click; and the wait after wrong passwords."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from storage import audit
from storage import people as stored
from storage.database import Database
from storage.tables import now
from study import passwords, people
from study.errors import SignInRefused, StudyError
from study.people import Person
from study.roles import Role

COOKIE = "blindstrip_sign_in"  # which a browser keeps the token in
HOURS = 8  # a working day; the cookie's life as well
FAILURES = 5  # wrong passwords for a user name, known or not, lock it ...
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=15), timedelta(hours=4)  # ... for so long; each further one for twice as long
FORGOTTEN = timedelta(hours=24)  # a wrong password counts so long, or until a right one
FRESH = timedelta(minutes=15)  # who has no password here signs with a sign-in that is no older
_ASSERTED = timedelta(minutes=10)  # for so long what the hospital said counts: its cookie would last for weeks


def set_up(db: Database, username: str, name: str, password: str, site: str | None) -> str:
    """Make the first real person, an admin, close the demo, and sign them in: returns the token.

    Raises StudyError if somebody else was first, or for a user name, name, site or password that will not do.
    """
    fields = people.checked(username, name, Role.ADMIN, site)
    hashed = passwords.hashed(password)
    with db.write() as session:
        if stored.real_person_exists(session):
            raise StudyError("Somebody has set up this database already. Sign in, or ask an admin to add you.")
        stored.close_demo(session)
        person_id = stored.add(session, fields, password_hash=hashed)
        audit.append(session, person_id, "set up", f"person {person_id}", people.in_the_trail(fields))
        return start(session, person_id)


def sign_in(db: Database, username: str, password: str) -> str:
    """The token of a new sign-in, for an HttpOnly cookie; only its SHA-256 is stored.

    Raises SignInRefused: after too many wrong passwords for a user name, known or not, until its wait is over; otherwise in the same words and
    the same time whether the name or the password is wrong.
    """
    known_as = people.plain_username(username)[:64]
    person_id, kept = _tried(db, known_as, " for this user name")
    if not passwords.matches(kept, password) or person_id is None or kept is None:
        raise SignInRefused("User name or password is wrong.")
    renewed = passwords.renewed(kept, password)
    with db.write() as session:
        stored.forget_failures(session, known_as)
        if renewed:
            stored.set_password_hash(session, person_id, renewed)
        return start(session, person_id)


def sign_in_through_hospital(db: Database, told: Mapping[str, Any]) -> str:
    """The token of a sign-in of whom the hospital's single sign-on knows by this e-mail address.

    told: the claims of its ID token, whose signature was checked: email, email_verified where the provider says it, iat (Unix time of issue).
    Raises SignInRefused for an address that is missing, not verified or nobody's here, and for what was told more than ten minutes ago.
    """
    email, issued = told.get("email"), told.get("iat")
    if not isinstance(email, str) or told.get("email_verified") is False:
        raise SignInRefused("Your hospital's sign-on does not vouch for an e-mail address of yours. Ask whoever runs this server.")
    if not isinstance(issued, int | float) or abs(now().timestamp() - issued) > _ASSERTED.total_seconds():
        raise SignInRefused("Your hospital's sign-on was too long ago. Sign in again.")
    with db.write() as session:
        row = stored.by_email(session, people.plain_email(email))
        if row is None or not row.active:
            raise SignInRefused(f"Nobody here has the e-mail address {email}. Ask your coordinator to enter it with your account.")
        return start(session, row.id, {"through": "single sign-on"})


def sign_in_demo(db: Database, username: str) -> str:
    """The token of a demo person's sign-in, without a password.

    Raises SignInRefused once a real person exists, or if nobody in the demo has that name.
    """
    with db.write() as session:
        if stored.real_person_exists(session):
            raise SignInRefused("The demo is closed: this database is in use. Sign in with your user name and password.")
        row = stored.by_username(session, people.plain_username(username))
        if row is None or not (row.demo and row.active):
            raise SignInRefused("Nobody in the demo has that name. Choose one from the list.")
        return start(session, row.id)


def person_for(db: Database, token: str | None) -> Person | None:
    """Whose sign-in this is now: one indexed query, asked again at each run of each screen, so that signing out counts at once."""
    if not token:
        return None
    with db.read() as session:
        row = stored.signed_in(session, fingerprint(token))
    return people.of_row(row) if row else None


def confirm(db: Database, person: Person, password: str) -> None:
    """Returns if this is the person's password, or they are of the demo and have none. Raises SignInRefused; failures count as at sign-in.

    Who comes through the hospital and has no password here has signed in within the last 15 minutes instead.
    """
    if person.demo:
        return
    if not has_password(db, person):
        with db.read() as session:
            if not stored.signed_in_since(session, person.id, now() - FRESH):
                raise SignInRefused("Sign out, sign in again through your hospital, and sign within 15 minutes. Nothing was signed.")
        return
    _, kept = _tried(db, person.username, "")
    if not passwords.matches(kept, password):
        raise SignInRefused("The password is wrong. Nothing was signed.")
    with db.write() as session:
        stored.forget_failures(session, person.username)


def has_password(db: Database, person: Person) -> bool:
    """Whether they have chosen one here."""
    with db.read() as session:
        return stored.password_hash(session, person.username) is not None


def change_password(db: Database, person: Person, token: str | None, old: str, new: str) -> None:
    """A new password for oneself; all other sign-ins end. token: of the sign-in that stays.

    Raises SignInRefused for a wrong old password, StudyError for a new one that will not do and for who has none.
    """
    if not has_password(db, person):
        raise StudyError("There is no password to change: you sign in without one.")
    _, kept = _tried(db, person.username, "")
    if not passwords.matches(kept, old):
        raise SignInRefused("The old password is wrong. Nothing was changed.")
    if passwords.matches(kept, new):
        raise StudyError("The new password is the old one. Choose another.")
    hashed = passwords.hashed(new)
    with db.write() as session:
        stored.forget_failures(session, person.username)
        stored.set_password_hash(session, person.id, hashed)
        stored.end_sign_ins(session, person.id, but=fingerprint(token) if token else "")
        audit.append(session, person.id, "password changed", f"person {person.id}")


def sign_out(db: Database, token: str | None) -> None:
    """Ends the sign-in, if it is one."""
    if not token:
        return
    with db.write() as session:
        person_id = stored.end_sign_in(session, fingerprint(token))
        if person_id is not None:
            audit.append(session, person_id, "signed out", f"person {person_id}")


def start(session: Session, person_id: int, detail: dict[str, Any] | None = None) -> str:
    """The token of a new sign-in, in the caller's transaction."""
    token = secrets.token_urlsafe(32)
    stored.start_sign_in(session, person_id, fingerprint(token), now() + timedelta(hours=HOURS))
    audit.append(session, person_id, "signed in", f"person {person_id}", detail)
    return token


def _tried(db: Database, username: str, whose: str) -> tuple[int | None, str | None]:
    """Counts an attempt and returns the account's id and hash, if there is one. Raises SignInRefused while the user name waits."""
    with db.write() as session:  # counted as a failure until it succeeds: guesses sent at the same time cannot slip past the lock
        until = _locked_until(stored.failures(session, username, now() - FORGOTTEN))
        if until > now():
            minutes = int((until - now()).total_seconds() // 60) + 1
            raise SignInRefused(f"Too many wrong passwords{whose}. Wait {minutes} minutes, or ask your coordinator for a new link.")
        stored.note_failure(session, username, forget_before=now() - FORGOTTEN)
        return stored.password_hash(session, username) or (None, None)


def _locked_until(failures: list[datetime]) -> datetime:
    if len(failures) < FAILURES:
        return now()
    return failures[-1] + min(FIRST_WAIT * 2 ** min(len(failures) - FAILURES, 10), LONGEST_WAIT)


def fingerprint(token: str) -> str:
    """Its SHA-256: what the database keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
