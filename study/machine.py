"""Readers and machine on the same strips: what study.machine_strips stored of each, beside what readers said of it.

Tables as in study/result_tables.py, each a pure function of the scored judgements and of what was stored; only strips that were read count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from generator.features import COLUMNS
from storage.export import StudyData
from study import utility
from study.agreement import proportions
from study.agreement.detection import auc
from study.agreement.estimate import Estimate, undefined
from study.agreement.obuchowski_rockette import compare
from study.agreement.reader_figures import figures_of_scores
from study.agreement.resampling import DRAWS, case_weights, interval
from study.protocol import RHYTHM_ANSWERS
from study.result_tables import ARMS, POOLED, RHYTHMS, by_arm, groups, is_synthetic, matrix, row, table

MACHINE = "machine"
SCORE, DISTANCE = "machine's score", "distance from real strips"
AREA, APART = "AUC, same strips", "AUC less the machine's"
RHO = "Spearman's rho"
FEWEST = 10  # strips, for a correlation
FEATURES = tuple(column for column in COLUMNS if column not in ("beats", "rr_mean"))  # which say what heart_rate says
_MACHINE_AUC = "empirical AUC of the out-of-fold probability, DeLong interval on the logit scale: these strips and this classifier, 95 %"
_CORRELATION = f"Spearman's rho, percentile bootstrap over strips ({DRAWS} samples), 95 %; these readers and this classifier"
_OF_A_READER = "Spearman's rho, interval of Bonett and Wright 2000 on Fisher's scale, 95 %"
_PAIRED = "difference of two AUCs on the same strips, DeLong's covariance, 95 %"
_UNDEFINED = "all values are alike: there is no correlation"


@dataclass(frozen=True)
class Machine:
    """What was stored of each strip by its SHA-256, and why parts of it are missing; all of it where `why` says so."""

    of: Mapping[str, Mapping[str, Any]]
    reasons: Mapping[str, str | None]
    why: str | None

    def reason(self, part: str) -> str:
        """Why a part is not there: synthetic, distance, af, training."""
        return self.why or self.reasons.get(part) or "it was not stored"

    def values(self, part: str, strips: pd.Series) -> np.ndarray:
        """(strips,) of synthetic, distance, or the distance of training; NaN where undefined."""
        found = [self.of.get(sha256, {}).get(part) for sha256 in strips]
        found = [one["distance"] if isinstance(one, Mapping) else one for one in found]
        return np.array([np.nan if one is None else one for one in found], dtype=float)

    def calls(self, strips: pd.Series) -> dict[str, np.ndarray]:
        """The rhythm that each classifier calls each strip: AF from a probability of 0.5 on."""
        found = [self.of.get(sha256, {}).get("af", {}) for sha256 in strips]
        names = list(found[0]) if found else []
        return {name: np.where(np.array([one.get(name, np.nan) for one in found]) >= 0.5, "AF", "NSR") for name in names}


def machine_of(data: StudyData) -> Machine:
    """What is stored in a study; nothing of it where it is stale or was never computed."""
    why = utility.NOT_COMPUTED if data.utility is None else utility.outdated(data)
    stored = {} if data.utility is None or why else data.utility["machine"]
    return Machine(stored.get("of", {}), stored.get("reasons", {}), why)


def tables(data: StudyData, scored: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of study.results.Results by name."""
    machine, seed = machine_of(data), data.study.seed
    return {
        "machine": areas(scored, machine),
        "suspicion": suspicion(scored, machine, seed),
        "rhythm_calls": rhythm_calls(scored, machine),
        "fooled": fooled(scored),
        "strips": strips(scored, machine),
    }


def areas(scored: pd.DataFrame, machine: Machine) -> pd.DataFrame:
    """The AUC of the machine on all strips that were read; of each reader and group of readers the AUC less the machine's on the strips they read.

    Groups: Obuchowski and Rockette's analysis, readers and strips random, the machine the same for all (study.agreement). Beside a reader's
    difference stand both areas.
    """
    each, rows = _of_strips(scored), []
    score = machine.values("synthetic", each["strip_sha256"])
    keys = {"group": MACHINE, "name": MACHINE, "site": None}
    known = bool(np.isfinite(score).any())
    own = _area((each["arm"] == "synthetic").to_numpy(), score) if known else undefined(machine.reason("synthetic"), 0, _MACHINE_AUC)
    rows.append(row(keys, AREA, own, "area", "strips"))
    by_strip = dict(zip(each["strip_sha256"], score, strict=True))
    for group, part in groups(scored):
        truth, given = is_synthetic(part), matrix(part, part["realism"].to_numpy(dtype=float), np.nan)
        other = matrix(part, [by_strip[sha256] for sha256 in part["strip_sha256"]], np.nan)
        single = given.shape[1] == 1
        if group["group"] == "reader":
            rows.append(row(group, AREA, auc(truth, given[:, 0]), "area", "readings"))
            theirs = _area(truth, other[:, 0]) if known else undefined(machine.reason("synthetic"), 0, _MACHINE_AUC)
            rows.append(row(group, f"{AREA}, machine", theirs, "area", "strips"))
        if not known:
            apart = undefined(machine.reason("synthetic"), 0, _PAIRED)
        elif single:
            apart = _paired(truth, given[:, 0], other[:, 0])
        else:
            apart = compare(figures_of_scores(np.hstack([given, other]), truth), 2).differences[0, 1] if len(part) else undefined("no case was read")
        rows.append(row(group, APART, apart, "difference of areas", "readings"))
    return table(rows, ("group", "name", "site"))


