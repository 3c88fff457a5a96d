"""Stand-ins: strips from a mechanistic simulator, for the demo and as obvious controls. Never the real arm of a study.

A current dipole moves through atrial and ventricular activation (after McSharry et al. 2003, doi 10.1109/TBME.2003.808805, with vectors instead of
one lead), is projected to the leads by Dower's matrix, and electrodes add breathing, drift, muscle noise and mains hum. All of it passes `canonical`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from generator.errors import GeneratorError
from generator.leads import STORED
from generator.strip import SECONDS, Counts, canonical

RATE = 250  # samples/s: five per standard deviation of the sharpest wave's 50 Hz content
SAMPLES = SECONDS * RATE

Array = NDArray[np.float64]

# Frank's axes: x to the left, y to the feet, z to the back. Dower et al. 1980, leads of STORED from x, y, z.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],  # I
        [0.235, 1.066, -0.132],  # II
        [-0.515, 0.157, -0.917],  # V1
        [0.044, 0.164, -1.387],  # V2
        [0.882, 0.098, -1.277],  # V3
        [1.213, 0.127, -0.601],  # V4
        [1.125, 0.127, -0.086],  # V5
        [0.831, 0.076, 0.230],  # V6
    ]
)
# V1 lies over the right atrium and V6 far from it, which one central dipole does not know.
NEARNESS_TO_ATRIA = np.array([1.0, 1.0, 1.3, 0.8, 0.65, 0.6, 0.55, 0.5])
# What each lead measures of the electrodes RA, LA, LL, V1..V6: the V leads against Wilson's central terminal.
ELECTRODES = np.vstack([[-1, 1, 0, *[0] * 6], [-1, 0, 1, *[0] * 6], np.hstack([np.full((6, 3), -1 / 3), np.eye(6)])])


@dataclass(frozen=True)
class Wave:
    """One stretch of activation. at: its peak in s after the R peak; before, after: its spread in s on either side; moment: (x, y, z) in mV."""

    at: float
    before: float
    after: float
    moment: tuple[float, float, float]


QRS = (
    Wave(-0.026, 0.0070, 0.0075, (-0.19, -0.02, -0.24)),  # septum: to the right and the front
    Wave(-0.009, 0.0085, 0.0080, (0.55, 0.50, -0.28)),  # apex and both free walls
    Wave(0.004, 0.0085, 0.0085, (0.85, 0.62, 0.72)),  # left ventricle: to the left, the feet and the back
    Wave(0.021, 0.0080, 0.0095, (-0.12, -0.10, 0.58)),  # base, last
)
P = (Wave(-0.016, 0.016, 0.018, (0.035, 0.075, -0.055)), Wave(0.018, 0.018, 0.018, (0.075, 0.055, 0.035)))  # right, then left atrium; about P's peak
T = (Wave(0.0, 0.062, 0.038, (0.31, 0.22, -0.15)), Wave(-0.085, 0.055, 0.060, (0.05, 0.03, -0.06)))  # about T's peak


def stand_in(rhythm: str, seed: int) -> Counts:
    """A strip, (8, 1000) counts of 5 microvolts, NSR or AF; the same seed gives the same strip. Raises GeneratorError for another rhythm."""
    if rhythm not in ("NSR", "AF"):
        raise GeneratorError(f"rhythm {rhythm!r}: the simulator knows NSR and AF.")
    rng = np.random.default_rng([seed, ("NSR", "AF").index(rhythm)])
    breath = _breath(rng)
    beats = _sinus_beats(rng, breath) if rhythm == "NSR" else _fibrillation_beats(rng)
    leads = _heart(rng, beats, breath, rhythm) + ELECTRODES @ _electrode_noise(rng, breath)
    return canonical(leads, RATE, STORED, name=f"stand-in {seed}")


def mechanical(seed: int) -> Counts:
    """A strip that nobody should take for a recording: sinus rhythm with RR intervals equal to the sample, identical beats, no noise.

    (8, 1000) counts; the same seed gives the same strip, and never the one that `stand_in` makes of it.
    """
    rng = np.random.default_rng([seed, 2])
    still = replace(_breath(rng), depth=0.0)
    interval = 0.02 * int(rng.integers(38, 49))  # s: whole samples at 250 and at 100 samples/s, so that filtered beats are equal too
    beats = np.arange(-2.0, SECONDS + 1.5, interval) + 0.02 * int(rng.integers(0, 38))
    return canonical(_heart(rng, beats, still, "NSR", variation=0.0), RATE, STORED, name=f"mechanical strip {seed}")


def noisy(seed: int) -> Counts:
    """A strip whose noise nobody should take for drawn: sinus rhythm, tense muscles and a restless patient. Counts and seed as `mechanical`."""
    rng = np.random.default_rng([seed, 3])
    breath = _breath(rng)
    leads = _heart(rng, _sinus_beats(rng, breath), breath, "NSR")
    muscle = 0.06 * rng.lognormal(0, 0.3, (9, 1)) * rng.standard_normal((9, SAMPLES)) * np.clip(1 + 0.7 * _slow(rng, 0.5), 0.3, 2.5)
    unrest = 0.2 * rng.lognormal(0, 0.3, (9, 1)) * np.stack([_slow(rng, 0.8) for _ in range(9)])  # mV; part of it above the band's 0.5 Hz
    leads += ELECTRODES @ (_electrode_noise(rng, breath) + muscle + unrest)
    return canonical(leads, RATE, STORED, name=f"noisy stand-in {seed}")


def _heart(rng: np.random.Generator, beats: Array, breath: Breath, rhythm: str, variation: float = 1.0) -> Array:
    """(8, samples) mV at the leads of STORED, electrodes' noise aside. variation: of beats among each other; 0 makes them identical."""
    ventricles = _ventricles(rng, beats, breath, variation)
    atria = _p_waves(rng, beats, breath, variation) if rhythm == "NSR" else _f_waves(rng)
    field = _lead_field(rng)
    return np.asarray(field @ ventricles + (NEARNESS_TO_ATRIA[:, None] * field) @ atria)


