"""Agreement of some pairs of readers: within sites, between sites, and of each reader with all others.

Our own code: no library has agreement of chosen pairs with missing answers. Observed agreement: the mean over cases of the share of those
pairs that agree (as Gwet 2014, section 5.3, for all pairs). Chance: the mean over those pairs of Cohen's chance agreement (as Conger 1980 for
all pairs), from each reader's own shares of the answers; for AC1 and Brennan-Prediger as for all readers. Everything is a function of sums
over cases whose number grows with readers, not with pairs. Standard errors: the jackknife over cases.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from study.agreement.coefficients import (
    ALL_ALIKE,
    BRENNAN_PREDIGER,
    CONGER,
    ONE_ANSWER,
    ONE_READER,
    RAW,
    beyond_chance,
    gwet_chance,
    gwet_name,
    one_hot,
    shares_of_readers,
)
from study.agreement.estimate import Estimate, undefined
from study.agreement.resampling import DRAWS, interval, jackknife, resampled, standard_error
from study.agreement.weights import agreement_weights

WITHIN, BETWEEN, DIFFERENCE = "within sites", "between sites", "within - between sites"
KAPPA = "Conger's kappa"
WITH_OTHERS = "kappa with the other readers"


def by_group(
    ratings: np.ndarray, group: np.ndarray, categories: int, *, weights: str = "nominal", seed: int, draws: int = DRAWS
) -> dict[str, dict[str, Estimate]]:
    """Agreement of readers of one site, of readers of different sites, and the difference: WITHIN, BETWEEN, DIFFERENCE -> figure -> Estimate.

    `ratings` (cases, readers) codes, -1 = missing; `group` (readers,) of any values. `n` = cases that such a pair read.
    """
    k, figures = categories, (RAW, CONGER, gwet_name(weights), BRENNAN_PREDIGER)
    methods = {name: f"{name} of chosen pairs of readers{'' if weights == 'nominal' or name == RAW else f', {weights} weights'}" for name in figures}
    answered = (ratings >= 0).any(axis=0)
    ratings, group = ratings[:, answered], np.unique(np.asarray(group)[answered], return_inverse=True)[1]
    ratings = ratings[(ratings >= 0).any(axis=1)]
    sites, weight = int(group.max(initial=-1)) + 1, agreement_weights(weights, k)
    terms = _terms_by_group(ratings, group, sites, k, weight)

    def statistic(sums: np.ndarray) -> np.ndarray:
        return _within_and_between(sums, group, sites, k, weight)

    reasons = {
        WITHIN: "no case was read by two readers of one site",
        BETWEEN: "there are no readers from two sites" if sites < 2 else "no case was read by readers from two sites",
    }
    reasons[DIFFERENCE] = reasons[BETWEEN] if sites < 2 or not terms[:, 5].any() else reasons[WITHIN]
    cases = {WITHIN: int(terms[:, 2].sum()), BETWEEN: int(terms[:, 5].sum()), DIFFERENCE: int(((terms[:, 2] + terms[:, 5]) > 0).sum())}
    values, samples, errors = _evaluated(terms, statistic, seed, draws)
    found: dict[str, dict[str, Estimate]] = {}
    for i, pairs in enumerate((WITHIN, BETWEEN, DIFFERENCE)):
        found[pairs] = {}
        for j, name in enumerate(figures):
            place = 4 * i + j
            empty = cases[pairs] == 0 or (pairs == DIFFERENCE and 0 in (cases[WITHIN], cases[BETWEEN]))
            reason = reasons[pairs] if empty else ONE_ANSWER if k == 1 else ALL_ALIKE
            found[pairs][name] = _estimate(values[place], samples[:, place], errors[place], cases[pairs], f"{methods[name]}, {pairs}", reason)
    return found


def with_others(ratings: np.ndarray, categories: int, *, weights: str = "nominal", seed: int, draws: int = DRAWS) -> list[dict[str, Estimate]]:
    """Each reader's agreement with all others: raw, and kappa (mean over the others of observed, and of Cohen's chance, agreement).

    `ratings` (cases, readers) codes, -1 = missing; the list is in the readers' order. `n` = cases that the reader and another read.
    """
    k, readers, weight = categories, ratings.shape[1], agreement_weights(weights, categories)
    methods = {
        RAW: "share of the other readers of a case who gave this reader's answer, mean over cases",
        WITH_OTHERS: "mean over the other readers of agreement, and of Cohen's chance agreement"
        + ("" if weights == "nominal" else f", {weights} weights"),
    }
    ratings = ratings[(ratings >= 0).any(axis=1)]
    terms = _terms_by_reader(ratings, k, weight)

    def statistic(sums: np.ndarray) -> np.ndarray:
        return _of_each_reader(sums, readers, k, weight)

    values, samples, errors = _evaluated(terms, statistic, seed, draws)
    cases = terms[:, 2 * readers : 3 * readers].sum(axis=0).astype(int)
    others = int((ratings >= 0).any(axis=0).sum())
    found = []
    for r in range(readers):
        empty = ONE_READER if others < 2 else "the reader shares no case with another"
        reason = empty if cases[r] == 0 else ONE_ANSWER if k == 1 else ALL_ALIKE
        found.append(
            {
                name: _estimate(values[place], samples[:, place], errors[place], int(cases[r]), methods[name], reason)
                for name, place in ((RAW, r), (WITH_OTHERS, readers + r))
            }
        )
    return found


# ---- sums over cases, and what they make ----


def _terms_by_group(ratings: np.ndarray, group: np.ndarray, sites: int, k: int, weight: np.ndarray) -> np.ndarray:
    """(cases, 7 + k + readers * k): exact, weighted, 1 if there is a pair, within and between; read; shares; each reader's answers."""
    hot = one_hot(ratings, k)
    of_site = hot.reshape(*ratings.shape, k).transpose(0, 2, 1) @ np.eye(sites)[group]  # (cases, k, sites)
    of_all = of_site.sum(axis=2)
    read, read_at = of_all.sum(axis=1), of_site.sum(axis=1)
    pairs = [(read_at * (read_at - 1)).sum(axis=1), read**2 - (read_at**2).sum(axis=1)]
    columns = []
    for kind, number in enumerate(pairs):
        for w in (np.eye(k), weight):
            at_sites = (of_site * (w @ of_site)).sum(axis=(1, 2))
            agreeing = at_sites - read if kind == 0 else (of_all * (of_all @ w)).sum(axis=1) - at_sites
            columns.append(np.where(number > 0, agreeing, 0) / np.where(number > 0, number, 1))
        columns.append((number > 0).astype(float))
    shares = of_all / np.where(read > 0, read, 1)[:, None]
    return np.hstack([np.column_stack([*columns, np.ones(len(ratings))]), shares, hot])


