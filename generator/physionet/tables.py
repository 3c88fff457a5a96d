"""The tables of a collection: which recordings there are, and the same tables again with those rows alone whose recordings were fetched."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from generator.recordings import mimic, ptbxl
from generator.recordings.candidate import Row


@dataclass(frozen=True)
class Tables:
    """columns: of each table, which one names a recording, and what stands there for one at a place."""

    rows: Callable[[Path], Iterator[Row]]  # of the folder where the tables lie
    columns: dict[str, tuple[str, Callable[[str], str]]]


TABLES = {
    "ptb-xl": Tables(lambda folder: ptbxl.rows(folder / ptbxl.TABLE), {ptbxl.TABLE: ("filename_lr", lambda place: place)}),
    "mimic-iv-ecg": Tables(
        mimic.rows, {mimic.RECORDS: ("path", lambda place: place), mimic.MEASUREMENTS: ("study_id", lambda place: place.rsplit("/", 1)[-1])}
    ),
}


def write_tables(tables: Tables, index: Path, directory: Path) -> int:
    """Write them with the rows of the recordings whose files lie in the folder; returns how many these are. index: the published ones, whole."""
    whole = (file.with_suffix("") for file in directory.rglob("*.hea") if file.with_suffix(".dat").is_file())
    places = {place.relative_to(directory).as_posix() for place in whole}
    for table, (column, cell_at) in tables.columns.items():
        _write_rows(index / table, directory / table, column, {cell_at(place) for place in places})
    return len(places)


def _write_rows(source: Path, target: Path, column: str, cells: set[str]) -> None:
    """The rows of a table whose cell in a column is one of these; the file is there whole or not at all."""
    part = target.with_name(target.name + ".part")
    with source.open(encoding="utf-8-sig", newline="") as lines, part.open("w", encoding="utf-8", newline="") as out:
        reader, writer = csv.reader(lines), csv.writer(out, lineterminator="\n")
        names = next(reader)
        at = names.index(column)
        writer.writerow(names)
        writer.writerows(row for row in reader if len(row) > at and row[at] in cells)
    part.replace(target)
