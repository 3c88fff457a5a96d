"""The leak gate: what it must refuse, what it must let through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from generator.leak import FEATURES, LeakError, leak
from generator.recordings import find, read_all
from generator.simulate import stand_in
from generator.strip import RATE, STORED, canonical, canonical_from_stored, millivolts

Strips = NDArray[np.floating]


@pytest.fixture(scope="module")
def halves() -> tuple[Strips, Strips]:
    strips = np.stack([stand_in("NSR", seed) for seed in range(48)]).astype(float)
    return strips[:24], strips[24:]


def test_arms_from_one_source_pass(halves: tuple[Strips, Strips]) -> None:
    assert leak(*halves, seed=1).verdict != "refuse"


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        (lambda strips: np.round(strips * 5 / 7.3) * 7.3 / 5, "quantisation step"),
        (lambda strips: strips * 5 / 5.1, "quantisation step"),
        (lambda strips: strips + 3, "offset"),
        (lambda strips: strips // 2 * 2, "quantisation step"),
    ],
)
def test_arms_that_differ_by_their_format_alone_are_refused(halves: tuple[Strips, Strips], change: Callable[[Strips], Strips], feature: str) -> None:
    real, synthetic = halves
    report = leak(real, change(synthetic), seed=1)
    assert report.verdict == "refuse"
    assert report.features[feature] > 0.95


def test_the_smallest_arms_are_refused_too_when_their_format_differs(halves: tuple[Strips, Strips]) -> None:
    real, synthetic = (arm[:5] for arm in halves)
    assert leak(real, synthetic, seed=1).verdict != "refuse"
    assert leak(real, synthetic + 1, seed=1).verdict == "refuse"
    assert leak(real, synthetic // 2 * 2, seed=1).verdict == "refuse"


def test_limb_leads_that_obey_einthoven_too_well_are_refused(halves: tuple[Strips, Strips]) -> None:
    real, synthetic = (millivolts(arm.astype(np.int16)) * 200 for arm in halves)
    rounded = np.rint(real + np.random.default_rng(0).uniform(-0.5, 0.5, real.shape))
    report = leak(rounded, synthetic, seed=1)
    assert (report.verdict, report.worst_feature) in {("refuse", "limb-lead residual"), ("refuse", "quantisation step")}
    assert report.features["limb-lead residual"] == 1.0


def test_the_canonical_form_takes_format_differences_away(halves: tuple[Strips, Strips]) -> None:
    real, synthetic = (arm * 0.005 for arm in halves)
    recorded = np.stack([canonical(strip, RATE, STORED) for strip in np.round(real, 3)])
    drawn = np.stack([canonical_from_stored(strip + 0.4) for strip in synthetic])
    assert leak(recorded, drawn, seed=1).verdict != "refuse"


def test_the_report_is_the_same_for_the_same_seed_and_fits_json(halves: tuple[Strips, Strips]) -> None:
    first, second = leak(*halves, seed=4), leak(*halves, seed=4)
    assert first == second
    assert set(json.loads(json.dumps(first.as_dict()))["features"]) == set(FEATURES)


def test_too_few_strips_are_an_error_that_says_so(halves: tuple[Strips, Strips]) -> None:
    with pytest.raises(LeakError, match="The synthetic arm has 3 strips"):
        leak(halves[0], halves[1][:3], seed=1)


def test_random_halves_of_real_recordings_are_not_refused(shared: Path) -> None:
    candidates = find(shared / "data" / "ptbxl").candidates[:96]
    real = np.stack([read.counts for _, read in read_all(candidates) if not isinstance(read, Exception)])
    refused = 0
    for split in range(50):
        order = np.random.default_rng(split).permutation(len(real))
        refused += leak(real[order[:24]], real[order[24:48]], seed=split).verdict == "refuse"
    assert refused <= 2
