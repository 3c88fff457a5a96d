"""How well the readers of a file told the arms apart: realism by reader, site and all; verdicts; and what differs between sites.

The signal is a synthetic strip. The call is the rating where its answers are `real` and `synthetic`; the AUC is the score's. Tables as in
`tables`. Formulas: `proportions`, `detection`, `readers_and_cases`, `equivalence`, `obuchowski_rockette`, `heterogeneity`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import numpy as np

from study.agreement import equivalence, proportions
from study.agreement.cut import ALL, RATING, SCORE, Cut, Stratum, row
from study.agreement.detection import auc, detection
from study.agreement.estimate import Estimate
from study.agreement.file import ARMS
from study.agreement.heterogeneity import between_sites
from study.agreement.imrmc import Ratings
from study.agreement.obuchowski_rockette import FIXED, RANDOM, Test, average, compare
from study.agreement.reader_figures import DETECTION, RATES, ReaderFigures, figures_of_calls, figures_of_scores
from study.agreement.readers_and_cases import group_average

Rows = list[dict[str, Any]]
POOLED = ", all readings taken as independent: too narrow where readers share strips"
EFFECTS = ((RANDOM, RANDOM), (FIXED, RANDOM), (RANDOM, FIXED))  # readers, cases
_RATES: tuple[tuple[str, Callable[..., Estimate]], ...] = (
    ("accuracy", proportions.accuracy),
    ("sensitivity", proportions.sensitivity),
    ("specificity", proportions.specificity),
)


def why_not(cut: Cut) -> str | None:
    """Why nothing can be held against the truth, or None."""
    if cut.readings.arm is None or not (cut.readings.arm.codes >= 0).any():
        return "the file does not say which strips are synthetic (column arm): no accuracy, AUC or verdict"
    if not calls(cut) and cut.readings.score is None:
        given = ", ".join(cut.readings.rating.names[:6]) if cut.readings.rating is not None else ""
        return f"the answers ({given}) are not real and synthetic, and there is no score: no accuracy, AUC or verdict"
    return None


def calls(cut: Cut) -> bool:
    """Whether the rating says real or synthetic, and nothing else."""
    rating = cut.readings.rating
    return rating is not None and bool(rating.names) and {name.casefold() for name in rating.names} <= set(ARMS)


def realism(cut: Cut) -> Rows:
    """Accuracy, sensitivity, specificity, balanced accuracy, d', criterion and AUC; of groups pooled, and as means of the readers' own values."""
    rows: Rows = []
    for stratum in cut.strata():
        right, truth, scores, truth_of_scores = _answers(cut, stratum)
        for r, reader in enumerate(cut.readers):
            keys = {"group": "reader", "name": reader, "site": cut.site_name(r)}
            rows += [
                row(keys, stratum, figure, one, "readings") for figure, one in _of_reader(right[:, r], truth, scores[:, r], truth_of_scores, cut)
            ]
        for group, name, members in cut.groups():
            keys = {"group": group, "name": name, "site": name if group == "site" else None}
            if calls(cut):
                read = np.isfinite(right[:, members])
                of_case = np.broadcast_to(truth[:, None], read.shape)[read]
                called = np.where(right[:, members][read] == 1, of_case, ~of_case)
                for figure, function in (*_RATES, ("balanced accuracy", proportions.balanced_accuracy)):
                    one = function(of_case, called)
                    rows.append(row(keys, stratum, figure, replace(one, method=one.method + POOLED), "readings"))
            for figures in _figures(cut, right[:, members], truth, scores[:, members], truth_of_scores):
                found = average(figures).estimate if figures.name in DETECTION else group_average(figures).estimate
                rows.append(row(keys, stratum, f"mean {figures.name}", replace(found, n=len(figures.value)), "readers"))
    return rows


def calibration(cut: Cut) -> Rows:
    """Share of synthetic strips among the readings that gave each step of the scale; all and each site. Scores must be whole numbers."""
    rows: Rows = []
    item = next((one for one in cut.items if one.name == SCORE), None)
    if item is None or any(not name.lstrip("-").isdigit() for name in item.answers):
        return rows
    steps, _cases = cut.matrix(item.codes + 1, (item.codes >= 0) & _known(cut), 0)
    truth = cut.synthetic[_cases] == 1
    for group, name, members in cut.groups():
        keys = {"group": group, "name": name, "site": name if group == "site" else None}
        read = steps[:, members] > 0
        of_case = np.broadcast_to(truth[:, None], read.shape)[read]
        for answer, one in zip(item.answers, proportions.calibration(of_case, steps[:, members][read], len(item.answers)), strict=True):
            rows.append(row({**keys, "step": answer}, Stratum(), "share synthetic", replace(one, method=one.method + POOLED), "readings"))
    return rows


def verdicts(cut: Cut, margin: float) -> Rows:
    """Equivalence to chance of each reader, each site and all: of accuracy, and of the AUC; for all strips, each rhythm, each round."""
    rows: Rows = []
    for stratum in cut.strata():
        if stratum.arm != ALL:
            continue
        right, truth, scores, truth_of_scores = _answers(cut, stratum)
        judged: list[tuple[dict[str, Any], str, equivalence.Verdict]] = []
        for group, name, members in cut.groups():
            keys = {"group": group, "name": name, "site": name if group == "site" else None}
            if int(members.sum()) == 1:  # its own verdict stands below
                continue
            if calls(cut):
                judged.append((keys, "accuracy", equivalence.of_group(right[:, members], truth, margin)))
            if cut.readings.score is not None:
                judged.append((keys, "AUC", equivalence.auc_of_group(scores[:, members], truth_of_scores, margin)))
        for r, reader in enumerate(cut.readers if stratum == Stratum() else ()):
            keys = {"group": "reader", "name": reader, "site": cut.site_name(r)}
            if calls(cut):
                judged.append((keys, "accuracy", equivalence.of_one_reader(*_called(right[:, r], truth), margin)))
            if cut.readings.score is not None:
                read = np.isfinite(scores[:, r])
                judged.append((keys, "AUC", equivalence.auc_of_one_reader(truth_of_scores[read], scores[read, r], margin)))
        for keys, judging, verdict in judged:
            told = row(keys, stratum, f"{judging} for equivalence", verdict.accuracy, "readings")
            outcome = None if verdict.outcome is None else verdict.outcome.value
            further = [{"if the truth is": one.assumed, "readings": one.readings} for one in verdict.further]
            p = {"p_equivalence": verdict.p_equivalence, "p_chance": verdict.p_chance}
            rows.append({**told, "margin": margin, "outcome": outcome, **p, "further_readings": further, "sentence": verdict.sentence})
    return rows


def inference(cut: Cut) -> dict[str, Rows]:
    """Multi-reader multi-case: means for random and fixed readers and cases against chance, differences between sites, and their tests."""
    means: Rows = []
    differences: Rows = []
    tests: Rows = []
    for stratum in cut.strata():
        if stratum.arm != ALL:
            continue
        right, truth, scores, truth_of_scores = _answers(cut, stratum)
        for figures, (readers, cases) in product(_figures(cut, right, truth, scores, truth_of_scores), EFFECTS):
            effects = {"readers": readers, "cases": cases}
            found = average(figures, readers=readers, cases=cases)
            p = found.p_value(0.5) if figures.name in ("balanced accuracy", "AUC") else None
            parts = {"freedom": found.freedom, "ms_readers": found.mean_square, "var": found.error_variance, "cov2": found.cov2}
            keys = {"group": ALL, "name": ALL, "site": None, **effects}
            means.append({**row(keys, stratum, f"mean {figures.name}", found.estimate, "readings"), "p_chance": p, **parts})
            if len(cut.sites) < 2:
                continue
            there = np.flatnonzero(np.isfinite(right if figures.name != "AUC" else scores).any(axis=0))
            placed = np.flatnonzero(cut.site_of[there] >= 0)
            names = [cut.sites[cut.site_of[there[place]]] for place in placed]
            sites = between_sites(figures.of(placed) if len(figures.value) else figures, names, readers=readers, cases=cases)
            for (first, second), one in sites.differences.items():
                keys = {"group": "between sites", "name": f"{first} - {second}", "site": None, **effects}
                differences.append(row(keys, stratum, figures.name, one, "readings"))
            keys = {"group": "between sites", "name": "spread of sites", "site": None, **effects}
            differences.append(row(keys, stratum, f"SD of {figures.name}", sites.between_sd, "sites"))
            tests.append(_test({"name": "all sites alike", **effects}, stratum, figures.name, sites.test))
    return {"reader_and_case_means": means, "site_differences": differences, "site_tests": tests}


def modalities(ratings: Ratings) -> dict[str, Rows]:
    """The AUCs of an .imrmc file's modalities read by the same readers, compared: tests, differences and means."""
    figures = figures_of_scores(ratings.side_by_side(), ratings.truth)
    tests: Rows = []
    rows: Rows = []
    names = ratings.modalities
    for readers, cases in EFFECTS:
        effects = {"readers": readers, "cases": cases}
        found = compare(figures, len(names), readers=readers, cases=cases)
        tests.append(_test({"name": "all modalities alike", **effects}, Stratum(), "AUC", found.test))
        for name, mean in zip(names, found.means, strict=True):
            rows.append(row({"group": "modality", "name": name, **effects}, Stratum(), "mean AUC", mean.estimate, "readings"))
        for (a, b), one in found.differences.items():
            rows.append(row({"group": "between modalities", "name": f"{names[a]} - {names[b]}", **effects}, Stratum(), "AUC", one, "readings"))
    return {"modality_tests": tests, "modalities": rows}


