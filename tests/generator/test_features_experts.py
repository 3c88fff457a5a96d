"""Features against experts: where waves begin and end in LUDB, and P waves in PTB-XL's sinus rhythm and fibrillation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from generator.beats import r_peaks
from generator.features import average_beat, boundaries, features, p_evidence
from generator.recordings import Recording, find, read_all
from tests.generator import ludb

# What is marked: kind of wave, its end, where its peak lies about R (ms); mean error and SD of Martinez et al. 2004 on the QT database (ms).
BOUNDARIES = {
    "p_onset": ("p", "onset", (-320, -40), (2.0, 14.8)),
    "qrs_onset": ("N", "onset", (-75, 75), (4.6, 7.7)),
    "qrs_offset": ("N", "offset", (-75, 75), (0.8, 8.7)),
    "t_offset": ("t", "offset", (100, 600), (-1.6, 18.1)),
}


@pytest.fixture(scope="module")
def experts(shared: Path) -> tuple[ludb.Record, ...]:
    return ludb.records(shared)


@pytest.fixture(scope="module")
def measured(experts: tuple[ludb.Record, ...]) -> pd.DataFrame:
    return features(np.stack([record.counts for record in experts]))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_waves_begin_and_end_where_experts_say(experts: tuple[ludb.Record, ...], boundary: str) -> None:
    kind, end, window, (published_mean, published_sd) = BOUNDARIES[boundary]
    errors = []
    for record in experts:
        times = r_peaks(record.counts)
        ours = getattr(boundaries(average_beat(record.counts, times)), boundary)
        away = times * 1000 + (np.nan if ours is None else ours) - record.marks(times, kind, end, window)
        if np.isfinite(away).sum() >= 3 and not (record.fibrillates and kind == "p"):
            errors.append(np.nanmean(away))
    assert len(errors) >= 34
    assert abs(np.mean(errors) - published_mean) <= published_sd
    assert np.std(errors, ddof=1) <= 1.5 * published_sd  # a strip has 100 samples/s, theirs had 250


def test_intervals_agree_with_experts(experts: tuple[ludb.Record, ...], measured: pd.DataFrame) -> None:
    """Median over beats of what lies between two of the experts' marks."""
    between = {"qrs_width": ("qrs_onset", "qrs_offset"), "qt": ("qrs_onset", "t_offset"), "pr": ("p_onset", "qrs_onset")}
    allowed = {"qrs_width": (6, 18), "qt": (25, 16), "pr": (10, 20)}  # ms: of the mean error, of its SD; a tangent ends a T wave before the eye does
    for column, ends in between.items():
        errors = []
        for record, ours in zip(experts, measured[column], strict=True):
            times = r_peaks(record.counts)
            first, last = (record.marks(times, *BOUNDARIES[name][:3]) for name in ends)
            if np.isfinite(last - first).sum() >= 3 and np.isfinite(ours):
                errors.append(ours - np.nanmedian(last - first))
        assert len(errors) >= 30, column
        assert abs(np.mean(errors)) < allowed[column][0], column
        assert np.std(errors, ddof=1) < allowed[column][1], column


def test_p_waves_are_where_experts_mark_them(experts: tuple[ludb.Record, ...], measured: pd.DataFrame) -> None:
    fibrillates = np.array([record.fibrillates for record in experts])
    assert fibrillates.sum() == 5
    for column in ("p_coherence", "p_amplitude", "p_energy", "p_beats"):
        assert roc_auc_score(~fibrillates, measured[column]) >= 0.97, column
    marked, called = [], []
    for record in experts:
        times = r_peaks(record.counts)
        evidence = p_evidence(average_beat(record.counts, times), times)
        assert evidence is not None
        seen = np.flatnonzero(np.isfinite(record.marks(evidence.times, *BOUNDARIES["qrs_onset"][:3])))[1:]  # they may begin after a P wave
        marked.append(np.isfinite(record.marks(evidence.times[seen], *BOUNDARIES["p_onset"][:3])))
        called.append(evidence.present[seen])
    truth, ours = np.concatenate(marked), np.concatenate(called)
    assert truth.size >= 330
    assert ours[truth].mean() > 0.98
    assert (ours == truth).mean() > 0.93


def test_p_waves_tell_sinus_rhythm_from_fibrillation(shared: Path) -> None:
    listed = find(shared / "data/ptbxl").candidates
    chosen = [[one for one in listed if one.rhythm == rhythm][::step] for rhythm, step in (("AF", 3), ("NSR", 20))]
    read = [(one.rhythm, recording.counts) for one, recording in read_all([*chosen[0], *chosen[1]]) if isinstance(recording, Recording)]
    found = features(np.stack([counts for _, counts in read]))
    sinus = np.array([rhythm == "NSR" for rhythm, _ in read])
    assert min(sinus.sum(), (~sinus).sum()) >= 80
    for column in ("p_coherence", "p_beats"):
        assert roc_auc_score(sinus, found[column]) >= 0.97, column
    assert found.loc[sinus, "pr"].notna().mean() > 0.95
    assert found.loc[sinus, "pr"].between(90, 240).mean() > 0.95
    assert found.loc[~sinus, "pr"].isna().mean() > 0.8