def suspicion(scored: pd.DataFrame, machine: Machine, seed: int) -> pd.DataFrame:
    """Rank correlation of suspicion (1 definitely real to 6 definitely synthetic; of all readers the mean of those who read a strip) with the
    machine's score and with the distance from real strips: over all strips, and within each arm, where the arms' own difference plays no part.
    """
    rows = []
    for group, part in groups(scored):
        if group["group"] == "site":
            continue
        mean = part.groupby(["strip_sha256", "arm"], sort=True)["realism"].mean().reset_index()
        for beside, name in ((SCORE, "synthetic"), (DISTANCE, "distance")):
            for arm in ("all", *ARMS) if group["group"] == "all" else ("all",):
                of_arm = mean if arm == "all" else mean[mean["arm"] == arm]
                other = machine.values(name, of_arm["strip_sha256"])
                known = np.isfinite(other)
                if not known.any():
                    estimate = undefined(machine.reason(name) if len(of_arm) else "no such strip was read", 0, _CORRELATION)
                else:
                    said = of_arm["realism"].to_numpy(dtype=float)[known]
                    estimate = _correlation(said, other[known], None if group["group"] == "reader" else seed)
                rows.append(row({**group, "beside": beside, "arm": arm}, RHO, estimate, "correlation", "strips"))
    return table(rows, ("group", "name", "site", "beside", "arm"))


def rhythm_calls(scored: pd.DataFrame, machine: Machine) -> pd.DataFrame:
    """Share of strips of each label that were named AF, NSR, other, unsure, by arm: by readers and by classifiers that learned from real strips."""
    rows: list[dict[str, Any]] = []
    for group, part in groups(scored):
        for label in RHYTHMS:
            of_label = part[part["label"] == label]
            for answer in RHYTHM_ANSWERS:
                hit = (of_label["rhythm"] == answer).to_numpy(dtype=bool)
                rows += by_arm({**group, "rhythm": label}, of_label, hit, f"named {answer}", "" if group["group"] == "reader" else POOLED)
    each = _of_strips(scored)
    calls = machine.calls(each["strip_sha256"])
    for name, called in calls.items():
        for label in RHYTHMS:
            here = (each["label"] == label).to_numpy()
            for answer in RHYTHMS:
                keys = {"group": "classifier", "name": name, "site": None, "rhythm": label}
                found = by_arm(keys, each[here], called[here] == answer, f"named {answer}", "")
                rows += [{**one, "counted": "strips"} for one in found]
    if not calls:
        keys = {"group": "classifier", "name": "classifiers", "site": None}
        nothing = undefined(machine.reason("af"))
        for label in RHYTHMS:
            rows += [row({**keys, "rhythm": label, "arm": arm}, f"named {label}", nothing, "proportion", "strips") for arm in ARMS]
    return table(rows, ("group", "name", "site", "rhythm", "arm"))


def fooled(scored: pd.DataFrame) -> pd.DataFrame:
    """Share of the strips that two or more readers read which every one of them took for the other arm, and which none did, by arm.

    Beside each what readers who err independently of each other, each at their own rate in that arm, would come to.
    """
    wrong = scored["called_synthetic"].astype(bool) != (scored["arm"] == "synthetic")
    table_ = scored.assign(wrong=wrong)
    rows = []
    for arm in ARMS:
        part = table_[table_["arm"] == arm]
        of_strip = part.groupby("strip_sha256")["wrong"].agg(["sum", "count"])
        of_strip = of_strip[of_strip["count"] > 1]
        read = part.assign(rate=part.groupby("reader")["wrong"].transform("mean"))
        read = read[read["strip_sha256"].isin(of_strip.index)]
        keys = {"group": "all", "name": "all", "site": None, "arm": arm}
        n, nothing = len(of_strip), f"no {arm} strip was read by two readers"
        for figure, hits, chance in (
            ("fooled every reader", of_strip["sum"] == of_strip["count"], read["rate"]),
            ("fooled no reader", of_strip["sum"] == 0, 1 - read["rate"]),
        ):
            rows.append(row(keys, figure, proportions.proportion(int(hits.sum()), n, nothing), "proportion", "strips"))
            expected = undefined(nothing)
            if n:
                value = float(chance.groupby(read["strip_sha256"]).prod().mean())
                method = "mean over strips of the product of the readers' own rates in that arm"
                expected = Estimate(value, None, None, n, "an expectation has no interval", method)
            rows.append(row(keys, f"{figure}, if readers erred independently", expected, "proportion", "strips"))
    return table(rows, ("group", "name", "site", "arm"))


