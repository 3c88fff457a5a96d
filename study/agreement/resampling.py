"""Bootstrap over cases: how often each case is drawn, percentile intervals from what comes out, and the jackknife's standard error.

Our own code: statsmodels and scipy resample arrays by index, draw by draw; sums over cases need only how often each case is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from study.agreement.estimate import Estimate, rng

DRAWS = 2000
BLOCK = 4_000_000  # numbers held at once: 32 MB


def interval(value: float, samples: np.ndarray, n: int, method: str, se: float | None = None) -> Estimate:
    """Percentile interval (Efron 1979, Ann Stat 7:1) from bootstrap `samples` (draws,), NaN where a sample had no value.

    No interval where it would mislead: one case, samples all alike, or more than 5 % of them without a value.
    """
    if n < 2:
        return Estimate(value, None, None, n, "one case: there is nothing to resample", method, se)
    lost = int((~np.isfinite(samples)).sum())
    if lost > 0.05 * len(samples):
        reason = f"no interval: the figure is undefined in {100 * lost / len(samples):.0f} % of the bootstrap samples"
        return Estimate(value, None, None, n, reason, method, se)
    kept = samples[np.isfinite(samples)]
    low, high = (float(edge) for edge in np.percentile(kept, [2.5, 97.5]))
    if high - low < 1e-12:
        return Estimate(value, None, None, n, "no interval: every bootstrap sample gives the same value", method, se)
    return Estimate(value, low, high, n, None, method + (f" ({lost} of {len(samples)} samples undefined and left out)" if lost else ""), se)


def resampled(terms: np.ndarray, seed: int, draws: int, label: str = "", among: np.ndarray | None = None) -> np.ndarray:
    """Sums of `terms` (cases, columns) over each bootstrap sample of the cases, (draws, columns).

    The same `seed`, `label` and number of cases draw the same samples, so that figures of the same cases move together; samples that must
    be independent (two arms) take labels of their own. `among` (all cases,) bool: the terms are those of the cases where it is true, and
    samples are drawn from all.
    """
    weight = case_weights(len(terms) if among is None else len(among), seed, draws, label)
    exact = np.abs(terms).max(initial=0) * len(weight) < 2**24  # in single precision
    if among is not None:
        weight = weight[among]
    whole = (terms == np.round(terms)).all(axis=0) if exact else np.zeros(terms.shape[1], dtype=bool)
    parts = [(whole, terms[:, whole].astype(np.float32)), (~whole, terms[:, ~whole])]  # sums of whole numbers are exact in half the time
    step = max(1, BLOCK // max(1, len(terms)))
    sums = np.zeros((draws, terms.shape[1]))
    for start in range(0, draws, step):
        for columns, values in parts:
            if values.size:
                sums[start : start + step, columns] = weight[:, start : start + step].astype(values.dtype).T @ values
    return sums


@lru_cache(maxsize=12)
def case_weights(cases: int, seed: int, draws: int, label: str = "") -> np.ndarray:
    """How often each case is drawn in each bootstrap sample, (cases, draws)."""
    labels = ("cases", label, cases) if label else ("cases", cases)
    if cases == 0:
        return np.zeros((0, draws), dtype=np.uint16)
    generator = rng(seed, *labels)
    drawn = np.empty((cases, draws), dtype=np.uint16 if cases < 2**16 else np.uint32)
    step = max(1, BLOCK // cases)
    for start in range(0, draws, step):
        drawn[:, start : start + step] = generator.multinomial(cases, np.full(cases, 1 / cases), size=min(step, draws - start)).T
    drawn.flags.writeable = False  # shared by all who ask again
    return drawn


def jackknife(terms: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Standard errors of `statistic` ((sets, columns) of sums -> (sets, figures)) by leaving out each case once; NaN where undefined.

    Quenouille 1956 (Biometrika 43:353), variance (n - 1) / n * sum of squares about the mean (Efron and Stein 1981, Ann Stat 9:586).
    """
    n, total = len(terms), terms.sum(axis=0)
    step = max(1, BLOCK // max(1, terms.shape[1]))
    without = np.concatenate([statistic(total - terms[start : start + step]) for start in range(0, n, step)])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt((n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0)))


def standard_error(value: float) -> float | None:
    """A standard error that can be told: finite and above 0."""
    return float(value) if np.isfinite(value) and value > 1e-12 else None
