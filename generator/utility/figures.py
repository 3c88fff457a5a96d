"""The figures of one experiment: F1, AUROC, average precision, balanced accuracy, Brier score and reliability, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.utility.classifiers import RHYTHMS

RESAMPLES = 1000
_NEEDED = 0.9  # of the resamples must hold both rhythms, or there is no interval
_BINS = 10  # of P(AF), for reliability
NAMES = ("macro_f1", "f1_AF", "f1_NSR", "auroc", "average_precision", "balanced_accuracy", "brier")

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


def undefined() -> dict[str, Any]:
    """Every figure, none of them known."""
    of_rhythms: dict[str, Any] = {"f1": dict.fromkeys(RHYTHMS), "f1_ci": None, "recall": dict.fromkeys(RHYTHMS)}
    rest = ("auroc", "average_precision", "balanced_accuracy", "brier")
    either = {name: None for one in rest for name in (one, f"{one}_ci")}
    return {"macro_f1": None, "ci": None, "macro_f1_by_seed": None, **of_rhythms, **either, "reliability": None, "reason": None}


def figures(truth: Bools, scores: Array, patients: NDArray[Any], rng: np.random.Generator) -> dict[str, Any]:
    """Values are means over the seeds, scores: (seeds, strips) P(AF). Intervals: 95 %, percentiles of resamples of the patients, each of one seed's
    scores, the seeds taking turns. Both rhythms must be there."""
    once = np.ones((1, truth.size))
    by_seed = [measures(truth, score, once) for score in scores]
    value = {name: float(np.mean([one[name][0] for one in by_seed])) for name in NAMES}
    found = {"macro_f1": value["macro_f1"], "f1": {rhythm: value[f"f1_{rhythm}"] for rhythm in RHYTHMS}}
    found["recall"] = {rhythm: float(((scores >= 0.5) == af)[:, truth == af].mean()) for rhythm, af in zip(RHYTHMS, (True, False), strict=True)}
    found |= {name: value[name] for name in ("auroc", "average_precision", "balanced_accuracy", "brier")}
    found["macro_f1_by_seed"] = [float(one["macro_f1"][0]) for one in by_seed]
    found["reliability"] = _reliability(truth, scores[0])
    weights, reason = resampled(truth, patients, rng)
    if weights is None:
        return found | {"reason": reason}
    return found | _intervals(truth, scores, weights)


def measures(truth: Bools, score: Array, weights: Array) -> dict[str, Array]:
    """NAMES: (resamples,) each, under weights (resamples, strips); NaN where a resample lacks a rhythm it needs."""
    macro, each = f1(truth, score >= 0.5, weights)
    return {"macro_f1": macro, "f1_AF": each[0], "f1_NSR": each[1], "auroc": _auroc(truth, score, weights)} | {
        "average_precision": _average_precision(truth, score, weights),
        "balanced_accuracy": _balanced(truth, ((score >= 0.5) == truth).astype(float), weights),
        "brier": _balanced(truth, (score - truth) ** 2, weights),
    }


def f1(truth: Bools, called: Bools, weights: Array) -> tuple[Array, Array]:
    """Macro F1 (resamples,) and F1 of each rhythm (2, resamples) under weights (resamples, strips); NaN where a rhythm has no strip."""
    each = []
    for positive in (True, False):
        is_true, is_called = truth == positive, called == positive
        both, true, named = (weights @ x.astype(float) for x in (is_true & is_called, is_true, is_called))
        with np.errstate(invalid="ignore"):
            each.append(np.where(true > 0, 2 * both / (true + named), np.nan))
    stacked = np.stack(each)
    macro: Array = stacked.mean(axis=0)
    return macro, stacked


def resampled(truth: Bools, patients: NDArray[Any], rng: np.random.Generator) -> tuple[Array | None, str | None]:
    """(RESAMPLES, strips): how often each strip counts, all strips of a patient alike; or None, and why."""
    names, which = np.unique(patients.astype(str), return_inverse=True)
    fewest = min(np.unique(which[truth == positive]).size for positive in (True, False))
    if fewest < 2:
        return None, "no interval: a bootstrap over patients needs 2 patients of each rhythm"
    weights = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=RESAMPLES)[:, which].astype(float)
    whole = int(((weights[:, truth].sum(axis=1) > 0) & (weights[:, ~truth].sum(axis=1) > 0)).sum())
    if whole < _NEEDED * RESAMPLES:
        return None, f"no interval: only {whole} of {RESAMPLES} resamples of the patients hold both rhythms"
    return weights, None


def turns(scores: Array, resamples: int) -> list[tuple[Array, NDArray[np.int64]]]:
    """Which resamples see which seed's scores."""
    return [(score, np.arange(k, resamples, len(scores))) for k, score in enumerate(scores)]


