"""What strips are worth to a classifier: train on real or synthetic, test on real or synthetic (TRTR, TSTR, TRTS, TSTS).

The design follows Esteban, Hyland & Raetsch 2017 (arXiv 1706.02633) and what the published study reports (F1 of AF against NSR from interval and RR
features), with what it leaves out: the ceiling TRTR, intervals by bootstrap over patients, and a reason where a figure is undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from generator.errors import GeneratorError
from generator.features import features

RHYTHMS = ("AF", "NSR")
CLASSIFIERS = ("gradient boosting", "logistic regression")
EXPERIMENTS = ("TRTR", "TSTR", "TRTS", "TSTS")
INTERVALS_AND_RR = (
    *("rr_mean", "rr_sd", "rr_cv", "rr_rmssd", "rr_pnn50"),
    *("p_amplitude", "p_coherence", "p_energy"),
    *("qrs_width", "qt", "qtc"),
)

_RESAMPLES = 1000
_RESAMPLES_NEEDED = 0.9  # of them must hold both rhythms, or there is no interval
_FOLDS = 5


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
) -> dict[str, Any]:
    """Held-out sets: TRTR trains on train_real and tests on test_real, TSTR on synthetic and test_real, TRTS on train_real and synthetic.

    TSTS is cross-validated within synthetic. Tables are those of `labelled`. The result is JSON-able: for each of EXPERIMENTS and CLASSIFIERS
    `macro_f1`, `ci` (95 %, bootstrap over test patients; the training set is held fixed), `f1` and `f1_ci` by rhythm, `auroc`, `auroc_ci`, `n`, and
    `reason` where one of them is None or an interval without width; beside them `tstr_over_trtr`, `seed`, `columns`, `versions`.
    Raises UtilityError, also where a patient is in both real sets.
    """
    for name, table in (("train_real", train_real), ("test_real", test_real), ("synthetic", synthetic)):
        _check(table, columns, name)
    shared = sorted(set(train_real["patient"].astype(str)) & set(test_real["patient"].astype(str)))
    if shared:
        raise UtilityError(f"{len(shared)} patients are in both real sets ({', '.join(shared[:3])} ...). Split by patient.")
    plans = {"TRTR": (train_real, test_real), "TSTR": (synthetic, test_real), "TRTS": (train_real, synthetic), "TSTS": (synthetic, None)}
    return _all_figures(plans, seed, columns)


def utility_of_study(real: pd.DataFrame, synthetic: pd.DataFrame, *, seed: int, columns: Sequence[str] = INTERVALS_AND_RR) -> dict[str, Any]:
    """The strips of one study: TSTR and TRTS train on all of one arm and test on all of the other.

    TRTR and TSTS are cross-validated within their arm, never with one patient on both sides. The result is as from `utility`; a study of few
    strips gets wide intervals, and reasons where a figure cannot be had.
    """
    _check(real, columns, "real")
    _check(synthetic, columns, "synthetic")
    plans = {"TRTR": (real, None), "TSTR": (synthetic, real), "TRTS": (real, synthetic), "TSTS": (synthetic, None)}
    return _all_figures(plans, seed, columns)


def as_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row an experiment and classifier: macro F1 with interval, F1 of each rhythm, AUROC with interval, strips, reason."""
    rows = []
    for experiment in EXPERIMENTS:
        for classifier in CLASSIFIERS:
            figure = result[experiment][classifier]
            low, high = figure["ci"] or (None, None)
            row = {"experiment": experiment, "classifier": classifier, "macro_f1": figure["macro_f1"], "low": low, "high": high}
            row |= {f"f1_{rhythm}": figure["f1"][rhythm] for rhythm in RHYTHMS} | {"auroc": figure["auroc"]}
            rows.append(
                row | {"n_train": sum(figure["n"]["train"].values()), "n_test": sum(figure["n"]["test"].values()), "reason": figure["reason"]}
            )
    return pd.DataFrame(rows)


