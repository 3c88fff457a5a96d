"""Judgements: append-only, one first revision for each reader and case; and the case that a reader sees next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.tables import Judgement, Placement, ReadingCase, Round, Strip


@dataclass(frozen=True)
class Shown:
    """A case as its reader may see it."""

    code: str
    position: int
    samples: bytes


@dataclass(frozen=True)
class Placed:
    """Where a code stands in one reader's order."""

    case_id: int
    round_id: int
    role: str
    position: int
    revisions: int  # judgements of this reader so far


@dataclass(frozen=True)
class JudgementRow:
    id: int
    case_id: int
    round_id: int
    reader_id: int
    revision: int
    position: int
    realism: int
    rhythm: str
    morphology: dict[str, Any]
    cues: list[Any]
    comment: str
    shown_at: datetime
    submitted_at: datetime
    protocol_hash: str


def next_shown(session: Session, round_id: int, reader_id: int) -> Shown | None:
    """The lowest position that the reader has not answered: one query, the same for every case."""
    row = session.execute(
        select(ReadingCase.code, Placement.position, Strip.samples)
        .join(ReadingCase, ReadingCase.id == Placement.case_id)
        .join(Strip, Strip.id == ReadingCase.strip_id)
        .where(Placement.round_id == round_id, Placement.reader_id == reader_id, ~_answered())
        .order_by(Placement.position)
        .limit(1)
    ).one_or_none()
    return Shown(*row) if row else None


def next_position(session: Session, round_id: int, reader_id: int) -> int | None:
    """The position of next_shown, without the strip."""
    return session.scalar(select(func.min(Placement.position)).where(Placement.round_id == round_id, Placement.reader_id == reader_id, ~_answered()))


def last_shown(session: Session, round_id: int, reader_id: int) -> tuple[Shown, JudgementRow] | None:
    """The answered case at the highest position, with the newest revision of its judgement."""
    row = session.execute(
        select(ReadingCase.code, Placement.position, Strip.samples, Judgement)
        .join(ReadingCase, ReadingCase.id == Placement.case_id)
        .join(Strip, Strip.id == ReadingCase.strip_id)
        .join(Judgement, (Judgement.case_id == Placement.case_id) & (Judgement.reader_id == Placement.reader_id))
        .where(Placement.round_id == round_id, Placement.reader_id == reader_id)
        .order_by(Placement.position.desc(), Judgement.revision.desc())
        .limit(1)
    ).one_or_none()
    return (Shown(row[0], row[1], row[2]), _row(row[3], round_id, row[1])) if row else None


def placed(session: Session, code: str, reader_id: int) -> Placed | None:
    """Where this reader's order has the case of that code, or None."""
    revisions = select(func.count()).where(Judgement.case_id == Placement.case_id, Judgement.reader_id == Placement.reader_id).scalar_subquery()
    row = session.execute(
        select(ReadingCase.id, Placement.round_id, ReadingCase.role, Placement.position, revisions)
        .join(Placement, Placement.case_id == ReadingCase.id)
        .where(ReadingCase.code == code, Placement.reader_id == reader_id)
    ).one_or_none()
    return Placed(*row) if row else None


def has_place(session: Session, round_id: int, reader_id: int) -> bool:
    return session.scalar(select(Placement.id).where(Placement.round_id == round_id, Placement.reader_id == reader_id).limit(1)) is not None


def newest(session: Session, case_id: int, reader_id: int) -> JudgementRow:
    """The newest revision of a judgement that is there."""
    judgement, round_id, position = session.execute(
        select(Judgement, Placement.round_id, Placement.position)
        .join(Placement, (Placement.case_id == Judgement.case_id) & (Placement.reader_id == Judgement.reader_id))
        .where(Judgement.case_id == case_id, Judgement.reader_id == reader_id)
        .order_by(Judgement.revision.desc())
        .limit(1)
    ).one()
    return _row(judgement, round_id, position)


def add(
    session: Session,
    *,
    case_id: int,
    reader_id: int,
    revision: int,
    realism: int,
    rhythm: str,
    morphology: dict[str, str],
    cues: list[str],
    comment: str,
    shown_at: datetime,
    submitted_at: datetime,
    protocol_hash: str,
) -> int:
    """The judgement's id. sqlalchemy.exc.IntegrityError if this reader has this revision of this case already."""
    judgement = Judgement(
        case_id=case_id,
        reader_id=reader_id,
        revision=revision,
        realism=realism,
        rhythm=rhythm,
        morphology=morphology,
        cues=cues,
        comment=comment,
        shown_at=shown_at,
        submitted_at=submitted_at,
        protocol_hash=protocol_hash,
    )
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
    """Whether the reader has cases left in an earlier round of the study."""
    left = (
        select(Placement.id)
        .join(Round, Round.id == Placement.round_id)
        .where(Round.study_id == study_id, Round.number < round_number, Placement.reader_id == reader_id, ~_answered())
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
    rows = session.execute(
        select(Judgement, Placement.round_id, Placement.position)
        .join(Placement, (Placement.case_id == Judgement.case_id) & (Placement.reader_id == Judgement.reader_id))
        .join(Round, Round.id == Placement.round_id)
        .where(Round.study_id == study_id)
        .order_by(Placement.round_id, Judgement.reader_id, Placement.position, Judgement.revision)
    )
    found = [_row(judgement, round_id, position) for judgement, round_id, position in rows]
    return found if every_revision else list({(row.case_id, row.reader_id): row for row in found}.values())


def _answered() -> Any:
    return select(Judgement.id).where(Judgement.case_id == Placement.case_id, Judgement.reader_id == Placement.reader_id).exists()


def _row(judgement: Judgement, round_id: int, position: int) -> JudgementRow:
    return JudgementRow(
        judgement.id,
        judgement.case_id,
        round_id,
        judgement.reader_id,
        judgement.revision,
        position,
        judgement.realism,
        judgement.rhythm,
        judgement.morphology,
        judgement.cues,
        judgement.comment,
        judgement.shown_at,
        judgement.submitted_at,
        judgement.protocol_hash,
    )
