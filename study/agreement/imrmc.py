"""Ratings in the `.imrmc` form of the iMRMC software (Gallas et al., FDA/DIDSR): read with care, written plainly.

A description in free words with the lines `NR:`, `N0:`, `N1:`, `NM:` (readers, signal-absent cases, signal-present cases, modalities; each may
be left out), a line `BEGIN DATA:`, then one row a reading: reader, case, modality, score. Rows of the reader `-1` or `truth` give each case's
truth, 0 or 1, once; their modality means nothing. As in iMRMC, blanks inside a name do not count. A file that is not so is refused with the
place and a remedy, and so is one whose numbers do not fit its rows: it may have been cut off.
"""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.errors import StudyError

BEGIN = "BEGIN DATA:"
TRUTH = ("-1", "truth")
_FIELDS = ("reader", "case", "modality", "score")
_COUNTS = {"NR": "readers", "N0": "cases of truth 0", "N1": "cases of truth 1", "NM": "modalities"}
_LARGEST = 512 * 2**20  # bytes
_MOST_CELLS = 50_000_000  # of the table modalities x cases x readers


class ImrmcRefused(StudyError):
    """Says file, line, field, what is wrong and what to do."""

    def __init__(self, name: str, line: int | None, field: str | None, wrong: str, remedy: str) -> None:
        place = ", ".join([name, *([f"line {line}"] if line else []), *([field] if field else [])])
        super().__init__(f"{place}: {wrong}. {remedy}")
        self.line, self.field = line, field


@dataclass(frozen=True)
class Ratings:
    readers: tuple[str, ...]
    cases: tuple[str, ...]
    modalities: tuple[str, ...]
    truth: np.ndarray  # (cases,) bool: signal present
    scores: np.ndarray  # (modalities, cases, readers), NaN where not read
    description: str = ""

    def side_by_side(self) -> np.ndarray:
        """(cases, modalities x readers), as `obuchowski_rockette.compare` takes the columns."""
        return np.hstack(list(self.scores))


