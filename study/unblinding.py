"""Unblinding: two people who are not readers, one asks and another confirms. After it the arms can be read, and no judgement is taken any more."""

from __future__ import annotations

from sqlalchemy.orm import Session

from storage import audit, signatures
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand
from study.studies import study_to_change

REASON_LENGTH = 1000


def ask(db: Database, person: Person, study_id: int, reason: str | None = None) -> None:
    """The first of two: needs every round read through and signed, or a reason, which is logged. Raises NotAllowed or StudyError."""
    demand(person, Action.UNBLIND)
    reason = " ".join((reason or "").split())
    if len(reason) > REASON_LENGTH:
        raise StudyError(f"reason: write at most {REASON_LENGTH} characters.")
    with db.write() as session:
        study = study_to_change(session, person, study_id)
        if study.unblinding_asked_at is not None:
            raise StudyError(f"Unblinding of {study.title!r} was asked for already. Another person has to confirm it.")
        done, total = _read(session, study_id)
        if done == 0:
            raise StudyError(f"{study.title!r} has no judgement yet: there is nothing to unblind.")
        if done < total and not reason:
            raise StudyError(
                f"{study.title!r} is not read through: {done} of {total} judgements are in. Wait for the rest, or give a reason for ending early."
            )
        signed, to_sign = len(signatures.of_study(session, study_id)), len(stored.progress(session, study_id))
        if signed < to_sign and not reason:
            raise StudyError(
                f"{study.title!r} is read but not signed: {signed} of {to_sign} signatures are in, one a reader and round. "
                "Wait for the rest, or give a reason for doing without."
            )
        stored.change(session, study_id, unblinding_asked_by=person.id, unblinding_asked_at=now())
        audit.append(
            session,
            person.id,
            "unblinding asked",
            f"study {study_id}",
            {"done": done, "total": total, "signed": signed, "to sign": to_sign, "reason": reason},
        )


def withdraw(db: Database, person: Person, study_id: int) -> None:
    """Takes back a request that nobody has confirmed; any of those who may unblind can. Raises NotAllowed or StudyError."""
    demand(person, Action.UNBLIND)
    with db.write() as session:
        study = study_to_change(session, person, study_id)
        if study.unblinding_asked_at is None:
            raise StudyError(f"Nobody has asked for unblinding {study.title!r}.")
        stored.change(session, study_id, unblinding_asked_by=None, unblinding_asked_at=None)
        audit.append(session, person.id, "unblinding withdrawn", f"study {study_id}")


def confirm(db: Database, person: Person, study_id: int) -> None:
    """The second of two, never the one who asked: from here on the study is unblinded, which nothing undoes. Raises NotAllowed or StudyError."""
    demand(person, Action.UNBLIND)
    with db.write() as session:
        study = study_to_change(session, person, study_id)
        if study.unblinding_asked_by is None:
            raise StudyError(f"Nobody has asked for unblinding {study.title!r} yet: one person asks, another confirms.")
        if study.unblinding_asked_by == person.id:
            raise StudyError("You asked for this unblinding. Another person has to confirm it.")
        done, total = _read(session, study_id)
        stored.change(session, study_id, unblinded_by=person.id, unblinded_at=now())
        audit.append(session, person.id, "unblinded", f"study {study_id}", {"done": done, "total": total, "asked_by": study.unblinding_asked_by})


def _read(session: Session, study_id: int) -> tuple[int, int]:
    progress = stored.progress(session, study_id)
    return sum(one.done for one in progress), sum(one.total for one in progress)
