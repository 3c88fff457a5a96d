"""Order diagnostics: whether the readers' orders look as random as they were drawn. From places and labels; arms only after unblinding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from storage import studies as stored
from storage import truth
from storage.database import Database
from storage.studies import CaseRow, PlacementRow
from study import overview
from study.people import Person
from study.roles import Action, demand
from study.studies import study_to_see

BLOCKS = 4  # quarters of an order
RUNS_TEST = "exact two-sided runs test (Wald & Wolfowitz 1940, Ann Math Stat 11:147), given how often each label occurs"


@dataclass(frozen=True)
class Runs:
    """How a label with two values follows itself in an order; a run is a stretch of equal labels."""

    runs: int
    expected: float | None  # None where one value alone occurs: then `reason`
    p_value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class LabelOrder:
    """One label of one reader's order in one phase."""

    reader: str
    site: str
    phase: int
    label: str  # AF, or synthetic after unblinding: what the shares are of
    cases: int
    runs: int
    expected_runs: float | None
    p_value: float | None  # of RUNS_TEST
    reason: str | None
    share: float
    blocks: list[float]  # share in each quarter of the order


@dataclass(frozen=True)
class FirstCase:
    """A case that stands first in somebody's order."""

    phase: int
    case: int  # number in its round, as cases.csv of the export has it
    rhythm: str
    arm: str | None  # None before unblinding
    readers: int  # who begin with it
    of: int  # readers


@dataclass(frozen=True)
class RepeatDistance:
    """How far a reader's repeats stand from their first showing in this round; repeats of earlier rounds aside."""

    reader: str
    site: str
    phase: int
    repeats: int
    nearest: int | None  # positions
    farthest: int | None
    asked: int  # the protocol's minimum


@dataclass(frozen=True)
class OrderCorrelation:
    """Spearman's correlation between the places that two readers gave to the cases that both read, over all pairs of readers."""

    phase: int
    pairs: int
    mean: float | None
    lowest: float | None
    highest: float | None
    expected_sd: float | None  # of independent orders: 1 / sqrt(cases - 1), mean over pairs
    reason: str | None


@dataclass(frozen=True)
class RoundOrder:
    round: int
    labels: list[LabelOrder]
    first: list[FirstCase]
    repeats: list[RepeatDistance]
    correlation: list[OrderCorrelation]  # by phase


def order_diagnostics(db: Database, person: Person, study_id: int) -> list[RoundOrder]:
    """Of each round of the study; arms are among the labels once it is unblinded, never before. Reader by reader, of those whom the person sees.

    Raises NotAllowed, StorageError.
    """
    demand(person, Action.SEE_STUDIES)
    with db.read() as session:
        study = study_to_see(session, person, study_id)
        arms = {} if study.unblinded_at is None else truth.arms_after_unblinding(session, study_id)
        readers = {reader.id: reader for reader in stored.readers(session, study_id) if overview.sees(person, study, reader)}
        every_case, every_place = stored.cases(session, study_id), stored.placements(session, study_id)
        found = []
        for opened in stored.rounds(session, study_id):
            cases = [case for case in every_case if case.round_id == opened.id]
            orders = _orders([row for row in every_place if row.round_id == opened.id])
            of = _Round(cases, orders, readers, {case.id: arms[case.strip_id].arm for case in cases} if arms else {})
            found.append(RoundOrder(opened.number, of.labels(), of.first(), of.repeats(opened.plan.get("min_repeat_distance", 0)), of.correlations()))
    return found


