"""The verdict: four outcomes, each where it belongs, and a size that holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from study.agreement.detection import detection
from study.agreement.equivalence import Outcome, of_group, of_one_reader, readings_for_equivalence
from study.agreement.readers_and_cases import clustered, mean_of_readers, signal_of_readers


def one_reader(right: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n readings, half of each arm, `right` of them right, spread over both arms."""
    truth = np.arange(n) % 2 == 0
    return truth, np.where(np.arange(n) < right, truth, ~truth)


def test_sizes_for_80_percent_power(shared: Path) -> None:
    published = json.loads((shared / "golden" / "agreement.json").read_text())["tost_n80"]
    assert {margin: readings_for_equivalence(float(margin)) for margin in published} == published


@pytest.mark.parametrize(
    ("right", "n", "outcome"),
    [(110, 220, Outcome.EQUIVALENT), (150, 220, Outcome.BETTER), (70, 220, Outcome.WORSE), (12, 24, Outcome.UNDECIDED), (130, 220, Outcome.BETTER)],
)
def test_four_outcomes_of_one_reader(right: int, n: int, outcome: Outcome) -> None:
    assert of_one_reader(*one_reader(right, n), margin=0.1).outcome is outcome


def test_the_words() -> None:
    worse = of_one_reader(*one_reader(70, 220), margin=0.1).sentence
    assert "below chance is discrimination" in worse
    undecided = of_one_reader(*one_reader(12, 24), margin=0.1).sentence
    assert "not being significantly different from 50 % is not equivalence" in undecided
    both = of_one_reader(*one_reader(5_200, 10_000), margin=0.1)
    assert both.outcome is Outcome.EQUIVALENT
    assert "reliably above 50 %" in both.sentence
    nothing = of_one_reader(np.ones(5, dtype=bool), np.ones(5, dtype=bool), margin=0.1)
    assert nothing.outcome is None
    assert nothing.sentence == "No verdict: no real strip was read."


def test_always_the_commoner_answer_is_not_better_than_chance() -> None:
    truth = np.arange(200) < 160
    assert of_one_reader(truth, np.ones(200, dtype=bool), margin=0.1).outcome is not Outcome.BETTER


@pytest.mark.parametrize("margin", [0, 0.5, -0.1, 1])
def test_a_margin_out_of_range_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        of_one_reader(*one_reader(5, 10), margin=margin)


def simulate(
    generator: np.random.Generator, *, readers: int, cases: int, accuracy: float, reader_sd: float, case_sd: float
) -> tuple[np.ndarray, np.ndarray]:
    """(cases, readers) right or wrong with reader and case effects on the probit scale, and the cases' arms; accuracy is the population's."""
    from scipy.stats import norm

    middle = norm.ppf(accuracy) * np.sqrt(1 + reader_sd**2 + case_sd**2)
    chance = middle + generator.normal(0, reader_sd, readers) + generator.normal(0, case_sd, (cases, 1))
    return (generator.normal(0, 1, (cases, readers)) < chance).astype(float), np.arange(cases) % 2 == 0


def test_the_group_interval_covers_the_planted_accuracy() -> None:
    """Readers and cases both vary: the interval for new readers and cases covers; pooled Wilson intervals would not."""
    generator, covered = np.random.default_rng(5), 0
    for _ in range(300):
        found = mean_of_readers(*simulate(generator, readers=5, cases=60, accuracy=0.6, reader_sd=0.3, case_sd=0.5))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.6 <= found.high
    assert 0.91 <= covered / 300 <= 0.99


def test_the_group_test_holds_its_size_at_the_margin() -> None:
    """Readers exactly at the edge of the margin are called equivalent in no more than about 5 % of studies."""
    generator = np.random.default_rng(6)
    studies = [simulate(generator, readers=6, cases=100, accuracy=0.6, reader_sd=0.1, case_sd=0.2) for _ in range(300)]
    called = sum(of_group(*study, margin=0.1).outcome is Outcome.EQUIVALENT for study in studies)
    assert called / 300 <= 0.08


def test_guessing_readers_are_found_equivalent_and_experts_better() -> None:
    generator = np.random.default_rng(7)
    guessing = of_group(*simulate(generator, readers=8, cases=120, accuracy=0.5, reader_sd=0, case_sd=0), margin=0.1)
    experts = of_group(*simulate(generator, readers=8, cases=120, accuracy=0.8, reader_sd=0.1, case_sd=0.2), margin=0.1)
    inverted = of_group(*simulate(generator, readers=8, cases=120, accuracy=0.2, reader_sd=0.1, case_sd=0.2), margin=0.1)
    assert [verdict.outcome for verdict in (guessing, experts, inverted)] == [Outcome.EQUIVALENT, Outcome.BETTER, Outcome.WORSE]


def test_readers_alike_by_chance_do_not_make_a_group_certain() -> None:
    """Two readers, each right in half of 8 cases: no spread between them, yet nothing is shown."""
    truth = np.arange(8) % 2 == 0
    right = np.column_stack([np.arange(8) < 4, np.arange(8) >= 4]).astype(float)
    verdict = of_group(right, truth, margin=0.1)
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.accuracy.low is not None


def test_readings_that_are_missing_are_left_out() -> None:
    generator = np.random.default_rng(8)
    right, truth = simulate(generator, readers=4, cases=40, accuracy=0.7, reader_sd=0.1, case_sd=0.1)
    right[generator.random(right.shape) < 0.2] = np.nan
    found = mean_of_readers(right, truth)
    assert found.n == np.isfinite(right).sum()
    assert found.low is not None
    assert clustered(right, seed=1).value == pytest.approx(np.nanmean(right))
    assert mean_of_readers(right[:, :1], truth).reason is not None


def test_group_d_prime_is_the_mean_of_the_readers_own() -> None:
    generator = np.random.default_rng(9)
    truth = np.arange(60) % 2 == 0
    scores = np.column_stack([np.where(truth, generator.integers(low, 7, 60), generator.integers(1, low + 3, 60)) for low in (1, 2, 3)])
    own = [detection(truth, scores[:, r] >= 4).d_prime.value or 0 for r in range(3)]
    found = signal_of_readers(scores, truth, 4, seed=1)
    assert found["d'"].value == pytest.approx(np.mean(own))
    assert found["d'"].n == 3
    assert found["d'"].value != pytest.approx(detection(np.tile(truth, 3), scores.T.ravel() >= 4).d_prime.value, abs=0.01)
    for estimate in found.values():
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.value is not None
        assert estimate.low <= estimate.value <= estimate.high
    alone = signal_of_readers(scores[:, :1], truth, 4, seed=1)
    assert alone["d'"].value == pytest.approx(own[0])
    assert alone["d'"].low is None
    assert signal_of_readers(scores[truth], truth[truth], 4, seed=1)["AUC"].value is None
