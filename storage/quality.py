"""Queries of the Quality page: which strips there are to compare, never those drawn for rounds, and the last result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage import jobs
from storage.jobs import JobRow
from storage.tables import Drawing, Job, ReadingCase, Recording, Round, Strip, Study


@dataclass(frozen=True)
class Batch:
    """Strips of one drawing for the gallery."""

    checkpoint: str
    job_id: int | None
    sampler: str
    steps: int
    guidance: float
    rhythms: dict[str, int]


@dataclass(frozen=True)
class Member:
    """A strip of one of the sets. patient: of a drawn strip, itself; name: what to call it on a screen."""

    strip_id: int
    rhythm: str
    patient: str
    name: str


def batches(session: Session) -> list[Batch]:
    """The gallery's drawings, newest first."""
    columns = (Drawing.checkpoint, Drawing.job_id, Drawing.sampler, Drawing.steps, Drawing.guidance)
    rows = session.execute(
        select(*columns, Strip.rhythm, func.count())
        .join(Strip, Strip.id == Drawing.strip_id)
        .where(Drawing.purpose == "gallery")
        .group_by(*columns, Strip.rhythm)
        .order_by(func.max(Strip.id).desc())
    )
    found: dict[tuple[str, int | None, str, int, float], dict[str, int]] = {}
    for checkpoint, job_id, sampler, steps, guidance, rhythm, number in rows:
        found.setdefault((checkpoint, job_id, sampler, steps, guidance), {})[rhythm] = number
    return [Batch(*key, rhythms) for key, rhythms in found.items()]


def drawn(session: Session, checkpoint: str, job_id: int | None) -> list[Member]:
    """A checkpoint's strips for the gallery, or those of one drawing, by id."""
    query = select(Strip.id, Strip.rhythm, Drawing.seed, Drawing.number).join(Drawing, Drawing.strip_id == Strip.id)
    query = query.where(Drawing.purpose == "gallery", Drawing.checkpoint == checkpoint)
    if job_id is not None:
        query = query.where(Drawing.job_id == job_id)
    rows = session.execute(query.order_by(Strip.id))
    return [Member(strip_id, rhythm, f"drawn {strip_id}", f"drawn, seed {seed}, number {number}") for strip_id, rhythm, seed, number in rows]


def recorded(session: Session, collection: str) -> list[Member]:
    """A collection's recordings, by id."""
    query = select(Strip.id, Strip.rhythm, Recording.patient, Recording.record).join(Recording, Recording.strip_id == Strip.id)
    rows = session.execute(query.where(Recording.collection == collection).order_by(Strip.id))
    return [Member(strip_id, rhythm, patient, f"{collection}, {record}") for strip_id, rhythm, patient, record in rows]


def shown(session: Session, strip_ids: Collection[int]) -> dict[int, Member]:
    """Those that may be shown with their arm: neither drawn for a round nor placed in a round of a study that is still blind."""
    blind = (
        select(ReadingCase.strip_id)
        .join(Round, Round.id == ReadingCase.round_id)
        .join(Study, Study.id == Round.study_id)
        .where(Study.unblinded_at.is_(None), ReadingCase.strip_id.in_(strip_ids))
    )
    rows = session.execute(
        select(Strip.id, Strip.rhythm, Recording.patient, Recording.collection, Recording.record, Drawing.seed, Drawing.number)
        .outerjoin(Recording, Recording.strip_id == Strip.id)
        .outerjoin(Drawing, Drawing.strip_id == Strip.id)
        .where(Strip.id.in_(strip_ids), Strip.id.not_in(blind), func.coalesce(Drawing.purpose, "gallery") == "gallery")
    )
    found = {}
    for strip_id, rhythm, patient, collection, record, seed, number in rows:
        name = f"drawn, seed {seed}, number {number}" if collection is None else f"{collection}, {record}"
        found[strip_id] = Member(strip_id, rhythm, patient or f"drawn {strip_id}", name)
    return found


def last_done(session: Session) -> JobRow | None:
    """The last measurement that came to its end, whoever asked for it."""
    job_id = session.scalar(select(Job.id).where(Job.kind == "quality", Job.status == "done").order_by(Job.id.desc()).limit(1))
    return None if job_id is None else jobs.get(session, job_id)