# ---- when the heart beats ----


@dataclass(frozen=True)
class Breath:
    """Breathing: it moves the heart, the electrodes and, in sinus rhythm, the rate."""

    hertz: float
    phase: float
    depth: float = 1.0

    def at(self, seconds: Array) -> Array:
        return np.asarray(self.depth * np.sin(2 * np.pi * self.hertz * seconds + self.phase))


def _breath(rng: np.random.Generator) -> Breath:
    return Breath(rng.uniform(0.16, 0.33), rng.uniform(0, 2 * np.pi))


def _sinus_beats(rng: np.random.Generator, breath: Breath) -> Array:
    """R times in s from before the strip to after it: respiratory and 0.1 Hz modulation, little else."""
    mean = 60 / np.clip(rng.normal(69, 10), 51, 98)
    depth = np.clip(rng.lognormal(np.log(0.022), 0.55), 0.004, 0.07)
    slow_depth, slow_phase = rng.uniform(0.3, 1.0) * depth, rng.uniform(0, 2 * np.pi)
    times = [-rng.uniform(0.5, 1.5) * mean - 1.0]
    while times[-1] < SECONDS + 1.5:
        now = np.array(times[-1])
        change = depth * float(breath.at(now)) + slow_depth * np.sin(2 * np.pi * 0.1 * now + slow_phase) + rng.normal(0, 0.004)
        times.append(times[-1] + mean * (1 + float(change)))
    return np.array(times)


def _fibrillation_beats(rng: np.random.Generator) -> Array:
    """R times in s: intervals without memory, a refractory time and a gamma-distributed rest."""
    mean = 60 / np.clip(rng.normal(88, 19), 52, 150)
    refractory = max(rng.uniform(0.45, 0.60) * mean, 0.35)
    spread = rng.uniform(0.19, 0.28) * mean
    shape = ((mean - refractory) / spread) ** 2
    intervals = refractory + rng.gamma(shape, (mean - refractory) / shape, size=int(14 / refractory))
    times = -2.0 + np.cumsum(intervals)
    return times[times < SECONDS + 1.5]


