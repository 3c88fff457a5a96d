"""Accuracy of a group of readers who read the same cases: uncertainty over readers and over cases at once.

A Wilson interval over all readings of a group takes them for independent. They are not: a strip that fools one reader tends to fool the
next, and one reader's answers are alike. Here both count.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from study.agreement import proportions
from study.agreement.detection import newcombe_auc
from study.agreement.estimate import Estimate, rng, undefined
from study.agreement.obuchowski_rockette import NO_VARIANCE, RANDOM, ReaderAverage, average
from study.agreement.reader_figures import DETECTION, ReaderFigures, figures_of_calls, figures_of_scores
from study.agreement.resampling import DRAWS, interval

PIGEONHOLE = "percentile bootstrap over readers and cases (Owen 2007), 95 %"


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


def signal_of_readers(
    scores: np.ndarray, synthetic: np.ndarray, first_synthetic: int, *, cases: str = RANDOM, level: float = 0.95
) -> dict[str, Estimate]:
    """d', criterion and AUC as means of the readers' own values; `n` = readers.

    `scores` (cases, readers) of 1, 2, ..., 0 where not read; `synthetic` (cases,) bool; scores from `first_synthetic` on call a strip
    synthetic. Rates are never pooled: pooling readers with different criteria makes d' too small (Macmillan and Creelman 2005, ch. 13).
    Interval: t over readers; with random `cases` that of `group_average`, which adds what the readers share by reading the same cases
    (jackknife covariances for d' and criterion, DeLong's or U-statistics for the AUC); with fixed cases the plain t interval, for these cases.
    """
    truth = np.asarray(synthetic, dtype=bool)
    given = np.where(np.asarray(scores) > 0, np.asarray(scores, dtype=float), np.nan)
    given = given[:, np.isfinite(given).any(axis=0)]
    right = np.where(np.isfinite(given), (given >= first_synthetic) == truth[:, None], np.nan)
    readers = given.shape[1]
    label = "mean of the readers' own values"
    if readers == 0:
        return {name: undefined("no case was read", 0, label) for name in ("d'", "criterion", "AUC")}
    found = {
        "d'": figures_of_calls(right, truth, "d'"),
        "criterion": figures_of_calls(right, truth, "criterion"),
        "AUC": figures_of_scores(given, truth),
    }
    if readers > 1 and cases == RANDOM:
        return {name: replace(group_average(figures, level=level).estimate, n=readers) for name, figures in found.items()}
    return {name: replace(average(figures, cases=cases, level=level).estimate, n=readers) for name, figures in found.items()}


def mean_of_readers(right: np.ndarray, synthetic: np.ndarray, *, level: float = 0.95) -> Estimate:
    """Balanced accuracy averaged over readers, for new readers and new cases alike; `n` = readings.

    `right` (cases, readers): 1 right, 0 wrong, NaN not read; `synthetic` (cases,) bool. Obuchowski and Rockette's variance with U-statistic
    covariances (`obuchowski_rockette.average`), the variance between readers not below 0: readers who are equally accurate by chance would
    otherwise give an interval of no width. Where no variance is left, the interval of one reader of these cases.
    """
    return group_average(calls_of_group(right, synthetic), level=level).estimate


def calls_of_group(right: np.ndarray, synthetic: np.ndarray, figure: str = "balanced accuracy") -> ReaderFigures:
    """A rate of every reader who read at all."""
    right = np.asarray(right, dtype=float)
    return figures_of_calls(right[:, np.isfinite(right).any(axis=0)], synthetic, figure)


def scores_of_group(scores: np.ndarray, synthetic: np.ndarray) -> ReaderFigures:
    """The AUC of every reader who read at all; `scores` (cases, readers), NaN where not read."""
    scores = np.asarray(scores, dtype=float)
    return figures_of_scores(scores[:, np.isfinite(scores).any(axis=0)], synthetic)


def group_average(figures: ReaderFigures, *, level: float = 0.95) -> ReaderAverage:
    """The constrained average of two or more readers; where its variance is 0, the interval that one reader of these cases would have."""
    found = average(figures, level=level, constrained=True)
    if len(figures.value) == 1:
        return replace(found, estimate=undefined("fewer than two readers: see the reader's own figures", figures.readings, found.estimate.method))
    value = found.estimate.value
    if value is None or found.estimate.reason != NO_VARIANCE or figures.name in DETECTION:
        return found
    m, n = figures.cases
    if figures.name == "AUC":
        alone = newcombe_auc(value, m, n, level=level)
    elif figures.name == "balanced accuracy":  # alike in both arms: all right, all wrong, or right in one arm only
        by_arm = {1.0: (m, 0), 0.0: (0, n)}.get(value, (m, n))
        alone = proportions.balanced_accuracy_of_counts(by_arm[0], m, by_arm[1], n, level=level)
    else:
        size = {"sensitivity": m, "specificity": n}.get(figures.name, m + n)
        alone = proportions.proportion(round(value * size), size, "", level=level)
    method = f"mean {figures.name} of readers who do not vary, interval as of one reader: {alone.method}"
    return replace(found, estimate=Estimate(value, alone.low, alone.high, figures.readings, None, method))
