"""Accuracy of a group of readers who read the same cases: uncertainty over readers and over cases at once.

A Wilson interval over all readings of a group takes them for independent. They are not: a strip that fools one reader tends to fool the
next, and one reader's answers are alike. Here both count.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from study.agreement.detection import auc, detection
from study.agreement.estimate import Estimate, rng, undefined
from study.agreement.raters import DRAWS, interval

PIGEONHOLE = "percentile bootstrap over readers and cases (Owen 2007), 95 %"
MEAN_OF_READERS = "mean over readers of sensitivity and specificity, Obuchowski-Rockette variance, Hillis degrees of freedom"


def clustered(value: np.ndarray, *, seed: int, draws: int = DRAWS) -> Estimate:
    """Mean of `value` (cases, readers), NaN where not read, with the pigeonhole bootstrap: readers and cases drawn independently.

    Owen 2007 (Ann Appl Stat 1:386): mildly conservative for the cases' share of the variance; with few readers the readers' share is
    too small by (R - 1) / R.
    """
    read = np.isfinite(value)
    n = int(read.sum())
    if n == 0:
        return undefined("no case was read", method=PIGEONHOLE)
    mean = float(value[read].mean())
    cases, readers = value.shape
    if readers < 2:
        return Estimate(mean, None, None, n, "one reader: the spread between readers cannot be seen", PIGEONHOLE)
    generator = rng(seed, "readers and cases", cases, readers)
    case_weight = generator.multinomial(cases, np.full(cases, 1 / cases), size=draws).astype(float)
    reader_weight = generator.multinomial(readers, np.full(readers, 1 / readers), size=draws).astype(float)
    total = ((case_weight @ np.where(read, value, 0)) * reader_weight).sum(axis=1)
    count = ((case_weight @ read.astype(float)) * reader_weight).sum(axis=1)
    samples = np.divide(total, count, out=np.full(draws, np.nan), where=count > 0)
    return interval(mean, samples, n, PIGEONHOLE)


def signal_of_readers(scores: np.ndarray, synthetic: np.ndarray, first_synthetic: int, *, seed: int, draws: int = DRAWS) -> dict[str, Estimate]:
    """d', criterion and AUC as means of the readers' own values; `n` = readers.

    `scores` (cases, readers) of 1, 2, ..., 0 where not read; `synthetic` (cases,) bool; scores from `first_synthetic` on call a strip
    synthetic. Rates are never pooled: pooling readers with different criteria makes d' too small (Macmillan and Creelman 2005, ch. 13).
    Interval: pigeonhole bootstrap, the cases of each arm drawn from that arm.
    """
    scores, arms = np.asarray(scores, dtype=int), (np.asarray(synthetic, dtype=bool), ~np.asarray(synthetic, dtype=bool))
    scores = scores[:, (scores > 0).any(axis=0)]
    readers = scores.shape[1]
    own: dict[str, list[Estimate]] = {"d'": [], "criterion": [], "AUC": []}
    for r in range(readers):
        read = scores[:, r] > 0
        found = detection(arms[0][read], scores[read, r] >= first_synthetic)
        for name, estimate in zip(own, (found.d_prime, found.criterion, auc(arms[0][read], scores[read, r])), strict=True):
            own[name].append(estimate)
    label = f"mean of the readers' own values, {PIGEONHOLE}"
    reason = next((one.reason for one in own["d'"] if one.value is None), None if readers else "no case was read")
    if reason is not None:
        return {name: undefined(reason if readers == 0 else f"a reader's own value is undefined: {reason}", readers, label) for name in own}
    means = {name: float(np.mean([one.value for one in estimates])) for name, estimates in own.items()}
    if readers < 2:
        return {name: Estimate(mean, None, None, 1, "one reader: the spread between readers cannot be seen", label) for name, mean in means.items()}

    generator = rng(seed, "signal of readers", len(scores), readers)
    highest = int(scores.max())
    signal, noise = (_histograms(scores[arm], highest, generator, draws) for arm in arms)  # (draws, readers, highest)
    reader_weight = generator.multinomial(readers, np.full(readers, 1 / readers), size=draws)
    samples = _signal(signal, noise, first_synthetic)
    return {name: interval(means[name], _weighted_mean(samples[name], reader_weight), readers, label) for name in means}


def mean_of_readers(right: np.ndarray, synthetic: np.ndarray, *, level: float = 0.95) -> Estimate:
    """Balanced accuracy averaged over readers, for new readers and new cases alike; `n` = readings.

    `right` (cases, readers): 1 right, 0 wrong, NaN not read; `synthetic` (cases,) bool. Obuchowski and Rockette's (1995, Commun Stat
    Simul Comput 24:285) variance for one modality, [MS(readers) + R max(Cov2, 0)] / R, with the covariance of two readers from the cases
    both read, per arm, and Hillis' (2007, Stat Med 26:596) degrees of freedom. The variance is never taken below that of independent
    readings, as readers who are equally accurate by chance would otherwise give an interval of no width.
    """
    method = f"{MEAN_OF_READERS}, {100 * level:g} %"
    read = np.isfinite(right)
    right, read = right[:, read.any(axis=0)], read[:, read.any(axis=0)]
    readers, n = right.shape[1], int(read.sum())
    if readers < 2:
        return undefined("fewer than two readers: see the reader's own figures", n, method)
    arms = [np.asarray(synthetic, dtype=bool), ~np.asarray(synthetic, dtype=bool)]
    for arm, name in zip(arms, ("synthetic", "real"), strict=True):
        if (read[arm].sum(axis=0) < 2).any():
            return undefined(f"a reader read fewer than two {name} strips", n, method)
    by_arm = np.array([[right[arm & read[:, r], r].mean() for r in range(readers)] for arm in arms])  # (2, readers)
    own = by_arm.mean(axis=0)
    mean = float(own.mean())
    between = float(own.var(ddof=1))  # MS(readers)
    covariance = float(np.mean([_covariance(right, read, arms, a, b) for a in range(readers) for b in range(a)]))
    shared = max(covariance, 0.0) * readers
    variance = max((between + shared) / readers, sum(_of_independent(right[arm][read[arm]]) for arm in arms) / 4)
    freedom = (between + shared) ** 2 / (between**2 / (readers - 1)) if between > 0 else np.inf
    half = float(stats.t.ppf(0.5 + level / 2, min(freedom, n - 2)) * np.sqrt(variance))
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), n, None, method)


def _histograms(scores: np.ndarray, highest: int, generator: np.random.Generator, draws: int) -> np.ndarray:
    """How often each reader gave each score in each bootstrap sample of these cases, (draws, readers, highest)."""
    cases, readers = scores.shape
    given = (scores[:, :, None] == np.arange(1, highest + 1)).astype(float)
    weight = generator.multinomial(cases, np.full(cases, 1 / cases), size=draws).astype(float)
    return (weight @ given.reshape(cases, -1)).reshape(draws, readers, highest)


def _signal(signal: np.ndarray, noise: np.ndarray, first_synthetic: int) -> dict[str, np.ndarray]:
    """d', criterion (log-linear correction) and AUC from histograms (draws, readers, scores); NaN where a sample left a reader no strip."""
    n_signal, n_noise = signal.sum(axis=2), noise.sum(axis=2)
    below = np.cumsum(noise, axis=2) - noise / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        there = np.where((n_signal > 0) & (n_noise > 0), 1.0, np.nan)
        hit = stats.norm.ppf((signal[:, :, first_synthetic - 1 :].sum(axis=2) + 0.5) / (n_signal + 1))
        alarm = stats.norm.ppf((noise[:, :, first_synthetic - 1 :].sum(axis=2) + 0.5) / (n_noise + 1))
        area = (signal * below).sum(axis=2) / (n_signal * n_noise)
    return {"d'": (hit - alarm) * there, "criterion": -(hit + alarm) / 2 * there, "AUC": area}


def _weighted_mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(draws, readers) -> (draws,); NaN where a drawn reader has no value."""
    return np.where(weight > 0, values * weight, 0).sum(axis=1) / weight.sum(axis=1)


def _of_independent(right: np.ndarray) -> float:
    """Variance of a proportion of independent readings (n,), one success and one failure added (Agresti and Caffo 2000): never 0."""
    p = (right.sum() + 1) / (len(right) + 2)
    return float(p * (1 - p) / len(right))


def _covariance(right: np.ndarray, read: np.ndarray, arms: list[np.ndarray], a: int, b: int) -> float:
    """Covariance of two readers' balanced accuracies over cases that both read, the arms' case numbers being fixed."""
    total = 0.0
    for arm in arms:
        both = arm & read[:, a] & read[:, b]
        if both.sum() >= 2:
            together = np.cov(right[both, a], right[both, b])[0, 1] * both.sum()
            total += together / (arm & read[:, a]).sum() / (arm & read[:, b]).sum() / 4
    return total
