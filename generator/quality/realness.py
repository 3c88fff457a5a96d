"""Can a convolutional network tell synthetic strips from recordings? Cross-validated by patient, beside recordings against other recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from generator.quality.network import Settings, Told, applied, trained
from generator.quality.resample import percentile, weights
from generator.quality.result import BOTH, RHYTHMS, Figure, Strips

FOLDS = 5
NAME = "AUC real or synthetic"
FEWEST = 2 * FOLDS  # patients of each rhythm in each arm


def figures(
    real: Strips, synthetic: Strips, beside: tuple[Strips, Strips], settings: Settings, seed: np.random.SeedSequence, told: Told | None = None
) -> list[Figure]:
    """The AUC within each rhythm and their mean. Both arms of each comparison hold as many strips of a rhythm as the other: see `measure`.

    AUC 0.5: not told apart; 1: always. Pairs are of one rhythm, so that a difference in rhythm tells nothing.
    """
    halves = np.random.default_rng(seed).integers(2**31, size=2)
    found = _of_arms(real, synthetic, settings, int(halves[0]), lambda share: told(share / 2) if told else None)
    other = _of_arms(*beside, settings, int(halves[1]), lambda share: told((1 + share) / 2) if told else None)
    made = []
    for rhythm in (*RHYTHMS, BOTH):
        value, interval, reason = found[rhythm]
        real_value, real_interval, real_reason = other[rhythm]
        counts = [len(one) if rhythm == BOTH else one.sizes()[rhythm] for one in (synthetic, real, beside[1])]
        sizes: dict[str, Any] = dict(zip(("n", "n_real", "n_beside"), counts, strict=True))
        made.append(Figure("realness", NAME, rhythm, value, real_value, interval, real_interval, **sizes, reason=reason, beside_reason=real_reason))
    return made


Found = tuple[float | None, tuple[float, float] | None, str | None]


def _of_arms(real: Strips, other: Strips, settings: Settings, seed: int, told: Told) -> dict[str, Found]:
    for name in RHYTHMS:
        few = min(np.unique(arm.patient[arm.rhythm == name]).size for arm in (real, other))
        if few < FEWEST:
            why = f"{few} patients with {name} in an arm; cross-validation needs {FEWEST}"
            return dict.fromkeys((*RHYTHMS, BOTH), (None, None, why))
    counts = np.concatenate([real.counts, other.counts])
    synthetic = np.repeat([False, True], [len(real), len(other)])
    rhythm = np.concatenate([real.rhythm, other.rhythm])
    names = np.concatenate([np.char.add("0 ", real.patient), np.char.add("1 ", other.patient)])
    patient = pd.factorize(names)[0]  # in order of appearance: what patients are called changes no fold
    score = np.full(len(counts), np.nan)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(counts, np.char.add(rhythm, synthetic.astype(str)), patient)
    for k, (inside, outside) in enumerate(folds):
        network = trained(counts[inside], synthetic[inside], settings, seed + k, lambda share, done=k: told((done + share) / FOLDS))  # type: ignore[misc]
        score[outside] = applied(network, counts[outside])
    drawn = weights(patient, np.random.default_rng(seed))
    found: dict[str, Found] = {}
    values, resampled = [], []
    for name in RHYTHMS:
        member = rhythm == name
        value, each = _auc(score[member], synthetic[member], drawn[:, member])
        found[name] = value, percentile(each), None
        values.append(value)
        resampled.append(each)
    found[BOTH] = float(np.mean(values)), percentile(np.mean(resampled, axis=0)), None
    return found


def _auc(score: NDArray[np.float64], synthetic: NDArray[np.bool_], drawn: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The share of pairs in which the synthetic strip scores higher, ties half (Mann & Whitney 1947), and that of each resample."""
    high, low = score[synthetic], score[~synthetic]
    wins = (high[:, None] > low[None, :]) + 0.5 * (high[:, None] == low[None, :])
    of_high, of_low = drawn[:, synthetic], drawn[:, ~synthetic]
    pairs = of_high.sum(axis=1) * of_low.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(pairs > 0, ((of_high @ wins) * of_low).sum(axis=1) / pairs, np.nan)
    return float(wins.mean()), each
