"""Ratings as Roe and Metz (1997, Acad Radiol 4:298) simulate them, for tests of multi-reader multi-case inference."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def ratings(
    generator: np.random.Generator,
    *,
    auc: float = 0.7,
    readers: int = 5,
    cases: int = 60,
    modalities: int = 1,
    reader_sd: float = 0.2,
    case_share: float = 0.3,
    sites: np.ndarray | None = None,
    steps: int | None = 6,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (modalities, cases, readers) and truth (cases,), half of the cases synthetic.

    Decision variable: truth x separation + reader effects (a separation of each reader's own, and of each reader and modality) + case
    effect (`case_share` of the variance, shared by readers) + rest. The expected AUC over readers is `auc`. `sites` (readers,) are added to
    the readers' separations. `steps` cuts the variable into a scale of so many steps.
    """
    truth = np.arange(cases) % 2 == 0
    # AUC of a reader with separation d is norm.cdf(d / sqrt(2)); d is normal, so its mean is norm.cdf(mean / sqrt(2 + variance))
    separation = norm.ppf(auc) * np.sqrt(2 + 2 * reader_sd**2)
    own = separation + generator.normal(0, reader_sd, readers) + generator.normal(0, reader_sd, (modalities, readers))
    own = own + (0 if sites is None else sites)
    case = np.sqrt(case_share) * generator.normal(0, 1, (cases, 1))
    rest = np.sqrt(1 - case_share) * generator.normal(0, 1, (modalities, cases, readers))
    values = truth[None, :, None] * own[:, None, :] + case + rest
    if steps is None:
        return values, truth
    edges = norm.ppf(np.arange(1, steps) / steps) * 1.3 + separation / 2
    return np.searchsorted(edges, values).astype(float) + 1, truth


def with_gaps(generator: np.random.Generator, scores: np.ndarray, share: float) -> np.ndarray:
    """The same with `share` of the answers not given."""
    return np.where(generator.random(scores.shape) < share, np.nan, scores)
