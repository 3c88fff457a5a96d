"""People who were invited and have chosen a password."""

from __future__ import annotations

from storage.database import Database
from study import invitations, sign_in
from study.people import Person
from study.roles import Role

PASSWORD = "correct horse battery"


def joined(db: Database, by: Person, username: str, name: str, role: Role, site: str | None, password: str = PASSWORD) -> Person:
    """Somebody invited by `by`, who has used the link and is signed out again."""
    made = invitations.invite(db, by, username, name, role, site)
    sign_in.sign_out(db, invitations.accept(db, made.token, password))
    return made.person
