"""Agreement within and between sites, of each reader with the others, with oneself, and on real beside synthetic strips."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from study.agreement import coefficients, cohen, groups, raters, within_readers
from study.agreement.coefficients import ALPHA, BRENNAN_PREDIGER, CONGER, FLEISS, RAW, Z
from study.agreement.estimate import Estimate
from study.agreement.groups import BETWEEN, DIFFERENCE, WITH_OTHERS, WITHIN
from study.agreement.weights import WEIGHTS

TABLES = arrays(int, st.tuples(st.integers(1, 10), st.just(5)), elements=st.integers(-1, 2))
SITES = np.array(["A", "A", "B", "B", "B"])


def value(estimate: Estimate) -> float:
    assert estimate.value is not None, estimate.reason
    return estimate.value


def planted(chance: np.random.Generator, cases: int, readers: int, share: float) -> np.ndarray:
    """Answers that are the case's own with probability `share`, else anything."""
    truth = chance.integers(0, 3, size=cases)
    return np.where(chance.random((cases, readers)) < share, truth[:, None], chance.integers(0, 3, size=(cases, readers)))


# ---- sites ----


@given(TABLES)
@settings(max_examples=60, deadline=None)
def test_pairs_within_and_between_sites_by_their_definition(ratings: np.ndarray) -> None:
    found = groups.by_group(ratings, SITES, 3, seed=1, draws=20)
    own = {r: np.array([np.mean(ratings[ratings[:, r] >= 0, r] == answer) for answer in range(3)]) for r in range(5) if (ratings[:, r] >= 0).any()}
    for name, same in ((WITHIN, True), (BETWEEN, False)):
        pairs = [(a, b) for a, b in combinations(range(5), 2) if bool(SITES[a] == SITES[b]) is same]
        shares = []
        for row in ratings:
            agreeing = [row[a] == row[b] for a, b in pairs if row[a] >= 0 and row[b] >= 0]
            if agreeing:
                shares.append(np.mean(agreeing))
        if not shares:
            assert found[name][RAW].value is None
            assert found[name][RAW].reason
            continue
        raw = float(np.mean(shares))
        assert value(found[name][RAW]) == pytest.approx(raw)
        assert found[name][RAW].n == len(shares)
        chance = float(np.mean([own[a] @ own[b] for a, b in pairs if a in own and b in own]))
        if chance < 1 - 1e-9:
            assert value(found[name][CONGER]) == pytest.approx((raw - chance) / (1 - chance), abs=1e-9)
        else:
            assert found[name][CONGER].reason == "all answers are equal: agreement expected by chance is 1"
        assert value(found[name][BRENNAN_PREDIGER]) == pytest.approx((raw - 1 / 3) / (2 / 3))


@given(TABLES, st.sampled_from(WEIGHTS))
@settings(max_examples=40, deadline=None)
def test_one_site_is_all_readers_and_the_difference_is_the_difference(ratings: np.ndarray, weights: str) -> None:
    alone = groups.by_group(ratings, np.array(["A"] * 5), 3, weights=weights, seed=1, draws=20)
    everybody = coefficients.coefficients(ratings, 3, weights=weights, seed=1, draws=20).estimates
    for figure in (RAW, CONGER, coefficients.gwet_name(weights), BRENNAN_PREDIGER):
        assert alone[WITHIN][figure].value == pytest.approx(everybody[figure].value, abs=1e-9)
        if everybody[figure].value is not None:
            assert alone[WITHIN][figure].low == pytest.approx(everybody[figure].low, abs=1e-9)
        assert alone[BETWEEN][figure].reason == "there are no readers from two sites"
        assert alone[DIFFERENCE][figure].reason == "there are no readers from two sites"
    two = groups.by_group(ratings, SITES, 3, weights=weights, seed=1, draws=20)
    for figure, one in two[DIFFERENCE].items():
        if one.value is not None:
            assert one.value == pytest.approx(value(two[WITHIN][figure]) - value(two[BETWEEN][figure]), abs=1e-9)
        else:
            assert None in (two[WITHIN][figure].value, two[BETWEEN][figure].value)


def test_sites_that_read_other_cases_or_have_one_reader_each() -> None:
    apart = groups.by_group(np.array([[0, 0, -1, -1], [-1, -1, 1, 0]]), np.array(["A", "A", "B", "B"]), 2, seed=1, draws=20)
    assert value(apart[WITHIN][RAW]) == 0.5
    assert apart[BETWEEN][RAW].reason == apart[DIFFERENCE][RAW].reason == "no case was read by readers from two sites"
    single = groups.by_group(np.array([[0, 0], [1, 0]]), np.array(["A", "B"]), 2, seed=1, draws=20)
    assert single[WITHIN][RAW].reason == single[DIFFERENCE][RAW].reason == "no case was read by two readers of one site"
    assert value(single[BETWEEN][RAW]) == 0.5
    nobody = groups.by_group(np.full((3, 2), -1), np.array(["A", "B"]), 2, seed=1, draws=20)
    assert {one.value for figures in nobody.values() for one in figures.values()} == {None}


