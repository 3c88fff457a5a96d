"""What networks are trained on, batch by batch: average beats, and strips that are told theirs.

A batch is chosen first, all of it, from one source of randomness, and built after: each process builds its own share, and what is chosen
does not depend on how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generator.leads import STORED
from generator.request import RHYTHMS
from generator.sssd.average_beat import BINS, at_every_beat, averaged, beats_of, rr_label
from generator.sssd.recipe import Augmentation
from generator.sssd.rhythm import OFFSET_CHANNEL, TRACK_CHANNELS, track
from generator.sssd.training_set import MIDDLE, TrainingSet, shifted, stretched
from generator.strip import RATE, SAMPLES, SECONDS

FEWEST_BEATS = 3  # R times that an average beat takes


@dataclass(frozen=True)
class Batch:
    """What a network is called with, without noise."""

    x: Tensor  # (batch, 8, samples or BINS) float32
    labels: Tensor  # (batch, classes), zeros for none
    track: Tensor | None  # (batch, track channels, samples)


class Batches(Protocol):
    """A source of batches. Its rows are one rhythm each."""

    rhythm: NDArray[np.str_]  # of each row
    shape: tuple[int, int]  # of x, without the batch

    def choose(self, batch: int, choices: np.random.Generator) -> list[Any]:
        """As many of each rhythm, and how each is changed."""

    def build(self, chosen: Sequence[Any]) -> Batch:
        """What was chosen, as numbers."""

    def plain(self, rows: Sequence[int]) -> Batch:
        """Rows as they are, with label and track: what a loss is measured on."""


@dataclass(frozen=True)
class Standardised:
    """Strips in a network's channels, (mV - mean) / SD."""

    x: NDArray[np.float32]  # (strips, 8, 1000)
    rhythm: NDArray[np.str_]
    r_times: list[NDArray[np.float64]]  # seconds
    std_mv: NDArray[np.float64]  # (8,): mV for 1

    @classmethod
    def of(
        cls, strips: TrainingSet, mean_mv: NDArray[np.float64], std_mv: NDArray[np.float64], keep: NDArray[np.bool_] | None = None
    ) -> Standardised:
        """keep: which strips (default: all)."""
        kept = np.ones(len(strips.mv), dtype=bool) if keep is None else keep
        x = ((strips.mv - mean_mv[:, None]) / std_mv[:, None])[kept].astype(np.float32)
        return cls(x, strips.rhythm[kept], [times for times, one in zip(strips.r_times, kept, strict=True) if one], std_mv)


@dataclass(frozen=True)
class _Beat:
    """One average beat of a batch."""

    row: int
    gain: float
    turn: float  # degrees
    shift: int  # bins
    label: bool


class BeatBatches:
    """Average beats (8, BINS) in the strip network's channels over `scale`; labels: rhythm, and the mean RR interval (average_beat.rr_label)."""

    shape = (len(STORED), BINS)

    def __init__(self, strips: Standardised, augmentation: Augmentation, scale: NDArray[np.float64] | None = None) -> None:
        """scale: (8,), default the root mean square of each lead. Strips with fewer than three R times are left out."""
        rows = [row for row, times in enumerate(strips.r_times) if len(times) >= FEWEST_BEATS]
        tracks = (track(strips.r_times[row])[OFFSET_CHANNEL] for row in rows)
        beats = np.array([averaged(strips.x[row], offset) for row, offset in zip(rows, tracks, strict=True)]).reshape(-1, *self.shape)
        self.scale = np.sqrt(np.mean(beats.astype(np.float64) ** 2, axis=(0, 2))) if scale is None else scale
        self.x = (beats / self.scale[:, None]).astype(np.float32)
        self.rhythm = strips.rhythm[rows]
        self.labels = np.array([[*_one_hot(strips.rhythm[row]), *rr_label(strips.r_times[row])] for row in rows], dtype=np.float32)
        self._how, self._unit_mv = augmentation, strips.std_mv * self.scale

    @cached_property
    def _of_rhythm(self) -> list[NDArray[np.intp]]:
        return _rows_of_rhythms(self.rhythm)

    def choose(self, batch: int, choices: np.random.Generator) -> list[_Beat]:
        how = self._how
        return [
            _Beat(
                row=row,
                gain=float(np.exp(how.gain * choices.normal())),
                turn=how.turn * choices.normal(),
                shift=int(choices.integers(-how.shift, how.shift + 1)),
                label=bool(choices.uniform() >= how.drop_label),
            )
            for row in _balanced(self._of_rhythm, batch, choices)
        ]

    def build(self, chosen: Sequence[_Beat]) -> Batch:
        x = np.empty((len(chosen), *self.shape), dtype=np.float32)
        for i, one in enumerate(chosen):
            x[i] = np.roll(one.gain * (axis_turn(one.turn, self._unit_mv) @ self.x[one.row]), one.shift, axis=1)  # its ends are zero
        labels = np.array([self.labels[one.row] * one.label for one in chosen])
        return Batch(torch.from_numpy(x), torch.from_numpy(labels), None)

    def plain(self, rows: Sequence[int]) -> Batch:
        return Batch(torch.from_numpy(self.x[list(rows)]), torch.from_numpy(self.labels[list(rows)]), None)


