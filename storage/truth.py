"""The arms of strips: the only two places where tables.Truth is read."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from storage.errors import StorageError
from storage.tables import Job, ReadingCase, Recording, Round, Strip, Study, StudyReader, Truth


@dataclass(frozen=True)
class RealStrip:
    """A strip of the real arm that no round of the study has shown; stand_in: a simulator's, for demo studies only."""

    strip_id: int
    rhythm: str
    patient: str
    age: float | None
    stand_in: bool
    patient_used: bool  # another recording of this patient was shown in the study


@dataclass(frozen=True)
class Arm:
    arm: str  # real or synthetic
    stand_in: bool


def arms_for_opening(session: Session, study_id: int, *, stand_ins: bool, nowhere_shown: bool = False) -> list[RealStrip]:
    """What a round's real arm may be chosen from, in order of id: recordings (stand_ins=False) or a simulator's strips (True), never both.

    What any study has shown in practice, where answers are told, is not among them, nor what a reader of this one has imported. nowhere_shown: for
    practice itself, only what no study has shown: elsewhere it may be read blind still.
    """
    shown = select(ReadingCase.strip_id).join(Round, Round.id == ReadingCase.round_id)
    if not nowhere_shown:
        shown = shown.where((Round.study_id == study_id) | Round.practice)
    other = aliased(Recording)
    patient_used = exists().where(other.patient == Recording.patient, other.strip_id.in_(shown))
    by_a_reader = select(Job.id).join(StudyReader, StudyReader.reader_id == Job.person_id).where(StudyReader.study_id == study_id)
    rows = session.execute(
        select(Strip.id, Strip.rhythm, Recording.patient, Recording.age, Truth.stand_in, patient_used)
        .join(Truth, Truth.strip_id == Strip.id)
        .join(Recording, Recording.strip_id == Strip.id)
        .where(Truth.arm == "real", Truth.stand_in.is_(stand_ins), Strip.id.not_in(shown))
        .where(Recording.job_id.is_(None) | Recording.job_id.not_in(by_a_reader))
        .order_by(Strip.id)
    )
    return [RealStrip(*row) for row in rows]


def arms_after_unblinding(session: Session, study_id: int) -> dict[int, Arm]:
    """The arm of each strip shown in the study, by strip id. Raises StorageError before the study is unblinded."""
    unblinded_at = session.execute(select(Study.unblinded_at).where(Study.id == study_id)).one_or_none()
    if unblinded_at is None:
        raise StorageError(f"no study with id {study_id}.")
    if unblinded_at[0] is None:
        raise StorageError("The study is blind: its arms can be seen after two people have unblinded it.")
    rows = session.execute(
        select(Truth.strip_id, Truth.arm, Truth.stand_in)
        .join(ReadingCase, ReadingCase.strip_id == Truth.strip_id)
        .join(Round, Round.id == ReadingCase.round_id)
        .where(Round.study_id == study_id, Round.practice.is_(False))
        .distinct()
    )
    return {strip_id: Arm(arm, stand_in) for strip_id, arm, stand_in in rows}
