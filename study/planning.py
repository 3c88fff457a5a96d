"""Planning a study: readers, cases and margin in; power of the equivalence test and expected widths of intervals out. By formula, in a moment.

Variance components come from the model of simulated readers (`study.simulation.variances`). The test and the intervals are those of
`readers_and_cases.group_average`, in Hillis, Obuchowski and Berbaum's (2011, Acad Radiol 18:129) way: the mean over readers is normal with
variance MS / r + Cov2, MS = between + Var - Cov2. Beyond them, what the study will estimate is random here too: MS(R) is chi-square with
r - 1 degrees of freedom, and the variance of the mean over these readers with one less than the cases of each arm; power and
widths are expectations over both. docs/planning.md says how near simulation comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.special import ndtr, roots_hermitenorm

from study.agreement.equivalence import CHANCE
from study.errors import StudyError
from study.simulation.model import Planted, draw_readers
from study.simulation.variances import Components, of_accuracy, of_auc

POWER = 0.8
SECONDS = 30.0  # a case, morphology included
LARGEST_MARGIN = 0.45
NO_CASES_WILL_DO = "No number of cases up to 1,000 gives these readers 80 % power: more readers might."
NOT_EQUIVALENT = "These readers can tell: their true accuracy lies at or beyond the margin, and no number of readers or cases shows equivalence."
_QUANTILES = 60  # of each chi-square
_PANELS = 40  # sets of readers over which the width of an agreement is averaged
_CASE_NODES = 21


@dataclass(frozen=True)
class Plan:
    """What a design comes to. Half-widths are of 95 % intervals, expected over studies."""

    accuracy: float  # balanced, that the power is for
    equivalent: float  # P(the readers are found equivalent to chance)
    off_chance: float  # P(they are found better or worse than chance, beyond the margin or undecided within it)
    accuracy_half_width: float
    auc_half_width: float
    ac1: float  # of two readers: real or synthetic
    ac1_half_width: float  # for these readers and new cases
    site_half_width: float | None  # accuracy of the readers of one site; None for one reader a site
    readings: int  # of each reader
    minutes: float  # of each reader


def plan(planted: Planted, margin: float, *, seconds: float = SECONDS) -> Plan:
    """Raises StudyError for a margin or a time that makes no plan."""
    check(margin, seconds)
    accuracy, area = of_accuracy(planted), of_auc(planted)
    equivalent, off_chance, half = _expected(accuracy, planted.all_readers, planted.cases, margin)
    ac1, ac1_half = agreement(planted)
    return Plan(
        accuracy.expected,
        equivalent,
        off_chance,
        half,
        _expected(area, planted.all_readers, planted.cases, margin)[2],
        ac1,
        ac1_half,
        _expected(accuracy, planted.readers, planted.cases, margin)[2] if planted.readers > 1 else None,
        planted.shown,
        planted.shown * seconds / 60,
    )


def check(margin: float, seconds: float = SECONDS) -> None:
    if not 0 < margin <= LARGEST_MARGIN:
        raise StudyError(f"margin: {margin!r} is out of range. Choose a number above 0, at most {LARGEST_MARGIN}, for example 0.1.")
    if not 1 <= seconds <= 3600:
        raise StudyError(f"seconds: {seconds!r} is out of range. Choose 1 to 3600 seconds a case.")


def power(planted: Planted, margin: float, readers: Sequence[int], cases: int) -> list[float]:
    """P(equivalent) for other numbers of readers in all, two or more each, and of cases, four or more."""
    check(margin)
    parts = _with_cases(of_accuracy(planted), planted.cases, cases)
    return [_expected(parts, number, cases, margin)[0] for number in readers]


def no_cases(plan: Plan, margin: float) -> str:
    """Why no number of cases gives a design its power."""
    return NOT_EQUIVALENT if abs(plan.accuracy - CHANCE) >= margin else NO_CASES_WILL_DO


def cases_needed(planted: Planted, margin: float, *, wanted: float = POWER, most: int = 1000) -> int | None:
    """The smallest even number of cases with which these readers are found equivalent with that power; None where `most` would not do."""
    check(margin)

    def enough(cases: int) -> bool:
        parts = _with_cases(of_accuracy(planted), planted.cases, cases)
        return _expected(parts, planted.all_readers, cases, margin)[0] >= wanted

    if not enough(most):
        return None
    low, high = 5, most // 2  # pairs of a real and a synthetic case: too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(2 * middle) else (middle, high)
    return 2 * high


def agreement(planted: Planted) -> tuple[float, float]:
    """Gwet's AC1 of real or synthetic over all strips, and half the width of its interval for these readers and new cases.

    Given the strip's part, readers call independently: how many of them call it synthetic is a sum of unequal Bernoulli variables. Its
    distribution over strips gives AC1 and the variance of Gwet's (2008) linearised case values. Mean over sets of readers from a fixed seed.
    """
    generator = np.random.default_rng(0)
    panels = np.stack([draw_readers(planted, generator).leaning() for _ in range(_PANELS)])  # (panels, arms, readers)
    node, weight = roots_hermitenorm(_CASE_NODES)
    felt = panels[:, :, None, :] + np.sqrt(planted.case_share) * node[:, None]
    calls = ndtr(felt / np.sqrt(1 - planted.case_share))  # (panels, arms, nodes, readers)
    number = np.einsum("pank,n->pk", _how_many(calls), weight / weight.sum()) / 2  # (panels, readers + 1)
    r = calls.shape[-1]
    count = np.arange(r + 1)
    same = (count * (count - 1) + (r - count) * (r - count - 1)) / (r * (r - 1))
    share = count / r
    observed, called = number @ same, (number @ share)[:, None]
    chance = 2 * called * (1 - called)
    value = ((observed[:, None] - chance) / (1 - chance))[:, 0]
    of_case = (same - chance) / (1 - chance)
    expected_by_case = share * (1 - called) + (1 - share) * called
    of_case = of_case - 2 * (1 - value[:, None]) * (expected_by_case - chance) / (1 - chance)
    spread = np.sqrt((number * (of_case - value[:, None]) ** 2).sum(axis=1))
    return float(value.mean()), float(stats.norm.ppf(0.975) * spread.mean() / np.sqrt(planted.cases))


# ---- parts ----


def _how_many(chance: np.ndarray) -> np.ndarray:
    """Distribution of the number of successes: chances (..., trials) -> (..., trials + 1)."""
    found = np.zeros((*chance.shape[:-1], chance.shape[-1] + 1))
    found[..., 0] = 1
    for trial in range(chance.shape[-1]):
        p = chance[..., trial, None]
        found[..., 1:] = found[..., 1:] * (1 - p) + found[..., :-1] * p
        found[..., :1] *= 1 - p
    return found


def _with_cases(parts: Components, cases: int, other: int) -> Components:
    """Errors fall as the cases grow, differences between readers do not."""
    return replace(parts, error=parts.error * cases / other, shared=parts.shared * cases / other)


def _expected(parts: Components, r: int, cases: int, margin: float) -> tuple[float, float, float]:
    """P(equivalent), P(off chance and not equivalent), half the width of the 95 % interval: expectations over what the study estimates."""
    square = max(parts.between + parts.error - parts.shared, 0.0)  # expected MS(R)
    fixed = (parts.error + (r - 1) * parts.shared) / r  # variance of the mean over these readers
    middle = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    spread = square * stats.chi2.ppf(middle, r - 1)[:, None] / (r - 1)
    seen = fixed * stats.chi2.ppf(middle, cases - 2)[None, :] / (cases - 2)
    shared = np.maximum((r * seen - parts.error) / (r - 1), 0.0)
    spread = np.maximum(spread, parts.error - shared)  # the constrained form
    error = np.sqrt((spread + r * shared) / r)
    freedom = (spread + r * shared) ** 2 / spread**2 * (r - 1)
    h90, h95 = (stats.t.ppf(q, freedom) * error for q in (0.95, 0.975))
    scale, gap = np.sqrt(square / r + parts.shared), abs(parts.expected - CHANCE)
    inside, outside = np.maximum(margin - h90, 0), np.maximum(h95, margin - h90)
    equivalent = ndtr((inside - gap) / scale) - ndtr((-inside - gap) / scale)
    off_chance = ndtr((gap - outside) / scale) + ndtr((-gap - outside) / scale)
    half = (np.minimum(parts.expected + h95, 1) - np.maximum(parts.expected - h95, 0)) / 2  # an interval ends at 0 and 1
    return float(equivalent.mean()), float(off_chance.mean()), float(half.mean())
