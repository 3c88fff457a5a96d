"""Cohen's kappa of two lists of answers, unweighted and weighted, and its mean over pairs of readers.

Value and standard error: statsmodels' `cohens_kappa`. Bootstrap over cases: our own code, as statsmodels has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from statsmodels.stats.inter_rater import cohens_kappa

from study.agreement.coefficients import ALL_ALIKE, ONE_ANSWER, beyond_chance
from study.agreement.estimate import Estimate, undefined
from study.agreement.resampling import DRAWS, interval, resampled
from study.agreement.weights import agreement_weights, distance

ASYMPTOTIC = "asymptotic interval (Fleiss, Cohen and Everitt 1969)"
MOST = 20_000_000  # numbers in a table of pairs of readers; beyond it no interval


def cohen(first: np.ndarray, second: np.ndarray, categories: int, *, weights: str = "nominal") -> Estimate:
    """Cohen's kappa (1960, Educ Psychol Meas 20:37; weighted 1968, Psychol Bull 70:213) of two lists of answers (cases,) to the same cases.

    `weights` nominal, linear or quadratic. Standard error and interval: asymptotic (Fleiss, Cohen and Everitt 1969, Psychol Bull 72:323,
    eq. 13), by statsmodels.
    """
    table = np.zeros((categories, categories))
    np.add.at(table, (np.asarray(first, dtype=int), np.asarray(second, dtype=int)), 1)
    return cohen_of_table(table, weights=weights)


def cohen_of_table(table: np.ndarray, *, weights: str = "nominal") -> Estimate:
    """Cohen's kappa of a square table (categories, categories) of counts; see `cohen`."""
    table = np.asarray(table)
    n, method = int(table.sum()), f"{_label(weights)}, {ASYMPTOTIC}, 95 %"
    if n == 0:
        return undefined("no case was answered twice", method=method)
    if len(np.flatnonzero(table.sum(axis=0) + table.sum(axis=1))) == 1:
        return undefined(ONE_ANSWER if len(table) == 1 else ALL_ALIKE, n, method)
    with np.errstate(invalid="ignore", divide="ignore"):  # a standard error of 0 is told below
        result = cohens_kappa(table, weights=None if weights == "nominal" else distance(weights, len(table)), return_results=True)
    value, spread = float(result.kappa), float(result.std_kappa)
    if not np.isfinite(spread) or spread < 1e-9:
        return Estimate(value, None, None, n, "no interval: the standard error of kappa is 0 in this table", method)
    return Estimate(value, max(-1.0, value - 1.959964 * spread), min(1.0, value + 1.959964 * spread), n, None, method, spread)


def resampled_cohen(
    first: np.ndarray, second: np.ndarray, categories: int, *, weights: str = "nominal", seed: int, draws: int = DRAWS, label: str = ""
) -> tuple[Estimate, np.ndarray]:
    """`cohen` with a percentile bootstrap interval over cases, and its bootstrap values (draws,). Answers may be missing (-1)."""
    both = (first >= 0) & (second >= 0)
    first, second = first[both], second[both]
    known = cohen(first, second, categories, weights=weights)
    method = f"{_label(weights)}, standard error of Fleiss, Cohen and Everitt (1969), percentile bootstrap over cases, 95 %"
    if known.value is None:
        return undefined(known.reason or "", known.n, method), np.full(draws, np.nan)
    joint = np.zeros((len(first), categories**2))
    joint[np.arange(len(first)), first * categories + second] = 1
    samples = _pair_kappa(resampled(joint, seed, draws, label)[:, None], agreement_weights(weights, categories))[:, 0]
    return interval(known.value, samples, known.n, method, known.se), samples


@dataclass(frozen=True)
class Pairs:
    raw: Estimate
    kappa: Estimate


def between_groups(ratings: np.ndarray, group: np.ndarray, categories: int, *, seed: int, draws: int = DRAWS) -> Pairs:
    """Agreement of pairs of readers from different groups (sites): mean raw agreement and mean Cohen's kappa over such pairs (Light 1971).

    `ratings` (cases, readers), `group` (readers,). A pair's kappa is left out of the mean in bootstrap samples where it is undefined. With
    very many pairs the means come without an interval: `groups.by_group` has figures that do not look at each pair.
    """
    names = (
        "mean raw agreement over pairs of readers from different sites",
        "mean Cohen's kappa over pairs of readers from different sites (Light 1971)",
    )
    methods = [name + ", percentile bootstrap over cases, 95 %" for name in names]
    pairs = [(a, b) for a, b in combinations(range(ratings.shape[1]), 2) if group[a] != group[b]]
    answered = ratings >= 0
    together = answered.T.astype(float) @ answered
    shared = np.array([(a, b) for a, b in pairs if together[a, b]], dtype=int).reshape(-1, 2)
    if not len(shared):
        reason = "no case was read by readers from two sites" if pairs else "there are no readers from two sites"
        return Pairs(undefined(reason, method=methods[0]), undefined(reason, method=methods[1]))
    unweighted = np.eye(categories)
    cases_read = int(sum(len(np.unique(group[row])) > 1 for row in answered))
    joint = _joint_tables(ratings, shared, categories)[None]  # (1, pairs, k*k)
    statistics = (_pair_raw, _pair_kappa)
    values = [float(_mean_defined(statistic(joint, unweighted))[0]) for statistic in statistics]
    samples = None
    if max(len(ratings), draws) * joint.size <= MOST:
        both = np.zeros((len(ratings), len(shared), categories**2))
        for p, (a, b) in enumerate(shared):
            cases = np.flatnonzero(answered[:, a] & answered[:, b])
            both[cases, p, ratings[cases, a] * categories + ratings[cases, b]] = 1
        drawn = resampled(both.reshape(len(ratings), -1), seed, draws).reshape(draws, len(shared), -1)
        samples = [_mean_defined(statistic(drawn, unweighted)) for statistic in statistics]
    found = []
    for i, value in enumerate(values):
        if not np.isfinite(value):
            found.append(undefined("all answers of every pair are equal: agreement expected by chance is 1", cases_read, methods[i]))
        elif samples is None:
            found.append(Estimate(value, None, None, cases_read, f"no interval: {len(shared)} pairs of readers are too many to resample", names[i]))
        else:
            found.append(interval(value, samples[i], cases_read, methods[i]))
    return Pairs(*found)


def _joint_tables(ratings: np.ndarray, pairs: np.ndarray, k: int) -> np.ndarray:
    """(pairs, k*k) how often the two readers of each pair gave each two answers."""
    given = [(ratings == answer).astype(float) for answer in range(k)]
    first, second = pairs.T
    return np.stack([(one.T @ other)[first, second] for one in given for other in given], axis=1)


def _pair_raw(both: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws, pairs, k*k) tables -> (draws, pairs)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(both @ weights.ravel() / both.sum(axis=-1))


def _pair_kappa(both: np.ndarray, weights: np.ndarray) -> np.ndarray:
    k = len(weights)
    tables = both.reshape(*both.shape[:-1], k, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = both.sum(axis=-1)
        expected = ((tables.sum(axis=-1) @ weights) * tables.sum(axis=-2)).sum(axis=-1) / n**2
    return beyond_chance(_pair_raw(both, weights), expected)


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """(draws, pairs) -> (draws,): mean over the pairs that have a value, NaN where none has."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=1) / np.where(defined.any(axis=1), defined.sum(axis=1), np.nan))


def _label(weights: str) -> str:
    return "Cohen's kappa" + ("" if weights == "nominal" else f", {weights} weights")
