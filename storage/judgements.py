"""Judgements: append-only, one first revision for each reader and case; and the case that a reader sees next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.tables import Judgement, Placement, ReadingCase, Round, RoundClosing, Strip, now


@dataclass(frozen=True)
class Shown:
    """A case as its reader may see it."""

    code: str
    position: int
    phase: int
    samples: bytes
    shown_at: datetime | None  # when it was first sent


@dataclass(frozen=True)
class Placed:
    """Where a code stands in one reader's order, in one phase."""

    case_id: int
    round_id: int
    position: int
    phase: int
    shown_at: datetime | None
    revisions: int  # judgements of this reader so far


@dataclass(frozen=True)
class JudgementRow:
    id: int
    case_id: int
    round_id: int
    reader_id: int
    phase: int
    revision: int
    position: int
    realism: int | None
    quality: str | None
    rhythm: str | None
    morphology: dict[str, Any]
    cues: list[Any]
    marks: list[Any]
    comment: str
    reading_ms: int | None
    away_ms: int | None
    viewing: dict[str, Any]
    shown_at: datetime
    submitted_at: datetime
    protocol_hash: str


def next_shown(session: Session, round_id: int, reader_id: int) -> Shown | None:
    """The lowest position that the reader has not answered: one query, the same for every case."""
    row = session.execute(
        _shown().where(Placement.round_id == round_id, Placement.reader_id == reader_id, ~_answered()).order_by(Placement.position).limit(1)
    ).one_or_none()
    return Shown(*row) if row else None


def next_position(session: Session, round_id: int, reader_id: int) -> int | None:
    """The position of next_shown, without the strip."""
    return session.scalar(select(func.min(Placement.position)).where(Placement.round_id == round_id, Placement.reader_id == reader_id, ~_answered()))


def shown_again(session: Session, round_id: int, reader_id: int, position: int) -> tuple[Shown, JudgementRow] | None:
    """An answered case with the newest revision of its judgement; None where nothing was answered."""
    row = session.execute(
        _shown(Judgement)
        .join(Judgement, _of_placement())
        .where(Placement.round_id == round_id, Placement.reader_id == reader_id, Placement.position == position)
        .order_by(Judgement.revision.desc())
        .limit(1)
    ).one_or_none()
    return (Shown(*row[:5]), _row(row[5], round_id, row[1])) if row else None


def placed(session: Session, code: str, reader_id: int, phase: int) -> Placed | None:
    """Where this reader's order has the case of that code in that phase, or None."""
    revisions = select(func.count()).where(_of_placement()).scalar_subquery()
    row = session.execute(
        select(ReadingCase.id, Placement.round_id, Placement.position, Placement.phase, Placement.shown_at, revisions)
        .join(Placement, Placement.case_id == ReadingCase.id)
        .where(ReadingCase.code == code, Placement.reader_id == reader_id, Placement.phase == phase)
    ).one_or_none()
    return Placed(*row) if row else None


def has_place(session: Session, round_id: int, reader_id: int) -> bool:
    return session.scalar(select(Placement.id).where(Placement.round_id == round_id, Placement.reader_id == reader_id).limit(1)) is not None


def places(session: Session, round_id: int, reader_id: int) -> int:
    """How many positions the reader's order has, over all phases."""
    return session.scalar(select(func.count()).where(Placement.round_id == round_id, Placement.reader_id == reader_id)) or 0


def phase_reached(session: Session, round_id: int, reader_id: int) -> int:
    """The phase of the case that comes next; of the last one where the round is read through."""
    of_reader = (Placement.round_id == round_id, Placement.reader_id == reader_id)
    coming = session.scalar(select(func.min(Placement.phase)).where(*of_reader, ~_answered()))
    return coming or session.scalar(select(func.max(Placement.phase)).where(*of_reader)) or 1


def note_shown(session: Session, round_id: int, reader_id: int) -> None:
    """Notes that the case that comes next is being sent, unless it was before."""
    coming = next_position(session, round_id, reader_id) or 0  # none: the same statement all the same
    session.execute(
        update(Placement)
        .where(Placement.round_id == round_id, Placement.reader_id == reader_id, Placement.position == coming, Placement.shown_at.is_(None))
        .values(shown_at=now())
    )


