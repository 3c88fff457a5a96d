"""Multi-reader multi-case inference against an independent implementation: loops, deletions and sums of squares written out."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from study.agreement import imrmc
from study.agreement.heterogeneity import between_sites
from study.agreement.obuchowski_rockette import FIXED, RANDOM, average, compare
from study.agreement.reader_figures import (
    DELONG,
    DETECTION,
    JACKKNIFE,
    RATES,
    U_STATISTICS,
    ReaderFigures,
    enough,
    figures_of_calls,
    figures_of_scores,
)
from study.agreement.readers_and_cases import calls_of_group, group_average, scores_of_group, signal_of_readers
from tests.study.covariances import areas_of, brute_delong, brute_jackknife, brute_u_statistics, explicit_anova, numbers
from tests.study.roe_metz import ratings, with_gaps

# ---- figures and covariances ----


@pytest.mark.parametrize("gaps", [0.0, 0.25])
@pytest.mark.parametrize("steps", [6, None])
def test_aucs_and_covariances(steps: int | None, gaps: float) -> None:
    generator = np.random.default_rng(1)
    scores, truth = ratings(generator, readers=3, cases=16, steps=steps)
    answers = with_gaps(generator, scores[0], gaps)
    jackknife, unbiased = (figures_of_scores(answers, truth, covariance=how) for how in (JACKKNIFE, U_STATISTICS))
    assert jackknife.value == pytest.approx(areas_of(answers, truth), abs=1e-12)
    assert jackknife.covariance == pytest.approx(brute_jackknife(areas_of, answers, truth, np.ones(16, dtype=bool)), abs=1e-12)
    assert unbiased.covariance == pytest.approx(brute_u_statistics(answers, truth), abs=1e-12)
    assert unbiased.readings == np.isfinite(answers).sum()
    delong = figures_of_scores(answers, truth, covariance=DELONG)
    if gaps:
        assert delong.covariance is None
        assert "every reader to have read every case" in (delong.reason or "")
        assert figures_of_scores(answers, truth).covariances == U_STATISTICS
    else:
        assert delong.covariance == pytest.approx(brute_delong(answers, truth), abs=1e-12)
        assert figures_of_scores(answers, truth).covariances == DELONG


def test_both_ways_of_summing_same_pairs_agree() -> None:
    """Joint tables of the scale's steps, and blocks of pairs, are two routes to the same sum."""
    from study.agreement import u_statistics

    generator = np.random.default_rng(2)
    scores, truth = ratings(generator, readers=4, cases=80)
    answers = with_gaps(generator, scores[0], 0.2)
    signal, noise = answers[truth], answers[~truth]
    levels = np.arange(1.0, 7.0)
    assert u_statistics._by_tables(signal, noise, levels) == pytest.approx(u_statistics._by_pairs(signal, noise), abs=1e-9)


@pytest.mark.parametrize("gaps", [0.0, 0.2])
@pytest.mark.parametrize("figure", [*RATES, *DETECTION])
def test_rates_and_detection_by_deletion(figure: str, gaps: float) -> None:
    generator = np.random.default_rng(3)
    scores, truth = ratings(generator, readers=4, cases=30)
    right = with_gaps(generator, ((scores[0] >= 4) == truth[:, None]).astype(float), gaps)

    def by_hand(answers: np.ndarray, is_signal: np.ndarray) -> list[float]:
        found = []
        for column in answers.T:
            seen = [column[arm][~np.isnan(column[arm])] for arm in (is_signal, ~is_signal)]
            sensitivity, specificity = (float(np.mean(part)) for part in seen)
            hit, alarm = (sum(seen[0]) + 0.5) / (len(seen[0]) + 1), (len(seen[1]) - sum(seen[1]) + 0.5) / (len(seen[1]) + 1)
            found.append(
                {
                    "sensitivity": sensitivity,
                    "specificity": specificity,
                    "balanced accuracy": (sensitivity + specificity) / 2,
                    "accuracy": float(np.nanmean(column)),
                    "d'": float(stats.norm.ppf(hit) - stats.norm.ppf(alarm)),
                    "criterion": float(-(stats.norm.ppf(hit) + stats.norm.ppf(alarm)) / 2),
                }[figure]
            )
        return found

    found = figures_of_calls(right, truth, figure, covariance=JACKKNIFE)
    assert found.value == pytest.approx(by_hand(right, truth), abs=1e-12)
    if figure in ("sensitivity", "specificity", *DETECTION):
        used = {"sensitivity": truth, "specificity": ~truth}.get(figure, np.ones(30, dtype=bool))
        assert found.covariance == pytest.approx(brute_jackknife(by_hand, right, truth, used), abs=1e-12)
    if figure in RATES and not gaps:  # two methods, one answer: sample covariance over the number of cases, arm by arm
        arms = {"sensitivity": [truth], "specificity": [~truth]}.get(figure, [truth, ~truth])
        by_arm = sum(np.cov(right[arm], rowvar=False) / arm.sum() / len(arms) ** 2 for arm in arms)
        assert found.covariance == pytest.approx(by_arm, abs=1e-12)
        assert figures_of_calls(right, truth, figure).covariance == pytest.approx(by_arm, abs=1e-12)


