"""Signatures: a reader's word that a round's judgements stand."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import Round, Signature


def add(session: Session, round_id: int, reader_id: int, judgements_sha256: str) -> None:
    """sqlalchemy.exc.IntegrityError if the reader has signed the round already."""
    session.add(Signature(round_id=round_id, reader_id=reader_id, judgements_sha256=judgements_sha256))
    session.flush()


def signed_at(session: Session, round_id: int, reader_id: int) -> datetime | None:
    return session.scalar(select(Signature.signed_at).where(Signature.round_id == round_id, Signature.reader_id == reader_id))


def of_study(session: Session, study_id: int) -> dict[tuple[int, int], tuple[datetime, str]]:
    """(round id, reader id) -> when it was signed, and the hash of what was."""
    rows = session.execute(
        select(Signature.round_id, Signature.reader_id, Signature.signed_at, Signature.judgements_sha256)
        .join(Round, Round.id == Signature.round_id)
        .where(Round.study_id == study_id)
    )
    return {(round_id, reader_id): (at, sha256) for round_id, reader_id, at, sha256 in rows}
