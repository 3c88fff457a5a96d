"""Signal detection for one reader: d', criterion and the area under the ROC curve of the six-point scale. The signal is a synthetic strip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from study.agreement.estimate import Estimate, undefined

HAUTUS = "log-linear correction (Hautus 1995), interval from Gourevitch and Galanter's (1967) variance, 95 %"
DELONG = "empirical AUC of the six-point scale, DeLong interval on the logit scale, 95 %"


@dataclass(frozen=True)
class Detection:
    d_prime: Estimate
    criterion: Estimate  # below 0: leans to calling strips synthetic


def detection(synthetic: np.ndarray, called_synthetic: np.ndarray) -> Detection:
    """d' and criterion of one reader. Both arrays: (readings,) bool.

    Hits and false alarms get the log-linear correction, (count + 0.5) / (n + 1), always and not only at 0 and 1 (Hautus 1995, Behav Res
    Methods 27:46). Variance of d': Gourevitch and Galanter 1967 (Psychometrika 32:25) with the corrected rates; of the criterion: a quarter.
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
        Estimate(d, d - half, d + half, len(truth), None, HAUTUS),
        Estimate(c, c - half / 2, c + half / 2, len(truth), None, HAUTUS),
    )


def d_prime(hit_rate: float, false_alarm_rate: float) -> float:
    """z(H) - z(F), both rates inside (0, 1) (Green and Swets 1966)."""
    return float(stats.norm.ppf(hit_rate) - stats.norm.ppf(false_alarm_rate))


def criterion(hit_rate: float, false_alarm_rate: float) -> float:
    """-(z(H) + z(F)) / 2 (Macmillan and Creelman 2005)."""
    return float(0.0 - (stats.norm.ppf(hit_rate) + stats.norm.ppf(false_alarm_rate)) / 2)  # 0 - x: no minus zero


def auc(synthetic: np.ndarray, scores: np.ndarray) -> Estimate:
    """Empirical area under the ROC curve of one reader; `scores` (readings,): higher means more surely synthetic; ties count a half.

    Interval: DeLong et al. 1988 (Biometrics 44:837) variance from placement values, on the logit scale so that it stays inside (0, 1).
    """
    truth, score = np.asarray(synthetic, dtype=bool), np.asarray(scores, dtype=float)
    m, n = int(truth.sum()), int((~truth).sum())
    if m == 0 or n == 0:
        return undefined("no synthetic strip was read" if m == 0 else "no real strip was read", len(truth), DELONG)
    of_signal, of_noise = placements(score[truth], score[~truth])
    area = float(of_signal.mean())
    if m < 2 or n < 2:
        return Estimate(area, None, None, m + n, "an interval of the AUC needs two strips of each arm", DELONG)
    variance = float(of_signal.var(ddof=1) / m + of_noise.var(ddof=1) / n)
    if variance == 0:
        return Estimate(area, None, None, m + n, f"DeLong's variance is 0 at this AUC of {area:g}", DELONG)
    logit, half = np.log(area / (1 - area)), _Z * np.sqrt(variance) / (area * (1 - area))
    low, high = (float(1 / (1 + np.exp(-edge))) for edge in (logit - half, logit + half))
    return Estimate(area, low, high, m + n, None, DELONG)


def placements(signal: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Placement values (m,) and (n,): the share of the other arm's scores that each score beats, ties half. Their means are the AUC."""
    m, n = len(signal), len(noise)
    together = stats.rankdata(np.concatenate([signal, noise]))
    of_signal = (together[:m] - stats.rankdata(signal)) / n
    of_noise = 1 - (together[m:] - stats.rankdata(noise)) / m
    return of_signal, of_noise


_Z = float(stats.norm.ppf(0.975))
