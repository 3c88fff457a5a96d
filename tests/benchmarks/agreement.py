"""Seconds and memory of all figures of a file of readings: `blindstrip bench agreement`, or `python -m tests.benchmarks.agreement`.

Two simulated studies, each in a process of its own on one core: 12 readers of 200 cases, and 200 readers of 5,000 cases (a million readings), with
2,000 bootstrap draws. Told: `coefficients`, all agreement coefficients of one question; `command`, what `blindstrip agreement FILE --json` does,
from the file to the last figure of every reader, site, rhythm, arm and round. Where others use the cores too, the processor's seconds say more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
STUDIES = {"12 readers x 200 cases": (12, 200), "200 readers x 5000 cases": (200, 5000)}
TARGETS = {"12 readers x 200 cases": (3.0, 2.0), "200 readers x 5000 cases": (60.0, 2.0)}  # seconds, GB
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SITES, ROUNDS, READ, AGAIN = 3, 2, 0.98, 0.05


def write_study(path: Path, readers: int, cases: int, *, seed: int = 0) -> None:
    """Readings of simulated readers as a CSV: every column, some cases unread, some read twice."""
    chance = np.random.default_rng(seed)
    synthetic = chance.random(cases) < 0.5
    strip = synthetic * 0.4 + chance.normal(size=cases) * 0.8
    with path.open("w") as file:
        file.write("reader,case,rating,site,arm,round,rhythm,occasion,score\n")
        for reader in range(readers):
            for occasion, share in ((1, READ), (2, AGAIN)):
                scores = np.digitize(strip + chance.normal(size=cases), [-1.0, -0.3, 0.2, 0.7, 1.4]) + 1
                for case in np.flatnonzero(chance.random(cases) < share):
                    call, arm = ("synthetic" if yes else "real" for yes in (scores[case] >= 4, synthetic[case]))
                    where = f"site {reader % SITES},{arm},{case * ROUNDS // cases + 1},{('NSR', 'AF')[case % 2]}"
                    file.write(f"R{reader},C{case},{call},{where},{occasion},{scores[case]}\n")


def measure_one(path: Path) -> dict[str, Any]:
    """In this process: seconds of the coefficients of one question and of the whole command, and the most memory that was held."""
    from study.agreement import analysis, raters
    from study.agreement.cut import Cut, Stratum
    from study.agreement.file import read_csv

    begun, busy = time.perf_counter(), time.process_time()
    found = analysis.of_file(path)
    command, processor = time.perf_counter() - begun, time.process_time() - busy
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    cut = Cut(read_csv(path))
    ratings = cut.ratings(cut.items[0], Stratum())
    begun = time.perf_counter()
    raters.all_coefficients(ratings, len(cut.items[0].answers), seed=1)
    coefficients = time.perf_counter() - begun
    seconds = {"coefficients": round(coefficients, 3), "command": round(command, 2), "command, of the processor": round(processor, 2)}
    return {"readings": found["readings"], "seconds": seconds, "GB": round(most, 2)}


def measure() -> dict[str, Any]:
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (readers, cases) in STUDIES.items():
            path = Path(folder) / f"{readers}.csv"
            write_study(path, readers, cases)
            command = [sys.executable, "-m", "tests.benchmarks.agreement", str(path)]
            done = subprocess.run(command, cwd=ROOT, env={**os.environ, **ONE_CORE}, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            seconds, memory = TARGETS[name]
            reached = found["seconds"]["command"] < seconds and found["GB"] < memory
            told[name] = {**found, "target": {"seconds": seconds, "GB": memory}, "reached": reached}
    return {"draws": 2000, "cores": 1, "studies": told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="measure this file alone, in this process")
    given = parser.parse_args()
    print(json.dumps(measure() if given.file is None else measure_one(given.file), indent=1))


if __name__ == "__main__":
    main()
