"""What a report rests on: a study's data and its figures, found by name. A figure that is not there is told in words, never left out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any

import pandas as pd

from storage.export import Provenance, StudyData
from study.judgements import judgement_table, reader_codes
from study.protocol import SCALE
from study.result_tables import POOLED
from study.results import Results, records

ARMS = ("real", "synthetic")
DIFFERENCE = "synthetic - real"
SIMULATOR = "simulator"  # in the place of a checkpoint's hash
_WHOLE = {"rhythm": "all", "arm": "all", "apart": "all", "kind": "all", "round": "all"}  # what a figure is of unless it is asked for otherwise
NOT_THERE = "this version of blindstrip does not compute it"

Figure = dict[str, Any]


class Lookup:
    """A study's results, figure by figure."""

    found: Results

    @cached_property
    def sites(self) -> dict[str, list[str]]:
        """Hospital -> its readers' codes, both in their order."""
        of: dict[str, list[str]] = defaultdict(list)
        for code, site in zip(self.found.readers["reader"], self.found.readers["site"], strict=True):
            of[site].append(code)
        return {site: sorted(of[site]) for site in sorted(of)}

    def groups(self, *, readers: bool = True) -> list[tuple[str, str, str]]:
        """(group, name, how it is called): all, then each hospital with its readers below."""
        there = [("all", "all", "All readers")]
        for site, codes in self.sites.items():
            there.append(("site", site, site))
            there += [("reader", code, code) for code in codes] if readers else []
        return there

    def rows(self, table: str, **wanted: Any) -> list[Figure]:
        """The rows of a table of results whose columns are as wanted; of what is not asked for, those of everything. Empty where there is none."""
        columns, by_name = self._tables.get(table, (frozenset(), {}))
        if not set(wanted) <= columns:
            return []
        of = {name: whole for name, whole in _WHOLE.items() if name in columns} | wanted
        return [row for row in by_name.get(wanted.get("name"), []) if all(row[name] == value for name, value in of.items())]

    def one(self, table: str, **wanted: Any) -> Figure | None:
        """The first of `rows`."""
        return next(iter(self.rows(table, **wanted)), None)

    def rate(self, group: str, name: str, figure: str, **wanted: str) -> Figure | None:
        """Of several readers their mean, with the interval for other readers and cases; of a single reader the plain figure."""
        several = (group == "all" and len(self.found.readers) > 1) or (group == "site" and len(self.sites[name]) > 1)
        of_several = self.one("realism", group=group, name=name, figure=f"{figure} (readers and cases)", **wanted) if several else None
        return of_several or self.one("realism", group=group, name=name, figure=figure, **wanted)

    @cached_property
    def _tables(self) -> dict[str, tuple[frozenset[str], dict[Any, list[Figure]]]]:
        found = {name: value for name, value in vars(self.found).items() if isinstance(value, pd.DataFrame)}
        tables = {}
        for name, table in found.items():
            by_name: dict[Any, list[Figure]] = defaultdict(list)
            for row in records(table):
                by_name[None].append(row)
                if "name" in row:
                    by_name[row["name"]].append(row)
            tables[name] = (frozenset(map(str, table.columns)), dict(by_name))
        return tables


@dataclass(frozen=True)
class Found(Lookup):
    """Results alone: all that pictures need."""

    found: Results


@dataclass(frozen=True)
class Facts(Lookup):
    """A study as its report sees it."""

    data: StudyData
    origin: Provenance
    found: Results

    @cached_property
    def table(self) -> pd.DataFrame:
        """Of study.judgements."""
        return judgement_table(self.data)

    @cached_property
    def latest(self) -> pd.DataFrame:
        """The judgements that count."""
        return self.table[self.table["latest"]]

    @cached_property
    def scored(self) -> pd.DataFrame:
        return self.latest[self.latest["role"] == "scored"]

    @cached_property
    def codes(self) -> dict[int, str]:
        return reader_codes(self.data)

    @property
    def version(self) -> str:
        return version("blindstrip")


class Cells:
    """The cells of one table: each figure with its interval, or with a letter whose reason stands below the table."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def cell(self, figure: Figure | None, unit: str = "number") -> str:
        """unit: percent, points (a difference of proportions), probability, number, difference (of numbers), or seconds."""
        if figure is None:
            return f"– [{self.letter(NOT_THERE)}]"
        if figure["value"] is None:
            return f"– [{self.letter(figure['reason'] or 'no reason given')}]"
        value = shown(figure["value"], unit)
        if figure["low"] is None or figure["high"] is None:
            return f"{value} [{self.letter(figure['reason'] or 'no reason given')}]"
        return f"{value} ({interval(figure['low'], figure['high'], unit)})"

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"[{letter}] {reason}" for reason, letter in self._reasons.items())

    def letter(self, reason: str) -> str:
        """The letter that stands for a reason in this table."""
        number = len(self._reasons)
        letters = chr(ord("a") + number % 26) * (1 + number // 26)
        return self._reasons.setdefault(reason, letters)


def shown(value: float, unit: str) -> str:
    """A figure as it is printed."""
    if unit == "percent":
        return f"{100 * value:.1f} %"
    if unit == "points":
        return f"{100 * value:+.1f}".replace("-0.0", "+0.0")
    if unit == "difference":
        return f"{value:+.2f}".replace("-0.00", "+0.00")
    if unit == "probability":
        return f"{value:.3f}" if value >= 0.001 else "< 0.001"
    return f"{value:.0f} s" if unit == "seconds" else f"{value:.2f}".replace("-0.00", "0.00")


def interval(low: float, high: float, unit: str) -> str:
    ends = (shown(one, unit).removesuffix(" %").removesuffix(" s") for one in (low, high))
    return " to ".join(ends)


def counted(number: int, one: str, more: str | None = None) -> str:
    """1 reader, 2 readers."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def plainly(method: str) -> str:
    """Without what holds for one figure alone: how many bootstrap samples were undefined, that readings were pooled."""
    return re.sub(r" \(\d+ of \d+ samples[^)]*\)", "", method.replace(POOLED, ""))


def day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def scale_in_words() -> str:
    return ", ".join(f"{number} {words}" for number, words in enumerate(SCALE, start=1))
