"""The leak gate: what it must refuse, what it must let through, and what it only warns of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from generator.leak import AMPLITUDE, BINS, FEATURES, FORMAT, LeakError, gate, leak
from generator.leak_features import Measured, measure, of_counts
from generator.recordings import find, read_all
from generator.simulate import stand_in
from generator.strip import RATE, STORED, canonical, canonical_from_stored, millivolts

Strips = NDArray[np.floating]
SPLITS, ALARMS = 100, 5  # random halves of one source, and how many of them may be refused


@pytest.fixture(scope="module")
def halves() -> tuple[Strips, Strips]:
    strips = np.stack([stand_in("NSR", seed) for seed in range(48)]).astype(float)
    return strips[:24], strips[24:]


def measured(strips: NDArray[np.number]) -> Measured:
    return measure(of_counts(strips, "only"))


def refused_halves(of: Measured, arm: int) -> int:
    """How many of SPLITS random divisions into two arms of so many strips are refused; what is measured of a strip is measured once."""
    refused = 0
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(of))
        refused += gate(of[order[:arm]], of[order[arm : 2 * arm]], seed=split).verdict == "refuse"
    return refused


# ---- what must pass ----


def test_random_halves_of_simulated_strips_are_not_refused(halves: tuple[Strips, Strips]) -> None:
    assert refused_halves(measured(np.concatenate(halves)), 12) <= ALARMS


def test_random_halves_of_real_recordings_are_not_refused(shared: Path) -> None:
    candidates = find(shared / "data" / "ptbxl").candidates[:96]
    counts = np.stack([read.counts for _, read in read_all(candidates) if not isinstance(read, Exception)])
    assert len(counts) >= 90
    assert refused_halves(measured(counts), 24) <= ALARMS


def test_the_canonical_form_takes_format_differences_away(halves: tuple[Strips, Strips]) -> None:
    """The same hearts, once recorded in microvolts, once drawn with an offset."""
    hearts = halves[0] * 0.005
    recorded = np.stack([canonical(strip, RATE, STORED) for strip in np.round(hearts, 3)])
    drawn = np.stack([canonical_from_stored(strip + 0.4) for strip in hearts])
    assert leak(recorded, drawn, seed=1).verdict == "open"


# ---- what must be refused ----


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
    assert (report.verdict, report.worst_feature) == ("refuse", feature)
    assert "canonical form" in report.remedy


def test_the_smallest_arms_are_refused_too_when_their_format_differs(halves: tuple[Strips, Strips]) -> None:
    real, synthetic = (arm[:5] for arm in halves)
    assert leak(real, synthetic, seed=1).verdict != "refuse"
    assert leak(real, synthetic + 1, seed=1).verdict == "refuse"
    assert leak(real, synthetic // 2 * 2, seed=1).verdict == "refuse"


def test_limb_leads_that_obey_einthoven_too_well_are_refused(halves: tuple[Strips, Strips]) -> None:
    real, synthetic = (millivolts(arm.astype(np.int16)) * 200 for arm in halves)
    rounded = np.rint(real + np.random.default_rng(0).uniform(-0.5, 0.5, real.shape))
    report = leak(rounded, synthetic, seed=1)
    assert report.verdict == "refuse"
    assert report.features["limb-lead residual"] == 1.0


def test_longer_strips_are_refused(halves: tuple[Strips, Strips]) -> None:
    real, synthetic = halves
    report = leak(real, np.concatenate([synthetic, synthetic[:, :, :1]], axis=2), seed=1)
    assert (report.verdict, report.features["sample count"]) == ("refuse", 1.0)


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        (lambda strips, rng: strips + np.rint(rng.normal(0, 3, strips.shape)), "noise floor"),
        (lambda strips, rng: strips + np.rint(30 * np.sin(2 * np.pi * 0.3 * np.arange(strips.shape[2]) / RATE)), "drift below 0.5 Hz"),
        (lambda strips, rng: _with_a_step(strips), "edges"),
    ],
)
def test_the_recording_chain_gives_arms_away(halves: tuple[Strips, Strips], change: Callable[..., Strips], feature: str) -> None:
    real, synthetic = halves
    report = leak(real, change(synthetic, np.random.default_rng(0)), seed=1)
    assert report.verdict == "refuse"
    assert report.features[feature] > 0.95


def _with_a_step(strips: Strips) -> Strips:
    """As a filter leaves it that was started from zero."""
    changed = strips.copy()
    changed[:, :, :2] -= 1000
    return changed


def test_noise_is_measured_between_beats(halves: tuple[Strips, Strips]) -> None:
    """QRS complexes of twice the size are no noise, noise of one count is."""
    features = list(FEATURES)
    strip = halves[0][:8]
    at = features.index("noise floor")
    plain, larger = measured(strip).features[:, at], measured(strip + np.where(np.abs(strip) > 60, strip, 0)).features[:, at]
    noisy = measured(strip + np.rint(np.random.default_rng(1).normal(0, 2, strip.shape))).features[:, at]
    assert np.abs(larger - plain).max() < np.abs(noisy - plain).min()


# ---- amplitude, apart ----


def test_amplitude_is_reported_apart_and_warns_at_most(halves: tuple[Strips, Strips]) -> None:
    of = measured(halves[0])
    report = gate(of, Measured(of.features, 1.5 * of.amplitude), seed=1)
    assert AMPLITUDE not in report.features
    assert report.verdict == "warn"
    assert report.worst_feature == AMPLITUDE
    assert "gains and units" in report.remedy
    assert report.amplitude["warning"]
    assert report.amplitude["microvolts"]["synthetic"] == pytest.approx(1.5 * report.amplitude["microvolts"]["real"], rel=0.02)


def test_arms_of_one_amplitude_are_not_warned_of(halves: tuple[Strips, Strips]) -> None:
    report = leak(halves[0], halves[0][:, ::-1], seed=1)
    assert report.amplitude["warning"] is None


# ---- the report ----


def test_the_report_is_the_same_for_the_same_seed_and_fits_json(halves: tuple[Strips, Strips]) -> None:
    first, second = leak(*halves, seed=4), leak(*halves, seed=4)
    assert first == second
    told = json.loads(json.dumps(first.as_dict(), allow_nan=False))
    assert set(told["features"]) == set(FEATURES)
    assert told["verdict"] in ("open", "warn", "refuse")
    assert told["auc_ci"][0] <= told["auc"] <= told["auc_ci"][1]
    assert told["distribution"]["feature"] == told["worst_feature"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=40), st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_whatever_is_measured_the_report_is_whole(values: list[float], seed: int) -> None:
    """A column of any values, constant ones included: no NaN, shares that add up, and no finer picture than its bins."""
    features = np.zeros((len(values), len(FEATURES)))
    features[:, seed % len(FEATURES)] = values
    both = Measured(features, np.abs(values) + 1)
    report = gate(both[: len(values) // 2], both[len(values) // 2 :], seed)
    json.dumps(report.as_dict(), allow_nan=False)
    assert all(0.5 <= auc <= 1 for auc in report.features.values())
    shown = report.distribution
    assert len(shown["edges"]) - 1 == len(shown["real"]) == len(shown["synthetic"]) <= BINS
    assert sum(shown["real"]) == pytest.approx(1, abs=0.01)
    assert sum(shown["synthetic"]) == pytest.approx(1, abs=0.01)


def test_the_worst_feature_has_a_remedy_of_its_own_kind(halves: tuple[Strips, Strips]) -> None:
    report = leak(halves[0], halves[1], seed=1)
    assert (report.worst_feature in FORMAT) == ("canonical form" in report.remedy)


# ---- bad input ----


def test_too_few_strips_are_an_error_that_says_so(halves: tuple[Strips, Strips]) -> None:
    with pytest.raises(LeakError, match="The synthetic arm has 3 strips"):
        leak(halves[0], halves[1][:3], seed=1)


@pytest.mark.parametrize("shape", [(6, 7, 1000), (6, 1000), (6, 8, 100)])
def test_what_is_no_strip_is_an_error_that_says_so(shape: tuple[int, ...]) -> None:
    with pytest.raises(LeakError, match=r"leak gate (takes|needs)"):
        leak(np.ones(shape), np.ones(shape), seed=1)