def test_what_cannot_be_estimated_has_a_reason() -> None:
    truth = np.array([True, True, False, False])
    scores = np.array([[1.0, 2], [2, np.nan], [1, 1], [2, 2]])
    single = figures_of_scores(scores, truth)
    assert single.value == pytest.approx([0.5, 0.75])
    assert single.covariance is None
    assert single.reason == "a reader read a single synthetic strip"
    assert average(single).estimate.low is None
    assert average(single).estimate.reason == single.reason
    none = figures_of_scores(scores[truth], truth[truth])
    assert len(none.value) == 0
    assert average(none).estimate.reason == "a reader read no real strip"
    assert average(figures_of_scores(scores[:, :0], truth)).estimate.reason == "no case was read"
    assert average(figures_of_scores(scores[:, :1], truth)).estimate.reason == "one reader: the spread between readers cannot be seen"
    assert average(figures_of_scores(scores[:, :1], truth), readers=FIXED).estimate.low is not None
    same = average(figures_of_calls(np.ones((4, 3)), truth, "sensitivity"))
    assert same.estimate.value == 1
    assert same.estimate.low is None
    assert "not above 0" in (same.estimate.reason or "")
    assert enough(scores, truth).tolist() == [True, False]
    with pytest.raises(ValueError, match="nothing is random"):
        average(single, readers=FIXED, cases=FIXED)
    with pytest.raises(ValueError, match="random or fixed"):
        average(single, readers="some")
    with pytest.raises(ValueError, match="choose one of"):
        figures_of_scores(scores, truth, covariance="guess")
    with pytest.raises(ValueError, match="those of AUCs"):
        figures_of_calls(scores, truth, "accuracy", covariance=DELONG)
    with pytest.raises(ValueError, match="from the jackknife"):
        figures_of_calls(scores, truth, "d'", covariance=DELONG)
    with pytest.raises(ValueError, match="choose one of"):
        figures_of_calls(scores, truth, "luck")


# ---- one modality ----


@pytest.mark.parametrize("covariance", [DELONG, JACKKNIFE, U_STATISTICS])
@pytest.mark.parametrize(("readers", "cases"), [(RANDOM, RANDOM), (FIXED, RANDOM), (RANDOM, FIXED)])
@pytest.mark.parametrize("level", [0.90, 0.95])
def test_the_mean_over_readers(covariance: str, readers: str, cases: str, level: float) -> None:
    scores, truth = ratings(np.random.default_rng(4), readers=4, cases=16)
    brute = {DELONG: brute_delong, U_STATISTICS: brute_u_statistics}.get(covariance)
    matrix = brute(scores[0], truth) if brute else brute_jackknife(areas_of, scores[0], truth, np.ones(16, dtype=bool))
    own, r = areas_of(scores[0], truth), 4
    between = sum((one - own.mean()) ** 2 for one in own) / (r - 1)
    error = np.mean([matrix[i, i] for i in range(r)])
    cov2 = np.mean([matrix[i, j] for i in range(r) for j in range(r) if i != j])
    if readers == FIXED:
        variance, quantile = (error + (r - 1) * max(cov2, 0)) / r, stats.norm.ppf(0.5 + level / 2)
    else:
        shared = max(cov2, 0) if cases == RANDOM else 0
        variance = between / r + shared
        quantile = stats.t.ppf(0.5 + level / 2, (between + r * shared) ** 2 / (between**2 / (r - 1)))
    found = average(figures_of_scores(scores[0], truth, covariance=covariance), readers=readers, cases=cases, level=level)
    half = quantile * np.sqrt(variance)
    assert numbers(found.estimate) == pytest.approx((own.mean(), max(own.mean() - half, 0), min(own.mean() + half, 1)), abs=1e-10)
    assert found.standard_error == pytest.approx(np.sqrt(variance), abs=1e-12)
    assert found.mean_square == pytest.approx(between)
    assert found.cov2 == pytest.approx(cov2)
    assert f"{readers} readers and {cases} cases" in found.estimate.method


