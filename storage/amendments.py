"""Changes of a protocol after it froze."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import Amendment


@dataclass(frozen=True)
class AmendmentRow:
    number: int  # from 1
    amended_by: int
    amended_at: datetime
    before: dict[str, Any]  # the whole protocol
    after: dict[str, Any]
    hash_before: str
    hash_after: str
    reason: str
    done: int  # answers that were in, of `total` asked for
    total: int
    closed: bool  # every round was


def add(session: Session, study_id: int, row: AmendmentRow) -> None:
    """sqlalchemy.exc.IntegrityError if the study has an amendment of that number."""
    session.add(Amendment(study_id=study_id, **asdict(row)))
    session.flush()


def of_study(session: Session, study_id: int) -> list[AmendmentRow]:
    """In order of number."""
    rows = session.scalars(select(Amendment).where(Amendment.study_id == study_id).order_by(Amendment.number))
    return [AmendmentRow(**{name: getattr(row, name) for name in AmendmentRow.__dataclass_fields__}) for row in rows]
