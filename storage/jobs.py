"""Work that was asked for: one row a job, with its progress. Runners claim queued rows, beat while they work, and finish them.

A job may be taken up again by another runner while the first, suspended perhaps, still believes that it is its own. So what a runner reports
counts only for the run that it began: `run` is that run's started_at.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.tables import Job, now

ACTIVE = ("queued", "running", "cancelling")
_STARTED = ("running", "cancelling")


@dataclass(frozen=True)
class JobRow:
    """A job as it stands. done of total are strips, files or steps, as the kind has it; result is there once status is done.

    Strips under way count in part, so done may have decimals.
    """

    id: int
    kind: str
    person_id: int | None
    asked: dict[str, Any]
    status: str  # queued, running, cancelling, cancelled, done, failed
    done: float
    total: int  # 0: not known yet
    message: str  # what is being done; why it failed
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    attempts: int  # runners that took it up; one that stopped in order does not count

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


def active(session: Session, kind: str) -> list[JobRow]:
    """Everybody's queued and started jobs of a kind."""
    return [_row(job) for job in session.scalars(select(Job).where(Job.kind == kind, Job.status.in_(ACTIVE)).order_by(Job.id))]


def others_at_work(session: Session, person_id: int | None, kind: str) -> int:
    """How many active jobs of a kind other people have."""
    others = Job.person_id.is_not(None) if person_id is None else Job.person_id.is_distinct_from(person_id)
    return session.scalar(select(func.count()).where(others, Job.kind == kind, Job.status.in_(ACTIVE))) or 0


def queued(session: Session, kinds: Collection[str] | None = None) -> bool:
    """Whether a job (of these kinds) waits."""
    return session.scalar(_waiting(kinds)) is not None


def claim(session: Session, kinds: Collection[str] | None = None) -> JobRow | None:
    """The oldest queued job (of these kinds), now this caller's alone; None if there is none. Safe with any number of runners."""
    while (job_id := session.scalar(_waiting(kinds))) is not None:
        at = now()
        begun = {"status": "running", "started_at": at, "heartbeat_at": at, "attempts": Job.attempts + 1}
        mine = update(Job).where(Job.id == job_id, Job.status == "queued").values(begun)
        if session.execute(mine.returning(Job.id)).one_or_none():
            return get(session, job_id)
    return None


def beat(
    session: Session,
    job_id: int,
    *,
    run: datetime | None = None,
    done: float | None = None,
    total: int | None = None,
    message: str | None = None,
) -> str:
    """Says that the job is alive, and how far; returns its status, "lost" for a run that is not the job's any more: but "running" all mean stop."""
    news = {name: value for name, value in (("done", done), ("total", total), ("message", message)) if value is not None}
    session.execute(update(Job).where(*_of_run(job_id, run)).values(heartbeat_at=now(), **news))
    status, started_at = session.execute(select(Job.status, Job.started_at).where(Job.id == job_id)).one_or_none() or ("failed", run)
    return status if run is None or run == started_at else "lost"


def finish(
    session: Session, job_id: int, status: str, message: str = "", result: dict[str, Any] | None = None, *, run: datetime | None = None
) -> bool:
    """Ends a started job as done, failed or cancelled; False if it had ended before, or the run is not the job's any more."""
    ended = update(Job).where(*_of_run(job_id, run)).values(status=status, message=message, result=result, ended_at=now())
    return session.execute(ended.returning(Job.id)).one_or_none() is not None


def put_back(session: Session, job_id: int, message: str, *, in_order: bool) -> bool:
    """Queues a running job again, to go on where it stopped; False if it is not running. in_order: its runner stopped as told: no attempt."""
    values = {"status": "queued", "message": message, "started_at": None, "heartbeat_at": None, "attempts": Job.attempts - int(in_order)}
    return session.execute(update(Job).where(Job.id == job_id, Job.status == "running").values(values).returning(Job.id)).one_or_none() is not None


def request_cancel(session: Session, job_id: int) -> None:
    """A queued job is cancelled at once, a running one is asked to stop; one that has ended stays as it is."""
    at = now()
    session.execute(update(Job).where(Job.id == job_id, Job.status == "queued").values(status="cancelled", message="Cancelled.", ended_at=at))
    session.execute(update(Job).where(Job.id == job_id, Job.status == "running").values(status="cancelling", message="Stopping ..."))


def orphans(session: Session, silent_since: datetime) -> list[int]:
    """Started jobs whose runner has not been heard of since then."""
    return list(session.scalars(select(Job.id).where(Job.status.in_(_STARTED), Job.heartbeat_at < silent_since).order_by(Job.id)))


def _waiting(kinds: Collection[str] | None) -> Select[int]:
    query = select(Job.id).where(Job.status == "queued").order_by(Job.id).limit(1)
    return query if kinds is None else query.where(Job.kind.in_(kinds))


def _of_run(job_id: int, run: datetime | None) -> list[ColumnElement[bool]]:
    return [Job.id == job_id, Job.status.in_(_STARTED), *([] if run is None else [Job.started_at == run])]


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
        job.attempts,
    )
