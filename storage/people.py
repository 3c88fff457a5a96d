"""People, their sites, their sign-ins, and the failed ones. Knows nothing of roles' rights or of how a password is hashed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, func, select, text, update
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.tables import FailedSignIn, Invitation, Person, Screen, SignIn, Site, now


@dataclass(frozen=True)
class NewPerson:
    username: str
    name: str
    role: str
    site: str | None
    email: str | None = None


@dataclass(frozen=True)
class PersonRow:
    id: int
    username: str
    name: str
    role: str
    site: str | None  # the hospital's name
    email: str | None
    demo: bool
    active: bool


def add(session: Session, new: NewPerson, *, password_hash: str | None, demo: bool = False) -> int:
    """A new person's id. A site that is not known yet comes into being with its first person.

    Raises StorageError if the user name or the e-mail address is taken.
    """
    if session.scalar(select(Person.id).where(Person.username == new.username)) is not None:
        raise StorageError(f"The user name {new.username!r} is taken. Choose another.")
    person = Person(username=new.username, name=new.name, role=new.role, site_id=_site(session, new.site), password_hash=password_hash, demo=demo)
    person.email = _free(session, new.email)
    session.add(person)
    session.flush()
    return person.id


def by_id(session: Session, person_id: int) -> PersonRow | None:
    return _one(session, _people().where(Person.id == person_id))


def by_username(session: Session, username: str) -> PersonRow | None:
    return _one(session, _people().where(Person.username == username))


def signed_in(session: Session, token_sha256: str) -> PersonRow | None:
    """Who holds this token now: not ended, not expired, the person still active. One query by primary key."""
    query = _people().join(SignIn, SignIn.person_id == Person.id)
    return _one(session, query.where(SignIn.token_sha256 == token_sha256, SignIn.ended_at.is_(None), SignIn.expires_at > now(), Person.active))


def by_email(session: Session, email: str) -> PersonRow | None:
    return _one(session, _people().where(Person.email == email))


def everybody(session: Session, *, site: str | None = None, demo: bool | None = None) -> list[PersonRow]:
    """Active people by name; of one site, of the demo or not, where given."""
    query = _people().where(Person.active)
    if site is not None:
        query = query.where(Site.name == site)
    if demo is not None:
        query = query.where(Person.demo == demo)
    return [PersonRow(*row) for row in session.execute(query.order_by(Person.name, Person.id))]


def sites(session: Session) -> list[str]:
    return list(session.scalars(select(Site.name).order_by(Site.name)))


def nobody_yet(session: Session) -> bool:
    return session.scalar(select(Person.id).limit(1)) is None


def real_person_exists(session: Session) -> bool:
    return session.scalar(select(Person.id).where(Person.demo.is_(False)).limit(1)) is not None


def password_hash(session: Session, username: str) -> tuple[int, str] | None:
    """Id and password hash of an active person who has a password."""
    row = session.execute(select(Person.id, Person.password_hash).where(Person.username == username, Person.active)).one_or_none()
    return (row[0], row[1]) if row and row[1] is not None else None


def set_password_hash(session: Session, person_id: int, password_hash: str) -> None:
    session.execute(update(Person).where(Person.id == person_id).values(password_hash=password_hash))


def set_email(session: Session, person_id: int, email: str | None) -> None:
    """Raises StorageError if it is somebody else's."""
    session.execute(update(Person).where(Person.id == person_id).values(email=_free(session, email, but_for=person_id)))


def set_role(session: Session, person_id: int, role: str, site: str | None) -> None:
    session.execute(update(Person).where(Person.id == person_id).values(role=role, site_id=_site(session, site)))


def invite(session: Session, person_id: int, token_sha256: str, made_by: int, expires_at: datetime) -> None:
    """A new link for somebody; their earlier ones end."""
    session.execute(update(Invitation).where(Invitation.person_id == person_id, Invitation.used_at.is_(None)).values(used_at=now()))
    session.add(Invitation(token_sha256=token_sha256, person_id=person_id, made_by=made_by, expires_at=expires_at))
    session.flush()


def invited(session: Session, token_sha256: str) -> PersonRow | None:
    """Whose link this is, if it was not used, replaced or left too long."""
    query = _people().join(Invitation, Invitation.person_id == Person.id)
    return _one(
        session, query.where(Invitation.token_sha256 == token_sha256, Invitation.used_at.is_(None), Invitation.expires_at > now(), Person.active)
    )


def use_invitation(session: Session, token_sha256: str) -> bool:
    """False if somebody else was first."""
    used = update(Invitation).where(Invitation.token_sha256 == token_sha256, Invitation.used_at.is_(None)).values(used_at=now())
    return bool(session.execute(used.returning(Invitation.token_sha256)).all())


