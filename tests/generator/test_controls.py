"""Control strips are obvious, and the measure of noise orders strips as an eye would."""

from __future__ import annotations

import numpy as np
import pytest

from generator import beats
from generator.noise import noise
from generator.simulate import mechanical, noisy, stand_in
from generator.strip import SAMPLES, Counts, strip_hash

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mechanical_strip_repeats_itself_to_the_count(seed: int) -> None:
    counts = mechanical(seed)
    peaks = np.rint(beats.r_peaks(counts) * 100).astype(int)[1:-1]
    assert len(set(np.diff(peaks))) == 1
    inner = [counts[:, r - 30 : r + 40] for r in peaks if 200 <= r <= SAMPLES - 240]  # the band-pass mirrors the ends
    assert len(inner) >= 5
    assert np.ptp(np.stack(inner).astype(int), axis=0).max() <= 2  # counts: rounding


def test_seeds_give_strips_of_their_own() -> None:
    made = [strip_hash(make(seed)) for make in (mechanical, noisy, lambda seed: stand_in("NSR", seed)) for seed in SEEDS]
    assert len(set(made)) == len(made)
    assert strip_hash(mechanical(3)) == strip_hash(mechanical(3))


def test_noise_orders_mechanical_usual_and_noisy() -> None:
    usual = [noise(stand_in("NSR", seed)) for seed in SEEDS]
    assert max(noise(mechanical(seed)) for seed in SEEDS) < 30
    assert min(noise(noisy(seed)) for seed in SEEDS) > 1.5 * max(usual)


def with_noise(counts: Counts, hertz: float, microvolts: float) -> Counts:
    """A sine of that RMS on top of every lead."""
    wave = np.sqrt(2) * microvolts / 5 * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / 100)
    return np.rint(counts + wave).astype(np.int16)


@pytest.mark.parametrize("hertz", [0.6, 27.0])
def test_noise_is_measured_in_microvolts_at_both_ends_of_the_band(hertz: float) -> None:
    found = [noise(with_noise(mechanical(2), hertz, microvolts)) for microvolts in (0, 100, 200)]
    assert found[1] == pytest.approx(100, rel=0.25)
    assert found[2] == pytest.approx(200, rel=0.2)


def test_a_step_at_the_end_is_no_noise() -> None:
    """As many recordings of PTB-XL have."""
    counts = stand_in("NSR", 4)
    stepped = counts.copy()
    stepped[:, -10:] += 200
    assert noise(stepped) == pytest.approx(noise(counts), rel=0.15)


def test_large_t_waves_are_no_noise() -> None:
    """A wide wave of 1 mV after every beat would pass two median filters."""
    counts = mechanical(2)
    peaks = np.rint(beats.r_peaks(counts) * 100).astype(int)
    larger = counts.astype(np.int64)
    for r in peaks:
        at = np.arange(SAMPLES)
        larger += np.where((at > r + 8) & (at < r + 62), 200 * np.sin(np.pi * (at - r - 8) / 54), 0).astype(np.int64)
    assert noise(larger.astype(np.int16)) < 40


def test_one_loose_electrode_is_noise() -> None:
    counts = stand_in("NSR", 4).astype(np.int64)
    loose = counts.copy()
    loose[6] += np.rint(300 * np.sin(2 * np.pi * 0.7 * np.arange(SAMPLES) / 100)).astype(np.int64)
    assert noise(loose.astype(np.int16)) > noise(counts.astype(np.int16)) + 50
