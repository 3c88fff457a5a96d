"""Agreement between readers: raw, Fleiss, Gwet AC1/AC2, Brennan-Prediger, Krippendorff alpha and Cohen, answers may be missing.

Ratings are integer codes 0..k-1 in an array (cases, readers), -1 where a reader did not read a case. Every coefficient except Cohen's is a
function of sums over cases, so a bootstrap over cases is one matrix product. Our own code, as the `krippendorff` package is GPL and
statsmodels has no coefficient for missing answers; Cohen's kappa with its standard error comes from statsmodels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from statsmodels.stats.inter_rater import cohens_kappa

from study.agreement.estimate import Estimate, rng, undefined

DRAWS = 2000
COEFFICIENTS = ("raw agreement", "Fleiss' kappa", "Gwet's AC1", "Krippendorff's alpha")


def agreement(ratings: np.ndarray, categories: int, *, seed: int, weights: str = "nominal", draws: int = DRAWS) -> dict[str, Estimate]:
    """The four coefficients of one question: name -> Estimate, `n` = cases read by at least two readers.

    `ratings` (cases, readers) of codes, -1 = missing; `categories` counts all answers that the form offers, chosen or not.
    `weights` 'nominal': every disagreement counts alike. 'ordinal': the answers are ordered; Fleiss and Gwet (then AC2) are weighted by
    Gwet's ordinal weights, alpha by Krippendorff's ordinal difference; raw agreement stays the share of equal answers. Intervals:
    percentile bootstrap over cases, `draws` samples seeded by `seed`.
    """
    table = counts(ratings, categories)
    raw = _coefficients(table, ("raw",), "nominal", seed, draws)
    names = [name.replace("AC1", "AC2") if weights == "ordinal" else name for name in COEFFICIENTS]
    return dict(zip(names, raw + _coefficients(table, ("fleiss", "gwet", "krippendorff"), weights, seed, draws), strict=True))


def coefficient(table: np.ndarray, which: str, *, weights: str = "nominal", seed: int | None = None, draws: int = DRAWS) -> Estimate:
    """One coefficient of a table (cases, categories) of how many readers gave each answer.

    `which`: raw, fleiss, gwet, brennan-prediger, krippendorff. `weights`: nominal, linear, quadratic, ordinal. Without `seed`: no interval.
    """
    return _coefficients(table, (which,), weights, seed, draws)[0]


def interval(value: float, samples: np.ndarray, n: int, method: str) -> Estimate:
    """Percentile interval from bootstrap `samples` (draws,), NaN where a sample had no value. No interval where it would mislead."""
    if n < 2:
        return Estimate(value, None, None, n, "one case: there is nothing to resample", method)
    lost = int((~np.isfinite(samples)).sum())
    if lost > 0.05 * len(samples):
        reason = f"no interval: the figure is undefined in {100 * lost / len(samples):.0f} % of the bootstrap samples"
        return Estimate(value, None, None, n, reason, method)
    kept = samples[np.isfinite(samples)]
    low, high = (float(edge) for edge in np.percentile(kept, [2.5, 97.5]))
    if high - low < 1e-12:
        return Estimate(value, None, None, n, "no interval: every bootstrap sample gives the same value", method)
    return Estimate(value, low, high, n, None, method + (f" ({lost} of {len(samples)} samples undefined and left out)" if lost else ""))


@dataclass(frozen=True)
class Pairs:
    raw: Estimate
    kappa: Estimate


def between_groups(ratings: np.ndarray, group: np.ndarray, categories: int, *, seed: int, draws: int = DRAWS) -> Pairs:
    """Agreement of pairs of readers from different groups (sites): mean raw agreement and mean Cohen's kappa over such pairs (Light 1971).

    `ratings` (cases, readers), `group` (readers,). A pair's kappa is left out of the mean in bootstrap samples where it is undefined.
    """
    names = (
        "mean raw agreement over pairs of readers from different sites",
        "mean Cohen's kappa over pairs of readers from different sites (Light 1971)",
    )
    methods = [name + ", percentile bootstrap over cases, 95 %" for name in names]
    pairs = [(a, b) for a, b in combinations(range(ratings.shape[1]), 2) if group[a] != group[b]]
    shared = [(a, b) for a, b in pairs if ((ratings[:, a] >= 0) & (ratings[:, b] >= 0)).any()]
    if not shared:
        reason = "no case was read by readers from two sites" if pairs else "there are no readers from two sites"
        return Pairs(undefined(reason, method=methods[0]), undefined(reason, method=methods[1]))
    both = np.zeros((len(ratings), len(shared), categories * categories))
    for p, (a, b) in enumerate(shared):
        cases = np.flatnonzero((ratings[:, a] >= 0) & (ratings[:, b] >= 0))
        both[cases, p, ratings[cases, a] * categories + ratings[cases, b]] = 1
    cases_read = int(both.any(axis=(1, 2)).sum())
    resampled = _resampling(len(ratings), seed, draws) @ both.reshape(len(ratings), -1)
    values = []
    for statistic, method in zip((_pair_raw, _pair_kappa), methods, strict=True):
        value = float(_mean_defined(statistic(both.sum(axis=0)[None], categories))[0])
        if np.isfinite(value):
            samples = _mean_defined(statistic(resampled.reshape(draws, len(shared), -1), categories))
            values.append(interval(value, samples, cases_read, method))
        else:
            values.append(undefined("all answers of every pair are equal: agreement expected by chance is 1", cases_read, method))
    return Pairs(*values)


def cohen(first: np.ndarray, second: np.ndarray, categories: int, *, weights: str = "nominal") -> Estimate:
    """Cohen's kappa of two lists of answers (cases,) to the same cases; weights nominal, linear or quadratic.

    Interval: asymptotic (Fleiss, Cohen and Everitt 1969), by statsmodels.
    """
    method = f"Cohen's kappa{'' if weights == 'nominal' else f', {weights} weights'}, asymptotic interval (Fleiss, Cohen and Everitt 1969), 95 %"
    table = np.zeros((categories, categories))
    np.add.at(table, (np.asarray(first, dtype=int), np.asarray(second, dtype=int)), 1)
    return cohen_of_table(table, weights=weights, method=method)


def cohen_of_table(table: np.ndarray, *, weights: str = "nominal", method: str = "Cohen's kappa, asymptotic interval, 95 %") -> Estimate:
    """Cohen's kappa of a square table (categories, categories) of counts."""
    n = int(table.sum())
    if n == 0:
        return undefined("no case was answered twice", method=method)
    used = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1))
    if len(used) == 1:
        return undefined("all answers are equal: agreement expected by chance is 1", n, method)
    with np.errstate(invalid="ignore", divide="ignore"):  # a standard error of 0 is told below
        result = cohens_kappa(table, weights=None if weights == "nominal" else _DISTANCE[weights](table.shape[0]), return_results=True)
    value, spread = float(result.kappa), float(result.std_kappa)
    if not np.isfinite(spread) or spread < 1e-9:
        return Estimate(value, None, None, n, "no interval: the standard error of kappa is 0 in this table", method)
    return Estimate(value, max(-1.0, value - 1.959964 * spread), min(1.0, value + 1.959964 * spread), n, None, method)


