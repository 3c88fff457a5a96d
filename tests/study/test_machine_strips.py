"""What machines make of single strips: planted features with known answers, patients kept together, training strips found in the database."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from generator.copies import Reference
from generator.simulate import stand_in
from generator.strip import strip_hash, to_bytes
from storage import strips
from storage.database import Database
from study import machine_strips
from study.machine import FEATURES
from study.machine_strips import FEWEST, Strips, distances, nearest_training, rhythm_calls, suspicion

NOTHING = np.zeros((0, 8, 1000), dtype=np.int16)


def planted(n: int, apart: float = 0.0, patients: int | None = None, seed: int = 0) -> Strips:
    """n real and n synthetic strips, rhythms in turn; features are noise, the first five lie `apart` standard deviations higher in synthetic ones."""
    rng = np.random.default_rng(seed)
    synthetic = np.repeat([False, True], n)
    table = pd.DataFrame(rng.normal(size=(2 * n, len(FEATURES))), columns=list(FEATURES))
    table[list(FEATURES[:5])] += (apart * synthetic)[:, None]
    table["rhythm"] = ["NSR", "AF"] * n
    table["patient"] = [f"p{i % (patients or n)}" for i in range(n)] + [f"strip {i}" for i in range(n)]
    return Strips([str(i) for i in range(2 * n)], synthetic, table, NOTHING, [None] * n + ["c"] * n)


def area(score: Any, truth: Any) -> float:
    return float((score[truth][:, None] > score[~truth][None, :]).mean())


# ---- real or synthetic ----


def test_arms_that_lie_apart_are_told_and_others_are_not() -> None:
    told = planted(30, apart=8)
    score, reason = suspicion(told, 1)
    assert reason is None
    assert score is not None
    assert area(score, told.synthetic) == 1
    assert ((score >= 0) & (score <= 1)).all()
    alike = planted(60)
    unknown, _ = suspicion(alike, 1)
    assert unknown is not None
    assert 0.3 < area(unknown, alike.synthetic) < 0.7
    again, _ = suspicion(told, 1)
    assert again is not None
    assert np.array_equal(score, again)


def test_a_strip_s_own_patient_teaches_nothing() -> None:
    """The arm is written into features that hold of one patient alone: who saw the patient's other strips would know it."""
    n = 40
    both = planted(n, patients=n // 2)
    both.table["patient"] = [f"p{i // 2}" for i in range(2 * n)]
    code = np.random.default_rng(5).normal(size=(n, len(FEATURES))) * 10
    both.table[list(FEATURES)] = code[np.arange(2 * n) // 2]
    score, _ = suspicion(both, 2)
    assert score is not None
    assert area(score, both.synthetic) < 0.75


@pytest.mark.parametrize(("n", "patients"), [(FEWEST - 1, None), (30, FEWEST - 1)])
def test_few_patients_are_told_as_a_reason(n: int, patients: int | None) -> None:
    score, reason = suspicion(planted(n, apart=8, patients=patients), 1)
    assert score is None
    assert f"{FEWEST - 1} real" in str(reason)


# ---- distances ----


def test_the_nearest_is_a_real_strip_of_the_rhythm_and_of_another_patient() -> None:
    some = planted(20)
    some.table.loc[0, "patient"] = some.table.loc[2, "patient"] = "one"
    some.table.loc[2, list(FEATURES)] = some.table.loc[0, list(FEATURES)]  # nothing is nearer, but it is the patient's own
    some.table.loc[24, list(FEATURES)] = some.table.loc[4, list(FEATURES)]  # a synthetic copy of a real strip
    found, which = distances(some)
    assert np.isfinite(found).all()
    assert (found[24], which[24]) == (0, 4)
    assert found[0] > 0
    for i, other in enumerate(which):
        assert not some.synthetic[other]
        assert some.table["rhythm"][other] == some.table["rhythm"][i]
        assert some.table["patient"][other] != some.table["patient"][i]


def test_a_distance_is_in_standard_deviations_of_the_real_strips() -> None:
    some = planted(12, apart=50)
    found, _ = distances(some)
    real = some.table.loc[(some.table["rhythm"] == "NSR") & ~some.synthetic, list(FEATURES)]
    apart = (real.to_numpy() - some.table.loc[12, list(FEATURES)].to_numpy(dtype=float)) / real.std(ddof=1).to_numpy()
    assert found[12] == pytest.approx(np.sqrt((apart**2).mean(axis=1)).min())


def test_too_few_real_strips_or_features_give_none() -> None:
    few = planted(8)  # four real strips of a rhythm
    assert np.isnan(distances(few)[0]).all()
    bare = planted(20)
    bare.table.loc[30, list(FEATURES[: len(FEATURES) // 2 + 2])] = np.nan
    found, which = distances(bare)
    assert np.isnan(found[30])
    assert which[30] == -1
    assert np.isfinite(np.delete(found, 30)).all()


# ---- rhythm ----


def test_classifiers_of_the_rhythm_learn_from_real_strips_alone() -> None:
    some = planted(20)
    fibrillates = (some.table["rhythm"] == "AF").to_numpy()
    for name in ("rr_cv", "rr_sd", "rr_rmssd"):
        some.table[name] = some.table[name] + 20 * np.where(some.synthetic, ~fibrillates, fibrillates)  # synthetic strips are called the other way
    found, reason = rhythm_calls(_with_rr(some), 1)
    assert reason is None
    for score in found.values():
        assert ((score >= 0.5) == np.where(some.synthetic, ~fibrillates, fibrillates)).mean() > 0.9
    some.table["rhythm"] = "NSR"
    nothing, why = rhythm_calls(_with_rr(some), 1)
    assert nothing == {}
    assert "AF of 0 patients" in str(why)


def _with_rr(some: Strips) -> Strips:
    """The classifiers' features hold rr_mean too."""
    some.table["rr_mean"] = 0.0
    return some


# ---- training strips ----


def test_a_training_strip_is_named_and_found_where_its_recording_is_here(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = [stand_in("NSR", seed) for seed in range(6)]
    reference = Reference.of(np.stack(taught), None, ["NSR"] * 6)
    monkeypatch.setattr(machine_strips, "_reference", lambda checkpoint: reference if checkpoint == "known" else None)
    with db.write() as session:
        for number, counts in ((2, taught[2]), (90, stand_in("NSR", 90))):
            strips.add_recording(session, strips.NewRecording(to_bytes(counts), "NSR", "ward", f"r{number}", f"p{number}", 100.0))
    counts = np.stack([taught[2], taught[5], stand_in("NSR", 50)])
    table = pd.DataFrame({"rhythm": ["NSR"] * 3, "patient": ["a", "b", "c"]})
    found, reason = nearest_training(db, Strips(["a", "b", "c"], np.array([True, True, False]), table, counts, ["known", "known", None]))
    assert reason is None
    assert (found["a"]["number"], found["a"]["recording"]) == (2, strip_hash(taught[2]))
    assert (found["b"]["number"], found["b"]["recording"]) == (5, None), "the recording is not in this database"
    assert found["a"]["distance"] < 0.001 < found["c"]["distance"], "a real strip is held against the study's checkpoint too"
    gone, why = nearest_training(db, Strips(["a"], np.array([True]), table[:1], counts[:1], ["unknown"]))
    assert gone == {}
    assert "not on this machine" in str(why)
