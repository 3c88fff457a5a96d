"""Shares and their intervals: printed examples, and the calibration of the scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from study.agreement import proportions
from study.agreement.proportions import balanced_accuracy, balanced_accuracy_of_counts, calibration, proportion


def test_newcombe_1998_prints_wilson_and_clopper_pearson() -> None:
    """Newcombe 1998 (Stat Med 17:857), Table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29; methods 3 and 5."""
    for count, n, wilson, exact in (
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ):
        for found, printed in ((proportion(count, n, ""), wilson), (proportion(count, n, "", exact=True), exact)):
            assert (found.low, found.high) == pytest.approx(printed, abs=5.1e-5)


@given(st.integers(0, 60), st.integers(1, 60), st.booleans(), st.sampled_from([0.9, 0.95]))
def test_intervals_hold_their_value(count: int, n: int, exact: bool, level: float) -> None:
    count = min(count, n)
    found, mirrored = proportion(count, n, "", exact=exact, level=level), proportion(n - count, n, "", exact=exact, level=level)
    assert found.low is not None
    assert found.high is not None
    assert mirrored.low is not None
    assert 0 <= found.low <= count / n <= found.high <= 1
    assert 1 - found.high == pytest.approx(mirrored.low, abs=1e-9)
    if exact and count:
        assert stats.binom.sf(count - 1, n, found.low) == pytest.approx((1 - level) / 2, abs=1e-9)


def test_balanced_accuracy_of_counts_and_of_readings() -> None:
    truth = np.arange(30) < 10
    call = np.where(np.arange(30) < 7, True, np.arange(30) > 25)
    assert balanced_accuracy(truth, call) == balanced_accuracy_of_counts(7, 10, 4, 20)
    assert balanced_accuracy(truth, call).value == pytest.approx((0.7 + 0.8) / 2)
    assert balanced_accuracy_of_counts(0, 0, 1, 2).reason == "no synthetic strip was read"


def test_calibration_of_the_scale() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 0, 1, 1], dtype=bool)
    steps = np.array([1, 1, 2, 2, 2, 4, 5, 5, 6, 6])
    found = calibration(truth, steps, 6)
    assert [one.value for one in found] == [0, pytest.approx(2 / 3), None, 1, 0.5, 1]
    assert [one.n for one in found] == [2, 3, 0, 1, 2, 2]
    assert found[2].reason == "no reading gave step 3"
    assert (found[1].low, found[1].high) == pytest.approx(proportions.proportion_confint(2, 3, method="wilson"))
    assert calibration(truth[:0], steps[:0], 6)[0].value is None
    with pytest.raises(ValueError, match="from 1 to 6"):
        calibration(truth, steps + 1, 6)
    with pytest.raises(ValueError, match="not two lists"):
        calibration(truth, steps[:3], 6)


@settings(max_examples=15)  # statsmodels' is slow
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_statsmodels_holm(p_values: list[float]) -> None:
    wanted = multipletests(p_values, method="holm")[1] if p_values else []
    assert proportions.holm(p_values) == pytest.approx(np.asarray(wanted))
