"""How long the label rules take for an index as large as MIMIC-IV-ECG's, and how much memory: `python -m tests.benchmarks.index`.

The index is made up: as many rows, patients and lines as published, lines of carts in made-up proportions.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from generator.physionet import Choice
from generator.physionet.choice import choose
from generator.physionet.tables import TABLES, write_tables
from generator.recordings import mimic

RECORDS, PATIENTS, SAMPLE = 800_035, 161_352, 400
MEASURED = ("bandwidth", "filtering", "rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis")
FIRST = {
    "Sinus rhythm": 50, "Sinus bradycardia": 12, "Sinus tachycardia": 12, "Atrial fibrillation": 8, "Atrial fibrillation with PVCs": 1,
    "Probable atrial fibrillation": 1, "Atrial flutter": 2, "Sinus rhythm with PVC(s)": 5, "Atrial-paced complexes": 4, "Undetermined rhythm": 5,
}  # fmt: skip
LAST = {"Normal ECG": 25, "Borderline ECG": 20, "Abnormal ECG": 55}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.records), indent=1))


def measure(folder: Path, records: int = RECORDS) -> dict[str, float]:
    """Seconds of each step, one after the other in this process, and the most memory that it had."""
    index = folder / "index"
    index.mkdir()
    make_index(index, records)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tables = TABLES["mimic-iv-ecg"]
    start, processor = time.perf_counter(), time.process_time()
    rows = [row for row in tables.rows(index) if row.rhythm]
    labelled, used = time.perf_counter(), time.process_time() - processor
    chosen = choose(rows, Choice(n=min(SAMPLE, records // 20)))
    sampled = time.perf_counter()
    for row in chosen:
        for ending in (".hea", ".dat"):
            file = folder / f"{row.place}{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    begun = time.perf_counter()
    write_tables(tables, index, folder)
    return {
        "records": records,
        "NSR and AF": len(rows),
        "index_megabytes": round(sum(file.stat().st_size for file in index.iterdir()) / 1e6),
        "label_rules_seconds": round(labelled - start, 1),
        "label_rules_processor_seconds": round(used, 1),
        "sample_seconds": round(sampled - labelled, 1),
        "tables_again_seconds": round(time.perf_counter() - begun, 1),
        "memory_before_megabytes": round(before / 1024),
        "memory_at_most_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def make_index(folder: Path, records: int = RECORDS, seed: int = 0) -> None:
    """record_list.csv and machine_measurements.csv with the published columns; one report in five has a line that no other has."""
    rng = random.Random(seed)
    between = [f"{finding} {how}" for finding in ("left axis deviation", "T wave changes", "QT prolonged", "low voltage") for how in range(200)]
    reports = [f"report_{line}" for line in range(18)]
    with (folder / mimic.RECORDS).open("w", newline="") as listed, (folder / mimic.MEASUREMENTS).open("w", newline="") as measured:
        listing, measurements = csv.writer(listed), csv.writer(measured)
        listing.writerow(["subject_id", "study_id", "file_name", "ecg_time", "path"])
        measurements.writerow(["subject_id", "study_id", "cart_id", "ecg_time", *reports, *MEASURED])
        for i in range(records):
            subject, study = 10_000_000 + rng.randrange(min(PATIENTS, records)), 40_000_000 + i
            said = [*rng.choices(list(FIRST), list(FIRST.values())), *rng.choices(between, k=rng.randrange(5))]
            if i % 5 == 0:
                said.append(f"Compared to tracing {i}, no change")
            said += rng.choices(list(LAST), list(LAST.values()))
            place = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
            listing.writerow([subject, study, study, "2180-07-23 08:44:00", place])
            cells = [*said, *[""] * (18 - len(said))]
            measurements.writerow([subject, study, 6848296, "2180-07-23 08:44:00", *cells, "0.005-150 Hz", "<not specified>", 659, *[40, 130] * 4])


if __name__ == "__main__":
    main()