Plans = dict[str, tuple[pd.DataFrame, pd.DataFrame | None]]


def _check(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    missing = [column for column in (*columns, "rhythm", "patient") if column not in table.columns]
    if missing:
        raise UtilityError(f"{name}: no column {', '.join(missing)}. Make the table with generator.utility.labelled.")
    unknown = sorted(set(table["rhythm"]) - set(RHYTHMS))
    if unknown:
        raise UtilityError(f"{name}: rhythm {', '.join(map(str, unknown))} is unknown; {' or '.join(RHYTHMS)} is wanted.")


def _all_figures(plans: Plans, seed: int, columns: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    children = np.random.SeedSequence(seed).spawn(len(EXPERIMENTS) * len(CLASSIFIERS))
    with threadpool_limits(1):  # small tables: threads that wait for a busy core cost a hundred times what they save
        for i, experiment in enumerate(EXPERIMENTS):
            train, test = plans[experiment]
            result[experiment] = {
                classifier: _figure(train, test, classifier, columns, np.random.default_rng(children[i * len(CLASSIFIERS) + j]))
                for j, classifier in enumerate(CLASSIFIERS)
            }
    ratio = {classifier: _ratio(result["TSTR"][classifier]["macro_f1"], result["TRTR"][classifier]["macro_f1"]) for classifier in CLASSIFIERS}
    versions = {package: version(package) for package in ("scikit-learn", "numpy", "pandas")}
    return result | {"tstr_over_trtr": ratio, "seed": seed, "columns": list(columns), "resamples": _RESAMPLES, "versions": versions}


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _figure(train: pd.DataFrame, test: pd.DataFrame | None, classifier: str, columns: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    tested = train if test is None else test
    figure: dict[str, Any] = {"macro_f1": None, "ci": None, "f1": dict.fromkeys(RHYTHMS), "f1_ci": None, "auroc": None, "auroc_ci": None}
    figure |= {"method": "cross-validation by patient" if test is None else "separate sets", "reason": None}
    figure["n"] = {"train": _sizes(train), "test": _sizes(tested), "test_patients": int(tested["patient"].nunique())}
    reason = _impossible(train, test)
    if reason:
        return figure | {"reason": reason}
    model_seed = int(rng.integers(2**31))
    if test is None:
        score = _cross_validated(train, classifier, columns, model_seed)
    else:
        score = _fitted(train, classifier, columns, model_seed).predict_proba(_values(test, columns))[:, 1]
    truth = (tested["rhythm"] == "AF").to_numpy()
    macro, each = _f1(truth, score >= 0.5, np.ones((1, truth.size)))
    figure |= {"macro_f1": float(macro[0]), "f1": {rhythm: float(each[k, 0]) for k, rhythm in enumerate(RHYTHMS)}}
    figure["auroc"] = float(roc_auc_score(truth, score))
    return figure | _intervals(truth, score, tested["patient"].to_numpy(), rng)


def _sizes(table: pd.DataFrame) -> dict[str, int]:
    return {rhythm: int((table["rhythm"] == rhythm).sum()) for rhythm in RHYTHMS}


def _impossible(train: pd.DataFrame, test: pd.DataFrame | None) -> str | None:
    for rhythm in RHYTHMS:
        of_train = train[train["rhythm"] == rhythm]
        if of_train.empty:
            return f"no {rhythm} strip to train on"
        if test is None and of_train["patient"].nunique() < 2:
            return f"cross-validation needs {rhythm} strips of at least 2 patients"
        if test is not None and not (test["rhythm"] == rhythm).any():
            return f"no {rhythm} strip to test on"
    return None


def _values(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    return table[list(columns)].to_numpy(dtype=np.float64)


def _fitted(train: pd.DataFrame, classifier: str, columns: Sequence[str], seed: int) -> Any:
    """Both rhythms weigh the same, so that the threshold of 0.5 does not carry the training set's prevalence into the test."""
    if classifier == "gradient boosting":
        leaf = int(np.clip(len(train) // 10, 2, 20))  # the library's 20 would never split the strips of a small study
        some = 0.3  # of the columns at each split: on few strips the greedy choice of one column costs 0.08 of AUROC
        model: Any = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=100, max_features=some, min_samples_leaf=leaf, class_weight="balanced", random_state=seed
        )
    else:
        model = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
        )
    values = _values(train, columns).copy()
    values[:, np.isnan(values).all(axis=0)] = 0.0  # a column without a single value stops the library's binning
    return model.fit(values, (train["rhythm"] == "AF").to_numpy())


def _cross_validated(table: pd.DataFrame, classifier: str, columns: Sequence[str], seed: int) -> NDArray[np.float64]:
    """P(AF) of every strip by a model that has not seen its patient."""
    truth, groups = (table["rhythm"] == "AF").to_numpy(), table["patient"].astype(str).to_numpy()
    fewest = min(table.loc[table["rhythm"] == rhythm, "patient"].nunique() for rhythm in RHYTHMS)
    score = np.full(len(table), np.nan)
    folds = StratifiedGroupKFold(n_splits=min(_FOLDS, fewest), shuffle=True, random_state=seed)
    for inside, outside in folds.split(np.zeros(len(table)), truth, groups):
        if np.unique(truth[inside]).size < 2:
            score[outside] = float(truth[inside].mean())  # one rhythm left to train on: the model can only name it
        else:
            score[outside] = _fitted(table.iloc[inside], classifier, columns, seed).predict_proba(_values(table.iloc[outside], columns))[:, 1]
    return score


def _f1(truth: NDArray[np.bool_], called: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Macro F1 (resamples,) and F1 of each rhythm (2, resamples) under weights (resamples, strips); NaN where a rhythm has no strip."""
    each = []
    for positive in (True, False):
        is_true, is_called = truth == positive, called == positive
        both, true, named = (weights @ x.astype(float) for x in (is_true & is_called, is_true, is_called))
        with np.errstate(invalid="ignore"):
            each.append(np.where(true > 0, 2 * both / (true + named), np.nan))
    f1 = np.stack(each)
    macro: NDArray[np.float64] = f1.mean(axis=0)
    return macro, f1


def _intervals(truth: NDArray[np.bool_], score: NDArray[np.float64], patients: NDArray[Any], rng: np.random.Generator) -> dict[str, Any]:
    names, which = np.unique(patients.astype(str), return_inverse=True)
    fewest = min(np.unique(which[truth == positive]).size for positive in (True, False))
    if fewest < 2:
        return {"reason": "no interval: a bootstrap over patients needs 2 patients of each rhythm"}
    drawn = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=_RESAMPLES)
    weights = drawn[:, which].astype(float)
    macro, each = _f1(truth, score >= 0.5, weights)
    wins = (score[truth][:, None] > score[~truth][None, :]) + 0.5 * (score[truth][:, None] == score[~truth][None, :])
    positive, negative = weights[:, truth], weights[:, ~truth]
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        auroc = np.where(pairs > 0, ((positive @ wins) * negative).sum(axis=1) / pairs, np.nan)
    whole = np.isfinite(macro)
    if whole.mean() < _RESAMPLES_NEEDED:
        return {"reason": f"no interval: only {int(whole.sum())} of {_RESAMPLES} resamples of the patients hold both rhythms"}
    ends = [[float(x) for x in np.percentile(values[whole], [2.5, 97.5])] for values in (macro, auroc)]
    flat = ends[0][0] == ends[0][1]
    return {
        "ci": ends[0],
        "f1_ci": {rhythm: [float(x) for x in np.percentile(each[k, whole], [2.5, 97.5])] for k, rhythm in enumerate(RHYTHMS)},
        "auroc_ci": ends[1],
        "reason": "every strip was called right: resampling them gives the interval no width" if flat else None,
    }
