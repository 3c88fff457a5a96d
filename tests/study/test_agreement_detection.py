"""One reader's signal detection: published values, intervals at the edges, and what may not matter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from study.agreement.delong import areas, placements
from study.agreement.detection import auc, criterion, d_prime, detection, newcombe_auc
from study.agreement.estimate import Estimate
from study.agreement.readers_and_cases import signal_of_readers


def numbers(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.value is not None, estimate.reason
    assert estimate.low is not None, estimate.reason
    assert estimate.high is not None, estimate.reason
    return estimate.value, estimate.low, estimate.high


def readings(hits: int, signal: int, alarms: int, noise: int) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([True, False], [signal, noise])
    return truth, np.concatenate([np.arange(signal) < hits, np.arange(noise) < alarms])


# ---- d' and criterion ----


def test_golden_d_primes_and_their_mean(shared: Path) -> None:
    golden = json.loads((shared / "golden" / "agreement.json").read_text())
    rows = golden["sdt_schneider"]["rows"]
    found = [d_prime(hit, alarm) for hit, alarm, _printed in rows]
    assert [round(one, 3) for one in found] == pytest.approx([1.806, 0.253, 2.681], abs=1e-3)
    assert round(float(np.mean(found)), 3) == pytest.approx(1.580, abs=1e-3)
    textbook = golden["dprime_textbook"]
    assert float(stats.norm.cdf(d_prime(textbook["H"], textbook["F"]) / np.sqrt(2))) == pytest.approx(textbook["auc_from_d"], abs=1e-6)


def test_the_log_linear_correction_by_hand() -> None:
    """Hautus 1995: (hits + 0.5) / (signals + 1), for every count and not at the edges alone."""
    found = detection(*readings(15, 20, 4, 30))
    hit, alarm = 15.5 / 21, 4.5 / 31
    assert found.d_prime.value == pytest.approx(stats.norm.ppf(hit) - stats.norm.ppf(alarm))
    assert found.criterion.value == pytest.approx(criterion(hit, alarm))
    variance = sum(p * (1 - p) / n / stats.norm.pdf(stats.norm.ppf(p)) ** 2 for p, n in ((hit, 20), (alarm, 30)))
    assert found.d_prime.se == pytest.approx(np.sqrt(variance))
    value, low, high = numbers(found.d_prime)
    assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), abs=1e-6)
    assert (low + high) / 2 == pytest.approx(value)


def test_averaging_is_not_pooling() -> None:
    """Two readers of equal d' and opposite criteria: their mean keeps the d', their pooled rates lose some."""
    truth = np.arange(200) % 2 == 0
    generator = np.random.default_rng(1)
    values = generator.normal(0, 1, (200, 2)) + 1.5 * truth[:, None] + np.array([1.2, -1.2])
    scores = np.where(values > 0.75, 5, 2)
    own = [detection(truth, scores[:, r] >= 4).d_prime.value or 0 for r in range(2)]
    pooled = detection(np.tile(truth, 2), scores.T.ravel() >= 4).d_prime.value or 0
    found = signal_of_readers(scores, truth, 4)
    assert found["d'"].value == pytest.approx(np.mean(own))
    assert (found["d'"].value or 0) > pooled + 0.2


def test_the_interval_of_the_mean_d_prime_covers() -> None:
    """For new readers and new cases alike; the planted value is the corrected d' of very many cases."""
    generator, covered = np.random.default_rng(2), 0
    truth = np.arange(80) % 2 == 0
    for _ in range(200):
        values = generator.normal(0, 1, (80, 5)) + truth[:, None] * generator.normal(1.0, 0.2, 5) + 0.3 * generator.normal(0, 1, (80, 1))
        scores = np.where(values > 0.5, 5, 2)
        _value, low, high = numbers(signal_of_readers(scores, truth, 4)["d'"])
        covered += low <= 1.0 / np.sqrt(1 + 0.09) <= high
    assert 0.90 <= covered / 200 <= 0.99


# ---- AUC ----


def test_delongs_interval_on_the_logit_scale_by_hand() -> None:
    """Hanley and Hajian-Tilaki's (1997) placement values written out for a table of 3 synthetic and 4 real strips."""
    truth, scores = np.array([1, 1, 1, 0, 0, 0, 0], dtype=bool), np.array([3, 2, 5, 1, 2, 4, 1])
    v10, v01 = [3 / 4, 2.5 / 4, 4 / 4], [1, 2.5 / 3, 1 / 3, 1]
    area = np.mean(v10)
    error = np.sqrt(np.var(v10, ddof=1) / 3 + np.var(v01, ddof=1) / 4)
    found = auc(truth, scores)
    assert (found.value, found.se) == pytest.approx((area, error))
    logit, half = np.log(area / (1 - area)), 1.959964 * error / (area * (1 - area))
    assert numbers(found)[1:] == pytest.approx([1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half)))], abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_scale_swap_and_edges_of_the_auc(pairs: list[tuple[bool, int]]) -> None:
    truth, scores = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    found = auc(truth, scores)
    if truth.all() or not truth.any():
        assert found.value is None
        assert found.reason in ("no synthetic strip was read", "no real strip was read")
        return
    value, low, high = numbers(found)  # always an interval
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0
    assert numbers(auc(truth, scores.astype(float) ** 3)) == pytest.approx((value, low, high))
    assert numbers(auc(~truth, scores)) == pytest.approx((1 - value, 1 - high, 1 - low), abs=1e-6)
    inner = numbers(auc(truth, scores, level=0.90))
    assert low <= inner[1] + 1e-9
    assert inner[2] <= high + 1e-9


def test_newcombes_interval_is_where_the_score_is_z() -> None:
    for area, m, n in ((1.0, 10, 12), (0.0, 5, 5), (0.5, 8, 20), (0.9, 3, 200)):
        value, low, high = numbers(newcombe_auc(area, m, n))
        assert value == area
        for edge in {low, high} - {0.0, 1.0}:
            between = (m + n) / 2 - 1
            variance = edge * (1 - edge) * (1 + between * (1 - edge) / (2 - edge) + between * edge / (1 + edge)) / (m * n)
            assert abs(area - edge) / np.sqrt(variance) == pytest.approx(1.959964, abs=1e-4)
    assert numbers(newcombe_auc(1.0, 10, 12))[1:] == pytest.approx([1 - numbers(newcombe_auc(0.0, 10, 12))[2], 1.0])
    assert "Newcombe" in auc(np.arange(8) < 4, -np.arange(8)).method


def test_the_interval_of_one_readers_auc_covers() -> None:
    generator, covered = np.random.default_rng(3), 0
    truth = np.arange(60) % 2 == 0
    for _ in range(300):
        _value, low, high = numbers(auc(truth, generator.normal(0, 1, 60) + 1.2 * truth))
        covered += low <= stats.norm.cdf(1.2 / np.sqrt(2)) <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_placements_of_unread_cases_are_nan_and_change_nothing() -> None:
    generator = np.random.default_rng(4)
    truth = np.arange(30) % 3 == 0
    scores = generator.integers(1, 7, (30, 3)).astype(float)
    scores[generator.random((30, 3)) < 0.3] = np.nan
    v10, v01 = placements(scores, truth)
    assert (np.isnan(v10) == np.isnan(scores[truth])).all()
    assert (np.isnan(v01) == np.isnan(scores[~truth])).all()
    alone = [auc(truth[read], column[read]).value for column, read in ((scores[:, r], np.isfinite(scores[:, r])) for r in range(3))]
    assert areas(v10) == pytest.approx(alone)
    assert np.nanmean(v01, axis=0) == pytest.approx(alone)
