"""Published values come out to their printed digits, and nothing is ever NaN."""

from __future__ import annotations

import json
import math
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats.inter_rater import fleiss_kappa

from study.agreement import coefficients, cohen, proportions, raters, resampling
from study.agreement.coefficients import ALPHA, BRENNAN_PREDIGER, CONGER, FLEISS, RAW, Z
from study.agreement.detection import auc, criterion, d_prime, detection
from study.agreement.estimate import Estimate, rng, undefined
from study.agreement.weights import WEIGHTS
from tests.study import agreement_oracles

AC1 = coefficients.gwet_name("nominal")
_ = -1  # not read
FOUR_RATERS = np.array(  # Gwet 2014, table of four raters and twelve units; answers 1 to 5 as codes 0 to 4
    [
        *([0, 0, _, 0], [1, 1, 2, 1], [2, 2, 2, 2], [2, 2, 2, 2], [1, 1, 1, 1], [0, 1, 2, 3]),
        *([3, 3, 3, 3], [0, 0, 1, 0], [1, 1, 1, 1], [_, 4, 4, 4], [_, _, 0, 0], [_, _, 2, _]),
    ]
)


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
    found = coefficients.of_table(np.array(published["counts"])).estimates
    assert value(found[FLEISS]) == pytest.approx(published["fleiss_kappa"], abs=5e-7)
    assert value(found[Z]) == pytest.approx(published["z"], abs=5e-6)
    assert value(found[ALPHA]) == pytest.approx(published["krippendorff_nominal"], abs=5e-6)
    for ours, theirs in ((AC1, "ac"), (FLEISS, "fleiss"), (BRENNAN_PREDIGER, "bp"), (ALPHA, "krippendorff")):
        assert value(found[ours]) == pytest.approx(published["irrCAC"][theirs]["coefficient_value"], abs=1e-6)
        assert found[ours].se == pytest.approx(published["irrCAC"][theirs]["se"], abs=1e-6)
    assert value(found[RAW]) == pytest.approx(published["irrCAC"]["fleiss"]["pa"], abs=5e-7)


def test_fleiss_as_on_wikipedia_and_as_statsmodels_has_it(golden: dict[str, Any]) -> None:
    table = np.array(golden["fleiss_wikipedia"]["counts"])
    ours = value(coefficients.of_table(table).estimates[FLEISS])
    assert ours == pytest.approx(golden["fleiss_wikipedia"]["fleiss_kappa"], abs=5e-7)
    assert ours == pytest.approx(fleiss_kappa(table), abs=1e-12)


def test_krippendorff_2011_with_missing_answers(golden: dict[str, Any]) -> None:
    published = golden["krippendorff2011_C"]
    rows = published["ratings_rows_are_observers_null_is_missing"]
    ratings = np.array([[-1 if answer is None else answer - 1 for answer in row] for row in rows]).T
    for weights, name in (("nominal", "nominal"), ("ordinal", "ordinal"), ("quadratic", "interval")):
        found = coefficients.coefficients(ratings, 5, weights=weights, seed=1, draws=100).estimates
        assert value(found[ALPHA]) == pytest.approx(published[name], abs=5e-7), name


@pytest.mark.parametrize(("weights", "name"), [("nominal", "gwet_raw4raters"), ("quadratic", "gwet_raw4raters_quadratic")])
def test_gwet_2014_four_raters_with_missing_answers(golden: dict[str, Any], weights: str, name: str) -> None:
    """Gwet's (2014) table of four raters: values and standard errors to the printed digits, Conger's kappa among them."""
    found = coefficients.coefficients(FOUR_RATERS, 5, weights=weights, seed=1, draws=100).estimates
    gwet = coefficients.gwet_name(weights)
    for ours, theirs in ((gwet, "ac"), (FLEISS, "fleiss"), (CONGER, "conger"), (BRENNAN_PREDIGER, "bp"), (ALPHA, "krippendorff")):
        assert value(found[ours]) == pytest.approx(golden[name][theirs]["coefficient_value"], abs=1e-6), ours
        assert found[ours].se == pytest.approx(golden[name][theirs]["se"], abs=1e-6), ours
    assert found[RAW].n == 11


