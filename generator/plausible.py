"""Do the leads that a checkpoint draws look like leads? Published preprocessing has exchanged, shifted and inverted them.

Nothing here tells a real strip from a good synthetic one: it tells V1 from aVF, up from down and millivolts from other units. Strips are held
against 435 recordings of PTB-XL (folds 1 to 8, half of them AF) by what leads owe to where they lie on the body: which resemble each other, which
point up, which are large. II cannot be told from aVF, nor I from II: to exchange those turns the heart's axis by some 10 to 40 degrees, as
another patient would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.beats import r_peaks
from generator.leads import LEADS, STORED, limb_weights
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES

_CHEST = STORED[2:]
KNOWN_ORDERS = (
    ("I", *_CHEST, "aVF"),  # SSSD-ECG on PTB-XL; the published sampling on MIMIC reads this
    ("I", "aVF", *_CHEST),  # the published training on MIMIC
    ("I", "II", *_CHEST),  # blindstrip
)

# Ranges that medians of four recordings, two of them AF, keep in 999 of 1,000 draws, and somewhat beyond.
HEARTBEAT_SHARE = 0.85  # of the strips; each of 1,856 recordings has one
AMPLITUDE_MV = {  # QRS complex from peak to peak
    **{"I": (0.24, 1.7), "II": (0.26, 1.7), "V1": (0.3, 2.4), "V2": (0.45, 4.0)},
    **{"V3": (0.55, 4.0), "V4": (0.7, 4.0), "V5": (0.6, 4.0), "V6": (0.42, 3.2)},
}
SPREAD = (0.22, 1.0)  # standard deviation over leads of log amplitude; 0.1 where each lead of each strip was stretched to 0..1
POLARITY = {  # (R + S) / (R - S): near 0 a QRS complex is isoelectric. II is left out, as it is negative in a quarter of AF
    **{"I": (-0.15, 1.0), "V5": (-0.15, 1.0), "V6": (-0.15, 1.0), "aVR": (-1.0, 0.15), "V1": (-1.0, 0.15)},
}
GROWTH = (0.15, 1.0)  # by how much R's share of the QRS complex is larger in V5 than in V1
NEIGHBOURS = (-0.02, 2.0)  # how much more a chest lead resembles the next one than the one after it
NEAREST = (0.0, 1.2)  # distance from the template below; 0.5 in four recordings, 0.35 in eight
_MARGIN = 0.02  # another reading must be nearer by this much
_KNOWN = 0.1  # a known order may be further than an unknown one by this much: it is the better guess

# What real recordings measure, mean and standard deviation between strips: the 218 AF and every sixth NSR recording of folds 1 to 8.
# TOGETHER: Fisher's z of the correlation of two leads over the whole strip; a row is a lead with those after it, in the order I, II, V1..V6.
TOGETHER = (
    (1.09, -0.89, -0.16, 0.36, 0.92, 1.35, 1.43),
    (-0.65, -0.09, 0.48, 1.09, 1.43, 1.45),
    (1.10, 0.46, -0.18, -0.67, -0.93),
    (1.32, 0.48, -0.02, -0.27),
    (1.30, 0.65, 0.35),
    (1.63, 1.12),
    (1.97,),
)
TOGETHER_SD = (
    (0.70, 0.60, 0.65, 0.83, 0.80, 0.63, 0.61),
    (0.60, 0.62, 0.75, 0.68, 0.61, 0.65),
    (0.65, 0.73, 0.67, 0.57, 0.56),
    (0.72, 0.65, 0.65, 0.66),
    (0.71, 0.82, 0.85),
    (0.83, 0.83),
    (0.64,),
)
# UP: (R + S) / (R - S) of the QRS complex, 1 where all of it is above the line, -1 where all is below.
UP = (0.69, 0.53, -0.66, -0.46, -0.16, 0.26, 0.59, 0.74)
UP_SD = (0.29, 0.44, 0.36, 0.41, 0.51, 0.48, 0.33, 0.26)
# SIZE: logarithm of a lead's QRS amplitude less its mean over the eight leads.
SIZE = (-0.47, -0.43, -0.27, 0.22, 0.33, 0.38, 0.27, -0.01)
SIZE_SD = (0.39, 0.34, 0.37, 0.40, 0.34, 0.29, 0.30, 0.30)

_QRS = np.arange(-6, 7)  # samples around R
_LARGEST_R = 0.995  # Fisher's z ends there
_PAIRS = np.triu_indices(len(STORED), 1)
_MEAN = np.concatenate([*TOGETHER, UP, SIZE])
_SD = np.concatenate([*TOGETHER_SD, UP_SD, SIZE_SD])


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. measured and expected have the same names; expected are the least and the greatest value, in `unit`."""

    name: str
    passed: bool
    measured: Mapping[str, float]
    expected: Mapping[str, tuple[float, float]]
    unit: str
    found: str  # for a person
    remedy: str  # what to do where it failed

    @property
    def sentence(self) -> str:
        return f"{self.found} {self.remedy}".strip()


