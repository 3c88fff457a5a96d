"""Can readers tell synthetic strips from real ones? Two one-sided tests of accuracy against chance, in four outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from statsmodels.stats.proportion import binom_test, binom_tost, power_binom_tost

from study.agreement.estimate import Estimate, undefined
from study.agreement.proportions import balanced_accuracy, proportion
from study.agreement.readers_and_cases import mean_of_readers

CHANCE = 0.5


class Outcome(StrEnum):
    EQUIVALENT = "equivalent to chance within the margin"
    BETTER = "better than chance"
    WORSE = "worse than chance"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome | None  # None: there is nothing to judge; `accuracy.reason` says why
    accuracy: Estimate  # with its 90 % interval: within the margin means both one-sided tests reject at 5 %
    sentence: str


def of_one_reader(synthetic: np.ndarray, called_synthetic: np.ndarray, margin: float) -> Verdict:
    """Verdict on one reader's readings, both arrays (readings,) bool; `margin` on accuracy, 0.1 means 40 % to 60 %.

    Equally many readings of both arms: exact binomial tests (Schuirmann's two one-sided tests at 5 % each; two-sided at 5 % against
    chance), by statsmodels. Otherwise plain accuracy rewards a reader who always gives the commoner answer, so balanced accuracy is
    judged by Newcombe's intervals (90 % within the margin; 95 % off chance).
    """
    _check(margin)
    truth, call = np.asarray(synthetic, dtype=bool), np.asarray(called_synthetic, dtype=bool)
    if truth.all() or not truth.any():
        which = "no case" if len(truth) == 0 else "no real strip" if truth.all() else "no synthetic strip"
        return _verdict(undefined(f"{which} was read", len(truth)), margin, within=False, off_chance=False)
    if truth.sum() * 2 != len(truth):
        inner, outer = balanced_accuracy(truth, call, level=0.90), balanced_accuracy(truth, call)
        return _verdict(inner, margin, within=_inside(inner, margin), off_chance=_off_chance(outer))
    right, n = int((truth == call).sum()), len(truth)
    within = float(binom_tost(right, n, CHANCE - margin, CHANCE + margin)[0]) <= 0.05
    off_chance = float(binom_test(right, n, CHANCE)) < 0.05
    return _verdict(proportion(right, n, "", exact=True, level=0.90), margin, within=within, off_chance=off_chance)


def of_group(right: np.ndarray, synthetic: np.ndarray, margin: float) -> Verdict:
    """Verdict on readers as a group: the mean of their balanced accuracies against chance, readers and cases both random.

    `right` (cases, readers) of 1, 0 and NaN (not read), `synthetic` (cases,) bool. Equivalent if the 90 % interval of `mean_of_readers`
    lies inside the margin, off chance if its 95 % interval leaves 50 % out.
    """
    _check(margin)
    inner, outer = mean_of_readers(right, synthetic, level=0.90), mean_of_readers(right, synthetic)
    return _verdict(inner, margin, within=_inside(inner, margin), off_chance=_off_chance(outer))


def readings_for_equivalence(margin: float, *, power: float = 0.8) -> int:
    """Smallest number of one reader's readings, half of each arm, for which the exact test finds a guessing reader equivalent with `power`."""
    _check(margin)
    n = 2
    while power_binom_tost(CHANCE - margin, CHANCE + margin, n, p_alt=CHANCE, alpha=0.05) < power:
        n += 2
    return n


def _verdict(accuracy: Estimate, margin: float, *, within: bool, off_chance: bool) -> Verdict:
    if accuracy.value is None:
        return Verdict(None, accuracy, f"No verdict: {accuracy.reason}.")
    band = f"{100 * (CHANCE - margin):g} % to {100 * (CHANCE + margin):g} %"
    found = f"accuracy {100 * accuracy.value:.1f} %"
    if accuracy.low is not None and accuracy.high is not None:
        found += f", 90 % interval {100 * accuracy.low:.1f} % to {100 * accuracy.high:.1f} %"
    above = accuracy.value > CHANCE
    if within:
        also = f" Accuracy is reliably {'above' if above else 'below'} 50 % all the same, by less than the margin." if off_chance else ""
        return Verdict(Outcome.EQUIVALENT, accuracy, f"Equivalent to chance within the margin of {band}: {found}.{also}")
    if off_chance and above:
        return Verdict(Outcome.BETTER, accuracy, f"Better than chance: {found}. Synthetic and real strips are told apart.")
    if off_chance:
        words = "Accuracy below chance is discrimination too: the strips are told apart, with the names the wrong way round."
        return Verdict(Outcome.WORSE, accuracy, f"Worse than chance: {found}. {words}")
    words = f"Neither a difference from 50 % nor equivalence within {band} is shown; not being significantly different from 50 % is not equivalence."
    return Verdict(Outcome.UNDECIDED, accuracy, f"Undecided: {found}. {words}")


def _inside(estimate: Estimate, margin: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low > CHANCE - margin and estimate.high < CHANCE + margin


def _off_chance(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.high is not None and not estimate.low <= CHANCE <= estimate.high


def _check(margin: float) -> None:
    if not 0 < margin < 0.5:
        raise ValueError(f"a margin of {margin} on accuracy: choose one between 0 and 0.5, such as 0.1")
