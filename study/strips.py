"""Strips as researchers look at them: what was drawn for the gallery, and what was imported. Strips drawn for rounds are never shown here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.strip import from_bytes
from storage import strips as stored
from storage.database import Database
from study.people import Person
from study.roles import Action, demand


@dataclass(frozen=True)
class ShownStrip:
    """counts: (8, 1000) int16, 5 microvolts a count; origin: where it came from, name by name, in the order to show."""

    strip_id: int
    counts: NDArray[np.int16]
    rhythm: str
    origin: dict[str, Any]


@dataclass(frozen=True)
class Collection:
    """An imported collection's recordings of one rhythm."""

    name: str
    rhythm: str
    recordings: int
    patients: int


def gallery(
    db: Database, person: Person, *, job_id: int | None = None, rhythm: str | None = None, page: int = 0, per_page: int = 4
) -> tuple[list[ShownStrip], int]:
    """One page (from 0) of the strips drawn for the gallery, newest first, and how many there are in all. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        total = stored.drawn_count(session, job_id=job_id, rhythm=rhythm)
        rows = stored.drawn_strips(session, job_id=job_id, rhythm=rhythm, offset=page * per_page, limit=per_page)
    return [ShownStrip(row.strip_id, from_bytes(row.samples), row.rhythm, _drawn(row)) for row in rows], total


def collections(db: Database, person: Person) -> list[Collection]:
    """What has been imported, by collection and rhythm. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        return [Collection(*row) for row in stored.recording_counts(session)]


def recordings(db: Database, person: Person, collection: str, rhythm: str, *, page: int = 0, per_page: int = 4) -> list[ShownStrip]:
    """One page (from 0) of a collection's strips of one rhythm, in order of import. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        rows = stored.recorded_strips(session, collection=collection, rhythm=rhythm, offset=page * per_page, limit=per_page)
    return [ShownStrip(row.strip_id, from_bytes(row.samples), row.rhythm, _recorded(row)) for row in rows]


def _drawn(row: stored.DrawnStrip) -> dict[str, Any]:
    return {
        "seed": row.seed,
        "number": row.number,
        "checkpoint": row.checkpoint,
        "sampler": row.sampler,
        "steps": row.steps,
        "guidance": row.guidance,
        **{name: value for name, value in row.conditions.items() if name != "rhythm"},  # shown beside it already
    }


def _recorded(row: stored.RecordedStrip) -> dict[str, Any]:
    return {"collection": row.collection, "record": row.record, "rate of the file (samples/s)": row.rate, "age": row.age, "sex": row.sex}