# ---- what each part of it adds to the dipole ----


def _ventricles(rng: np.random.Generator, beats: Array, breath: Breath, variation: float) -> Array:
    """QRS and T of every beat, (3, samples). QT follows the preceding intervals by Fridericia's cube root."""
    intervals = np.diff(beats, prepend=2 * beats[0] - beats[1])
    remembered = 0.75 * intervals.mean() + 0.25 * intervals  # QT adapts slowly
    qtc = np.clip(rng.normal(0.408, 0.016), 0.37, 0.445)
    t_peaks = beats + qtc * np.cbrt(remembered) - 0.105
    width = np.clip(rng.normal(1.13, 0.09), 0.95, 1.35)
    swing = rng.uniform(0.02, 0.08)
    turn = _turned(rng, frontal=22, horizontal=13)
    voltage = rng.lognormal(0.0, 0.22)
    size = voltage * (1 + swing * breath.at(beats) + rng.normal(0, 0.015 * variation, beats.size))
    dipole = _deposit([_varied(rng, wave, width, 0.12) for wave in QRS], beats, size, turn)
    t_size = voltage**0.8 * rng.lognormal(-0.10, 0.25) * (1 + 0.5 * swing * breath.at(beats))
    t_turn = _turned(rng, frontal=10, horizontal=12) @ turn if rng.random() < 0.5 else _turned(rng, frontal=12, horizontal=12)
    t_width = np.clip(rng.normal(1.0, 0.1), 0.8, 1.25)
    return dipole + _deposit([_varied(rng, wave, t_width, 0.10) for wave in T], t_peaks, t_size, t_turn)


def _p_waves(rng: np.random.Generator, beats: Array, breath: Breath, variation: float) -> Array:
    pr = np.clip(rng.normal(0.158, 0.017), 0.125, 0.198)  # s, onset to onset
    peaks = beats - 0.042 - pr + 0.052 + rng.normal(0, 0.002 * variation, beats.size)
    size = rng.lognormal(0.0, 0.25) * (1 + 0.08 * breath.at(beats))
    return _deposit([_varied(rng, wave, rng.uniform(0.9, 1.1), 0.12) for wave in P], peaks, size, _turned(rng, frontal=10, horizontal=10))


def _f_waves(rng: np.random.Generator) -> Array:
    """Fibrillation of two atrial sources, 4 to 9 Hz, wandering in rate and size; strongest towards V1. After Stridh & Soernmo 2001's sawtooth."""
    seconds = np.arange(SAMPLES) / RATE
    total = np.zeros((3, SAMPLES))
    amplitude = np.clip(rng.lognormal(np.log(0.062), 0.4), 0.025, 0.16)  # mV
    main = np.clip(rng.normal(6.1, 0.9), 4.3, 8.7)
    for share, hertz, moment in ((1.0, main, (-0.35, 0.30, -0.75)), (0.45, np.clip(main * rng.uniform(0.88, 1.12), 4.0, 9.0), (0.15, 0.60, 0.30))):
        wander = 0.35 * np.sin(2 * np.pi * rng.uniform(0.08, 0.3) * seconds + rng.uniform(0, 6.3)) + 0.25 * _slow(rng, 1.0)
        phase = 2 * np.pi * np.cumsum(hertz + wander) / RATE + rng.uniform(0, 2 * np.pi)
        envelope = np.clip(1 + 0.35 * _slow(rng, 0.6), 0.2, 2.0)
        saw = np.sin(phase) + 0.32 * np.sin(2 * phase + 0.6) + 0.12 * np.sin(3 * phase + 1.1)
        total += share * amplitude * envelope * saw * (_turned(rng, 15, 15) @ np.array(moment))[:, None]
    return total


