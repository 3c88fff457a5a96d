"""Rhythm as data: the track that tells a network where each beat is, and the model that RR intervals are drawn from.

p(strip) = p(rhythm) p(strip | rhythm). What needs memory over ten seconds (that sinus rhythm repeats, that AF does not) is drawn exactly from
a small model fitted to the training strips; the network learns the shape of beats. A researcher may choose the heart rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import GeneratorError
from generator.strip import RATE, SAMPLES, SECONDS

TRACK_CHANNELS = 7  # cosine and sine of the beat phase, bump at R, log RR, offset, time since the last R, time to the next
OFFSET_CHANNEL = 4  # which of them is the signed time from the beat's R peak, in seconds

_BUMP_SECONDS = 0.02
_BEFORE_R = 0.35  # of an RR interval belongs to the next beat (its P wave), at most:
_BEFORE_R_SECONDS = 0.30
_LONGEST_SECONDS = 2.0
_USUAL_RR = 0.8  # s: log RR is relative to it
_RR_LIMITS = (0.25, 2.5)  # s
_RR_RANGE = (0.5, 2.2)  # times a strip's mean: 98 % of PTB-XL's AF strips stay within; an interval outside is drawn again
_MOST_SD = 1.7  # log-normal tails beyond this gave sinus rhythms more irregular than any recorded
_MODULATION_HZ = (0.05, 0.25)  # Mayer waves to breathing
RATE_LIMITS = (30, 200)  # beats a minute that can be asked for


def track(r_times: NDArray[np.floating], margin: int = 0) -> NDArray[np.float32]:
    """(TRACK_CHANNELS, 1000 + 2 margin) at 100 samples/s from R times in seconds; all zero with fewer than two beats.

    margin: samples before the strip's start, where time is 0, and after its end. Beats before the first and after the last R time are continued
    with the neighbouring RR interval, at most 2 s.
    """
    beats = np.asarray(r_times, dtype=np.float64)
    if beats.size < 2:
        return np.zeros((TRACK_CHANNELS, SAMPLES + 2 * margin), dtype=np.float32)
    beats = _continued(beats, margin / RATE)
    t = np.arange(-margin, SAMPLES + margin) / RATE
    last = np.searchsorted(beats, t, side="right") - 1
    since, until = t - beats[last], beats[last + 1] - t
    rr = since + until
    phase = 2 * math.pi * since / rr
    nearest = np.minimum(since, until)
    offset = np.where(until < np.minimum(_BEFORE_R * rr, _BEFORE_R_SECONDS), -until, since)
    return np.stack(
        [
            np.cos(phase),
            np.sin(phase),
            np.exp(-0.5 * (nearest / _BUMP_SECONDS) ** 2),
            np.log(rr / _USUAL_RR),
            offset,
            np.minimum(since, _LONGEST_SECONDS),
            np.minimum(until, _LONGEST_SECONDS),
        ]
    ).astype(np.float32)


def _continued(beats: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    first_rr = min(max(beats[1] - beats[0], _RR_LIMITS[0]), _LONGEST_SECONDS)
    last_rr = min(max(beats[-1] - beats[-2], _RR_LIMITS[0]), _LONGEST_SECONDS)
    before = beats[0] - first_rr * np.arange(math.ceil((beats[0] + margin) / first_rr) + 1, 0, -1)
    after = beats[-1] + last_rr * np.arange(1, math.ceil(max(SECONDS + margin - beats[-1], 0) / last_rr) + 2)
    return np.concatenate([before, beats, after])


@dataclass(frozen=True)
class RRModel:
    """How the RR intervals of one rhythm are drawn. Logarithms of seconds throughout.

    A strip has a mean, a slow modulation (breathing, Mayer waves) and an irregularity of its own, each log-normal over strips; intervals are
    log-normal around them without memory.
    """

    log_mean: float  # mean over strips of a strip's log mean RR
    log_mean_sd: float
    log_jitter: float  # mean over strips of the log of the SD of log RR that breathing does not explain
    log_jitter_sd: float
    log_breathing: float  # mean over strips of the log amplitude of the respiratory modulation of log RR; -inf is written as -20
    log_breathing_sd: float
    breathing_hz: tuple[float, float] = _MODULATION_HZ  # uniform

    def draw(self, generator: np.random.Generator, heart_rate: float | None = None, margin: float = 0.0) -> NDArray[np.float64]:
        """R times in seconds, ascending, covering -margin to 10 s + margin; heart_rate: beats a minute, the strip's mean (None: drawn)."""
        drawn = generator.normal(size=3)  # always three numbers, so that a chosen rate leaves the rest of a strip as it was
        log_mean = self.log_mean + self.log_mean_sd * drawn[0]
        if heart_rate is not None:
            check_heart_rate(heart_rate)
            log_mean = math.log(60 / heart_rate)
        jitter = math.exp(self.log_jitter + self.log_jitter_sd * float(np.clip(drawn[1], -_MOST_SD, _MOST_SD)))
        breathing = math.exp(self.log_breathing + self.log_breathing_sd * float(np.clip(drawn[2], -_MOST_SD, _MOST_SD)))
        hz, phase = generator.uniform(*self.breathing_hz), generator.uniform(0, 2 * math.pi)
        first = generator.uniform()
        times = [-margin - math.exp(log_mean) * first]
        while times[-1] < SECONDS + margin:
            around = breathing * math.sin(2 * math.pi * hz * times[-1] + phase)
            off = around + jitter * generator.normal(size=20)  # as many as a redrawn interval could need: the stream stays in step
            inside = off[(np.exp(off) > _RR_RANGE[0]) & (np.exp(off) < _RR_RANGE[1])]
            times.append(times[-1] + float(np.clip(math.exp(log_mean + (inside[0] if inside.size else 0.0)), *_RR_LIMITS)))
        return np.array([time for time in times if -margin <= time < SECONDS + margin])

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RRModel:
        """Raises GeneratorError for missing or unknown names."""
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise GeneratorError(f"An RR model has the fields {', '.join(sorted(known))}, not {', '.join(sorted(values))}.")
        return cls(**{**values, "breathing_hz": tuple(values["breathing_hz"])})


