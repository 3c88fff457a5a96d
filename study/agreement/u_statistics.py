"""Unbiased covariances of the figures of readers who may have left cases out: U-statistics of one and of two samples.

Every estimate has the form (product of the two figures) - (mean of the kernel's product over observations that share no case): the first
has expectation cov + product of the true figures, the second the product alone. Unlike DeLong's estimate it needs no complete table.
"""

from __future__ import annotations

import numpy as np

_LARGEST_TABLE = 4000  # readers x distinct scores up to which one matrix of joint tables is made


def mean_covariance(values: np.ndarray) -> np.ndarray:
    """Covariances (readers, readers) of the readers' means of `values` (cases, readers), NaN where not read; at least two cases each.

    Gallas, Pennello and Myers 2007 (J Opt Soc Am A 24:B70). Without missing values: the sample covariances over the number of cases.
    """
    read = np.isfinite(values)
    seen, kept = read.astype(float), np.where(read, values, 0.0)
    count, total = seen.sum(axis=0), kept.sum(axis=0)
    both = np.outer(count, count)
    apart = (np.outer(total, total) - kept.T @ kept) / (both - seen.T @ seen)
    return np.asarray(np.outer(total, total) / both - apart)


def auc_covariance(scores: np.ndarray, synthetic: np.ndarray, v10: np.ndarray, v01: np.ndarray) -> np.ndarray:
    """Covariances (readers, readers) of the readers' AUCs, unbiased for any pattern of unread cases; at least two cases of each arm a reader.

    Gallas 2006 (Acad Radiol 13:353, one-shot estimate); Gallas, Bandos, Samuelson and Wagner 2009 (Commun Stat Theory Methods 38:2586), their
    moments M1 to M4 for a pair of readers. `v10`, `v01`: `delong.placements` of the scores.
    """
    truth = np.asarray(synthetic, dtype=bool)
    signal, noise = np.asarray(scores, dtype=float)[truth], np.asarray(scores, dtype=float)[~truth]
    seen = [np.isfinite(arm).astype(float) for arm in (signal, noise)]
    m, n = (arm.sum(axis=0) for arm in seen)
    wins_of_signal, wins_of_noise = (np.where(np.isfinite(v), v, 0) * other for v, other in ((v10, n), (v01, m)))  # sums of the kernel by case
    total = wins_of_signal.sum(axis=0)
    shared_signal, shared_noise = (arm.T @ arm for arm in seen)
    same_signal, same_noise = wins_of_signal.T @ wins_of_signal, wins_of_noise.T @ wins_of_noise
    apart = np.outer(total, total) - same_signal - same_noise + _same_pair(signal, noise)
    pairs_apart = (np.outer(m, m) - shared_signal) * (np.outer(n, n) - shared_noise)
    area = total / (m * n)
    return np.asarray(np.outer(area, area) - apart / pairs_apart)


def _same_pair(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Sum over pairs (synthetic, real) of the product of two readers' kernels, (readers, readers)."""
    levels = np.unique(np.concatenate([signal[np.isfinite(signal)], noise[np.isfinite(noise)]]))
    if signal.shape[1] * len(levels) <= _LARGEST_TABLE:
        return _by_tables(signal, noise, levels)
    return _by_pairs(signal, noise)


def _by_tables(signal: np.ndarray, noise: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """By the joint tables of every two readers' scores: for ordinal scales."""
    readers, k = signal.shape[1], len(levels)
    given = (signal[:, :, None] == levels).astype(float).reshape(len(signal), -1)
    beaten = ((levels > noise[:, :, None]) + 0.5 * (levels == noise[:, :, None])).reshape(len(noise), -1)
    product = (given.T @ given) * (beaten.T @ beaten)
    return np.asarray(product.reshape(readers, k, readers, k).sum(axis=(1, 3)))


def _by_pairs(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """By all pairs of cases, some synthetic cases at a time: for scores with many distinct values."""
    readers = signal.shape[1]
    total = np.zeros((readers, readers))
    step = max(1, int(2e7 // max(1, len(noise) * readers)))
    for start in range(0, len(signal), step):
        block = signal[start : start + step, None, :]
        kernel = ((block > noise) + 0.5 * (block == noise)).reshape(-1, readers)  # comparisons with NaN are False: an unread pair is 0
        total += kernel.T @ kernel
    return total
