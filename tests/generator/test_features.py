"""Features: against rhythms and waves made by hand, and honest where nothing can be measured. Against experts: test_features_experts.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from generator.beats import r_peaks
from generator.features import COLUMNS, UNITS, average_beat, boundaries, features, p_evidence
from generator.leads import twelve_leads
from generator.simulate import stand_in
from generator.strip import RATE, canonical_from_stored


def made_strip(
    times: NDArray[np.floating], p_wave: float = 0.15, gain: float = 1.0, noise: float = 0.0, p_at: float = -0.16, st: float = 0.0
) -> NDArray[np.int16]:
    """A strip with QRS, T, P of `p_wave` mV and an ST segment of `st` mV at known places around each R time."""
    t = np.arange(1000)[:, None] / RATE - times[None, :]
    beat = 1.0 * np.exp(-0.5 * (t / 0.012) ** 2) - 0.3 * np.exp(-0.5 * ((t - 0.03) / 0.01) ** 2) + 0.25 * np.exp(-0.5 * ((t - 0.25) / 0.04) ** 2)
    beat += p_wave * np.exp(-0.5 * ((t - p_at) / 0.022) ** 2)
    beat += st * expit((t - 0.06) / 0.008) * expit((0.17 - t) / 0.008)
    lead = beat.sum(axis=1)
    leads = np.linspace(0.5, 1.2, 8)[:, None] * lead * gain
    return canonical_from_stored(leads + np.random.default_rng(5).normal(0, noise, leads.shape))


@settings(max_examples=20, deadline=None)
@given(rr=st.floats(0.5, 1.3), gain=st.floats(0.4, 3.0))
def test_a_regular_rhythm_is_measured_at_any_rate_and_gain(rr: float, gain: float) -> None:
    times = np.arange(0.45, 9.6, rr)
    row = features(made_strip(times, gain=gain)[None]).iloc[0]
    assert row["beats"] == times.size
    assert row["rr_mean"] == pytest.approx(1000 * rr, abs=3)
    assert row["heart_rate"] == pytest.approx(60 / rr, rel=0.01)
    assert row["rr_sd"] < 6
    assert row["p_coherence"] > 0.9
    assert row["r_V5"] / gain == pytest.approx(features(made_strip(times)[None]).iloc[0]["r_V5"], rel=0.05)


def test_rr_figures_follow_their_definitions() -> None:
    rr = np.array([0.80, 0.90, 0.70, 1.00, 0.82, 0.78, 1.10, 0.72, 0.95, 0.88])
    row = features(made_strip(0.5 + np.concatenate([[0], np.cumsum(rr)]))[None]).iloc[0]
    steps = np.abs(np.diff(rr))
    assert row["rr_sd"] == pytest.approx(1000 * rr.std(ddof=1), abs=4)
    assert row["rr_cv"] == pytest.approx(rr.std(ddof=1) / rr.mean(), abs=0.005)
    assert row["rr_rmssd"] == pytest.approx(1000 * np.sqrt((steps**2).mean()), abs=6)
    assert row["rr_pnn50"] == pytest.approx(100 * (steps > 0.05).mean(), abs=0.1)


def test_without_p_waves_there_is_no_p_wave_evidence() -> None:
    times = 0.5 + np.concatenate([[0], np.cumsum(np.random.default_rng(3).uniform(0.5, 1.1, 10))])
    with_p, without = (features(made_strip(times, p_wave=p, noise=0.03)[None]).iloc[0] for p in (0.15, 0.0))
    assert with_p["p_coherence"] > 0.5 > without["p_coherence"]
    assert with_p["p_amplitude"] > 2 * without["p_amplitude"]


def test_nothing_is_dropped_and_every_gap_has_its_reason() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (8, 1000)).astype(np.int16)
    table = features(
        np.stack([noise, made_strip(np.arange(0.5, 9.6, 0.8)), made_strip(np.array([2.0, 5.0, 8.0]), noise=0.01), np.zeros((8, 1000), np.int16)])
    )
    assert len(table) == 4
    assert list(table.columns) == [*COLUMNS, "undefined"]
    reasons = [str(reason) for reason in table["undefined"]]
    for (_, row), reason in zip(table.iterrows(), reasons, strict=True):
        for column in COLUMNS:
            assert pd.notna(row[column]) or column in reason, (column, reason)
    assert reasons[1] == ""
    assert "no beat stands out" in reasons[0]
    assert table.loc[2, "beats"] == 3
    assert "fewer than" in reasons[2]


def test_irregular_intervals_have_more_entropy_than_regular_ones_whatever_the_rate() -> None:
    rng = np.random.default_rng(4)
    for mean in (0.55, 0.9):
        jitter = {name: mean * rng.uniform(1 - part, 1 + part, round(9 / mean) - 1) for name, part in (("regular", 0.02), ("irregular", 0.4))}
        found = {name: features(made_strip(0.4 + np.cumsum(rr))[None]).iloc[0]["rr_entropy"] for name, rr in jitter.items()}
        assert found["irregular"] > found["regular"] + 0.8


def test_entropy_is_what_its_formula_gives() -> None:
    rr = np.array([0.80, 0.90, 0.70, 1.00, 0.82, 0.78, 1.10, 0.72, 0.95, 0.88])
    strip = made_strip(0.5 + np.concatenate([[0], np.cumsum(rr)]))
    measured = 1000 * np.diff(r_peaks(strip))
    pairs = [(i, j) for i in range(len(measured) - 1) for j in range(i)]
    apart = sorted(max(abs(measured[i] - measured[j]), abs(measured[i + 1] - measured[j + 1])) for i, j in pairs)
    r = max(30.0, apart[4])
    matches = [sum(abs(measured[i] - measured[j]) <= r for i, j in pairs), sum(one <= r for one in apart)]
    expected = np.log(matches[0] / matches[1]) + np.log(2 * r / measured.mean())
    assert features(strip[None]).iloc[0]["rr_entropy"] == pytest.approx(expected)


@pytest.mark.parametrize("p_at", [-0.20, -0.16, -0.12])
def test_a_p_wave_is_found_where_it_was_put(p_at: float) -> None:
    """An onset moves with its wave; PR follows, and no PR is told where there is no P wave."""
    times = np.arange(0.5, 9.7, 0.85)
    strip = made_strip(times, p_at=p_at, noise=0.005)
    row = features(strip[None]).iloc[0]
    assert row["p_to_r"] == pytest.approx(-1000 * p_at, abs=8)
    onset = boundaries(average_beat(strip, r_peaks(strip))).p_onset
    assert onset == pytest.approx(1000 * (p_at - 2 * 0.022), abs=12)
    assert row["pr"] == pytest.approx(-1000 * p_at + 44 - 36, abs=16)  # QRS begins three SD of R, 36 ms, before its peak
    assert np.isnan(features(made_strip(times, p_wave=0.0, noise=0.02)[None]).iloc[0]["pr"])


def test_each_beat_speaks_for_itself() -> None:
    """P waves before every beat but two: these two have none, the others have."""
    times = np.arange(0.6, 9.6, 0.75)
    t = np.arange(1000)[:, None] / RATE - times[None, :]
    without = [3, 8]
    p_wave = 0.2 * np.exp(-0.5 * ((t + 0.16) / 0.022) ** 2)
    p_wave[:, without] = 0
    lead = p_wave.sum(axis=1) + np.exp(-0.5 * (t / 0.012) ** 2).sum(axis=1)
    strip = canonical_from_stored(np.linspace(0.5, 1.2, 8)[:, None] * lead)
    found = r_peaks(strip)
    evidence = p_evidence(average_beat(strip, found), found)
    assert evidence is not None
    assert list(np.flatnonzero(~evidence.present)) == without
    assert features(strip[None]).iloc[0]["p_beats"] == pytest.approx(1 - 2 / len(times))


def test_st_level_is_that_of_the_segment() -> None:
    times = np.arange(0.5, 9.7, 0.85)
    flat = features(made_strip(times)[None]).iloc[0]
    raised = features(made_strip(times, st=0.2)[None]).iloc[0]
    assert raised["st_V5"] - flat["st_V5"] == pytest.approx(0.2 * 1.1, abs=0.05)  # the eight leads are 0.5 to 1.2 times as high; V5 1.1
    assert raised["st_V5"] > raised["st_V2"] > raised["st_II"] > flat["st_II"]


def test_twelve_leads_measure_as_their_eight_and_another_order_is_refused() -> None:
    eight = np.stack([stand_in("NSR", 1), stand_in("AF", 2)])
    twelve = np.rint(twelve_leads(eight)).astype(np.int16)
    pd.testing.assert_frame_equal(features(twelve), features(eight))
    with pytest.raises(ValueError, match="not II - I"):
        features(twelve[:, [0, 1, *range(6, 12), *range(2, 6)]])  # as SSSD-ECG orders them


def test_the_table_in_the_docs_is_that_of_the_code() -> None:
    written = (Path(__file__).parents[2] / "docs/features.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {unit} | {text} |" for name, (unit, text) in UNITS.items()]
    assert [line for line in written.splitlines() if line.startswith("| `")] == rows


def test_no_strips_give_an_empty_table_and_another_shape_is_refused() -> None:
    assert features(np.empty((0, 8, 1000), dtype=np.int16)).shape == (0, len(UNITS) + 1)
    with pytest.raises(ValueError, match="shape"):
        features(np.zeros((12, 1000), dtype=np.int16))
