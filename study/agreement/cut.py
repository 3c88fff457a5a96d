"""Readings cut into strata and laid out as (cases, readers): what the tables of a file's figures are computed from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from study.agreement.estimate import Estimate
from study.agreement.file import MOST_ANSWERS, Readings, left_out

RATING, SCORE = "rating", "score"
ALL = "all"
WITHIN_ROUND, ACROSS_ROUNDS = "within a round", "across rounds"


@dataclass(frozen=True)
class Stratum:
    arm: str = ALL
    rhythm: str = ALL
    round: str = ALL


@dataclass(frozen=True)
class Item:
    """A question as agreement sees it: `codes` (readings,), -1 = missing, of `answers` in their order."""

    name: str
    codes: np.ndarray
    answers: tuple[str, ...]
    weights: str  # nominal for the rating, ordinal for the score


class Cut:
    """Strata, items and matrices of a file's readings. A reader's first reading of a case counts; later ones are repeats."""

    def __init__(self, readings: Readings) -> None:
        self.readings = readings
        count = len(readings)
        self.reader, self.case = readings.reader.codes.astype(np.int64), readings.case.codes.astype(np.int64)
        self.readers = readings.reader.names
        self.round, self.occasion = (np.zeros(count, dtype=int) if one is None else one.codes for one in (readings.round, readings.occasion))
        self.order = np.lexsort((self.occasion, self.round, self.reader, self.case))
        self.told = list(readings.left_out)
        key = (self.case * len(self.readers) + self.reader)[self.order]
        again = int((key[1:] == key[:-1]).sum())
        if again:
            self.told.append(left_out("readings of a case that the reader had read before", again, "only in agreement within readers, and by round"))
        self.sites = () if readings.site is None else readings.site.names
        self.site_of = np.full(len(self.readers), -1)
        if readings.site is not None:
            self.site_of[self.reader] = readings.site.codes
        self.synthetic = np.full(len(readings.case.names), -1)  # of each case: 1, 0, -1 where not known
        if readings.arm is not None:
            self.synthetic[self.case] = readings.arm.codes
        self.items = list(self._items())

    def strata(self) -> Iterator[Stratum]:
        """All; each arm; each rhythm; each round where there are several."""
        yield Stratum()
        for name, label in (("arm", self.readings.arm), ("rhythm", self.readings.rhythm), ("round", self.readings.round)):
            if label is not None and (name != "round" or len(label.names) > 1):
                used = np.unique(label.codes)
                for code in used[used >= 0]:
                    yield Stratum(**{name: label.names[code]})

    def where(self, stratum: Stratum) -> np.ndarray:
        """(readings,) bool."""
        inside = np.ones(len(self.readings), dtype=bool)
        for name, label in (("arm", self.readings.arm), ("rhythm", self.readings.rhythm), ("round", self.readings.round)):
            wanted = getattr(stratum, name)
            if wanted != ALL:
                assert label is not None
                inside &= label.codes == label.names.index(wanted)
        return inside

    def matrix(self, values: np.ndarray, answered: np.ndarray, missing: float) -> tuple[np.ndarray, np.ndarray]:
        """(cases, readers) of the first answered reading of each, and the codes of those cases; every reader has a column."""
        chosen = self.order[answered[self.order]]
        key = self.case[chosen] * len(self.readers) + self.reader[chosen]
        first = chosen[np.append(True, key[1:] != key[:-1])] if chosen.size else chosen
        cases, row = np.unique(self.case[first], return_inverse=True)
        filled = np.full((len(cases), len(self.readers)), missing, dtype=values.dtype)
        filled[row, self.reader[first]] = values[first]
        return filled, cases

    def ratings(self, item: Item, stratum: Stratum) -> np.ndarray:
        return self.matrix(item.codes, self.where(stratum) & (item.codes >= 0), -1)[0]

    def groups(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """All readers, and those of each site: group, name, (readers,) bool."""
        yield ALL, ALL, np.ones(len(self.readers), dtype=bool)
        for code, name in enumerate(self.sites):
            yield "site", name, self.site_of == code

    def site_name(self, reader: int) -> str | None:
        return None if self.site_of[reader] < 0 else self.sites[self.site_of[reader]]

    def again(self, item: Item, stratum: Stratum, apart: str = ALL) -> np.ndarray:
        """(readers, cases read twice by anybody, occasions) of codes, -1 = missing. `apart`: all occasions, those of one round, or one a round."""
        chosen = self.order[(self.where(stratum) & (item.codes >= 0))[self.order]]
        rounds = self.round.max(initial=0) + 1
        unit = self.case * rounds + self.round if apart == WITHIN_ROUND else self.case
        key = unit[chosen] * len(self.readers) + self.reader[chosen]
        if apart == ACROSS_ROUNDS:  # the first occasion of each round
            full = key * rounds + self.round[chosen]
            kept = np.append(True, full[1:] != full[:-1]) if chosen.size else np.zeros(0, dtype=bool)
            chosen, key = chosen[kept], key[kept]
        elif apart == WITHIN_ROUND:
            order = np.argsort(key, kind="stable")
            chosen, key = chosen[order], key[order]
        begins = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if chosen.size else np.zeros(0, dtype=int)
        lengths = np.diff(np.append(begins, len(chosen)))
        rank = np.arange(len(chosen)) - np.repeat(begins, lengths)
        twice = np.repeat(lengths >= 2, lengths)
        chosen, rank = chosen[twice], rank[twice]
        units, row = np.unique(unit[chosen], return_inverse=True)
        filled = np.full((len(self.readers), len(units), int(rank.max(initial=-1)) + 1), -1)
        filled[self.reader[chosen], row, rank] = item.codes[chosen]
        return filled

    def aparts(self) -> tuple[str, ...]:
        """How far apart repeats lie: told apart where some lie within a round and some across rounds."""
        if self.readings.round is None or len(self.readings.round.names) < 2:
            return (ALL,)
        key = (self.case * len(self.readers) + self.reader)[self.order]
        again = key[1:] == key[:-1]
        across = (self.round[self.order][1:] != self.round[self.order][:-1])[again]
        return (ALL, WITHIN_ROUND, ACROSS_ROUNDS) if across.any() and not across.all() else (ALL,)

    def _items(self) -> Iterator[Item]:
        rating, score = self.readings.rating, self.readings.score
        if rating is not None and rating.names:
            yield Item(RATING, rating.codes, rating.names, "nominal")
        if score is not None and np.isfinite(score).any():
            levels = _levels(score[np.isfinite(score)])
            if len(levels) > MOST_ANSWERS:
                why = f"agreement is of at most {MOST_ANSWERS} different answers; the AUC uses them all"
                self.told.append(left_out(f"agreement on the score, which has {len(levels)} different values", 1, why))
            else:
                codes = np.where(np.isfinite(score), np.searchsorted(levels, np.nan_to_num(score, nan=levels[0])), -1)
                yield Item(SCORE, codes, tuple(f"{level:g}" for level in levels), "ordinal")


def _levels(given: np.ndarray) -> np.ndarray:
    """The answers of a scale: all whole numbers from the least to the greatest given where all are whole and few, else those given."""
    used = np.unique(given)
    whole = bool((used == np.round(used)).all()) and used[-1] - used[0] < MOST_ANSWERS
    return np.arange(used[0], used[-1] + 1) if whole else used


def row(keys: dict[str, Any], stratum: Stratum, figure: str, found: Estimate, counted: str) -> dict[str, Any]:
    """One figure of a table."""
    told = {"value": found.value, "low": found.low, "high": found.high, "se": found.se, "n": found.n, "counted": counted}
    return {**keys, **asdict(stratum), "figure": figure, **told, "reason": found.reason, "method": found.method}
