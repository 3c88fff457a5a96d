"""Figures of a strip's RR intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from generator.beats import rr_intervals

_ENTROPY_MS = 30.0  # two intervals match that differ by less; wider where fewer than _MATCHES pairs do
_MATCHES = 5


def of_rhythm(times: NDArray[np.float64], why: dict[str, list[str]]) -> dict[str, float]:
    """The columns of rhythm. times: at least two R times in s."""
    rr = rr_intervals(times) * 1000
    row = {"rr_mean": float(rr.mean()), "heart_rate": float(60_000 / rr.mean())}
    if rr.size < 3:
        why.setdefault("fewer than 4 beats", []).extend(["rr_sd", "rr_cv", "rr_rmssd", "rr_pnn50"])
    else:
        steps = np.diff(rr)
        row["rr_sd"] = float(rr.std(ddof=1))
        row["rr_cv"] = row["rr_sd"] / row["rr_mean"]
        row["rr_rmssd"] = float(np.sqrt(np.mean(steps**2)))
        row["rr_pnn50"] = float(100 * np.mean(np.abs(steps) > 50))
    if rr.size < 5:
        why.setdefault("fewer than 6 beats", []).append("rr_entropy")
    else:
        row["rr_entropy"] = _entropy(rr)
    return row


def _entropy(rr: NDArray[np.float64]) -> float:
    """Coefficient of sample entropy of at least five intervals in ms (Lake & Moorman 2011, Am J Physiol Heart Circ Physiol 300:H319).

    Made for a dozen beats: the tolerance r grows until enough pairs match, and ln(2 r / mean RR) takes it out again.
    """
    first, second = np.triu_indices(rr.size - 1, 1)
    now, then = np.abs(rr[first] - rr[second]), np.abs(rr[first + 1] - rr[second + 1])
    both = np.sort(np.maximum(now, then))
    tolerance = max(_ENTROPY_MS, float(both[_MATCHES - 1]))
    return float(np.log((now <= tolerance).sum() / (both <= tolerance).sum()) + np.log(2 * tolerance / rr.mean()))
