"""How fast this machine draws, as finished chunks tell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import Speed, now


@dataclass(frozen=True)
class SpeedRow:
    checkpoint: str  # SHA-256 of configuration and weights
    device: str
    seconds: float  # of one worker for one strip and one evaluation of the network
    operations: float  # floating-point operations of such an evaluation
    workers: int  # at the time
    measured_at: datetime


def note(session: Session, checkpoint: str, device: str, *, seconds: float, operations: float, workers: int, weight: float) -> None:
    """Keep a new measurement: averaged with the ones before, of which `weight` (0 to 1) is forgotten."""
    kept = session.get(Speed, (checkpoint, device))
    if kept is None:
        session.add(Speed(checkpoint=checkpoint, device=device, seconds=seconds, operations=operations, workers=workers, measured_at=now()))
    else:
        kept.seconds += weight * (seconds - kept.seconds)
        kept.workers, kept.measured_at = workers, now()
    session.flush()


def newest(session: Session, checkpoint: str | None = None) -> SpeedRow | None:
    """What was measured last, with this checkpoint or with any; None where nothing was."""
    query = select(Speed).order_by(Speed.measured_at.desc()).limit(1)
    found = session.scalar(query if checkpoint is None else query.where(Speed.checkpoint == checkpoint))
    if found is None:
        return None
    return SpeedRow(found.checkpoint, found.device, found.seconds, found.operations, found.workers, found.measured_at)