def newest(session: Session, case_id: int, reader_id: int, phase: int) -> JudgementRow:
    """The newest revision of a judgement that is there."""
    judgement, round_id, position = session.execute(
        select(Judgement, Placement.round_id, Placement.position)
        .join(Placement, _of_placement())
        .where(Judgement.case_id == case_id, Judgement.reader_id == reader_id, Judgement.phase == phase)
        .order_by(Judgement.revision.desc())
        .limit(1)
    ).one()
    return _row(judgement, round_id, position)


def add(session: Session, **values: Any) -> int:
    """values: the columns of tables.Judgement but its id. The judgement's id.

    sqlalchemy.exc.IntegrityError if this reader has this revision of this case and phase already; DatabaseError (on SQLite its kind
    IntegrityError) if the case is practice.
    """
    judgement = Judgement(**values)
    session.add(judgement)
    session.flush()
    return judgement.id


def last_before(session: Session, study_id: int, round_number: int, reader_id: int) -> datetime | None:
    """When the reader submitted last in an earlier round of the study."""
    return session.scalar(
        select(func.max(Judgement.submitted_at))
        .join(ReadingCase, ReadingCase.id == Judgement.case_id)
        .join(Round, Round.id == ReadingCase.round_id)
        .where(Round.study_id == study_id, Round.number < round_number, Judgement.reader_id == reader_id)
    )


def unfinished_before(session: Session, study_id: int, round_number: int, reader_id: int) -> bool:
    """Whether the reader has cases left in an earlier round of the study that is not closed."""
    left = (
        select(Placement.id)
        .join(Round, Round.id == Placement.round_id)
        .where(Round.study_id == study_id, Round.practice.is_(False), Round.number < round_number)
        .where(Round.id.not_in(select(RoundClosing.round_id)), Placement.reader_id == reader_id, ~_answered())
    )
    return session.scalar(left.limit(1)) is not None


def last_in_study(session: Session, study_id: int) -> datetime | None:
    """When anybody submitted last in the study."""
    return session.scalar(
        select(func.max(Judgement.submitted_at))
        .join(ReadingCase, ReadingCase.id == Judgement.case_id)
        .join(Round, Round.id == ReadingCase.round_id)
        .where(Round.study_id == study_id)
    )


def of_study(session: Session, study_id: int, *, every_revision: bool = False) -> list[JudgementRow]:
    """The study's judgements in order of round, reader, position, revision: the newest revision of each, or all."""
    return _ordered(session, Round.study_id == study_id, every_revision=every_revision)


def of_round(session: Session, round_id: int, reader_id: int) -> list[JudgementRow]:
    """A reader's newest answers in a round, in order of position."""
    return _ordered(session, Placement.round_id == round_id, Judgement.reader_id == reader_id)


def _ordered(session: Session, *conditions: Any, every_revision: bool = False) -> list[JudgementRow]:
    rows = session.execute(
        select(Judgement, Placement.round_id, Placement.position)
        .join(Placement, _of_placement())
        .join(Round, Round.id == Placement.round_id)
        .where(*conditions)
        .order_by(Placement.round_id, Judgement.reader_id, Placement.position, Judgement.revision)
    )
    found = [_row(judgement, round_id, position) for judgement, round_id, position in rows]
    return found if every_revision else list({(row.case_id, row.reader_id, row.phase): row for row in found}.values())


def _shown(*more: Any) -> Any:
    return (
        select(ReadingCase.code, Placement.position, Placement.phase, Strip.samples, Placement.shown_at, *more)
        .join(ReadingCase, ReadingCase.id == Placement.case_id)
        .join(Strip, Strip.id == ReadingCase.strip_id)
    )


def _of_placement() -> Any:
    return (Judgement.case_id == Placement.case_id) & (Judgement.reader_id == Placement.reader_id) & (Judgement.phase == Placement.phase)


def _answered() -> Any:
    return select(Judgement.id).where(_of_placement()).exists()


def _row(judgement: Judgement, round_id: int, position: int) -> JudgementRow:
    values: dict[str, Any] = {name: getattr(judgement, name, None) for name in JudgementRow.__dataclass_fields__}
    return JudgementRow(**{**values, "round_id": round_id, "position": position})
