"""Practice: its cases with their arms, which readers are told, and what they answered. Apart from judgements, and no part of any analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.judgements import Shown
from storage.tables import Placement, PracticeAnswer, PracticeCase, ReadingCase, Strip


@dataclass(frozen=True)
class Told:
    """An answered practice case: what it was, and what the reader said."""

    shown: Shown
    arm: str
    rhythm: str
    answer: dict[str, Any]


def add_cases(session: Session, arms: Mapping[int, str]) -> None:
    """arms: of each case id of the practice round, written once when it opens."""
    session.add_all(PracticeCase(case_id=case_id, arm=arm) for case_id, arm in arms.items())
    session.flush()


def attempt(session: Session, round_id: int, reader_id: int) -> int:
    """The number of the reader's newest attempt, from 1."""
    return max((number for number, _, _ in given(session, round_id, reader_id)), default=1)


def given(session: Session, round_id: int, reader_id: int) -> list[tuple[int, str, dict[str, Any]]]:
    """(attempt, the case's rhythm, answer) of everything that the reader has answered in this practice, in order; neither strips nor arms."""
    rows = session.execute(
        select(PracticeAnswer.attempt, Strip.rhythm, PracticeAnswer.answer)
        .join(ReadingCase, ReadingCase.id == PracticeAnswer.case_id)
        .join(Strip, Strip.id == ReadingCase.strip_id)
        .where(ReadingCase.round_id == round_id, PracticeAnswer.reader_id == reader_id)
        .order_by(PracticeAnswer.id)
    )
    return [(attempt, rhythm, answer) for attempt, rhythm, answer in rows]


def next_shown(session: Session, round_id: int, reader_id: int, attempt: int) -> Shown | None:
    """The lowest position that the reader has not answered in this attempt."""
    row = session.execute(
        _shown(round_id, reader_id).where(~_answered(attempt)).order_by(Placement.position).limit(1).with_only_columns(*_COLUMNS)
    ).one_or_none()
    return Shown(*row) if row else None


def told(session: Session, round_id: int, reader_id: int, attempt: int) -> list[Told]:
    """The answered cases of an attempt with the truth, in the order in which they were answered."""
    rows = session.execute(
        _shown(round_id, reader_id)
        .join(PracticeCase, PracticeCase.case_id == ReadingCase.id)
        .join(PracticeAnswer, (PracticeAnswer.case_id == ReadingCase.id) & (PracticeAnswer.reader_id == reader_id))
        .where(PracticeAnswer.attempt == attempt)
        .order_by(PracticeAnswer.id)
        .with_only_columns(*_COLUMNS, PracticeCase.arm, Strip.rhythm, PracticeAnswer.answer)
    )
    return [Told(Shown(*row[:5]), *row[5:]) for row in rows]


def add_answer(session: Session, code: str, reader_id: int, attempt: int, answer: dict[str, Any]) -> None:
    """sqlalchemy.exc.IntegrityError if the case was answered in this attempt already."""
    case_id = session.scalar(select(ReadingCase.id).where(ReadingCase.code == code))
    session.add(PracticeAnswer(case_id=case_id, reader_id=reader_id, attempt=attempt, answer=answer))
    session.flush()


_COLUMNS = (ReadingCase.code, Placement.position, Placement.phase, Strip.samples, Placement.shown_at)


def _shown(round_id: int, reader_id: int) -> Any:
    return (
        select(Placement)
        .join(ReadingCase, ReadingCase.id == Placement.case_id)
        .join(Strip, Strip.id == ReadingCase.strip_id)
        .where(Placement.round_id == round_id, Placement.reader_id == reader_id)
    )


def _answered(attempt: int) -> Any:
    return (
        select(PracticeAnswer.id)
        .where(PracticeAnswer.case_id == Placement.case_id, PracticeAnswer.reader_id == Placement.reader_id, PracticeAnswer.attempt == attempt)
        .exists()
    )