def waiting(session: Session) -> set[int]:
    """Ids of those whose link can still be used."""
    return set(session.scalars(select(Invitation.person_id).where(Invitation.used_at.is_(None), Invitation.expires_at > now())))


def invited_by(session: Session, made_by: int) -> set[int]:
    """Ids of those to whom this person ever gave a link."""
    return set(session.scalars(select(Invitation.person_id).where(Invitation.made_by == made_by)))


def erase(session: Session, person_id: int) -> None:
    """Name, user name, password, sign-ins and screens go; the row stays, for what points to it and for the hospital it counts for."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("PRAGMA secure_delete = ON"))  # what was written over is gone from the file too
    username = session.scalar(select(Person.username).where(Person.id == person_id)) or ""
    forget_failures(session, username)
    session.execute(delete(SignIn).where(SignIn.person_id == person_id))
    session.execute(delete(Invitation).where(Invitation.person_id == person_id))
    session.execute(delete(Screen).where(Screen.person_id == person_id))
    # a user name that nobody can be given, or sign in with
    gone = {"username": f"-deleted-{person_id}", "name": f"deleted account {person_id}", "email": None, "password_hash": None, "active": False}
    session.execute(update(Person).where(Person.id == person_id).values(**gone))


def close_demo(session: Session) -> None:
    """Demo people become inactive and their sign-ins end; what they read stays."""
    demo_ids: Sequence[int] = session.scalars(select(Person.id).where(Person.demo)).all()
    session.execute(update(SignIn).where(SignIn.person_id.in_(demo_ids), SignIn.ended_at.is_(None)).values(ended_at=now()))
    session.execute(update(Person).where(Person.id.in_(demo_ids)).values(active=False))


def start_sign_in(session: Session, person_id: int, token_sha256: str, expires_at: datetime) -> None:
    session.add(SignIn(token_sha256=token_sha256, person_id=person_id, expires_at=expires_at))
    session.flush()


def end_sign_ins(session: Session, person_id: int, *, but: str = "") -> None:
    """Ends all of somebody's sign-ins, or all but the one with this hash."""
    ended = update(SignIn).where(SignIn.person_id == person_id, SignIn.ended_at.is_(None), SignIn.token_sha256 != but)
    session.execute(ended.values(ended_at=now()))


def signed_in_since(session: Session, person_id: int, since: datetime) -> bool:
    query = select(SignIn.token_sha256).where(SignIn.person_id == person_id, SignIn.created_at > since, SignIn.ended_at.is_(None))
    return session.scalar(query.limit(1)) is not None


def end_sign_in(session: Session, token_sha256: str) -> int | None:
    """Ends it and returns whose it was; None if it was not open."""
    open_one: tuple[ColumnElement[bool], ...] = (SignIn.token_sha256 == token_sha256, SignIn.ended_at.is_(None))
    person_id = session.scalar(select(SignIn.person_id).where(*open_one))
    session.execute(update(SignIn).where(*open_one).values(ended_at=now()))
    return person_id


def failures(session: Session, username: str, since: datetime) -> list[datetime]:
    """When a wrong password was given for a user name, oldest first."""
    return list(session.scalars(select(FailedSignIn.at).where(FailedSignIn.username == username, FailedSignIn.at > since).order_by(FailedSignIn.at)))


def note_failure(session: Session, username: str, *, forget_before: datetime) -> None:
    """Counts one failure and drops those too old to count, of everybody: guessing must not fill the disk."""
    session.execute(delete(FailedSignIn).where(FailedSignIn.at <= forget_before))
    session.add(FailedSignIn(username=username))
    session.flush()


def forget_failures(session: Session, username: str) -> None:
    session.execute(delete(FailedSignIn).where(FailedSignIn.username == username))


def _people() -> Select[int, str, str, str, str | None, str | None, bool, bool]:
    columns = select(Person.id, Person.username, Person.name, Person.role, Site.name, Person.email, Person.demo, Person.active)
    return columns.join(Site, Person.site_id == Site.id, isouter=True)


def _one(session: Session, query: Select[int, str, str, str, str | None, str | None, bool, bool]) -> PersonRow | None:
    row = session.execute(query).one_or_none()
    return PersonRow(*row) if row else None


def _free(session: Session, email: str | None, *, but_for: int | None = None) -> str | None:
    if email is not None and session.scalar(select(Person.id).where(Person.email == email, Person.id != (but_for or 0))) is not None:
        raise StorageError(f"The e-mail address {email!r} is another account's. Correct one of the two.")
    return email


def _site(session: Session, name: str | None) -> int | None:
    if name is None:
        return None
    known = session.scalar(select(Site.id).where(func.lower(Site.name) == name.lower()))  # "Charité" and "charité" are one hospital
    if known is not None:
        return known
    site = Site(name=name)
    session.add(site)
    session.flush()
    return site.id
