"""Agreement between readers, as results ask for it: all coefficients of a question with their intervals, and what differs between two arms.

Ratings are integer codes 0..k-1 in an array (cases, readers), -1 where a reader did not read a case. `coefficients` holds the formulas,
`cohen` two readers, `groups` sites and single readers, `within_readers` repeats, `resampling` the bootstrap.
"""

from __future__ import annotations

import numpy as np

from study.agreement import coefficients as formulas
from study.agreement.coefficients import ALPHA, BRENNAN_PREDIGER, CONGER, FLEISS, NOBODY_TWICE, ONE_READER, RAW, WEIGHTED, Found, Z, counts, gwet_name
from study.agreement.cohen import Pairs, between_groups, cohen, cohen_of_table, resampled_cohen
from study.agreement.estimate import Estimate, undefined
from study.agreement.resampling import DRAWS, interval

COHEN = "Cohen's kappa"


def agreement(ratings: np.ndarray, categories: int, *, seed: int, weights: str = "nominal", draws: int = DRAWS) -> dict[str, Estimate]:
    """The four coefficients that the results page shows: name -> Estimate, `n` = cases read by at least two readers; see `all_coefficients`.

    `weights` 'ordinal': Fleiss and Gwet (then AC2) take Gwet's ordinal weights, alpha Krippendorff's ordinal difference.
    """
    found = formulas.coefficients(ratings, categories, weights=weights, seed=seed, draws=draws).estimates
    return {name: found[name] for name in (RAW, FLEISS, gwet_name(weights), ALPHA)}


def all_coefficients(ratings: np.ndarray, categories: int, *, weights: str = "nominal", seed: int, draws: int = DRAWS, label: str = "") -> Found:
    """Every coefficient of one question, Cohen's among them where there are two readers; arguments as `coefficients.coefficients`.

    Ordered answers: Cohen's kappa with linear and with quadratic weights. `label` names bootstrap samples that must be independent of others.
    """
    found = formulas.coefficients(ratings, categories, weights=weights, seed=seed, draws=draws, label=label)
    estimates, samples = dict(found.estimates), dict(found.samples)
    readers = np.flatnonzero((ratings >= 0).any(axis=0))
    for kind in ("nominal",) if weights == "nominal" else ("linear", "quadratic"):
        name = COHEN if kind == "nominal" else f"{COHEN}, {kind} weights"
        if len(readers) == 2:
            first, second = ratings[:, readers].T
            estimates[name], samples[name] = resampled_cohen(first, second, categories, weights=kind, seed=seed, draws=draws, label=label)
            if estimates[name].n == 0:
                estimates[name] = undefined(NOBODY_TWICE, 0, estimates[name].method)
        else:
            reason = ONE_READER if len(readers) < 2 else f"Cohen's kappa is of two readers, and there are {len(readers)}: see Conger's kappa"
            estimates[name] = undefined(reason, found.estimates[RAW].n, name)
    order = [RAW, WEIGHTED, COHEN, *(f"{COHEN}, {kind} weights" for kind in ("linear", "quadratic")), FLEISS, Z, CONGER, gwet_name(weights)]
    order += [BRENNAN_PREDIGER, ALPHA]
    return Found({name: estimates[name] for name in order if name in estimates}, samples)


def arms_apart(first: Found, second: Found, names: tuple[str, str]) -> dict[str, Estimate]:
    """Each coefficient of `first` minus that of `second`: name -> Estimate, `n` = cases of both; `names` of the two for the words.

    The two must rest on different cases and on bootstrap samples under different labels (`all_coefficients(..., label=...)`): then differences
    of their bootstrap values are those of a bootstrap stratified by arm, and their variances add.
    """
    found = {}
    for name, one in first.estimates.items():
        other = second.estimates.get(name)
        if name == Z or other is None:
            continue
        n, method = one.n + other.n, f"{name}, {names[0]} - {names[1]}, percentile bootstrap over cases within each, 95 %"
        if one.value is None or other.value is None:
            which = names[0] if one.value is None else names[1]
            found[name] = undefined(f"undefined on {which} strips: {one.reason if one.value is None else other.reason}", n, method)
            continue
        se = None if one.se is None or other.se is None else float(np.hypot(one.se, other.se))
        if min(one.n, other.n) < 2:
            found[name] = Estimate(one.value - other.value, None, None, n, "one case of an arm: there is nothing to resample", method, se)
        else:
            found[name] = interval(one.value - other.value, first.samples[name] - second.samples[name], n, method, se)
    return found


__all__ = [
    "ALPHA",
    "BRENNAN_PREDIGER",
    "COHEN",
    "CONGER",
    "DRAWS",
    "FLEISS",
    "RAW",
    "WEIGHTED",
    "Pairs",
    "Z",
    "agreement",
    "all_coefficients",
    "arms_apart",
    "between_groups",
    "cohen",
    "cohen_of_table",
    "counts",
    "gwet_name",
    "interval",
    "resampled_cohen",
]
