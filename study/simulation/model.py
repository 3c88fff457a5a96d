"""Simulated readers: what is planted, and the answers that come of it.

The decision variable of Roe and Metz (1997, Acad Radiol 4:298) for one modality, with equal variances in both arms: what reader j feels when
seeing case k for the t-th time is

    +- d_j / 2 - c_j + case_k + own_jk + noise_jkt        (+ for a synthetic strip, - for a real one)

d_j (skill) and c_j (criterion) are normal over readers. case_k, which all readers share, own_jk, the reader's own view of the case, alike
whenever they see it, and noise_jkt, which is fresh, are normal over cases; their variances add up to 1. Five limits cut it into the scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from study.errors import StudyError
from study.protocol import MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, RHYTHM_ANSWERS
from study.simulation.normal import joint_steps

LIMITS = np.array([-1.1, -0.4, 0.0, 0.4, 1.1])  # between the six answers; above 0 the strip is called synthetic
EDGES = np.concatenate([[-np.inf], LIMITS, [np.inf]])
RHYTHM_RIGHT = 0.93  # of the answers on rhythm, in both arms, independent of everything else
MORPHOLOGY_SHARES = (0.85, 0.10, 0.05)  # of MORPHOLOGY_ANSWERS, likewise
MOST_READERS, MOST_CASES = 200, 1000
_LARGEST = 16.0  # the strongest mean separation looked for


@dataclass(frozen=True)
class Planted:
    """A study to simulate. Raises StudyError, naming the field, for values that make no study."""

    sites: int = 2
    readers: int = 4  # of each site
    cases: int = 60  # scored, half of them synthetic, in each arm half of each rhythm
    auc: float = 0.5  # of the six-point scale, expected over readers
    bias: float = 0.0  # z units towards calling strips synthetic: 0.25 calls 60 % of them so at chance
    repeats: int = 0  # of the cases, shown a second time to every reader
    skill_sd: float = 0.2  # of readers, in d'
    criterion_sd: float = 0.3  # of readers, in z units
    case_share: float = 0.3  # of the variance over cases: alike for all readers
    own_share: float = 0.3  # the reader's own view of a case, alike in a repeat

    def __post_init__(self) -> None:
        whole = (("sites", 1, 50), ("readers", 1, MOST_READERS), ("cases", 12, MOST_CASES), ("repeats", 0, MOST_CASES))
        for name, least, most in whole:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise StudyError(f"{name}: {value!r} is out of range. Choose a whole number from {least} to {most}.")
        numbers = (("auc", 0.001, 0.999), ("bias", -2, 2), ("skill_sd", 0, 1), ("criterion_sd", 0, 1), ("case_share", 0, 0.9), ("own_share", 0, 0.9))
        for name, low, high in numbers:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise StudyError(f"{name}: {value!r} is out of range. Choose a number from {low:g} to {high:g}.")
        if not 2 <= self.all_readers <= MOST_READERS:
            raise StudyError(f"readers: {self.readers} at each of {self.sites} sites are {self.all_readers}. Choose 2 to {MOST_READERS} in all.")
        if self.cases % 2:
            raise StudyError(f"cases: {self.cases} cannot be half real and half synthetic. Choose an even number.")
        if self.repeats > self.cases or self.shown > MOST_CASES:
            raise StudyError(
                f"repeats: {self.repeats} of {self.cases} cases cannot be shown again. Choose fewer: at most {MOST_CASES} showings in all."
            )
        if self.case_share + self.own_share > 0.95:
            raise StudyError(
                "case_share, own_share (what strips are to all readers, and to one): together they leave less than 5 % of the variance to chance. "
                "Choose smaller shares."
            )

    @property
    def all_readers(self) -> int:
        return self.sites * self.readers

    @property
    def shown(self) -> int:
        """Cases that each reader reads, repeats included."""
        return self.cases + self.repeats

    @cached_property
    def separation(self) -> float:
        """Mean d_j, such that the AUC of the six-point scale, expected over readers, is the one planted."""
        return round(float(brentq(lambda d: expected_auc(self, d) - self.auc, -_LARGEST, _LARGEST, xtol=1e-13)), 12)

    @property
    def criterion(self) -> float:
        """Mean c_j."""
        return 0.0 - self.bias

    def with_accuracy(self, accuracy: float) -> Planted:
        """The same study with another AUC, such that sensitivity and specificity, expected over readers, average `accuracy`."""
        spread = np.sqrt(1 + self.skill_sd**2 / 4 + self.criterion_sd**2)

        def short(d: float) -> float:
            return float(ndtr((d / 2 - self.criterion) / spread) + ndtr((d / 2 + self.criterion) / spread)) / 2 - accuracy

        return replace(self, auc=expected_auc(self, float(brentq(short, -_LARGEST, _LARGEST, xtol=1e-12))))


def expected_auc(planted: Planted, separation: float) -> float:
    """P(a synthetic strip gets the higher answer) + P(equal answers) / 2 for a reader taken at random, both strips read by the same one.

    What one reader feels of two strips, one of each arm, is a pair of normal variables whose covariance is that reader's skill and criterion.
    """
    variance = 1 + planted.skill_sd**2 / 4 + planted.criterion_sd**2
    shared = planted.criterion_sd**2 - planted.skill_sd**2 / 4
    synthetic, real = ((EDGES - (half - planted.criterion)) / np.sqrt(variance) for half in (separation / 2, -separation / 2))
    joint = joint_steps(synthetic, real, shared / variance)
    return float(np.tril(joint, -1).sum() + np.trace(joint) / 2)


# ---- readers and their answers ----


@dataclass(frozen=True)
class Readers:
    """The readers of one simulated study."""

    skill: np.ndarray  # (readers,) d_j
    criterion: np.ndarray  # (readers,) c_j

    def leaning(self) -> np.ndarray:
        """Mean of what they feel: (2, readers), of real strips, then of synthetic ones."""
        return np.stack([-self.skill / 2 - self.criterion, self.skill / 2 - self.criterion])


@dataclass(frozen=True)
class Shown:
    """The cases of a study, in an order of its own: all that a simulated reader needs to know."""

    synthetic: np.ndarray  # (cases,) bool
    rhythm: np.ndarray  # (cases,) place in RHYTHM_ANSWERS: 0 NSR, 1 AF
    repeated: np.ndarray  # (repeats,) places of the cases that are shown again


@dataclass(frozen=True)
class Answers:
    """Answers to the cases, then to the repeats: (cases + repeats, readers)."""

    step: np.ndarray  # 1 to 6
    rhythm: np.ndarray  # places in RHYTHM_ANSWERS
    morphology: np.ndarray  # (cases + repeats, readers, items) places in MORPHOLOGY_ANSWERS


def shown(planted: Planted) -> Shown:
    """Cases as any study of this design has them, where no round lays them out: arms and rhythms in turn, the first ones repeated."""
    place = np.arange(planted.cases)
    return Shown(place % 2 == 1, place // 2 % 2, place[: planted.repeats])


def rng(seed: int, study: int) -> np.random.Generator:
    """The stream of one simulated study, counted from 0."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(study,)))