def strips(scored: pd.DataFrame, machine: Machine) -> pd.DataFrame:
    """Every scored strip that was read, a row each: case, round, arm, label, readers, wrong (readers who took it for the other arm), suspicion
    (their mean on the six-point scale), machine (probability of synthetic), distance (from real strips), training (distance of the nearest
    training strip); <NA> where undefined.
    """
    each = _of_strips(scored)
    wrong = (scored["called_synthetic"].astype(bool) != (scored["arm"] == "synthetic")).groupby(scored["case"]).sum()
    made = each[["case", "round", "arm", "label", "strip_sha256"]].assign(
        readers=each["case"].map(scored.groupby("case").size()),
        wrong=each["case"].map(wrong),
        suspicion=each["case"].map(scored.groupby("case")["realism"].mean()),
        machine=machine.values("synthetic", each["strip_sha256"]),
        distance=machine.values("distance", each["strip_sha256"]),
        training=machine.values("training", each["strip_sha256"]),
    )
    kinds = {"readers": "Int64", "wrong": "Int64", "suspicion": "Float64", "machine": "Float64", "distance": "Float64", "training": "Float64"}
    return made.astype(kinds).sort_values("case", ignore_index=True)


def curve(found: pd.DataFrame) -> list[tuple[float, float]]:
    """The machine's empirical ROC over `strips`: (1 - specificity, sensitivity), corners alone; empty without both arms."""
    known = found[found["machine"].notna()]
    truth, score = (known["arm"] == "synthetic").to_numpy(), known["machine"].to_numpy(dtype=float)
    if truth.all() or not truth.any():
        return []
    counts = [(0, 0), *((int((score[~truth] >= at).sum()), int((score[truth] >= at).sum())) for at in np.unique(score)[::-1])]
    corners = [counts[0]]
    for here, after in zip(counts[1:], [*counts[2:], None], strict=True):
        before = corners[-1]
        if after is None or (here[0] - before[0]) * (after[1] - here[1]) != (after[0] - here[0]) * (here[1] - before[1]):
            corners.append(here)
    return [(real / int((~truth).sum()), synthetic / int(truth.sum())) for real, synthetic in corners]


# ---- parts ----


def _of_strips(scored: pd.DataFrame) -> pd.DataFrame:
    """A row a scored strip that was read."""
    return scored.drop_duplicates("case").sort_values("case", ignore_index=True)


def _area(truth: np.ndarray, score: np.ndarray) -> Estimate:
    known = np.isfinite(score)
    found = auc(truth[known], score[known])
    return Estimate(found.value, found.low, found.high, found.n, found.reason, _MACHINE_AUC, found.se)


def _paired(truth: np.ndarray, mine: np.ndarray, other: np.ndarray) -> Estimate:
    figures = figures_of_scores(np.column_stack([mine, other]), truth)
    n = int(np.isfinite(mine).sum())
    if len(figures.value) == 0:
        return undefined(figures.reason or "no case was read", n, _PAIRED)
    value = float(figures.value[0] - figures.value[1])
    if figures.covariance is None:
        return Estimate(value, None, None, n, figures.reason, _PAIRED)
    variance = float(figures.covariance[0, 0] + figures.covariance[1, 1] - 2 * figures.covariance[0, 1])
    if variance <= 1e-20:
        return Estimate(value, None, None, n, "the difference does not vary over these strips: no interval", _PAIRED)
    half = float(stats.norm.ppf(0.975)) * float(np.sqrt(variance))
    return Estimate(value, max(value - half, -1.0), min(value + half, 1.0), n, None, _PAIRED, half / float(stats.norm.ppf(0.975)))


def _correlation(one: np.ndarray, other: np.ndarray, seed: int | None) -> Estimate:
    """seed: of the bootstrap; None: the interval of Bonett and Wright 2000 (Psychometrika 65:23), which takes no time for many readers."""
    n, method = len(one), _CORRELATION if seed is not None else _OF_A_READER
    if n < FEWEST:
        return undefined(f"fewer than {FEWEST} strips: no correlation", n, method)
    value = float(_rho(one[None], other[None])[0])
    if not np.isfinite(value):
        return undefined(_UNDEFINED, n, method)
    if seed is None:
        if abs(value) > 1 - 1e-12:
            return Estimate(value, None, None, n, "the ranks are the same throughout: no interval", method)
        half = float(stats.norm.ppf(0.975)) * float(np.sqrt((1 + value**2 / 2) / (n - 3)))
        return Estimate(value, float(np.tanh(np.arctanh(value) - half)), float(np.tanh(np.arctanh(value) + half)), n, None, method)
    times = case_weights(n, seed, DRAWS, "suspicion")
    drawn = np.repeat(np.tile(np.arange(n), DRAWS), times.T.ravel()).reshape(DRAWS, n)
    return interval(value, _rho(one[drawn], other[drawn]), n, method)


def _rho(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's rho of each row, (rows, strips) each; NaN where a row is constant. Ties get midranks."""
    ranks = [np.asarray(stats.rankdata(values, axis=1)) for values in (one, other)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(scale > 0, (centred[0] * centred[1]).sum(axis=1) / scale, np.nan))
