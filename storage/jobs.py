"""Work that was asked for: one row a job, with its progress. Runners claim queued rows, beat while they work, and finish them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.tables import Job, now

ACTIVE = ("queued", "running", "cancelling")
_STARTED = ("running", "cancelling")


@dataclass(frozen=True)
class JobRow:
    """A job as it stands. done of total are strips, files or steps, as the kind has it; result is there once status is done."""

    id: int
    kind: str
    person_id: int | None
    asked: dict[str, Any]
    status: str  # queued, running, cancelling, cancelled, done, failed
    done: int
    total: int  # 0: not known yet
    message: str  # what is being done; why it failed
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def share(self) -> float:
        """What is done, 0 to 1: for a progress bar."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


def add(session: Session, kind: str, person_id: int | None, asked: dict[str, Any], total: int = 0) -> int:
    """The id of a new queued job, or of the person's active one of this kind: a second click asks for nothing new."""
    same: ColumnElement[bool] = Job.person_id.is_(None) if person_id is None else Job.person_id == person_id
    running = session.scalar(select(Job.id).where(same, Job.kind == kind, Job.status.in_(ACTIVE)).limit(1))
    if running is not None:
        return running
    job = Job(kind=kind, person_id=person_id, asked=asked, total=total)
    session.add(job)
    session.flush()
    return job.id


def get(session: Session, job_id: int) -> JobRow:
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise StorageError(f"There is no job {job_id}. Reload the page.")
    return _row(job)


def of_person(session: Session, person_id: int | None, *, kind: str | None = None, active: bool | None = None, limit: int = 20) -> list[JobRow]:
    """A person's jobs (None: those that nobody in particular asked for), newest first."""
    query = select(Job).where(Job.person_id.is_(None) if person_id is None else Job.person_id == person_id)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if active is not None:
        query = query.where(Job.status.in_(ACTIVE) if active else Job.status.not_in(ACTIVE))
    return [_row(job) for job in session.scalars(query.order_by(Job.id.desc()).limit(limit))]


def queued(session: Session) -> bool:
    return session.scalar(select(Job.id).where(Job.status == "queued").limit(1)) is not None


def claim(session: Session) -> JobRow | None:
    """The oldest queued job, now this caller's alone; None if there is none. Safe with any number of runners."""
    while (job_id := session.scalar(select(Job.id).where(Job.status == "queued").order_by(Job.id).limit(1))) is not None:
        at = now()
        mine = update(Job).where(Job.id == job_id, Job.status == "queued").values(status="running", started_at=at, heartbeat_at=at)
        if session.execute(mine.returning(Job.id)).one_or_none():
            return get(session, job_id)
    return None


def beat(session: Session, job_id: int, *, done: int | None = None, total: int | None = None, message: str | None = None) -> str:
    """Says that the job is alive, and how far; returns its status: anything but "running" means stop."""
    news = {name: value for name, value in (("done", done), ("total", total), ("message", message)) if value is not None}
    session.execute(update(Job).where(Job.id == job_id, Job.status.in_(_STARTED)).values(heartbeat_at=now(), **news))
    return session.scalar(select(Job.status).where(Job.id == job_id)) or "failed"


def finish(session: Session, job_id: int, status: str, message: str = "", result: dict[str, Any] | None = None) -> bool:
    """Ends a started job as done, failed or cancelled; False if it had ended before."""
    ended = update(Job).where(Job.id == job_id, Job.status.in_(_STARTED)).values(status=status, message=message, result=result, ended_at=now())
    return session.execute(ended.returning(Job.id)).one_or_none() is not None


def request_cancel(session: Session, job_id: int) -> None:
    """A queued job is cancelled at once, a running one is asked to stop; one that has ended stays as it is."""
    at = now()
    session.execute(update(Job).where(Job.id == job_id, Job.status == "queued").values(status="cancelled", message="Cancelled.", ended_at=at))
    session.execute(update(Job).where(Job.id == job_id, Job.status == "running").values(status="cancelling", message="Stopping ..."))


def orphans(session: Session, silent_since: datetime) -> list[int]:
    """Started jobs whose runner has not been heard of since then."""
    return list(session.scalars(select(Job.id).where(Job.status.in_(_STARTED), Job.heartbeat_at < silent_since).order_by(Job.id)))


def _row(job: Job) -> JobRow:
    return JobRow(
        job.id,
        job.kind,
        job.person_id,
        job.asked,
        job.status,
        job.done,
        job.total,
        job.message,
        job.result,
        job.created_at,
        job.started_at,
        job.ended_at,
    )