def ends(values: Array) -> list[float]:
    """The middle 95 % of those that are defined."""
    return [float(x) for x in np.percentile(values[np.isfinite(values)], [2.5, 97.5])]


def _intervals(truth: Bools, scores: Array, weights: Array) -> dict[str, Any]:
    each = {name: np.empty(len(weights)) for name in NAMES}
    for score, rows in turns(scores, len(weights)):
        for name, values in measures(truth, score, weights[rows]).items():
            each[name][rows] = values
    whole = np.isfinite(each["macro_f1"])
    of = {name: ends(values[whole]) for name, values in each.items()}
    flat = of["macro_f1"][0] == of["macro_f1"][1]
    return {
        "ci": of["macro_f1"],
        "f1_ci": {rhythm: of[f"f1_{rhythm}"] for rhythm in RHYTHMS},
        **{f"{name}_ci": of[name] for name in ("auroc", "average_precision", "balanced_accuracy", "brier")},
        "reason": "every strip was called right: resampling them gives the interval no width" if flat else None,
    }


def _auroc(truth: Bools, score: Array, weights: Array) -> Array:
    """The share of pairs in which the AF strip scores higher, ties half (Mann & Whitney 1947)."""
    wins = (score[truth][:, None] > score[~truth][None, :]) + 0.5 * (score[truth][:, None] == score[~truth][None, :])
    positive, negative = weights[:, truth], weights[:, ~truth]
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, ((positive @ wins) * negative).sum(axis=1) / pairs, np.nan)


def _average_precision(truth: Bools, score: Array, weights: Array) -> Array:
    """Of AF: precision at each threshold, weighted by the recall that it adds; ties share a threshold."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order]) != 0), score.size - 1)  # of each group of equal scores
    named = np.cumsum(weights[:, order], axis=1)[:, last]
    right = np.cumsum(weights[:, order] * truth[order], axis=1)[:, last]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(named > 0, right / named, 0.0)
        recall = right / right[:, -1:]
    return np.asarray((np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1))


def _balanced(truth: Bools, values: Array, weights: Array) -> Array:
    """The mean of the two rhythms' means of a value a strip."""
    with np.errstate(invalid="ignore"):
        means = [weights[:, of] @ values[of] / weights[:, of].sum(axis=1) for of in (truth, ~truth)]
    return np.asarray(np.mean(means, axis=0))


def _reliability(truth: Bools, score: Array) -> list[dict[str, float]]:
    """Of the strips whose P(AF) lies in a tenth: its mean, and how often AF was there, either rhythm weighing half as it does in training."""
    weight = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
    which = np.clip((score * _BINS).astype(int), 0, _BINS - 1)
    rows = []
    for k in np.unique(which):
        there = which == k
        share = weight[there] / weight[there].sum()
        means = {"predicted": float(share @ score[there]), "observed": float(share @ truth[there])}
        rows.append({"from": int(k) / _BINS, "to": (int(k) + 1) / _BINS, **means, "n": int(there.sum())})
    return rows
