"""Invitations: a link with which a person chooses a password, once. Nobody else ever knows it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from storage import audit
from storage import people as stored
from storage.database import Database
from storage.tables import now
from study import passwords, people, sign_in
from study.errors import NotAllowed, SignInRefused, StudyError
from study.people import Person
from study.roles import Action, Role, demand

DAYS = 7
PATH = "/join"  # the page that takes the link
UNUSABLE = f"This link was used, replaced, or is older than {DAYS} days. Ask your coordinator for a new one."


@dataclass(frozen=True)
class Invitation:
    """A link for somebody. It is shown once: the database has its hash alone."""

    person: Person
    path: str  # with the token, to follow the address of the server
    expires_at: datetime

    @property
    def token(self) -> str:
        return self.path.partition("=")[2]


def invite(db: Database, by: Person, username: str, name: str, role: Role, site: str | None, *, email: str | None = None) -> Invitation:
    """Add somebody, who chooses a password by the link. Coordinators and admins may; only an admin may add another admin.

    email: by which the hospital's single sign-on knows them. Raises NotAllowed; StudyError or StorageError for what will not do or is taken.
    """
    demand(by, Action.MANAGE_PEOPLE)
    if role is Role.ADMIN and by.role is not Role.ADMIN:
        raise NotAllowed(f"{by.name} ({by.role}) may not add an admin. Ask an admin to do it.")
    if by.demo:
        raise StudyError("The demo has its people. Set up a study of your own to add real ones.")
    fields = people.checked(username, name, role, site, email)
    with db.write() as session:
        person_id = stored.add(session, fields, password_hash=None)
        audit.append(session, by.id, "person added", f"person {person_id}", people.in_the_trail(fields))
        return _made(session, by, person_id)


def new_link(db: Database, by: Person, person_id: int) -> Invitation:
    """Another link for somebody who lost theirs, or their password. The old password counts until the link is used; older links end now.

    A coordinator may make one for a reader, an admin for everybody: with a link for one who may unblind, one person could do it alone.
    Raises NotAllowed, or StudyError for somebody who is not there.
    """
    with db.write() as session:
        person = people.to_manage(session, by, person_id)
        people.refuse_way_in(by, person)
        return _made(session, by, person_id)


def invited(db: Database, token: str) -> Person | None:
    """Whose link this is, as long as it can be used."""
    with db.read() as session:
        row = stored.invited(session, sign_in.fingerprint(token))
    return people.of_row(row) if row else None


def accept(db: Database, token: str, password: str) -> str:
    """Sets the password and signs in: the token of the sign-in. Earlier sign-ins end, and wrong passwords are forgotten.

    Raises SignInRefused for a link that cannot be used, StudyError for a password that will not do: the link stays good.
    """
    if invited(db, token) is None:  # before a hash is computed for nobody
        raise SignInRefused(UNUSABLE)
    hashed = passwords.hashed(password)
    with db.write() as session:
        person = stored.invited(session, sign_in.fingerprint(token))
        if person is None or not stored.use_invitation(session, sign_in.fingerprint(token)):
            raise SignInRefused(UNUSABLE)
        stored.set_password_hash(session, person.id, hashed)
        stored.forget_failures(session, person.username)
        stored.end_sign_ins(session, person.id)
        audit.append(session, person.id, "invitation accepted", f"person {person.id}")
        return sign_in.start(session, person.id)


def _made(session: Session, by: Person, person_id: int) -> Invitation:
    token, expires_at = secrets.token_urlsafe(32), now() + timedelta(days=DAYS)
    stored.invite(session, person_id, sign_in.fingerprint(token), by.id, expires_at)
    audit.append(session, by.id, "invitation made", f"person {person_id}", {"expires_at": expires_at.isoformat(timespec="seconds")})
    return Invitation(people.of_row(stored.by_id(session, person_id)), f"{PATH}?link={token}", expires_at)