def test_the_p_value_agrees_with_the_interval() -> None:
    scores, truth = ratings(np.random.default_rng(5), auc=0.6)
    found = average(figures_of_scores(scores[0], truth))
    value, low, high = numbers(found.estimate)
    assert found.p_value(low) == pytest.approx(0.05)
    assert found.p_value(high) == pytest.approx(0.05)
    assert found.p_value(value) == pytest.approx(1)


# ---- two modalities ----


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize(("readers", "cases"), [(RANDOM, RANDOM), (FIXED, RANDOM), (RANDOM, FIXED)])
def test_modalities_read_by_the_same_readers(modalities: int, readers: str, cases: str) -> None:
    scores, truth = ratings(np.random.default_rng(6), modalities=modalities, readers=4, cases=20)
    flat = np.hstack(list(scores))
    parts = explicit_anova(areas_of(flat, truth).reshape(modalities, 4), brute_delong(flat, truth))
    t, r = modalities, 4
    found = compare(figures_of_scores(flat, truth), modalities, readers=readers, cases=cases)
    gap = parts["cov2"] - parts["cov3"]
    if readers == FIXED:
        denominator = parts["var"] - parts["cov1"] + (r - 1) * gap
        statistic, within, quantile = (t - 1) * parts["T"] / denominator, None, stats.norm.ppf(0.975)
        p = stats.chi2.sf(statistic, t - 1)
    else:
        denominator = parts["TR"] + (r * max(gap, 0) if cases == RANDOM else 0)
        within = denominator**2 / (parts["TR"] ** 2 / ((t - 1) * (r - 1)))
        statistic, quantile = parts["T"] / denominator, stats.t.ppf(0.975, within)
        p = stats.f.sf(statistic, t - 1, within)
    assert found.test.statistic == pytest.approx(statistic)
    assert found.test.freedom == (t - 1, within if within is None else pytest.approx(within))
    assert found.test.p == pytest.approx(p)
    assert found.mean_squares == pytest.approx({name: parts[name] for name in ("T", "R", "TR")})
    assert found.covariances == pytest.approx((parts["cov1"], parts["cov2"], parts["cov3"]))
    means = [areas_of(scores[i], truth).mean() for i in range(t)]
    half = quantile * np.sqrt(2 / r * denominator)
    for (a, b), estimate in found.differences.items():
        assert numbers(estimate) == pytest.approx((means[a] - means[b], means[a] - means[b] - half, means[a] - means[b] + half), abs=1e-10)
    for i, mean in enumerate(found.means):
        alone = average(figures_of_scores(scores[i], truth), readers=readers, cases=cases)
        assert numbers(mean.estimate) == pytest.approx(numbers(alone.estimate), abs=1e-12)
        assert mean.estimate.n == 20 * 4


def test_two_modalities_of_one_reader_need_fixed_readers() -> None:
    scores, truth = ratings(np.random.default_rng(7), modalities=2, readers=1)
    figures = figures_of_scores(np.hstack(list(scores)), truth)
    random = compare(figures, 2)
    assert random.test.statistic is None
    assert random.test.reason == "one reader: the spread between readers cannot be seen"
    fixed = compare(figures, 2, readers=FIXED)
    assert fixed.test.p == pytest.approx(2 * stats.norm.sf(np.sqrt(fixed.test.statistic or 0)))
    nothing = compare(figures_of_scores(np.full((6, 2), np.nan), truth[:6]), 2)
    assert nothing.test.reason == "no case was read"
    assert {one.value for one in nothing.differences.values()} == {None}
    with pytest.raises(ValueError, match="not those of 2 modalities"):
        compare(figures.of([0]), 2)


