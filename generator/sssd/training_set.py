"""What a network is trained on: strips before the band-pass, without drift, with their R times."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, signal
from tqdm import tqdm

from generator import recordings
from generator.beats import r_peaks
from generator.errors import GeneratorError, Refused
from generator.sssd.average_beat import aligned
from generator.strip import RATE

_log = logging.getLogger(__name__)

_HIGH_PASS = signal.butter(3, 0.2, btype="highpass", fs=RATE, output="sos")  # below the canonical 0.5 Hz: gain there still 0.99
MIDDLE = 5.0  # seconds: what a stretched strip is stretched about
HIGHEST = 40.0  # standard deviations: a strip that goes beyond is an artefact, not an ECG to learn


@dataclass(frozen=True)
class TrainingSet:
    """Strips to train on. All arrays have one row a strip."""

    mv: NDArray[np.float32]  # (strips, 8, 1000) mV, leads in the order of STORED, not band-passed
    rhythm: NDArray[np.str_]  # NSR or AF
    r_times: list[NDArray[np.float64]]  # R times in seconds
    refused: Counter[str] = field(default_factory=Counter)  # recordings that did not become strips, by reason
    patients: list[str] | None = None  # whose each strip is, where it is known

    @classmethod
    def from_arrays(
        cls, mv: NDArray[np.floating], rhythm: Sequence[str], refused: Counter[str] | None = None, patients: Sequence[str] | None = None
    ) -> TrainingSet:
        """mv: (strips, 8, 1000) in mV, unfiltered. Drift below 0.2 Hz and each lead's median are removed, R times are found
        and aligned with each other."""
        drift_free = without_drift(mv)
        whose = None if patients is None else list(patients)
        r_times = [aligned(strip, r_peaks(strip)) for strip in drift_free]
        return cls(drift_free, np.asarray(rhythm), r_times, refused or Counter(), whose)

    @classmethod
    def from_candidates(cls, candidates: Sequence[recordings.Candidate], *, quiet: bool = False) -> TrainingSet:
        """Read recordings; those refused are counted. GeneratorError if none can be read. quiet: without a progress bar."""
        strips, rhythm, patients, refused = [], [], [], Counter[str]()
        for candidate, read in tqdm(recordings.read_all(list(candidates)), total=len(candidates), desc="reading", unit="recording", disable=quiet):
            if isinstance(read, Refused):
                refused[read.reason] += 1
                _log.warning("%s", read)
            else:
                strips.append(read.unfiltered)
                rhythm.append(candidate.rhythm)
                patients.append(candidate.patient)
        if not strips:
            raise GeneratorError(f"None of {len(candidates)} recordings could be read: {dict(refused)}.")
        return cls.from_arrays(np.stack(strips), rhythm, refused, patients)

    def fingerprint(self) -> str:
        return hashlib.sha256(self.mv.tobytes() + "".join(self.rhythm).encode()).hexdigest()


def without_drift(mv: NDArray[np.floating]) -> NDArray[np.float32]:
    """(..., 8, 1000) mV without what lies below 0.2 Hz (zero-phase) and without each lead's median. The band-pass itself is left to canonical()."""
    level = np.asarray(mv, dtype=np.float64)
    level = level - np.median(level, axis=-1, keepdims=True)
    level = signal.sosfiltfilt(_HIGH_PASS, level, axis=-1, padtype="odd", padlen=3 * RATE)
    return (level - np.median(level, axis=-1, keepdims=True)).astype(np.float32)


def shifted(strip: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """(leads, samples) moved to the right; what is missing at an end is the strip's own mirror image."""
    if samples == 0:
        return strip
    pad = abs(samples)
    wide = np.pad(strip, ((0, 0), (pad, pad)), mode="reflect")
    first = pad - samples
    return wide[:, first : first + strip.shape[1]]


def stretched(strip: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """(leads, samples) slower (factor above 1) or faster about the middle; what a faster one lacks at the ends is its own mirror image.

    Cubic interpolation: below 20 Hz nothing is lost.
    """
    at = np.arange(strip.shape[1], dtype=np.float64) / RATE
    spread: NDArray[np.float32] = interpolate.CubicSpline(at, strip, axis=1)(_mirrored(MIDDLE + (at - MIDDLE) / factor, at[-1])).astype(np.float32)
    return spread


def _mirrored(at: NDArray[np.float64], end: float) -> NDArray[np.float64]:
    folded = np.abs(at)
    return np.where(folded > end, 2 * end - folded, folded)


def scale(mv: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Mean and standard deviation of each lead, and which strips stay within what they can hold."""
    of_strip = mv.std(axis=2)
    std = np.sqrt(np.mean(np.minimum(of_strip, np.percentile(of_strip, 98, axis=0)) ** 2, axis=0)).astype(np.float64)
    mean = mv.mean(axis=(0, 2)).astype(np.float64)
    keep = np.abs((mv - mean[:, None]) / std[:, None]).max(axis=(1, 2)) <= HIGHEST
    return mean, std, keep
