"""The planner: agrees with simulated studies, moves the right way, and refuses what makes no plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from study import planning
from study.agreement.equivalence import Outcome
from study.agreement.raters import all_coefficients
from study.agreement.readers_and_cases import group_average, mean_of_readers, scores_of_group
from study.errors import StudyError
from study.simulation.coverage import outcome
from study.simulation.model import Planted, draw_readers, draw_steps, rng, shown

MARGIN = 0.1
STUDIES, OF_WIDTHS = 600, 100
APPROXIMATION = 0.05  # of a probability, beside three standard errors of the simulation; of widths a tenth: docs/planning.md

DESIGNS = (
    Planted(sites=1, readers=3, cases=60),
    Planted(sites=2, readers=2, cases=100),
    Planted(sites=2, readers=4, cases=60),
    Planted(sites=2, readers=5, cases=120, auc=0.56),
    Planted(sites=3, readers=4, cases=80, auc=0.65, bias=0.3),
    Planted(sites=2, readers=6, cases=80, skill_sd=0.0, criterion_sd=0.0, case_share=0.5, own_share=0.2),
    Planted(sites=4, readers=4, cases=48, skill_sd=0.4, criterion_sd=0.5, case_share=0.1),
)


def half(estimate: object) -> float:
    low, high = getattr(estimate, "low", None), getattr(estimate, "high", None)
    assert low is not None
    assert high is not None
    return float(high - low) / 2


@pytest.mark.parametrize("planted", DESIGNS, ids=lambda one: f"{one.all_readers}x{one.cases}, AUC {one.auc}")
def test_the_planner_agrees_with_simulated_studies(planted: Planted) -> None:
    cases, said = shown(planted), []
    widths: dict[str, list[float]] = {"accuracy": [], "auc": [], "ac1": []}
    for number in range(STUDIES):
        generator = rng(11, number)
        step = draw_steps(planted, draw_readers(planted, generator), cases, generator)
        right = (step >= 4) == cases.synthetic[:, None]
        said.append(outcome(right, cases.synthetic, MARGIN))
        if number < OF_WIDTHS:
            widths["accuracy"].append(half(mean_of_readers(right.astype(float), cases.synthetic)))
            widths["auc"].append(half(group_average(scores_of_group(step.astype(float), cases.synthetic)).estimate))
            widths["ac1"].append(half(all_coefficients((step >= 4).astype(int), 2, seed=1, draws=500).estimates["Gwet's AC1"]))
    plan = planning.plan(planted, MARGIN)
    equivalent = said.count(Outcome.EQUIVALENT) / STUDIES
    off_chance = (said.count(Outcome.BETTER) + said.count(Outcome.WORSE)) / STUDIES
    for formula, found in ((plan.equivalent, equivalent), (plan.off_chance, off_chance)):
        assert abs(formula - found) < APPROXIMATION + 3 * np.sqrt(formula * (1 - formula) / STUDIES)
    expected = {"accuracy": plan.accuracy_half_width, "auc": plan.auc_half_width, "ac1": plan.ac1_half_width}
    for name, found_widths in widths.items():
        error = 3 * np.std(found_widths) / np.sqrt(len(found_widths))
        assert abs(expected[name] / np.mean(found_widths) - 1) < 0.10 + error / np.mean(found_widths), name


def test_more_cases_and_more_readers_give_more_power_and_narrower_intervals() -> None:
    plans = [planning.plan(Planted(cases=cases), MARGIN) for cases in (40, 80, 160)]
    assert [one.equivalent for one in plans] == sorted(one.equivalent for one in plans)
    for name in ("accuracy_half_width", "auc_half_width", "ac1_half_width"):
        assert [getattr(one, name) for one in plans] == sorted((getattr(one, name) for one in plans), reverse=True)
    curve = planning.power(Planted(), MARGIN, range(2, 21), 60)
    assert curve == sorted(curve)
    assert curve[6] == pytest.approx(planning.plan(Planted(), MARGIN).equivalent)  # 8 readers


def test_the_margin_and_the_truth_move_the_power() -> None:
    at_chance, within, edge = (planning.plan(Planted().with_accuracy(accuracy), MARGIN) for accuracy in (0.5, 0.55, 0.6))
    assert at_chance.equivalent > within.equivalent > edge.equivalent
    assert edge.equivalent <= 0.05  # the size
    assert edge.off_chance > 0.5
    assert planning.plan(Planted(), 0.2).equivalent > at_chance.equivalent


def test_the_cases_needed_are_the_fewest_that_do() -> None:
    needed = planning.cases_needed(Planted(), MARGIN)
    assert needed is not None
    assert needed % 2 == 0
    assert planning.power(Planted(), MARGIN, [8], needed)[0] >= planning.POWER > planning.power(Planted(), MARGIN, [8], needed - 2)[0]
    assert planning.plan(Planted(cases=needed), MARGIN).equivalent == pytest.approx(planning.power(Planted(), MARGIN, [8], needed)[0], abs=1e-9)
    assert planning.cases_needed(Planted(sites=1, readers=3, skill_sd=0.5), 0.05) is None


def test_a_reader_reads_the_repeats_too() -> None:
    plan = planning.plan(Planted(cases=60, repeats=12), MARGIN, seconds=20)
    assert (plan.readings, plan.minutes) == (72, pytest.approx(24))
    assert plan.equivalent == planning.plan(Planted(cases=60), MARGIN).equivalent


def test_two_readers_have_an_interval_that_ends_at_0_and_1() -> None:
    assert planning.plan(Planted(sites=1, readers=2, cases=24), MARGIN).accuracy_half_width < 0.5
    assert planning.plan(Planted(sites=2, readers=1), MARGIN).site_half_width is None


def test_shares_do_not_change_what_one_reader_would_find() -> None:
    """What is alike for all readers and what is the reader's own tell apart two readers, not two cases."""
    one, other = (planning.of_accuracy(replace(Planted(), case_share=share, own_share=0.6 - share)) for share in (0.0, 0.6))
    assert (one.expected, one.between, one.error) == (other.expected, other.between, other.error)
    assert one.shared == pytest.approx(0, abs=1e-12)
    assert other.shared > 0


@pytest.mark.parametrize("margin", [0, -0.1, 0.46, float("nan")])
def test_a_margin_that_makes_no_plan_is_refused(margin: float) -> None:
    for ask in (lambda: planning.plan(Planted(), margin), lambda: planning.cases_needed(Planted(), margin)):
        with pytest.raises(StudyError, match="margin"):
            ask()


def test_seconds_out_of_range_are_refused() -> None:
    with pytest.raises(StudyError, match="seconds"):
        planning.plan(Planted(), MARGIN, seconds=0)


@pytest.mark.parametrize(("auc", "words"), [(0.5, "more readers might"), (0.65, "no number of readers or cases")])
def test_why_no_number_of_cases_will_do(auc: float, words: str) -> None:
    """Readers whose true accuracy lies beyond the margin are not equivalent, however many they are."""
    planted = Planted(sites=1, readers=3, auc=auc, skill_sd=0.5)
    assert words in planning.no_cases(planning.plan(planted, MARGIN), MARGIN)
