"""The experiments: which strips train, which test, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from generator.errors import GeneratorError
from generator.features import features
from generator.strip import Counts
from generator.utility.classifiers import CLASSIFIERS, NETWORK, RHYTHMS, Arm, Array, Fit, cross_validated, on_features, on_samples
from generator.utility.figures import RESAMPLES, ends, f1, figures, resampled, turns, undefined

if TYPE_CHECKING:
    from generator.quality.network import Settings

EXPERIMENTS = ("TRTR", "TSTR", "TRTS", "TSTS")
HELD_OUT = (*EXPERIMENTS, "TRSTR")  # with sets apart there is also: train on real and synthetic together, test on real
INTERVALS_AND_RR = (
    *("rr_mean", "rr_sd", "rr_cv", "rr_rmssd", "rr_pnn50"),
    *("p_amplitude", "p_coherence", "p_energy"),
    *("qrs_width", "qt", "qtc"),
)
_RATIO_KEY = 1000  # of the ratios' own random numbers

Told = Callable[[float], None]  # the share that is done


class UtilityError(GeneratorError):
    """Tables that cannot be compared: a missing column, an unknown rhythm, a patient on both sides of a split."""


def labelled(counts: NDArray[np.integer], rhythms: Sequence[str], patients: Sequence[str] | None = None) -> pd.DataFrame:
    """The feature table of strips (n, 8, 1000) with the columns `rhythm` and `patient`, as `utility` takes it.

    Without patients (synthetic strips) every strip is its own.
    """
    table = features(counts)
    names = [f"strip {i}" for i in range(len(table))] if patients is None else [str(patient) for patient in patients]
    if len(rhythms) != len(table) or len(names) != len(table):
        raise UtilityError(f"{len(table)} strips, {len(rhythms)} rhythms, {len(names)} patients: give one of each for every strip.")
    return table.assign(rhythm=list(rhythms), patient=names)


def utility(
    train_real: pd.DataFrame,
    test_real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    seed: int,
    columns: Sequence[str] = INTERVALS_AND_RR,
    seeds: int = 1,
    counts: tuple[Counts, Counts, Counts] | None = None,
    network: Settings | None = None,
    told: Told | None = None,
) -> dict[str, Any]:
    """Held-out sets: TRTR trains on train_real and tests on test_real, TSTR on synthetic and test_real, TRTS on train_real and synthetic, TRSTR on
    train_real with synthetic and test_real. TSTS is cross-validated within synthetic.

    Tables are those of `labelled`; counts: their strips in the same order, with which NETWORK is a third classifier (network: its settings).
    Each classifier is trained `seeds` times. The result is JSON-able: for each of HELD_OUT and each classifier the figures of
    `generator.utility.figures` with their intervals (95 %, bootstrap over test patients and over seeds), `n`, `prevalence` of AF, and `reason`
    where one of them is None or an interval without width; beside them `headline` (TSTR / TRTR of each classifier), `seed`, `seeds`, `columns`,
    `versions`. Raises UtilityError, also where a patient is in both real sets.
    """
    tables = {"train_real": train_real, "test_real": test_real, "synthetic": synthetic}
    for name, table in tables.items():
        _check(table, columns, name)
    shared = sorted(set(train_real["patient"].astype(str)) & set(test_real["patient"].astype(str)))
    if shared:
        raise UtilityError(f"{len(shared)} patients are in both real sets ({', '.join(shared[:3])} ...). Split by patient.")
    arms = {name: Arm(table, of) for (name, table), of in zip(tables.items(), counts or (None, None, None), strict=True)}
    real, test, drawn = arms.values()
    plans = {"TRTR": (real, test), "TSTR": (drawn, test), "TRTS": (real, drawn), "TSTS": (drawn, None), "TRSTR": (real.with_more(drawn), test)}
    return _Run(plans, seed, seeds, columns, None if counts is None else on_samples(network), told).result()


def utility_of_study(real: pd.DataFrame, synthetic: pd.DataFrame, *, seed: int, columns: Sequence[str] = INTERVALS_AND_RR) -> dict[str, Any]:
    """The strips of one study: TSTR and TRTS train on all of one arm and test on all of the other.

    TRTR and TSTS are cross-validated within their arm, never with one patient on both sides. The result is as from `utility`, without the network
    and with EXPERIMENTS alone; a study of few strips gets wide intervals, and reasons where a figure cannot be had.
    """
    _check(real, columns, "real")
    _check(synthetic, columns, "synthetic")
    recorded, drawn = Arm(real), Arm(synthetic)
    plans = {"TRTR": (recorded, None), "TSTR": (drawn, recorded), "TRTS": (recorded, drawn), "TSTS": (drawn, None)}
    return _Run(plans, seed, 1, columns, None, None).result()


def as_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row an experiment and classifier: macro F1 with interval, F1 of each rhythm, the other figures, strips, reason."""
    rows = []
    for experiment in HELD_OUT:
        for classifier, figure in result.get(experiment, {}).items():
            low, high = figure["ci"] or (None, None)
            row = {"experiment": experiment, "classifier": classifier, "macro_f1": figure["macro_f1"], "low": low, "high": high}
            row |= {f"f1_{rhythm}": figure["f1"][rhythm] for rhythm in RHYTHMS}
            row |= {name: figure[name] for name in ("auroc", "average_precision", "balanced_accuracy", "brier")}
            rows.append(
                row | {"n_train": sum(figure["n"]["train"].values()), "n_test": sum(figure["n"]["test"].values()), "reason": figure["reason"]}
            )
    return pd.DataFrame(rows)