@dataclass(frozen=True)
class Plausibility:
    """What `check` found. Distances: 0 is the mean of real recordings, 1 as far from it as single ones commonly are; NaN: no heartbeat."""

    plausible: bool
    findings: tuple[Finding, ...]
    order: tuple[str, ...]  # as stated
    distance: float  # read so
    best_order: tuple[str, ...]  # the stated one and KNOWN_ORDERS: the nearest, and of those that differ in limb leads alone, the stated one
    best_distance: float
    strips: int

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to do, each thing once."""
        return tuple(dict.fromkeys(finding.remedy for finding in self.findings if finding.remedy))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        findings = [
            {**asdict(finding), "sentence": finding.sentence, "expected": {name: list(ends) for name, ends in finding.expected.items()}}
            for finding in self.findings
        ]
        distances = {name: None if np.isnan(value) else value for name, value in (("distance", self.distance), ("best_distance", self.best_distance))}
        return {**vars(self), "findings": findings, "order": list(self.order), "best_order": list(self.best_order), **distances}


def check(counts: NDArray[np.integer], order: Sequence[str]) -> Plausibility:
    """Whether strips of one checkpoint show plausible leads.

    counts: (n, 8, 1000) canonical counts, both rhythms in equal numbers; 4 strips will do, 8 are better. order: the channels' leads, as stated when
    the checkpoint was converted. GeneratorError for an order that is none, ValueError for another shape. About 10 ms.

    Real recordings of fold 9, half of them AF, are refused in 4 of 1,000 draws of four, and in none of 2,250 draws of eight.
    """
    strips, stated = np.asarray(counts), tuple(order)
    limb_weights(stated)
    if strips.ndim != 3 or strips.shape[1:] != (len(STORED), SAMPLES):
        raise ValueError(f"check takes strips of shape (n, {len(STORED)}, {SAMPLES}), not {strips.shape}")
    times = [r_peaks(strip) for strip in strips]
    beating = [i for i, found in enumerate(times) if found.size >= 3]
    heartbeat = _heartbeat(len(beating), len(strips))
    if not beating:
        return Plausibility(False, (heartbeat,), stated, np.nan, stated, np.nan, len(strips))
    drawn = _Leads.of(strips[beating], [times[i] for i in beating])
    reading = _Reading(stated, (1,) * len(stated), stated)
    nearest = _nearest(drawn, reading)
    cure = _cure(nearest)
    findings = (
        heartbeat,
        _amplitude(drawn, cure),
        _polarity(drawn, cure),
        _growth(drawn, cure),
        _neighbours(drawn, cure),
        _arrangement(drawn, reading, nearest, cure),
    )
    best, distance = _best_known(drawn, reading)
    passed = all(finding.passed for finding in findings)
    return Plausibility(passed, findings, stated, float(_distances(drawn, [reading])[0]), best.order, distance, len(strips))


def lead_measures(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """(n, 44), a row a strip: what TOGETHER, UP and SIZE hold the means and deviations of, in that order.

    counts: (n, 8, 1000) canonical counts with a heartbeat in each; ValueError where none is found.
    """
    times = [r_peaks(strip) for strip in counts]
    if not all(found.size for found in times):
        raise ValueError("lead_measures takes strips with a heartbeat")
    drawn = _Leads.of(np.asarray(counts), times)
    return _measures(drawn, np.eye(len(STORED))[None])[0]


# ---- how leads are read ----


@dataclass(frozen=True)
class _Leads:
    """What is linear in the leads, so that another reading of the channels is a matrix away."""

    covariance: NDArray[np.float64]  # (n, 8, 8) over the whole strip, mV^2
    qrs: NDArray[np.float64]  # (n, 8, 13) the mean QRS complex, mV

    @classmethod
    def of(cls, strips: NDArray[np.integer], times: Sequence[NDArray[np.float64]]) -> _Leads:
        mv = strips * (MICROVOLTS_PER_COUNT / 1000)
        whole = [np.clip(np.rint(found * RATE).astype(int), -_QRS[0], SAMPLES - 1 - _QRS[-1]) for found in times]
        qrs = [strip[:, at[:, None] + _QRS].mean(axis=1) for strip, at in zip(mv, whole, strict=True)]
        return cls(np.stack([np.cov(strip) for strip in mv]), np.stack(qrs))


@dataclass(frozen=True)
class _Reading:
    """A way to read the channels: leads in another order than stated, some of them inverted."""

    order: tuple[str, ...]  # of the channels
    signs: tuple[int, ...]  # of the channels, -1: inverted
    stated: tuple[str, ...]

    def matrix(self) -> NDArray[np.float64]:
        """(8, 8): the stored leads in this reading = matrix @ the stored leads as they are."""
        return np.asarray(_weights(self.order) * np.array(self.signs) @ np.linalg.inv(_weights(self.stated)))

    def __str__(self) -> str:
        words = [f"in the order {', '.join(self.order)}"] if self.order != self.stated else []
        inverted = self.inverted()
        return " and ".join([*words, *([f"with {_listed(inverted)} inverted"] if inverted else [])])

    def inverted(self) -> list[str]:
        return [lead for lead, sign in zip(self.order, self.signs, strict=True) if sign < 0]


@lru_cache(maxsize=1000)
def _weights(order: tuple[str, ...]) -> NDArray[np.float64]:
    return limb_weights(order)


def _listed(leads: Sequence[str]) -> str:
    return " and ".join([", ".join(leads[:-1])] * (len(leads) > 1) + [leads[-1]])


def _correlation(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 with a lead that is flat."""
    spread = np.sqrt(np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), 1e-12))
    return np.asarray(covariance / (spread[..., :, None] * spread[..., None, :]))


