"""When a round is closed: every reader has read and signed it, or somebody closed it with a reason. A study is unblinded when all its rounds are."""

from __future__ import annotations

from sqlalchemy.orm import Session

from storage import audit, closings, signatures
from storage import studies as stored
from storage.database import Database
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand
from study.studies import refuse_when_unblinding_asked, study_to_change

REASON_LENGTH = 1000


def close_round(db: Database, by: Person, study_id: int, number: int, reason: str) -> None:
    """Ends a round that is not read through or not signed, for good: from here on it takes no answer and no signature.

    Raises NotAllowed, StudyError for a missing reason and for a round that is closed already.
    """
    demand(by, Action.OPEN_ROUNDS)
    reason = checked_reason(reason)
    with db.write() as session:
        study = study_to_change(session, by, study_id)
        refuse_when_unblinding_asked(study)
        found = [one for one in stored.rounds(session, study_id) if one.number == number]
        if not found:
            raise StudyError(f"{study.title!r} has no round {number}. Choose one from the list of its rounds.")
        if found[0].id not in still_open(session, study_id):
            raise StudyError(f"Round {number} of {study.title!r} is closed already.")
        done, total, signed, to_sign = numbers(session, study_id, found[0].id)
        closings.add(session, found[0].id, by.id, reason)
        detail = {"from": "open", "to": "closed", "why": reason, "done": done, "total": total, "signed": signed, "to sign": to_sign}
        audit.append(session, by.id, "round closed", f"round {found[0].id}", detail)


def still_open(session: Session, study_id: int) -> dict[int, str]:
    """The rounds that are not closed: id -> what is missing, in words."""
    by_hand = {one.round_id for one in closings.of_study(session, study_id)}
    missing = {}
    for one in stored.rounds(session, study_id):
        done, total, signed, to_sign = numbers(session, study_id, one.id)
        if one.id not in by_hand and (done < total or signed < to_sign):
            missing[one.id] = f"round {one.number} is open ({done} of {total} judgements, {signed} of {to_sign} signatures)"
    return missing


def numbers(session: Session, study_id: int, round_id: int | None = None) -> tuple[int, int, int, int]:
    """Judgements that are in and that were asked for, signatures that are in and that were asked for: of a round, or of all."""
    progress = [one for one in stored.progress(session, study_id) if round_id in (None, one.round_id)]
    signed = [key for key in signatures.of_study(session, study_id) if round_id in (None, key[0])]
    return sum(one.done for one in progress), sum(one.total for one in progress), len(signed), len(progress)


def checked_reason(reason: str | None) -> str:
    """The reason on one line. Raises StudyError where there is none."""
    plain = " ".join((reason or "").split())
    if not 1 <= len(plain) <= REASON_LENGTH or not plain.isprintable():
        raise StudyError(f"reason: write 1 to {REASON_LENGTH} characters; it is kept in the audit trail and shown with the results.")
    return plain
