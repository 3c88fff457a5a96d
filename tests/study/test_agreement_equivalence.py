"""The verdict: four outcomes, each where it belongs, and a size that holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import power_binom_tost

from study.agreement.detection import detection
from study.agreement.equivalence import (
    Outcome,
    auc_of_group,
    auc_of_one_reader,
    of_group,
    of_one_reader,
    readings_for_equivalence,
)
from study.agreement.further_readings import further_of_group, readings_needed
from study.agreement.obuchowski_rockette import average
from study.agreement.readers_and_cases import calls_of_group, clustered, group_average, mean_of_readers, scores_of_group, signal_of_readers
from tests.study.roe_metz import ratings


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
    found = signal_of_readers(scores, truth, 4)
    assert found["d'"].value == pytest.approx(np.mean(own))
    assert found["d'"].n == 3
    assert found["d'"].value != pytest.approx(detection(np.tile(truth, 3), scores.T.ravel() >= 4).d_prime.value, abs=0.01)
    for estimate in found.values():
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.value is not None
        assert estimate.low <= estimate.value <= estimate.high
    alone = signal_of_readers(scores[:, :1], truth, 4)
    assert alone["d'"].value == pytest.approx(own[0])
    assert alone["d'"].low is None
    assert signal_of_readers(scores[truth], truth[truth], 4)["AUC"].value is None


# ---- the AUC, p values, and what would decide ----


def test_p_values_of_one_reader_are_those_of_the_exact_tests() -> None:
    """Two one-sided and one two-sided binomial test, by scipy."""
    verdict = of_one_reader(*one_reader(112, 220), margin=0.1)
    lower = binomtest(112, 220, 0.4, alternative="greater").pvalue
    upper = binomtest(112, 220, 0.6, alternative="less").pvalue
    assert verdict.p_equivalence == pytest.approx(max(lower, upper))
    assert verdict.p_chance == pytest.approx(binomtest(112, 220, 0.5).pvalue)


def test_p_values_of_a_group_agree_with_its_intervals() -> None:
    """The larger one-sided p is 5 % exactly where the 90 % interval touches the margin."""
    scores, truth = ratings(np.random.default_rng(41), auc=0.6, readers=6, cases=80)
    found = group_average(scores_of_group(scores[0], truth), level=0.90).estimate
    assert found.low is not None
    assert found.high is not None
    verdict = auc_of_group(scores[0], truth, margin=max(0.5 - found.low, found.high - 0.5))
    assert verdict.p_equivalence == pytest.approx(0.05)
    assert verdict.p_chance == pytest.approx(average(scores_of_group(scores[0], truth), constrained=True).p_value(0.5))


@pytest.mark.parametrize(
    ("shift", "outcome"), [(0.0, Outcome.EQUIVALENT), (1.5, Outcome.BETTER), (-1.5, Outcome.WORSE)], ids=["guessing", "able", "inverted"]
)
def test_outcomes_of_the_auc(shift: float, outcome: Outcome) -> None:
    generator = np.random.default_rng(42)
    truth = np.arange(400) % 2 == 0
    scores = np.clip(np.rint(3.5 + generator.normal(0, 1.5, (400, 6)) + shift * (truth[:, None] - 0.5)), 1, 6)
    one, group = auc_of_one_reader(truth, scores[:, 0], margin=0.1), auc_of_group(scores, truth, margin=0.1)
    assert (one.outcome, group.outcome) == (outcome, outcome)
    assert "AUC 0." in group.sentence
    assert "%" not in group.sentence.replace("90 % interval", "")
    assert group.further == ()


def test_an_auc_that_cannot_be_judged() -> None:
    truth = np.ones(5, dtype=bool)
    assert auc_of_one_reader(truth, np.arange(5), margin=0.1).sentence == "No verdict: no real strip was read."
    assert auc_of_group(np.ones((5, 2)), truth, margin=0.1).sentence == "No verdict: a reader read no real strip."
    perfect = auc_of_group(np.repeat(np.arange(40.0)[:, None], 3, axis=1), np.arange(40) >= 20, margin=0.1)
    assert perfect.outcome is Outcome.BETTER
    always = auc_of_one_reader(np.arange(10) % 2 == 0, np.ones(10), margin=0.1)
    assert always.outcome is Outcome.UNDECIDED  # Newcombe's interval: ten answers alike show nothing
    alone = of_group(np.ones((6, 1)), np.arange(6) % 2 == 0, margin=0.1)
    assert alone.outcome is None
    assert "fewer than two readers" in alone.sentence


def test_sizes_as_statsmodels_has_them() -> None:
    for margin in (0.08, 0.12, 0.2):
        n = readings_for_equivalence(margin)
        assert power_binom_tost(0.5 - margin, 0.5 + margin, n, p_alt=0.5, alpha=0.05) >= 0.8
        assert power_binom_tost(0.5 - margin, 0.5 + margin, n - 2, p_alt=0.5, alpha=0.05) < 0.8


@pytest.mark.parametrize("true", [0.5, 0.45, 0.55, 0.6, 0.7])
def test_that_many_readings_decide_in_four_of_five_studies(true: float) -> None:
    """By going through every possible number of right readings; wrong decisions do not count."""
    needed = readings_needed(true, 0.1)
    assert needed is not None

    def decided(n: int) -> float:
        total = 0.0
        for right in range(n + 1):
            outcome = of_one_reader_quickly(right, n)
            good = (Outcome.EQUIVALENT, abs(true - 0.5) < 0.1), (Outcome.BETTER, true > 0.5), (Outcome.WORSE, true < 0.5)
            total += binom.pmf(right, n, true) * any(outcome is name and counts for name, counts in good)
        return total

    assert decided(needed) >= 0.8
    assert decided(needed - 2) < 0.8


def of_one_reader_quickly(right: int, n: int) -> Outcome:
    tails = binom.sf(right - 1, n, 0.4), binom.cdf(right, n, 0.6)
    if max(tails) <= 0.05:
        return Outcome.EQUIVALENT
    two_sided = 2 * min(binom.sf(right - 1, n, 0.5), binom.cdf(right, n, 0.5))
    return Outcome.UNDECIDED if two_sided >= 0.05 else Outcome.BETTER if right * 2 > n else Outcome.WORSE


def test_undecided_says_how_many_readings_would_decide() -> None:
    verdict = of_one_reader(*one_reader(14, 24), margin=0.1)
    assert verdict.outcome is Outcome.UNDECIDED
    assert [one.assumed for one in verdict.further] == [0.5, pytest.approx(14 / 24)]
    assert verdict.further[0].readings == 214 - 24
    assert "If the true accuracy is 50 %, 190 further readings would decide it with 80 % power (214 in all)." in verdict.sentence
    assert "If the true accuracy is 58.3 %" in verdict.sentence
    assert [one.assumed for one in of_one_reader(*one_reader(12, 24), margin=0.1).further] == [0.5]


def test_a_group_is_told_how_many_cases_or_readers_it_needs() -> None:
    generator = np.random.default_rng(43)
    alike = of_group(*simulate(generator, readers=4, cases=24, accuracy=0.5, reader_sd=0.0, case_sd=0.0), margin=0.1)
    assert alike.outcome is Outcome.UNDECIDED
    assert (alike.further[0].readings or 0) > 0
    assert "readers and cases vary as found" in alike.sentence
    right = np.column_stack([generator.random(60) < chance for chance in (0.2, 0.4, 0.6, 0.8)]).astype(float)
    apart = of_group(right, np.arange(60) % 2 == 0, margin=0.1)
    assert "too few for how much they differ" in apart.further[0].sentence
    nothing = further_of_group(calls_of_group(right[:, :1], np.arange(60) % 2 == 0), 0.5, 0.1)
    assert nothing.readings is None
    hopeless = further_of_group(scores_of_group(np.column_stack([np.arange(60.0), -np.arange(60.0)]), np.arange(60) < 30), 0.5, 0.01)
    assert hopeless.readings is None
    assert "would decide it" in hopeless.sentence


def test_the_group_size_given_decides_in_about_four_of_five_studies() -> None:
    """Guessing readers alike: the number of cases that a first study of them names is tried out."""
    generator = np.random.default_rng(44)
    first = simulate(generator, readers=8, cases=40, accuracy=0.5, reader_sd=0.0, case_sd=0.0)
    figures = calls_of_group(*first)
    named = further_of_group(figures, 0.5, 0.1)
    assert named.readings is not None
    wanted = 40 + named.readings // 8
    assert 40 <= wanted <= 120
    decided = 0
    for _ in range(100):
        study = simulate(generator, readers=8, cases=wanted, accuracy=0.5, reader_sd=0.0, case_sd=0.0)
        decided += of_group(*study, margin=0.1).outcome is Outcome.EQUIVALENT
    assert 0.6 <= decided / 100 <= 1.0