# ---- the groups of a study ----


def test_readers_without_variation_get_the_interval_of_one_reader() -> None:
    truth = np.arange(20) < 8
    perfect = group_average(calls_of_group(np.ones((20, 3)), truth)).estimate
    assert perfect.value == 1
    assert perfect.low is not None
    assert 0.6 < perfect.low < 0.9
    assert "as of one reader" in perfect.method
    areas = group_average(scores_of_group(np.repeat(np.where(truth, 6.0, 1.0)[:, None], 3, axis=1), truth)).estimate
    assert areas.value == 1
    assert areas.low is not None
    assert 0.5 < areas.low < 1
    for figure, low in (("sensitivity", 8), ("specificity", 12), ("accuracy", 20)):
        found = group_average(calls_of_group(np.ones((20, 3)), truth, figure)).estimate
        assert found.low == pytest.approx(low / (low + stats.norm.ppf(0.975) ** 2))  # Wilson's for all of n
    always = group_average(calls_of_group(np.repeat(truth[:, None], 2, axis=1).astype(float), truth)).estimate
    assert always.value == 0.5
    assert always.low is not None


def test_the_constrained_interval_contains_the_published_one() -> None:
    generator = np.random.default_rng(12)
    for _ in range(30):
        scores, truth = ratings(generator, readers=4, cases=24, reader_sd=0.05)
        figures = figures_of_scores(scores[0], truth)
        assert (average(figures, constrained=True).standard_error or 0) >= (average(figures).standard_error or 0)


def test_d_prime_over_readers_with_cases_fixed_is_the_t_interval() -> None:
    scores, truth = ratings(np.random.default_rng(13), readers=5, cases=40)
    own = figures_of_calls((scores[0] >= 4) == truth[:, None], truth, "d'").value
    found = signal_of_readers(scores[0], truth, 4, cases=FIXED)["d'"]
    expected = stats.t.interval(0.95, 4, own.mean(), own.std(ddof=1) / np.sqrt(5))
    assert numbers(found) == pytest.approx((own.mean(), *expected))
    assert found.n == 5


# ---- what holds for all ratings ----

tables = arrays(float, st.tuples(st.integers(4, 12), st.integers(1, 4)), elements=st.sampled_from([1.0, 2, 3, 4, 5, 6, np.nan]))


@given(tables, st.randoms())
@settings(max_examples=60, deadline=None)
def test_every_figure_is_a_number_or_has_a_reason(scores: np.ndarray, random: object) -> None:
    truth = np.arange(len(scores)) % 2 == 0
    site = ["AB"[j % 2] for j in range(scores.shape[1])]
    right = np.where(np.isfinite(scores), (scores >= 4) == truth[:, None], np.nan)
    everything: list[ReaderFigures] = [figures_of_scores(scores, truth, covariance=how) for how in (DELONG, JACKKNIFE, U_STATISTICS)]
    everything += [figures_of_calls(right, truth, figure) for figure in (*RATES, *DETECTION)]
    for figures in everything:
        assert np.isfinite(figures.value).all()
        assert figures.covariance is not None or figures.reason
        assert figures.covariance is None or np.isfinite(figures.covariance).all()
        for readers, cases in ((RANDOM, RANDOM), (FIXED, RANDOM), (RANDOM, FIXED)):
            found = average(figures, readers=readers, cases=cases)  # an Estimate refuses NaN and silence
            assert found.estimate.value is None or -4 <= found.estimate.value <= 4
            sites = between_sites(figures, site, readers=readers, cases=cases)
            assert (sites.test.p is None) == bool(sites.test.reason)
            assert sites.test.p is None or 0 <= sites.test.p <= 1
            if scores.shape[1] % 2 == 0:
                both = compare(figures, 2, readers=readers, cases=cases)
                assert (both.test.p is None) == bool(both.test.reason)
        group_average(figures)


