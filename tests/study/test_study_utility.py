"""Classifier utility of a study's own strips: after unblinding only, once, with a reason wherever a figure is missing."""

from __future__ import annotations

import pandas as pd
import pytest

from generator.simulate import stand_in
from storage import audit, export
from storage.database import Database
from study.errors import StudyError
from study.results import results
from study.utility import compute_utility, utility_table
from tests.study.factory import PlantedReader, read_study

ONE = [PlantedReader()]


def test_the_result_is_stored_once_and_shown(db: Database) -> None:
    planted = read_study(db, ONE, cases=16, repeats=0, draw=stand_in)
    assert set(results(db, planted.coordinator, planted.study_id).utility["reason"].str.startswith("not computed yet")) == {True}
    steps: list[tuple[int, int]] = []
    computed = compute_utility(db, planted.study_id, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (4, 4)
    assert compute_utility(db, planted.study_id) == computed
    with db.read() as session:
        assert audit.verify(session) > 0
        assert len(export.trail(session, f"study {planted.study_id}", "utility computed")) == 1
    table = results(db, planted.coordinator, planted.study_id).utility
    assert list(dict.fromkeys(table["experiment"])) == ["TSTR / TRTR", "TSTR", "TRTS", "TRTR", "TSTS"]
    assert set(table["figure"]) == {"ratio of macro F1", "macro F1", "F1 AF", "F1 NSR", "AUROC"}
    assert table.loc[table["figure"] != "ratio of macro F1", "value"].between(0, 1).all()
    gaps = table[table[["value", "low", "high"]].isna().any(axis=1)]
    assert gaps["reason"].notna().all()
    assert (table["n"] == 8).all()


def test_strips_that_measure_nothing_still_get_an_answer(db: Database) -> None:
    """Noise has no beats: every feature is undefined, and classifiers can only guess."""
    planted = read_study(db, ONE, cases=12, repeats=0)
    assert utility_table(compute_utility(db, planted.study_id))["value"].notna().all()


def test_not_before_unblinding_and_not_for_one_arm(db: Database) -> None:
    blind = read_study(db, ONE, unblinded=False)
    with pytest.raises(StudyError, match="still blind"):
        compute_utility(db, blind.study_id)
    real = read_study(db, ONE, seed=2, title="Only real", synthetic_share=0.0)
    with pytest.raises(StudyError, match="no synthetic strip"):
        compute_utility(db, real.study_id)


def test_without_a_result_every_experiment_says_why() -> None:
    table = utility_table(None)
    assert len(table) == 5
    assert table["value"].isna().all()
    assert table["reason"].notna().all()
    assert pd.isna(table["low"]).all()
