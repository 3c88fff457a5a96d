"""Utility: what a classifier gains from strips, with the figures checked by other routes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from generator.quality.network import Settings
from generator.utility import (
    CLASSIFIERS,
    EXPERIMENTS,
    HELD_OUT,
    INTERVALS_AND_RR,
    NETWORK,
    UtilityError,
    as_table,
    labelled,
    utility,
    utility_of_study,
)
from generator.utility.figures import f1, measures


def made_table(n: int, seed: int, apart: float = 3.0, patients: str = "p", swap: bool = False) -> pd.DataFrame:
    """n rows, half AF, features `apart` standard deviations from one another; swap: labels the wrong way round."""
    rng = np.random.default_rng(seed)
    af = np.arange(n) % 2 == 0
    values = rng.normal(size=(n, len(INTERVALS_AND_RR))) + apart * af[:, None]
    values[rng.random(values.shape) < 0.05] = np.nan  # features may be undefined
    table = pd.DataFrame(values, columns=list(INTERVALS_AND_RR))
    return table.assign(rhythm=np.where(af ^ swap, "AF", "NSR"), patient=[f"{patients}{i}" for i in range(n)])


def test_held_out_sets_give_every_experiment_and_classifier_and_survive_json() -> None:
    result = utility(made_table(60, 1), made_table(40, 2, patients="q"), made_table(50, 3, patients="s"), seed=7)
    result = json.loads(json.dumps(result))
    for experiment in EXPERIMENTS:
        for classifier in CLASSIFIERS:
            figure = result[experiment][classifier]
            assert figure["macro_f1"] > 0.8
            assert figure["auroc"] > 0.9
            assert figure["ci"][0] <= figure["macro_f1"] <= figure["ci"][1]
            assert set(figure["f1"]) == {"AF", "NSR"}
            assert sum(figure["recall"].values()) / 2 == pytest.approx(figure["balanced_accuracy"])
    assert result["TSTR"][CLASSIFIERS[0]]["n"] == {"train": {"AF": 25, "NSR": 25}, "test": {"AF": 20, "NSR": 20}, "test_patients": 40}
    assert result["tstr_over_trtr"][CLASSIFIERS[0]] == pytest.approx(
        result["TSTR"][CLASSIFIERS[0]]["macro_f1"] / result["TRTR"][CLASSIFIERS[0]]["macro_f1"]
    )
    assert len(as_table(result)) == len(HELD_OUT) * len(CLASSIFIERS)


def test_the_same_seed_gives_the_same_result() -> None:
    real, synthetic = made_table(30, 1, apart=1), made_table(30, 2, apart=1, patients="s")
    assert utility_of_study(real, synthetic, seed=3) == utility_of_study(real, synthetic, seed=3)
    assert utility_of_study(real, synthetic, seed=3) != utility_of_study(real, synthetic, seed=4)


def test_synthetic_strips_with_the_rhythms_swapped_are_worth_nothing() -> None:
    result = utility(made_table(60, 1), made_table(40, 2, patients="q"), made_table(60, 3, patients="s", swap=True), seed=1)
    for classifier in CLASSIFIERS:
        assert result["TRTR"][classifier]["macro_f1"] > 0.9
        assert result["TSTR"][classifier]["macro_f1"] < 0.1
        assert result["TSTR"][classifier]["auroc"] < 0.1


def test_a_patient_on_both_sides_is_refused() -> None:
    with pytest.raises(UtilityError, match="both real sets"):
        utility(made_table(20, 1), made_table(20, 2), made_table(20, 3), seed=1)


def test_cross_validation_keeps_a_patient_on_one_side() -> None:
    """Features that only name the patient: strips of one patient are twins, classes are random. Leaking patients would score far above chance."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(40), 4)
    values = rng.normal(size=(40, len(INTERVALS_AND_RR)))[who] + 0.01 * rng.normal(size=(160, len(INTERVALS_AND_RR)))
    table = pd.DataFrame(values, columns=list(INTERVALS_AND_RR))
    table = table.assign(rhythm=np.where(rng.permutation(40) % 2 == 0, "AF", "NSR")[who], patient=who.astype(str))
    result = utility_of_study(table, made_table(20, 2), seed=1)
    for classifier in CLASSIFIERS:
        assert 0.2 < result["TRTR"][classifier]["auroc"] < 0.75


