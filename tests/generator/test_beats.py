"""R peaks: against experts, against cropping, against nothing to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.beats import r_peaks, rr_intervals
from generator.strip import RATE
from tests.generator import ludb

TOLERANCE = 0.075  # s, as DESIGN's sources take it


def expert_beats(record: ludb.Record) -> np.ndarray:
    """R times (s): the median over leads of the experts' marks, where at least half the leads have one."""
    times = np.sort([wave.peak / 1000 for lead in record.waves for wave in lead if wave.kind == "N"])
    groups = np.split(times, np.flatnonzero(np.diff(times) > 0.12) + 1)
    return np.array([np.median(group) for group in groups if len(group) >= 6])


@pytest.fixture(scope="module")
def strips(shared: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(strip, expert R times) of LUDB's 40 records."""
    return [(record.counts, expert_beats(record)) for record in ludb.records(shared)]


def test_finds_the_beats_that_experts_marked(strips: list[tuple[np.ndarray, np.ndarray]]) -> None:
    marked = found = right = 0
    errors = []
    for strip, expert in strips:
        ours = r_peaks(strip)
        ours = ours[(ours > expert[0] - TOLERANCE) & (ours < expert[-1] + TOLERANCE)]  # the experts leave out the first and last beats
        away = np.abs(ours[:, None] - expert[None, :])
        right += int((away.min(axis=0) <= TOLERANCE).sum())
        marked, found = marked + len(expert), found + len(ours)
        errors += list(away.min(axis=0))
    assert len(strips) == 40
    assert marked == 380
    assert right / marked >= 0.995, f"sensitivity {right}/{marked}"
    assert right / found >= 0.995, f"positive predictive value {right}/{found}"
    assert np.mean(errors) < 0.015


def test_a_beat_stays_where_it_is_when_the_strip_is_cropped(strips: list[tuple[np.ndarray, np.ndarray]]) -> None:
    moved = []
    for strip, _ in strips:
        whole = r_peaks(strip)
        for first in (100, 237):
            part = r_peaks(strip[:, first:]) + first / RATE
            inside = whole[(whole > first / RATE + 0.1) & (whole < 9.9)]
            moved += list(np.abs(inside[:, None] - part[None, :]).min(axis=1))
    assert np.mean(np.array(moved) < 0.01) > 0.99


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(0.2, 20), rate=st.integers(40, 170), flip=st.booleans())
def test_regular_spikes_are_found_at_any_gain_polarity_and_rate(gain: float, rate: int, flip: bool) -> None:
    times = np.arange(0.4, 9.7, 60 / rate)
    spikes = np.exp(-0.5 * ((np.arange(1000)[:, None] / RATE - times[None, :]) / 0.018) ** 2).sum(axis=1)
    leads = np.linspace(0.4, 1.0, 8)[:, None] * spikes * gain * (-1 if flip else 1) * 100
    ours = r_peaks(leads)
    assert ours == pytest.approx(times, abs=0.003)
    assert rr_intervals(ours) == pytest.approx(60 / rate, abs=0.006)


def test_nothing_beats_in_noise_or_silence() -> None:
    rng = np.random.default_rng(1)
    assert r_peaks(np.zeros((8, 1000), dtype=np.int16)).size == 0
    assert r_peaks(rng.normal(0, 20, (8, 1000))).size == 0


def test_an_electrode_that_jolts_in_one_lead_is_no_beat(strips: list[tuple[np.ndarray, np.ndarray]]) -> None:
    strip = strips[0][0].copy()
    before = r_peaks(strip)
    middle = int(np.mean(before[3:5]) * RATE)
    strip[5, middle : middle + 8] += 800
    assert r_peaks(strip) == pytest.approx(before, abs=0.02)


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="one strip"):
        r_peaks(np.zeros((3, 8, 1000)))
