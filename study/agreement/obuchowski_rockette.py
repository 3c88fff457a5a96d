"""Multi-reader multi-case inference: Obuchowski and Rockette's ANOVA of correlated figures with Hillis' degrees of freedom.

Model (Obuchowski and Rockette 1995, Commun Stat Simul Comput 24:285): figure of reader j with modality i
    theta_ij = mu + tau_i + R_j + (tau R)_ij + epsilon_ij,
readers R and interactions random and independent, errors over cases with variance Var and covariances Cov1 (same reader, other modality),
Cov2 (other reader, same modality) and Cov3 (both other), here the means of the entries of `ReaderFigures.covariance`. Tests and intervals as
derived by Hillis 2007 (Stat Med 26:596), Hillis, Berbaum and Metz 2008 (Acad Radiol 15:647) and Hillis 2014 (Stat Med 33:330); every mean
of one modality uses that modality's readings alone. Published results of Van Dyke's study come out (see the tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from study.agreement.estimate import Estimate, undefined
from study.agreement.reader_figures import ReaderFigures

RANDOM, FIXED = "random", "fixed"
NOTHING = 1e-20  # a variance of this size is rounding: figures are of size 1
NO_VARIANCE = "the estimated variance is not above 0: the readers are alike and their answers do not vary over cases, or the cases are too few"


@dataclass(frozen=True)
class Test:
    """A test of equality. `statistic`, `p` None where undefined, then `reason` says why. `freedom`: of F, or (df, None) of chi-square."""

    __test__ = False  # not a test class of pytest

    statistic: float | None
    freedom: tuple[float, float | None] | None
    p: float | None
    reason: str | None
    method: str


@dataclass(frozen=True)
class ReaderAverage:
    """A figure averaged over readers. Parts of the variance are None where they do not enter."""

    estimate: Estimate  # n = readings
    standard_error: float | None
    freedom: float | None  # of t; None: normal
    mean_square: float | None  # MS(R), the readers' variance
    error_variance: float | None  # Var, mean over readers
    cov2: float | None  # mean over pairs of readers, not cut off at 0

    def p_value(self, null: float) -> float | None:
        """Two-sided p of the average against a constant such as 0.5."""
        return (
            None
            if self.standard_error is None or self.estimate.value is None
            else two_sided(self.estimate.value - null, self.standard_error, self.freedom)
        )


@dataclass(frozen=True)
class Comparison:
    """Two or more modalities read by the same readers."""

    test: Test
    means: tuple[ReaderAverage, ...]  # in the order of the modalities
    differences: dict[tuple[int, int], Estimate]  # first minus second
    mean_squares: dict[str, float]  # T, R, TR
    error_variance: float | None
    covariances: tuple[float, float, float] | None  # Cov1, Cov2, Cov3


def average(figures: ReaderFigures, *, readers: str = RANDOM, cases: str = RANDOM, level: float = 0.95, constrained: bool = False) -> ReaderAverage:
    """The mean over readers with its interval, for one modality.

    Random readers and cases: variance MS(R) / r + max(Cov2, 0), t with (MS(R) + r max(Cov2, 0))^2 / (MS(R)^2 / (r - 1)) degrees of freedom
    (Hillis 2014, the analysis of one modality). Fixed readers: (Var + (r - 1) max(Cov2, 0)) / r, normal. Fixed cases: MS(R) / r, t with
    r - 1. `constrained`: the variance between readers is not allowed to be negative, MS(R) is taken as Var - Cov2 at least, so that readers
    who are alike by chance do not make the mean certain; for verdicts, more cautious than the published analysis.
    """
    check_effects(readers, cases)
    value, r = figures.value, len(figures.value)
    at_least = " (variance between readers at least 0)" if constrained else ""
    method = label(f"mean {figures.name} of the readers{at_least}", readers, cases, figures, level)
    if r == 0:
        return ReaderAverage(undefined(figures.reason or "no case was read", figures.readings, method), None, None, None, None, None)
    mean = float(value.mean())
    between = float(value.var(ddof=1)) if r > 1 else None
    error, cov2 = _error_and_covariance(figures)
    parts = between, error, cov2
    if readers == RANDOM and between is None:
        return _without(mean, "one reader: the spread between readers cannot be seen", figures, method, parts)
    if cases == RANDOM and error is None:
        return _without(mean, figures.reason or "the covariances cannot be estimated", figures, method, parts)
    shared = max(cov2 or 0.0, 0.0)
    if readers == FIXED:
        variance, freedom = ((error or 0.0) + (r - 1) * shared) / r, None
    else:
        spread = between or 0.0
        if constrained and error is not None:
            spread = max(spread, error - shared)
        c = r * shared if cases == RANDOM else 0.0
        variance = (spread + c) / r
        freedom = _freedom(spread + c, spread, r - 1)
    if variance <= NOTHING:
        return _without(mean, NO_VARIANCE, figures, method, parts)
    error_of_mean = float(np.sqrt(variance))
    low, high = _interval(mean, error_of_mean, freedom, level, figures.bounds)
    return ReaderAverage(Estimate(mean, low, high, figures.readings, None, method, error_of_mean), error_of_mean, freedom, *parts)


def compare(figures: ReaderFigures, modalities: int, *, readers: str = RANDOM, cases: str = RANDOM, level: float = 0.95) -> Comparison:
    """Modalities read by the same readers on the same cases; columns of `figures`: all readers with the first modality, then the second, ...

    Random readers and cases: F = MS(T) / (MS(TR) + r max(Cov2 - Cov3, 0)) with t - 1 and that denominator squared over
    MS(TR)^2 / ((t - 1)(r - 1)) degrees of freedom (Hillis 2007). Fixed readers: chi-square (t - 1) MS(T) /
    (Var - Cov1 + (r - 1)(Cov2 - Cov3)). Fixed cases: F = MS(T) / MS(TR). A difference has variance 2 / r times the denominator.
    """
    check_effects(readers, cases)
    total = len(figures.value)
    method = label(f"difference of mean {figures.name}", readers, cases, figures, level)
    if modalities < 2 or total % modalities:
        raise ValueError(f"{total} columns are not those of {modalities} modalities, two or more, with the same readers")
    if total == 0:
        nothing = Test(None, None, None, figures.reason or "no case was read", method)
        empty = {pair: undefined(nothing.reason or "", figures.readings, method) for pair in combinations(range(modalities), 2)}
        return Comparison(nothing, (average(figures, readers=readers, cases=cases, level=level),) * modalities, empty, {}, None, None)
    r = total // modalities
    table = figures.value.reshape(modalities, r)
    means = tuple(average(figures.of(np.arange(r) + i * r), readers=readers, cases=cases, level=level) for i in range(modalities))
    squares = _mean_squares(table)
    error, covariances = _three_covariances(figures, modalities, r)
    denominator: float | None
    reason: str | None
    if cases == RANDOM and covariances is None:
        denominator, freedom, reason = None, None, figures.reason or "the covariances cannot be estimated"
    elif readers == RANDOM and r < 2:
        denominator, freedom, reason = None, None, "one reader: the spread between readers cannot be seen"
    else:
        cov1, cov2, cov3 = covariances or (0.0, 0.0, 0.0)
        if readers == FIXED:
            denominator, freedom = (error or 0.0) - cov1 + (r - 1) * (cov2 - cov3), None
        else:
            spread = squares["TR"]
            denominator = spread + (r * max(cov2 - cov3, 0.0) if cases == RANDOM else 0.0)
            freedom = _freedom(denominator, spread, (modalities - 1) * (r - 1))
        reason = None if denominator > NOTHING else NO_VARIANCE
    differences = {}
    for a, b in combinations(range(modalities), 2):
        gap = float(table[a].mean() - table[b].mean())
        error_of_gap = None if reason or denominator is None else float(np.sqrt(2 / r * denominator))
        differences[a, b] = difference(gap, error_of_gap, freedom, reason, figures, level, method)
    test = equality(squares["T"], modalities - 1, denominator, freedom, readers, reason, method)
    return Comparison(test, means, differences, squares, error, covariances)


# ---- what the comparison of sites uses too ----


def check_effects(readers: str, cases: str) -> None:
    if not {readers, cases} <= {RANDOM, FIXED}:
        raise ValueError(f"readers {readers!r}, cases {cases!r}: choose random or fixed")
    if readers == cases == FIXED:
        raise ValueError("with fixed readers and fixed cases nothing is random: there is no interval and no test")


def equality(mean_square: float, k: float, denominator: float | None, freedom: float | None, readers: str, reason: str | None, method: str) -> Test:
    """F = mean square / denominator with (k, freedom), or for fixed readers chi-square k times that with k degrees of freedom."""
    if reason is not None or denominator is None:
        return Test(None, None, None, reason or "the variance is unknown", method)
    ratio = mean_square / denominator
    if readers == FIXED:
        return Test(k * ratio, (k, None), float(stats.chi2.sf(k * ratio, k)), None, method)
    within = freedom if freedom is not None else np.inf
    p = float(stats.f.sf(ratio, k, within)) if np.isfinite(within) else float(stats.chi2.sf(k * ratio, k))
    return Test(ratio, (k, freedom), p, None, method)


def difference(
    gap: float, error: float | None, freedom: float | None, reason: str | None, figures: ReaderFigures, level: float, method: str
) -> Estimate:
    if error is None:
        return Estimate(gap, None, None, figures.readings, reason or "the variance is unknown", method)
    low, high = figures.bounds
    return Estimate(gap, *_interval(gap, error, freedom, level, (low - high, high - low)), figures.readings, None, method, error)


def two_sided(gap: float, error: float, freedom: float | None) -> float:
    ratio = abs(gap) / error
    return float(2 * (stats.norm.sf(ratio) if freedom is None else stats.t.sf(ratio, freedom)))


def label(what: str, readers: str, cases: str, figures: ReaderFigures, level: float) -> str:
    covariances = f", {figures.covariances} covariances" if cases == RANDOM else ""
    freedom = "normal" if readers == FIXED else "Hillis degrees of freedom"
    return f"{what}, Obuchowski-Rockette, {readers} readers and {cases} cases{covariances}, {freedom}, {100 * level:g} %"


def _without(mean: float, reason: str, figures: ReaderFigures, label: str, parts: tuple[float | None, float | None, float | None]) -> ReaderAverage:
    return ReaderAverage(Estimate(mean, None, None, figures.readings, reason, label), None, None, *parts)


def _interval(value: float, error: float, freedom: float | None, level: float, bounds: tuple[float, float]) -> tuple[float, float]:
    quantile = stats.norm.ppf(0.5 + level / 2) if freedom is None else stats.t.ppf(0.5 + level / 2, freedom)
    half = float(quantile) * error
    return max(bounds[0], value - half), min(bounds[1], value + half)


def _freedom(denominator: float, spread: float, within: float) -> float | None:
    """Hillis 2007: denominator^2 / (spread^2 / within); None (normal) where the readers do not spread at all."""
    if spread <= NOTHING:
        return None
    found = denominator**2 / (spread**2 / within)
    return found if np.isfinite(found) and found < 1e9 else None


def _error_and_covariance(figures: ReaderFigures) -> tuple[float | None, float | None]:
    """Var and Cov2 of one modality."""
    covariance, r = figures.covariance, len(figures.value)
    if covariance is None:
        return None, None
    diagonal = float(np.trace(covariance))
    return diagonal / r, (float(covariance.sum()) - diagonal) / (r * (r - 1)) if r > 1 else 0.0


def _three_covariances(figures: ReaderFigures, t: int, r: int) -> tuple[float | None, tuple[float, float, float] | None]:
    """Var and (Cov1, Cov2, Cov3): means over the entries of each kind, 0 where there are none."""
    if figures.covariance is None:
        return None, None
    blocks = figures.covariance.reshape(t, r, t, r)
    same_reader = np.einsum("irjr->ij", blocks)  # (t, t) sums over readers
    same_modality = np.einsum("irik->rk", blocks)  # (r, r) sums over modalities
    variance, everything = float(np.trace(same_reader)), float(blocks.sum())
    cov1, cov2 = float(same_reader.sum()) - variance, float(same_modality.sum()) - variance
    cov3 = everything - variance - cov1 - cov2
    counts = t * r * (t - 1), t * r * (r - 1), t * r * (t - 1) * (r - 1)
    one, two, three = (total / n if n else 0.0 for total, n in zip((cov1, cov2, cov3), counts, strict=True))
    return variance / (t * r), (one, two, three)


def _mean_squares(table: np.ndarray) -> dict[str, float]:
    """MS(T), MS(R) and MS(TR) of (modalities, readers); the last two are 0 for a single reader."""
    t, r = table.shape
    by_modality, by_reader, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - by_modality[:, None] - by_reader + mean
    return {
        "T": float(r * ((by_modality - mean) ** 2).sum() / (t - 1)),
        "R": float(t * ((by_reader - mean) ** 2).sum() / (r - 1)) if r > 1 else 0.0,
        "TR": float((rest**2).sum() / ((t - 1) * (r - 1))) if r > 1 else 0.0,
    }
