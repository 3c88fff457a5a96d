"""Can readers tell synthetic strips from real ones? Two one-sided tests of accuracy, or of the AUC, against chance, in four outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import binom_test, binom_tost

from study.agreement.detection import auc
from study.agreement.estimate import Estimate, undefined
from study.agreement.further_readings import Further, further_of_area, further_of_group, further_of_one_reader, readings_needed
from study.agreement.obuchowski_rockette import ReaderAverage
from study.agreement.proportions import balanced_accuracy, proportion
from study.agreement.reader_figures import ReaderFigures
from study.agreement.readers_and_cases import calls_of_group, group_average, scores_of_group

CHANCE = 0.5


class Outcome(StrEnum):
    EQUIVALENT = "equivalent to chance within the margin"
    BETTER = "better than chance"
    WORSE = "worse than chance"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome | None  # None: there is nothing to judge; `accuracy.reason` says why
    accuracy: Estimate  # the accuracy or AUC judged, with its 90 % interval: within the margin means both one-sided tests reject at 5 %
    sentence: str
    p_equivalence: float | None = None  # the larger p of the two one-sided tests
    p_chance: float | None = None  # two-sided
    further: tuple[Further, ...] = ()  # undecided: how many more readings would decide, if the truth is chance and if it is what was found


def of_one_reader(synthetic: np.ndarray, called_synthetic: np.ndarray, margin: float) -> Verdict:
    """Verdict on one reader's readings, both arrays (readings,) bool; `margin` on accuracy, 0.1 means 40 % to 60 %.

    Equally many readings of both arms: exact binomial tests (Schuirmann's 1987 two one-sided tests at 5 % each; two-sided at 5 % against
    chance), by statsmodels. Otherwise plain accuracy rewards a reader who always gives the commoner answer, so balanced accuracy is
    judged by Newcombe's intervals (90 % within the margin; 95 % off chance).
    """
    check_margin(margin)
    truth, call = np.asarray(synthetic, dtype=bool), np.asarray(called_synthetic, dtype=bool)
    if truth.all() or not truth.any():
        which = "no case" if len(truth) == 0 else "no real strip" if truth.all() else "no synthetic strip"
        return _verdict(undefined(f"{which} was read", len(truth)), margin, within=False, off_chance=False)
    if truth.sum() * 2 != len(truth):
        inner, outer = balanced_accuracy(truth, call, level=0.90), balanced_accuracy(truth, call)
        found = _verdict(inner, margin, within=_inside(inner, margin), off_chance=_off_chance(outer))
    else:
        right, n = int((truth == call).sum()), len(truth)
        inner = proportion(right, n, "", exact=True, level=0.90)
        p = float(binom_tost(right, n, CHANCE - margin, CHANCE + margin)[0]), float(binom_test(right, n, CHANCE))
        found = _verdict(inner, margin, within=p[0] <= 0.05, off_chance=p[1] < 0.05, p=p)
    return _with_further(found, [further_of_one_reader(len(truth), at, margin) for at in _truths(inner)])


def auc_of_one_reader(synthetic: np.ndarray, scores: np.ndarray, margin: float) -> Verdict:
    """Verdict on one reader's AUC: `detection.auc`'s 90 % interval within the margin, its 95 % interval off 0.5. Both arrays (readings,)."""
    check_margin(margin)
    inner, outer = (auc(synthetic, scores, level=level) for level in (0.90, 0.95))
    found = _verdict(inner, margin, within=_inside(inner, margin), off_chance=_off_chance(outer), name="AUC")
    if inner.se is None:
        return found
    return _with_further(found, [further_of_area(inner.n, inner.se, at, margin) for at in _truths(inner)])


def of_group(right: np.ndarray, synthetic: np.ndarray, margin: float) -> Verdict:
    """Verdict on readers as a group: the mean of their balanced accuracies against chance, readers and cases both random.

    `right` (cases, readers) of 1, 0 and NaN (not read), `synthetic` (cases,) bool. Two one-sided t tests with the variance and degrees of
    freedom of `readers_and_cases.group_average`: equivalent if its 90 % interval lies inside the margin, off chance if its 95 % interval
    leaves 50 % out.
    """
    return verdict_of_group(calls_of_group(right, synthetic), margin)


def auc_of_group(scores: np.ndarray, synthetic: np.ndarray, margin: float) -> Verdict:
    """The same for the mean of the readers' AUCs; `scores` (cases, readers), NaN where not read."""
    return verdict_of_group(scores_of_group(scores, synthetic), margin)


