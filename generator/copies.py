"""Copies of training strips, told by the average beat: whose heart a strip shows is in its beat, whatever the gain and the times of the beats.

What this finds is a repeated beat. A strip that repeats a recording's rhythm or noise around another beat passes, and so does a beat that
was changed enough: nothing here proves that a network memorised nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from generator.beats import r_peaks
from generator.errors import GeneratorError
from generator.features import average_beat
from generator.leads import STORED
from generator.request import TRAINING_BEATS
from generator.strip import RATE, SAMPLES, canonical_from_unfiltered

BEFORE, AFTER = 0.30, 0.40  # seconds around R
TAPS = round((BEFORE + AFTER) * RATE) + 1
SHIFTS = (0, -1, 1, -2, 2)  # samples: the R time of a changed beat may move by as much
DIMENSIONS = 64
SHARE = 0.99  # of the training strips lie further than a copy from the nearest one of another patient

_FORMAT = 1
_BLOCK = 256  # rows compared at a time: a few MB
_FEWEST = 20  # strips of a rhythm: with fewer there is no telling how alike two patients are

Floats = NDArray[np.float32]


def beats(strips: NDArray[np.integer] | NDArray[np.floating]) -> Floats:
    """The average beat of each strip from 0.30 s before R to 0.40 s after: (n, 8, 71), each lead's mean removed, unit norm over all leads.

    strips: (n, 8, 1000) canonical counts; ValueError for another shape. A row is NaN where fewer than two beats were found. In fast
    rhythms the average beat ends sooner than 0.40 s after R: its last sample is held. About 2 ms a strip.
    """
    signals = np.asarray(strips)
    if signals.ndim != 3 or signals.shape[1:] != (len(STORED), SAMPLES):
        raise ValueError(f"beats takes strips of shape (n, {len(STORED)}, {SAMPLES}), not {signals.shape}")
    found = np.full((len(signals), len(STORED), TAPS), np.nan, dtype=np.float32)
    for row, strip in zip(found, signals, strict=True):
        times = r_peaks(strip)
        if times.size >= 2:
            average = average_beat(strip, times)
            first = average.r - round(BEFORE * RATE)
            beat = average.beat[:, first : first + TAPS]
            row[:] = _unit(np.pad(beat, ((0, 0), (0, TAPS - beat.shape[1])), mode="edge"))
    return found


def nearest(
    beats: Floats, reference: Floats, exclude: NDArray[np.bool_] | Sequence[str] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of each beat, the reference beat that it is most alike: (correlation (n,), index (n,)); NaN and -1 where a beat is undefined.

    beats: (n, 8, taps), reference: (m, 8, taps), as `beats` gives them. exclude: (n, m), True where a pair is not to be looked at; or, where
    both are the same strips, each one's patient: then the others' are looked at. Each beat is tried moved by up to two samples either way.
    The correlation does not change with gain.
    """
    queries, rows = _shifted(beats), np.asarray(reference, dtype=np.float64).reshape(len(reference), -1)
    distance, index = _nearest(queries, rows, _excluded(exclude, len(beats), len(rows)))
    return 1 - distance, index