def counts(ratings: np.ndarray, categories: int) -> np.ndarray:
    """(cases, readers) codes, -1 = missing -> (cases, categories) how many readers gave each answer."""
    ratings = np.asarray(ratings, dtype=int)
    if ratings.ndim != 2 or (ratings >= categories).any() or (ratings < -1).any():
        raise ValueError(f"ratings must be (cases, readers) of codes -1..{categories - 1}")
    return (ratings[:, :, None] == np.arange(categories)).sum(axis=1)


def fleiss_z(table: np.ndarray) -> float:
    """Fleiss' kappa over its standard error under chance agreement (Fleiss, Nee and Landis 1979); every case read by the same number."""
    table = np.asarray(table, dtype=float)
    cases, raters = len(table), table[0].sum()
    p = table.sum(axis=0) / table.sum()
    pq = float((p * (1 - p)).sum())
    variance = 2 / (cases * raters * (raters - 1)) * (pq**2 - float((p * (1 - p) * (1 - 2 * p)).sum())) / pq**2
    kappa = coefficient(table, "fleiss").value
    if kappa is None or variance <= 0:
        raise ValueError("all answers are equal: kappa has no z")
    return kappa / float(np.sqrt(variance))


# ---- how: sums over cases, and each coefficient as a function of them ----


