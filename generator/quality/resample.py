"""Intervals by bootstrap over patients: all strips of a patient come or stay away together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESAMPLES = 500
LEVEL = 95.0
NEEDED = 0.9  # of the resamples must give a value, or there is no interval

Array = NDArray[np.float64]


def weights(patients: NDArray[Any], rng: np.random.Generator, resamples: int | None = None) -> Array:
    """(resamples, n), RESAMPLES without a number: how often each strip counts where as many patients as there are are drawn with replacement."""
    which, names = pd.factorize(patients)  # in order of appearance: what patients are called changes no interval
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES if resamples is None else resamples)
    return np.asarray(drawn[:, which], dtype=np.float64)


def percentile(values: Array) -> tuple[float, float] | None:
    """The middle 95 % of the resamples' values; None where too many are undefined (NaN)."""
    whole = values[np.isfinite(values)]
    if whole.size < max(NEEDED * values.size, 2):
        return None
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(whole, [tail, 100 - tail])
    return float(low), float(high)


def basic(value: float, values: Array, least: float = -np.inf) -> tuple[float, float] | None:
    """The percentiles mirrored about the value (Davison & Hinkley 1997, 5.2), not below `least`.

    For distances: a resample holds strips twice and lies further from the other sample than the sample itself does, by about as much as the
    sample lies further than the population; mirroring takes that off.
    """
    found = percentile(values)
    return None if found is None else (max(2 * value - found[1], least), max(2 * value - found[0], least))


def averages(indicator: NDArray[np.bool_] | Array, counted: Array) -> Array:
    """(resamples,): the weighted mean of one value a strip; NaN where a resample holds none."""
    total = counted.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, counted @ np.asarray(indicator, dtype=np.float64) / total, np.nan))
