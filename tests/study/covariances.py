"""Figures, covariances and mean squares by the letter of their definitions: an independent implementation, slow and plain."""

from __future__ import annotations

from itertools import product

import numpy as np

from study.agreement.estimate import Estimate


def area(signal: np.ndarray, noise: np.ndarray) -> float:
    """All pairs, one by one."""
    signal, noise = signal[~np.isnan(signal)], noise[~np.isnan(noise)]
    return float(np.mean([1.0 if s > n else 0.5 if s == n else 0.0 for s, n in product(signal.tolist(), noise.tolist())]))


def areas_of(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.array([area(scores[truth, r], scores[~truth, r]) for r in range(scores.shape[1])])


def brute_jackknife(figure, answers: np.ndarray, truth: np.ndarray, used: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Delete each case that the figure uses, compute everything anew."""
    deleted = np.array([figure(np.delete(answers, k, axis=0), np.delete(truth, k)) for k in np.flatnonzero(used)])
    n = len(deleted)
    total = np.zeros((answers.shape[1],) * 2)
    for row in deleted - deleted.mean(axis=0):
        total += np.outer(row, row)
    return total * (n - 1) / n


def brute_delong(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural components by comparing all pairs."""
    signal, noise = scores[truth], scores[~truth]
    wins = (signal[:, None] > noise[None]) + 0.5 * (signal[:, None] == noise[None])  # (m, n, readers)
    v10, v01 = wins.mean(axis=1), wins.mean(axis=0)
    readers = scores.shape[1]
    found = np.empty((readers, readers))
    for a, b in product(range(readers), repeat=2):
        found[a, b] = np.cov(v10[:, a], v10[:, b])[0, 1] / len(v10) + np.cov(v01[:, a], v01[:, b])[0, 1] / len(v01)
    return found


def brute_u_statistics(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Product of AUCs less the mean of the kernels' product over pairs of pairs without a common case, by four loops."""
    signal, noise = scores[truth], scores[~truth]
    readers = scores.shape[1]
    found = np.empty((readers, readers))
    for a, b in product(range(readers), repeat=2):
        apart = []
        for i, k, j, h in product(range(len(signal)), range(len(signal)), range(len(noise)), range(len(noise))):
            values = signal[i, a], noise[j, a], signal[k, b], noise[h, b]
            if i != k and j != h and not np.isnan(values).any():
                first, second = (float(s > n) + 0.5 * float(s == n) for s, n in ((values[0], values[1]), (values[2], values[3])))
                apart.append(first * second)
        found[a, b] = area(signal[:, a], noise[:, a]) * area(signal[:, b], noise[:, b]) - np.mean(apart)
    return found


def explicit_anova(table: np.ndarray, covariance: np.ndarray) -> dict[str, float]:
    """Mean squares and mean covariances of (modalities, readers) by loops; `covariance` of columns modality x readers + reader."""
    t, r = table.shape
    grand = sum(table[i, j] for i in range(t) for j in range(r)) / (t * r)
    rows, columns = [sum(table[i]) / r for i in range(t)], [sum(table[:, j]) / t for j in range(r)]
    found = {
        "T": sum(r * (row - grand) ** 2 for row in rows) / (t - 1),
        "R": sum(t * (column - grand) ** 2 for column in columns) / (r - 1),
        "TR": sum((table[i, j] - rows[i] - columns[j] + grand) ** 2 for i in range(t) for j in range(r)) / ((t - 1) * (r - 1)),
    }
    kinds: dict[str, list[float]] = {"var": [], "cov1": [], "cov2": [], "cov3": []}
    for i, j, k, m in product(range(t), range(r), range(t), range(r)):
        kind = "var" if (i, j) == (k, m) else "cov1" if j == m else "cov2" if i == k else "cov3"
        kinds[kind].append(covariance[i * r + j, k * r + m])
    return found | {kind: float(np.mean(values)) for kind, values in kinds.items()}


def numbers(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.value is not None, estimate.reason
    assert estimate.low is not None, estimate.reason
    assert estimate.high is not None, estimate.reason
    return estimate.value, estimate.low, estimate.high