def test_readers_of_one_school_agree_more_within_their_site() -> None:
    """Two sites that answer to different truths: the difference within - between is found, and its interval leaves 0 out."""
    chance = np.random.default_rng(2)
    ratings = np.hstack([planted(chance, 120, 4, 0.7), planted(chance, 120, 4, 0.7)])
    found = groups.by_group(ratings, np.repeat(["A", "B"], 4), 3, seed=1)
    assert value(found[BETWEEN][CONGER]) == pytest.approx(0, abs=0.08)
    difference = found[DIFFERENCE][CONGER]
    assert difference.low is not None
    assert difference.high is not None
    assert 0 < difference.low < value(difference) < difference.high
    assert difference.se == pytest.approx((difference.high - difference.low) / (2 * 1.96), rel=0.1)


def test_mean_pair_kappa_counts_only_pairs_of_different_sites() -> None:
    ratings = np.array([[0, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 0]])  # the first two always agree, the third never
    apart = raters.between_groups(ratings, np.array(["A", "A", "B"]), 2, seed=1)
    assert apart.raw.value == 0
    assert apart.kappa.value == pytest.approx(-1)
    mixed = raters.between_groups(ratings, np.array(["A", "B", "A"]), 2, seed=1)
    assert mixed.raw.value == pytest.approx(0.5)  # readers 1 and 2 agree, 2 and 3 do not
    assert raters.between_groups(ratings, np.array(["A", "A", "A"]), 2, seed=1).raw.reason == "there are no readers from two sites"


def test_very_many_pairs_have_a_mean_and_a_reason_for_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = planted(np.random.default_rng(1), 40, 6, 0.6)
    sites = np.array(list("AABBCC"))
    full = raters.between_groups(ratings, sites, 3, seed=1)
    monkeypatch.setattr(cohen, "MOST", 10)
    short = raters.between_groups(ratings, sites, 3, seed=1)
    assert (short.raw.value, short.kappa.value) == pytest.approx((full.raw.value, full.kappa.value))
    assert short.kappa.reason == "no interval: 12 pairs of readers are too many to resample"


# ---- a reader with the others ----


@given(TABLES)
@settings(max_examples=60, deadline=None)
def test_a_reader_with_the_others_by_its_definition(ratings: np.ndarray) -> None:
    found = groups.with_others(ratings, 3, seed=1, draws=20)
    assert len(found) == 5
    for r, figures in enumerate(found):
        shares = []
        for row in ratings:
            others = [row[o] == row[r] for o in range(5) if o != r and row[o] >= 0]
            if row[r] >= 0 and others:
                shares.append(np.mean(others))
        assert figures[RAW].n == len(shares)
        if shares:
            assert value(figures[RAW]) == pytest.approx(np.mean(shares))
        else:
            assert figures[RAW].reason in ("the reader shares no case with another", "there is one reader: agreement needs two")


def test_two_readers_with_each_other_have_cohens_kappa() -> None:
    ratings = planted(np.random.default_rng(3), 50, 2, 0.5)
    kappa = value(cohen.cohen(ratings[:, 0], ratings[:, 1], 3))
    assert [value(one[WITH_OTHERS]) for one in groups.with_others(ratings, 3, seed=1, draws=50)] == pytest.approx([kappa, kappa])


def test_the_reader_who_guesses_stands_out() -> None:
    ratings = planted(np.random.default_rng(4), 100, 5, 0.8)
    ratings[:, 2] = np.random.default_rng(5).integers(0, 3, size=100)
    kappas = [value(one[WITH_OTHERS]) for one in groups.with_others(ratings, 3, seed=1, draws=50)]
    assert int(np.argmin(kappas)) == 2


# ---- with oneself ----


def test_two_occasions_have_cohens_kappa_and_cases_read_once_do_not_count() -> None:
    occasions = np.array([[0, 0], [1, 1], [2, 0], [1, 1], [0, 1], [2, 2], [2, -1], [-1, -1]])
    found = within_readers.of_readers({"R": occasions}, 3, seed=1, draws=200)["R"].estimates
    twice = occasions[:6]
    known = cohen.cohen(twice[:, 0], twice[:, 1], 3)
    assert value(found[within_readers.COHEN]) == pytest.approx(value(known))
    assert value(found[RAW]) == pytest.approx(4 / 6)
    assert {one.n for one in found.values()} == {6}
    assert found[ALPHA].se is not None


