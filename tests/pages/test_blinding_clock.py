"""The comparison that the clock's benchmark makes: it sees a difference that is there, and none that is not."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.arms import compared


def test_a_slower_arm_would_be_found() -> None:
    rng = np.random.default_rng(0)
    arms = np.array(["real", "synthetic"] * 200)
    took = rng.gamma(20, 2, 400) + np.where(arms == "synthetic", 5.0, 0.0)
    found = compared(took, arms)
    assert found["cases"] == {"real": 200, "synthetic": 200}
    assert found["permutation p"] < 0.01
    assert found["95 % interval"][1] < 0


def test_arms_of_one_speed_are_not_told_apart() -> None:
    """The same times in both arms: nothing lies between the medians."""
    took = np.repeat(np.random.default_rng(0).gamma(20, 2, 200), 2)
    found = compared(took, np.array(["real", "synthetic"] * 200))
    assert (found["difference of medians"], found["permutation p"]) == (0.0, 1.0)
    assert found["95 % interval"][0] <= 0 <= found["95 % interval"][1]
