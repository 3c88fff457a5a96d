"""Classifiers that tell AF from NSR: two on a feature table, one on the samples. Each gives P(AF), both rhythms weighing the same in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from generator.strip import Counts

if TYPE_CHECKING:
    from generator.quality.network import Settings

RHYTHMS = ("AF", "NSR")
CLASSIFIERS = ("gradient boosting", "logistic regression")  # on features
NETWORK = "residual network"  # on the samples of the eight leads

_FOLDS = 5

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """Strips to train or to test on. table: features, `rhythm` and `patient`, a row a strip; counts: (n, 8, 1000), where a network sees them."""

    table: pd.DataFrame
    counts: Counts | None = None

    @property
    def fibrillates(self) -> NDArray[np.bool_]:
        return (self.table["rhythm"] == "AF").to_numpy()

    def where(self, places: NDArray[np.integer]) -> Arm:
        return Arm(self.table.iloc[places], None if self.counts is None else self.counts[places])

    def with_more(self, other: Arm) -> Arm:
        counts = None if self.counts is None or other.counts is None else np.concatenate([self.counts, other.counts])
        return Arm(pd.concat([self.table, other.table], ignore_index=True), counts)


Score = Callable[[Arm], Array]  # P(AF) of each strip
Fit = Callable[[Arm, int], Score]  # of training strips and a seed


def on_features(classifier: str, columns: Sequence[str]) -> Fit:
    """One of CLASSIFIERS on these columns; NaN in them is allowed."""

    def fit(train: Arm, seed: int) -> Score:
        values = _values(train, columns)
        values[:, np.isnan(values).all(axis=0)] = 0.0  # a column without a single value stops the library's binning
        model = _model(classifier, len(values), seed).fit(values, train.fibrillates)
        return lambda arm: np.asarray(model.predict_proba(_values(arm, columns))[:, 1])

    return fit


def on_samples(settings: Settings | None = None) -> Fit:
    """The residual network of generator.quality.network. What was trained on the same strips with the same seed is kept: several arms are tested."""
    from generator.quality.network import Settings, applied, trained  # torch

    kept: dict[tuple[int, int], tuple[Arm, Any]] = {}  # with the arm, so that its id stays its own

    def fit(train: Arm, seed: int) -> Score:
        key = (id(train), seed)
        if key not in kept:
            kept[key] = train, trained(_counts(train), train.fibrillates, settings or Settings(), seed)
        return lambda arm: np.asarray(expit(applied(kept[key][1], _counts(arm))))

    return fit


def cross_validated(arm: Arm, fit: Fit, seed: int, done: Callable[[], None]) -> Array:
    """P(AF) of every strip by a model that has not seen its patient. done is called after each fold."""
    truth, groups = arm.fibrillates, arm.table["patient"].astype(str).to_numpy()
    fewest = min(arm.table.loc[arm.table["rhythm"] == rhythm, "patient"].nunique() for rhythm in RHYTHMS)
    score = np.full(truth.size, np.nan)
    folds = StratifiedGroupKFold(n_splits=min(_FOLDS, fewest), shuffle=True, random_state=seed)
    for inside, outside in folds.split(np.zeros(truth.size), truth, groups):
        if np.unique(truth[inside]).size < 2:
            score[outside] = float(truth[inside].mean())  # one rhythm left to train on: the model can only name it
        else:
            score[outside] = fit(arm.where(inside), seed)(arm.where(outside))
        done()
    return score


def _model(classifier: str, n: int, seed: int) -> Any:
    """Both rhythms weigh the same, so that the threshold of 0.5 does not carry the training set's prevalence into the test."""
    if classifier == "gradient boosting":
        leaf = int(np.clip(n // 10, 2, 20))  # the library's 20 would never split the strips of a small study
        some = 0.3  # of the columns at each split: on few strips the greedy choice of one column costs 0.08 of AUROC
        return HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=100, max_features=some, min_samples_leaf=leaf, class_weight="balanced", random_state=seed
        )
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    )


def _values(arm: Arm, columns: Sequence[str]) -> Array:
    return arm.table[list(columns)].to_numpy(dtype=np.float64, copy=True)


def _counts(arm: Arm) -> Counts:
    if arm.counts is None:
        raise ValueError("a network is trained on samples; this arm has features alone")
    return arm.counts
