"""Who has which part in a study: reads in it, conducts it, made its strips. One person has one part."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import Amendment, Drawing, Job, ReadingCase, Recording, Round, RoundClosing, Study, StudyReader


def blind_studies_read_by(session: Session, person_id: int) -> list[str]:
    """The titles of the studies that this person reads in and that are not unblinded."""
    query = select(Study.title).join(StudyReader, StudyReader.study_id == Study.id)
    return list(session.scalars(query.where(StudyReader.reader_id == person_id, Study.unblinded_at.is_(None)).order_by(Study.id)))


def readers_led_by(session: Session, person_id: int) -> set[int]:
    """The ids of those who read in a study that this person has set up."""
    query = select(StudyReader.reader_id).join(Study, Study.id == StudyReader.study_id)
    return set(session.scalars(query.where(Study.created_by == person_id)))


def conductors(session: Session, study_id: int) -> set[int]:
    """The ids of those who set the study up, opened or closed its rounds, amended its protocol, or asked for its unblinding."""
    rounds = select(Round.id).where(Round.study_id == study_id)
    queries = (
        select(Study.created_by).where(Study.id == study_id),
        select(Study.unblinding_asked_by).where(Study.id == study_id, Study.unblinding_asked_by.is_not(None)),
        select(Round.opened_by).where(Round.study_id == study_id),
        select(RoundClosing.closed_by).where(RoundClosing.round_id.in_(rounds)),
        select(Amendment.amended_by).where(Amendment.study_id == study_id),
    )
    return {person for query in queries for person in session.scalars(query) if person is not None}


def makers(session: Session, study_id: int) -> set[int]:
    """The ids of those who imported or drew a strip that the study has shown or will show."""
    shown = select(ReadingCase.strip_id).join(Round, Round.id == ReadingCase.round_id).where(Round.study_id == study_id)
    imported = select(Job.person_id).join(Recording, Recording.job_id == Job.id).where(Recording.strip_id.in_(shown))
    drawn = select(Job.person_id).join(Drawing, Drawing.job_id == Job.id).where(Drawing.strip_id.in_(shown))
    return {person for query in (imported, drawn) for person in session.scalars(query.distinct()) if person is not None}