@pytest.mark.parametrize(("rhythms", "reason"), [(["AF"] * 8, "no NSR strip"), (["AF"] * 7 + ["NSR"], "at least 2 patients")])
def test_what_cannot_be_had_says_why(rhythms: list[str], reason: str) -> None:
    real = made_table(8, 1).assign(rhythm=rhythms)
    result = utility_of_study(real, made_table(12, 2, patients="s"), seed=1)
    figure = result["TRTR"][CLASSIFIERS[0]]
    assert figure["macro_f1"] is None
    assert reason in figure["reason"]
    assert result["TSTS"][CLASSIFIERS[0]]["macro_f1"] is not None
    assert utility_of_study(real.head(0), made_table(12, 2), seed=1)["TSTR"][CLASSIFIERS[0]]["reason"] == "no AF strip to test on"


def test_an_interval_without_width_is_not_left_to_speak_for_itself() -> None:
    figure = utility_of_study(made_table(12, 1, apart=9), made_table(12, 2, apart=9, patients="s"), seed=1)["TSTR"]["logistic regression"]
    assert figure["ci"] == [1.0, 1.0]
    assert "no width" in figure["reason"]


def test_wrong_tables_are_refused_by_name() -> None:
    with pytest.raises(UtilityError, match="synthetic: no column rr_cv"):
        utility_of_study(made_table(8, 1), made_table(8, 1).drop(columns="rr_cv"), seed=1)
    with pytest.raises(UtilityError, match="real: rhythm SVT is unknown"):
        utility_of_study(made_table(8, 1).assign(rhythm="SVT"), made_table(8, 1), seed=1)
    with pytest.raises(UtilityError, match="1 strips, 2 rhythms"):
        labelled(np.zeros((1, 8, 1000), dtype=np.int16), ["AF", "NSR"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40).filter(lambda rows: len({truth for truth, _ in rows}) == 2))
