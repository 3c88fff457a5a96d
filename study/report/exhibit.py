"""One exhibit: a picture with its caption, and the table and the file of the figures behind it, made from rows of `study.result_tables`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from study.protocol import SCALE
from study.report.chart import MOST_ROWS, Axis, Entry, Mark, intervals_picture
from study.report.facts import NOT_THERE, Cells, Figure, Lookup, plainly
from study.report.parts import Picture, Row, Table

_UNITS = {"proportion": "percent", "difference of proportions": "points", "seconds": "seconds", "probability": "probability"}
_NUMBERS = ("AUC", "AUROC", "macro F1", "F1 AF", "F1 NSR")  # areas and scores are no shares


@dataclass(frozen=True)
class Exhibit:
    """A picture and the table behind it; where nothing is defined, `instead` says why there is no picture.

    rows: the figures as in study.result_tables, a row of the table each, in the same order.
    """

    name: str  # of its files
    title: str
    picture: Picture | None
    instead: str
    table: Table
    rows: tuple[Figure, ...]

    @property
    def csv(self) -> str:
        """The rows in full precision, with unit, method and the reason of a gap."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        written = io.StringIO()
        writer = csv.DictWriter(written, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in self.rows)
        return written.getvalue()


def by_group(found: Lookup, of: Callable[[str, str], list[list[Figure | None]]], series: Sequence[str] = (), *, readers: bool = True) -> list[Entry]:
    """A row for each group. of(group, name): for each axis its figures; series: what they are of, in their order."""
    return [Entry(called, marked(of(group, name), series), group) for group, name, called in found.groups(readers=readers)]


def marked(figures: Iterable[Sequence[Figure | None]], series: Sequence[str] = ()) -> tuple[tuple[Mark, ...], ...]:
    """Series belong to axes that have as many figures."""
    made = []
    for of_axis in figures:
        names = series if len(of_axis) == len(series) else ("",) * len(of_axis)
        made.append(tuple(Mark(row or nothing("", "", "", NOT_THERE), name) for row, name in zip(of_axis, names, strict=True)))
    return tuple(made)


def nothing(group: str, name: str, figure: str, reason: str) -> Figure:
    empty = dict.fromkeys(("value", "low", "high", "n"))
    return {"group": group, "name": name, "figure": figure, **empty, "unit": "proportion", "counted": "readings", "method": "", "reason": reason}


def _n(entries: Sequence[Entry]) -> str:
    """How many readings and the like: of all readers, where they have a row; otherwise of all rows."""
    drawn = [entry for entry in entries if entry.marks]
    figures = [mark.figure for entry in [one for one in drawn if one.level == "all"] or drawn for mark in entry.marks[0]]
    numbers, counted = sorted({row["n"] for row in figures if row["n"]}), next((row["counted"] for row in figures), "")
    return f" n = {' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} {counted}." if numbers else ""


def made(
    name: str,
    title: str,
    caption: str,
    axes: Sequence[Axis],
    entries: Sequence[Entry],
    keys: dict[str, str],
    more: Sequence[Figure] = (),
    instead: str = "",
) -> Exhibit:
    """keys: heads of the table's first columns, and what stands there. more: figures for the table alone. instead: said where all is undefined."""
    rows = [mark.figure for entry in entries for marks in entry.marks for mark in marks]
    known = any(row["value"] is not None for row in rows)
    caption, drawn = caption + _n(entries), entries
    if len(entries) > MOST_ROWS:
        drawn = [entry for entry in entries if entry.level not in ("reader", "part")]
        caption += " Single readers, too many to draw, are in the table."
    reasons = "; ".join(dict.fromkeys(str(row["reason"]) for row in (rows or more) if row["reason"])) or NOT_THERE
    first, *_others = keys.values()
    order = list(dict.fromkeys(row.get(first) for row in (*rows, *more)))
    listed = sorted((*rows, *more), key=lambda row: order.index(row.get(first)))
    drawable = any(marks for entry in drawn for marks in entry.marks)
    picture = intervals_picture(caption, axes, drawn) if known and drawable else None
    told = instead or f"No figure: {reasons}."
    if known:
        told = "" if drawable else f"No figure: {len(rows)} intervals are too many to draw. They are in the tables and in the export."
    return Exhibit(name, title, picture, told, table_of(title, keys, listed), tuple(listed))


def _cell(value: object) -> object:
    """Words that a spreadsheet would take for a formula are quoted."""
    return "" if value is None else f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def table_of(title: str, keys: dict[str, str], rows: Sequence[Figure]) -> Table:
    cells = Cells()
    lines = []
    for row in rows:
        named = [_named(row, column) for column in keys.values()]
        n = "–" if row["n"] is None else str(row["n"])
        lines.append(Row((*named, cells.cell(row, unit(row)), n), row.get("group") in ("all", "site")))
    methods = dict.fromkeys(plainly(row["method"]) for row in rows if row["method"])
    notes = (*cells.notes, *(f"How: {method}." for method in methods))
    counted_what = list(dict.fromkeys(row["counted"] for row in rows))
    n_head = f"n ({counted_what[0]})" if len(counted_what) == 1 else "n"
    return Table(title, (*keys, "Value (interval)", n_head), tuple(lines), (*(70 / len(keys),) * len(keys), 34, 16), notes)


def _named(row: Figure, column: str) -> str:
    value = row.get(column)
    if column == "step":
        return f"{value} {SCALE[value - 1]}" if value else "–"
    if column == "name" and row.get("group") == "all":
        return "All readers"
    return "–" if value is None else str(value)


def unit(row: Figure) -> str:
    """How a row's figure is written: see study.report.facts.shown."""
    figure = str(row["figure"])
    if figure.startswith("difference of "):
        return "points"
    if figure in _NUMBERS:
        return "number"
    return _UNITS.get(row["unit"], "difference" if str(row["unit"]).startswith("difference") else "number")