Plans = dict[str, tuple[Arm, Arm | None]]  # without an arm to test on: cross-validation


def _check(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    missing = [column for column in (*columns, "rhythm", "patient") if column not in table.columns]
    if missing:
        raise UtilityError(f"{name}: no column {', '.join(missing)}. Make the table with generator.utility.labelled.")
    unknown = sorted(set(table["rhythm"]) - set(RHYTHMS))
    if unknown:
        raise UtilityError(f"{name}: rhythm {', '.join(map(str, unknown))} is unknown; {' or '.join(RHYTHMS)} is wanted.")


@dataclass
class _Run:
    """All experiments of one call. Random numbers are keyed by experiment and classifier: another classifier changes no other figure."""

    plans: Plans
    seed: int
    seeds: int
    columns: Sequence[str]
    network: Fit | None
    told: Told | None
    fitted: int = 0
    models: int = 0

    def result(self) -> dict[str, Any]:
        fits = {classifier: on_features(classifier, self.columns) for classifier in CLASSIFIERS}
        if self.network is not None:
            fits[NETWORK] = self.network
        self.models = len(fits) * self.seeds * sum(1 if test is not None else 5 for _, test in self.plans.values())
        found: dict[str, Any] = {experiment: {} for experiment in self.plans}
        scores: dict[tuple[str, str], Array] = {}
        with threadpool_limits(1):  # small tables: threads that wait for a busy core cost a hundred times what they save
            for experiment, (train, test) in self.plans.items():
                for classifier, fit in fits.items():
                    figure, score = self._experiment(train, test, fit, self._child(experiment, classifier), shared=classifier == NETWORK)
                    found[experiment][classifier] = figure
                    if score is not None:
                        scores[experiment, classifier] = score
            headline = {classifier: self._headline(k, classifier, found, scores) for k, classifier in enumerate(fits)}
        ratio = {classifier: one["value"] for classifier, one in headline.items()}
        packages = ("blindstrip", "scikit-learn", "numpy", "pandas", *(("torch",) if self.network else ()))
        told = {"seed": self.seed, "seeds": self.seeds, "columns": list(self.columns), "resamples": RESAMPLES}
        return found | {"headline": headline, "tstr_over_trtr": ratio} | told | {"versions": {package: version(package) for package in packages}}

    def _child(self, experiment: str, classifier: str) -> np.random.SeedSequence:
        """Keys 0 to 7 are EXPERIMENTS by CLASSIFIERS, as they were before there was more."""
        place = HELD_OUT.index(experiment)
        key = 100 + place if classifier == NETWORK else place * len(CLASSIFIERS) + CLASSIFIERS.index(classifier)
        return np.random.SeedSequence(self.seed, spawn_key=(key,))

    def _experiment(self, train: Arm, test: Arm | None, fit: Fit, child: np.random.SeedSequence, shared: bool) -> tuple[dict[str, Any], Array | None]:
        """shared: all experiments train with the same seeds, so that a network trained once is tested on several arms."""
        tested = train if test is None else test
        figure = undefined() | {"method": "cross-validation by patient" if test is None else "separate sets"}
        figure["n"] = {"train": _sizes(train), "test": _sizes(tested), "test_patients": int(tested.table["patient"].nunique())}
        figure["prevalence"] = {name: float(arm.fibrillates.mean()) if len(arm.table) else None for name, arm in (("train", train), ("test", tested))}
        reason = _impossible(train, test)
        if reason:
            return figure | {"reason": reason}, None
        rng = np.random.default_rng(child)
        first, more = int(rng.integers(2**31)), np.random.default_rng(child.spawn(1)[0]).integers(2**31, size=self.seeds - 1)
        chosen = np.random.default_rng([self.seed, _RATIO_KEY]).integers(2**31, size=self.seeds) if shared else [first, *more]
        score = np.stack([self._scores(train, test, fit, int(one)) for one in chosen])
        return figure | figures(tested.fibrillates, score, tested.table["patient"].to_numpy(), rng), score

    def _scores(self, train: Arm, test: Arm | None, fit: Fit, seed: int) -> Array:
        if test is None:
            return cross_validated(train, fit, seed, self._done)
        score = fit(train, seed)(test)
        self._done()
        return score

    def _done(self) -> None:
        self.fitted += 1
        if self.told is not None:
            self.told(min(self.fitted / self.models, 1.0))

    def _headline(self, place: int, classifier: str, found: dict[str, Any], scores: dict[tuple[str, str], Array]) -> dict[str, Any]:
        """Macro F1 of TSTR over that of TRTR, both on the same real strips and in each resample of the same patients."""
        part, whole = (found[experiment][classifier]["macro_f1"] for experiment in ("TSTR", "TRTR"))
        if part is None or not whole:
            why = next((found[name][classifier]["reason"] for name in ("TSTR", "TRTR") if found[name][classifier]["reason"]), "TRTR is 0")
            return {"value": None, "ci": None, "reason": why}
        tested = self.plans["TSTR"][1]
        assert tested is not None
        truth = tested.fibrillates
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_RATIO_KEY + place,)))
        weights, reason = resampled(truth, tested.table["patient"].to_numpy(), rng)
        if weights is None:
            return {"value": part / whole, "ci": None, "reason": reason}
        each = []
        pairs = zip(turns(scores["TSTR", classifier], RESAMPLES), turns(scores["TRTR", classifier], RESAMPLES), strict=True)
        for (synthetic, rows), (real, _) in pairs:
            of_synthetic, of_real = (f1(truth, score >= 0.5, weights[rows])[0] for score in (synthetic, real))
            each.append(of_synthetic / np.where(of_real > 0, of_real, np.nan))
        interval = ends(np.concatenate(each))
        flat = "TSTR and TRTR err on the same strips: resampling them gives the ratio no width" if interval[0] == interval[1] else None
        return {"value": part / whole, "ci": interval, "reason": flat}


def _sizes(arm: Arm) -> dict[str, int]:
    return {rhythm: int((arm.table["rhythm"] == rhythm).sum()) for rhythm in RHYTHMS}


def _impossible(train: Arm, test: Arm | None) -> str | None:
    for rhythm in RHYTHMS:
        of_train = train.table[train.table["rhythm"] == rhythm]
        if of_train.empty:
            return f"no {rhythm} strip to train on"
        if test is None and of_train["patient"].nunique() < 2:
            return f"cross-validation needs {rhythm} strips of at least 2 patients"
        if test is not None and not (test.table["rhythm"] == rhythm).any():
            return f"no {rhythm} strip to test on"
    return None
