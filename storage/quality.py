"""Queries of the pages that compare strips, Quality and Utility: which there are, never those drawn for rounds, and the results."""

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
class Source:
    """Recordings that can be chosen together: a collection, or what one import added to it."""

    collection: str
    job_id: int | None
    rhythms: dict[str, int]


@dataclass(frozen=True)
class Member:
    """A strip of one of the sets. patient: of a drawn strip, itself; name: what to call it on a screen; sha256: of its samples."""

    strip_id: int
    rhythm: str
    patient: str
    name: str
    sha256: str


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


def sources(session: Session) -> list[Source]:
    """Each collection, and below one that came in by several imports, each of these; in alphabetical order, then that of import."""
    rows = session.execute(
        select(Recording.collection, Recording.job_id, Strip.rhythm, func.count())
        .join(Strip, Strip.id == Recording.strip_id)
        .group_by(Recording.collection, Recording.job_id, Strip.rhythm)
        .order_by(Recording.collection, func.min(Strip.id), Strip.rhythm)
    )
    imports: dict[str, dict[int | None, dict[str, int]]] = {}
    for collection, job_id, rhythm, number in rows:
        imports.setdefault(collection, {}).setdefault(job_id, {})[rhythm] = number
    found = []
    for collection, of_it in imports.items():
        whole = {rhythm: sum(rhythms.get(rhythm, 0) for rhythms in of_it.values()) for rhythm in ("AF", "NSR")}
        found.append(Source(collection, None, whole))
        if len(of_it) > 1:  # what a command imported has no job, and cannot be told apart
            found += [Source(collection, job_id, rhythms) for job_id, rhythms in of_it.items() if job_id is not None]
    return found


def drawn(session: Session, checkpoint: str, job_id: int | None) -> list[Member]:
    """A checkpoint's strips for the gallery, or those of one drawing, by id."""
    query = select(Strip.id, Strip.rhythm, Strip.sha256, Drawing.seed, Drawing.number).join(Drawing, Drawing.strip_id == Strip.id)
    query = query.where(Drawing.purpose == "gallery", Drawing.checkpoint == checkpoint)
    if job_id is not None:
        query = query.where(Drawing.job_id == job_id)
    rows = session.execute(query.order_by(Strip.id))
    return [
        Member(strip_id, rhythm, f"drawn {strip_id}", f"drawn, seed {seed}, number {number}", sha256)
        for strip_id, rhythm, sha256, seed, number in rows
    ]


def folder_of(session: Session, checkpoint: str, job_id: int | None) -> tuple[str | None] | None:
    """(folder,) that a checkpoint's strips, or those of one drawing, were last drawn from; (None,): the one that ships; None: not known."""
    query = select(Job.asked).join(Drawing, Drawing.job_id == Job.id).where(Drawing.checkpoint == checkpoint, Job.kind == "draw")
    if job_id is not None:
        query = query.where(Job.id == job_id)
    asked = session.scalar(query.order_by(Job.id.desc()).limit(1))
    return None if asked is None else (asked.get("checkpoint"),)


def recorded(session: Session, collection: str, job_id: int | None = None) -> list[Member]:
    """A collection's recordings, or those that one import added, by id."""
    query = select(Strip.id, Strip.rhythm, Strip.sha256, Recording.patient, Recording.record).join(Recording, Recording.strip_id == Strip.id)
    query = query.where(Recording.collection == collection)
    if job_id is not None:
        query = query.where(Recording.job_id == job_id)
    rows = session.execute(query.order_by(Strip.id))
    return [Member(strip_id, rhythm, patient, f"{collection}, {record}", sha256) for strip_id, rhythm, sha256, patient, record in rows]


def shown(session: Session, strip_ids: Collection[int]) -> dict[int, Member]:
    """Those that may be shown with their arm: neither drawn for a round nor placed in a round of a study that is still blind."""
    blind = (
        select(ReadingCase.strip_id)
        .join(Round, Round.id == ReadingCase.round_id)
        .join(Study, Study.id == Round.study_id)
        .where(Study.unblinded_at.is_(None), ReadingCase.strip_id.in_(strip_ids))
    )
    rows = session.execute(
        select(Strip.id, Strip.rhythm, Strip.sha256, Recording.patient, Recording.collection, Recording.record, Drawing.seed, Drawing.number)
        .outerjoin(Recording, Recording.strip_id == Strip.id)
        .outerjoin(Drawing, Drawing.strip_id == Strip.id)
        .where(Strip.id.in_(strip_ids), Strip.id.not_in(blind), func.coalesce(Drawing.purpose, "gallery") == "gallery")
    )
    found = {}
    for strip_id, rhythm, sha256, patient, collection, record, seed, number in rows:
        name = f"drawn, seed {seed}, number {number}" if collection is None else f"{collection}, {record}"
        found[strip_id] = Member(strip_id, rhythm, patient or f"drawn {strip_id}", name, sha256)
    return found


def done(session: Session, kind: str, *, checkpoint: str | None = None, limit: int = 1) -> list[JobRow]:
    """The last measurements of a kind that came to their end, newest first, whoever asked for them."""
    query = select(Job.id).where(Job.kind == kind, Job.status == "done")
    if checkpoint is not None:
        query = query.where(Job.asked["checkpoint"].as_string() == checkpoint)
    return [jobs.get(session, job_id) for job_id in session.scalars(query.order_by(Job.id.desc()).limit(limit))]
