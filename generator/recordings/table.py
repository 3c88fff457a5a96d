"""Reading a table of labels: every cell as text, every fault as a message that names the file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from generator.errors import GeneratorError

LONGEST_LINE = 1 << 20  # characters of the first line that are looked at


def columns(file: Path) -> list[str]:
    """The column names in the first line. Raises GeneratorError if there is none to read."""
    return _head(file)[0]


def rows(file: Path, wanted: list[str], optional: list[str] | None = None) -> Iterator[dict[str, str]]:
    """The rows as text, empty and absent cells of a row as "". Raises GeneratorError for a missing column of `wanted` or a broken table."""
    names, separator = _head(file)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise GeneratorError(f"{file}: no column {', '.join(missing)} among {', '.join(names)}. Needed: {', '.join(wanted)}.")
    keep = {name: names.index(name) for name in (*wanted, *(optional or [])) if name in names}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
            next(reader)
            for cells in reader:
                if len(cells) > len(names):
                    raise GeneratorError(f"{file}: line {reader.line_num} has {len(cells)} cells, the first line {len(names)}. Quote commas.")
                if cells:
                    yield {name: cells[at].strip() if at < len(cells) else "" for name, at in keep.items()}
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise GeneratorError(f"{file}: not a readable table ({error}). Save it as CSV with commas, in UTF-8.") from error


def number(text: str, file: Path, column: str) -> float | None:
    """A cell that holds a number or nothing. Raises GeneratorError for anything else."""
    if text == "" or text.lower() == "nan":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise GeneratorError(f"{file}: {text[:40]!r} in column {column} is no number. Write a number or leave the cell empty.")
    return value


def _head(file: Path) -> tuple[list[str], str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline(LONGEST_LINE)
    except FileNotFoundError as error:
        raise GeneratorError(f"{file}: no such file. Name the table of labels.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise GeneratorError(f"{file}: not a readable table ({error}). Save it as CSV with commas, in UTF-8.") from error
    if not first.strip():
        raise GeneratorError(f"{file}: the first line is empty. It must name the columns, e.g. record,rhythm,patient.")
    separator = ";" if ";" in first and "," not in first else ","  # spreadsheets in half of Europe write semicolons
    try:
        return [name.strip() for name in next(csv.reader([first], delimiter=separator))], separator
    except csv.Error as error:
        raise GeneratorError(f"{file}: the first line names no columns ({error}). It must be like record,rhythm,patient.") from error
