"""Hundreds of simulated studies: how often intervals hold what was planted, and how often the equivalence test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from study.agreement.equivalence import CHANCE, Outcome
from study.agreement.readers_and_cases import calls_of_group, group_average
from study.judgements import FIRST_SYNTHETIC
from study.simulation.figures import Compared
from study.simulation.model import Planted, Shown, draw_readers, draw_steps, rng
from study.simulation.truth import of_new_readers

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Coverage:
    """How often the intervals of one figure held the truth."""

    figure: str
    truth_of: str
    level: float  # that the interval has in name
    claimed: bool
    intervals: int
    without: int  # figures without an interval: they count neither way
    covered: float | None  # share of the intervals
    low: float | None  # Monte Carlo interval of that share, 95 %
    high: float | None
    half_width: float | None  # mean
    bias: float | None  # mean of what was found less what was planted


@dataclass(frozen=True)
class Rejections:
    """What the equivalence test of all readers said of studies with one true accuracy; shares with Monte Carlo intervals, 95 %."""

    truth: str
    accuracy: float
    studies: int
    equivalent: float
    low: float
    high: float
    better: float
    worse: float
    undecided: float


def coverage(studies: Sequence[Sequence[Compared]]) -> list[Coverage]:
    """By figure, over studies. Where a study has the figure several times (each reader's own) the Monte Carlo interval is over studies."""
    by_figure: dict[tuple[str, str], list[list[Compared]]] = {}
    for study in studies:
        mine: dict[tuple[str, str], list[Compared]] = {}
        for one in study:
            mine.setdefault((one.figure, one.truth_of), []).append(one)
        for key, found in mine.items():
            by_figure.setdefault(key, []).append(found)
    return [_of_figure(found) for found in by_figure.values()]


def _of_figure(studies: Sequence[Sequence[Compared]]) -> Coverage:
    everything = [one for study in studies for one in study]
    held = [[one.covered for one in study if one.covered is not None] for study in studies]
    shares = np.array([np.mean(of) for of in held if of])
    intervals = sum(map(len, held))
    low = high = None
    if len(shares) and max(map(len, held)) == 1:
        low, high = proportion_confint(shares.sum(), len(shares), method="wilson")
    elif len(shares) > 1:
        half = stats.norm.ppf(0.975) * shares.std(ddof=1) / np.sqrt(len(shares))
        low, high = max(0.0, shares.mean() - half), min(1.0, shares.mean() + half)
    widths = [one.high - one.low for one in everything if one.high is not None and one.low is not None]
    off = [one.found - one.planted for one in everything if one.found is not None]
    return Coverage(
        everything[0].figure,
        everything[0].truth_of,
        everything[0].level,
        everything[0].claimed,
        intervals,
        len(everything) - intervals,
        float(shares.mean()) if len(shares) else None,
        None if low is None else float(low),
        None if high is None else float(high),
        float(np.mean(widths)) / 2 if widths else None,
        float(np.mean(off)) if off else None,
    )


def rejections(truth: str, planted: Planted, margin: float, seed: int, studies: int, cases: Shown, report: Report | None = None) -> Rejections:
    """The verdicts on all readers of the first so many studies of a seed. truth: its name."""
    said = []
    for number in range(studies):
        generator = rng(seed, number)
        step = draw_steps(planted, draw_readers(planted, generator), cases, generator)[: len(cases.synthetic)]
        said.append(outcome((step >= FIRST_SYNTHETIC) == cases.synthetic[:, None], cases.synthetic, margin))
        if report:
            report(number, studies, f"Equivalence test, {truth}")
    share = {one: said.count(one) / len(said) for one in Outcome}
    low, high = proportion_confint(said.count(Outcome.EQUIVALENT), len(said), method="wilson")
    others = (share[one] for one in (Outcome.BETTER, Outcome.WORSE, Outcome.UNDECIDED))
    return Rejections(truth, of_new_readers(planted).accuracy, len(said), share[Outcome.EQUIVALENT], float(low), float(high), *others)


def outcome(right: np.ndarray, synthetic: np.ndarray, margin: float) -> Outcome:
    """`equivalence.of_group`'s outcome of two or more readers, without the words and without planning what would decide.

    right (cases, readers) bool, complete; synthetic (cases,) bool.
    """
    figures = calls_of_group(right.astype(float), synthetic)
    inner, outer = (group_average(figures, level=level).estimate for level in (0.90, 0.95))
    if inner.value is None or inner.low is None or inner.high is None or outer.low is None or outer.high is None:
        return Outcome.UNDECIDED
    if inner.low > CHANCE - margin and inner.high < CHANCE + margin:
        return Outcome.EQUIVALENT
    if outer.low <= CHANCE <= outer.high:
        return Outcome.UNDECIDED
    return Outcome.BETTER if inner.value > CHANCE else Outcome.WORSE
