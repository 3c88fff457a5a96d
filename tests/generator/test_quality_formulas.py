"""Frechet and kernel distance, neighbourhoods and intervals: against closed forms, the definition, and the library."""

from __future__ import annotations

import numpy as np
import pytest
from prdc import compute_prdc
from scipy import linalg, stats

from generator.quality import distribution, resample
from generator.quality.distribution import Cloud, frechet, kernel_distance, neighbourhoods

RNG = np.random.default_rng(3)


def exactly(mean: np.ndarray, covariance: np.ndarray, n: int = 400) -> np.ndarray:
    """A sample whose mean and covariance are these, not only about so."""
    x = np.random.default_rng(1).standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return np.asarray(mean + x @ np.linalg.cholesky(covariance).T)


def test_frechet_of_gaussians_that_commute_is_the_sum_over_axes() -> None:
    a, b = exactly(np.array([0.0, 1.0]), np.diag([1.0, 4.0])), exactly(np.array([3.0, 1.0]), np.diag([4.0, 9.0]))
    assert frechet(a, b) == pytest.approx(9 + (1 - 2) ** 2 + (2 - 3) ** 2)


def test_frechet_of_any_gaussians_is_that_of_the_matrix_square_root() -> None:
    roots = RNG.standard_normal((2, 4, 4))
    one, other = (root @ root.T + np.eye(4) for root in roots)
    expected = np.trace(one + other - 2 * np.real(linalg.sqrtm(one @ other))) + 4
    assert frechet(exactly(np.zeros(4), one), exactly(np.ones(4), other)) == pytest.approx(expected)


def test_frechet_needs_no_more_strips_than_dimensions() -> None:
    few = RNG.standard_normal((10, 32))
    assert frechet(few, few) == pytest.approx(0, abs=1e-6)
    assert frechet(few, few + 1) == pytest.approx(32)


def test_kernel_distance_is_the_u_statistic() -> None:
    a, b = RNG.standard_normal((7, 3)), RNG.standard_normal((5, 3)) + 1

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = [np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]) for s in (a, b)]
    across = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(within[0] + within[1] - 2 * across)


def test_kernel_distance_is_unbiased() -> None:
    found = [kernel_distance(*np.random.default_rng(seed).standard_normal((2, 20, 3))) for seed in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(300)


def test_pairs_of_one_patient_do_not_count() -> None:
    a, b = RNG.standard_normal((6, 3)), RNG.standard_normal((6, 3))
    twice, whose = np.concatenate([a, a]), [*range(6), *range(6)]
    assert kernel_distance(twice, b, np.array(whose)) == pytest.approx(kernel_distance(a, b))


def test_neighbourhoods_are_the_librarys(capsys: pytest.CaptureFixture[str]) -> None:
    real, other = RNG.standard_normal((30, 4)), RNG.standard_normal((50, 4)) + 0.5
    expected = compute_prdc(real, other, nearest_k=distribution.NEIGHBOURS)
    for name, strips in neighbourhoods(real, other).items():
        assert strips.mean() == pytest.approx(expected[name])
    assert capsys.readouterr().out == ""  # the library's talk would be in the middle of our JSON


def test_a_handful_of_recordings_is_not_covered_by_a_crowd_beside_them() -> None:
    """The crowd may fill a quarter of the space: with as many strips as recordings, the other recordings stay uncovered."""
    real = np.random.default_rng(0).uniform(size=(28, 2))
    crowd = np.random.default_rng(1).uniform(size=(400, 2)) * [0.25, 1]
    whole = np.random.default_rng(2).uniform(size=(400, 2))
    in_equal = [distribution.neighbourhoods_in_equal_numbers(real, one, np.random.default_rng(0))["coverage"].mean() for one in (crowd, whole)]
    assert in_equal[0] < 0.7 * in_equal[1]


def test_too_few_strips_are_a_reason_not_a_nan() -> None:
    few, many = Cloud(RNG.standard_normal((4, 3)), np.arange(4).astype(str)), Cloud(RNG.standard_normal((20, 3)), np.arange(20).astype(str))
    made = distribution.figures("AF", few, many, many, np.random.SeedSequence(1))
    assert {one.value for one in made} == {None}
    assert all("4 recordings" in (one.reason or "") for one in made)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = rng.normal(1.0, 1.0, 60)
        found = resample.percentile(resample.averages(values, resample.weights(np.arange(60).astype(str), rng)))
        assert found is not None
        held += found[0] <= 1.0 <= found[1]
    assert held >= 88


def test_strips_of_one_patient_stay_together() -> None:
    drawn = resample.weights(np.array(["a", "a", "b", "c"]), np.random.default_rng(0))
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_the_interval_of_a_distance_is_mirrored_about_it() -> None:
    values = stats.norm(5, 1).ppf(np.linspace(0.001, 0.999, 999))
    found = resample.basic(3.0, values, least=0.0)
    assert found == pytest.approx((0.0, 3.0), abs=0.1)