def read(path: Path) -> Ratings:
    name = path.name
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _LARGEST else b""
    except OSError as error:
        raise ImrmcRefused(name, None, None, f"the file cannot be read ({error.strerror or error})", "Check its name and permissions.") from error
    if size > _LARGEST:
        raise ImrmcRefused(name, None, None, f"the file is larger than {_LARGEST // 2**20} MiB", "Split the study, or drop columns of no use.")
    try:
        return parse(data.decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ImrmcRefused(name, line, None, "this is not text in UTF-8", "Save the file as plain text, encoded as UTF-8.") from error


def parse(text: str, name: str = "the text") -> Ratings:
    """The ratings in `text`; `name` stands in messages. Readers and modalities keep the order in which they first
    appear, cases that of their rows of truth."""
    lines = text.splitlines() if "\x00" not in text else []
    if not lines:
        wrong = "there are bytes of value 0, this is no text" if text else "the file is empty"
        raise ImrmcRefused(name, None, None, wrong, "Save the ratings as plain text, one reading a line.")
    start = next((i for i, line in enumerate(lines) if line.strip() == BEGIN), None)
    if start is None:
        near = next((i for i, line in enumerate(lines) if re.fullmatch(r"begin\s*data\s*:?", line.strip(), re.IGNORECASE)), None)
        wrong = f"no line '{BEGIN}'" if near is None else f"'{lines[near].strip()}' is not '{BEGIN}'"
        remedy = f"Put '{BEGIN}', in capitals and with its colon, on a line of its own before the readings."
        raise ImrmcRefused(name, None if near is None else near + 1, None, wrong, remedy)
    told = _told(lines[:start], name)
    found = _table(_rows(lines, start + 1, name), name)
    _same_numbers(told, found, name)
    return Ratings(found.readers, found.cases, found.modalities, found.truth, found.scores, "\n".join(lines[:start]).strip())


def to_text(ratings: Ratings) -> str:
    """The ratings as an `.imrmc` file, which `parse` reads back as they are."""
    names = (*ratings.readers, *ratings.cases, *ratings.modalities)
    bad = next((one for one in names if not one.strip() or re.search(r"[,\r\n\x00]", one) or one != " ".join(one.split(" ")).strip()), None)
    if bad is not None:
        raise ValueError(f"the name {bad!r} cannot stand in an .imrmc file: no commas, no line ends, not empty, no blanks at its ends")
    reserved = next((one for one in ratings.readers if _key(one).lower() in TRUTH), None)
    if reserved is not None:
        raise ValueError(f"a reader cannot be called {reserved!r}: the name marks rows of truth")
    for what, of in (("readers", ratings.readers), ("cases", ratings.cases), ("modalities", ratings.modalities)):
        if len({_key(one) for one in of}) < len(of):
            raise ValueError(f"two {what} have the same name, blanks not counted")
    if any(line.strip() == BEGIN or re.match(r"\s*(NR|N0|N1|NM)\s*:", line) for line in ratings.description.splitlines()):
        raise ValueError(f"the description repeats a line that the format uses itself ({', '.join(_COUNTS)} or {BEGIN})")
    truth = np.asarray(ratings.truth, dtype=bool)
    counts = {"NR": len(ratings.readers), "N0": int((~truth).sum()), "N1": int(truth.sum()), "NM": len(ratings.modalities)}
    head = [*ratings.description.splitlines(), *(f"{key}: {number}" for key, number in counts.items()), BEGIN]
    rows = [f"-1,{case},truth,{int(is_one)}" for case, is_one in zip(ratings.cases, truth.tolist(), strict=True)]
    for m, c, r in np.argwhere(np.isfinite(ratings.scores)).tolist():
        rows.append(f"{ratings.readers[r]},{ratings.cases[c]},{ratings.modalities[m]},{_number(float(ratings.scores[m, c, r]))}")
    return "\n".join([*head, *rows, ""])


# ---- parts ----


def _told(head: list[str], name: str) -> dict[str, tuple[int, int]]:
    """The numbers of the description: key -> (number, line)."""
    told: dict[str, tuple[int, int]] = {}
    for i, line in enumerate(head, start=1):
        match = re.match(r"\s*(NR|N0|N1|NM)\s*:(.*)", line)
        if match is None:
            continue
        key, value = match[1], match[2].strip()
        if not re.fullmatch(r"[0-9]{1,9}", value):
            remedy = f"Write '{key}: ' and the number of {_COUNTS[key]}, or leave the line out."
            raise ImrmcRefused(name, i, key, f"'{value}' is not a whole number", remedy)
        if key in told:
            raise ImrmcRefused(name, i, key, f"{key} stands already in line {told[key][1]}", "Keep one of the two.")
        told[key] = int(value), i
    return told


class _Names:
    """Numbers the names of one column; spellings that differ in blanks alone share a number."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._of_key: dict[str, int] = {}
        self._of_field: dict[str, int] = {}

    def number(self, field: str) -> int:
        """-1 where the field is empty."""
        known = self._of_field.get(field)
        if known is not None:
            return known
        key = _key(field)
        if not key:
            return -1
        if key not in self._of_key:
            self._of_key[key] = len(self.names)
            self.names.append(field.strip())
        self._of_field[field] = self._of_key[key]
        return self._of_key[key]


@dataclass(frozen=True)
class _Rows:
    readers: _Names
    cases: _Names
    modalities: _Names
    places: array[int]  # reader, case, modality, line of each reading, one after the other
    scores: array[float]
    truths: dict[int, tuple[bool, int]]  # case -> truth, line


def _rows(lines: list[str], start: int, name: str) -> _Rows:
    rows = _Rows(_Names(), _Names(), _Names(), array("l"), array("d"), {})
    scores: dict[str, float] = {}  # as written: a scale has few
    truth_names: dict[str, bool] = {}
    for i, line in enumerate(lines[start:], start=start + 1):
        fields = line.split(",")
        if len(fields) != 4:
            if not line.strip():
                continue
            remedy = "Write reader,case,modality,score: four fields, three commas, a point in decimals, no comma in a name."
            raise ImrmcRefused(name, i, None, f"{len(fields)} field{'s' if len(fields) > 1 else ''} instead of 4", remedy)
        for field, value in zip(_FIELDS, fields, strict=True):
            if not value or value.isspace():
                remedy = "Leave out the rows of readings that were not made." if field == "score" else f"Name the {field}."
                raise ImrmcRefused(name, i, field, "the field is empty", remedy)
        reader, case, modality, written = fields
        score = scores.get(written)
        if score is None:
            score = _score(_key(written), i, name)
            if len(scores) < 1000:
                scores[written] = score
        if reader not in truth_names:
            truth_names[reader] = _key(reader).lower() in TRUTH
        number = rows.cases.number(case)
        if not truth_names[reader]:
            rows.places.extend((rows.readers.number(reader), number, rows.modalities.number(modality), i))
            rows.scores.append(score)
            continue
        if score not in (0, 1):
            wrong = f"the truth of case '{case.strip()}' is {score:g}"
            raise ImrmcRefused(name, i, "score", wrong, "Truth is 0 (signal absent) or 1 (signal present).")
        if number in rows.truths:
            wrong = f"the truth of case '{case.strip()}' stands already in line {rows.truths[number][1]}"
            raise ImrmcRefused(name, i, "case", wrong, "Keep one row of truth for each case.")
        rows.truths[number] = score == 1, i
    return rows


def _table(rows: _Rows, name: str) -> Ratings:
    if not rows.scores:
        raise ImrmcRefused(name, None, None, f"no reading after '{BEGIN}'", "Add a row for each reading: reader,case,modality,score.")
    if not rows.truths:
        raise ImrmcRefused(name, None, "reader", "no row of truth", "Add a row '-1,case,truth,0' or '-1,case,truth,1' for each case.")
    for state in (False, True):
        if all(truth is not state for truth, _line in rows.truths.values()):
            remedy = "Add some: with cases of one truth alone nothing can be told apart."
            raise ImrmcRefused(name, None, "score", f"no case of truth {int(state)}", remedy)
    order = np.full(len(rows.cases.names), -1)
    order[list(rows.truths)] = np.arange(len(rows.truths))
    reader, number, modality, line = np.array(rows.places, dtype=np.int64).reshape(-1, 4).T
    case = order[number]
    if (case < 0).any():
        first = int(np.argmax(case < 0))
        wrong = f"case '{rows.cases.names[number[first]]}' has no row of truth"
        raise ImrmcRefused(name, int(line[first]), "case", wrong, "Add '-1,' with the case's name and ',truth,0' or ',truth,1'.")
    shape = len(rows.modalities.names), len(rows.truths), len(rows.readers.names)
    if math.prod(shape) > _MOST_CELLS:
        wrong = f"{shape[0]:,} modalities, {shape[1]:,} cases and {shape[2]:,} readers make a table of {math.prod(shape):,} cells"
        raise ImrmcRefused(name, None, None, wrong, "Check that reader, case and modality are in this order; otherwise split the study.")
    place = np.ravel_multi_index((modality, case, reader), shape)
    _seen, first_of = np.unique(place, return_index=True)
    if len(first_of) < len(place):
        again = int(np.setdiff1d(np.arange(len(place)), first_of)[0])
        before = int(line[np.argmax(place == place[again])])
        wrong = f"reader '{rows.readers.names[reader[again]]}' has read case '{rows.cases.names[number[again]]}' with modality "
        wrong += f"'{rows.modalities.names[modality[again]]}' already in line {before}"
        raise ImrmcRefused(name, int(line[again]), None, wrong, "Keep one reading; repeats belong in a file of their own.")
    scores = np.full(math.prod(shape), np.nan)
    scores[place] = np.array(rows.scores)
    truth = np.array([one for one, _line in rows.truths.values()])
    cases = tuple(rows.cases.names[k] for k in rows.truths)
    return Ratings(tuple(rows.readers.names), cases, tuple(rows.modalities.names), truth, scores.reshape(shape))


def _same_numbers(told: dict[str, tuple[int, int]], found: Ratings, name: str) -> None:
    there = {"NR": len(found.readers), "N0": int((~found.truth).sum()), "N1": int(found.truth.sum()), "NM": len(found.modalities)}
    for key, (number, line) in told.items():
        if number != there[key]:
            wrong = f"{number} {_COUNTS[key]} are announced, the rows have {there[key]}"
            raise ImrmcRefused(name, line, key, wrong, "Rows may be missing: complete them, correct the number, or leave the line out.")


def _score(value: str, line: int, name: str) -> float:
    remedy = "Write a number such as 4 or 0.75; leave out the rows of readings that were not made."
    try:
        score = float(value) if re.fullmatch(r"[0-9eE.+-]+", value) else math.nan
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ImrmcRefused(name, line, "score", f"'{value}' is not a finite number", remedy)
    return score


def _key(field: str) -> str:
    return "".join(field.split())


def _number(score: float) -> str:
    return str(int(score)) if score.is_integer() and abs(score) < 1e15 else repr(score)