def test_f1_is_that_of_scikit_learn_for_any_answers(rows: list[tuple[bool, bool]]) -> None:
    truth: NDArray[np.bool_] = np.array([row[0] for row in rows])
    called: NDArray[np.bool_] = np.array([row[1] for row in rows])
    macro, each = f1(truth, called, np.ones((1, len(rows))))
    assert macro[0] == pytest.approx(f1_score(truth, called, average="macro", zero_division=0))
    assert each[:, 0] == pytest.approx([f1_score(truth, called, pos_label=label, zero_division=0) for label in (True, False)])
    doubled, _ = f1(truth, called, np.full((1, len(rows)), 2.0))
    assert doubled[0] == pytest.approx(macro[0])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9]), st.integers(0, 3)), min_size=2, max_size=40).filter(
        lambda rows: len({truth for truth, _, often in rows if often}) == 2
    )
)
def test_figures_are_those_of_scikit_learn_for_any_scores_ties_and_weights(rows: list[tuple[bool, float, int]]) -> None:
    """A weight is how often a strip was drawn: the figures are those of a set that holds it so often."""
    truth, score, often = (np.array(column) for column in zip(*rows, strict=True))
    ours = {name: values[0] for name, values in measures(truth, score, often[None].astype(float)).items()}
    drawn, of_drawn = np.repeat(truth, often), np.repeat(score, often)
    assert ours["auroc"] == pytest.approx(roc_auc_score(drawn, of_drawn))
    assert ours["average_precision"] == pytest.approx(average_precision_score(drawn, of_drawn))
    assert ours["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(drawn, of_drawn >= 0.5))
    assert ours["macro_f1"] == pytest.approx(f1_score(drawn, of_drawn >= 0.5, average="macro", zero_division=0))
    assert ours["brier"] == pytest.approx(np.mean([np.mean((of_drawn[drawn == af] - af) ** 2) for af in (True, False)]))


def test_another_classifier_or_seed_changes_no_other_figure() -> None:
    """Stored results can be had again: what is added beside a figure leaves it as it was."""
    sets = made_table(40, 1, apart=1), made_table(30, 2, patients="q", apart=1), made_table(30, 3, patients="s", apart=1)
    once, often = utility(*sets, seed=7), utility(*sets, seed=7, seeds=2)
    for experiment in HELD_OUT:
        for classifier in CLASSIFIERS:
            by_seed = often[experiment][classifier]["macro_f1_by_seed"]
            assert len(by_seed) == 2
            assert by_seed[0] == once[experiment][classifier]["macro_f1"]
            assert often[experiment][classifier]["macro_f1"] == pytest.approx(np.mean(by_seed))
    assert len(set(often["TSTS"]["gradient boosting"]["macro_f1_by_seed"])) > 1
    assert often["TSTR"]["gradient boosting"]["ci"] != once["TSTR"]["gradient boosting"]["ci"]


def test_the_headline_is_a_ratio_on_the_same_patients() -> None:
    """Synthetic strips that are the training recordings are worth exactly as much, in every resample."""
    train, test = made_table(60, 1, apart=1.5), made_table(60, 2, patients="q", apart=1.5)
    twin = train.assign(patient=[f"s{i}" for i in range(60)])
    same = utility(train, test, twin, seed=1)["headline"]["logistic regression"]
    assert (same["value"], same["ci"]) == (1.0, [1.0, 1.0])
    worse = utility(train, test, made_table(60, 3, patients="s", apart=0.2), seed=1)["headline"]["logistic regression"]
    assert worse["ci"][0] < worse["value"] < worse["ci"][1] < 1.1
    assert worse["value"] < 0.95
    assert utility(train, test, twin.assign(rhythm="AF"), seed=1)["headline"]["logistic regression"] == {
        **dict.fromkeys(("value", "ci")),
        "reason": "no NSR strip to train on",
    }


def test_reliability_says_whether_a_probability_means_what_it_says() -> None:
    found = utility(made_table(200, 1, apart=1), made_table(200, 2, patients="q", apart=1), made_table(40, 3, patients="s"), seed=1)
    rows = found["TRTR"]["logistic regression"]["reliability"]
    assert sum(row["n"] for row in rows) == 200
    assert all(row["from"] <= row["predicted"] <= row["to"] for row in rows)
    assert rows[0]["observed"] < 0.3 < 0.7 < rows[-1]["observed"]


def test_a_network_sees_the_strips_themselves() -> None:
    """It tells loud strips from quiet ones, learns the opposite from swapped ones, and leaves the figures beside its own as they were."""
    rhythms = ["AF", "NSR"] * 8
    rng = np.random.default_rng(0)
    loud = np.where(np.array(rhythms) == "AF", 200, 50)[:, None, None]
    train, test, drawn = (np.rint(loud * rng.normal(size=(16, 8, 1000))).astype(np.int16) for _ in range(3))
    tables = [made_table(16, 1, patients=name).assign(rhythm=rhythms) for name in "pqs"]
    tables[2] = tables[2].assign(rhythm=rhythms[::-1])
    told: list[float] = []
    small = Settings(width=4, dims=4, iterations=60, batch=8, crop=100)
    found = utility(*tables, seed=1, counts=(train, test, drawn), network=small, told=told.append)
    assert found["TRTR"][NETWORK]["auroc"] > 0.9
    assert found["TSTR"][NETWORK]["auroc"] < 0.1
    assert found["TRTR"][NETWORK]["n"] == found["TRTR"][CLASSIFIERS[0]]["n"]
    assert "torch" in found["versions"]
    assert told == sorted(told)
    assert told[-1] == 1.0
    without = utility(*tables, seed=1)
    assert all(found[experiment][classifier] == without[experiment][classifier] for experiment in HELD_OUT for classifier in CLASSIFIERS)
