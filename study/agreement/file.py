"""Answers of any study from a CSV file: `reader,case,rating` and any of `site,arm,round,rhythm,occasion,score` (docs/agreement.md).

What cannot be read is refused with file, line, field and remedy. What is read but used in no figure, or in some only, is counted in `left_out`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np

from study.errors import StudyError

REQUIRED = ("reader", "case", "rating")
OPTIONAL = ("site", "arm", "round", "rhythm", "occasion", "score")
ARMS = ("real", "synthetic")
MISSING = frozenset({"", "NA", "N/A", "na", "n/a", "NaN", "nan", "."})
MOST_ANSWERS = 50
CHUNK = 20_000


@dataclass(frozen=True)
class Labels:
    """One label of each reading: `codes` (readings,) into `names`, -1 = missing."""

    codes: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Readings:
    """One entry a reading. Of a reader, `site` never changes; of a case, neither do `arm` and `rhythm`. None: the file does not say."""

    source: str
    reader: Labels
    case: Labels
    rating: Labels | None  # names in the order of the answers
    score: np.ndarray | None  # (readings,) float, NaN = missing
    site: Labels | None = None
    arm: Labels | None = None  # names are ARMS
    round: Labels | None = None  # names in time order
    rhythm: Labels | None = None
    occasion: Labels | None = None  # names in time order
    left_out: list[dict[str, object]] = field(default_factory=list)  # what, number, why

    def __len__(self) -> int:
        return len(self.reader.codes)


def left_out(what: str, number: int, why: str) -> dict[str, object]:
    return {"what": what, "number": number, "why": why}


def read_csv(path: Path, *, answers: Sequence[str] | None = None) -> Readings:
    """The readings of a file. `answers`: all that the form offers, in their order (default: those that were given, sorted).

    Raises StudyError with file, line, field and remedy; OSError where the file cannot be opened.
    """
    return _File(path).readings(answers)


def in_order(names: Sequence[str]) -> list[int]:
    """Places of `names` in time order: by number where all are numbers, else as they came."""
    places = list(range(len(names)))
    return sorted(places, key=lambda place: float(names[place])) if _numbers(names) else places


# ---- reading ----


class _Coder(dict[str, int]):
    """Text of a cell -> its code, in order of appearance; spaces around it do not count, missing is -1 where `missing` says so."""

    def __init__(self, missing: frozenset[str], fold: bool) -> None:
        super().__init__()
        self.missing, self.fold, self.codes = missing, fold, dict[str, int]()

    def __missing__(self, cell: str) -> int:
        word = cell.strip().casefold() if self.fold else cell.strip()
        self[cell] = -1 if word in self.missing else self.codes.setdefault(word, len(self.codes))
        return self[cell]


class _File:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[dict[str, object]] = []
        self.labels: dict[str, Labels] = {}
        self.lines = np.zeros(0, dtype=np.int64)

    def readings(self, answers: Sequence[str] | None) -> Readings:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as stream:
                self._columns(stream)
        except UnicodeDecodeError:
            self._refuse(self._undecodable(), None, "is not UTF-8 text. Save the table as CSV in UTF-8.")
        for name in ("reader", "case", "round", "occasion"):
            if name in self.labels and (empty := np.flatnonzero(self.labels[name].codes < 0)).size:
                self._refuse(int(self.lines[empty[0]]), name, f"is empty. Every reading needs its {name}.")
        arm = self._arms()
        for of, names in (("reader", ("site",)), ("case", ("arm", "rhythm"))):
            for name in names:
                self._never_changes(of, name)
        for name in ("round", "occasion"):
            if name in self.labels:
                self.labels[name] = _sorted(self.labels[name], in_order(self.labels[name].names))
        self._once()
        score = self._scores()
        rating = self._ratings(answers)
        for name, figures in (("site", "figures of sites"), ("arm", "figures that need the arm"), ("rhythm", "figures by rhythm")):
            if name in self.labels and (number := int((self.labels[name].codes < 0).sum())):
                self.told.append(left_out(f"readings without {name}", number, f"not in {figures}"))
        optional = {name: self.labels.get(name) for name in ("site", "round", "rhythm", "occasion")}
        return Readings(str(self.path), self.labels["reader"], self.labels["case"], rating, score, arm=arm, left_out=self.told, **optional)

    def _columns(self, stream: Iterator[str]) -> None:
        """Fills `labels` and `lines`."""
        rows = csv.reader(stream, strict=True)
        try:
            header = next(rows, None)
            names = self._header(header)
            coders = {name: _Coder(MISSING if name not in ("reader", "case") else frozenset({""}), name == "arm") for name in names if name}
            codes: dict[str, list[np.ndarray]] = {name: [] for name in coders}
            lines, blank = [], 0
            while True:
                before = rows.line_num
                if not (chunk := list(islice(rows, CHUNK))):
                    break
                numbers = _lines(before, rows.line_num, chunk)
                filled = np.array([len(row) > 1 or bool(row and row[0].strip()) for row in chunk])
                if not filled.all():
                    blank += int((~filled).sum())
                    chunk, numbers = [row for row, there in zip(chunk, filled, strict=True) if there], numbers[filled]
                if set(map(len, chunk)) - {len(names)}:
                    line, row = next((line, row) for line, row in zip(numbers, chunk, strict=True) if len(row) != len(names))
                    wrong = "more" if len(row) > len(names) else "fewer"
                    remedy = 'Put text that holds commas between "quotation marks".' if wrong == "more" else "Fill in what is missing."
                    self._refuse(int(line), None, f"has {len(row)} fields, {wrong} than the {len(names)} of the header. {remedy}")
                lines.append(numbers)
                for name, cells in zip(names, zip(*chunk, strict=True), strict=False):
                    if name:
                        codes[name].append(np.fromiter(map(coders[name].__getitem__, cells), dtype=np.int32, count=len(cells)))
        except csv.Error as error:
            self._refuse(rows.line_num, None, f"is no CSV: {error}. Look for a quotation mark that is not closed.")
        self.lines = np.concatenate([*lines, np.zeros(0, dtype=np.int64)])
        if not self.lines.size:
            raise StudyError(f"{self.path}: no reading below the header. Write one line a reading.")
        self.labels = {name: Labels(np.concatenate(codes[name]), tuple(coder.codes)) for name, coder in coders.items()}
        if blank:
            self.told.append(left_out("blank lines", blank, "nothing is written there"))

    def _header(self, header: list[str] | None) -> list[str]:
        """Name of each column, "" for one that is not used."""
        form = f"Write a first line such as: {','.join(REQUIRED)} (and any of {','.join(OPTIONAL)})."
        if not header or not any(cell.strip() for cell in header):
            raise StudyError(f"{self.path}, line 1: no header. {form}")
        names = [cell.strip().casefold() for cell in header]
        if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
            self._refuse(1, None, "has no commas. Save the table as CSV with commas between the fields and points in numbers.")
        for name in REQUIRED:
            if name not in names:
                self._refuse(1, name, f"is not among the columns {', '.join(names)}. {form}")
        for name in (*REQUIRED, *OPTIONAL):
            if names.count(name) > 1:
                self._refuse(1, name, "stands twice in the header. Rename or remove one.")
        unused = [cell.strip() or "(no name)" for cell, name in zip(header, names, strict=True) if name not in (*REQUIRED, *OPTIONAL)]
        if unused:
            self.told.append(left_out(f"columns {', '.join(unused)}", len(unused), f"only {', '.join((*REQUIRED, *OPTIONAL))} are read"))
        return [name if name in (*REQUIRED, *OPTIONAL) else "" for name in names]

    # ---- what each column must be ----

    def _arms(self) -> Labels | None:
        if "arm" not in self.labels:
            return None
        arm = self.labels["arm"]
        for code, name in enumerate(arm.names):
            if name not in ARMS:
                self._refuse(self._first(arm.codes == code), "arm", f"is {name!r}. Write real or synthetic, or leave it empty where it is not known.")
        place = np.array([*map(ARMS.index, arm.names), -1], dtype=np.int32)
        self.labels["arm"] = Labels(place[arm.codes], ARMS)
        return self.labels["arm"]

    def _never_changes(self, of: str, name: str) -> None:
        """A reader has one site, a case one arm and one rhythm."""
        if name not in self.labels:
            return
        owner, label = self.labels[of], self.labels[name]
        known = np.flatnonzero(label.codes >= 0)
        first = np.full(len(owner.names), -1)
        first[owner.codes[known][::-1]] = known[::-1]  # the last to be written is the first in the file
        earlier = first[owner.codes]
        changed = np.flatnonzero((earlier >= 0) & (label.codes >= 0) & (label.codes != label.codes[earlier]))
        if changed.size:
            here, there = changed[0], earlier[changed[0]]
            who = f"{of} {owner.names[owner.codes[here]]!r}"
            words = f"is {label.names[label.codes[here]]!r} for {who}, but {label.names[label.codes[there]]!r} on line {self.lines[there]}"
            self._refuse(int(self.lines[here]), name, f"{words}. A {of} has one {name}: correct one of the two.")
        if (silent := np.flatnonzero((earlier >= 0) & (label.codes < 0))).size:  # said on another line of the same reader or case
            codes = label.codes.copy()
            codes[silent] = label.codes[earlier[silent]]
            self.labels[name] = Labels(codes, label.names)

    def _once(self) -> None:
        """The same reader, case, round and occasion stand on one line."""
        key = np.zeros(len(self.lines), dtype=np.int64)
        for name in ("reader", "case", "round", "occasion"):
            if name in self.labels:
                key = key * len(self.labels[name].names) + self.labels[name].codes
        order = np.argsort(key, kind="stable")
        again = np.flatnonzero(key[order][1:] == key[order][:-1])
        if again.size:
            pair = min(((int(order[place + 1]), int(order[place])) for place in again), key=lambda two: two[0])
            reader, case = (self.labels[name].names[self.labels[name].codes[pair[0]]] for name in ("reader", "case"))
            words = f"reader {reader!r} read case {case!r} on line {self.lines[pair[1]]} already"
            self._refuse(int(self.lines[pair[0]]), "case", f"stands twice: {words}. Number readings of the same case in a column occasion: 1, 2 ...")

    def _scores(self) -> np.ndarray | None:
        if "score" not in self.labels:
            return None
        score = self.labels.pop("score")
        values = np.full(len(score.names) + 1, np.nan)
        for code, name in enumerate(score.names):
            try:
                values[code] = float(name)
            except ValueError:
                values[code] = np.nan
            if not math.isfinite(values[code]):
                remedy = "Write a number with a point, or leave it empty."
                self._refuse(self._first(score.codes == code), "score", f"is {name!r}, which is no number. {remedy}")
        if missing := int((score.codes < 0).sum()):
            self.told.append(left_out("readings without score", missing, "not in figures of the score"))
        return np.asarray(values[score.codes])

    def _ratings(self, answers: Sequence[str] | None) -> Labels | None:
        rating = self.labels.pop("rating")
        if missing := int((rating.codes < 0).sum()):
            self.told.append(left_out("readings without rating", missing, "not in figures of the rating"))
        if answers is None:
            if len(rating.names) > MOST_ANSWERS:
                most = f"agreement is of at most {MOST_ANSWERS} answers"
                line = self._first(rating.codes == MOST_ANSWERS)
                self._refuse(line, "rating", f"is the {MOST_ANSWERS + 1}st different answer, and {most}. Write numbers on a scale into score.")
            places = range(len(rating.names))
            order = in_order(rating.names) if _numbers(rating.names) else sorted(places, key=rating.names.__getitem__)
            return _sorted(rating, order)
        for code, name in enumerate(rating.names):
            if name not in answers:
                words = f"is {name!r}, which is not among the answers {', '.join(answers)}. Correct it, or name all in --answers."
                self._refuse(self._first(rating.codes == code), "rating", words)
        place = np.array([*map(list(answers).index, rating.names), -1], dtype=np.int32)
        return Labels(place[rating.codes], tuple(answers))

    def _first(self, where: np.ndarray) -> int:
        return int(self.lines[np.flatnonzero(where)[0]])

    def _undecodable(self) -> int:
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    return number
        return 1

    def _refuse(self, line: int, name: str | None, words: str) -> NoReturn:
        raise StudyError(f"{self.path}, line {line}{'' if name is None else f', {name}'}: {words}")


def _lines(before: int, after: int, rows: list[list[str]]) -> np.ndarray:
    """The line on which each of `rows` ends, where they are the lines from `before` (not counted) to `after`."""
    if after - before == len(rows):
        return np.arange(before + 1, after + 1)
    inside = [sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in row) for row in rows]  # line ends in quotation marks
    return before + np.cumsum(np.array(inside) + 1)


def _numbers(names: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(float(name)) for name in names)
    except ValueError:
        return False


def _sorted(label: Labels, order: list[int]) -> Labels:
    """The same labels with their names in `order`."""
    place = np.empty(len(order) + 1, dtype=np.int32)
    place[order] = np.arange(len(order))
    place[-1] = -1
    return Labels(place[label.codes], tuple(label.names[i] for i in order))
