"""How much two answers agree: weights for unordered and ordered answers, and Krippendorff's ordinal difference. Our own code: a line each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

WEIGHTS = ("nominal", "linear", "quadratic", "ordinal")


def agreement_weights(kind: str, k: int) -> np.ndarray:
    """Agreement weights (k, k): 1 on the diagonal, 0 for the answers furthest apart (Gwet 2014, section 3.5)."""
    apart = distance(kind, k)
    return 1 - apart / max(float(apart.max()), 1.0)


def distance(kind: str, k: int) -> np.ndarray:
    """How far answers lie apart (k, k), not scaled: linear (Cicchetti and Allison 1971), quadratic (Fleiss and Cohen 1973), ordinal (Gwet 2014)."""
    if kind not in _DISTANCE:
        raise ValueError(f"weights {kind!r}: choose {', '.join(WEIGHTS)}")
    return _DISTANCE[kind](k)


def ordinal_difference(margin: np.ndarray) -> np.ndarray:
    """Krippendorff's squared ordinal difference (sets, k, k) from how often each answer was given (sets, k).

    The number of answers between two ranks, those two by half (Krippendorff 2011, section D.2).
    """
    total = np.cumsum(margin, axis=1)
    middle = total - margin / 2  # mid-rank position of each answer
    return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)


def _steps(k: int) -> np.ndarray:
    return np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(float)


_DISTANCE: dict[str, Callable[[int], np.ndarray]] = {
    "nominal": lambda k: 1 - np.eye(k),
    "linear": _steps,
    "quadratic": lambda k: _steps(k) ** 2,
    "ordinal": lambda k: (_steps(k) + 1) * _steps(k) / 2,  # pairs that can be drawn from the answers between the two, ends included
}