def _coefficients(table: np.ndarray, which: tuple[str, ...], weights: str, seed: int | None, draws: int) -> list[Estimate]:
    table = np.asarray(table, dtype=float)
    labels = [_FORMULAS[one][1] + ("" if weights == "nominal" else f", {weights} weights") for one in which]
    read_twice = int((table.sum(axis=1) >= 2).sum())
    if read_twice == 0:
        return [undefined("no case was read by two readers", method=label) for label in labels]
    terms = _terms(table, weights)
    resampled = None if seed is None else _resampling(len(table), seed, draws) @ terms
    estimates = []
    for one, label in zip(which, labels, strict=True):
        formula = _FORMULAS[one][0]
        value = float(formula(terms.sum(axis=0)[None], table.shape[1], weights)[0])
        if not np.isfinite(value):
            estimates.append(undefined("all answers are equal: agreement expected by chance is 1", read_twice, label))
        elif resampled is None:
            estimates.append(Estimate(value, None, None, read_twice, "no interval was asked for", label))
        else:
            method = label + ", percentile bootstrap over cases, 95 %"
            estimates.append(interval(value, formula(resampled, table.shape[1], weights), read_twice, method))
    return estimates


def _terms(table: np.ndarray, weights: str) -> np.ndarray:
    """Each case's share of the sums, (cases, 3 + k + k*k): agreement, read twice, read, shares of the answers, coincidences."""
    k = table.shape[1]
    read = table.sum(axis=1)
    twice = read >= 2
    once = read >= 1
    ordered_pairs = np.where(twice, read * (read - 1), 1)
    alike = (table * (table @ _weights(weights, k) - 1)).sum(axis=1) / ordered_pairs * twice
    shares = table / np.where(once, read, 1)[:, None]
    coincidences = table[:, :, None] * table[:, None, :] - np.einsum("ik,kl->ikl", table, np.eye(k))
    coincidences = coincidences / np.where(twice, read - 1, 1)[:, None, None] * twice[:, None, None]
    return np.hstack([alike[:, None], twice[:, None], once[:, None], shares, coincidences.reshape(len(table), -1)])