def as_plain(found: Iterable[RoundOrder]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [asdict(one) for one in found]


def runs_test(labels: Sequence[bool]) -> Runs:
    """Runs of True and False, their expected number and its exact p-value: the probability, over all orders of the same labels, of a number of
    runs that is at most as likely as the one found.

    statsmodels has the normal approximation alone, which is rough for the 20 to 60 cases of a round.
    """
    a, b = sum(labels), len(labels) - sum(labels)
    runs = sum(one != other for one, other in pairwise(labels)) + bool(labels)
    if not a or not b:
        return Runs(runs, None, None, "the label has one value here: there is nothing to follow")
    ways = {r: _ways(r, a, b) for r in range(2, a + b + 1)}
    extreme = sum(number for number in ways.values() if number <= ways[runs])
    return Runs(runs, 1 + 2 * a * b / (a + b), extreme / math.comb(a + b, a))


def _ways(runs: int, a: int, b: int) -> int:
    """Orders of a and b equal things that have so many runs."""
    half, odd = divmod(runs, 2)
    if odd:
        return _cut(a, half + 1) * _cut(b, half) + _cut(a, half) * _cut(b, half + 1)
    return 2 * _cut(a, half) * _cut(b, half)


def _cut(n: int, pieces: int) -> int:
    """Ways to cut n equal things in a row into so many pieces, none empty."""
    return math.comb(n - 1, pieces - 1) if 1 <= pieces <= n else 0


Orders = dict[tuple[int, int], list[int]]  # (phase, reader id) -> case ids in the reader's order


def _orders(places: Iterable[PlacementRow]) -> Orders:
    found: Orders = {}
    for row in sorted(places, key=lambda row: (row.phase, row.reader_id, row.position)):
        found.setdefault((row.phase, row.reader_id), []).append(row.case_id)
    return found


class _Round:
    def __init__(self, cases: Sequence[CaseRow], orders: Orders, readers: dict[int, stored.ReaderRow], arms: dict[int, str]) -> None:
        self._cases = {case.id: case for case in cases}
        self._orders, self._readers, self._arms = orders, readers, arms

    def labels(self) -> list[LabelOrder]:
        found = []
        for (phase, reader_id), order in self._orders.items():
            if (reader := self._readers.get(reader_id)) is None:
                continue
            found.append(_label(reader, phase, "AF", [self._cases[case].rhythm == "AF" for case in order]))
            if self._arms:
                found.append(_label(reader, phase, "synthetic", [self._arms[case] == "synthetic" for case in order]))
        return found

    def first(self) -> list[FirstCase]:
        begun: dict[tuple[int, int], int] = {}
        of: dict[int, int] = {}
        for (phase, _reader), order in self._orders.items():
            begun[phase, order[0]] = begun.get((phase, order[0]), 0) + 1
            of[phase] = of.get(phase, 0) + 1
        lowest = min(self._cases, default=0)
        return [
            FirstCase(phase, case - lowest + 1, self._cases[case].rhythm, self._arms.get(case), number, of[phase])
            for (phase, case), number in sorted(begun.items(), key=lambda one: (one[0][0], -one[1], one[0][1]))
        ]

    def repeats(self, asked: int) -> list[RepeatDistance]:
        found = []
        for (phase, reader_id), order in self._orders.items():
            if (reader := self._readers.get(reader_id)) is None:
                continue
            at = {case: place for place, case in enumerate(order)}
            apart = [at[case] - at[again] for case in order if (again := self._cases[case].repeat_of) is not None and again in at]
            found.append(RepeatDistance(reader.name, reader.site, phase, len(apart), min(apart, default=None), max(apart, default=None), asked))
        return found

    def correlations(self) -> list[OrderCorrelation]:
        return [
            _correlation(phase, [order for (of, _reader), order in self._orders.items() if of == phase])
            for phase in sorted({phase for phase, _reader in self._orders})
        ]


def _label(reader: stored.ReaderRow, phase: int, label: str, values: list[bool]) -> LabelOrder:
    runs = runs_test(values)
    blocks = [float(np.mean(block)) for block in np.array_split(np.array(values, dtype=float), min(BLOCKS, len(values)))]
    share = float(np.mean(values))
    return LabelOrder(reader.name, reader.site, phase, label, len(values), runs.runs, runs.expected, runs.p_value, runs.reason, share, blocks)


def _correlation(phase: int, orders: Sequence[list[int]]) -> OrderCorrelation:
    found, spread = [], []
    for one, other in combinations(orders, 2):
        both = set(one) & set(other)
        if len(both) < 3:
            continue
        at = {case: place for place, case in enumerate(case for case in other if case in both)}
        theirs = [at[case] for case in one if case in both]
        found.append(float(spearmanr(range(len(theirs)), theirs).statistic))
        spread.append(1 / math.sqrt(len(theirs) - 1))
    if not found:
        return OrderCorrelation(phase, 0, None, None, None, None, "no two readers share three cases")
    return OrderCorrelation(phase, len(found), float(np.mean(found)), min(found), max(found), float(np.mean(spread)), None)