def test_cohen_as_sas_prints_it(golden: dict[str, Any]) -> None:
    table = np.array(golden["cohen_sas"]["table"])
    for weights, name in (("nominal", "cohen_sas"), ("linear", "cohen_sas_weighted")):
        found, published = cohen.cohen_of_table(table, weights=weights), golden[name]
        assert (found.value, found.se, found.low, found.high) == pytest.approx((published["kappa"], published["ase"], *published["ci"]), abs=1e-6)


@pytest.mark.parametrize("weights", ["nominal", "linear", "quadratic"])
def test_gwet_abstractors(golden: dict[str, Any], weights: str) -> None:
    """Two readers. irrCAC's functions of a table divide by n, not n - 1: the standard errors differ by that factor and no more."""
    table = np.array(golden["gwet_abstractors3x3"]["table"])
    published = golden["gwet_abstractors3x3"]["identity" if weights == "nominal" else weights]
    pair = np.array([(i, j) for i in range(3) for j in range(3) for _ in range(table[i, j])])
    two = raters.all_coefficients(pair, 3, weights=weights, seed=1, draws=100).estimates
    found = cohen.cohen_of_table(table, weights=weights)
    assert (found.value, found.se) == pytest.approx((published["cohen"]["v"], published["cohen"]["se"]), abs=1e-6)
    raw = coefficients.WEIGHTED if weights != "nominal" else RAW
    gwet, shrunk = coefficients.gwet_name(weights), np.sqrt(99 / 100)
    for ours, theirs in ((gwet, "gwet"), (FLEISS, "scott"), (BRENNAN_PREDIGER, "bp"), (ALPHA, "krippendorff"), (raw, "pa2")):
        assert value(two[ours]) == pytest.approx(published[theirs]["v"], abs=1e-6), ours
        se = two[ours].se
        assert se is not None
        assert se * shrunk == pytest.approx(np.ravel(published[theirs]["se"])[0], abs=1e-6), ours
    assert value(two[CONGER]) == pytest.approx(published["cohen"]["v"], abs=1e-6)  # of two readers, Conger's is Cohen's


@pytest.mark.parametrize("name", ["paradox_low_kappa", "paradox_ok"])
def test_the_kappa_paradox(golden: dict[str, Any], name: str) -> None:
    published = golden[name]
    table = np.array(published["table"])
    pair = np.array([(i, j) for i in range(2) for j in range(2) for _ in range(table[i, j])])
    found = raters.all_coefficients(pair, 2, seed=1, draws=100).estimates
    assert value(found[RAW]) == pytest.approx(published["po"], abs=1e-6)
    assert value(found[raters.COHEN]) == pytest.approx(published["cohen"], abs=1e-6)
    assert value(found[AC1]) == pytest.approx(published["ac1"], abs=1e-3)
    assert value(found[BRENNAN_PREDIGER]) == pytest.approx(published["pabak"], abs=1e-6)


def test_d_prime_of_the_textbooks(golden: dict[str, Any]) -> None:
    textbook = golden["dprime_textbook"]
    assert d_prime(textbook["H"], textbook["F"]) == pytest.approx(textbook["d"], abs=1e-6)
    rows = golden["sdt_schneider"]["rows"]
    assert [d_prime(hit, alarm) for hit, alarm, _d in rows] == pytest.approx([d for _hit, _alarm, d in rows], abs=1e-3)
    assert np.mean([d_prime(hit, alarm) for hit, alarm, _d in rows]) == pytest.approx(1.580, abs=1e-3)


# ---- against other programs ----


