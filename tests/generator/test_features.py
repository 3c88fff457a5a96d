"""Features: against experts, against rhythms made by hand, and honest where nothing can be measured."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from generator.features import COLUMNS, UNITS, features
from generator.strip import RATE, canonical, canonical_from_stored


def made_strip(times: NDArray[np.floating], p_wave: float = 0.15, gain: float = 1.0, noise: float = 0.0) -> NDArray[np.int16]:
    """A strip with QRS, T and (P of `p_wave` mV) at known places around each R time."""
    t = np.arange(1000)[:, None] / RATE - times[None, :]
    beat = 1.0 * np.exp(-0.5 * (t / 0.012) ** 2) - 0.3 * np.exp(-0.5 * ((t - 0.03) / 0.01) ** 2) + 0.25 * np.exp(-0.5 * ((t - 0.25) / 0.04) ** 2)
    beat += p_wave * np.exp(-0.5 * ((t + 0.16) / 0.022) ** 2)
    lead = beat.sum(axis=1)
    leads = np.linspace(0.5, 1.2, 8)[:, None] * lead * gain
    return canonical_from_stored(leads + np.random.default_rng(5).normal(0, noise, leads.shape))


@pytest.fixture(scope="module")
def ludb(shared: Path) -> tuple[pd.DataFrame, NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Features, AF or not, and the experts' QRS width and QT (ms, median over beats and leads) of 40 records."""
    strips, fibrillates, qrs, qt = [], [], [], []
    for header in sorted((shared / "data/ludb/data").glob("*.hea")):
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        strips.append(canonical(record.d_signal.T / 1000, record.fs, record.sig_name, name=header.stem))
        fibrillates.append("Atrial fibrillation" in " ".join(record.comments))
        widths, intervals = [], []
        for lead in ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6"):
            marks = wfdb.rdann(str(header.with_suffix("")), lead)
            triples = [(s, marks.sample[i - 1] * 2.0, marks.sample[i + 1] * 2.0) for i, s in enumerate(marks.symbol[:-1]) if i and s in "Nt"]
            widths += [off - on for s, on, off in triples if s == "N"]
            intervals += [b[2] - a[1] for a, b in pairwise(triples) if (a[0], b[0]) == ("N", "t")]
        qrs.append(np.median(widths))
        qt.append(np.median(intervals) if intervals else np.nan)
    return features(np.stack(strips)), np.array(fibrillates), np.array(qrs), np.array(qt)


def test_intervals_agree_with_experts(ludb: tuple[pd.DataFrame, NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]) -> None:
    measured, _, qrs, qt = ludb
    width_error, qt_error = measured["qrs_width"] - qrs, measured["qt"] - qt
    assert width_error.notna().sum() >= 38
    assert abs(width_error.mean()) < 6
    assert width_error.std() < 18
    assert qt_error.notna().sum() >= 36
    assert -25 < qt_error.mean() < 0  # a tangent ends a T wave earlier than the eye
    assert qt_error.std() < 16


def test_p_wave_evidence_tells_sinus_rhythm_from_af(ludb: tuple[pd.DataFrame, NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]) -> None:
    measured, fibrillates, _, _ = ludb
    assert fibrillates.sum() == 5
    for column in ("p_coherence", "p_amplitude", "p_energy"):
        assert roc_auc_score(~fibrillates, measured[column]) >= 0.97, column


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


def test_no_strips_give_an_empty_table_and_another_shape_is_refused() -> None:
    assert features(np.empty((0, 8, 1000), dtype=np.int16)).shape == (0, len(UNITS) + 1)
    with pytest.raises(ValueError, match="shape"):
        features(np.zeros((12, 1000), dtype=np.int16))
