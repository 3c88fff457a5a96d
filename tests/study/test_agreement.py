"""Published values come out to their printed digits, and nothing is ever NaN."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats.inter_rater import fleiss_kappa

from study.agreement import proportions, raters
from study.agreement.detection import auc, criterion, d_prime, detection
from study.agreement.estimate import Estimate, rng, undefined


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "golden" / "agreement.json").read_text())
    return values


def value(estimate: Estimate) -> float:
    assert estimate.value is not None, estimate.reason
    return estimate.value


# ---- published values ----


def test_fleiss_1971(golden: dict[str, Any]) -> None:
    published = golden["fleiss1971"]
    table = np.array(published["counts"])
    assert value(raters.coefficient(table, "fleiss")) == pytest.approx(published["fleiss_kappa"], abs=1e-6)
    assert raters.fleiss_z(table) == pytest.approx(published["z"], abs=1e-5)
    assert value(raters.coefficient(table, "krippendorff")) == pytest.approx(published["krippendorff_nominal"], abs=1e-5)
    for ours, theirs in (("gwet", "ac"), ("fleiss", "fleiss"), ("brennan-prediger", "bp"), ("krippendorff", "krippendorff")):
        assert value(raters.coefficient(table, ours)) == pytest.approx(published["irrCAC"][theirs]["coefficient_value"], abs=1e-5)
    assert value(raters.coefficient(table, "raw")) == pytest.approx(published["irrCAC"]["fleiss"]["pa"], abs=1e-6)


def test_fleiss_as_on_wikipedia_and_as_statsmodels_has_it(golden: dict[str, Any]) -> None:
    table = np.array(golden["fleiss_wikipedia"]["counts"])
    ours = value(raters.coefficient(table, "fleiss"))
    assert ours == pytest.approx(golden["fleiss_wikipedia"]["fleiss_kappa"], abs=1e-6)
    assert ours == pytest.approx(fleiss_kappa(table), abs=1e-12)


def test_krippendorff_2011_and_gwet_with_missing_answers(golden: dict[str, Any]) -> None:
    published = golden["krippendorff2011_C"]
    rows = published["ratings_rows_are_observers_null_is_missing"]
    ratings = np.array([[-1 if answer is None else answer - 1 for answer in row] for row in rows]).T
    table = raters.counts(ratings, 5)
    assert value(raters.coefficient(table, "krippendorff")) == pytest.approx(published["nominal"], abs=1e-6)
    assert value(raters.coefficient(table, "krippendorff", weights="ordinal")) == pytest.approx(published["ordinal"], abs=1e-6)
    assert value(raters.coefficient(table, "krippendorff", weights="quadratic")) == pytest.approx(published["interval"], abs=1e-6)
    for weights, name in (("nominal", "gwet_raw4raters"), ("quadratic", "gwet_raw4raters_quadratic")):
        for ours, theirs in (("gwet", "ac"), ("fleiss", "fleiss"), ("brennan-prediger", "bp"), ("krippendorff", "krippendorff")):
            found = value(raters.coefficient(table, ours, weights=weights))
            assert found == pytest.approx(golden[name][theirs]["coefficient_value"], abs=1e-6), (weights, ours)


def test_cohen_as_sas_prints_it(golden: dict[str, Any]) -> None:
    table = np.array(golden["cohen_sas"]["table"])
    for weights, name in (("nominal", "cohen_sas"), ("linear", "cohen_sas_weighted")):
        found, published = raters.cohen_of_table(table, weights=weights), golden[name]
        assert (found.value, found.low, found.high) == pytest.approx((published["kappa"], *published["ci"]), abs=1e-5)


@pytest.mark.parametrize("weights", ["nominal", "linear", "quadratic"])
def test_gwet_abstractors(golden: dict[str, Any], weights: str) -> None:
    table = np.array(golden["gwet_abstractors3x3"]["table"])
    published = golden["gwet_abstractors3x3"]["identity" if weights == "nominal" else weights]
    assert value(raters.cohen_of_table(table, weights=weights)) == pytest.approx(published["cohen"]["v"], abs=1e-6)
    counted = np.array([np.eye(3)[i] + np.eye(3)[j] for i in range(3) for j in range(3) for _ in range(table[i, j])])
    for ours, theirs in (("gwet", "gwet"), ("fleiss", "scott"), ("brennan-prediger", "bp"), ("krippendorff", "krippendorff"), ("raw", "pa2")):
        assert value(raters.coefficient(counted, ours, weights=weights)) == pytest.approx(published[theirs]["v"], abs=1e-5), ours


@pytest.mark.parametrize("name", ["paradox_low_kappa", "paradox_ok"])
def test_the_kappa_paradox(golden: dict[str, Any], name: str) -> None:
    published = golden[name]
    table = np.array(published["table"])
    counted = np.array([np.eye(2)[i] + np.eye(2)[j] for i in range(2) for j in range(2) for _ in range(table[i, j])])
    assert value(raters.coefficient(counted, "raw")) == pytest.approx(published["po"], abs=1e-6)
    assert value(raters.cohen_of_table(table)) == pytest.approx(published["cohen"], abs=1e-6)
    assert value(raters.coefficient(counted, "gwet")) == pytest.approx(published["ac1"], abs=1e-3)
    assert value(raters.coefficient(counted, "brennan-prediger")) == pytest.approx(published["pabak"], abs=1e-6)


def test_d_prime_of_the_textbooks(golden: dict[str, Any]) -> None:
    textbook = golden["dprime_textbook"]
    assert d_prime(textbook["H"], textbook["F"]) == pytest.approx(textbook["d"], abs=1e-6)
    rows = golden["sdt_schneider"]["rows"]
    assert [d_prime(hit, alarm) for hit, alarm, _d in rows] == pytest.approx([d for _hit, _alarm, d in rows], abs=1e-3)
    assert np.mean([d_prime(hit, alarm) for hit, alarm, _d in rows]) == pytest.approx(1.580, abs=1e-3)


# ---- against other programs ----


@given(arrays(int, st.tuples(st.integers(2, 30), st.just(2)), elements=st.integers(0, 2)))
@settings(max_examples=50, deadline=None)
def test_cohen_as_scikit_learn_has_it(answers: np.ndarray) -> None:
    ours = raters.cohen(answers[:, 0], answers[:, 1], 3)
    if ours.value is None:
        assert len(np.unique(answers)) == 1
        assert ours.reason
    else:
        assert ours.value == pytest.approx(cohen_kappa_score(answers[:, 0], answers[:, 1], labels=[0, 1, 2]), abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_auc_as_scikit_learn_has_it(pairs: list[tuple[bool, int]]) -> None:
    truth, scores = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    ours = auc(truth, scores)
    if truth.all() or not truth.any():
        assert ours.value is None
        assert ours.reason
        return
    assert value(ours) == pytest.approx(roc_auc_score(truth, scores))
    if ours.low is not None and ours.high is not None:
        assert 0 <= ours.low <= value(ours) <= ours.high <= 1


# ---- what holds for all answers ----


@given(arrays(int, st.tuples(st.integers(1, 15), st.integers(1, 5)), elements=st.integers(-1, 2)), st.sampled_from(["nominal", "ordinal"]))
@settings(max_examples=80, deadline=None)
def test_every_coefficient_is_a_number_or_has_a_reason(ratings: np.ndarray, weights: str) -> None:
    for name, estimate in raters.agreement(ratings, 3, seed=5, weights=weights, draws=50).items():
        assert estimate.value is None or -1.5 <= estimate.value <= 1 + 1e-9, name
        if estimate.value is None or estimate.low is None:
            assert estimate.reason, name
        assert estimate.n == ((ratings >= 0).sum(axis=1) >= 2).sum()


@given(arrays(int, st.tuples(st.integers(2, 15), st.integers(2, 5)), elements=st.integers(-1, 3)), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_cases_and_readers_does_not_matter(ratings: np.ndarray, random: Any) -> None:
    cases, readers = list(range(len(ratings))), list(range(ratings.shape[1]))
    random.shuffle(cases)
    random.shuffle(readers)
    for which in ("raw", "fleiss", "gwet", "krippendorff"):
        one, other = (raters.coefficient(raters.counts(table, 4), which).value for table in (ratings, ratings[cases][:, readers]))
        assert (one is None and other is None) or one == pytest.approx(other, abs=1e-9)


def test_full_agreement_is_one_and_constant_answers_have_a_reason() -> None:
    same = np.repeat([[0], [1], [2], [0]], 3, axis=1)
    found = raters.agreement(same, 3, seed=1)
    assert [estimate.value for estimate in found.values()] == pytest.approx([1, 1, 1, 1])
    constant = raters.agreement(np.zeros((5, 3), dtype=int), 3, seed=1)
    assert constant["raw agreement"].value == 1
    assert constant["raw agreement"].low is None
    assert constant["Fleiss' kappa"].reason == "all answers are equal: agreement expected by chance is 1"
    alone = raters.agreement(np.zeros((5, 1), dtype=int), 3, seed=1)
    assert {estimate.reason for estimate in alone.values()} == {"no case was read by two readers"}


def test_the_seed_decides_the_interval() -> None:
    ratings = np.random.default_rng(3).integers(0, 2, size=(30, 4))
    first, same, other = (raters.agreement(ratings, 2, seed=seed)["Fleiss' kappa"] for seed in (7, 7, 8))
    assert first == same
    assert (first.low, first.high) != (other.low, other.high)
    assert rng(1, "a", "b").random() != rng(1, "ab").random()


def test_the_bootstrap_interval_covers_a_planted_agreement() -> None:
    """Two readers agree on each case with probability 0.8: the interval of raw agreement covers that in about 95 % of studies."""
    generator, covered = np.random.default_rng(11), 0
    for study in range(200):
        first = generator.integers(0, 2, size=60)
        ratings = np.column_stack([first, np.where(generator.random(60) < 0.8, first, 1 - first)])
        estimate = raters.agreement(ratings, 2, seed=study, draws=400)["raw agreement"]
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 0.8 <= estimate.high
    assert 0.90 <= covered / 200 <= 0.99


def test_between_sites_counts_only_pairs_of_different_sites() -> None:
    ratings = np.array([[0, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 0]])  # the first two always agree, the third never
    apart = raters.between_groups(ratings, np.array(["A", "A", "B"]), 2, seed=1)
    assert apart.raw.value == 0
    assert apart.kappa.value == pytest.approx(-1)
    mixed = raters.between_groups(ratings, np.array(["A", "B", "A"]), 2, seed=1)
    assert mixed.raw.value == pytest.approx(0.5)  # readers 1 and 2 agree, 2 and 3 do not
    assert raters.between_groups(ratings, np.array(["A", "A", "A"]), 2, seed=1).raw.reason == "there are no readers from two sites"


def test_proportions_and_their_reasons() -> None:
    found = proportions.proportion(147, 275, "")
    assert (found.low, found.high) == pytest.approx((0.4755, 0.5926), abs=1e-4)  # Wilson, by hand
    exact = proportions.proportion(0, 10, "", exact=True)
    assert exact.low == 0
    assert exact.high == pytest.approx(1 - 0.025**0.1)
    truth = np.array([False, False, False])
    assert proportions.sensitivity(truth, truth).reason == "no synthetic strip was read"
    assert proportions.specificity(~truth, truth).reason == "no real strip was read"
    assert proportions.accuracy(truth[:0], truth[:0]).reason == "no case was read"


def test_newcombe_1998_printed_examples() -> None:
    """Newcombe 1998, Table II, method 10: 56/70 - 48/80 and 9/10 - 3/10."""
    first = proportions.difference(56, 70, 48, 80, ("", ""))
    assert (first.low, first.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    second = proportions.difference(9, 10, 3, 10, ("", ""))
    assert (second.low, second.high) == pytest.approx((0.1705, 0.8090), abs=1e-4)


def test_balanced_accuracy_does_not_reward_the_commoner_answer() -> None:
    truth = np.array([True] * 90 + [False] * 10)
    always = np.ones(100, dtype=bool)
    assert proportions.accuracy(truth, always).value == 0.9
    found = proportions.balanced_accuracy(truth, always)
    assert found.value == 0.5
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


@given(st.lists(st.floats(0, 1000), min_size=0, max_size=40))
def test_a_median_lies_in_its_interval(seconds: list[float]) -> None:
    found = proportions.median(np.array(seconds))
    assert (found.value is None) == (not seconds)
    assert (found.low is None) == (len(seconds) < 6)
    if found.low is not None and found.high is not None and found.value is not None:
        assert found.low <= found.value <= found.high


def test_d_prime_of_a_perfect_and_a_blind_reader() -> None:
    truth = np.array([True] * 12 + [False] * 12)
    perfect, inverted = detection(truth, truth), detection(truth, ~truth)
    assert value(perfect.d_prime) == pytest.approx(2 * 1.769, abs=1e-3)  # finite: 12.5/13 and 0.5/13
    assert value(inverted.d_prime) == pytest.approx(-value(perfect.d_prime))
    assert value(perfect.criterion) == pytest.approx(0)
    assert value(detection(truth, np.ones(24, dtype=bool)).criterion) < 0  # leans to synthetic
    assert detection(truth[:12], truth[:12]).d_prime.reason == "no real strip was read"
    assert criterion(0.5, 0.5) == 0
    assert not math.copysign(1, criterion(0.5, 0.5)) < 0


def test_an_estimate_refuses_nan_and_silence() -> None:
    with pytest.raises(ValueError, match="None with a reason"):
        Estimate(float("nan"), None, None, 3, "why", "")
    with pytest.raises(ValueError, match="needs a reason"):
        Estimate(0.5, None, None, 3, None, "")
    assert undefined("nobody read").value is None
