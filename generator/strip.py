"""The canonical form of a strip: the one way in, for recordings and diffusion samples alike.

A strip is an int16 array (8, 1000): leads I, II, V1..V6 at 100 samples/s for 10 s, 5 microvolts a count, 0.5 to 40 Hz,
each lead's median removed. Twelve leads in millivolts are computed from it, never stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from generator.errors import Refused
from generator.leads import LEADS, STORED, lead_name, twelve_leads

RATE = 100  # samples a second
SECONDS = 10
SAMPLES = RATE * SECONDS
MICROVOLTS_PER_COUNT = 5.0
BAND_HZ = (0.5, 40.0)
HELD = RATE // 10  # samples at the end that no reader sees
EDGE = 3 * RATE  # samples mirrored at each end. Mirrored about the end value too (odd), a strip that ends on an R peak swings by up to 3 mV

FLAT_SPAN_MV = 0.05  # a whole lead within 50 microvolts is a loose electrode
FLAT_RUN_SECONDS = 2.0  # the same sample for this long is a dropped lead
CLIPPED_SHARE = 0.01  # of a lead's samples at one extreme value, in runs of three and more
CLIPPED_REACH = 0.25  # of the lead's span between that value and the median: nearer, it is the isoelectric line
LIMIT_MV = 20.0  # no surface ECG comes near

_BAND_PASS = signal.butter(3, BAND_HZ, btype="bandpass", fs=RATE, output="sos")

Counts = NDArray[np.int16]


def canonical(millivolts: NDArray[np.floating], rate: float, lead_names: Sequence[str], *, name: str = "recording") -> Counts:
    """The strip of a recording: (8, 1000) int16 counts of 5 microvolts.

    millivolts: (leads, samples), any rate of at least 100 samples/s, any lead order; lead_names: as the file writes them; name: for messages.
    A longer recording gives its middle 10 s. Raises Refused for a missing lead, NaN, a flat or clipped lead, less than 10 s.
    """
    return canonical_from_unfiltered(unfiltered(millivolts, rate, lead_names, name=name))


def unfiltered(millivolts: NDArray[np.floating], rate: float, lead_names: Sequence[str], *, name: str = "recording") -> NDArray[np.float64]:
    """The same recording just before the band-pass: (8, 1000) mV at 100 samples/s. Arguments and refusals as for `canonical`.

    What a network is trained on, so that its samples pass the filter once, as recordings do.
    """
    eight = _eight_leads(np.asarray(millivolts, dtype=np.float64), lead_names, name)
    eight = _middle_ten_seconds(eight, rate, name)
    _refuse_unreadable(eight, rate, name)
    if rate != RATE:
        ratio = Fraction(RATE / rate).limit_denominator(10_000)
        eight = signal.resample_poly(eight, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    if eight.shape[-1] < SAMPLES:
        raise Refused("shorter than 10 s", f"{name}: {eight.shape[-1] / RATE:.2f} s after resampling. Import recordings of at least 10 s.")
    return eight[:, :SAMPLES]


def canonical_from_stored(millivolts: NDArray[np.floating]) -> Counts:
    """The strip of a sample that already has the eight leads at 100 samples/s: (8, 1000) mV in the order of STORED."""
    return canonical(millivolts, RATE, STORED, name="sample")


def band_passed(leads: NDArray[np.floating]) -> NDArray[np.float64]:
    """(..., samples) at 100 samples/s, zero-phase 0.5 to 40 Hz, as the canonical form has it."""
    return np.asarray(signal.sosfiltfilt(_BAND_PASS, leads, axis=-1, padtype="even", padlen=EDGE))


def canonical_from_unfiltered(eight: NDArray[np.float64]) -> Counts:
    """The last step, for what `unfiltered` gave: zero-phase 0.5 to 40 Hz, rounded to counts, each lead's (lower) median removed exactly."""
    filtered = band_passed(eight)
    return _centred(np.rint(filtered / (MICROVOLTS_PER_COUNT / 1000)).astype(np.int64))


def millivolts(counts: Counts) -> NDArray[np.float64]:
    """Twelve leads in mV, (..., 12, 1000) in the order of LEADS, from counts (..., 8, 1000)."""
    return twelve_leads(counts) * (MICROVOLTS_PER_COUNT / 1000)


def strip_hash(counts: Counts) -> str:
    """SHA-256 of the samples: two strips are the same recording if and only if this is the same."""
    return hashlib.sha256(np.ascontiguousarray(counts, dtype="<i2").tobytes()).hexdigest()


def to_bytes(counts: Counts) -> bytes:
    """16,000 bytes, little-endian, lead after lead: how a strip is stored."""
    return np.ascontiguousarray(counts, dtype="<i2").tobytes()


