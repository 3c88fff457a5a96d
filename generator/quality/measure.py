"""Quality, measured: synthetic strips against held-out recordings, each figure beside recordings of other patients in the same place.

    real       held out: what the synthetic strips are held against
    train      what the generator learned from; half of its patients teach the embedding, and of the other half as many recordings as
               there are synthetic strips take the synthetic strips' place: "real against real"

`quality` is the one entry. For several synthetic sets against the same recordings (steps, guidance) make a `Reference` once and call its
`measure`: what does not depend on the synthetic strips is computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from generator import utility
from generator.copies import beats
from generator.quality import distribution, heart, memorisation, realness
from generator.quality.network import Network, Settings, applied, trained
from generator.quality.resample import RESAMPLES
from generator.quality.result import BOTH, CHEAP, PARTS, RHYTHMS, Figure, Pair, Quality, QualityError, Strips, Target, pooled

Progress = Callable[[float, float, str], None]  # done, total, what is being done

EMBEDDING = Settings(iterations=350)
JUDGE = Settings(iterations=300)

LIMITS = {  # (part, figure): (what must be so, limit), set in issue 4 before anything was measured
    ("worth", "TSTR"): ("at least", 0.93),
    ("worth", "TRTS"): ("at least", 0.95),
    ("distribution", "coverage"): ("at least", 0.80),  # of coverage beside
    ("detail", "detail ratio"): ("within", 0.20),  # of 1
    ("realness", realness.NAME): ("at most", 0.75),
    ("memorisation", memorisation.SHARE): ("at most", 0.03),
}
_WEIGHT = {"worth": 8.0, "distribution": 30.0, "heart": 12.0, "detail": 1.0, "realness": 100.0, "memorisation": 5.0, "repeat": 1.0}  # seconds, about


def quality(
    real: Strips,
    synthetic: Strips,
    train: Strips,
    *,
    seed: int,
    parts: Sequence[str] = PARTS,
    embedding: Settings = EMBEDDING,
    judge: Settings = JUDGE,
    progress: Progress | None = None,
) -> Quality:
    """Everything that is measured of synthetic strips, or the `parts` named (CHEAP: those that train no network).

    real, train: recordings, no patient in both; synthetic: drawn strips. The same strips, seed and versions give the same figures. Raises
    QualityError for a patient in both, and for an arm without a strip; what too few strips leave undefined is None with a reason.
    """
    return Reference(real, train, seed, embedding, judge).measure(synthetic, parts, progress)


@dataclass
class Reference:
    """The recordings that synthetic strips are held against. Raises QualityError where a patient is in both sets, or one is empty."""

    real: Strips
    train: Strips
    seed: int
    embedding: Settings = EMBEDDING
    judge: Settings = JUDGE
    told: Callable[[float], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, strips in (("real", self.real), ("train", self.train)):
            if not len(strips):
                raise QualityError(f"There is no strip in the {name} set. Name recordings of NSR and AF.")
        shared = sorted(set(self.real.patient) & set(self.train.patient))
        if shared:
            some = f"{', '.join(shared[:3])}{' ...' if len(shared) > 3 else ''}"
            raise QualityError(f"{len(shared)} patients are in both real and train ({some}). Split recordings by patient, for instance by fold.")

    # ---- what does not depend on the synthetic strips ----

    @cached_property
    def learned(self) -> NDArray[np.bool_]:
        """(n,) of train: True where the patient is in the half that the embedding learns from. Halved within those with and without AF."""
        rng = np.random.default_rng([self.seed, 1])
        with_af = set(self.train.patient[self.train.rhythm == "AF"])
        chosen: set[str] = set()
        for group in (sorted(with_af), sorted(set(self.train.patient) - with_af)):
            order = rng.permutation(len(group))
            chosen |= {group[i] for i in order[: len(group) // 2]}
        return np.array([patient in chosen for patient in self.train.patient], dtype=bool)

    @cached_property
    def network(self) -> Network:
        taught = self.train.where(self.learned)
        return trained(taught.counts, taught.rhythm == "AF", self.embedding, self.seed, self.told)

    @cached_property
    def spread(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of each dimension over the half that the embedding learned from: the scale of all distances."""
        points = applied(self.network, self.train.where(self.learned).counts, embedded=True)
        return points.mean(axis=0), np.maximum(points.std(axis=0), 1e-6)

    def embedded(self, strips: Strips) -> NDArray[np.float64]:
        """(n, dims)"""
        mean, deviation = self.spread
        return (applied(self.network, strips.counts, embedded=True) - mean) / deviation

    @cached_property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return tuple(_table(strips) for strips in (self.train, self.real))  # type: ignore[return-value]

    @cached_property
    def real_measured(self) -> pd.DataFrame:
        return heart.measured(self.real.counts)

    @cached_property
    def train_beats(self) -> NDArray[np.float32]:
        return beats(self.train.counts)

    # ---- what is measured of a synthetic set ----

    def measure(self, synthetic: Strips, parts: Sequence[str] = PARTS, progress: Progress | None = None) -> Quality:
        """See `quality`."""
        unknown = [one for one in parts if one not in PARTS]
        if unknown or not parts:
            raise QualityError(f"There is no part {', '.join(unknown) or '(none named)'} to measure. Choose of {', '.join(PARTS)}.")
        if not len(synthetic):
            raise QualityError("There is no synthetic strip. Draw some of each rhythm.")
        chosen = [one for one in PARTS if one in parts]
        total = sum(_WEIGHT[one] for one in chosen)
        arms = _Arms(self, synthetic)
        figures: list[Figure] = []
        pairs: list[Pair] = []
        seconds, done = {}, 0.0
        with threadpool_limits(1):  # many small matrices: threads that wait for a busy core cost more than they save
            for part in chosen:

                def told(share: float, part: str = part, before: float = done) -> None:
                    if progress is not None:
                        progress(before + share * _WEIGHT[part], total, part.capitalize())

                told(0.0)
                self.told, begun = told, time.monotonic()
                made, closest = _PARTS[part](arms, np.random.SeedSequence([self.seed, PARTS.index(part)]), told)
                figures += made
                pairs += closest
                seconds[part] = round(time.monotonic() - begun, 1)
                done += _WEIGHT[part]
        self.told = None
        if progress is not None:
            progress(total, total, "")
        sizes = {"real": self.real.sizes(), "synthetic": synthetic.sizes(), "train": self.train.sizes()}
        sizes |= {"learned": self.train.where(self.learned).sizes(), "beside": arms.beside.sizes()}
        settings: dict[str, Any] = {"embedding": asdict(self.embedding), "judge": asdict(self.judge), "resamples": RESAMPLES}
        versions = {package: version(package) for package in ("blindstrip", "numpy", "scipy", "scikit-learn", "torch", "prdc")}
        return Quality(self.seed, tuple(chosen), sizes, tuple(figures), tuple(targets(figures)), tuple(pairs), settings, versions, seconds)


