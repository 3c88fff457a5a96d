"""The average beat of a strip by offset from the R peak: what recurs, as a few numbers, and back at every beat's place.

p(strip) = p(rhythm) p(average beat | rhythm) p(strip | both). What all beats of a strip share (the patient's P wave, QRS complex and T wave, in
eight leads) is drawn first by a network of its own, which sees one beat at a time and little noise; the strip's network then only draws
how each beat differs from it. Without it P waves came out flat, and the beats of one strip differed as those of different patients do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BEGINS_SECONDS = -0.30  # before the R peak: the P wave is in
BIN_SECONDS = 0.01
BINS = 96  # to 0.65 s after the R peak: the T wave is in
_FADE = 8  # bins over which it rises from and falls to zero, so that it may end anywhere
_USUAL_RR, _USUAL_SD = 0.8, 0.25  # s; of log RR over strips
_LEAST = 0.5  # samples that a bin must have, summed over beats

_RISE = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_FADE) + 0.5) / _FADE)
_FADING = np.concatenate([_RISE, np.ones(BINS - 2 * _FADE), _RISE[::-1]])


def averaged(strip: NDArray[np.floating], offset: NDArray[np.floating]) -> NDArray[np.float32]:
    """(channels, BINS): mean over beats at equal offset, faded to zero at both ends.

    strip: (channels, samples); offset: (samples,) seconds from the beat's R peak (generator.sssd.rhythm, OFFSET_CHANNEL), not zero throughout.
    Each sample counts in its two neighbouring bins, by nearness. An offset that no beat reaches (late ones at a fast rate) takes the value of
    the nearest that one does.
    """
    place = _place(offset)
    place, inside = place[(place > 0) & (place < BINS - 1)], strip[:, (place > 0) & (place < BINS - 1)]
    low = np.floor(place).astype(int)
    high = place - low
    count = np.bincount(low, 1 - high, BINS) + np.bincount(low + 1, high, BINS)
    total = np.stack([np.bincount(low, (1 - high) * lead, BINS) + np.bincount(low + 1, high * lead, BINS) for lead in inside])
    known = np.flatnonzero(count > _LEAST)
    bins = np.arange(BINS)
    beat = np.stack([np.interp(bins, known, lead[known] / count[known]) for lead in total])
    return np.asarray(beat * _FADING, dtype=np.float32)


def at_every_beat(beat: NDArray[np.floating], offset: NDArray[np.floating]) -> NDArray[np.float32]:
    """(channels, samples): the average beat (channels, BINS) at every beat's place, straight lines between its bins."""
    place, bins = _place(offset), np.arange(BINS)
    return np.stack([np.interp(place, bins, lead) for lead in beat]).astype(np.float32)


def beats_of(offset: NDArray[np.floating]) -> NDArray[np.int64]:
    """(samples,): the number of the beat that each sample belongs to, from 0."""
    return np.concatenate([[0], np.cumsum(np.diff(offset) < 0)])


def rr_label(r_times: NDArray[np.floating]) -> NDArray[np.float32]:
    """(1,): what the average beat's network is told of the rate, log(mean RR / 0.8 s) / 0.25; 0 with fewer than two R times (s)."""
    rr = np.diff(r_times)
    return np.array([np.log(rr.mean() / _USUAL_RR) / _USUAL_SD if rr.size else 0.0], dtype=np.float32)


def _place(offset: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.clip((np.asarray(offset, dtype=np.float64) - BEGINS_SECONDS) / BIN_SECONDS, 0, BINS - 1)