def test_groups_get_the_mean_of_their_readers_own_values() -> None:
    chance = np.random.default_rng(6)
    readers = {f"R{i}": planted(chance, 40, 2, 0.7) for i in range(5)}
    readers["never twice"] = np.column_stack([np.zeros(40, dtype=int), np.full(40, -1)])
    own = within_readers.of_readers(readers, 3, seed=1)
    assert own["never twice"].estimates[RAW].reason == "no case was answered twice"
    mean = within_readers.of_group(own)[within_readers.COHEN]
    assert value(mean) == pytest.approx(np.mean([value(one.estimates[within_readers.COHEN]) for name, one in own.items() if name[0] == "R"]))
    assert mean.n == 5
    assert mean.method.endswith("1 of 6 readers have none and are left out")
    assert mean.low is not None
    assert mean.high is not None
    assert mean.low < value(mean) < mean.high
    one = within_readers.of_group({"R0": own["R0"]})[RAW]
    assert (one.low, one.reason) == (None, "one reader: see the reader's own figures")
    none = within_readers.of_group({"never twice": own["never twice"]})[RAW]
    assert (none.value, none.reason, none.n) == (None, "no case was answered twice", 0)
    assert within_readers.of_group({})[RAW].reason == "no case was answered twice"
    alike = within_readers.of_readers({"a": np.zeros((4, 2), dtype=int), "b": np.zeros((4, 2), dtype=int)}, 2, seed=1)
    constant = within_readers.of_group(alike)
    assert constant[within_readers.COHEN].reason == "all answers are equal: agreement expected by chance is 1"
    assert (constant[RAW].value, constant[RAW].reason) == (1, "no interval: all readers have the same value")


def test_intervals_of_mean_self_agreement_cover_what_was_planted() -> None:
    """Six readers drawn anew for each study repeat themselves with probability 0.8 on average; 30 cases, shared by all."""
    chance, covered = np.random.default_rng(8), 0
    for study in range(150):
        readers = {}
        for name in "abcdef":
            share = np.clip(chance.normal(0.8, 0.05), 0, 1)
            first = chance.integers(0, 2, size=30)
            readers[name] = np.column_stack([first, np.where(chance.random(30) < share, first, 1 - first)])
        mean = within_readers.of_group(within_readers.of_readers(readers, 2, seed=study, draws=200))[RAW]
        assert mean.low is not None
        assert mean.high is not None
        covered += mean.low <= 0.8 <= mean.high
    assert 0.90 <= covered / 150 <= 0.99


# ---- real beside synthetic ----


def test_the_difference_of_the_arms_is_found_and_reproducible() -> None:
    chance = np.random.default_rng(7)
    real, synthetic = planted(chance, 100, 5, 0.9), planted(chance, 100, 5, 0.5)

    def difference(seed: int) -> dict[str, Estimate]:
        arms = [raters.all_coefficients(one, 3, seed=seed, label=name) for one, name in ((real, "real"), (synthetic, "synthetic"))]
        return raters.arms_apart(arms[0], arms[1], ("real", "synthetic"))

    found, again, other = difference(1), difference(1), difference(2)
    assert found == again
    assert found[FLEISS].low != other[FLEISS].low
    assert Z not in found
    for name in (RAW, FLEISS, CONGER, ALPHA):
        one = found[name]
        assert one.low is not None
        assert one.high is not None
        assert one.se is not None
        assert one.low > 0.3, name
        assert one.n == 200
        assert one.se == pytest.approx((one.high - one.low) / (2 * 1.96), rel=0.1)


def test_bootstrap_samples_of_the_arms_are_independent() -> None:
    """Arms of equal size under one label would move together, and the interval of their difference would vanish."""
    same = planted(np.random.default_rng(9), 60, 4, 0.6)
    real, synthetic = (raters.all_coefficients(same, 3, seed=1, label=name) for name in ("real", "synthetic"))
    assert abs(np.corrcoef(real.samples[RAW], synthetic.samples[RAW])[0, 1]) < 0.1
    assert raters.arms_apart(real, synthetic, ("real", "synthetic"))[RAW].value == 0


def test_an_arm_without_a_value_is_named() -> None:
    real = raters.all_coefficients(np.zeros((5, 3), dtype=int), 2, seed=1, label="real")
    synthetic = raters.all_coefficients(np.array([[0, 1, 1], [0, 0, 1]]), 2, seed=1, label="synthetic")
    found = raters.arms_apart(real, synthetic, ("real", "synthetic"))
    assert found[FLEISS].reason == "undefined on real strips: all answers are equal: agreement expected by chance is 1"
    assert value(found[RAW]) == pytest.approx(1 - 1 / 3)
    single = raters.all_coefficients(np.array([[0, 1, 1]]), 2, seed=1, label="synthetic")
    assert raters.arms_apart(real, single, ("real", "synthetic"))[RAW].reason == "one case of an arm: there is nothing to resample"