def check_heart_rate(heart_rate: float) -> None:
    """Raises GeneratorError for a rate that no model should be asked for."""
    if not RATE_LIMITS[0] <= heart_rate <= RATE_LIMITS[1]:
        raise GeneratorError(f"heart_rate is {heart_rate:g} beats/min. Choose between {RATE_LIMITS[0]} and {RATE_LIMITS[1]}.")


def fit(r_times: Sequence[NDArray[np.floating]], *, breathes: bool) -> RRModel:
    """The RR model of one rhythm from the R times (seconds) of its strips; those with fewer than five beats do not count.

    breathes: fit a respiratory modulation (sinus rhythm); without, all variation is jitter (AF). Intervals 25 % and more off a sinus strip's
    median (premature or missed beats) are left out. GeneratorError with fewer than ten strips.
    """
    rows = []
    for times in r_times:
        beats = np.asarray(times, dtype=np.float64)
        rr = np.diff(beats)
        if rr.size < 4:
            continue
        log_rr = np.log(rr)
        if breathes:
            log_rr = log_rr[np.abs(log_rr - np.median(log_rr)) < 0.25]
            if log_rr.size < 6:
                continue
        amplitude, rest = _split(log_rr) if breathes else (0.0, float(np.std(log_rr, ddof=1)))
        free = log_rr.size - 1
        # log SD from few intervals is low by 1 / (2 n) and has a variance of 1 / (2 n) of its own (chi-square)
        jitter = math.log(max(rest, 0.002)) + 0.5 / free
        rows.append((log_rr.mean(), jitter, math.log(max(amplitude, 0.001)) if breathes else -20.0, 0.5 / free))
    if len(rows) < 10:
        raise GeneratorError(f"Only {len(rows)} strips have five beats or more: an RR model needs at least ten of each rhythm.")
    columns = np.array(rows)
    mean, sd = columns.mean(axis=0), columns.std(axis=0, ddof=1)
    jitter_sd = math.sqrt(max(float(sd[1] ** 2 - mean[3]), 0.0))
    return RRModel(
        log_mean=round(float(mean[0]), 5),
        log_mean_sd=round(float(sd[0]), 5),
        log_jitter=round(float(mean[1]), 5),
        log_jitter_sd=round(jitter_sd, 5),
        log_breathing=round(float(mean[2]), 5),
        log_breathing_sd=round(float(sd[2]), 5),
    )


def _split(log_rr: NDArray[np.float64]) -> tuple[float, float]:
    """Amplitude of a slow sinusoid and SD of white jitter that together have the strip's variance and mean squared successive difference.

    A sinusoid of amplitude a and frequency f, sampled every T: variance a^2 / 2, mean squared difference 2 a^2 sin^2(pi f T).
    White jitter: s^2 and 2 s^2.
    """
    variance, successive = float(np.var(log_rr, ddof=1)), float(np.mean(np.diff(log_rr) ** 2))
    share = math.sin(math.pi * float(np.mean(_MODULATION_HZ)) * math.exp(float(np.mean(log_rr)))) ** 2
    squared = min(max((variance - successive / 2) / (0.5 - share), 0.0), 1.8 * variance)
    return math.sqrt(squared), math.sqrt(variance - squared / 2)
