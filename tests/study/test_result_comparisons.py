"""Sites compared, the scale against the truth, rounds, marks and ROC curves: against sums written here again, on tables made for it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.stats import fisher_exact
from sklearn.metrics import auc, roc_curve

from study import result_comparisons as comparisons
from study import result_tables
from study.protocol import MORPHOLOGY_ITEMS

READERS = {"R01": "North", "R02": "North", "R03": "South", "R04": "South"}


def readings(seed: int, cases: int = 40, skill: dict[str, float] | None = None, rounds: int = 2) -> pd.DataFrame:
    """Every reader reads every case; a case is synthetic where its number is odd."""
    rng = np.random.default_rng(seed)
    rows = []
    for reader, site in READERS.items():
        for number in range(cases):
            synthetic = number % 2 == 1
            evidence = rng.normal((skill or {}).get(site, 0.5) * (1 if synthetic else -1))
            realism = int(np.clip(np.searchsorted([-1.2, -0.5, 0, 0.5, 1.2], evidence) + 1, 1, 6))
            marks = [{"lead": "V2", "from_ms": 1, "to_ms": 90}] * int(realism > 4)
            rows.append(
                (number * rounds // cases + 1, site, reader, f"c{number:02d}", "synthetic" if synthetic else "real", realism, realism > 3, marks)
            )
    return pd.DataFrame(rows, columns=["round", "site", "reader", "case", "arm", "realism", "called_synthetic", "marks"])


def one(table: pd.DataFrame, **wanted: Any) -> pd.Series:
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_sites_differ_by_the_difference_of_their_readers_means() -> None:
    scored = readings(3, skill={"North": 1.5, "South": 0.0}, cases=80)
    found = comparisons.sites(scored)
    right = scored["called_synthetic"] == (scored["arm"] == "synthetic")
    means = {
        (site, arm): right[(scored["site"] == site) & (scored["arm"] == arm)].mean() for site in ("North", "South") for arm in ("real", "synthetic")
    }
    expected = sum(means["North", arm] - means["South", arm] for arm in ("real", "synthetic")) / 2
    told = one(found, figure="difference of balanced accuracy")
    assert told["name"] == "North - South"
    assert told["value"] == pytest.approx(expected)
    assert told["low"] < expected < told["high"]
    assert 0 <= one(found, figure="p of all sites alike, AUC")["value"] < 0.05
    assert one(found, figure="standard deviation of sites, AUC")["value"] > 0


def test_one_site_has_nothing_to_be_compared_with_and_says_so() -> None:
    scored = readings(1)
    alone = one(comparisons.sites(scored[scored["site"] == "North"]), group="between sites")
    assert pd.isna(alone["value"])
    assert "one site" in alone["reason"]
    assert len(comparisons.sites(scored.iloc[:0])) == 1


def test_calibration_is_the_share_of_synthetic_strips_at_each_step() -> None:
    scored = readings(2)
    table = comparisons.calibration(scored)
    for step in range(1, 7):
        told = one(table, group="reader", name="R03", step=step)
        mine = scored[(scored["reader"] == "R03") & (scored["realism"] == step)]
        assert told["n"] == len(mine)
        if len(mine):
            assert told["value"] == pytest.approx((mine["arm"] == "synthetic").mean())
        else:
            assert "no reading gave step" in told["reason"]


def test_rounds_are_held_against_the_first() -> None:
    scored = readings(4, rounds=3, cases=60)
    table = comparisons.learning(scored)
    right = scored["called_synthetic"] == (scored["arm"] == "synthetic")
    share = right.groupby(scored["round"]).mean()
    assert one(table, group="all", round="2")["value"] == pytest.approx(share[2])
    assert one(table, group="all", round="3 - 1")["value"] == pytest.approx(share[3] - share[1])
    assert set(table["round"]) == {"1", "2", "3", "2 - 1", "3 - 1"}


def test_marked_leads_are_counted_by_arm() -> None:
    scored = readings(5)
    table = comparisons.marks(scored)
    marked = scored["realism"] > 4
    for arm in ("real", "synthetic"):
        assert one(table, group="all", lead="V2", arm=arm)["value"] == pytest.approx(marked[scored["arm"] == arm].mean())
        assert one(table, group="all", lead="aVR", arm=arm)["value"] == 0


@settings(max_examples=30, deadline=None)
@given(some.integers(0, 2**32), some.floats(-2, 2))
def test_a_curve_rises_from_corner_to_corner_over_the_empirical_area(seed: int, skill: float) -> None:
    scored = readings(seed, skill={"North": skill, "South": skill})
    for reader, curve in comparisons.curves(scored).items():
        assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
        assert all(x0 <= x1 and y0 <= y1 for (x0, y0), (x1, y1) in pairwise(curve))
        mine = scored if reader == "all readings" else scored[scored["reader"] == reader]
        x, y, _ = roc_curve(mine["arm"] == "synthetic", mine["realism"], drop_intermediate=False)
        assert auc(*zip(*curve, strict=True)) == pytest.approx(auc(x, y))


def test_a_reader_who_saw_one_arm_has_no_curve() -> None:
    scored = readings(6)
    half = scored[(scored["reader"] != "R01") | (scored["arm"] == "real")]
    assert "R01" not in comparisons.curves(half)


def test_morphology_is_tested_item_by_item_and_adjusted_by_holm() -> None:
    """One item that synthetic strips fail: its p is Fisher's times the number of items, the others' are 1."""
    scored = readings(7)
    scored["label"] = "NSR"
    for item in MORPHOLOGY_ITEMS:
        scored[item] = "plausible"
    scored["P wave"] = np.where((scored["arm"] == "synthetic") & (scored["realism"] > 3), "implausible", "plausible")
    table = result_tables.morphology(scored)
    counts = pd.crosstab(scored["arm"], scored["P wave"])
    p = fisher_exact(counts.to_numpy()).pvalue
    told = one(table, group="all", rhythm="all", item="P wave", figure="p of plausible alike")
    assert told["value"] == pytest.approx(min(1, p * len(MORPHOLOGY_ITEMS)))
    for item in MORPHOLOGY_ITEMS[1:]:
        assert one(table, group="all", rhythm="all", item=item, figure="p of plausible alike")["value"] == 1
