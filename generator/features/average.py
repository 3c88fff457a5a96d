"""The beat that recurs in a strip, and what is left over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generator.beats import rr_intervals
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES

_BEFORE_SECONDS = 0.30  # the average beat begins this long before R
_RIDGE = 1e-3  # of the mean diagonal: settles what overlapping beats leave open


@dataclass(frozen=True)
class AverageBeat:
    """The beat that recurs. beat: (8, taps) mV at 100 samples/s; r: the tap of the R time; rest: (8, 1000) mV, what does not recur."""

    beat: NDArray[np.float64]
    r: int
    rest: NDArray[np.float64]


def average_beat(counts: NDArray[np.integer], times: NDArray[np.floating]) -> AverageBeat:
    """Least squares of strip = sum over beats of h(t - R): an average in which P, QRS and T of neighbouring beats do not run into each other.

    counts: (8, 1000); times: at least two R times in s. After Smith & Kutas 2015 (overlap correction by regression), linear between samples.
    """
    leads = np.asarray(counts, dtype=np.float64) * (MICROVOLTS_PER_COUNT / 1000)
    interval = float(np.median(rr_intervals(times)))
    before = round(_BEFORE_SECONDS * RATE)
    taps = before + round((0.42 * np.sqrt(interval) + 0.06) * RATE) + 1  # a little more than QT
    design = np.zeros((SAMPLES, taps))
    whole = np.floor(np.asarray(times) * RATE).astype(int)
    part = np.asarray(times) * RATE - whole
    for shift, weight in ((0, 1 - part), (1, part)):
        rows = whole[:, None] - before + shift + np.arange(taps)[None, :]
        inside = (rows >= 0) & (rows < SAMPLES)
        np.add.at(design, (rows[inside], np.broadcast_to(np.arange(taps), rows.shape)[inside]), np.broadcast_to(weight[:, None], rows.shape)[inside])
    gram = design.T @ design
    gram[np.diag_indices(taps)] += _RIDGE * np.trace(gram) / taps
    beat = np.linalg.solve(gram, design.T @ leads.T).T
    return AverageBeat(beat, before, leads - beat @ design.T)