def targets(figures: Sequence[Figure]) -> list[Target]:
    """The figures that have a limit, each held against it by its value, never by the favourable end of its interval."""
    made = []
    for figure in figures:
        part, name = figure.part, figure.name.removesuffix(", gradient boosting")
        if (part, name) not in LIMITS or (part == "realness" and figure.rhythm != BOTH):
            continue
        words, limit = LIMITS[part, name]
        value, reason = figure.value, figure.reason
        if name == "coverage" and value is not None:
            name = "coverage, of real against real"
            if figure.beside:
                value = value / figure.beside
            else:
                value, reason = None, figure.beside_reason or "coverage of real against real is 0"
        if name == memorisation.SHARE and value is not None and figure.n_real < memorisation.ENOUGH:
            reason = f"only {figure.n_real} held-out recordings: chance alone gives {figure.beside or 0:.1%}"
        met = None if value is None else {"at least": value >= limit, "at most": value <= limit, "within": abs(value - 1) <= limit}[words]
        told = f"{1 - limit:g} to {1 + limit:g}" if words == "within" else f"{words} {limit:g}"
        made.append(Target(name, figure.rhythm, value, told, met, reason))
    return made


class _Arms:
    """The arms of one measurement: who takes whose place, in which number."""

    def __init__(self, reference: Reference, synthetic: Strips) -> None:
        self.reference, self.synthetic, self.real = reference, synthetic, reference.real
        rng = np.random.default_rng([reference.seed, 2])
        other, chosen, beside = np.flatnonzero(~reference.learned), [], []
        for rhythm in RHYTHMS:
            place, there = synthetic.places(rhythm), other[reference.train.rhythm[other] == rhythm]
            n = min(place.size, there.size)
            chosen.append(np.sort(rng.permutation(place)[:n]))
            beside.append(np.sort(rng.permutation(there)[:n]))
        self.equal = synthetic.where(np.concatenate(chosen))  # as many of each rhythm as stand beside
        self.beside = reference.train.where(np.concatenate(beside))

    @cached_property
    def measured(self) -> dict[str, tuple[pd.DataFrame, Strips]]:
        """All synthetic strips: distances between one-dimensional distributions hardly depend on n at these numbers, medians not at all."""
        synthetic, beside = (heart.measured(one.counts) for one in (self.synthetic, self.beside))
        tables = {"real": self.reference.real_measured, "synthetic": synthetic, "beside": beside}
        strips = {"real": self.real, "synthetic": self.synthetic, "beside": self.beside}
        return {arm: (table, strips[arm]) for arm, table in tables.items()}


Told = Callable[[float], None]
Made = tuple[list[Figure], list[Pair]]