def _within_and_between(sums: np.ndarray, group: np.ndarray, sites: int, k: int, weight: np.ndarray) -> np.ndarray:
    """(sets, columns) -> (sets, 12): raw, Conger, Gwet, Brennan-Prediger; within, between, difference."""
    p = shares_of_readers(sums[:, 7 + k :].reshape(len(sums), -1, k))
    there = (sums[:, 7 + k :].reshape(len(sums), -1, k).sum(axis=2) > 0).astype(float)
    of_site = p.transpose(0, 2, 1) @ np.eye(sites)[group]  # (sets, k, sites)
    readers = there @ np.eye(sites)[group]
    itself = ((p @ weight) * p).sum(axis=(1, 2))
    at_sites = (of_site * (weight @ of_site)).sum(axis=(1, 2))
    total = of_site.sum(axis=2)
    everywhere = ((total @ weight) * total).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = sums[:, 7 : 7 + k] / sums[:, 6:7]
        chances = [
            (at_sites - itself) / (readers * (readers - 1)).sum(axis=1),
            (everywhere - at_sites) / (readers.sum(axis=1) ** 2 - (readers**2).sum(axis=1)),
        ]
        found = []
        for kind, chance in enumerate(chances):
            exact, agreeing, cases = sums[:, 3 * kind : 3 * kind + 3].T
            observed = agreeing / cases
            found.append(exact / cases)
            for expected in (chance, gwet_chance(shares, weight), np.full(len(sums), weight.sum() / k**2)):
                found.append(beyond_chance(observed, expected))
        return np.stack([*found, *(found[j] - found[4 + j] for j in range(4))], axis=1)


def _terms_by_reader(ratings: np.ndarray, k: int, weight: np.ndarray) -> np.ndarray:
    """(cases, readers * (3 + k)): each reader's exact and weighted agreement with the others, whether there are any, and answers."""
    hot = one_hot(ratings, k)
    table = hot.reshape(*ratings.shape, k).sum(axis=1)
    given, code = ratings >= 0, np.where(ratings >= 0, ratings, 0)
    others = np.where(given, table.sum(axis=1)[:, None] - 1, 0)
    shares = [(np.take_along_axis(table @ w, code, axis=1) - 1) / np.where(others > 0, others, 1) * (others > 0) for w in (np.eye(k), weight)]
    return np.hstack([*shares, others > 0, hot])


def _of_each_reader(sums: np.ndarray, readers: int, k: int, weight: np.ndarray) -> np.ndarray:
    """(sets, columns) -> (sets, 2 * readers): raw, then kappa."""
    exact, agreeing, cases = np.split(sums[:, : 3 * readers], 3, axis=1)
    by_reader = sums[:, 3 * readers :].reshape(len(sums), readers, k)
    p = shares_of_readers(by_reader)
    there = by_reader.sum(axis=2) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = ((p @ weight) * (p.sum(axis=1, keepdims=True) - p)).sum(axis=2) / (there.sum(axis=1, keepdims=True) - 1)
        return np.hstack([exact / cases, beyond_chance(agreeing / cases, chance)])


def _evaluated(terms: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = statistic(terms.sum(axis=0)[None])[0]
    if len(terms) < 2:
        return values, np.full((draws, len(values)), np.nan), np.full(len(values), np.nan)
    return values, statistic(resampled(terms, seed, draws)), jackknife(terms, statistic)


def _estimate(value: float, samples: np.ndarray, error: float, n: int, method: str, reason: str) -> Estimate:
    method = method + ", percentile bootstrap over cases, 95 %"
    if not np.isfinite(value):
        return undefined(reason, n, method)
    return interval(float(value), samples, n, method, standard_error(error))