@pytest.mark.parametrize("study", agreement_oracles.stored())
def test_random_tables_as_irrcac_and_krippendorff_have_them(study: dict[str, Any]) -> None:
    """Missing answers, two to six readers, two to five answers, four kinds of weights: values and standard errors."""
    ratings, k = np.array(study["ratings"]), study["k"]
    for weights in agreement_oracles.WEIGHTS:
        found = coefficients.coefficients(ratings, k, weights=weights, seed=1, draws=100).estimates
        theirs = study["values"][weights]
        names = dict(zip(agreement_oracles.COEFFICIENTS, (FLEISS, CONGER, coefficients.gwet_name(weights), BRENNAN_PREDIGER, ALPHA), strict=True))
        for theirs_name, ours in names.items():
            if weights == "ordinal" and ours == ALPHA:  # irrCAC takes Gwet's ordinal weights for alpha too, Krippendorff his own difference
                continue
            assert (found[ours].value, found[ours].se) == pytest.approx(theirs[theirs_name], abs=1e-9), (weights, ours)
        alpha = {"nominal": "nominal", "ordinal": "ordinal", "quadratic": "interval"}.get(weights)
        if alpha is not None:
            assert value(found[ALPHA]) == pytest.approx(study["values"]["alpha"][alpha], abs=1e-9)


@given(arrays(int, st.tuples(st.integers(2, 30), st.just(2)), elements=st.integers(0, 2)), st.sampled_from(["nominal", "linear", "quadratic"]))
@settings(max_examples=60, deadline=None)
def test_cohen_as_scikit_learn_has_it(answers: np.ndarray, weights: str) -> None:
    ours, samples = cohen.resampled_cohen(answers[:, 0], answers[:, 1], 3, weights=weights, seed=1, draws=50)
    assert len(samples) == 50
    if ours.value is None:
        assert len(np.unique(answers)) == 1
        assert ours.reason
    else:
        theirs = cohen_kappa_score(answers[:, 0], answers[:, 1], labels=[0, 1, 2], weights=None if weights == "nominal" else weights)
        assert ours.value == pytest.approx(theirs, abs=1e-9)


@given(arrays(int, st.tuples(st.integers(2, 12), st.integers(2, 5)), elements=st.integers(0, 2)))
@settings(max_examples=40, deadline=None)
def test_fleiss_of_complete_answers_as_statsmodels_has_it(ratings: np.ndarray) -> None:
    ours = coefficients.coefficients(ratings, 3, seed=1, draws=20).estimates[FLEISS]
    if ours.value is None:
        assert len(np.unique(ratings)) == 1
    else:
        assert ours.value == pytest.approx(fleiss_kappa(coefficients.counts(ratings, 3)), abs=1e-9)


@given(arrays(int, st.tuples(st.integers(1, 10), st.integers(1, 5)), elements=st.integers(-1, 2)))
@settings(max_examples=80, deadline=None)
def test_every_coefficient_by_its_definition_pair_by_pair(ratings: np.ndarray) -> None:
    """The definitions in words, written as loops over cases and pairs of readers."""
    found = coefficients.coefficients(ratings, 3, seed=1, draws=20).estimates
    cases = [[int(one) for one in row if one >= 0] for row in ratings]
    paired = [row for row in cases if len(row) >= 2]
    if not paired:
        assert {one.value for name, one in found.items() if name != Z} == {None}
        return
    raw = np.mean([np.mean([a == b for a, b in combinations(row, 2)]) for row in paired])
    assert value(found[RAW]) == pytest.approx(raw)
    p = np.mean([[row.count(answer) / len(row) for answer in range(3)] for row in cases if row], axis=0)
    own = [np.array([np.mean(column[column >= 0] == answer) for answer in range(3)]) for column in ratings.T if (column >= 0).any()]
    chances = {
        FLEISS: float((p**2).sum()),
        CONGER: float(np.mean([one @ other for one, other in combinations(own, 2)])),
        AC1: float((p * (1 - p)).sum() / 2),
        BRENNAN_PREDIGER: 1 / 3,
    }
    for name, chance in chances.items():
        if chance > 1 - 1e-9:
            assert found[name].value is None
        else:
            assert value(found[name]) == pytest.approx((raw - chance) / (1 - chance), abs=1e-9), name
    answers = [one for row in paired for one in row]
    apart = sum(sum(a != b for a, b in permutations(row, 2)) / (len(row) - 1) for row in paired) / len(answers)
    expected = sum(a != b for a, b in permutations(answers, 2)) / (len(answers) * (len(answers) - 1))
    if expected == 0:
        assert found[ALPHA].value is None
    else:
        assert value(found[ALPHA]) == pytest.approx(1 - apart / expected, abs=1e-9)


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


