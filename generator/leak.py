"""The leak gate: can a classifier that sees the format of the strips, never the heart, tell the arms apart?

The features are those of generator.leak_features. A regularised linear model of them is cross-validated; its AUC is held against those of the same
model on permuted arms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from generator.leak_features import AMPLITUDE, FEATURES, FORMAT, LeakError, Measured, Signals, measure, of_counts

__all__ = ["AMPLITUDE", "FEATURES", "FOLDS", "FORMAT", "LeakError", "LeakReport", "Measured", "gate", "leak", "leak_as_is"]

FOLDS = 5
REPEATS = 4  # divisions into folds
PERMUTATIONS = 999
RIDGE = 0.1  # of the standardised features' unit variance
REFUSE_P, REFUSE_AUC = 0.01, 0.75
WARN_P = 0.05
CERTAIN_P, CERTAIN_AUC, TESTS = 0.05, 0.9, 5  # of one feature of FORMAT
AMPLITUDE_P = 0.01
BINS = 8  # of the picture: coarse, so that it shows arms and no strip

_CANONICAL = "Bring both arms through the canonical form (blindstrip import, blindstrip sample): "
_CHAIN = "Choose recordings from the collection that the checkpoint was trained on, draw with more steps, or train longer."
_REMEDIES = {
    "quantisation step": _CANONICAL + "it stores 5 microvolts a count.",
    "distinct values": _CANONICAL + "it stores 5 microvolts a count.",
    "low bit": _CANONICAL + "it rounds to 5 microvolts a count.",
    "offset": _CANONICAL + "it removes each lead's median.",
    "limb-lead residual": _CANONICAL + "it computes III, aVR, aVL and aVF from I and II.",
    "sample count": _CANONICAL + "it gives 10 s, 1000 samples.",
    "sampling rate": _CANONICAL + "it gives 100 samples/s.",
    "lead layout": _CANONICAL + "it stores I, II and V1 to V6, in that order.",
    "edges": "Choose recordings longer than 10 s, or without a jump at their ends; or train the generator on the same recordings.",
    "drift below 0.5 Hz": "Choose recordings from the collection that the checkpoint was trained on, or train longer.",
    "noise floor": _CHAIN,
    "power above 35 Hz": _CHAIN,
    "power below 0.7 Hz": "Choose recordings from the collection that the checkpoint was trained on, or train longer.",
    AMPLITUDE: "Check gains and units of the recordings and of the checkpoint's training. It may be the heart's own: choose recordings at random.",
}


@dataclass(frozen=True)
class LeakReport:
    """What the gate found. auc: cross-validated, 0.5 when nothing tells the arms apart; p_value: of as high an AUC on permuted arms."""

    verdict: str  # open, warn, refuse
    auc: float
    auc_ci: tuple[float, float]  # 95 %, Hanley & McNeil 1982
    p_value: float
    features: dict[str, float]  # AUC of each feature alone, 0.5 to 1
    worst_feature: str
    remedy: str
    distribution: dict[str, Any]  # of the worst feature: edges of bins, and the share of each arm in each
    amplitude: dict[str, Any]  # apart: auc and p_value (Mann-Whitney) of the amplitude scale, median microvolts of each arm, a warning or None
    real: int
    synthetic: int
    seed: int
    permutations: int = PERMUTATIONS

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "auc_ci": list(self.auc_ci)}


def leak(real: NDArray[np.number], synthetic: NDArray[np.number], seed: int) -> LeakReport:
    """The gate over two arms of strips in counts: (n, 8, 1000) canonical, or (n, 12, samples) in the order of LEADS; as `gate` says."""
    return gate(measure(of_counts(real, "real")), measure(of_counts(synthetic, "synthetic")), seed)


def leak_as_is(real: Iterable[Signals], synthetic: Iterable[Signals], seed: int) -> LeakReport:
    """The gate over files as they are, of any rate, length, unit and leads; as `gate` says."""
    return gate(measure(real), measure(synthetic), seed)


def gate(real: Measured, synthetic: Measured, seed: int) -> LeakReport:
    """Refuses where the model separates the arms (p below 0.01 and AUC at least 0.75) or a feature of FORMAT does; warns where p is below 0.05.

    The amplitude scale is in no model: where it differs (Mann-Whitney p below 0.01) an open gate warns, and it never refuses.
    Random halves of PTB-XL, half of each rhythm, 300 divisions for each of 5 + 5, 8 + 8, 12 + 12 and 24 + 24 strips, 150 for 100 + 100: refused 1.0,
    0.3, 1.3, 0.0 and 0.0 % of the time, warned of 4.3, 5.0, 3.3, 6.0 and 4.0 %. Their files as they are: refused 1.7, 2.3, 0.0, 0.3 and 0 %.
    Raises LeakError for fewer than FOLDS strips in an arm.
    """
    for name, arm in (("real", real), ("synthetic", synthetic)):
        if len(arm) < FOLDS:
            raise LeakError(f"The {name} arm has {len(arm)} strips; the leak gate needs {FOLDS} of each. Ask for more cases.")
    table = np.concatenate([real.features, synthetic.features])
    arms = np.repeat([0, 1], [len(real), len(synthetic)])
    rng = np.random.default_rng(seed)
    labellings = np.stack([arms, *(rng.permutation(arms) for _ in range(PERMUTATIONS))], axis=1)
    aucs = _cross_validated(table, labellings, rng)
    auc, p_value = float(aucs[0]), float((aucs >= aucs[0]).mean())
    alone = {name: _separation(table[:, i], arms) for i, name in enumerate(FEATURES)}
    worst = max(alone, key=alone.__getitem__)
    formal = max(FORMAT, key=alone.__getitem__)
    amplitude = _of_amplitude(real.amplitude, synthetic.amplitude)
    if _certain(table, list(FEATURES).index(formal), arms):
        verdict, worst = "refuse", formal
    elif p_value < REFUSE_P and auc >= REFUSE_AUC:
        verdict = "refuse"
    elif p_value < WARN_P:
        verdict = "warn"
    elif amplitude["warning"]:
        verdict, worst = "warn", AMPLITUDE
    else:
        verdict = "open"
    values = np.concatenate([real.amplitude, synthetic.amplitude]) if worst == AMPLITUDE else table[:, list(FEATURES).index(worst)]
    interval = _hanley_mcneil(auc, len(real), len(synthetic))
    shown = {"feature": worst, **_distribution(values, arms)}
    return LeakReport(verdict, auc, interval, p_value, alone, worst, _REMEDIES[worst], shown, amplitude, len(real), len(synthetic), seed)


def _of_amplitude(real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> dict[str, Any]:
    auc = _separation(np.concatenate([real, synthetic]), np.repeat([0, 1], [len(real), len(synthetic)]))
    p_value = float(stats.mannwhitneyu(real, synthetic).pvalue) if np.ptp(np.concatenate([real, synthetic])) > 0 else 1.0
    told = f"The arms' amplitudes differ (AUC {auc:.2f}, p = {p_value:.3f}). {_REMEDIES[AMPLITUDE]}"
    medians = {"real": round(float(np.median(real)), 1), "synthetic": round(float(np.median(synthetic)), 1)}
    return {"auc": auc, "p_value": p_value, "microvolts": medians, "warning": told if p_value < AMPLITUDE_P else None}


def _distribution(values: NDArray[np.float64], arms: NDArray[np.integer]) -> dict[str, Any]:
    """Shares of each arm in BINS equal bins over both. Where all values are the same, in one bin."""
    edges = np.histogram_bin_edges(values, bins=BINS if np.ptp(values) > 0 else 1)
    counts = [np.histogram(values[arms == arm], edges)[0] for arm in (0, 1)]
    real, synthetic = ([round(float(share), 4) for share in one / one.sum()] for one in counts)
    return {"edges": [float(f"{edge:.4g}") for edge in edges], "real": real, "synthetic": synthetic}


def _cross_validated(table: NDArray[np.float64], arms: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.float64]:
    """(labellings,): AUC of out-of-fold scores, mean over REPEATS divisions into folds, for each column of arms (strips, labellings).

    The model is ridge regression on the arm, a regularised linear discriminant (Hastie, Tibshirani & Friedman 2009, 4.2), so that all labellings
    are solved at once.
    """
    total = np.zeros(arms.shape[1])
    for _ in range(REPEATS):
        fold = rng.permutation(np.arange(len(table)) % FOLDS)
        scores = np.empty(arms.shape)
        for k in range(FOLDS):
            train, test = fold != k, fold == k
            middle, spread = table[train].mean(axis=0), table[train].std(axis=0)
            x = (table - middle) / np.where(spread > 0, spread, 1.0)
            y = arms[train] - arms[train].mean(axis=0)
            weights = np.linalg.solve(x[train].T @ x[train] + RIDGE * train.sum() * np.eye(x.shape[1]), x[train].T @ y)
            scores[test] = x[test] @ weights
        total += _auc(scores, arms)
    return total / REPEATS


def _auc(scores: NDArray[np.float64], arms: NDArray[np.integer]) -> NDArray[np.float64]:
    """(labellings,): the share of pairs in which the synthetic strip scores higher, ties half (Mann & Whitney 1947); both (strips, labellings)."""
    ranks, synthetic = stats.rankdata(scores, axis=0), arms.sum(axis=0)
    above = (ranks * arms).sum(axis=0) - synthetic * (synthetic + 1) / 2
    return np.asarray(above / (synthetic * (len(arms) - synthetic)))


def _separation(values: NDArray[np.float64], arms: NDArray[np.integer]) -> float:
    auc = float(_auc(values[:, None], arms[:, None])[0])
    return max(auc, 1 - auc)


def _certain(table: NDArray[np.float64], column: int, arms: NDArray[np.integer]) -> bool:
    """Whether a feature of FORMAT alone tells the arms apart: AUC, and p after Bonferroni over those of FORMAT that vary at all, at least TESTS.

    5 + 5 strips that do not overlap reach it while six of them vary (exact p 0.008), 6 + 6 always.
    """
    real, synthetic = table[arms == 0, column], table[arms == 1, column]
    varying = max(int((np.ptp(table[:, : len(FORMAT)], axis=0) > 0).sum()), TESTS)
    return _separation(table[:, column], arms) >= CERTAIN_AUC and float(stats.mannwhitneyu(real, synthetic).pvalue) * varying < CERTAIN_P


def _hanley_mcneil(auc: float, real: int, synthetic: int) -> tuple[float, float]:
    """95 % interval of an AUC by Hanley & McNeil 1982, equation 1; cut to 0..1."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (synthetic - 1) * (q1 - auc**2) + (real - 1) * (q2 - auc**2)) / (real * synthetic)
    half = 1.959964 * np.sqrt(max(variance, 0.0))
    return max(0.0, auc - half), min(1.0, auc + half)