def _up(qrs: NDArray[np.float64]) -> NDArray[np.float64]:
    high, low = qrs.max(axis=-1), qrs.min(axis=-1)
    return np.asarray((high + low) / np.maximum(high - low, 1e-6))


def _measures(drawn: _Leads, matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(readings, n, 44) for the matrices (readings, 8, 8)."""
    by = matrices[:, None]
    together = _correlation(by @ drawn.covariance @ by.swapaxes(-1, -2))[..., *_PAIRS]
    qrs = by @ drawn.qrs
    size = np.log(np.maximum(np.ptp(qrs, axis=-1), 1e-6))
    size -= size.mean(axis=-1, keepdims=True)
    return np.concatenate([np.arctanh(np.clip(together, -_LARGEST_R, _LARGEST_R)), _up(qrs), size], axis=-1)


def _distances(drawn: _Leads, readings: Sequence[_Reading]) -> NDArray[np.float64]:
    """(readings,): root mean square over the measures of (mean over strips - mean of recordings) / standard deviation between recordings."""
    measures = _measures(drawn, np.stack([reading.matrix() for reading in readings]))
    return np.asarray(np.sqrt(np.mean(((measures.mean(axis=1) - _MEAN) / _SD) ** 2, axis=-1)))


def _best_known(drawn: _Leads, stated: _Reading) -> tuple[_Reading, float]:
    """The stated order, or a known one where that is nearer; and its distance."""
    readings = [replace(stated, order=order) for order in _known(stated.order)]
    distances = _distances(drawn, readings)
    best = int(np.argmin(distances + np.array([0.0] + [_MARGIN] * (len(readings) - 1))))
    return readings[best], float(distances[best])


def _nearest(drawn: _Leads, stated: _Reading) -> _Reading:
    """The stated reading where none comes nearer to real recordings; else a known order, or where steps from the stated one lead."""
    here, distance = stated, float(_distances(drawn, [stated])[0])
    while True:
        steps = list(_steps(here))
        distances = _distances(drawn, steps)
        if distances.min() > distance - _MARGIN:
            break
        here, distance = steps[int(np.argmin(distances))], float(distances.min())
    known, known_distance = _best_known(drawn, stated)
    return known if known != stated and known_distance < distance + _KNOWN else _limb_leads_in_place(here)


def _limb_leads_in_place(reading: _Reading) -> _Reading:
    """Limb leads cannot be told from each other: of the two readings the one that leaves more channels as stated, or these in order."""
    one, other = sorted((lead for lead in reading.order if lead not in _CHEST), key=[*reading.stated, *LEADS].index)
    turned = replace(reading, order=tuple({one: other, other: one}.get(lead, lead) for lead in reading.order))

    def as_stated(a: _Reading) -> tuple[int, bool]:
        return sum(lead == stated for lead, stated in zip(a.order, a.stated, strict=True)), a.order.index(one) < a.order.index(other)

    return max(reading, turned, key=as_stated)


def _steps(here: _Reading) -> Iterator[_Reading]:
    """Another known order, two channels exchanged, one put elsewhere, or channels inverted: one, V1 and V2, V1 to V3, all."""
    limb = [lead for lead in here.order if lead not in _CHEST]
    orders = {*_known(here.order)[1:], (*_CHEST, *limb)}
    for one, other in permutations(range(len(here.order)), 2):
        moved, exchanged = list(here.order), list(here.order)
        moved.insert(other, moved.pop(one))
        exchanged[one], exchanged[other] = exchanged[other], exchanged[one]
        orders |= {tuple(moved), tuple(exchanged)}
    for order in sorted(orders):
        if _places(order) != _places(here.order):  # exchanged limb leads look like another patient's
            yield replace(here, order=order)
    for turned in (*[{lead} for lead in here.order], {"V1", "V2"}, {"V1", "V2", "V3"}, set(here.order)):
        yield replace(here, signs=tuple(-sign if lead in turned else sign for lead, sign in zip(here.order, here.signs, strict=True)))


def _known(stated: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The stated order, and each of KNOWN_ORDERS that puts chest leads elsewhere. Of two that differ in II and aVF, that with stated ones."""
    chosen = {_places(stated): stated}
    for order in sorted(KNOWN_ORDERS, key=lambda known: set(known) != set(stated)):
        chosen.setdefault(_places(order), order)
    return list(chosen.values())


def _places(order: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(lead if lead in _CHEST else "limb" for lead in order)


def _cure(nearest: _Reading) -> str:
    inverted = nearest.inverted()
    cures = []
    if nearest.order != nearest.stated:
        cures.append(f"Convert again with --lead-order {','.join(nearest.order)}.")
    if inverted:
        cures.append(f"The network learned {_listed(inverted)} inverted: choose another, or train it again on leads as they were recorded.")
    return " ".join(cures) or "Check --lead-order and --kernel against the code that trained the network; if both are right, choose another network."


# ---- what was found ----


def _heartbeat(beating: int, strips: int) -> Finding:
    share = beating / strips if strips else 0.0
    passed = share >= HEARTBEAT_SHARE
    found, remedy = f"A heartbeat stands out in {beating} of {strips} strips.", ""
    if not strips:
        found, remedy = "No strip passed quality control.", "Convert again with the right --units and --kernel, or choose another network."
    elif not passed:
        found += " The others are noise or flat."
        remedy = "Convert again with the other --kernel and the right --units; if that does not help, the network needs more training."
    return Finding("heartbeat", passed, {"strips": share}, {"strips": (HEARTBEAT_SHARE, 1.0)}, "share", found, remedy)


def _amplitude(drawn: _Leads, cure: str) -> Finding:
    each = np.ptp(drawn.qrs, axis=-1)
    measured = {lead: float(value) for lead, value in zip(STORED, np.median(each, axis=0), strict=True)}
    spread = float(np.median(np.log(np.maximum(each, 1e-6)).std(axis=-1)))
    off = [lead for lead, value in measured.items() if not _inside(value, AMPLITUDE_MV[lead])]
    found, remedy = f"QRS complexes measure {min(measured.values()):.2g} to {max(measured.values()):.2g} mV from peak to peak.", ""
    if off:
        found = f"QRS complexes are out of range in {_listed([f'{lead} ({measured[lead]:.2g} mV)' for lead in off])}."
        remedy = "Convert again with the --units that the network was trained in." if len(off) > 2 else cure
    elif not _inside(spread, SPREAD):
        found = "QRS complexes are equally large in all leads, as if each strip had been stretched to 0..1."
        remedy = "What that took away cannot be computed: choose a network that was trained in one unit."
    return Finding(
        "amplitude", not remedy, {**measured, "spread": spread}, {**AMPLITUDE_MV, "spread": SPREAD}, "mV; spread: SD of the logarithm", found, remedy
    )


def _polarity(drawn: _Leads, cure: str) -> Finding:
    qrs = {**dict(zip(STORED, drawn.qrs.swapaxes(0, 1), strict=True)), "aVR": -(drawn.qrs[:, 0] + drawn.qrs[:, 1]) / 2}
    up = {lead: _up(qrs[lead]) for lead in POLARITY}
    measured = {lead: float(np.median(values)) for lead, values in up.items()}
    wrong = []
    for lead, value in measured.items():
        if not _inside(value, POLARITY[lead]):
            points, real, sign = ("positive", "negative", 1) if value > 0 else ("negative", "positive", -1)
            wrong.append(f"The QRS complex of {lead} is {points} in {(np.sign(up[lead]) == sign).sum()} of {len(up[lead])} strips (real: {real}).")
    found = " ".join(wrong) or "QRS complexes are positive in I, V5 and V6 and negative in aVR and V1."
    return Finding("polarity", not wrong, measured, POLARITY, "(R + S) / (R - S)", found, cure if wrong else "")


def _growth(drawn: _Leads, cure: str) -> Finding:
    share = (np.median(_up(drawn.qrs), axis=0)[2:] + 1) / 2
    growth = float(share[4] - share[0])
    passed = _inside(growth, GROWTH)
    found = f"R makes up {_listed([f'{100 * value:.0f}' for value in share])} % of the QRS complex in V1 to V6"
    found += "." if passed else ": it does not grow from V1 to V5."
    return Finding("R progression", passed, {"V5 less V1": growth}, {"V5 less V1": GROWTH}, "share of the QRS complex", found, "" if passed else cure)


def _neighbours(drawn: _Leads, cure: str) -> Finding:
    r = _correlation(drawn.covariance)
    more = {triple: float(np.median(r[:, triple[0], triple[1]] - r[:, triple[0], triple[2]])) for triple in _triples()}
    worst = min(more, key=lambda triple: more[triple])
    passed = _inside(more[worst], NEIGHBOURS)
    lead, near, far = (STORED[place] for place in worst)
    found = "Each chest lead resembles the next one most." if passed else f"{lead} resembles {far} more than {near}, which lies between them."
    return Finding("neighbours", passed, {"least": more[worst]}, {"least": NEIGHBOURS}, "difference of correlations", found, "" if passed else cure)


def _triples() -> list[tuple[int, int, int]]:
    """Places of a chest lead, the next one and the one after that. From V1 none: V2 may resemble it less than V3 where the transition is early."""
    return [(at, at + step, at + 2 * step) for at in range(3, 8) for step in (1, -1) if 2 <= at + 2 * step <= 7]


def _arrangement(drawn: _Leads, stated: _Reading, nearest: _Reading, cure: str) -> Finding:
    distance, other = (float(value) for value in _distances(drawn, [stated, nearest]))
    passed = nearest == stated and distance <= NEAREST[1]
    expected = NEAREST if nearest == stated else (0.0, min(other + _MARGIN, NEAREST[1]))
    if nearest != stated:
        found = f"Read {nearest}, the strips come nearer to real ECGs ({other:.2f} instead of {distance:.2f})."
    elif not passed:
        found = f"However they are read, the strips are further from real ECGs ({distance:.2f}) than those are from each other."
    else:
        found = f"Read as stated the strips come nearest to real ECGs ({distance:.2f})."
    return Finding("arrangement", passed, {"distance": distance}, {"distance": expected}, "SD between real ECGs", found, "" if passed else cure)


def _inside(value: float, ends: tuple[float, float]) -> bool:
    return ends[0] <= value <= ends[1]
