"""The average beat of a strip by offset from the R peak: what recurs, as a few numbers, and back at every beat's place.

p(strip) = p(rhythm) p(average beat | rhythm) p(strip | both). What all beats of a strip share (the patient's P wave, QRS complex and T wave, in
eight leads) is drawn first by a network of its own, which sees one beat at a time and little noise; the strip's network then only draws
how each beat differs from it. Without it P waves came out flat, and the beats of one strip differed as those of different patients do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from generator.sssd.rhythm import OFFSET_CHANNEL, track
from generator.strip import RATE

BEGINS_SECONDS = -0.30  # before the R peak: the P wave is in
BIN_SECONDS = 0.01
BINS = 96  # to 0.65 s after the R peak: the T wave is in
_FADE = 8  # bins over which it rises from and falls to zero, so that it may end anywhere
_USUAL_RR, _USUAL_SD = 0.8, 0.25  # s; of log RR over strips
_LEAST = 0.5  # samples that a bin must have, summed over beats
_PULL = 0.1  # samples' worth of the mean over beats that each bin is drawn to: settles what few beats leave open
_FURTHEST = 0.015  # s that an R time is moved by, at most
_QRS_SECONDS = (-0.07, 0.09)  # from R: what R times are aligned on
_ALIGNMENTS = 4

_RISE = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_FADE) + 0.5) / _FADE)
_FADING = np.concatenate([_RISE, np.ones(BINS - 2 * _FADE), _RISE[::-1]])
_CARDINAL = CubicSpline(np.arange(BINS), np.eye(BINS), bc_type="natural")  # at a place: the weight of each bin
_SLOPE = _CARDINAL.derivative()


def averaged(strip: NDArray[np.floating], offset: NDArray[np.floating]) -> NDArray[np.float32]:
    """(channels, BINS): the one beat that, put at every beat's place, is nearest to the strip in squares; its ends faded.

    strip: (channels, samples); offset: (samples,) seconds from the beat's R peak (generator.sssd.rhythm, OFFSET_CHANNEL), not zero throughout.
    Beats fall between samples, each elsewhere, and so tell more than each bin's mean, which rounds off a QRS complex: of recorded ones means left
    97 uV over (root mean square), this 60. An offset that no beat reaches (late ones at a fast rate) takes the value of the nearest that one does.
    """
    place = _place(offset)
    inside = (place > 0) & (place < BINS - 1)
    place, within = place[inside], strip[:, inside]
    basis = _CARDINAL(place)
    gram = basis.T @ basis
    gram[np.diag_indices(BINS)] += _PULL
    beat = np.linalg.solve(gram, basis.T @ within.T + _PULL * _means(within, place).T).T
    return np.asarray(beat * _FADING, dtype=np.float32)


def at_every_beat(beat: NDArray[np.floating], offset: NDArray[np.floating]) -> NDArray[np.float32]:
    """(channels, samples): the average beat (channels, BINS) at every beat's place, a natural cubic spline between its bins."""
    return np.asarray(beat @ _CARDINAL(_place(offset)).T, dtype=np.float32)


def aligned(strip: NDArray[np.floating], r_times: NDArray[np.floating]) -> NDArray[np.float64]:
    """R times (s), each moved by at most 15 ms to where its QRS complex lies best on the average one in all channels; two or more, else as they are.

    strip: (channels, 1000). The least-squares shift to first order (Gauss-Newton), four times over. In AF what is left over of
    QRS complexes falls from 90 uV to 72.
    """
    first = np.asarray(r_times, dtype=np.float64)
    times, t = first.copy(), np.arange(strip.shape[1]) / RATE
    for _ in range(_ALIGNMENTS if first.size >= 2 else 0):
        offset = track(times)[OFFSET_CHANNEL]
        beat, place = averaged(strip, offset), _place(offset)
        rest = strip - beat @ _CARDINAL(place).T
        slope = beat @ _SLOPE(place).T / BIN_SECONDS
        near = (t - times[:, None] > _QRS_SECONDS[0]) & (t - times[:, None] < _QRS_SECONDS[1])
        steepness = near @ np.square(slope).sum(axis=0)
        late = -(near @ (rest * slope).sum(axis=0)) / np.where(steepness > 0, steepness, 1.0)
        times = first + np.clip(times + late - first, -_FURTHEST, _FURTHEST)
    return times


def beats_of(offset: NDArray[np.floating]) -> NDArray[np.int64]:
    """(samples,): the number of the beat that each sample belongs to, from 0."""
    return np.concatenate([[0], np.cumsum(np.diff(offset) < 0)])


def rr_label(r_times: NDArray[np.floating]) -> NDArray[np.float32]:
    """(1,): what the average beat's network is told of the rate, log(mean RR / 0.8 s) / 0.25; 0 with fewer than two R times (s)."""
    rr = np.diff(r_times)
    return np.array([np.log(rr.mean() / _USUAL_RR) / _USUAL_SD if rr.size else 0.0], dtype=np.float32)


def _means(strip: NDArray[np.floating], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """(channels, BINS): each bin's mean over beats; a sample counts in its two neighbouring bins, by nearness."""
    low = np.floor(place).astype(int)
    high = place - low
    count = np.bincount(low, 1 - high, BINS) + np.bincount(low + 1, high, BINS)
    total = np.stack([np.bincount(low, (1 - high) * lead, BINS) + np.bincount(low + 1, high * lead, BINS) for lead in strip])
    known = np.flatnonzero(count > _LEAST)
    return np.stack([np.interp(np.arange(BINS), known, lead[known] / count[known]) for lead in total])


def _place(offset: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.clip((np.asarray(offset, dtype=np.float64) - BEGINS_SECONDS) / BIN_SECONDS, 0, BINS - 1)
