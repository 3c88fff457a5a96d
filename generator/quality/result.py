"""What a measurement of quality consists of: strips in, figures, targets and closest pairs out. No torch here: pages show these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import GeneratorError
from generator.leads import STORED
from generator.strip import SAMPLES

RHYTHMS = ("AF", "NSR")
BOTH = "both"  # the mean of the rhythms' figures: each weighs the same, however many strips it has
PARTS = ("worth", "distribution", "heart", "detail", "realness", "memorisation", "repeat")
CHEAP = ("worth", "heart", "detail", "memorisation", "repeat")  # those without a network to train: some 30 s where all take minutes


class QualityError(GeneratorError):
    """Strips that cannot be measured: another shape, another rhythm, a patient on both sides, a part that does not exist."""


@dataclass(frozen=True)
class Strips:
    """Strips with whose they are. counts: (n, 8, 1000) int16 canonical; rhythm, patient: (n,) str. QualityError where they do not fit."""

    counts: NDArray[np.integer]
    rhythm: NDArray[np.str_]
    patient: NDArray[np.str_]

    @classmethod
    def of(cls, counts: NDArray[np.integer], rhythm: Sequence[str], patient: Sequence[str] | None = None) -> Strips:
        """patient None: each strip is its own, as drawn strips are."""
        strips = np.asarray(counts)
        if strips.ndim != 3 or strips.shape[1:] != (len(STORED), SAMPLES) or not np.issubdtype(strips.dtype, np.integer):
            raise QualityError(
                f"Quality is measured on canonical counts (n, {len(STORED)}, {SAMPLES}), not on {strips.dtype} of shape {strips.shape}."
            )
        whose = [f"strip {i}" for i in range(len(strips))] if patient is None else [str(one) for one in patient]
        if len(rhythm) != len(strips) or len(whose) != len(strips):
            raise QualityError(f"{len(strips)} strips, {len(rhythm)} rhythms, {len(whose)} patients: give one of each for every strip.")
        unknown = sorted(set(map(str, rhythm)) - set(RHYTHMS))
        if unknown:
            raise QualityError(f"Rhythm {', '.join(unknown)} is unknown. Give {' or '.join(RHYTHMS)} for each strip.")
        return cls(strips, np.array(list(map(str, rhythm)), dtype=np.str_), np.array(whose, dtype=np.str_))

    def __len__(self) -> int:
        return len(self.counts)

    def where(self, which: NDArray[np.bool_] | NDArray[np.integer]) -> Strips:
        return Strips(self.counts[which], self.rhythm[which], self.patient[which])

    def places(self, rhythm: str) -> NDArray[np.int64]:
        """Where the strips of a rhythm are."""
        return np.flatnonzero(self.rhythm == rhythm)

    def sizes(self) -> dict[str, int]:
        return {rhythm: int((self.rhythm == rhythm).sum()) for rhythm in RHYTHMS}


@dataclass(frozen=True)
class Figure:
    """One figure, beside the same figure of recordings that took the synthetic strips' place. Undefined: None, and why."""

    part: str  # of PARTS
    name: str
    rhythm: str  # AF, NSR or both
    value: float | None
    beside: float | None = None
    interval: tuple[float, float] | None = None  # 95 %, bootstrap over patients
    beside_interval: tuple[float, float] | None = None
    unit: str = "1"
    n: int = 0  # synthetic strips in it
    n_real: int = 0  # recordings that they are compared with
    n_beside: int = 0  # recordings in the synthetic strips' place
    median: float | None = None  # of the synthetic strips, where the figure is a distance between distributions
    median_real: float | None = None
    reason: str | None = None  # why value, or its interval, is None
    beside_reason: str | None = None

    def __post_init__(self) -> None:
        for one in (self.value, self.beside, self.median, self.median_real, *(self.interval or ()), *(self.beside_interval or ())):
            if one is not None and not np.isfinite(one):
                raise ValueError(f"{self.part}, {self.name}, {self.rhythm}: {one}. What is undefined is None, with a reason.")

    @property
    def key(self) -> tuple[str, str, str]:
        return self.part, self.name, self.rhythm


@dataclass(frozen=True)
class Target:
    """A figure held against the limit that was set before it was measured. met: None where the figure is undefined."""

    name: str
    rhythm: str
    value: float | None
    limit: str  # "at least 0.93"
    met: bool | None
    reason: str | None = None


@dataclass(frozen=True)
class Pair:
    """A synthetic strip and the training strip whose beat is nearest to its own."""

    rhythm: str  # of the synthetic strip
    distance: float  # 1 - correlation
    synthetic: int  # which of the synthetic strips that were given, from 0
    train: int  # which of the training strips


@dataclass(frozen=True)
class Quality:
    """All that was measured. as_dict() is JSON-able, with names that stay."""

    seed: int
    parts: tuple[str, ...]
    sizes: dict[str, dict[str, int]]  # real, synthetic, train, learned, beside: strips of each rhythm
    figures: tuple[Figure, ...]
    targets: tuple[Target, ...]
    pairs: tuple[Pair, ...]
    settings: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # that each part took

    def figure(self, part: str, name: str, rhythm: str = BOTH) -> Figure:
        """KeyError where it was not measured."""
        found = [one for one in self.figures if one.key == (part, name, rhythm)]
        if not found:
            raise KeyError(f"{part}, {name}, {rhythm}")
        return found[0]

    def as_dict(self) -> dict[str, Any]:
        listed = {"figures": self.figures, "targets": self.targets, "pairs": self.pairs}
        plain = {name: [_plain(one) for one in rows] for name, rows in listed.items()}
        rest = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in listed}
        return {"format": 1, **rest, "parts": list(self.parts), **plain}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Quality:
        """What as_dict gave, also through JSON."""
        ends = ("interval", "beside_interval")
        figures = tuple(Figure(**{**row, **{name: _pair(row[name]) for name in ends}}) for row in stored["figures"])
        rest = {one.name: stored[one.name] for one in fields(cls) if one.name not in ("figures", "targets", "pairs", "parts")}
        targets, pairs = tuple(Target(**row) for row in stored["targets"]), tuple(Pair(**row) for row in stored["pairs"])
        return cls(**rest, parts=tuple(stored["parts"]), figures=figures, targets=targets, pairs=pairs)


def pooled(part: str, name: str, figures: Iterable[Figure], **more: Any) -> Figure:
    """The mean of a figure over the rhythms, each weighing the same; without an interval of its own, as the rhythms have theirs."""
    each = list(figures)
    missing = [one for one in each if one.value is None]
    if len(each) < len(RHYTHMS) or missing:
        why = "; ".join(f"{one.rhythm}: {one.reason}" for one in missing) or "a rhythm is missing"
        return Figure(part, name, BOTH, None, reason=why, **more)
    without = [one for one in each if one.beside is None]
    beside = None if without else float(np.mean([one.beside for one in each if one.beside is not None]))
    counted = {count: sum(getattr(one, count) for one in each) for count in ("n", "n_real", "n_beside")}
    value = float(np.mean([one.value for one in each if one.value is not None]))
    why_not = "; ".join(f"{one.rhythm}: {one.beside_reason}" for one in without) or None
    return Figure(part, name, BOTH, value, beside, beside_reason=why_not, **counted, **more)


def _plain(one: Any) -> dict[str, Any]:
    row = asdict(one)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


def _pair(ends: Any) -> tuple[float, float] | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
