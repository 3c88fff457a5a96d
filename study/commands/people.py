"""Commands on people: their arguments in, what --json says out."""

from __future__ import annotations

import argparse
from typing import Any

from study import invitations, people, sign_in
from study.commands.common import asker, database, password, person_named, public
from study.errors import StudyError
from study.progress_bar import say
from study.roles import Role


def add_person(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db:
        if people.can_set_up(db):
            if given.role != Role.ADMIN:
                raise StudyError("The first person administers this installation: add them with --role admin.")
            sign_in.sign_out(db, sign_in.set_up(db, given.newcomer, given.name, password(given.password_file), given.site))
            return public(person_named(db, given.newcomer))
        if given.password_file is not None:
            raise StudyError("--password-file: others choose their own password, by the link that this command prints. Leave it out.")
        by = asker(db, given.username)
        return _told(invitations.invite(db, by, given.newcomer, given.name, Role(given.role), given.site, email=given.email))


def new_link(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db:
        return _told(invitations.new_link(db, asker(db, given.username), person_named(db, given.who).id))


def change_role(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db:
        people.change_role(db, asker(db, given.username), person_named(db, given.who).id, Role(given.role), given.site)
        return public(person_named(db, given.who))


def set_email(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db:
        people.set_email(db, asker(db, given.username), person_named(db, given.who).id, given.email)
        return public(person_named(db, given.who))


def list_people(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db:
        return {"people": [public(one) for one in people.people(db, asker(db, given.username))]}


def delete_person(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db:
        person = person_named(db, given.who)
        left = people.delete_person(db, asker(db, given.username), person.id)
        if left.in_log:
            say(people.IN_LOG)
        return {"deleted": person.id, "user_name_in_the_audit_trail": left.named_in_trail, "still_in_the_log": left.in_log}


def _told(made: invitations.Invitation) -> dict[str, Any]:
    """link: to follow the server's address, as https://ecg.hospital.org/join?link=..."""
    return public(made.person) | {"link": made.path, "link_until": made.expires_at.isoformat(timespec="seconds")}
