"""Commitments to rounds' seeds: the hash may be seen by everybody at once, the nonce that opens it after unblinding alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.tables import Commitment, Round, Study


@dataclass(frozen=True)
class CommitmentRow:
    round_id: int
    sha256: str
    nonce: str
    made_at: datetime


def add(session: Session, round_id: int, sha256: str, nonce: str) -> None:
    session.add(Commitment(round_id=round_id, sha256=sha256, nonce=nonce))
    session.flush()


def published(session: Session, study_id: int) -> dict[int, str]:
    """Round id -> hash."""
    query = select(Commitment.round_id, Commitment.sha256).join(Round, Round.id == Commitment.round_id).where(Round.study_id == study_id)
    return {row.round_id: row.sha256 for row in session.execute(query)}


def revealed(session: Session, study_id: int) -> list[CommitmentRow]:
    """With the nonces, in order of round. Raises StorageError before the study is unblinded."""
    if session.scalar(select(Study.unblinded_at).where(Study.id == study_id)) is None:
        raise StorageError("The study is blind: what opens the commitments to its seeds can be seen after two people have unblinded it.")
    return to_check(session, study_id)


def to_check(session: Session, study_id: int) -> list[CommitmentRow]:
    """With the nonces, of a blind study too: for study.audit_check, which computes the hashes again and tells nobody what from."""
    query = select(Commitment).join(Round, Round.id == Commitment.round_id).where(Round.study_id == study_id).order_by(Round.id)
    return [CommitmentRow(row.round_id, row.sha256, row.nonce, row.made_at) for row in session.scalars(query)]
