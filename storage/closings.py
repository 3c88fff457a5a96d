"""Rounds that were closed by hand before every reader had read and signed them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import Round, RoundClosing


@dataclass(frozen=True)
class ClosingRow:
    round_id: int
    closed_by: int
    closed_at: datetime
    reason: str


def add(session: Session, round_id: int, closed_by: int, reason: str) -> None:
    """sqlalchemy.exc.IntegrityError if the round is closed already."""
    session.add(RoundClosing(round_id=round_id, closed_by=closed_by, reason=reason))
    session.flush()


def closed_at(session: Session, round_id: int) -> datetime | None:
    return session.scalar(select(RoundClosing.closed_at).where(RoundClosing.round_id == round_id))


def of_study(session: Session, study_id: int) -> list[ClosingRow]:
    """In order of round."""
    query = select(RoundClosing).join(Round, Round.id == RoundClosing.round_id).where(Round.study_id == study_id).order_by(Round.id)
    return [ClosingRow(row.round_id, row.closed_by, row.closed_at, row.reason) for row in session.scalars(query)]
