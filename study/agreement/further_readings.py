"""How many readings decide between equivalence to chance and a difference from it, with 80 % power.

A decision is a true one: both one-sided tests at 5 % reject (if the assumed truth is within the margin), or the two-sided test against chance
at 5 % does (on the side where the assumed truth is). The number needed is that of a study planned anew; what was read already counts towards
it. A second look at the same readings is a second test: plan it in an amendment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from study.agreement.reader_figures import ReaderFigures

POWER = 0.8
CHANCE = 0.5
_MOST = 1000  # times what was read: more is never advised
_MOST_READERS = 20


@dataclass(frozen=True)
class Further:
    assumed: float  # true accuracy (or AUC)
    readings: int | None  # further readings; None: none of the numbers looked at would do
    sentence: str


def readings_needed(truth: float, margin: float, *, power: float = POWER) -> int | None:
    """Smallest even number of one reader's readings, half of each arm, that decides with `power` if the true accuracy is `truth`.

    Exact: binomial probabilities of the exact tests' regions. At a truth of 0.5: 876, 214 and 96 readings for margins of 5, 10 and 15 points.
    """
    most = 2**8
    while most <= 2**22:
        n = np.arange(2, most + 1, 2)
        found = np.flatnonzero(_decided(n, truth, margin) >= power)
        if len(found):
            return int(n[found[0]])
        most *= 4
    return None


def _decided(n: np.ndarray, truth: float, margin: float) -> np.ndarray:
    """Probability of a true decision with n readings (n,)."""
    truth = CHANCE + abs(truth - CHANCE)  # both tests are symmetric
    least = stats.binom.isf(0.05, n, CHANCE - margin) + 1  # from this number of right readings on, accuracy is shown above the lower margin
    most = n - least  # up to this one, below the upper margin
    equivalent = np.where(most >= least, stats.binom.cdf(most, n, truth) - stats.binom.cdf(least - 1, n, truth), 0)
    better = np.maximum(stats.binom.isf(0.025, n, CHANCE) + 1, most + 1)  # a number in both regions is called equivalent
    off_chance = stats.binom.sf(better - 1, n, truth)
    return np.asarray(equivalent * (truth - CHANCE < margin) + off_chance * (truth > CHANCE))


def further_of_one_reader(readings: int, truth: float, margin: float) -> Further:
    needed = readings_needed(truth, margin)
    if needed is None:
        return Further(truth, None, f"If the true accuracy is {_percent(truth)}, more than a million readings would be needed to decide.")
    more = max(needed - readings, 0)
    return Further(truth, more, f"If the true accuracy is {_percent(truth)}, {_readings(more)} would decide it with 80 % power ({needed:,} in all).")


def further_of_area(readings: int, error: float, truth: float, margin: float) -> Further:
    """One reader's AUC: variance taken to fall as the number of readings grows in both arms alike, normal."""
    total = _grid(readings)
    h90, h95 = (float(stats.norm.ppf(q)) * error * np.sqrt(readings / total) for q in (0.95, 0.975))
    chance = _normal_decision(truth, error * np.sqrt(readings / total), h90, h95, margin)
    return _first(total - readings, chance, truth, "AUC")


def further_of_group(figures: ReaderFigures, truth: float, margin: float) -> Further:
    """A group: the variance components found, more cases for the same readers; if no number of cases will do, more readers too.

    Var and Cov2 fall with the number of cases, the variance between readers, max(MS(R) - Var + Cov2, 0), does not (Hillis, Obuchowski and
    Berbaum 2011, Acad Radiol 18:129, sizing from a pilot's variance components).
    """
    name = "AUC" if figures.name == "AUC" else "accuracy"
    readers, cases = len(figures.value), sum(figures.cases)
    none = Further(truth, None, f"How many more readings would decide it cannot be told: {figures.reason or 'fewer than two readers'}.")
    if figures.covariance is None or readers < 2:
        return none
    error = float(np.trace(figures.covariance)) / readers
    cov2 = (float(figures.covariance.sum()) - error * readers) / (readers * (readers - 1))
    shared, between = max(cov2, 0.0), max(float(figures.value.var(ddof=1)) - error + max(cov2, 0.0), 0.0)
    best: tuple[int, int, int] | None = None  # further readings, readers, cases
    for r in np.unique(np.rint(readers * np.geomspace(1, _MOST_READERS, 60)).astype(int)).tolist():
        grid = _grid(cases, 3500 if r == readers else 350)
        spread, c = between + (error - shared) * cases / grid, shared * cases / grid
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(spread > 0, (spread + r * c) ** 2 / np.where(spread > 0, spread, 1) ** 2 * (r - 1), np.inf)
        se = np.sqrt(np.maximum(spread / r + c, 0))
        chance = _normal_decision(truth, se, stats.t.ppf(0.95, freedom) * se, stats.t.ppf(0.975, freedom) * se, margin)
        enough = np.flatnonzero(chance >= POWER)
        if len(enough):
            wanted = int(grid[enough[0]])
            more = max(round(figures.readings * (r * wanted / (readers * cases) - 1)), 0)
            if best is None or more < best[0]:
                best = more, r, wanted
            if r == readers:
                break
    if best is None:
        sentence = (
            f"If the true {name} is {_value(truth, name)}, neither {_MOST:,} times the cases nor {_MOST_READERS} times the readers would decide it."
        )
        return Further(truth, None, sentence)
    more, r, wanted = best
    if r == readers:
        how = f"the same {readers} readers with {wanted:,} cases each"
    else:
        how = f"{r} readers with {wanted:,} cases each; these {readers} alone are too few for how much they differ"
    sentence = (
        f"If the true {name} is {_value(truth, name)} and readers and cases vary as found, {_readings(more)} ({how}) would decide it with 80 % power."
    )
    return Further(truth, more, sentence)


def _normal_decision(truth: float, se: np.ndarray, h90: np.ndarray, h95: np.ndarray, margin: float) -> np.ndarray:
    """Probability of a true decision: an estimate normal about `truth` is within margin - h90 of chance, or beyond h95 on the truth's side."""
    gap = abs(truth - CHANCE)
    inside = np.maximum(margin - h90, 0)
    outside = np.maximum(h95, inside)
    scale = np.where(se > 0, se, 1e-12)
    equivalent = stats.norm.cdf((inside - gap) / scale) - stats.norm.cdf((-inside - gap) / scale)
    return np.asarray(equivalent * (gap < margin) + stats.norm.sf((outside - gap) / scale) * (gap > 0))


def _grid(n: int, steps: int = 3500) -> np.ndarray:
    """n, then in equal ratios (a fifth of a percent, or 2 %) up to the most that is looked at."""
    return np.unique(np.rint(n * np.geomspace(1, _MOST, steps)).astype(int))


def _first(more: np.ndarray, chance: np.ndarray, truth: float, name: str) -> Further:
    enough = np.flatnonzero(chance >= POWER)
    if not len(enough):
        return Further(truth, None, f"If the true {name} is {_value(truth, name)}, not even {_MOST:,} times the readings would decide it.")
    wanted = int(more[enough[0]])
    return Further(truth, wanted, f"If the true {name} is {_value(truth, name)}, about {_readings(wanted)} would decide it with 80 % power.")


def _readings(n: int) -> str:
    return f"{n:,} further reading{'' if n == 1 else 's'}"


def _value(truth: float, name: str) -> str:
    return f"{truth:.3f}" if name == "AUC" else _percent(truth)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if round(1000 * share) % 10 else f"{100 * share:.0f} %"
