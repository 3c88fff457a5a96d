"""PTB-XL's layout: `ptbxl_database.csv` with scp_codes, and the 100 samples/s records that its column filename_lr names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from generator.recordings import table
from generator.recordings.candidate import Listing, Row, located, pseudonym
from generator.recordings.labels import rhythm_from_scp_codes

COLLECTION = "PTB-XL"
TABLE = "ptbxl_database.csv"
COLUMNS = ["patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr"]
SEX = {"0": "male", "1": "female"}  # Wagner et al. 2020, table 2
OVER_89 = 300  # how PTB-XL writes an age above 89
UNKNOWN_PATIENT = {"", "-1", "nan"}


def listing(directory: Path, labels: Path) -> Listing:
    """The NSR and AF records of the table, by the rule in generator.recordings.labels. Raises GeneratorError for a broken table."""
    return located(rows(labels), COLLECTION, directory, labels)


def rows(labels: Path) -> Iterator[Row]:
    """Every row of the table. Raises GeneratorError for a broken one."""
    for row in table.rows(labels, COLUMNS):
        rhythm, reason = rhythm_from_scp_codes(row["scp_codes"])
        if rhythm is None:
            yield Row("", "", None, reason, "")
            continue
        record = row["filename_lr"].rsplit("/", 1)[-1]
        patient = row["patient_id"].removesuffix(".0")
        age = table.number(row["age"], labels, "age")
        fold = table.number(row["strat_fold"], labels, "strat_fold")
        yield Row(
            place=row["filename_lr"],
            record=record,
            rhythm=rhythm,
            reason="",
            patient=pseudonym(COLLECTION, f"record {record}" if patient in UNKNOWN_PATIENT else patient),
            age=90.0 if age == OVER_89 else age,
            sex=SEX.get(row["sex"].removesuffix(".0")),
            fold=None if fold is None else int(fold),
        )
