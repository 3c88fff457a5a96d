"""Differences between sites, whose readers are nested in them; and whether the intervals cover what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from study.agreement.estimate import Estimate
from study.agreement.heterogeneity import between_sites
from study.agreement.obuchowski_rockette import FIXED, RANDOM, average, compare
from study.agreement.reader_figures import (
    figures_of_calls,
    figures_of_scores,
)
from tests.study.covariances import areas_of, brute_delong, numbers
from tests.study.roe_metz import ratings, with_gaps

# ---- sites ----


@pytest.mark.parametrize("cases", [RANDOM, FIXED])
def test_sites_with_readers_nested_in_them(cases: str) -> None:
    """Unequal numbers of readers; mean squares of the one-way layout by loops."""
    generator = np.random.default_rng(8)
    site = ["A", "B", "A", "C", "B", "A", "C"]
    scores, truth = ratings(generator, readers=7, cases=26, sites=np.array([0.5 * (name == "B") for name in site]))
    own, matrix = areas_of(scores[0], truth), brute_delong(scores[0], truth)
    members = {name: [j for j in range(7) if site[j] == name] for name in "ABC"}
    grand = own.mean()
    within = sum((own[j] - own[of].mean()) ** 2 for of in members.values() for j in of) / (7 - 3)
    between = sum(len(of) * (own[of].mean() - grand) ** 2 for of in members.values()) / 2
    cov2 = np.mean([matrix[i, j] for i in range(7) for j in range(7) if i != j and site[i] == site[j]])
    cov3 = np.mean([matrix[i, j] for i in range(7) for j in range(7) if site[i] != site[j]])
    apart = max(cov2 - cov3, 0) if cases == RANDOM else 0
    n0 = (7 - (9 + 4 + 4) / 7) / 2
    denominator = within + n0 * apart
    freedom = denominator**2 / (within**2 / 4)
    found = between_sites(figures_of_scores(scores[0], truth), site, cases=cases)
    assert found.names == ("A", "B", "C")
    assert found.test.statistic == pytest.approx(between / denominator)
    assert found.test.freedom == (2, pytest.approx(freedom))
    assert found.test.p == pytest.approx(stats.f.sf(between / denominator, 2, freedom))
    for (a, b), estimate in found.differences.items():
        spread = within * (1 / len(members[a]) + 1 / len(members[b]))
        variance = spread + 2 * apart
        half = stats.t.ppf(0.975, variance**2 / (spread**2 / 4)) * np.sqrt(variance)
        gap = own[members[a]].mean() - own[members[b]].mean()
        assert numbers(estimate) == pytest.approx((gap, gap - half, gap + half), abs=1e-10)
    assert found.means["A"].estimate == average(figures_of_scores(scores[0][:, members["A"]], truth), cases=cases).estimate
    assert found.between_sd.value == pytest.approx(np.sqrt(max((between - denominator) / n0, 0)))
    sd, low, high = numbers(found.between_sd)
    assert low <= sd <= high


def test_equal_sites_give_hillis_formula_for_readers_nested_in_tests() -> None:
    """J readers at each of s sites: F = MS(S) / (MS(R(S)) + J max(Cov2 - Cov3, 0))."""
    scores, truth = ratings(np.random.default_rng(9), readers=6, cases=40)
    figures = figures_of_scores(scores[0], truth)
    site = ["A", "A", "A", "B", "B", "B"]
    table, blocks = figures.value.reshape(2, 3), np.asarray(figures.covariance).reshape(2, 3, 2, 3)
    cov2 = np.mean([blocks[i, j, i, k] for i in range(2) for j in range(3) for k in range(3) if j != k])
    cov3 = np.mean([blocks[0, j, 1, k] for j in range(3) for k in range(3)])
    within = table.var(axis=1, ddof=1).mean()
    denominator = within + 3 * max(cov2 - cov3, 0)
    found = between_sites(figures, site)
    assert found.test.statistic == pytest.approx(3 * table.mean(axis=1).var(ddof=1) / denominator)
    assert found.test.freedom == (1, pytest.approx(denominator**2 / (within**2 / (2 * 2))))
    value, low, high = numbers(found.differences["A", "B"])
    freedom = denominator**2 / (within**2 / 4)
    error = (high - low) / 2 / stats.t.ppf(0.975, freedom)
    assert found.test.p == pytest.approx(2 * stats.t.sf(abs(value) / error, freedom))  # F of two sites is the square of their t


def test_sites_of_fixed_readers_by_walds_test() -> None:
    scores, truth = ratings(np.random.default_rng(10), readers=5, cases=40)
    figures = figures_of_scores(scores[0], truth)
    found = between_sites(figures, ["A", "B", "A", "C", "B"], readers=FIXED)
    contrast = np.array([[0.5, -0.5, 0.5, 0, -0.5], [0, 0.5, 0, -1, 0.5]])
    gaps = contrast @ figures.value
    wald = gaps @ np.linalg.inv(contrast @ figures.covariance @ contrast.T) @ gaps
    assert found.test.statistic == pytest.approx(wald)
    assert found.test.freedom == (2, None)
    value, low, high = numbers(found.differences["A", "B"])
    variance = contrast[0] @ figures.covariance @ contrast[0]
    assert (value, high - low) == pytest.approx((gaps[0], 2 * stats.norm.ppf(0.975) * np.sqrt(variance)))
    assert "fixed readers" in (found.between_sd.reason or "")


def test_sites_that_cannot_be_compared_say_why() -> None:
    scores, truth = ratings(np.random.default_rng(11), readers=3, cases=20)
    figures = figures_of_scores(scores[0], truth)
    alone = between_sites(figures, ["A", "B", "C"])
    assert alone.test.reason == "no site has two readers: differences between sites cannot be told from differences between readers"
    assert alone.between_sd.value is None
    assert alone.differences["A", "B"].value is not None
    assert alone.differences["A", "B"].low is None
    assert between_sites(figures, ["A", "B", "C"], readers=FIXED).test.p is not None
    one = between_sites(figures, ["A", "A", "A"])
    assert (one.test.reason, one.differences, one.between_sd.reason) == ("there is one site", {}, "there is one site")
    assert between_sites(figures_of_scores(scores[0][truth], truth[truth]), ["A", "A", "B"]).test.reason == "a reader read no real strip"
    blind = figures_of_calls(np.ones((20, 3)), truth, "accuracy")
    assert "not above 0" in (between_sites(blind, ["A", "A", "B"]).test.reason or "")
    assert "singular" in (between_sites(blind, ["A", "A", "B"], readers=FIXED).test.reason or "")
    with pytest.raises(ValueError, match="2 sites for 3 readers"):
        between_sites(figures, ["A", "B"])


# ---- do the intervals cover? ----


def covered(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([numbers(one)[1] <= truth <= numbers(one)[2] for one in estimates]))


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_the_interval_of_the_auc_covers_the_planted_one(gaps: float) -> None:
    """Scores on a continuous scale, where the planted AUC is exact; for new readers and new cases."""
    generator, found = np.random.default_rng(21), []
    for _ in range(250):
        scores, truth = ratings(generator, auc=0.7, readers=5, cases=60, steps=None)
        found.append(average(figures_of_scores(with_gaps(generator, scores[0], gaps), truth)).estimate)
    assert 0.90 <= covered(found, 0.7) <= 0.99


def test_intervals_of_differences_between_sites_cover_and_the_test_holds_its_size() -> None:
    generator, found, rejected = np.random.default_rng(22), [], 0
    site = ["A", "A", "A", "B", "B", "C", "C", "C", "C"]
    for _ in range(300):
        scores, truth = ratings(generator, auc=0.7, readers=9, cases=60, steps=None)
        sites = between_sites(figures_of_scores(scores[0], truth), site)
        found.append(sites.differences["A", "B"])
        rejected += (sites.test.p or 1) < 0.05
    assert 0.90 <= covered(found, 0.0) <= 0.99
    assert 0.01 <= rejected / 300 <= 0.10


def test_two_modalities_alike_are_called_different_in_about_a_twentieth() -> None:
    generator, rejected = np.random.default_rng(23), 0
    for _ in range(300):
        scores, truth = ratings(generator, auc=0.7, readers=5, cases=60, modalities=2)
        rejected += (compare(figures_of_scores(np.hstack(list(scores)), truth), 2).test.p or 1) < 0.05
    assert 0.01 <= rejected / 300 <= 0.10
