"""Changes of a protocol: free until it freezes at the first judgement; after that numbered amendments with a reason, shown with the results."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from storage import amendments, audit
from storage import studies as stored
from storage.amendments import AmendmentRow
from storage.database import Database
from storage.tables import now
from study import closing
from study.errors import StudyError
from study.people import Person
from study.protocol import Protocol, changes, phases
from study.roles import Action, demand
from study.studies import refuse_when_unblinding_asked, study_to_change

AMENDED = "protocol amended"  # in the audit trail
# The margin counts for all answers, those given before too; the others for rounds opened afterwards. The questions stay: answers to others could
# not be put together.
AMENDABLE = ("margin", "min_repeat_distance", "washout_days")


def edit_protocol(db: Database, by: Person, study_id: int, protocol: Protocol, *, shown: str | None = None) -> None:
    """Replaces the rules as long as nobody has judged a case. shown: as for `amend`. Raises NotAllowed, StudyError once frozen: then `amend`."""
    demand(by, Action.MANAGE_STUDIES)
    with db.write() as session:
        study = study_to_change(session, by, study_id)
        _refuse_outdated(study, shown)
        if study.frozen_at is not None:
            raise StudyError(
                f"The protocol of {study.title!r} froze at the first judgement ({study.frozen_at:%Y-%m-%d %H:%M} UTC). "
                "Change it by an amendment with a reason, or set up another study."
            )
        if phases(protocol.question_order) != phases(study.protocol["question_order"]) and stored.rounds(session, study_id):
            raise StudyError("question_order: rounds are open already, with another number of parts. Set up another study for it.")
        _change(session, by, study, protocol, "protocol changed", {})


def amend(db: Database, by: Person, study_id: int, protocol: Protocol, reason: str, *, shown: str | None = None) -> int:
    """Changes a frozen protocol and returns the amendment's number. AMENDABLE says which rules may change.

    shown: the hash of the protocol that the person saw when they chose; None: whichever is in force. Raises NotAllowed; StudyError where another is
    in force than was shown, for a protocol that is not frozen, a change of the questions, no change at all, a missing reason, and once
    unblinding was asked for.
    """
    demand(by, Action.MANAGE_STUDIES)
    reason = closing.checked_reason(reason)
    with db.write() as session:
        study = study_to_change(session, by, study_id)
        refuse_when_unblinding_asked(study)
        _refuse_outdated(study, shown)
        if study.frozen_at is None:
            raise StudyError(f"The protocol of {study.title!r} is not frozen: nobody has judged a case. Change it without an amendment.")
        changed = changes(study.protocol, protocol.as_dict())
        if not changed:
            raise StudyError(f"The protocol of {study.title!r} says so already: there is nothing to amend.")
        if fixed := sorted(set(changed) - set(AMENDABLE)):
            raise StudyError(f"{', '.join(fixed)}: cases were judged under the questions as they are. Set up another study to ask others.")
        done, total, _signed, _to_sign = closing.numbers(session, study_id)
        number, closed = len(amendments.of_study(session, study_id)) + 1, not closing.still_open(session, study_id)
        row = AmendmentRow(
            number, by.id, now(), study.protocol, protocol.as_dict(), study.protocol_hash, protocol.hash(), reason, done, total, closed
        )
        amendments.add(session, study_id, row)
        _change(session, by, study, protocol, AMENDED, {"why": reason, "number": number, "done": done, "total": total})
    return number


def standing(row: AmendmentRow) -> str:
    """How far the study was when it was amended."""
    if row.closed:
        return f"after every round was closed ({row.done} of {row.total} judgements), when unblinding could have been asked for"
    return f"after {row.done} of {row.total} judgements, before the rounds were closed"


def _refuse_outdated(study: stored.StudyRow, shown: str | None) -> None:
    if shown not in (None, study.protocol_hash):
        raise StudyError(
            f"Somebody else has changed the protocol of {study.title!r} since you saw it. Nothing was changed: look at the rules in force now, "
            "and change them if you still want to."
        )


def _change(session: Session, by: Person, study: stored.StudyRow, protocol: Protocol, action: str, more: dict[str, Any]) -> None:
    stored.change(session, study.id, protocol=protocol.as_dict(), protocol_hash=protocol.hash())
    states = {"from": study.protocol, "to": protocol.as_dict(), "hash_from": study.protocol_hash, "protocol_hash": protocol.hash()}
    audit.append(session, by.id, action, f"study {study.id}", {**states, **more})
