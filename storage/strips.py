"""Strips and where they came from. A strip, its origin and its arm are written together here; the arm is read only in storage.truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.tables import Drawing, Recording, Rejection, Strip, Truth

STRIP_BYTES = 2 * 8 * 1000  # int16 little-endian (8, 1000)


@dataclass(frozen=True)
class NewRecording:
    """A real strip on its way in; stand_in: a simulator's strip, which takes a recording's place in demo studies only."""

    samples: bytes
    rhythm: str  # NSR or AF
    collection: str
    record: str
    patient: str  # a hash: same patient, same value
    rate: float  # samples/s of the file
    age: float | None = None
    sex: str | None = None
    stand_in: bool = False
    job_id: int | None = None


@dataclass(frozen=True)
class NewDrawing:
    """A synthetic strip on its way in, with what it takes to draw it again."""

    samples: bytes
    rhythm: str  # NSR or AF
    checkpoint: str  # SHA-256 of configuration and weights
    sampler: str
    steps: int
    guidance: float
    seed: int
    number: int
    device: str
    purpose: str  # gallery, round, practice, control
    conditions: dict[str, Any] = field(default_factory=dict)
    job_id: int | None = None


@dataclass(frozen=True)
class NewRejection:
    """A drawn sample that the canonical form refused."""

    checkpoint: str
    rhythm: str
    seed: int
    number: int
    reason: str
    job_id: int | None = None


@dataclass(frozen=True)
class DrawnStrip:
    """A strip of the gallery, as researchers see it."""

    strip_id: int
    samples: bytes
    rhythm: str
    checkpoint: str
    sampler: str
    steps: int
    guidance: float
    seed: int
    number: int
    conditions: dict[str, Any]
    job_id: int | None


@dataclass(frozen=True)
class RecordedStrip:
    """An imported strip, as researchers see it."""

    strip_id: int
    samples: bytes
    rhythm: str
    collection: str
    record: str
    rate: float  # samples/s of the file
    age: float | None
    sex: str | None


def add_recording(session: Session, new: NewRecording) -> int | None:
    """The new strip's id, or None where the same samples are already there."""
    strip_id = _add_strip(session, new.samples, new.rhythm)
    if strip_id is None:
        return None
    session.add(Truth(strip_id=strip_id, arm="real", stand_in=new.stand_in))
    session.add(
        Recording(
            strip_id=strip_id,
            collection=new.collection,
            record=new.record,
            patient=new.patient,
            age=new.age,
            sex=new.sex,
            rate=new.rate,
            job_id=new.job_id,
        )
    )
    session.flush()
    return strip_id


def add_drawing(session: Session, new: NewDrawing) -> int | None:
    """The new strip's id, or None where the same samples are already there (the same seed drawn twice)."""
    strip_id = _add_strip(session, new.samples, new.rhythm)
    if strip_id is None:
        return None
    session.add(Truth(strip_id=strip_id, arm="synthetic", stand_in=False))
    session.add(
        Drawing(
            strip_id=strip_id,
            checkpoint=new.checkpoint,
            sampler=new.sampler,
            steps=new.steps,
            guidance=new.guidance,
            seed=new.seed,
            number=new.number,
            conditions=new.conditions,
            device=new.device,
            purpose=new.purpose,
            job_id=new.job_id,
        )
    )
    session.flush()
    return strip_id


def add_rejections(session: Session, rejections: Iterable[NewRejection]) -> None:
    session.add_all(
        Rejection(checkpoint=one.checkpoint, rhythm=one.rhythm, seed=one.seed, number=one.number, reason=one.reason, job_id=one.job_id)
        for one in rejections
    )
    session.flush()


def known(session: Session, hashes: Iterable[str]) -> set[str]:
    """Those of the given SHA-256 that a stored strip already has."""
    wanted = list(hashes)
    found: set[str] = set()
    for first in range(0, len(wanted), 500):  # below SQLite's limit of bound values
        found.update(session.scalars(select(Strip.sha256).where(Strip.sha256.in_(wanted[first : first + 500]))))
    return found


def rhythms(session: Session, hashes: Iterable[str]) -> dict[str, str]:
    """The rhythm of each stored strip among the given SHA-256."""
    wanted = list(hashes)
    found: dict[str, str] = {}
    for first in range(0, len(wanted), 500):  # below SQLite's limit of bound values
        for sha256, rhythm in session.execute(select(Strip.sha256, Strip.rhythm).where(Strip.sha256.in_(wanted[first : first + 500]))):
            found[sha256] = rhythm
    return found


def hashes(session: Session, strip_ids: Iterable[int]) -> dict[int, str]:
    """The SHA-256 of each strip, by id."""
    wanted = list(dict.fromkeys(strip_ids))
    found: dict[int, str] = {}
    for first in range(0, len(wanted), 500):  # below SQLite's limit of bound values
        rows = session.execute(select(Strip.id, Strip.sha256).where(Strip.id.in_(wanted[first : first + 500])))
        found.update((strip_id, sha256) for strip_id, sha256 in rows)
    return found


