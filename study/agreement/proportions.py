"""Proportions of independent readings with their intervals, and differences of two of them. Intervals come from statsmodels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from study.agreement.estimate import Estimate, undefined

WILSON = "proportion, Wilson score interval, 95 %"
CLOPPER_PEARSON = "proportion, Clopper-Pearson exact interval, 95 %"
NEWCOMBE = "difference of independent proportions, Newcombe hybrid score interval, 95 %"
BALANCED = "mean of sensitivity and specificity, Newcombe hybrid score interval of their sum, 95 %"
ORDER_STATISTICS = "median, exact interval from order statistics, at least 95 %"


def proportion(count: int, n: int, nothing: str, *, exact: bool = False, level: float = 0.95) -> Estimate:
    """`count` of `n` with the Wilson (1927) interval, or Clopper and Pearson's (1934) where `exact`. `nothing` is the reason if n is 0."""
    method = (CLOPPER_PEARSON if exact else WILSON).replace("95 %", f"{100 * level:g} %")
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is no proportion")
    if n == 0:
        return undefined(nothing, method=method)
    low, high = proportion_confint(count, n, alpha=1 - level, method="beta" if exact else "wilson")
    share = count / n  # inside its interval at 0 and 1 too, where rounding may leave an edge beside it
    return Estimate(share, min(share, max(0.0, float(low))), max(share, min(1.0, float(high))), n, None, method)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P-values adjusted for their number by Holm (1979), in the order given.

    Ours, because statsmodels' (0.14) collects the garbage of the whole process at each call: seconds, in a server.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return adjusted


def accuracy(synthetic: np.ndarray, called_synthetic: np.ndarray, *, exact: bool = False) -> Estimate:
    """Share of readings whose call is right. Both arrays: (readings,) bool."""
    truth, call = _pair(synthetic, called_synthetic)
    return proportion(int((truth == call).sum()), len(truth), "no case was read", exact=exact)


def sensitivity(synthetic: np.ndarray, called_synthetic: np.ndarray, *, exact: bool = False) -> Estimate:
    """Share of the readings of synthetic strips that were called synthetic."""
    truth, call = _pair(synthetic, called_synthetic)
    return proportion(int(call[truth].sum()), int(truth.sum()), "no synthetic strip was read", exact=exact)


def specificity(synthetic: np.ndarray, called_synthetic: np.ndarray, *, exact: bool = False) -> Estimate:
    """Share of the readings of real strips that were called real."""
    truth, call = _pair(synthetic, called_synthetic)
    return proportion(int((~call[~truth]).sum()), int((~truth).sum()), "no real strip was read", exact=exact)


def balanced_accuracy(synthetic: np.ndarray, called_synthetic: np.ndarray, *, level: float = 0.95) -> Estimate:
    """(sensitivity + specificity) / 2: 0.5 for a reader who cannot tell the arms apart, whatever the share of synthetic strips.

    Its interval is half of Newcombe's (1998, method 10) for the difference sensitivity - (1 - specificity), moved by a half.
    """
    truth, call = _pair(synthetic, called_synthetic)
    hits, alarms = int(call[truth].sum()), int(call[~truth].sum())
    return balanced_accuracy_of_counts(hits, int(truth.sum()), alarms, int((~truth).sum()), level=level)


def balanced_accuracy_of_counts(hits: int, synthetic: int, alarms: int, real: int, *, level: float = 0.95) -> Estimate:
    """`hits` of the `synthetic` strips and `alarms` of the `real` ones were called synthetic."""
    method = BALANCED.replace("95 %", f"{100 * level:g} %")
    spread = difference(hits, synthetic, alarms, real, _ARMS, level=level)
    if spread.value is None or spread.low is None or spread.high is None:
        return undefined(spread.reason or "", synthetic + real, method)
    return Estimate(0.5 + spread.value / 2, 0.5 + spread.low / 2, 0.5 + spread.high / 2, synthetic + real, None, method)


def difference(count1: int, n1: int, count2: int, n2: int, nothing: tuple[str, str], *, level: float = 0.95) -> Estimate:
    """count1/n1 - count2/n2 with Newcombe's (1998, Stat Med 17:873, method 10) interval. `nothing`: the reasons if n1 or n2 is 0."""
    method = NEWCOMBE.replace("95 %", f"{100 * level:g} %")
    if n1 == 0 or n2 == 0:
        return undefined(nothing[0] if n1 == 0 else nothing[1], n1 + n2, method)
    low, high = confint_proportions_2indep(count1, n1, count2, n2, method="newcomb", compare="diff", alpha=1 - level)
    return Estimate(count1 / n1 - count2 / n2, max(-1.0, float(low)), min(1.0, float(high)), n1 + n2, None, method)


def calibration(synthetic: np.ndarray, scores: np.ndarray, steps: int) -> list[Estimate]:
    """Share of truly synthetic strips among the readings that gave each step 1, ..., `steps` of the scale, with Wilson's interval.

    A reader who knows what he knows has shares that rise with the step; one who guesses has the study's share of synthetic strips at all.
    """
    truth, step = np.asarray(synthetic, dtype=bool), np.asarray(scores)
    if truth.shape != step.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape} and steps {step.shape} are not two lists of the same readings")
    if len(step) and not np.isin(step, np.arange(1, steps + 1)).all():
        raise ValueError(f"steps of the scale are whole numbers from 1 to {steps}")
    return [proportion(int(truth[step == at].sum()), int((step == at).sum()), f"no reading gave step {at}") for at in range(1, steps + 1)]


def median(values: np.ndarray, nothing: str = "there is no reading") -> Estimate:
    """Median of `values` (n,) with the distribution-free interval between two order statistics (Conover 1999, section 3.2)."""
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    if n == 0:
        return undefined(nothing, method=ORDER_STATISTICS)
    middle = float(np.median(ordered))
    rank = int(stats.binom.ppf(0.025, n, 0.5))  # at most 2.5 % that the median lies below the observation of this rank
    if rank < 1:
        return Estimate(middle, None, None, n, f"{n} readings are too few for a 95 % interval of a median (6 are needed)", ORDER_STATISTICS)
    return Estimate(middle, float(ordered[rank - 1]), float(ordered[n - rank]), n, None, ORDER_STATISTICS)


_ARMS = ("no synthetic strip was read", "no real strip was read")


def _pair(synthetic: np.ndarray, called_synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, call = np.asarray(synthetic, dtype=bool), np.asarray(called_synthetic, dtype=bool)
    if truth.shape != call.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape} and calls {call.shape} are not two lists of the same readings")
    return truth, call
