"""Whether a database does what it must: takes a write, keeps time, has its work done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from storage.database import Database
from storage.errors import StorageError
from storage.tables import Job, Speed, now


def write_and_take_back(db: Database) -> None:
    """One row written, read and taken back: nothing is left. Raises StorageError where it cannot be."""
    try:
        with db.write() as session:
            session.add(Speed(checkpoint="doctor", device="none", seconds=1.0, operations=1.0, workers=1, measured_at=now()))
            session.flush()
            session.rollback()
    except DBAPIError as error:  # no right to, or somebody's trigger
        raise StorageError(f"{db.engine.url} refuses a row: {str(error.orig).strip().splitlines()[0]}.") from error


def seconds_ahead(db: Database) -> float | None:
    """By how much the database's clock is before this process's; None for SQLite, which has the same clock."""
    if db.engine.dialect.name == "sqlite":
        return None
    with db.read() as session:
        session.execute(text("SELECT 1"))  # the connection is there before the time is taken
        before = now()
        there: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return (there.astimezone(UTC) - before).total_seconds()


@dataclass(frozen=True)
class Queued:
    kind: str
    status: str  # queued, running, cancelling
    number: int
    seconds: float  # since the oldest was asked for


def queue(db: Database) -> list[Queued]:
    """Jobs that wait or are under way, by kind and status."""
    with db.read() as session:
        active = select(Job.kind, Job.status, func.count(), func.min(Job.created_at)).where(Job.status.in_(("queued", "running", "cancelling")))
        rows = session.execute(active.group_by(Job.kind, Job.status).order_by(Job.kind, Job.status)).all()
    at = now()
    return [Queued(kind, status, number, (at - asked).total_seconds()) for kind, status, number, asked in rows]


def waiting_and_silent(db: Database) -> tuple[float | None, float | None]:
    """Seconds since the oldest queued job was asked for, and since the most silent started job was heard of; None where there is none."""
    with db.read() as session:
        asked = session.scalar(select(func.min(Job.created_at)).where(Job.status == "queued"))
        heard = session.scalar(select(func.min(Job.heartbeat_at)).where(Job.status.in_(("running", "cancelling"))))
    at = now()
    return (at - asked).total_seconds() if asked else None, (at - heard).total_seconds() if heard else None