@dataclass(frozen=True)
class _Strip:
    """One strip of a batch."""

    row: int
    gain: float = 1.0
    turn: float = 0.0  # degrees
    shift: int = 0  # samples
    stretch: float = 1.0
    label: bool = True
    track: bool = True
    beat: bool = True
    beat_noise: NDArray[np.float64] | float = 0.0  # added to the average beat that the network is told
    beat_share: float = 1.0  # of the beats, at least two, that it is told the average of
    beat_order: int = 0  # seed of which


class StripBatches:
    """Strips (8, 1000) with their rhythm and a track: R times (generator.sssd.rhythm), and in the last eight channels the strip's average beat.

    The average beat that is told is of some of the strip's beats and has a little noise, as the one that is told in drawing comes from a network:
    a P wave is in every beat and is believed, an f wave is not. Sometimes neither it nor the track is told.
    """

    shape = (len(STORED), SAMPLES)

    def __init__(self, strips: Standardised, augmentation: Augmentation) -> None:
        self.rhythm = strips.rhythm
        self._strips, self._how = strips, augmentation

    @cached_property
    def _of_rhythm(self) -> list[NDArray[np.intp]]:
        return _rows_of_rhythms(self.rhythm)

    def choose(self, batch: int, choices: np.random.Generator) -> list[_Strip]:
        how = self._how
        return [
            _Strip(
                row=row,
                gain=float(np.exp(how.gain * choices.normal())),
                turn=how.turn * choices.normal(),
                shift=int(choices.integers(-how.shift, how.shift + 1)),
                stretch=float(np.exp(how.stretch * choices.normal())),
                label=bool(choices.uniform() >= how.drop_label),
                track=bool(choices.uniform() >= how.drop_track),
                beat=bool(choices.uniform() >= how.drop_beat),
                beat_noise=choices.uniform(0, how.beat_noise) * choices.normal(size=(len(STORED), BINS)),
                beat_share=float(choices.uniform(how.beat_share, 1.0)),
                beat_order=int(choices.integers(2**31)),
            )
            for row in _balanced(self._of_rhythm, batch, choices)
        ]

    def build(self, chosen: Sequence[_Strip]) -> Batch:
        x = np.empty((len(chosen), *self.shape), dtype=np.float32)
        tracks = np.zeros((len(chosen), TRACK_CHANNELS + len(STORED), SAMPLES), dtype=np.float32)
        labels = np.zeros((len(chosen), len(RHYTHMS)), dtype=np.float32)
        for i, one in enumerate(chosen):
            strip = self._strips.x[one.row]
            if one.turn:
                strip = (axis_turn(one.turn, self._strips.std_mv) @ strip).astype(np.float32)
            if one.stretch != 1.0:
                strip = stretched(strip, one.stretch)
            x[i] = one.gain * shifted(strip, one.shift)
            if one.track:
                tracks[i] = self._track(x[i], one)
            if one.label:
                labels[i] = _one_hot(self.rhythm[one.row])
        return Batch(torch.from_numpy(x), torch.from_numpy(labels), torch.from_numpy(tracks))

    def plain(self, rows: Sequence[int]) -> Batch:
        return self.build([_Strip(row) for row in rows])

    def _track(self, x: NDArray[np.float32], one: _Strip) -> NDArray[np.float32]:
        r_times = MIDDLE + one.stretch * (self._strips.r_times[one.row] - MIDDLE) + one.shift / RATE
        rhythm = track(r_times[(r_times >= 0) & (r_times < SECONDS)])
        offset = rhythm[OFFSET_CHANNEL]
        if not one.beat or not offset.any():  # fewer than two beats: there is no track either
            return np.concatenate([rhythm, np.zeros_like(x)])
        told = averaged(x, offset) if one.beat_share == 1.0 else _averaged_of_some(x, offset, one)
        return np.concatenate([rhythm, at_every_beat(told + one.beat_noise, offset)])


def _averaged_of_some(x: NDArray[np.float32], offset: NDArray[np.float32], one: _Strip) -> NDArray[np.float32]:
    beats = beats_of(offset)
    number = int(beats[-1]) + 1
    some = np.random.default_rng(one.beat_order).permutation(number)[: max(2, math.ceil(one.beat_share * number))]
    told = np.isin(beats, some)
    return averaged(x[:, told], offset[told])


def axis_turn(degrees: float, unit_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8, 8) for channels of unit_mv mV each: the frontal plane turned (I to the left, 2 aVF / sqrt(3) down, Einthoven), chest leads kept."""
    plane = np.array([[1.0, 0.0], [-1 / np.sqrt(3), 2 / np.sqrt(3)]])  # of I and II
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.eye(len(STORED))
    turned[:2, :2] = np.linalg.inv(plane) @ np.array([[c, -s], [s, c]]) @ plane
    return np.asarray(turned * unit_mv[None, :] / unit_mv[:, None])


def _one_hot(rhythm: str) -> list[float]:
    return [float(rhythm == name) for name in RHYTHMS]


def _rows_of_rhythms(rhythm: NDArray[np.str_]) -> list[NDArray[np.intp]]:
    return [np.flatnonzero(rhythm == name) for name in RHYTHMS]


def _balanced(of_rhythm: list[NDArray[np.intp]], batch: int, choices: np.random.Generator) -> list[int]:
    return [int(row) for rows in of_rhythm for row in choices.choice(rows, batch // len(of_rhythm))]
