"""The tables of the results page, each a pure function of the scored judgements (newest revisions of `judgement_table`) but `rejected`.

Every table is long: one row a figure, with `value`, `low`, `high` (95 % interval unless `method` says otherwise; <NA> where undefined, then
`reason` says why), `unit`, `n` and `counted` (what n counts), and `method`. `group` is all, site, between sites or reader; `name` says which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from study.agreement import equivalence, proportions, raters
from study.agreement.detection import auc, detection
from study.agreement.estimate import Estimate
from study.agreement.readers_and_cases import calls_of_group, clustered, group_average, signal_of_readers
from study.judgements import FIRST_SYNTHETIC
from study.protocol import CUES, MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, RHYTHM_ANSWERS, SCALE

RHYTHMS = ("NSR", "AF")
ARMS = ("real", "synthetic")
WITHIN, ACROSS = "within a round", "across the wash-out"
FIGURES = ("figure", "value", "low", "high", "unit", "n", "counted", "method", "reason")
POOLED = ", all readings taken as independent (readers and strips repeat: see the clustered interval)"


@dataclass(frozen=True)
class Question:
    """A question of the form as agreement sees it: `answers` in their order, coded 0, 1, ..."""

    item: str
    column: str
    answers: tuple[Any, ...]
    ordered: bool = False


QUESTIONS = (
    Question("real or synthetic", "called_synthetic", (False, True)),
    Question("six-point scale", "realism", tuple(range(1, len(SCALE) + 1)), ordered=True),
    Question("rhythm", "rhythm", RHYTHM_ANSWERS),
    *(Question(item, item, MORPHOLOGY_ANSWERS) for item in MORPHOLOGY_ITEMS),
)


def realism(scored: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Accuracy, sensitivity (synthetic called synthetic), specificity, balanced accuracy, d', criterion and AUC by group and rhythm."""
    rows = []
    for group, rhythm, part in _by_rhythm(scored):
        keys = {**group, "rhythm": rhythm}
        single = group["group"] == "reader"
        truth, call = (part["arm"] == "synthetic").to_numpy(), part["called_synthetic"].to_numpy(dtype=bool)
        independent = "" if single else POOLED
        for figure, function in _RATES:
            rows.append(row(keys, figure, function(truth, call), "proportion", "readings", independent))
            if not single:
                subset = part if figure == "accuracy" else part[part["arm"] == ("synthetic" if figure == "sensitivity" else "real")]
                rows.append(row(keys, f"{figure} (clustered)", clustered(calls_right(subset), seed=seed), "proportion", "readings"))
        if not single:
            right, synthetic = calls_right(part), is_synthetic(part)
            for figure in ("balanced accuracy", "sensitivity", "specificity"):
                estimate = group_average(calls_of_group(right, synthetic, figure)).estimate
                rows.append(row(keys, f"{figure} (readers and cases)", estimate, "proportion", "readings"))
        rows.append(row(keys, "balanced accuracy", proportions.balanced_accuracy(truth, call), "proportion", "readings", independent))
        signal = _signal(part) if single else signal_of_readers(matrix(part, part["realism"], 0), is_synthetic(part), FIRST_SYNTHETIC)
        for figure, unit in (("d'", "z units"), ("criterion", "z units"), ("AUC", "proportion")):
            rows.append(row(keys, figure, signal[figure], unit, "readings" if single else "readers"))
    return table(rows, ("group", "name", "site", "rhythm"))