def verdict_of_group(figures: ReaderFigures, margin: float) -> Verdict:
    check_margin(margin)
    inner, outer = (group_average(figures, level=level) for level in (0.90, 0.95))
    name = "AUC" if figures.name == "AUC" else "accuracy"
    within, off_chance = _inside(inner.estimate, margin), _off_chance(outer.estimate)
    found = _verdict(inner.estimate, margin, within=within, off_chance=off_chance, p=_t_tests(inner, margin), name=name)
    return _with_further(found, [further_of_group(figures, at, margin) for at in _truths(inner.estimate)])


def readings_for_equivalence(margin: float, *, power: float = 0.8) -> int:
    """Smallest number of one reader's readings, half of each arm, for which the exact test finds a guessing reader equivalent with `power`."""
    check_margin(margin)
    return readings_needed(CHANCE, margin, power=power) or 0


def check_margin(margin: float) -> None:
    if not 0 < margin < 0.5:
        raise ValueError(f"a margin of {margin} on accuracy: choose one between 0 and 0.5, such as 0.1")


def _verdict(
    accuracy: Estimate, margin: float, *, within: bool, off_chance: bool, p: tuple[float | None, float | None] = (None, None), name: str = "accuracy"
) -> Verdict:
    if accuracy.value is None:
        return Verdict(None, accuracy, f"No verdict: {accuracy.reason}.")
    if accuracy.low is None or accuracy.high is None:
        return Verdict(None, accuracy, f"No verdict on {name} {_share(accuracy.value, name)}: {accuracy.reason}.")
    band = f"{_share(CHANCE - margin, name, 'g')} to {_share(CHANCE + margin, name, 'g')}"
    chance = _share(CHANCE, name, "g")
    found = f"{name} {_share(accuracy.value, name)}, 90 % interval {_share(accuracy.low, name)} to {_share(accuracy.high, name)}"
    above = accuracy.value > CHANCE
    if within:
        also = f" {name[0].upper()}{name[1:]} is reliably {'above' if above else 'below'} {chance} all the same, by less than the margin."
        outcome, sentence = Outcome.EQUIVALENT, f"Equivalent to chance within the margin of {band}: {found}.{also if off_chance else ''}"
    elif off_chance and above:
        outcome, sentence = Outcome.BETTER, f"Better than chance: {found}. Synthetic and real strips are told apart."
    elif off_chance:
        words = f"{name[0].upper()}{name[1:]} below chance is discrimination too: the strips are told apart, with the names the wrong way round."
        outcome, sentence = Outcome.WORSE, f"Worse than chance: {found}. {words}"
    else:
        words = f"Neither a difference from {chance} nor equivalence within {band} is shown; "
        words += f"not being significantly different from {chance} is not equivalence."
        outcome, sentence = Outcome.UNDECIDED, f"Undecided: {found}. {words}"
    return Verdict(outcome, accuracy, sentence, *p)


def _with_further(verdict: Verdict, further: list[Further]) -> Verdict:
    if verdict.outcome is not Outcome.UNDECIDED:
        return verdict
    sentence = " ".join([verdict.sentence, *(one.sentence for one in further)])
    return Verdict(verdict.outcome, verdict.accuracy, sentence, verdict.p_equivalence, verdict.p_chance, tuple(further))


def _truths(found: Estimate) -> list[float]:
    """What the truth is assumed to be when readings are planned: chance, and what was found if that is something else."""
    return [CHANCE] if found.value is None or abs(found.value - CHANCE) < 5e-4 else [CHANCE, found.value]


def _t_tests(average: ReaderAverage, margin: float) -> tuple[float | None, float | None]:
    value, error, freedom = average.estimate.value, average.standard_error, average.freedom
    if value is None or error is None:
        return None, None
    upper = stats.norm.sf if freedom is None else lambda ratio: stats.t.sf(ratio, freedom)
    equivalence = max(float(upper((value - (CHANCE - margin)) / error)), float(upper((CHANCE + margin - value) / error)))
    return equivalence, average.p_value(CHANCE)


def _share(value: float, name: str, digits: str = "") -> str:
    """60 % for an accuracy, 0.6 for an AUC."""
    if name == "AUC":
        return f"{value:g}" if digits else f"{value:.3f}"
    return f"{100 * value:g} %" if digits else f"{100 * value:.1f} %"


def _inside(estimate: Estimate, margin: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low > CHANCE - margin and estimate.high < CHANCE + margin


def _off_chance(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.high is not None and not estimate.low <= CHANCE <= estimate.high
