"""Stand-ins beat like hearts: regular with P waves, or irregular with f-waves; and they differ from each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from generator import beats
from generator.errors import GeneratorError
from generator.leads import LEADS
from generator.simulate import stand_in
from generator.strip import SAMPLES, millivolts, strip_hash

SEEDS = range(12)


def averaged_beat(counts: NDArray[np.int16]) -> NDArray[np.float64]:
    """(12, 100) mV: the mean from 400 ms before to 600 ms after R."""
    mv = millivolts(counts)
    peaks = np.rint(beats.r_peaks(counts) * 100).astype(int)
    return np.mean([mv[:, r - 40 : r + 60] for r in peaks if 40 <= r <= SAMPLES - 60], axis=0)


def variation(counts: NDArray[np.int16]) -> float:
    intervals = beats.rr_intervals(beats.r_peaks(counts))
    return float(np.std(intervals) / np.mean(intervals))


def test_the_same_seed_gives_the_same_strip_and_another_seed_another() -> None:
    strips = {strip_hash(stand_in(rhythm, seed)) for rhythm in ("NSR", "AF") for seed in range(20)}
    assert len(strips) == 40
    assert strip_hash(stand_in("AF", 3)) == strip_hash(stand_in("AF", 3))


def test_sinus_rhythm_is_regular_and_fibrillation_is_not() -> None:
    assert all(variation(stand_in("NSR", seed)) < 0.07 for seed in SEEDS)
    assert all(variation(stand_in("AF", seed)) > 0.08 for seed in SEEDS)


def test_fibrillation_has_no_memory() -> None:
    pairs = [np.corrcoef(rr[:-1], rr[1:])[0, 1] for seed in range(40) if len(rr := beats.rr_intervals(beats.r_peaks(stand_in("AF", seed)))) > 6]
    assert abs(np.mean(pairs) + 1 / 12) < 0.15  # a short series without memory has a mean lag-1 correlation of about -1/n


def test_heart_rates_are_those_of_people_at_rest() -> None:
    sinus = [60 / np.mean(beats.rr_intervals(beats.r_peaks(stand_in("NSR", seed)))) for seed in SEEDS]
    assert min(sinus) > 45
    assert max(sinus) < 105
    assert np.std(sinus) > 3


def test_the_p_wave_is_upright_in_lead_two_in_sinus_rhythm_only() -> None:
    def p_over_baseline(counts: NDArray[np.int16]) -> float:
        two = averaged_beat(counts)[LEADS.index("II")]
        return float(two[20:34].max() - np.median(two[8:16]))  # 200 to 60 ms before R, against the line before P

    sinus = [p_over_baseline(stand_in("NSR", seed)) for seed in SEEDS]
    fibrillation = [p_over_baseline(stand_in("AF", seed)) for seed in SEEDS]
    assert min(sinus) > 0.03
    assert np.median(sinus) > 2 * np.median(fibrillation)


def test_f_waves_are_strongest_in_v1() -> None:
    power = np.zeros(12)
    for seed in range(30):
        counts = stand_in("AF", seed)
        mv = millivolts(counts)
        peaks = np.rint(beats.r_peaks(counts) * 100).astype(int)
        quiet = np.zeros(SAMPLES, dtype=bool)
        for r, following in itertools.pairwise(peaks):
            quiet[r + 55 : following - 15] = True  # neither QRS nor T
        if quiet.sum() >= 100:  # fast hearts leave less
            power += signal.sosfiltfilt(signal.butter(2, (4, 9), "bandpass", fs=100, output="sos"), mv)[:, quiet].var(axis=-1)
    assert LEADS[int(np.argmax(power))] in ("V1", "V2")
    assert power[LEADS.index("V1")] > 3 * power[LEADS.index("V6")]


@pytest.mark.parametrize("rhythm", ["NSR", "AF"])
def test_the_qrs_turns_as_in_a_normal_heart(rhythm: str) -> None:
    mean = np.mean([averaged_beat(stand_in(rhythm, seed)) for seed in SEEDS], axis=0)[:, 30:55]
    upward, downward = mean.max(axis=-1), -mean.min(axis=-1)
    r_over_s = dict(zip(LEADS, upward / downward, strict=True))
    assert r_over_s["aVR"] < 1 < r_over_s["II"]
    assert r_over_s["V1"] < 0.7
    assert r_over_s["V1"] < r_over_s["V3"] < r_over_s["V5"]


def test_another_rhythm_is_an_error() -> None:
    with pytest.raises(GeneratorError, match="NSR and AF"):
        stand_in("VT", 1)
