"""Comparisons on the results page: sites with each other, steps of the scale with the truth, rounds with the first one, leads that were marked.

Tables as in study/result_tables.py, each a pure function of the scored judgements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from generator.leads import LEADS
from study.agreement import proportions
from study.agreement.estimate import Estimate, undefined
from study.agreement.heterogeneity import between_sites
from study.agreement.reader_figures import ReaderFigures
from study.agreement.readers_and_cases import calls_of_group, scores_of_group
from study.protocol import SCALE
from study.result_tables import ARMS, POOLED, by_arm, calls_right, groups, is_synthetic, matrix, row, table

_RATES = ("balanced accuracy", "sensitivity", "specificity")


def sites(scored: pd.DataFrame) -> pd.DataFrame:
    """Differences between every two sites and a test that all are alike, readers nested in sites, readers and cases random.

    Obuchowski and Rockette 1995, Hillis 2014: study.agreement.heterogeneity. `name` is "A - B", or "all sites"; n counts readers.
    """
    rows: list[dict[str, Any]] = []
    keys = {"group": "between sites", "site": None}
    place = dict(zip(scored["reader"], scored["site"], strict=True))
    of_reader = [place[reader] for reader in np.unique(scored["reader"].to_numpy(dtype=str))]
    if len(set(of_reader)) < 2:
        nothing = undefined("there is one site: nothing to compare" if of_reader else "no case was read", len(of_reader))
        return table([row({**keys, "name": "all sites"}, "difference between sites", nothing, "proportion", "readers")], ("group", "name", "site"))
    for figures in _figures(scored):
        found = between_sites(figures, of_reader)
        for (one, other), estimate in found.differences.items():
            rows.append(row({**keys, "name": f"{one} - {other}"}, f"difference of {figures.name}", estimate, "proportion", "readings"))
        rows.append(row({**keys, "name": "all sites"}, f"standard deviation of sites, {figures.name}", found.between_sd, "proportion", "sites"))
        test = found.test
        p = undefined(test.reason or "the test is undefined", len(of_reader), test.method)
        if test.p is not None:
            p = Estimate(test.p, None, None, len(of_reader), "a probability has no interval", test.method)
        rows.append(row({**keys, "name": "all sites"}, f"p of all sites alike, {figures.name}", p, "probability", "readers"))
    return table(rows, ("group", "name", "site"))


def calibration(scored: pd.DataFrame) -> pd.DataFrame:
    """Share of truly synthetic strips among the readings that gave each step of the scale: it rises with the step for a reader who can tell."""
    rows = []
    for group, part in groups(scored):
        shares = proportions.calibration((part["arm"] == "synthetic").to_numpy(), part["realism"].to_numpy(dtype=int), len(SCALE))
        about = "" if group["group"] == "reader" else POOLED
        for step, estimate in enumerate(shares, start=1):
            rows.append(row({**group, "step": step}, "truly synthetic", estimate, "proportion", "readings", about))
    return table(rows, ("group", "name", "site", "step"))


def learning(scored: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in each round, and what it is more than in the first; with other strips in each round, so not of learning alone."""
    rows = []
    numbers = sorted(scored["round"].unique())
    for group, part in groups(scored):
        about = "" if group["group"] == "reader" else POOLED
        hits = part["called_synthetic"].to_numpy(dtype=bool) == (part["arm"] == "synthetic").to_numpy()
        counts = {number: (int(hits[of].sum()), int(of.sum())) for number in numbers for of in [(part["round"] == number).to_numpy()]}
        for number in numbers:
            share = proportions.proportion(*counts[number], f"nothing of round {number} was read")
            rows.append(row({**group, "round": str(number)}, "accuracy", share, "proportion", "readings", about))
        for number in numbers[1:]:
            nothing = (f"nothing of round {number} was read", f"nothing of round {numbers[0]} was read")
            more = proportions.difference(*counts[number], *counts[numbers[0]], nothing)
            rows.append(row({**group, "round": f"{number} - {numbers[0]}"}, "accuracy", more, "difference of proportions", "readings", about))
    return table(rows, ("group", "name", "site", "round"))


def marks(scored: pd.DataFrame) -> pd.DataFrame:
    """Share of the readings in which a region of a lead was marked as the cue, by lead and arm, with the arms' difference."""
    rows = []
    for group, part in groups(scored):
        if group["group"] != "reader":
            for lead in LEADS:
                marked = np.array([any(mark["lead"] == lead for mark in listed) for listed in part["marks"]], dtype=bool)
                rows += by_arm({**group, "lead": lead}, part, marked, "marked", POOLED)
    return table(rows, ("group", "name", "site", "lead", "arm"))


def curves(scored: pd.DataFrame) -> dict[str, list[tuple[float, float]]]:
    """Empirical ROC of each reader and of all readings: (1 - specificity, sensitivity) from the strictest to the laxest step of the scale.

    A reader without strips of both arms has none. The curve of all pools readings, for the eye alone: its area is no reader's.
    """
    found = {}
    parts = [("all readings", scored), *((str(name), part) for name, part in scored.groupby("reader", sort=True))]
    for name, part in parts:
        given = {arm: part.loc[part["arm"] == arm, "realism"].to_numpy(dtype=int) for arm in ARMS}
        if all(len(of) for of in given.values()):
            steps = range(len(SCALE), 0, -1)
            found[name] = [(0.0, 0.0), *((float((given["real"] >= at).mean()), float((given["synthetic"] >= at).mean())) for at in steps)]
    return found


def _figures(scored: pd.DataFrame) -> list[ReaderFigures]:
    hits, arms = calls_right(scored), is_synthetic(scored)
    scores = matrix(scored, scored["realism"].to_numpy(dtype=float), np.nan)
    return [*(calls_of_group(hits, arms, figure) for figure in _RATES), scores_of_group(scores, arms)]
