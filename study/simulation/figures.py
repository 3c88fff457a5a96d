"""The figures of a simulated study beside what was planted: read off the results' tables, or computed at once for hundreds of studies.

Each figure has two ways in, `from_results` and `quick`; a test holds one to the other. Its truth is that of new readers where the interval
speaks of new readers, and that of the study's own readers where it speaks of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from storage.export import StudyData
from study import result_tables
from study.agreement import proportions, raters
from study.agreement.coefficients import Found
from study.agreement.detection import auc
from study.agreement.estimate import Estimate
from study.agreement.heterogeneity import between_sites
from study.agreement.obuchowski_rockette import average
from study.agreement.readers_and_cases import calls_of_group, clustered, group_average, mean_of_readers, signal_of_readers
from study.judgements import FIRST_SYNTHETIC, judgement_table, reader_codes
from study.results import Results, records
from study.simulation import truth
from study.simulation.model import Planted, Readers
from study.simulation.truth import REAL, SYNTHETIC, Agreement, Truth

NEW, THESE = "new readers", "these readers"
ITEM = "real or synthetic"


@dataclass(frozen=True)
class Compared:
    """A figure that was found, and what it should be."""

    figure: str
    name: str  # all, a reader's code, two sites
    truth_of: str  # NEW or THESE
    planted: float
    found: float | None
    low: float | None
    high: float | None
    level: float
    claimed: bool  # the interval says that it covers this truth

    @property
    def covered(self) -> bool | None:
        """None where there is no interval."""
        return None if self.low is None or self.high is None else self.low - 1e-9 <= self.planted <= self.high + 1e-9


@dataclass(frozen=True)
class Study:
    """One simulated study as its figures need it."""

    data: StudyData
    planted: Planted
    readers: Readers  # in order of their ids
    new: Truth  # of_new_readers(planted): shared by many studies

    @cached_property
    def these(self) -> Truth:
        return truth.of_these_readers(self.planted, self.readers)

    @cached_property
    def _latest(self) -> pd.DataFrame:
        return judgement_table(self.data)

    @cached_property
    def scored(self) -> pd.DataFrame:
        return self._latest[self._latest["role"] == "scored"]

    @cached_property
    def again(self) -> pd.DataFrame:
        return self._latest[self._latest["role"] == "repeat"]

    @cached_property
    def right(self) -> np.ndarray:
        return result_tables.calls_right(self.scored)

    @cached_property
    def synthetic(self) -> np.ndarray:
        return result_tables.is_synthetic(self.scored)

    @cached_property
    def signal(self) -> dict[str, Estimate]:
        steps = result_tables.matrix(self.scored, self.scored["realism"], 0)
        return signal_of_readers(steps, self.synthetic, FIRST_SYNTHETIC)

    @cached_property
    def coefficients(self) -> dict[str, Found]:
        """Of the call, by arm."""
        called = np.where(self.synthetic[:, None], self.right, 1 - self.right).astype(int)
        of = {"all": np.ones_like(self.synthetic), "real": ~self.synthetic, "synthetic": self.synthetic}
        return {arm: raters.all_coefficients(called[cases], 2, seed=self.data.study.seed, label=arm) for arm, cases in of.items()}

    def agreement(self, kind: str, arm: str) -> Agreement:
        """The planted one, between two NEW or THESE readers."""
        real, synthetic = (self.new if kind == NEW else self.these).between
        return {"all": real.mixed(synthetic, 0.5), "real": real, "synthetic": synthetic}[arm]

    def repeated(self) -> Agreement:
        """These readers with themselves, on the strips that were repeated."""
        real, synthetic = self.these.within
        return real.mixed(synthetic, float((self.again["arm"] == "synthetic").mean()))

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Calls of the cases that were repeated, and of their repeats: readers one after the other."""
        first = dict(zip(zip(self.scored["reader"], self.scored["case"], strict=True), self.scored["called_synthetic"], strict=True))
        before = [first[key] for key in zip(self.again["reader"], self.again["repeat_of"], strict=True)]
        return np.array(before, dtype=int), self.again["called_synthetic"].to_numpy(dtype=int)

    def own(self, values: np.ndarray) -> dict[str, float]:
        """Values of the readers, in order of their ids, by code."""
        codes = reader_codes(self.data)
        return {codes[reader]: float(value) for reader, value in zip(sorted(codes), values, strict=True)}

    def of_each_reader(self, figure: Callable[[np.ndarray, pd.DataFrame], Estimate]) -> dict[str, Estimate]:
        """figure(arms, judgements) of each reader, by code."""
        return {str(code): figure((part["arm"] == "synthetic").to_numpy(), part) for code, part in self.scored.groupby("reader")}