# ---- parts ----


def _known(cut: Cut) -> np.ndarray:
    """(readings,) bool: the arm is known."""
    return np.asarray(cut.synthetic[cut.case] >= 0)


def _answers(cut: Cut, stratum: Stratum) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Right (cases, readers) of 1, 0, NaN with truth (cases,) bool, and scores (cases, readers) with theirs; no cases where not asked."""
    inside = cut.where(stratum) & _known(cut)
    right, truth = np.zeros((0, len(cut.readers))), np.zeros(0, dtype=bool)
    scores, truth_of_scores = right, truth
    item = next((one for one in cut.items if one.name == RATING), None)
    if item is not None and calls(cut):
        synthetic = np.array([name.casefold() == ARMS[1] for name in item.answers])
        correct = (synthetic[item.codes] == (cut.synthetic[cut.case] == 1)).astype(float)
        right, cases = cut.matrix(correct, inside & (item.codes >= 0), np.nan)
        truth = cut.synthetic[cases] == 1
    if cut.readings.score is not None:
        scores, cases = cut.matrix(cut.readings.score, inside & np.isfinite(cut.readings.score), np.nan)
        truth_of_scores = cut.synthetic[cases] == 1
    return right, truth, scores, truth_of_scores


def _called(right: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(synthetic, called synthetic) of the readings of one reader."""
    read = np.isfinite(right)
    return truth[read], np.where(right[read] == 1, truth[read], ~truth[read])


