"""Do sites differ? Readers belong to one site each, cases are read at all sites: differences, a test, and the spread between sites.

Model (reader nested within test, cases crossed: Hillis 2014, Stat Med 33:330, with sites in the place of tests): figure of reader j at site i
    theta_ij = mu + tau_i + R_j(i) + epsilon_ij,
readers of one site vary with the same variance at every site, errors of two readers covary by Cov2 within a site and by Cov3 across sites.
Sites with unequal numbers of readers J_i: expectations of the mean squares of a one-way layout (Searle, Casella and McCulloch 1992, chapter
3), which for equal numbers give Hillis' formulas. Sites are fixed for the differences and the test; for `between_sd` they are drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import stats

from study.agreement.estimate import Estimate, undefined
from study.agreement.obuchowski_rockette import (
    FIXED,
    NO_VARIANCE,
    NOTHING,
    RANDOM,
    ReaderAverage,
    Test,
    average,
    check_effects,
    difference,
    equality,
    label,
)
from study.agreement.reader_figures import ReaderFigures


@dataclass(frozen=True)
class Sites:
    names: tuple[str, ...]
    means: dict[str, ReaderAverage]  # each from its own readings alone
    differences: dict[tuple[str, str], Estimate]  # first minus second
    test: Test  # all sites alike
    between_sd: Estimate  # standard deviation of the sites' true means; n = sites


def between_sites(figures: ReaderFigures, site: Sequence[str], *, readers: str = RANDOM, cases: str = RANDOM, level: float = 0.95) -> Sites:
    """Compare sites; `site` (readers,) names the site of every column of `figures`.

    Random readers and cases: F = MS(S) / (MS(R(S)) + n0 max(Cov2 - Cov3, 0)) with s - 1 and that denominator squared over
    MS(R(S))^2 / (N - s) degrees of freedom, n0 = (N - sum J_i^2 / N) / (s - 1), which is J for J readers everywhere. A difference of two
    sites has variance MS(R(S)) (1 / J_a + 1 / J_b) + 2 max(Cov2 - Cov3, 0). Fixed readers: Wald's chi-square and intervals from the
    covariances alone, for these readers and new cases. Fixed cases: Cov2 and Cov3 are 0.
    """
    check_effects(readers, cases)
    places = np.asarray([str(name) for name in site])
    names = tuple(sorted(set(places.tolist())))
    if len(figures.value) == 0:
        figures = replace(figures, read=np.zeros(len(places), dtype=int))
    if len(places) != len(figures.read):
        raise ValueError(f"{len(places)} sites for {len(figures.read)} readers")
    method = label(f"difference of mean {figures.name} between sites, readers nested in sites", readers, cases, figures, level)
    members = [np.flatnonzero(places == name) for name in names]
    means = {name: average(figures.of(of), readers=readers, cases=cases, level=level) for name, of in zip(names, members, strict=True)}
    reason = _why_not(figures, names, members, readers, cases)
    pairs = list(combinations(range(len(names)), 2))
    if len(figures.value) == 0 or len(names) < 2:
        nothing = undefined(reason or "", figures.readings, method)
        return Sites(
            names,
            means,
            {(names[a], names[b]): nothing for a, b in pairs},
            Test(None, None, None, reason, method),
            _sd(None, reason, len(names), level),
        )
    if readers == FIXED:
        return _fixed_readers(figures, names, members, means, reason, level, method)

    own = [figures.value[of] for of in members]
    counts = np.array([len(values) for values in own])
    total, s = int(counts.sum()), len(names)
    within = float(sum(((values - values.mean()) ** 2).sum() for values in own)) / (total - s) if total > s else 0.0
    site_means = np.array([values.mean() for values in own])
    between = float((counts * (site_means - (counts * site_means).sum() / total) ** 2).sum() / (s - 1))
    n0 = (total - float((counts**2).sum()) / total) / (s - 1)
    apart = max(_cov2_less_cov3(figures, members), 0.0) if cases == RANDOM and figures.covariance is not None else 0.0
    denominator = within + n0 * apart
    if reason is None and denominator <= NOTHING:
        reason = NO_VARIANCE
    differences = {}
    for a, b in pairs:
        spread = within * (1 / counts[a] + 1 / counts[b])
        variance = spread + 2 * apart
        error = None if reason else float(np.sqrt(variance))
        gap = float(site_means[a] - site_means[b])
        differences[names[a], names[b]] = difference(gap, error, _satterthwaite(variance, spread, total - s), reason, figures, level, method)
    freedom = _satterthwaite(denominator, within, total - s)
    test = equality(between, s - 1, denominator, freedom, readers, reason, method)
    return Sites(names, means, differences, test, _sd((between, denominator, n0, s - 1, freedom), reason, s, level))


def _why_not(figures: ReaderFigures, names: tuple[str, ...], members: list[np.ndarray], readers: str, cases: str) -> str | None:
    if len(figures.value) == 0:
        return figures.reason or "no case was read"
    if len(names) < 2:
        return "there is one site"
    if cases == RANDOM and figures.covariance is None:
        return figures.reason or "the covariances cannot be estimated"
    if readers == RANDOM and max(len(of) for of in members) < 2:
        return "no site has two readers: differences between sites cannot be told from differences between readers"
    return None


def _cov2_less_cov3(figures: ReaderFigures, members: list[np.ndarray]) -> float:
    """Mean covariance of two readers of one site less that of two readers of different sites."""
    covariance = figures.covariance
    assert covariance is not None
    place = np.empty(len(figures.value), dtype=int)
    for i, of in enumerate(members):
        place[of] = i
    same = place[:, None] == place[None, :]
    within = same & ~np.eye(len(place), dtype=bool)
    if not within.any():  # one reader a site
        return 0.0
    return float(covariance[within].mean() - covariance[~same].mean())


def _fixed_readers(
    figures: ReaderFigures,
    names: tuple[str, ...],
    members: list[np.ndarray],
    means: dict[str, ReaderAverage],
    reason: str | None,
    level: float,
    method: str,
) -> Sites:
    """Contrasts of the sites' means with their variance from the readers' covariances."""
    s = len(names)
    weights = np.zeros((s, len(figures.value)))
    for i, of in enumerate(members):
        weights[i, of] = 1 / len(of)
    site_means = weights @ figures.value
    covariance = np.zeros((s, s)) if figures.covariance is None else weights @ figures.covariance @ weights.T
    differences = {}
    for a, b in combinations(range(s), 2):
        variance = float(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b])
        why = reason or (None if variance > NOTHING else NO_VARIANCE)
        error = None if why else float(np.sqrt(variance))
        differences[names[a], names[b]] = difference(float(site_means[a] - site_means[b]), error, None, why, figures, level, method)
    contrast = np.eye(s)[:-1] - np.eye(s)[1:]
    spread = contrast @ covariance @ contrast.T
    if reason is None and (np.linalg.matrix_rank(spread, tol=1e-14) < s - 1 or np.linalg.eigvalsh(spread)[0] <= 0):
        reason = "the covariances of the sites' means are singular"
    if reason is not None:
        return Sites(names, means, differences, Test(None, None, None, reason, method), _sd(None, reason, s, level))
    gaps = contrast @ site_means
    wald = float(gaps @ np.linalg.solve(spread, gaps))
    test = Test(wald, (s - 1, None), float(stats.chi2.sf(wald, s - 1)), None, method)
    return Sites(names, means, differences, test, _sd(None, "with fixed readers the spread between sites is not that of a population", s, level))


def _sd(parts: tuple[float, float, float, int, float | None] | None, reason: str | None, sites: int, level: float) -> Estimate:
    """Square root of max((MS(S) - denominator) / n0, 0); interval by inverting F, as (1 + n0 sd^2 / denominator) F(s - 1, freedom)
    (Searle, Casella and McCulloch 1992, chapter 3, exact for equal numbers of readers; for unequal an approximation)."""
    method = f"standard deviation of the sites' true means, interval by inversion of F, {100 * level:g} %"
    if parts is None or reason is not None:
        return undefined(reason or "", sites, method)
    between, denominator, n0, k, freedom = parts

    def sd(ratio: float) -> float:
        return float(np.sqrt(max((between / ratio - denominator) / n0, 0.0)))

    def quantile(share: float) -> float:
        return float(stats.f.ppf(share, k, freedom)) if freedom is not None else float(stats.chi2.ppf(share, k)) / k

    found = sd(1.0)
    return Estimate(found, min(sd(quantile((1 + level) / 2)), found), max(sd(quantile((1 - level) / 2)), found), sites, None, method)


def _satterthwaite(variance: float, spread: float, within: float) -> float | None:
    if spread <= NOTHING or within < 1:
        return None
    return variance**2 / (spread**2 / within)