@dataclass(frozen=True)
class Figure:
    """A figure of the results: where its rows stand, what they should say, and how they are computed. Estimates and truths go by `name`."""

    figure: str
    table: str | None  # of Results; None: of `blindstrip agreement` alone
    where: dict[str, Any]
    truth_of: str
    planted: Callable[[Study, str], float]
    estimates: Callable[[Study], dict[str, Estimate]]
    claimed: bool = True
    resampled: bool = False
    level: float = 0.95

    def from_results(self, study: Study, found: Results) -> Iterator[Compared]:
        if self.table is None:
            yield from self.quick(study)
            return
        if self.table == "repeats" and not len(study.again):  # nothing was planted
            return
        for row in records(getattr(found, self.table), **self.where):
            yield self._compared(study, row["name"], row["value"], row["low"], row["high"])

    def quick(self, study: Study) -> Iterator[Compared]:
        for name, one in self.estimates(study).items():
            yield self._compared(study, name, one.value, one.low, one.high)

    def _compared(self, study: Study, name: str, value: float | None, low: float | None, high: float | None) -> Compared:
        return Compared(self.figure, name, self.truth_of, self.planted(study, name), value, low, high, self.level, self.claimed)


def from_results(study: Study, found: Results, *, resampled: bool = True) -> list[Compared]:
    """As the results page and `blindstrip results` show them. resampled=False leaves out what is bootstrapped."""
    return [one for figure in FIGURES if resampled or not figure.resampled for one in figure.from_results(study, found)]


def quick(study: Study, *, resampled: bool = True) -> list[Compared]:
    """The same from the judgements alone."""
    return [one for figure in FIGURES if resampled or not figure.resampled for one in figure.quick(study)]


# ---- the figures ----

_ALL = {"group": "all", "name": "all"}


def _realism(figure: str, planted: Callable[[Truth], float], estimate: Callable[[Study], Estimate], **more: Any) -> Figure:
    where = {**_ALL, "rhythm": "all", "figure": figure}
    return Figure(figure, "realism", where, NEW, lambda study, _name: planted(study.new), lambda study: {"all": estimate(study)}, **more)


def _pooled(rate: Callable[..., Estimate]) -> Callable[[Study], Estimate]:
    return lambda study: rate((study.scored["arm"] == "synthetic").to_numpy(), study.scored["called_synthetic"].to_numpy(dtype=bool))


def _clustered(arm: str | None) -> Callable[[Study], Estimate]:
    def estimate(study: Study) -> Estimate:
        cases = slice(None) if arm is None else study.synthetic if arm == "synthetic" else ~study.synthetic
        return clustered(study.right[cases], seed=study.data.study.seed)

    return estimate


def _agreement(figure: str, arm: str, kind: str, value: Callable[[Agreement], float]) -> Figure:
    where = {**_ALL, "item": ITEM, "arm": arm, "rhythm": "all", "figure": figure}
    words = "all strips" if arm == "all" else f"{arm} strips"
    return Figure(
        f"{figure}, {words}",
        "agreement",
        where,
        kind,
        lambda study, _name: value(study.agreement(kind, arm)),
        lambda study: {"all": study.coefficients[arm].estimates[figure]},
        claimed=kind == THESE and (arm == "all" or figure != raters.FLEISS),  # kappas of half the cases fall short
        resampled=True,
    )


def _difference(figure: str, value: Callable[[Agreement], float]) -> Figure:
    where = {**_ALL, "item": ITEM, "arm": "synthetic - real", "rhythm": "all", "figure": figure}

    def apart(study: Study) -> dict[str, Estimate]:
        found = study.coefficients
        return {"all": raters.arms_apart(found["synthetic"], found["real"], ("synthetic", "real"))[figure]}

    def planted(study: Study, _name: str) -> float:
        return value(study.these.between[SYNTHETIC]) - value(study.these.between[REAL])

    return Figure(f"{figure}, synthetic - real", "agreement", where, THESE, planted, apart, resampled=True)


def _repeats(figure: str, value: Callable[[Agreement], float], estimate: Callable[[np.ndarray, np.ndarray], Estimate]) -> Figure:
    where = {**_ALL, "item": ITEM, "apart": "all", "rhythm": "all", "figure": figure}

    def estimates(study: Study) -> dict[str, Estimate]:
        return {"all": estimate(*study.pairs)} if len(study.again) else {}

    def planted(study: Study, _name: str) -> float:
        return value(study.repeated())

    # readings of the same strips are pooled as if they were independent
    return Figure(f"{figure} with oneself, pooled", "repeats", where, THESE, planted, estimates, claimed=False)


