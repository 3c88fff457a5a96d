"""Signal detection for one reader: d', criterion and the area under the ROC curve of the six-point scale. The signal is a synthetic strip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from study.agreement.delong import delong_covariance, placements
from study.agreement.estimate import Estimate, undefined

HAUTUS = "log-linear correction (Hautus 1995), interval from Gourevitch and Galanter's (1967) variance, 95 %"
DELONG = "empirical AUC of the six-point scale, DeLong interval on the logit scale, 95 %"
NEWCOMBE_AUC = "empirical AUC of the six-point scale, Newcombe's score interval as DeLong's variance is 0, 95 %"


@dataclass(frozen=True)
class Detection:
    d_prime: Estimate
    criterion: Estimate  # below 0: leans to calling strips synthetic


def detection(synthetic: np.ndarray, called_synthetic: np.ndarray) -> Detection:
    """d' and criterion of one reader. Both arrays: (readings,) bool.

    Hits and false alarms get the log-linear correction, (count + 0.5) / (n + 1), always and not only at 0 and 1 (Hautus 1995, Behav Res
    Methods Instrum Comput 27:46). Variance of d': Gourevitch and Galanter 1967 (Psychometrika 32:25) with the corrected rates; of the
    criterion: a quarter.
    """
    truth, call = np.asarray(synthetic, dtype=bool), np.asarray(called_synthetic, dtype=bool)
    signal, noise = int(truth.sum()), int((~truth).sum())
    if signal == 0 or noise == 0:
        nothing = undefined("no synthetic strip was read" if signal == 0 else "no real strip was read", len(truth), HAUTUS)
        return Detection(nothing, nothing)
    hit = (call[truth].sum() + 0.5) / (signal + 1)
    alarm = (call[~truth].sum() + 0.5) / (noise + 1)
    d, c = d_prime(hit, alarm), criterion(hit, alarm)
    variance = sum(p * (1 - p) / (n * stats.norm.pdf(stats.norm.ppf(p)) ** 2) for p, n in ((hit, signal), (alarm, noise)))
    half = _Z * float(np.sqrt(variance))
    return Detection(
        Estimate(d, d - half, d + half, len(truth), None, HAUTUS, half / _Z),
        Estimate(c, c - half / 2, c + half / 2, len(truth), None, HAUTUS, half / 2 / _Z),
    )


def d_prime(hit_rate: float, false_alarm_rate: float) -> float:
    """z(H) - z(F), both rates inside (0, 1) (Green and Swets 1966)."""
    return float(stats.norm.ppf(hit_rate) - stats.norm.ppf(false_alarm_rate))


def criterion(hit_rate: float, false_alarm_rate: float) -> float:
    """-(z(H) + z(F)) / 2 (Macmillan and Creelman 2005)."""
    return float(0.0 - (stats.norm.ppf(hit_rate) + stats.norm.ppf(false_alarm_rate)) / 2)  # 0 - x: no minus zero


def auc(synthetic: np.ndarray, scores: np.ndarray, *, level: float = 0.95) -> Estimate:
    """Empirical area under the ROC curve of one reader; `scores` (readings,): higher means more surely synthetic; ties count a half.

    Interval: DeLong's (1988) variance, on the logit scale so that it stays inside (0, 1): logit(AUC) -+ z SE / (AUC (1 - AUC)) (Pepe 2003,
    section 5.2). Where that variance is 0 (AUC of 0 or 1, all scores alike), or an arm has one strip, Newcombe's score interval.
    """
    truth, score = np.asarray(synthetic, dtype=bool), np.asarray(scores, dtype=float)
    m, n = int(truth.sum()), int((~truth).sum())
    method = DELONG.replace("95 %", f"{100 * level:g} %")
    if m == 0 or n == 0:
        return undefined("no synthetic strip was read" if m == 0 else "no real strip was read", len(truth), method)
    v10, v01 = placements(score[:, None], truth)
    area = min(1.0, max(0.0, float(v10.mean())))
    variance = float(delong_covariance(v10, v01)[0, 0]) if min(m, n) > 1 else 0.0
    if variance <= 1e-20 or not 0 < area < 1:
        return newcombe_auc(area, m, n, level=level)
    error = float(np.sqrt(variance))
    logit, half = np.log(area / (1 - area)), _quantile(level) * error / (area * (1 - area))
    low, high = (float(stats.logistic.cdf(edge)) for edge in (logit - half, logit + half))
    return Estimate(area, low, high, m + n, None, method, error)


def newcombe_auc(area: float, m: int, n: int, *, level: float = 0.95) -> Estimate:
    """Score interval of an AUC of m synthetic and n real strips, also at 0 and 1 (Newcombe 2006, Stat Med 25:559, method 5).

    All values A with |A - area| <= z SE(A), SE(A) Hanley and McNeil's (1982) standard error with both numbers in its brackets replaced by
    their mean: A (1 - A) (1 + N (1 - A) / (2 - A) + N A / (1 + A)) / (m n), N = (m + n) / 2 - 1.
    """
    z, between = _quantile(level), (m + n) / 2 - 1

    def outside(a: float) -> float:
        variance = a * (1 - a) * (1 + between * (1 - a) / (2 - a) + between * a / (1 + a)) / (m * n)
        return float((a - area) ** 2 - z**2 * variance)

    inside = min(max(area, 1e-9), 1 - 1e-9)  # at 0 and 1 themselves the equation has a second root
    low = 0.0 if area <= 0 else float(optimize.brentq(outside, 0.0, inside))
    high = 1.0 if area >= 1 else float(optimize.brentq(outside, inside, 1.0))
    return Estimate(area, low, high, m + n, None, NEWCOMBE_AUC.replace("95 %", f"{100 * level:g} %"))


def _quantile(level: float) -> float:
    return float(stats.norm.ppf(0.5 + level / 2))


_Z = float(stats.norm.ppf(0.975))