@given(arrays(int, st.tuples(st.integers(1, 15), st.integers(1, 5)), elements=st.integers(-1, 2)), st.sampled_from(WEIGHTS))
@settings(max_examples=80, deadline=None)
def test_every_coefficient_is_a_number_or_has_a_reason(ratings: np.ndarray, weights: str) -> None:
    for name, estimate in raters.all_coefficients(ratings, 3, seed=5, weights=weights, draws=50).estimates.items():
        assert estimate.value is None or name == Z or estimate.value <= 1 + 1e-9, name
        if estimate.value is None or estimate.low is None:
            assert estimate.reason, name
        if name not in (Z, raters.COHEN) and "Cohen" not in name:
            assert estimate.n == ((ratings >= 0).sum(axis=1) >= 2).sum()


@given(arrays(int, st.tuples(st.integers(2, 15), st.integers(2, 5)), elements=st.integers(-1, 3)), st.sampled_from(WEIGHTS), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_cases_readers_and_unordered_answers_does_not_matter(ratings: np.ndarray, weights: str, random: Any) -> None:
    cases, readers, names = list(range(len(ratings))), list(range(ratings.shape[1])), list(range(4))
    for shuffled in (cases, readers, names):
        random.shuffle(shuffled)
    if weights != "nominal":
        names = [3, 2, 1, 0]  # of ordered answers only the direction may change
    renamed = np.append(names, -1)[ratings]
    one = coefficients.coefficients(ratings, 4, weights=weights, seed=1, draws=20).estimates
    other = coefficients.coefficients(renamed[cases][:, readers], 4, weights=weights, seed=1, draws=20).estimates
    for name in one:
        assert (one[name].value, one[name].se) == pytest.approx((other[name].value, other[name].se), abs=1e-7), name


@given(arrays(int, st.tuples(st.integers(2, 12), st.integers(2, 4)), elements=st.integers(-1, 2)))
@settings(max_examples=40, deadline=None)
def test_what_nobody_read_changes_nothing(ratings: np.ndarray) -> None:
    padded = np.pad(ratings, ((0, 3), (0, 2)), constant_values=-1)
    assert raters.all_coefficients(ratings, 3, seed=1, draws=50).estimates == raters.all_coefficients(padded, 3, seed=1, draws=50).estimates


def test_full_agreement_is_one_and_undefined_figures_have_their_reasons() -> None:
    same = np.repeat([[0], [1], [2], [0]], 3, axis=1)
    found = raters.agreement(same, 3, seed=1)
    assert [estimate.value for estimate in found.values()] == pytest.approx([1, 1, 1, 1])
    constant = raters.all_coefficients(np.zeros((5, 3), dtype=int), 3, seed=1).estimates
    assert constant[RAW].value == 1
    assert constant[RAW].low is None
    alike = "all answers are equal: agreement expected by chance is 1"
    assert {name: constant[name].reason for name in (FLEISS, CONGER, ALPHA, Z)} == dict.fromkeys((FLEISS, CONGER, ALPHA, Z), alike)
    assert [constant[name].value for name in (AC1, BRENNAN_PREDIGER)] == pytest.approx([1, 1])  # their chance agreement is below 1 by definition
    assert constant[AC1].reason == "no interval: every bootstrap sample gives the same value"
    assert constant[raters.COHEN].reason == "Cohen's kappa is of two readers, and there are 3: see Conger's kappa"
    alone = raters.all_coefficients(np.zeros((5, 1), dtype=int), 3, seed=1).estimates
    assert {one.reason for name, one in alone.items() if name != Z} == {"there is one reader: agreement needs two"}
    apart = raters.all_coefficients(np.array([[0, -1], [-1, 1]]), 2, seed=1).estimates
    assert {estimate.reason for estimate in apart.values()} == {"no case was read by two readers"}
    assert {one.reason for one in raters.agreement(np.full((0, 0), -1), 2, seed=1).values()} == {"no case was read by two readers"}
    one_answer = raters.all_coefficients(np.zeros((5, 2), dtype=int), 1, seed=1).estimates
    reasons = {one_answer[name].reason for name in (FLEISS, CONGER, AC1, BRENNAN_PREDIGER, ALPHA, raters.COHEN)}
    assert reasons == {"there is one answer to choose from: agreement expected by chance is 1"}
    assert one_answer[RAW].value == 1
    single = raters.all_coefficients(np.array([[0, 1]]), 2, seed=1).estimates
    assert single[RAW].reason == "one case: there is nothing to resample"
    uneven = raters.all_coefficients(np.array([[0, 1, 1], [0, 0, -1]]), 2, seed=1).estimates
    assert uneven[Z].reason == "z needs every case read by the same number of readers"


def test_the_seed_decides_the_interval() -> None:
    ratings = np.random.default_rng(3).integers(0, 2, size=(30, 4))
    first, same, other = (raters.agreement(ratings, 2, seed=seed)[FLEISS] for seed in (7, 7, 8))
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


def test_standard_errors_are_what_studies_repeated_show() -> None:
    """The spread of each coefficient over 300 simulated studies is its mean standard error, to a tenth; so is the width of the intervals."""
    chance = np.random.default_rng(5)
    values: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    halves: dict[str, list[float]] = {}
    for study in range(300):
        truth = chance.integers(0, 3, size=80)
        ratings = np.where(chance.random((80, 4)) < 0.6, truth[:, None], chance.integers(0, 3, size=(80, 4)))
        ratings[chance.random(ratings.shape) < 0.15] = -1
        for name, one in coefficients.coefficients(ratings, 3, weights="ordinal", seed=study, draws=200).estimates.items():
            assert one.se is not None
            assert one.low is not None
            assert one.high is not None
            for held, number in ((values, value(one)), (errors, one.se), (halves, (one.high - one.low) / 2)):
                held.setdefault(name, []).append(number)
    for name, found in values.items():
        assert np.mean(errors[name]) == pytest.approx(np.std(found), rel=0.12), name
        assert np.mean(halves[name]) == pytest.approx(1.96 * np.std(found), rel=0.12), name


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


def test_bootstrap_sums_are_those_of_the_cases_drawn() -> None:
    """Whole numbers and fractions, some of the cases, more draws than one block holds, no cases: by hand from how often each case is drawn."""
    terms = np.column_stack([np.arange(50), np.arange(50) / 3, np.full(50, 2.0**23)])
    drawn = resampling.case_weights(50, 3, 1000)
    assert drawn.sum(axis=0).tolist() == [50] * 1000
    assert resampling.resampled(terms, 3, 1000) == pytest.approx(drawn.T.astype(float) @ terms, rel=1e-14)
    assert (resampling.resampled(terms[:, :1], 3, 1000)[:, 0] == drawn.T.astype(int) @ np.arange(50)).all()
    some = np.arange(50) % 3 == 0
    assert resampling.resampled(terms[some], 3, 1000, among=some) == pytest.approx(drawn[some].T.astype(float) @ terms[some], rel=1e-14)
    assert resampling.resampled(terms[:0], 3, 10).tolist() == [[0, 0, 0]] * 10
    assert not (resampling.case_weights(50, 3, 1000, "real") == drawn).all()