def _raw(sums: np.ndarray, k: int, weights: str) -> np.ndarray:
    """Mean over cases of the (weighted) share of agreeing pairs of readers (Gwet 2014, eq. 2.10 and 4.9)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 0] / sums[:, 1]


def _fleiss(sums: np.ndarray, k: int, weights: str) -> np.ndarray:
    """Fleiss 1971 (Psychol Bull 76:378); with missing answers and weights as Gwet 2014 generalises it."""
    p = _shares(sums, k)
    return _beyond_chance(_raw(sums, k, weights), np.einsum("bk,kl,bl->b", p, _weights(weights, k), p))


def _gwet(sums: np.ndarray, k: int, weights: str) -> np.ndarray:
    """AC1, AC2 if weighted (Gwet 2008, Br J Math Stat Psychol 61:29; Gwet 2014)."""
    p = _shares(sums, k)
    return _beyond_chance(_raw(sums, k, weights), _weights(weights, k).sum() * (p * (1 - p)).sum(axis=1) / (k * (k - 1)))


def _brennan_prediger(sums: np.ndarray, k: int, weights: str) -> np.ndarray:
    """Brennan and Prediger 1981 (Educ Psychol Meas 41:687): chance is every answer alike."""
    return _beyond_chance(_raw(sums, k, weights), np.full(len(sums), _weights(weights, k).sum() / k**2))


def _krippendorff(sums: np.ndarray, k: int, weights: str) -> np.ndarray:
    """alpha = 1 - D_observed / D_expected from the coincidence matrix (Krippendorff 2011, Computing Krippendorff's alpha-reliability)."""
    coincidences = sums[:, 3 + k :].reshape(-1, k, k)
    margin = coincidences.sum(axis=2)
    n = margin.sum(axis=1)
    apart = _ordinal_difference(margin) if weights == "ordinal" else (1 - _weights(weights, k))[None]
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (coincidences * apart).sum(axis=(1, 2)) / n
        expected = (margin[:, :, None] * margin[:, None, :] * apart).sum(axis=(1, 2)) / (n * (n - 1))
        return np.where(expected > 1e-12, 1 - observed / expected, np.nan)


def _ordinal_difference(margin: np.ndarray) -> np.ndarray:
    """Krippendorff's squared ordinal difference (draws, k, k): answers between two ranks, the two themselves by half."""
    total = np.cumsum(margin, axis=1)
    middle = total - margin / 2  # mid-rank position of each answer
    return (middle[:, :, None] - middle[:, None, :]) ** 2


def _shares(sums: np.ndarray, k: int) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 3 : 3 + k] / sums[:, 2:3]


def _beyond_chance(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan)


def _weights(kind: str, k: int) -> np.ndarray:
    """Agreement weights (k, k): 1 on the diagonal (Gwet 2014, section 3.5)."""
    if kind == "nominal":
        return np.eye(k)
    if kind not in _DISTANCE:
        raise ValueError(f"weights {kind!r}: choose nominal, linear, quadratic or ordinal")
    distance = _DISTANCE[kind](k)
    return 1 - distance / distance.max()


def _steps(k: int) -> np.ndarray:
    return np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(float)


_DISTANCE: dict[str, Callable[[int], np.ndarray]] = {
    "linear": _steps,
    "quadratic": lambda k: _steps(k) ** 2,
    "ordinal": lambda k: (_steps(k) + 1) * _steps(k) / 2,  # pairs that can be drawn from the answers between the two, ends included
}

_FORMULAS: dict[str, tuple[Callable[[np.ndarray, int, str], np.ndarray], str]] = {
    "raw": (_raw, "raw agreement of pairs of readers"),
    "fleiss": (_fleiss, "Fleiss' kappa"),
    "gwet": (_gwet, "Gwet's AC1 (AC2 if weighted)"),
    "brennan-prediger": (_brennan_prediger, "Brennan-Prediger coefficient"),
    "krippendorff": (_krippendorff, "Krippendorff's alpha"),
}


def _pair_raw(both: np.ndarray, k: int) -> np.ndarray:
    """(draws, pairs, k*k) tables -> (draws, pairs)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return both[..., :: k + 1].sum(axis=-1) / both.sum(axis=-1)


def _pair_kappa(both: np.ndarray, k: int) -> np.ndarray:
    tables = both.reshape(*both.shape[:-1], k, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = both.sum(axis=-1)
        expected = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / n**2
    return _beyond_chance(_pair_raw(both, k), expected)


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """(draws, pairs) -> (draws,): mean over the pairs that have a value, NaN where none has."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=1) / np.where(defined.any(axis=1), defined.sum(axis=1), np.nan)


@lru_cache(maxsize=16)
def _resampling(cases: int, seed: int, draws: int) -> np.ndarray:
    """How often each case is drawn in each bootstrap sample, (draws, cases); the same for the same seed and number of cases."""
    return rng(seed, "cases", cases).multinomial(cases, np.full(cases, 1 / cases), size=draws).astype(float)
