"""How noisy a strip is inside its band: for choosing a strip that was obviously recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from generator.beats import r_peaks
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES, Counts

MUSCLE_HZ = (20.0, 40.0)  # P and T waves have next to nothing there, and QRS complexes are short
ENDS = RATE // 2  # samples
FEWEST_BEATS = 4
WINDOW = RATE // 10  # samples: muscle noise is measured in windows of 100 ms
MEASURE = (
    "root of the summed squares of baseline wander (SD after median filters of 200 and 600 ms, or of the PR segments' level where that is less) "
    "and muscle noise (20 to 40 Hz), mean over leads"
)
PR_SEGMENT = (0.07, 0.05)  # s before R, from and to

_MUSCLE = signal.butter(3, MUSCLE_HZ[0], btype="highpass", fs=RATE, output="sos")  # the canonical form ends at 40 Hz


def noise(counts: Counts) -> float:
    """Microvolts of baseline wander and muscle noise in a strip (8, 1000), mean over its leads.

    Baseline: SD of what two median filters leave, 200 ms against P and QRS and 600 ms against T (de Chazal et al. 2004, IEEE Trans Biomed Eng
    51:1196), or SD of the PR segments' levels over the beats, whichever is less: large T waves raise the former, a missed beat the latter.
    Muscle: RMS above 20 Hz in windows of 100 ms, the median of the windows, most of which hold no QRS complex. The first and the last half second
    do not count: many recordings of PTB-XL end with a step of 100 ms, which is no noise.
    """
    leads = np.asarray(counts, dtype=np.float64)
    baseline = ndimage.median_filter(ndimage.median_filter(leads, size=(1, RATE // 5)), size=(1, 3 * RATE // 5))[:, ENDS:-ENDS].std(axis=-1)
    levels = _pr_levels(leads, r_peaks(counts))
    if levels.shape[1] >= FEWEST_BEATS:
        baseline = np.minimum(baseline, levels.std(axis=-1))
    fast = signal.sosfiltfilt(_MUSCLE, leads, axis=-1)[:, ENDS:-ENDS]
    windows = fast.reshape(len(leads), -1, WINDOW)
    muscle = np.median(np.sqrt(np.mean(windows**2, axis=-1)), axis=-1)
    return float(np.mean(np.hypot(baseline, muscle)) * MICROVOLTS_PER_COUNT)


def _pr_levels(leads: NDArray[np.float64], peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8, beats): the mean of each PR segment. peaks: R in s."""
    at = np.rint(peaks * RATE).astype(int)
    before, after = (round(seconds * RATE) for seconds in PR_SEGMENT)
    inside = [r for r in at if ENDS <= r < SAMPLES - ENDS]
    return np.array([leads[:, r - before : r - after + 1].mean(axis=-1) for r in inside]).reshape(-1, len(leads)).T