def verdicts(scored: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Equivalence to chance by group, all rhythms: outcome and sentence beside the accuracy with its 90 % interval."""
    rows = []
    for group, part in groups(scored):
        if group["group"] == "reader" or part["reader"].nunique() == 1:
            verdict = equivalence.of_one_reader((part["arm"] == "synthetic").to_numpy(), part["called_synthetic"].to_numpy(dtype=bool), margin)
        else:
            verdict = equivalence.of_group(calls_right(part), is_synthetic(part), margin)
        keys = {**group, "margin": margin, "outcome": None if verdict.outcome is None else verdict.outcome.value, "sentence": verdict.sentence}
        rows.append(row(keys, "accuracy for equivalence", verdict.accuracy, "proportion", "readings"))
    return table(rows, ("group", "name", "site", "margin", "outcome", "sentence"))


def agreement(scored: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Agreement between readers on every question: all readers, within and between sites; for all strips, rhythms, arms and the arms' difference."""
    rows = []
    for group, part in groups(scored):
        if group["group"] == "reader":
            continue
        for question in QUESTIONS:
            weights = "ordinal" if question.ordered else "nominal"
            by_arm_found = {}
            for arm, rhythm, stratum in _strata(part):
                keys = {**group, "item": question.item, "arm": arm, "rhythm": rhythm}
                ratings = matrix(stratum, _codes(stratum[question.column], question), -1)
                found = raters.all_coefficients(ratings, len(question.answers), seed=seed, weights=weights, label=arm)
                rows += [row(keys, figure, estimate, _UNITS.get(figure, "coefficient"), "cases") for figure, estimate in found.estimates.items()]
                if rhythm == "all" and arm in ARMS:
                    by_arm_found[arm] = found
                if group["group"] == "all" and part["site"].nunique() > 1 and not question.ordered:
                    sites = stratum.groupby("reader", sort=True)["site"].first().to_numpy()
                    pairs = raters.between_groups(ratings, sites, len(question.answers), seed=seed)
                    between = {**keys, "group": "between sites", "name": "between sites"}
                    rows.append(row(between, "raw agreement", pairs.raw, "proportion", "cases"))
                    rows.append(row(between, "mean Cohen's kappa", pairs.kappa, "coefficient", "cases"))
            apart = raters.arms_apart(by_arm_found["synthetic"], by_arm_found["real"], ("synthetic", "real"))
            keys = {**group, "item": question.item, "arm": "synthetic - real", "rhythm": "all"}
            rows += [
                row(keys, figure, estimate, f"difference of {_UNITS.get(figure, 'coefficient')}s", "cases") for figure, estimate in apart.items()
            ]
    return table(rows, ("group", "name", "site", "item", "arm", "rhythm"))


_UNITS = {raters.RAW: "proportion", raters.Z: "z unit", raters.WEIGHTED: "proportion"}


def repeats(scored: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Agreement of readers with themselves: `again` holds the readings of repeat cases, paired with the reading of the case repeated.

    `apart` is all; where cases of earlier rounds were repeated, also within a round (hours apart at most) and across the wash-out.
    """
    columns = [question.column for question in QUESTIONS]
    pairs = again.merge(
        scored[["reader", "case", "round", *columns]],
        left_on=["reader", "repeat_of"],
        right_on=["reader", "case"],
        suffixes=("", " before"),
        validate="many_to_one",
    )
    across = pairs["round"] != pairs["round before"]
    apart = {"all": pairs} | ({WITHIN: pairs[~across], ACROSS: pairs[across]} if across.any() else {})
    rows = []
    for group, _everything in groups(scored):
        for between, of_pairs in apart.items():
            mine = _same_group(of_pairs, group)
            for rhythm in ("all", *RHYTHMS):
                part = mine if rhythm == "all" else mine[mine["label"] == rhythm]
                rows += _with_oneself({**group, "apart": between, "rhythm": rhythm}, part)
    return table(rows, ("group", "name", "site", "item", "apart", "rhythm"))


def controls(scored: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Share of the readings of controls that named their arm, by kind: mechanical (synthetic), recorded (real). `shown`: the readings of controls."""
    rows = []
    for group, _everything in groups(scored):
        mine = _same_group(shown, group)
        right = (mine["called_synthetic"].astype(bool) == (mine["arm"] == "synthetic")).to_numpy()
        for kind, arm in (("all", None), ("mechanical", "synthetic"), ("recorded", "real")):
            of_kind = right if arm is None else right[(mine["arm"] == arm).to_numpy()]
            pooled = "" if group["group"] == "reader" else POOLED
            estimate = proportions.proportion(int(of_kind.sum()), len(of_kind), "no control of this kind was read")
            rows.append(row({**group, "kind": kind}, "controls called right", estimate, "proportion", "readings", pooled))
    return table(rows, ("group", "name", "site", "kind"))


def rhythm(scored: pd.DataFrame) -> pd.DataFrame:
    """Share of readings whose rhythm answer is the strip's label ('other' and 'unsure' are not), by arm, and the arms' difference."""
    rows = []
    for group, label, part in _by_rhythm(scored):
        right = (part["rhythm"] == part["label"]).to_numpy()
        rows += by_arm({**group, "rhythm": label}, part, right, "rhythm right", "" if group["group"] == "reader" else POOLED)
    return table(rows, ("group", "name", "site", "rhythm", "arm"))


def morphology(scored: pd.DataFrame) -> pd.DataFrame:
    """Share judged plausible among the readings that could judge, and share that could not, by item and arm, with the arms' difference.

    Beside each difference the p of Fisher's exact test that the arms are alike, adjusted by Holm (1979) over the items; it takes readings as
    independent, as the note on intervals says.
    """
    rows = []
    for group, label, part in _by_rhythm(scored):
        pooled = "" if group["group"] == "reader" else POOLED
        tested: list[tuple[dict[str, Any], float, int]] = []
        for item in MORPHOLOGY_ITEMS:
            keys = {**group, "rhythm": label, "item": item}
            unclear = (part[item] == "cannot judge").to_numpy()
            judged = part[~unclear]
            plausible, synthetic = (judged[item] == "plausible").to_numpy(), (judged["arm"] == "synthetic").to_numpy()
            rows += by_arm(keys, judged, plausible, "plausible", pooled)
            rows += by_arm(keys, part, unclear, "cannot judge", pooled)
            if synthetic.any() and not synthetic.all():
                counted = np.array([[int((plausible[of] == yes).sum()) for yes in (True, False)] for of in (synthetic, ~synthetic)])
                tested.append((keys, float(fisher_exact(counted).pvalue), len(judged)))
        adjusted = proportions.holm([p for _, p, _ in tested])
        for (keys, _, n), p in zip(tested, adjusted, strict=True):
            estimate = Estimate(float(p), None, None, n, "a probability has no interval", f"Fisher's exact test, Holm over {len(tested)} items")
            rows.append(row({**keys, "arm": "synthetic - real"}, "p of plausible alike", estimate, "probability", "readings", pooled))
    return table(rows, ("group", "name", "site", "rhythm", "item", "arm"))


def times(scored: pd.DataFrame) -> pd.DataFrame:
    """Median seconds from showing a strip to its answer, interruptions included, and with the strip in view as the browser counted; by arm."""
    rows = []
    for group, part in groups(scored):
        for arm in ("all", *ARMS):
            of_arm, kind = (part, "") if arm == "all" else (part[part["arm"] == arm], f"{arm} ")
            estimate = proportions.median(of_arm["seconds"].to_numpy(), f"no {kind}strip was read")
            rows.append(row({**group, "arm": arm}, "median reading time", estimate, "seconds", "readings"))
            counted = of_arm["reading_seconds"].dropna().to_numpy(dtype=float)
            without = proportions.median(counted, f"no browser counted the reading of a {kind}strip")
            rows.append(row({**group, "arm": arm}, "median reading time without time away", without, "seconds", "readings"))
    return table(rows, ("group", "name", "site", "arm"))


def cues(scored: pd.DataFrame) -> pd.DataFrame:
    """Share of the readings that named each cue, by arm, with the arms' difference."""
    rows = []
    for group, part in groups(scored):
        if group["group"] != "reader":
            for cue in CUES:
                named = np.array([cue in listed for listed in part["cues"]], dtype=bool)
                rows += by_arm({**group, "cue": cue}, part, named, "named", POOLED)
    return table(rows, ("group", "name", "site", "cue", "arm"))


def rejected(plans: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """Share of the samples drawn for each round that quality control rejected, in all and by reason. plans: the record of each round by number.

    Rejected samples were replaced by the next ones of the same seed. Not of judgements: `round` is all or a round's number, `rhythm` what was drawn.
    """
    drawn: dict[tuple[str, str], list[Mapping[str, Any]]] = {("all", rhythm): [] for rhythm in ("all", *RHYTHMS)}
    silent = set()  # rounds whose record does not say what was drawn
    for number, plan in plans.items():
        for rhythm in ("all", *RHYTHMS):
            counts = [of for name, of in plan.get("drawn", {}).items() if rhythm in ("all", name)]
            drawn[str(number), rhythm] = counts
            drawn["all", rhythm] += counts
            silent |= set() if "drawn" in plan else {(str(number), rhythm), ("all", rhythm)}
    rows = []
    for (number_or_all, rhythm), counts in drawn.items():
        keys = {"round": number_or_all, "rhythm": rhythm}
        reasons: Counter[str] = sum((Counter(of.get("reasons", {})) for of in counts), Counter())
        n, refused = sum(of["accepted"] + of["rejected"] for of in counts), sum(of["rejected"] for of in counts)
        nothing = "the round's record does not say how many samples were drawn" if (number_or_all, rhythm) in silent else "no sample was drawn"
        shares = [("rejected", refused), *((f"rejected: {reason}", number) for reason, number in sorted(reasons.items()))]
        rows += [row(keys, figure, proportions.proportion(count, n, nothing), "proportion", "samples") for figure, count in shares]
    return table(rows, ("round", "rhythm"))


# ---- groups, strata, rows ----

_RATES = (("accuracy", proportions.accuracy), ("sensitivity", proportions.sensitivity), ("specificity", proportions.specificity))


def groups(scored: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    yield {"group": "all", "name": "all", "site": None}, scored
    for site, part in scored.groupby("site", sort=True):
        yield {"group": "site", "name": site, "site": site}, part
    for (of_site, reader), part in scored.groupby(["site", "reader"], sort=True):
        yield {"group": "reader", "name": reader, "site": of_site}, part


def _with_oneself(keys: dict[str, Any], pairs: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    pooled = "" if keys["group"] == "reader" else ", the readers' pairs pooled"
    for question in QUESTIONS:
        first, second = (_codes(pairs[question.column + suffix], question) for suffix in (" before", ""))
        same = proportions.proportion(int((first == second).sum()), len(first), "no case was answered twice")
        kappa = raters.cohen(first, second, len(question.answers), weights="quadratic" if question.ordered else "nominal")
        rows.append(row({**keys, "item": question.item}, "raw agreement", same, "proportion", "repeats", pooled))
        rows.append(row({**keys, "item": question.item}, "Cohen's kappa", kappa, "coefficient", "repeats", pooled))
    return rows


def _same_group(pairs: pd.DataFrame, group: dict[str, Any]) -> pd.DataFrame:
    return pairs if group["group"] == "all" else pairs[pairs[group["group"]] == group["name"]]


def _by_rhythm(scored: pd.DataFrame) -> Iterator[tuple[dict[str, Any], str, pd.DataFrame]]:
    for group, part in groups(scored):
        for label in ("all", *RHYTHMS):
            yield group, label, part if label == "all" else part[part["label"] == label]


def _strata(part: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    yield "all", "all", part
    for arm in ARMS:
        yield arm, "all", part[part["arm"] == arm]
    for label in RHYTHMS:
        yield "all", label, part[part["label"] == label]


def by_arm(keys: dict[str, Any], part: pd.DataFrame, hit: np.ndarray, figure: str, pooled: str) -> list[dict[str, Any]]:
    rows, counts = [], {}
    for arm in ARMS:
        mine = hit[(part["arm"] == arm).to_numpy()]
        counts[arm] = int(mine.sum()), len(mine)
        estimate = proportions.proportion(*counts[arm], f"there is no such reading of a {arm} strip")
        rows.append(row({**keys, "arm": arm}, figure, estimate, "proportion", "readings", pooled))
    nothing = ("there is no such reading of a synthetic strip", "there is no such reading of a real strip")
    estimate = proportions.difference(*counts["synthetic"], *counts["real"], nothing)
    rows.append(row({**keys, "arm": "synthetic - real"}, figure, estimate, "difference of proportions", "readings", pooled))
    return rows


def _signal(part: pd.DataFrame) -> dict[str, Estimate]:
    truth = (part["arm"] == "synthetic").to_numpy()
    found = detection(truth, part["called_synthetic"].to_numpy(dtype=bool))
    return {"d'": found.d_prime, "criterion": found.criterion, "AUC": auc(truth, part["realism"].to_numpy())}


def calls_right(part: pd.DataFrame) -> np.ndarray:
    """(cases, readers) of 1 right, 0 wrong, NaN not read."""
    return matrix(part, part["called_synthetic"].to_numpy(dtype=bool) == (part["arm"] == "synthetic").to_numpy(), np.nan)


def is_synthetic(part: pd.DataFrame) -> np.ndarray:
    """(cases,) bool, in the order of `_matrix`."""
    return np.asarray(matrix(part, part["arm"] == "synthetic", 0).any(axis=1))


def matrix(part: pd.DataFrame, values: Any, missing: float) -> np.ndarray:
    """(cases, readers), cases and readers in alphabetical order of their codes; `missing` where a reader did not read a case."""
    cases, place = np.unique(part["case"].to_numpy(dtype=str), return_inverse=True)
    readers, column = np.unique(part["reader"].to_numpy(dtype=str), return_inverse=True)
    filled = np.full((len(cases), len(readers)), missing, dtype=float if np.isnan(missing) else int)
    filled[place, column] = np.asarray(values)
    return filled


def _codes(answers: pd.Series, question: Question) -> np.ndarray:
    return np.array([question.answers.index(answer) for answer in answers], dtype=int)


def row(keys: dict[str, Any], figure: str, estimate: Estimate, unit: str, counted: str, about: str = "") -> dict[str, Any]:
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n, "reason": estimate.reason}
    return {**keys, "figure": figure, **found, "unit": unit, "counted": counted, "method": estimate.method + about}


def table(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=[*keys, *FIGURES]).astype({"value": "Float64", "low": "Float64", "high": "Float64", "n": "Int64"})
    for column in ("site", "reason", "outcome"):
        if column in made:  # None, not NaN, where there is none
            made[column] = made[column].astype(object).where(made[column].notna(), None)
    return made
