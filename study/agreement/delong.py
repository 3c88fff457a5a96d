"""The empirical area under the ROC curve of many readers at once, and DeLong's covariances of the areas. The signal is a synthetic strip.

Scores are (cases, readers), higher means more surely synthetic, NaN where a reader did not read a case; ties count a half. Nothing here is
of size cases x cases or readers x readers x cases: 200 readers of 5,000 cases take about a second.
"""

from __future__ import annotations

import numpy as np
from scipy import stats


def placements(scores: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Placement values V10 (synthetic cases, readers) and V01 (real cases, readers), NaN where not read.

    V10 is the share of the reader's real strips that the synthetic strip's score beats, V01 the share of the reader's synthetic strips whose
    score beats the real strip's; ties a half: the X- and Y-components of DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44:837). Both
    have the AUC as their mean. By midranks (Sun and Xu 2014, IEEE Signal Process Lett 21:1389), not by comparing every pair.
    """
    truth = np.asarray(synthetic, dtype=bool)
    scores = np.asarray(scores, dtype=float)
    read = np.isfinite(scores)
    filled = np.where(read, scores, np.inf)  # unread cases rank above all others and change no rank that is used
    signal, noise = read[truth], read[~truth]
    together = np.asarray(stats.rankdata(filled, axis=0))
    above_noise = together[truth] - np.asarray(stats.rankdata(filled[truth], axis=0))
    above_signal = together[~truth] - np.asarray(stats.rankdata(filled[~truth], axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        v10 = np.where(signal, above_noise / noise.sum(axis=0), np.nan)
        v01 = np.where(noise, 1 - above_signal / signal.sum(axis=0), np.nan)
    return v10, v01


def areas(v10: np.ndarray) -> np.ndarray:
    """The readers' AUCs (readers,), Mann and Whitney's statistic (Bamber 1975, J Math Psychol 12:387). NaN for a reader without both arms."""
    return _means(v10)


def delong_covariance(v10: np.ndarray, v01: np.ndarray) -> np.ndarray:
    """Covariances (readers, readers) of AUCs that rest on the same cases, S10 / m + S01 / n (DeLong 1988).

    Every reader has read every case, at least two of each arm.
    """
    if not (np.isfinite(v10).all() and np.isfinite(v01).all()):
        raise ValueError("DeLong's covariances need every reader to have read every case")
    return sum((np.atleast_2d(np.cov(v, rowvar=False)) / len(v) for v in (v10, v01)), start=np.zeros((v10.shape[1],) * 2))


def jackknife_areas(v10: np.ndarray, v01: np.ndarray) -> np.ndarray:
    """The readers' AUCs with each case left out in turn, (cases, readers): first the synthetic, then the real cases.

    Leaving case i of m out gives (m AUC - V10_i) / (m - 1) (Hanley and Hajian-Tilaki 1997, Acad Radiol 4:49); an unread case changes nothing.
    """
    area = areas(v10)
    left_out = []
    for v in (v10, v01):
        read = np.isfinite(v)
        count = read.sum(axis=0)
        left_out.append(np.where(read, (count * area - np.where(read, v, 0)) / np.where(count > 1, count - 1, 1), area))
    return np.vstack(left_out)


def _means(values: np.ndarray) -> np.ndarray:
    read = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(read, values, 0).sum(axis=0) / read.sum(axis=0)