def _of_reader(right: np.ndarray, truth: np.ndarray, scores: np.ndarray, truth_of_scores: np.ndarray, cut: Cut) -> Iterator[tuple[str, Estimate]]:
    if calls(cut):
        mine = _called(right, truth)
        for figure, function in _RATES:
            yield figure, function(*mine)
            yield f"{figure} (exact)", function(*mine, exact=True)
        yield "balanced accuracy", proportions.balanced_accuracy(*mine)
        found = detection(*mine)
        yield "d'", found.d_prime
        yield "criterion", found.criterion
    if cut.readings.score is not None:
        read = np.isfinite(scores)
        yield "AUC", auc(truth_of_scores[read], scores[read])


def _figures(cut: Cut, right: np.ndarray, truth: np.ndarray, scores: np.ndarray, truth_of_scores: np.ndarray) -> Iterator[ReaderFigures]:
    """Every figure of the readers who read at all."""
    if calls(cut):
        mine = right[:, np.isfinite(right).any(axis=0)]
        for name in (*RATES, *DETECTION):
            yield figures_of_calls(mine, truth, name)
    if cut.readings.score is not None:
        yield figures_of_scores(scores[:, np.isfinite(scores).any(axis=0)], truth_of_scores)


def _test(keys: dict[str, Any], stratum: Stratum, figure: str, test: Test) -> dict[str, Any]:
    freedom = None if test.freedom is None else list(test.freedom)
    told = {"statistic": test.statistic, "freedom": freedom, "p": test.p, "reason": test.reason, "method": test.method}
    return {**keys, **asdict(stratum), "figure": figure, **told}