def _deposit(waves: list[Wave], times: Array, size: Array, turn: Array) -> Array:
    """Add every wave at every time: Gaussians with two spreads, (3, samples)."""
    dipole = np.zeros((3, SAMPLES))
    for wave in waves:
        reach = int(4 * max(wave.before, wave.after) * RATE) + 1
        centres = (times + wave.at) * RATE
        index = np.rint(centres).astype(int)[:, None] + np.arange(-reach, reach + 1)
        distance = (index - centres[:, None]) / RATE
        shape = np.exp(-0.5 * (distance / np.where(distance < 0, wave.before, wave.after)) ** 2) * size[:, None]
        inside = (index >= 0) & (index < SAMPLES)
        dipole += (turn @ np.array(wave.moment))[:, None] * np.bincount(index[inside], weights=shape[inside], minlength=SAMPLES)
    return dipole


def _varied(rng: np.random.Generator, wave: Wave, width: float, share: float) -> Wave:
    moment = np.array(wave.moment)
    x, y, z = moment + rng.normal(0, share * np.linalg.norm(moment), 3)
    return Wave(wave.at * width, wave.before * width, wave.after * width, (float(x), float(y), float(z)))


# ---- from the heart to the leads ----


def _turned(rng: np.random.Generator, frontal: float, horizontal: float) -> Array:
    """A rotation by random angles: standard deviations in degrees in the frontal (x, y) and the horizontal (x, z) plane."""
    a, b = np.radians(rng.normal(0, frontal)), np.radians(rng.normal(0, horizontal))
    in_frontal = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    in_horizontal = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    return np.asarray(in_horizontal @ in_frontal)


def _lead_field(rng: np.random.Generator) -> Array:
    """Dower's matrix with the torso and the electrodes' places of one person: the V leads each a little nearer or farther, and turned."""
    field = DOWER.copy()
    field[2:] *= rng.lognormal(0, 0.10, 6)[:, None]
    field[2:] += rng.normal(0, 0.05, (6, 3))
    return field


def _electrode_noise(rng: np.random.Generator, breath: Breath) -> Array:
    """(9, samples) mV at RA, LA, LL, V1..V6: breathing, drift, muscle, and 50 Hz hum that the canonical form will take out."""
    seconds = np.arange(SAMPLES) / RATE
    wander = rng.lognormal(np.log(0.04), 0.6) * rng.normal(0, 1, (9, 1)) * breath.at(seconds + rng.uniform(0, 0.3))
    drift = rng.lognormal(np.log(0.04), 0.6) * np.stack([_slow(rng, 0.25) for _ in range(9)])
    strength = rng.lognormal(np.log(0.006), 0.5)
    muscle = strength * rng.lognormal(0, 0.3, (9, 1)) * rng.standard_normal((9, SAMPLES)) * np.clip(1 + 0.5 * _slow(rng, 0.5), 0.3, 2.5)
    hum = rng.lognormal(np.log(0.008), 0.7) * rng.uniform(0.3, 1.0, (9, 1)) * np.sin(2 * np.pi * 50 * seconds + rng.uniform(0, 2 * np.pi))
    return np.asarray(wander + drift + muscle + hum)


def _slow(rng: np.random.Generator, hertz: float) -> Array:
    """A smooth random course of standard deviation about 1 with content up to `hertz`."""
    knots = int(2 * SECONDS * hertz) + 4
    values = rng.standard_normal(knots)
    position = np.linspace(1, knots - 2.001, SAMPLES)
    left = position.astype(int)
    u = position - left
    a, b, c, d = (values[left + k] for k in (-1, 0, 1, 2))  # uniform cubic B-spline
    return np.asarray(1.5 * ((1 - u) ** 3 * a + (3 * u**3 - 6 * u**2 + 4) * b + (-3 * u**3 + 3 * u**2 + 3 * u + 1) * c + u**3 * d) / 6)