def recorded_strip(session: Session, sha256: str) -> RecordedStrip | None:
    """The imported strip with these samples, if it is here."""
    row = session.execute(select(Strip, Recording).join(Recording, Recording.strip_id == Strip.id).where(Strip.sha256 == sha256)).one_or_none()
    return None if row is None else _recorded(*row)


def samples(session: Session, strip_ids: Iterable[int]) -> dict[int, bytes]:
    """The stored bytes of each strip, by id. Raises StorageError for an id that no strip has."""
    wanted = list(dict.fromkeys(strip_ids))
    found: dict[int, bytes] = {}
    for first in range(0, len(wanted), 500):
        rows = session.execute(select(Strip.id, Strip.samples).where(Strip.id.in_(wanted[first : first + 500])))
        found.update((strip_id, blob) for strip_id, blob in rows)
    missing = [strip_id for strip_id in wanted if strip_id not in found]
    if missing:
        raise StorageError(f"no strip with id {', '.join(map(str, missing))}: reload the page.")
    return found


def drawn_strips(session: Session, *, job_id: int | None = None, rhythm: str | None = None, offset: int = 0, limit: int = 50) -> list[DrawnStrip]:
    """Strips drawn for the gallery, newest first. Strips drawn for rounds are never among them: who saw them there would know them again."""
    query = select(Strip, Drawing).join(Drawing, Drawing.strip_id == Strip.id).where(Drawing.purpose == "gallery")
    if job_id is not None:
        query = query.where(Drawing.job_id == job_id)
    if rhythm is not None:
        query = query.where(Strip.rhythm == rhythm)
    rows = session.execute(query.order_by(Strip.id.desc()).offset(offset).limit(limit))
    return [
        DrawnStrip(
            strip.id,
            strip.samples,
            strip.rhythm,
            drawing.checkpoint,
            drawing.sampler,
            drawing.steps,
            drawing.guidance,
            drawing.seed,
            drawing.number,
            drawing.conditions,
            drawing.job_id,
        )
        for strip, drawing in rows
    ]


def drawn_count(session: Session, *, job_id: int | None = None, rhythm: str | None = None) -> int:
    """How many strips `drawn_strips` would list."""
    query = select(func.count()).select_from(Strip).join(Drawing, Drawing.strip_id == Strip.id).where(Drawing.purpose == "gallery")
    if job_id is not None:
        query = query.where(Drawing.job_id == job_id)
    if rhythm is not None:
        query = query.where(Strip.rhythm == rhythm)
    return session.scalar(query) or 0


def numbers_of(session: Session, job_id: int) -> tuple[set[int], set[int]]:
    """The numbers in their batch of the strips that a job has stored, and of the samples of it that were rejected."""
    drawn = set(session.scalars(select(Drawing.number).where(Drawing.job_id == job_id)))
    return drawn, set(session.scalars(select(Rejection.number).where(Rejection.job_id == job_id)))


def recorded_strips(session: Session, *, collection: str, rhythm: str, offset: int = 0, limit: int = 50) -> list[RecordedStrip]:
    """A collection's strips of one rhythm, in order of import."""
    query = select(Strip, Recording).join(Recording, Recording.strip_id == Strip.id).where(Recording.collection == collection, Strip.rhythm == rhythm)
    rows = session.execute(query.order_by(Strip.id).offset(offset).limit(limit))
    return [_recorded(strip, origin) for strip, origin in rows]


def recording_counts(session: Session) -> list[tuple[str, str, int, int]]:
    """(collection, rhythm, recordings, patients) of everything imported, in alphabetical order."""
    rows = session.execute(
        select(Recording.collection, Strip.rhythm, func.count(), func.count(Recording.patient.distinct()))
        .join(Strip, Strip.id == Recording.strip_id)
        .group_by(Recording.collection, Strip.rhythm)
        .order_by(Recording.collection, Strip.rhythm)
    )
    return [(collection, rhythm, number, patients) for collection, rhythm, number, patients in rows]


def _recorded(strip: Strip, origin: Recording) -> RecordedStrip:
    return RecordedStrip(strip.id, strip.samples, strip.rhythm, origin.collection, origin.record, origin.rate, origin.age, origin.sex)


def _add_strip(session: Session, blob: bytes, rhythm: str) -> int | None:
    if len(blob) != STRIP_BYTES:
        raise StorageError(f"a strip has {STRIP_BYTES} bytes, not {len(blob)}: bring it into the canonical form first.")
    if rhythm not in ("NSR", "AF"):
        raise StorageError(f"rhythm {rhythm!r} is unknown: a strip is NSR or AF.")
    sha256 = hashlib.sha256(blob).hexdigest()
    if session.scalar(select(Strip.id).where(Strip.sha256 == sha256)) is not None:
        return None
    strip = Strip(sha256=sha256, samples=blob, rhythm=rhythm)
    session.add(strip)
    session.flush()
    return strip.id