def _worth(arms: _Arms, seed: np.random.SeedSequence, told: Told) -> Made:
    train, real = arms.reference.tables
    told(0.8)
    found = utility.utility(train, real, _table(arms.synthetic), seed=arms.reference.seed)
    made = []
    for classifier in utility.CLASSIFIERS:
        ceiling = found["TRTR"][classifier]
        for experiment in ("TSTR", "TRTS"):
            one = found[experiment][classifier]
            made.append(
                Figure(
                    "worth", f"{experiment}, {classifier}", BOTH, one["macro_f1"], ceiling["macro_f1"], _ends(one["ci"]), _ends(ceiling["ci"]),
                    "macro F1", n=len(arms.synthetic), n_real=len(arms.real), n_beside=len(arms.real),
                    reason=one["reason"], beside_reason=ceiling["reason"],
                )
            )  # fmt: skip
    return made, []


def _distribution(arms: _Arms, seed: np.random.SeedSequence, told: Told) -> Made:
    taught = arms.reference.train.where(arms.reference.learned)
    if min(taught.sizes().values()) < distribution.FEWEST:
        why = f"the embedding learns from half of train, {taught.sizes()['AF']} AF and {taught.sizes()['NSR']} NSR; {distribution.FEWEST} are needed"
        return [Figure("distribution", name, rhythm, None, reason=why) for rhythm in (*RHYTHMS, BOTH) for name in distribution.NAMES], []
    points = {name: arms.reference.embedded(strips) for name, strips in (("real", arms.real), ("equal", arms.equal), ("beside", arms.beside))}
    made: list[Figure] = []
    for rhythm in RHYTHMS:
        real, drawn, beside = (
            distribution.Cloud(points[name][strips.places(rhythm)], strips.patient[strips.places(rhythm)])
            for name, strips in (("real", arms.real), ("equal", arms.equal), ("beside", arms.beside))
        )
        made += distribution.figures(rhythm, real, drawn, beside, seed)
    for name in distribution.NAMES:
        made.append(pooled("distribution", name, [one for one in made if one.name == name]))
    return made, []


def _heart(arms: _Arms, seed: np.random.SeedSequence, told: Told) -> Made:
    return heart.figures("heart", dict(heart.OF_RHYTHM), arms.measured, seed), []


def _detail(arms: _Arms, seed: np.random.SeedSequence, told: Told) -> Made:
    return [heart.detail_ratio(rhythm, arms.measured, seed) for rhythm in RHYTHMS], []


def _repeat(arms: _Arms, seed: np.random.SeedSequence, told: Told) -> Made:
    return heart.figures("repeat", dict.fromkeys(RHYTHMS, ("beat_correlation",)), arms.measured, seed), []


def _realness(arms: _Arms, seed: np.random.SeedSequence, told: Told) -> Made:
    """The judge sees `real` and, as those may be few, recordings of the half that the embedding learned from; as many of each rhythm in each arm."""
    reference, rng = arms.reference, np.random.default_rng([arms.reference.seed, 3])
    taught = reference.train.where(reference.learned)
    recordings, drawn, others = [], [], []
    more = _joined(arms.real, taught)
    for rhythm in RHYTHMS:
        held, rest = arms.real.places(rhythm), len(arms.real) + rng.permutation(taught.places(rhythm))
        n = min(held.size + rest.size, arms.equal.places(rhythm).size)
        recordings.append(np.concatenate([rng.permutation(held), rest])[:n])
        drawn.append(rng.permutation(arms.equal.places(rhythm))[:n])
        others.append(rng.permutation(arms.beside.places(rhythm))[:n])
    real, synthetic, beside = (
        strips.where(np.concatenate(places)) for strips, places in ((more, recordings), (arms.equal, drawn), (arms.beside, others))
    )
    return realness.figures(real, synthetic, (real, beside), reference.judge, seed, told), []


def _memorisation(arms: _Arms, seed: np.random.SeedSequence, told: Told) -> Made:
    return memorisation.figures(arms.real, arms.synthetic, arms.reference.train_beats, seed)


_PARTS: dict[str, Callable[[_Arms, np.random.SeedSequence, Told], Made]] = {
    "worth": _worth,
    "distribution": _distribution,
    "heart": _heart,
    "detail": _detail,
    "realness": _realness,
    "memorisation": _memorisation,
    "repeat": _repeat,
}


def _table(strips: Strips) -> pd.DataFrame:
    return utility.labelled(strips.counts, list(strips.rhythm), list(strips.patient))


def _joined(one: Strips, other: Strips) -> Strips:
    return Strips(*(np.concatenate([getattr(strips, name) for strips in (one, other)]) for name in ("counts", "rhythm", "patient")))


def _ends(interval: list[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


__all__ = ["CHEAP", "PARTS", "Reference", "Settings", "Strips", "quality"]
