"""What a study costs as it grows: `python -m tests.benchmarks.scale`. Slopes for docs/scale.md.

Simulated studies (study.simulation.stored: every answer goes through `reading.submit`, one after the other) of more and more readers, and strips of
noise. Numbers are of one process on an otherwise idle machine, on SQLite.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from generator.strip import canonical_from_stored, to_bytes
from storage import audit, strips
from storage.database import Database
from study.results import results_of
from study.simulation.model import Planted
from study.simulation.stored import simulate

STRIPS, BATCH = 10_000, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--cases", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = [of_study(Path(folder), readers, given.cases) for readers in given.readers]
        print(json.dumps({"studies": studies, "strips": of_strips(Path(folder))}, indent=1))


def of_study(folder: Path, readers: int, cases: int) -> dict[str, Any]:
    """One simulated study: judgements/s, bytes a judgement, seconds for its results and for the check of the audit trail."""
    db = _database(folder / f"{readers}.db")
    begun: list[tuple[float, int]] = []

    def reads(done: int, total: int, doing: str) -> None:
        if not begun:
            begun.append((time.perf_counter(), _bytes(db)))

    kept = simulate(db, Planted(sites=2, readers=readers // 2, cases=cases), 1, 0.1, reads)
    (start, size), judgements = begun[0], readers * cases
    seconds, grown = time.perf_counter() - start, _bytes(db) - size
    computed = time.perf_counter()
    results_of(kept.data)
    checked = time.perf_counter()
    with db.read() as session:
        entries = audit.verify(session)
    done = time.perf_counter()
    db.close()
    return {
        "readers": readers,
        "judgements": judgements,
        "judgements/s, next case and submit, one after the other": round(judgements / seconds, 1),
        "bytes a judgement, with its audit entry": round(grown / judgements),
        "results, s": round(checked - computed, 2),
        "audit entries": entries,
        "check of the trail, s": round(done - checked, 2),
    }


def of_strips(folder: Path) -> dict[str, Any]:
    """Strips of noise into an empty database, a hundred in a transaction."""
    db = _database(folder / "strips.db")
    before, random = _bytes(db), np.random.default_rng(1)
    walks = (np.cumsum(random.normal(0, 0.05, (8, 1000)), axis=1) for _ in range(STRIPS))
    rows = [strips.NewRecording(to_bytes(canonical_from_stored(walk)), "NSR", "noise", f"{i}", f"patient {i}", 100.0) for i, walk in enumerate(walks)]
    start = time.perf_counter()
    for first in range(0, STRIPS, BATCH):
        with db.write() as session:
            for row in rows[first : first + BATCH]:
                strips.add_recording(session, row)
    seconds = time.perf_counter() - start
    found = {"strips": STRIPS, "strips/s into the database": round(STRIPS / seconds), "bytes a strip": round((_bytes(db) - before) / STRIPS)}
    db.close()
    return found


def _database(file: Path) -> Database:
    db = Database(f"sqlite:///{file}")
    db.migrate()
    return db


def _bytes(db: Database) -> int:
    """Pages in use: the log counts when it has been written back."""
    with db.engine.connect() as connection:
        pages, size = (connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0 for name in ("page_count", "page_size"))
    return pages * size


if __name__ == "__main__":
    main()
