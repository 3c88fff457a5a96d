"""MIMIC-IV-ECG's layout: record_list.csv says where a study's record lies (files/pNNNN/...), machine_measurements.csv what the cart reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from generator.errors import GeneratorError
from generator.recordings import table
from generator.recordings.candidate import Listing, Row, located, pseudonym
from generator.recordings.labels import rhythm_from_report

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
    return located(rows(labels.parent), COLLECTION, directory, labels.parent / RECORDS)


def rows(folder: Path) -> Iterator[Row]:
    """Every record of the two tables of a folder, of which a line at a time is held, and of each study its rhythm. Raises GeneratorError."""
    rhythms = {
        row["study_id"]: rhythm_from_report(row.get(line, "") for line in REPORT)
        for row in table.rows(folder / MEASUREMENTS, ["study_id", "report_0"], REPORT)
    }
    for row in table.rows(folder / RECORDS, ["subject_id", "study_id", "path"]):
        rhythm, reason = rhythms.get(row["study_id"], (None, "no report"))
        patient = "" if rhythm is None else pseudonym(COLLECTION, row["subject_id"])
        yield Row(row["path"], row["study_id"], rhythm, reason, patient)