def _of_each_reader(figure: str, planted: Callable[[Readers], np.ndarray], estimate: Callable[[np.ndarray, pd.DataFrame], Estimate]) -> Figure:
    where = {"group": "reader", "rhythm": "all", "figure": figure}
    return Figure(
        f"{figure}, each reader's own",
        "realism",
        where,
        THESE,
        lambda study, name: study.own(planted(study.readers))[name],
        lambda study: study.of_each_reader(estimate),
    )


def _site_differences(study: Study) -> dict[str, Estimate]:
    by_reader = study.scored.groupby("reader")["site"].first()
    places = [str(by_reader[code]) for code in sorted(by_reader.index)]
    if len(set(places)) < 2:
        return {}
    found = between_sites(calls_of_group(study.right, study.synthetic), places)
    return {f"{one} - {other}": estimate for (one, other), estimate in found.differences.items()}


def _rhythm_right(study: Study) -> dict[str, Estimate]:
    hits = (study.scored["rhythm"] == study.scored["label"]).to_numpy()[(study.scored["arm"] == "real").to_numpy()]
    return {"all": proportions.proportion(int(hits.sum()), len(hits), "there is no such reading of a real strip")}


_COEFFICIENTS: tuple[tuple[str, Callable[[Agreement], float]], ...] = (
    (raters.RAW, lambda one: one.raw),
    ("Gwet's AC1", lambda one: one.ac1),
    (raters.FLEISS, lambda one: one.kappa),
)

FIGURES = (
    Figure(
        "mean balanced accuracy",
        None,
        {},
        NEW,
        lambda study, _name: study.new.accuracy,
        lambda study: {"all": mean_of_readers(study.right, study.synthetic)},
    ),
    Figure(
        "mean balanced accuracy, plain",  # as published, where readers who are alike by chance make the mean too certain
        None,
        {},
        NEW,
        lambda study, _name: study.new.accuracy,
        lambda study: {"all": average(calls_of_group(study.right, study.synthetic)).estimate},
        claimed=False,
    ),
    Figure(
        "accuracy for equivalence",
        "verdicts",
        _ALL,
        NEW,
        lambda study, _name: study.new.accuracy,
        lambda study: {"all": group_average(calls_of_group(study.right, study.synthetic), level=0.90).estimate},
        level=0.90,
    ),
    _realism("AUC", lambda of: of.auc, lambda study: study.signal["AUC"]),
    _realism("d'", lambda of: of.d_prime, lambda study: study.signal["d'"]),
    _realism("criterion", lambda of: of.criterion, lambda study: study.signal["criterion"]),
    _realism("accuracy (clustered)", lambda of: of.accuracy, _clustered(None), resampled=True, claimed=False),
    _realism("sensitivity (clustered)", lambda of: of.sensitivity, _clustered("synthetic"), resampled=True, claimed=False),
    _realism("specificity (clustered)", lambda of: of.specificity, _clustered("real"), resampled=True, claimed=False),
    _realism("accuracy", lambda of: of.accuracy, _pooled(proportions.accuracy), claimed=False),
    _realism("sensitivity", lambda of: of.sensitivity, _pooled(proportions.sensitivity), claimed=False),
    _realism("specificity", lambda of: of.specificity, _pooled(proportions.specificity), claimed=False),
    *(_agreement(name, arm, THESE, value) for name, value in _COEFFICIENTS for arm in ("all", "real", "synthetic")),
    *(_difference(name, value) for name, value in _COEFFICIENTS),
    *(_agreement(name, "all", NEW, value) for name, value in _COEFFICIENTS),
    _repeats(raters.RAW, lambda one: one.raw, lambda a, b: proportions.proportion(int((a == b).sum()), len(a), "no case was answered twice")),
    _repeats(raters.COHEN, lambda one: one.kappa, lambda a, b: raters.cohen(a, b, 2)),
    _of_each_reader("accuracy", truth.accuracies, lambda arms, part: proportions.accuracy(arms, part["called_synthetic"].to_numpy(dtype=bool))),
    _of_each_reader("AUC", truth.aucs, lambda arms, part: auc(arms, part["realism"].to_numpy())),
    Figure(
        "difference of balanced accuracy", "sites", {"figure": "difference of balanced accuracy"}, NEW, lambda _study, _name: 0.0, _site_differences
    ),
    Figure(
        "rhythm right, real strips",
        "rhythm",
        {**_ALL, "rhythm": "all", "arm": "real", "figure": "rhythm right"},
        NEW,
        lambda study, _name: study.new.rhythm_right,
        _rhythm_right,
    ),
)