@given(st.integers(0, 10_000), st.sampled_from([DELONG, JACKKNIFE, U_STATISTICS]))
@settings(max_examples=30, deadline=None)
def test_order_scale_and_names_do_not_matter(seed: int, how: str) -> None:
    generator = np.random.default_rng(seed)
    scores, truth = ratings(generator, readers=4, cases=20)
    found = average(figures_of_scores(scores[0], truth, covariance=how)).estimate
    readers, cases = generator.permutation(4), generator.permutation(20)
    shuffled = average(figures_of_scores(np.exp(scores[0])[cases][:, readers], truth[cases], covariance=how)).estimate
    swapped = average(figures_of_scores(scores[0], ~truth, covariance=how)).estimate
    assert (found.value, found.low, found.high) == pytest.approx((shuffled.value, shuffled.low, shuffled.high), abs=1e-9)
    if found.low is not None:
        assert numbers(swapped) == pytest.approx((1 - (found.value or 0), 1 - (found.high or 0), 1 - found.low), abs=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_less_that_is_random_means_less_variance(seed: int) -> None:
    scores, truth = ratings(np.random.default_rng(seed), readers=4, cases=24)
    figures = figures_of_scores(scores[0], truth)
    everything, these_cases = average(figures), average(figures, cases=FIXED)
    assert (these_cases.standard_error or 0) <= (everything.standard_error or 0) + 1e-12
    assert average(figures, readers=FIXED).standard_error == pytest.approx(
        np.sqrt(((everything.error_variance or 0) + 3 * max(everything.cov2 or 0, 0)) / 4)
    )


# ---- published results, and size ----


def test_van_dyke(shared: Path) -> None:
    """Printed by MRMCaov's and OR-DBM MRMC's documentation; needs the study's ratings (five readers, two modalities, 114 cases)."""
    path = shared / "golden" / "VanDyke.imrmc"
    if not path.exists():
        pytest.skip("the ratings of Van Dyke's study are not in shared/golden")
    read = imrmc.read(path)
    both = read.side_by_side()
    delong = compare(figures_of_scores(both, read.truth, covariance=DELONG), 2)
    assert [round(numbers(mean.estimate)[0], 4) for mean in delong.means] == [0.8970, 0.9408]
    assert delong.test.statistic == pytest.approx(4.484854, abs=5e-7)
    assert delong.test.freedom == (1, pytest.approx(15.06611, abs=5e-6))
    assert delong.test.p == pytest.approx(0.05123303, abs=5e-9)
    assert (delong.error_variance, *(delong.covariances or ())) == pytest.approx((0.0007921325, 0.0003420090, 0.0003395265, 0.0002358497), abs=5e-11)
    assert numbers(delong.differences[0, 1]) == pytest.approx((-0.04380032, -0.0878671960, 0.0002665519), abs=5e-9)
    first, second = delong.means
    assert (first.mean_square, first.cov2, first.standard_error, first.freedom) == pytest.approx(
        (0.003082629, 0.0004775239, 0.03307642, 12.59597), rel=5e-7
    )
    assert numbers(second.estimate) == pytest.approx((0.9408374, 0.8942155, 0.9874592), abs=5e-8)
    unbiased = compare(figures_of_scores(both, read.truth, covariance=U_STATISTICS), 2)
    assert (unbiased.test.statistic, unbiased.test.p) == pytest.approx((4.489614, 0.0511618), abs=5e-7)
    assert (unbiased.error_variance, *(unbiased.covariances or ())) == pytest.approx(
        (0.0007883925, 0.0003416706, 0.0003390650, 0.0002356148), abs=5e-11
    )
    jackknife = figures_of_scores(both, read.truth, covariance=JACKKNIFE)
    assert compare(jackknife, 2, readers=FIXED).test.statistic == pytest.approx(5.475953, abs=5e-7)
    assert compare(jackknife, 2, cases=FIXED).test.statistic == pytest.approx(8.704, abs=5e-4)
    called = (both >= 3) == read.truth[:, None]
    sensitivity = compare(figures_of_calls(called, read.truth, "sensitivity"), 2)
    assert (sensitivity.test.statistic, sensitivity.test.p) == pytest.approx((6.689493, 0.02008822), abs=5e-7)


def test_two_hundred_readers_of_five_thousand_cases() -> None:
    scores, truth = ratings(np.random.default_rng(31), readers=200, cases=5000)
    start = time.perf_counter()
    found = between_sites(figures_of_scores(scores[0], truth), [f"site {j % 10}" for j in range(200)])
    assert found.test.p is not None
    assert time.perf_counter() - start < 20  # about 0.3 s on one idle core
