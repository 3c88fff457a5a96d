"""MIMIC-IV-ECG's layout: record_list.csv says where a study's record lies (files/pNNNN/...), machine_measurements.csv what the cart reported."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from generator.errors import GeneratorError
from generator.recordings import table
from generator.recordings.candidate import Candidate, Listing, pseudonym
from generator.recordings.labels import rhythm_from_report
from generator.recordings.paths import inside

COLLECTION = "MIMIC-IV-ECG"
RECORDS = "record_list.csv"
MEASUREMENTS = "machine_measurements.csv"
REPORT = [f"report_{line}" for line in range(18)]


def listing(directory: Path, labels: Path) -> Listing:
    """The NSR and AF records by the cart's report. labels: either of the two tables; the other lies beside it.

    Raises GeneratorError for a missing or broken table. A record without a report is left out.
    """
    for needed in (RECORDS, MEASUREMENTS):
        if not (labels.parent / needed).is_file():
            raise GeneratorError(f"{labels.parent}: no {needed}. MIMIC-IV-ECG needs {RECORDS} and {MEASUREMENTS} beside each other.")
    rhythms = {
        row["study_id"]: rhythm_from_report(row.get(line, "") for line in REPORT)
        for row in table.rows(labels.parent / MEASUREMENTS, ["study_id", "report_0"], REPORT)
    }
    candidates: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for row in table.rows(labels.parent / RECORDS, ["subject_id", "study_id", "path"]):
        rhythm, reason = rhythms.get(row["study_id"], (None, "no report"))
        if rhythm is None:
            left_out[reason] += 1
            continue
        path = inside(directory, row["path"], labels.parent / RECORDS)
        candidates.append(Candidate(path, row["study_id"], COLLECTION, rhythm, pseudonym(COLLECTION, row["subject_id"])))
    return Listing(COLLECTION, candidates, left_out)
