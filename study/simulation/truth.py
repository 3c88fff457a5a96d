"""What the analysis of a simulated study should find: computed from what was planted, never estimated from answers.

For readers at random (`of_new_readers`) a reader's skill and criterion are part of what is normal: sensitivity is
Phi((d / 2 - c) / s) with s^2 = 1 + skill_sd^2 / 4 + criterion_sd^2, agreement a probability of two correlated normals. For the readers of one
study (`of_these_readers`) skill and criterion are known numbers, and only cases and noise are random.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtr

from study.simulation.model import EDGES, RHYTHM_RIGHT, Planted, Readers
from study.simulation.normal import both_below, joint_steps, steps

REAL, SYNTHETIC = 0, 1


@dataclass(frozen=True)
class Agreement:
    """Two answers, real or synthetic, to the same strip: both synthetic, both real, and the share called synthetic, means over pairs."""

    both_synthetic: float
    both_real: float
    called_synthetic: float

    @property
    def raw(self) -> float:
        return self.both_synthetic + self.both_real

    @property
    def ac1(self) -> float:
        """Gwet 2008: chance agreement 2 p (1 - p)."""
        return _beyond(self.raw, 2 * self.called_synthetic * (1 - self.called_synthetic))

    @property
    def kappa(self) -> float:
        """Fleiss' over readers; Cohen's of a reader's two readings, whose shares are alike."""
        return _beyond(self.raw, self.called_synthetic**2 + (1 - self.called_synthetic) ** 2)

    def mixed(self, other: Agreement, weight: float) -> Agreement:
        """Of strips of two kinds, `weight` of them of the other."""
        mine, theirs = (np.array([one.both_synthetic, one.both_real, one.called_synthetic]) for one in (self, other))
        return Agreement(*((1 - weight) * mine + weight * theirs).tolist())


@dataclass(frozen=True)
class Truth:
    """What is expected; agreements by arm, real and synthetic."""

    sensitivity: float
    specificity: float
    auc: float  # of the six-point scale
    d_prime: float
    criterion: float
    rhythm_right: float
    between: tuple[Agreement, Agreement]  # two readers
    within: tuple[Agreement, Agreement]  # a reader and the same reader once more
    within_steps: tuple[float, float]  # the same, equal answers on the six-point scale

    @property
    def accuracy(self) -> float:
        """Where both arms have as many strips; balanced accuracy anywhere."""
        return (self.sensitivity + self.specificity) / 2

    def as_dict(self) -> dict[str, float]:
        told = {name: getattr(self, name) for name in ("accuracy", "sensitivity", "specificity", "auc", "d_prime", "criterion", "rhythm_right")}
        for kind, pair in (("between_readers", self.between), ("within_readers", self.within)):
            for arm, one in (("all", pair[REAL].mixed(pair[SYNTHETIC], 0.5)), ("real", pair[REAL]), ("synthetic", pair[SYNTHETIC])):
                told |= {f"raw_agreement_{kind}_{arm}": one.raw, f"ac1_{kind}_{arm}": one.ac1, f"kappa_{kind}_{arm}": one.kappa}
        return told


def of_new_readers(planted: Planted) -> Truth:
    """Expected over readers, cases and noise."""
    between = planted.skill_sd**2 / 4 + planted.criterion_sd**2  # variance of a reader's leaning
    whole = 1 + between
    leaning = np.array([-planted.separation / 2, planted.separation / 2]) - planted.criterion
    called = ndtr(leaning / np.sqrt(whole))
    same = planted.case_share + planted.own_share
    within = [joint_steps(limits, limits, (same + between) / whole) for limits in ((EDGES - one) / np.sqrt(whole) for one in leaning)]
    return Truth(
        sensitivity=float(called[SYNTHETIC]),
        specificity=float(1 - called[REAL]),
        auc=planted.auc,
        d_prime=planted.separation,
        criterion=planted.criterion,
        rhythm_right=RHYTHM_RIGHT,
        between=_pair(_agreement(one, one, planted.case_share / whole) for one in leaning / np.sqrt(whole)),
        within=_pair(_agreement(one, one, (same + between) / whole) for one in leaning / np.sqrt(whole)),
        within_steps=(float(np.trace(within[REAL])), float(np.trace(within[SYNTHETIC]))),
    )


def of_these_readers(planted: Planted, readers: Readers) -> Truth:
    """Means over the readers of one study, and over their pairs; expected over cases and noise."""
    leaning = readers.leaning()
    called = ndtr(leaning)
    same = planted.case_share + planted.own_share
    first, second = np.array(list(combinations(range(leaning.shape[1]), 2))).T
    limits = EDGES - leaning[:, :, None]
    again = np.trace(joint_steps(limits, limits, same), axis1=-2, axis2=-1).mean(axis=1)
    return Truth(
        sensitivity=float(called[SYNTHETIC].mean()),
        specificity=float(1 - called[REAL].mean()),
        auc=float(aucs(readers).mean()),
        d_prime=float(readers.skill.mean()),
        criterion=float(readers.criterion.mean()),
        rhythm_right=RHYTHM_RIGHT,
        between=_pair(_agreement(one[first], one[second], planted.case_share) for one in leaning),
        within=_pair(_agreement(one, one, same) for one in leaning),
        within_steps=(float(again[REAL]), float(again[SYNTHETIC])),
    )


def accuracies(readers: Readers) -> np.ndarray:
    """(readers,) each one's own, over cases of both arms alike."""
    called = ndtr(readers.leaning())
    return np.asarray((called[SYNTHETIC] + 1 - called[REAL]) / 2)


def aucs(readers: Readers) -> np.ndarray:
    """(readers,) each one's own, of the six-point scale."""
    real, synthetic = steps(EDGES - readers.leaning()[:, :, None])
    below = np.cumsum(real, axis=-1) - real
    return np.asarray((synthetic * (below + real / 2)).sum(axis=-1))


def _agreement(first: np.ndarray, second: np.ndarray, correlation: float) -> Agreement:
    """Of two who lean so and whose feelings have that correlation; means where there are several."""
    both = both_below(first, second, correlation)
    called = (ndtr(first) + ndtr(second)) / 2
    return Agreement(float(np.mean(both)), float(np.mean(1 - 2 * called + both)), float(np.mean(called)))


def _pair(both: Iterable[Agreement]) -> tuple[Agreement, Agreement]:
    real, synthetic = both
    return real, synthetic


def _beyond(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected)
