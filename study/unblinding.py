"""Unblinding: two people who are not readers, one asks and another confirms, of two hospitals where there are two.

After it the arms can be read, no judgement is taken any more, and results are computed from the snapshot that it takes.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from storage import audit, export, snapshots
from storage import people as stored_people
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study.closing import checked_reason, numbers, still_open
from study.errors import StudyError
from study.people import Person
from study.roles import ALLOWED, Action, Role, demand
from study.studies import study_to_change

ASKED = "unblinding asked"  # in the audit trail
# There too, about a person: whoever did one of these made the account, or had its next password or its role in hand
GIVEN_BY = ("person added", "invitation made", "e-mail address changed", "role changed")


def ask(db: Database, person: Person, study_id: int, reason: str) -> None:
    """The first of two, with a reason that is logged: needs every round closed (study.closing). Raises NotAllowed or StudyError."""
    demand(person, Action.UNBLIND)
    with db.write() as session:
        study = study_to_change(session, person, study_id)
        if study.unblinding_asked_at is not None:
            raise StudyError(f"Unblinding of {study.title!r} was asked for already. Another person has to confirm it.")
        done, total, signed, to_sign = numbers(session, study_id)
        if done == 0:
            raise StudyError(f"{study.title!r} has no judgement yet: there is nothing to unblind.")
        _refuse_open_rounds(session, study)
        reason = checked_reason(reason)
        if len(_sites(session, person)) > 1 and _site(session, person.id) is None:
            raise StudyError("People of two hospitals can unblind this study, so one of each does; you belong to none. Let one of them ask.")
        stored.change(session, study_id, unblinding_asked_by=person.id, unblinding_asked_at=now())
        detail = {"from": "blind", "to": "unblinding asked", "why": reason, "done": done, "total": total, "signed": signed, "to sign": to_sign}
        audit.append(session, person.id, ASKED, f"study {study_id}", detail)


def withdraw(db: Database, person: Person, study_id: int) -> None:
    """Takes back a request that nobody has confirmed; any of those who may unblind can. Raises NotAllowed or StudyError."""
    demand(person, Action.UNBLIND)
    with db.write() as session:
        study = study_to_change(session, person, study_id)
        if study.unblinding_asked_at is None:
            raise StudyError(f"Nobody has asked for unblinding {study.title!r}.")
        stored.change(session, study_id, unblinding_asked_by=None, unblinding_asked_at=None)
        detail = {"from": "unblinding asked", "to": "blind", "asked_by": study.unblinding_asked_by}
        audit.append(session, person.id, "unblinding withdrawn", f"study {study_id}", detail)


def confirm(db: Database, person: Person, study_id: int) -> None:
    """The second of two, never the one who asked nor somebody who owes the account to them, and of another hospital than theirs where somebody is
    who could: from here on the study is unblinded, which nothing undoes, and its snapshot is taken. Raises NotAllowed or StudyError.
    """
    demand(person, Action.UNBLIND)
    with db.write() as session:
        study = study_to_change(session, person, study_id)
        if study.unblinding_asked_by is None:
            raise StudyError(f"Nobody has asked for unblinding {study.title!r} yet: one person asks, another confirms.")
        if study.unblinding_asked_by == person.id:
            raise StudyError("You asked for this unblinding. Another person has to confirm it.")
        asked_from, sites = _site(session, study.unblinding_asked_by), _sites(session, person)
        elsewhere = sites - {asked_from} if asked_from is not None or len(sites) > 1 else set()
        if elsewhere and _site(session, person.id) not in elsewhere:
            raise StudyError(f"Two people of two hospitals unblind a study. Somebody of {' or '.join(sorted(elsewhere))} has to confirm it.")
        _refuse_one_behind_both(session, study, study.unblinding_asked_by, person.id)
        _refuse_open_rounds(session, study)
        done, total, _signed, _to_sign = numbers(session, study_id)
        stored.change(session, study_id, unblinded_by=person.id, unblinded_at=now())
        snapshot = snapshots.take(session, study_id)
        states = {"from": "unblinding asked", "to": "unblinded", "asked_by": study.unblinding_asked_by}
        of = {"asked_from": asked_from, "confirmed_from": _site(session, person.id), "done": done, "total": total, "snapshot": snapshot}
        audit.append(session, person.id, snapshots.UNBLINDED, f"study {study_id}", {**states, **of})


def _refuse_open_rounds(session: Session, study: stored.StudyRow) -> None:
    if missing := still_open(session, study.id):
        raise StudyError(
            f"Unblinding {study.title!r} needs every round closed: {'; '.join(missing.values())}. Wait for the rest, or close a round with a reason."
        )


def _refuse_one_behind_both(session: Session, study: stored.StudyRow, asker: int, confirmer: int) -> None:
    """Raises StudyError where one person may hold both accounts: both were given by somebody who is no admin (whoever asks or confirms among them),
    or the confirmer's came into being, to its role or to another way in after the request. Admins are trusted: they may add anybody.
    """
    given: dict[str, set[int]] = {}
    for entry in export.entries(session, *GIVEN_BY):
        if entry.person_id is not None:
            given.setdefault(entry.subject, set()).add(entry.person_id)
    if _behind(session, given, asker) & _behind(session, given, confirmer):
        raise StudyError(
            "One person gave out both accounts, yours and that of whoever asked, or one of you the other's. Somebody else has to confirm; "
            "an admin can invite them."
        )
    request = max((entry.id for entry in export.trail(session, f"study {study.id}", ASKED)), default=0)
    if any(entry.id > request for action in GIVEN_BY for entry in export.trail(session, f"person {confirmer}", action)):
        raise StudyError(
            "Your account was added, or got its role or its way in, after this unblinding was asked for. Somebody else has to confirm it; or "
            "withdraw the request, and ask again."
        )


def _behind(session: Session, given: dict[str, set[int]], person_id: int) -> set[int]:
    """The person, whoever gave them their account, whoever gave it to those, and so on; without admins, who may add anybody."""
    found: set[int] = set()
    waiting = [person_id]
    while waiting:
        one = waiting.pop()
        row = stored_people.by_id(session, one)
        if one not in found and row is not None and row.role != Role.ADMIN:
            found.add(one)
            waiting += given.get(f"person {one}", set())
    return found


def _sites(session: Session, person: Person) -> set[str]:
    """The hospitals of those who may unblind in this person's world."""
    may = [one for one in stored_people.everybody(session, demo=person.demo) if Action.UNBLIND in ALLOWED[Role(one.role)]]
    return {one.site for one in may if one.site is not None}


def _site(session: Session, person_id: int) -> str | None:
    found = stored_people.by_id(session, person_id)
    return found.site if found else None