def as_shown(counts: Counts) -> Counts:
    """What readers are shown: the strip, its last 0.1 s held at the value before, each lead's median zero again. (8, 1000) to (8, 1000).

    Most of PTB-XL's recordings end in 0.1 s that changes half as much as the rest, which has nothing to do with the heart; drawn strips do not.
    """
    held = counts.astype(np.int64)
    held[:, -HELD:] = held[:, -HELD - 1, None]
    return _centred(held)


def from_bytes(blob: bytes) -> Counts:
    """The inverse of to_bytes."""
    return np.frombuffer(blob, dtype="<i2").reshape(len(STORED), SAMPLES).astype(np.int16)


def _centred(counts: NDArray[np.int64]) -> Counts:
    """Without each lead's (lower) median: after rounding, so that it is zero in both arms and never a half."""
    middle = (SAMPLES - 1) // 2
    level = counts - np.partition(counts, middle, axis=-1)[:, middle : middle + 1]
    return np.clip(level, -32768, 32767).astype(np.int16)


def _eight_leads(millivolts: NDArray[np.float64], lead_names: Sequence[str], name: str) -> NDArray[np.float64]:
    if millivolts.ndim != 2 or millivolts.shape[0] != len(lead_names):
        raise Refused("wrong header", f"{name}: {len(lead_names)} lead names for samples of shape {millivolts.shape}. Check the header.")
    row = {lead_name(written): i for i, written in enumerate(lead_names)}
    missing = [lead for lead in STORED if lead not in row]
    if missing:
        raise Refused("missing lead", f"{name}: no lead {', '.join(missing)} among {', '.join(lead_names)}. All of {', '.join(STORED)} are needed.")
    return millivolts[[row[lead] for lead in STORED]]


def _middle_ten_seconds(eight: NDArray[np.float64], rate: float, name: str) -> NDArray[np.float64]:
    if not np.isfinite(rate) or rate < RATE:
        raise Refused("rate below 100 samples/s", f"{name}: {rate} samples/s. At least {RATE} are needed; import the original recording.")
    wanted = round(SECONDS * rate)
    if eight.shape[-1] < wanted:
        raise Refused("shorter than 10 s", f"{name}: {eight.shape[-1] / rate:.2f} s. Import recordings of at least {SECONDS} s.")
    first = (eight.shape[-1] - wanted) // 2
    return eight[:, first : first + wanted]


def _refuse_unreadable(eight: NDArray[np.float64], rate: float, name: str) -> None:
    for lead, samples in zip(STORED, eight, strict=True):
        if not np.isfinite(samples).all():
            absent = int((~np.isfinite(samples)).sum())
            raise Refused("missing samples (NaN)", f"{name}: lead {lead} has {absent} samples without a value. Export it again.")
        reach = float(np.abs(samples - np.median(samples)).max())  # an electrode's constant offset of hundreds of mV is no fault
        if reach > LIMIT_MV:
            raise Refused("amplitude above 20 mV", f"{name}: lead {lead} reaches {reach:.0f} mV. Check gain and unit in the header.")
        if np.ptp(samples) < FLAT_SPAN_MV or _longest_run(samples) >= FLAT_RUN_SECONDS * rate:
            raise Refused("flat lead", f"{name}: lead {lead} is flat. Choose a recording with all electrodes on.")
        if _clipped_share(samples) > CLIPPED_SHARE:
            low, high = samples.min(), samples.max()
            raise Refused("clipped lead", f"{name}: lead {lead} is cut off at {low:.2f} or {high:.2f} mV. Choose another recording.")


def _longest_run(samples: NDArray[np.float64]) -> int:
    changes = np.flatnonzero(np.diff(samples) != 0)
    edges = np.concatenate([[-1], changes, [samples.size - 1]])
    return int(np.diff(edges).max())


def _clipped_share(samples: NDArray[np.float64]) -> float:
    share = 0.0
    for extreme in (samples.min(), samples.max()):
        if abs(extreme - np.median(samples)) < CLIPPED_REACH * np.ptp(samples):
            continue
        at = np.concatenate([[0], (samples == extreme).astype(np.int8), [0]])
        starts, ends = np.flatnonzero(np.diff(at) == 1), np.flatnonzero(np.diff(at) == -1)
        runs = ends - starts
        share = max(share, float(runs[runs >= 3].sum()) / samples.size)
    return share


__all__ = [
    "LEADS",
    "RATE",
    "SAMPLES",
    "STORED",
    "Counts",
    "band_passed",
    "canonical",
    "canonical_from_stored",
    "canonical_from_unfiltered",
    "from_bytes",
    "millivolts",
    "strip_hash",
    "to_bytes",
    "unfiltered",
]