def draw_readers(planted: Planted, generator: np.random.Generator) -> Readers:
    number = planted.all_readers
    return Readers(
        planted.separation + planted.skill_sd * generator.standard_normal(number),
        planted.criterion + planted.criterion_sd * generator.standard_normal(number),
    )


def draw_steps(planted: Planted, readers: Readers, cases: Shown, generator: np.random.Generator) -> np.ndarray:
    """(cases + repeats, readers) answers on the six-point scale, 1 to 6."""
    number, count = len(readers.skill), len(cases.synthetic)
    lasting = readers.leaning()[cases.synthetic.astype(int)] + np.sqrt(planted.case_share) * generator.standard_normal((count, 1))
    lasting = lasting + np.sqrt(planted.own_share) * generator.standard_normal((count, number))
    fresh = np.sqrt(1 - planted.case_share - planted.own_share) * generator.standard_normal((count + len(cases.repeated), number))
    return np.searchsorted(LIMITS, np.concatenate([lasting, lasting[cases.repeated]]) + fresh) + 1


def draw_answers(planted: Planted, readers: Readers, cases: Shown, generator: np.random.Generator) -> Answers:
    step = draw_steps(planted, readers, cases, generator)
    label = np.concatenate([cases.rhythm, cases.rhythm[cases.repeated]])[:, None]
    wrong = generator.integers(1, len(RHYTHM_ANSWERS), size=step.shape)
    right = generator.random(step.shape) < RHYTHM_RIGHT
    rhythm = np.where(right, label, (label + wrong) % len(RHYTHM_ANSWERS))
    morphology = generator.choice(len(MORPHOLOGY_ANSWERS), size=(*step.shape, len(MORPHOLOGY_ITEMS)), p=MORPHOLOGY_SHARES)
    return Answers(step, rhythm, morphology)
