"""Signing a round: the reader says, with their password, that the answers stand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage import audit, closings, judgements, signatures
from storage import studies as stored
from storage.database import Database
from study import sign_in
from study.answers import Answer
from study.errors import StudyError
from study.people import Person
from study.reading import given
from study.roles import Action, demand


@dataclass(frozen=True)
class GivenAnswer:
    """An answer as it stands now, for the reader's last look."""

    position: int
    phase: int
    revisions: int
    answer: Answer


def answers_of_round(db: Database, person: Person, round_id: int) -> list[GivenAnswer]:
    """What this reader has answered in a round, in their order. Raises NotAllowed."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        return [GivenAnswer(row.position, row.phase, row.revision, given(row)) for row in judgements.of_round(session, round_id, person.id)]


def sign(db: Database, person: Person, round_id: int, password: str) -> bool:
    """Signs a round that is read through: True; False if it was signed already. From here on its answers stand.

    password: asked for again, as on paper a name is written again; the demo's people have none. Raises NotAllowed, SignInRefused for a wrong
    password, StudyError for a round that is not theirs, not read through, closed, or of an unblinded study.
    """
    demand(person, Action.READ_CASES)
    sign_in.confirm(db, person, password)
    try:
        with db.write() as session:
            if signatures.signed_at(session, round_id, person.id) is not None:
                return False
            opened = stored.round_by_id(session, round_id)
            study = stored.study(session, opened.study_id, lock=True)
            if opened.practice or not judgements.has_place(session, round_id, person.id):
                raise StudyError("This round is not among yours. Go back to your list of rounds.")
            if study.unblinded_at is not None:
                raise StudyError(f"{study.title!r} was unblinded: its rounds are closed.")
            if closings.closed_at(session, round_id) is not None:
                raise StudyError(f"Round {opened.number} of {study.title!r} was closed by a coordinator: it takes no signature any more.")
            if judgements.next_position(session, round_id, person.id) is not None:
                raise StudyError("This round has cases without your answer. Read them first, then sign.")
            digest = judgements_hash(session, round_id, person.id)
            signatures.add(session, round_id, person.id, digest)
            audit.append(session, person.id, "round signed", f"round {round_id}", {"judgements_sha256": digest})
    except IntegrityError:  # a second window was first
        return False
    return True


def judgements_hash(session: Session, round_id: int, reader_id: int) -> str:
    """SHA-256 over the newest answers of a reader in a round: JSON of [position, revision, the answer's SHA-256] in their order."""
    rows = [[row.position, row.revision, given(row).sha256()] for row in judgements.of_round(session, round_id, reader_id)]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
