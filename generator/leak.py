"""The leak gate: can a classifier that sees the format of the strips, never the heart, tell the arms apart?

Features of the format (quantisation, offset, limb-lead residual, edges) and of the recording chain (noise floor, power above 35 Hz and below
0.7 Hz). A regularised linear model is cross-validated; its AUC is held against those of the same model on permuted arms.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

from generator.errors import GeneratorError
from generator.leads import LEADS, twelve_leads
from generator.strip import RATE, SAMPLES

FEATURES = {  # name: what is measured, in one strip (its median over leads)
    "quantisation step": "smallest difference between two values of a lead, in counts",
    "distinct values": "distinct values within the middle half of a lead's samples, per count of that half's span",
    "low bit": "share of odd values",
    "offset": "median of a lead, absolute, in counts",
    "limb-lead residual": "root mean square of II - I - III and of Goldberger's relations, in counts",
    "edges": "steepest step in the first and last 50 ms against the steepest inside, logarithm",
    "noise floor": "median over 100 ms windows of the power above 30 Hz, logarithm",
    "power above 35 Hz": "share of the power between 5 Hz and the Nyquist frequency, logarithm",
    "power below 0.7 Hz": "share of the power up to 5 Hz, logarithm",
}
FORMAT = ("quantisation step", "distinct values", "low bit", "offset", "limb-lead residual")  # the canonical form makes these equal

FOLDS = 5
REPEATS = 4  # divisions into folds
PERMUTATIONS = 999
RIDGE = 0.1  # of the standardised features' unit variance
REFUSE_P, REFUSE_AUC = 0.01, 0.75
WARN_P = 0.05
CERTAIN_P, CERTAIN_AUC = 0.05, 0.9  # of one feature of FORMAT: 5 + 5 strips that do not overlap must reach it (exact p 0.008, five features)

_HIGH = signal.butter(4, 30.0, btype="highpass", fs=RATE, output="sos")

_REMEDIES = {
    "quantisation step": "Bring both arms through the canonical form (blindstrip import, blindstrip sample): it stores 5 microvolts a count.",
    "distinct values": "Bring both arms through the canonical form: it stores 5 microvolts a count.",
    "low bit": "Bring both arms through the canonical form: it rounds to 5 microvolts a count.",
    "offset": "Bring both arms through the canonical form: it removes each lead's median.",
    "limb-lead residual": "Bring both arms through the canonical form: it computes III, aVR, aVL and aVF from I and II.",
    "edges": "Choose recordings longer than 10 s, or without a jump at their ends; or train the generator on the same recordings.",
    "noise floor": "Choose recordings from the collection that the checkpoint was trained on, draw with more steps, or train longer.",
    "power above 35 Hz": "Choose recordings from the collection that the checkpoint was trained on, draw with more steps, or train longer.",
    "power below 0.7 Hz": "Choose recordings from the collection that the checkpoint was trained on, or train longer.",
}


class LeakError(GeneratorError):
    """Arms that the gate cannot look at: too few strips, or arrays of another shape."""


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
    real: int
    synthetic: int
    seed: int
    permutations: int = PERMUTATIONS

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "auc_ci": list(self.auc_ci)}


def leak(real: NDArray[np.number], synthetic: NDArray[np.number], seed: int) -> LeakReport:
    """The gate over two arms of strips in counts: (n, 8, 1000) canonical, or (n, 12, samples) as files carry them, in the order of LEADS.

    Refuses where the model separates the arms (p below 0.01 and AUC at least 0.75) or a feature of FORMAT does; warns where p is below 0.05.
    Random halves of PTB-XL (300 splits for each of 5 + 5 to 24 + 24 strips) were refused 0.7 to 1.3 % of the time and warned 2 to 6 %.
    Raises LeakError for fewer than FOLDS strips in an arm.
    """
    table = np.concatenate([_arm(real, "real"), _arm(synthetic, "synthetic")])
    arms = np.repeat([0, 1], [len(real), len(synthetic)])
    rng = np.random.default_rng(seed)
    labellings = np.stack([arms, *(rng.permutation(arms) for _ in range(PERMUTATIONS))], axis=1)
    aucs = _cross_validated(table, labellings, rng)
    auc, p_value = float(aucs[0]), float((aucs >= aucs[0]).mean())
    alone = {name: _separation(table[:, i], arms) for i, name in enumerate(FEATURES)}
    worst = max(alone, key=alone.__getitem__)
    formal = max(FORMAT, key=alone.__getitem__)
    if _certain(table[:, list(FEATURES).index(formal)], arms):
        verdict, worst = "refuse", formal
    elif p_value < REFUSE_P and auc >= REFUSE_AUC:
        verdict = "refuse"
    else:
        verdict = "warn" if p_value < WARN_P else "open"
    interval = _hanley_mcneil(auc, len(real), len(synthetic))
    return LeakReport(verdict, auc, interval, p_value, alone, worst, _REMEDIES[worst], len(real), len(synthetic), seed)


def format_features(strips: NDArray[np.number]) -> NDArray[np.float64]:
    """(n, features) in the order of FEATURES, from strips (n, 8 or 12, samples) in counts."""
    return np.array([_features(np.asarray(strip, dtype=np.float64)) for strip in strips])


def _arm(strips: NDArray[np.number], name: str) -> NDArray[np.float64]:
    if strips.ndim != 3 or strips.shape[1] not in (8, 12) or strips.shape[2] < SAMPLES // 2:
        raise LeakError(f"The {name} arm has shape {strips.shape}. The leak gate takes strips (n, 8 or 12 leads, samples).")
    if len(strips) < FOLDS:
        raise LeakError(f"The {name} arm has {len(strips)} strips; the leak gate needs {FOLDS} of each. Ask for more cases.")
    return format_features(strips)


def _features(leads: NDArray[np.float64]) -> list[float]:
    if len(leads) == len(LEADS):
        computed = twelve_leads(np.concatenate([leads[:2], leads[6:]]))
        residual = float(np.sqrt(np.mean((leads - computed) ** 2)))
        leads = np.concatenate([leads[:2], leads[6:]])
    else:
        residual = 0.0
    steps = np.abs(np.diff(leads, axis=-1))
    spectrum, hertz = _spectrum(leads)
    fast = signal.sosfiltfilt(_HIGH, leads, axis=-1)
    windows = (fast[:, : fast.shape[1] // 10 * 10].reshape(len(leads), -1, 10) ** 2).mean(axis=-1)
    share = _share(spectrum, hertz, (35.0, RATE / 2), (5.0, RATE / 2)), _share(spectrum, hertz, (0.0, 0.7), (0.0, 5.0))
    return [
        float(np.median([_step(lead) for lead in leads])),
        float(np.median([_distinct(lead) for lead in leads])),
        float(np.mean(np.rint(leads) % 2)),
        float(np.median(np.abs(np.median(leads, axis=-1)))),
        residual,
        float(np.median(np.log((_edge(steps) + 1) / (steps[:, 5:-5].max(axis=-1) + 1)))),
        float(np.median(np.log(np.median(windows, axis=-1) + 1e-3))),
        *share,
    ]


def _step(lead: NDArray[np.float64]) -> float:
    values = np.unique(np.round(lead, 3))
    return float(np.min(np.diff(values))) if len(values) > 1 else 0.0


def _distinct(lead: NDArray[np.float64]) -> float:
    low, high = np.percentile(lead, [25, 75])
    inside = lead[(lead >= low) & (lead <= high)]
    return float(len(np.unique(np.round(inside, 3))) / max(high - low + 1, 1))


def _edge(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(steps[:, :5].max(axis=-1), steps[:, -5:].max(axis=-1))


def _spectrum(leads: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    window = signal.windows.hann(leads.shape[-1], sym=False)
    power = np.abs(np.fft.rfft((leads - leads.mean(axis=-1, keepdims=True)) * window, axis=-1)) ** 2
    return power, np.fft.rfftfreq(leads.shape[-1], 1 / RATE)


def _share(power: NDArray[np.float64], hertz: NDArray[np.floating], band: tuple[float, float], of: tuple[float, float]) -> float:
    inside, whole = ((hertz >= low) & (hertz <= high) for low, high in (band, of))
    return float(np.median(np.log((power[:, inside].sum(axis=-1) + 1e-3) / (power[:, whole].sum(axis=-1) + 1e-3))))


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


def _certain(values: NDArray[np.float64], arms: NDArray[np.integer]) -> bool:
    """Whether a feature alone tells the arms apart: AUC and exact p after Bonferroni over the features of FORMAT."""
    real, synthetic = values[arms == 0], values[arms == 1]
    p_value = float(stats.mannwhitneyu(real, synthetic).pvalue) * len(FORMAT)
    return _separation(values, arms) >= CERTAIN_AUC and p_value < CERTAIN_P


def _hanley_mcneil(auc: float, real: int, synthetic: int) -> tuple[float, float]:
    """95 % interval of an AUC by Hanley & McNeil 1982, equation 1; cut to 0..1."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (synthetic - 1) * (q1 - auc**2) + (real - 1) * (q2 - auc**2)) / (real * synthetic)
    half = 1.959964 * np.sqrt(max(variance, 0.0))
    return max(0.0, auc - half), min(1.0, auc + half)