@dataclass(frozen=True)
class Reference:
    """What a checkpoint carries of the strips that it was trained on, so that a copy is told without them.

    Each average beat as 64 random projections (Johnson & Lindenstrauss 1984; of random signs, Achlioptas 2003), in which distances survive
    within some 20 %. It is no anonymisation: average beats span few dimensions, and whoever has other recordings computes each one back from it
    (correlation 0.996 in PTB-XL's fold 9; the gain and the strip itself are not in it). A hospital that trains on its own patients should keep
    the file to itself; without it no copy is looked for, and that is said wherever strips are drawn.
    """

    projections: NDArray[np.float16]  # (m, 64), strips with fewer than two beats left out
    thresholds: Mapping[str, float]  # of each rhythm: 1 - correlation, in projections; a drawn strip that is nearer is a copy
    seed: int  # of the projections
    share: float = SHARE  # how the thresholds were set

    @classmethod
    def of(
        cls, strips: NDArray[np.integer] | NDArray[np.floating], patients: Sequence[str] | None, rhythms: Sequence[str], *, seed: int = 0
    ) -> Reference:
        """The reference of the strips that a network is trained on. About 3 ms a strip.

        strips: (n, 8, 1000), integers: canonical counts, or floats: mV before the band-pass, as training holds them. patients: whose each is;
        None: unknown, each strip then counts as another patient's, which makes thresholds too small where patients have several. rhythms: of
        each strip. A rhythm of fewer than 20 strips gets no threshold: its copies are not looked for, see `covers`.
        """
        signals = np.asarray(strips)
        with threadpool_limits(1, user_api="blas"):  # beats are small: threads that wait for a busy core take ten times as long
            if np.issubdtype(signals.dtype, np.floating):
                signals = np.stack([canonical_from_unfiltered(strip.astype(np.float64)) for strip in signals])
            found = beats(signals)
        there = ~np.isnan(found[:, 0, 0])
        found, kind = found[there], np.asarray(rhythms)[there]
        whose = np.asarray(patients if patients is not None else range(len(signals)), dtype=str)[there]
        kept = (found.reshape(len(found), -1) @ _signs(seed)).astype(np.float16)
        distance, _ = _nearest(_projected(found, seed), kept.astype(np.float64), _excluded(whose, len(found), len(found)))
        thresholds = {}
        for rhythm in sorted(set(kind)):
            others = distance[(kind == rhythm) & np.isfinite(distance)]
            if others.size >= _FEWEST:
                thresholds[str(rhythm)] = float(np.quantile(others, 1 - SHARE))
        return cls(kept, thresholds, seed)

    def save(self, folder: Path) -> None:
        """Write training_beats.safetensors into a checkpoint's folder; it appears whole or not at all."""
        about = {"format": _FORMAT, "thresholds": dict(self.thresholds), "seed": self.seed, "share": self.share, "taps": TAPS}
        part = folder / f"{TRAINING_BEATS}.part"
        save_file({"projections": np.ascontiguousarray(self.projections)}, part, metadata={"about": json.dumps(about, sort_keys=True)})
        part.chmod(0o644)  # a server reads what a researcher wrote
        part.replace(folder / TRAINING_BEATS)

    @classmethod
    def load(cls, folder: Path) -> Reference | None:
        """What `save` wrote, or None where a folder has none. GeneratorError for a file that cannot be read."""
        file = folder / TRAINING_BEATS
        if not file.is_file():
            return None
        try:
            with safe_open(file, "np") as opened:
                about = json.loads(opened.metadata()["about"])
                projections = opened.get_tensor("projections")
            if about["format"] != _FORMAT or about["taps"] != TAPS or projections.ndim != 2 or projections.shape[1] != DIMENSIONS:
                raise ValueError("another format")
            thresholds = {str(rhythm): float(value) for rhythm, value in about["thresholds"].items()}
            return cls(projections.astype(np.float16), thresholds, int(about["seed"]), float(about["share"]))
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise GeneratorError(f"{file} cannot be read ({error}). Copy the checkpoint again.") from error

    def covers(self, rhythm: str) -> bool:
        """Whether copies are looked for among strips drawn as `rhythm`."""
        return rhythm in self.thresholds

    def nearest(self, counts: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Of each strip (n, 8, 1000), how far the nearest training strip's beat is (1 - correlation, estimated), and its index in projections.

        NaN and -1 where fewer than two beats were found.
        """
        return _nearest(_projected(beats(counts), self.seed), self.projections.astype(np.float64), None)

    def is_copy(self, counts: NDArray[np.integer], rhythm: str) -> NDArray[np.bool_]:
        """Of each strip (n, 8, 1000) drawn as `rhythm`, whether it is nearer to a training strip than 99 % of those are to another patient's.

        False where the rhythm has no threshold, and where fewer than two beats were found.
        """
        distance, _ = self.nearest(counts)
        return np.nan_to_num(distance, nan=math.inf) < self.thresholds.get(rhythm, -math.inf)


def _unit(beat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 8, taps) without each lead's mean, of unit norm over leads and taps."""
    centred = beat - beat.mean(axis=-1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(-1, -2), keepdims=True))
    unit: NDArray[np.float64] = centred / np.where(norm > 0, norm, 1.0)
    return unit


def _shifted(found: Floats) -> NDArray[np.float64]:
    """(shifts, n, 8 x taps): beats moved by SHIFTS, the sample at the end held."""
    wide = np.pad(np.asarray(found, dtype=np.float64), ((0, 0), (0, 0), (max(SHIFTS), max(SHIFTS))), mode="edge")
    moved = [_unit(wide[..., max(SHIFTS) - shift :][..., : found.shape[-1]]) for shift in SHIFTS]
    return np.stack(moved).reshape(len(SHIFTS), len(found), -1)


def _signs(seed: int) -> NDArray[np.float64]:
    """(8 x taps, 64) of +-1/8: a bit each of the raw generator, whose stream no version of NumPy may change."""
    words = np.random.PCG64(seed).random_raw(len(STORED) * TAPS).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8)).reshape(len(words), DIMENSIONS)
    signs = (2.0 * bits.astype(np.float64) - 1) / math.sqrt(DIMENSIONS)
    return signs


def _projected(found: Floats, seed: int) -> NDArray[np.float64]:
    projected: NDArray[np.float64] = _shifted(found) @ _signs(seed)
    return projected


def _excluded(exclude: NDArray[np.bool_] | Sequence[str] | None, n: int, m: int) -> NDArray[np.bool_] | None:
    if exclude is None:
        return None
    given = np.asarray(exclude)
    if given.ndim == 1 and len(given) == n == m:
        given = given[:, None] == given[None, :]
    if given.shape != (n, m):
        raise ValueError(f"exclude has shape {given.shape}, not ({n}, {m}), and is not one patient for each of as many strips.")
    return given.astype(bool)


def _nearest(
    queries: NDArray[np.float64], rows: NDArray[np.float64], exclude: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """queries (shifts, n, d), rows (m, d): half the least squared distance, which of unit vectors is 1 - correlation, and where it is."""
    n = queries.shape[1]
    least, index = np.full(n, np.nan), np.full(n, -1, dtype=np.int64)
    lengths = (rows**2).sum(axis=-1)
    for first in range(0, n, _BLOCK):
        part = queries[:, first : first + _BLOCK]
        apart = ((part**2).sum(axis=-1)[..., None] + lengths - 2 * part @ rows.T).min(axis=0) / 2  # (block, m)
        apart = np.where(np.isnan(apart), np.inf, np.maximum(apart, 0.0))
        if exclude is not None:
            apart[exclude[first : first + _BLOCK]] = np.inf
        if apart.shape[1] == 0:
            continue
        at = apart.argmin(axis=-1)
        best = apart[np.arange(len(at)), at]
        defined = np.isfinite(best)
        least[first : first + _BLOCK] = np.where(defined, best, np.nan)
        index[first : first + _BLOCK] = np.where(defined, at, -1)
    return least, index
