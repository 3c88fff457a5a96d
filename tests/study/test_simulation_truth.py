"""What is planted in simulated readers: computed truths against other routes to them and against the readers' own answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from study.agreement.delong import areas, placements
from study.agreement.reader_figures import figures_of_calls, figures_of_scores
from study.errors import StudyError
from study.simulation.model import Planted, draw_answers, draw_readers, draw_steps, expected_auc, rng, shown
from study.simulation.normal import both_below, joint_steps
from study.simulation.truth import REAL, SYNTHETIC, Truth, accuracies, aucs, of_new_readers, of_these_readers
from study.simulation.variances import of_accuracy, of_auc

FAR = Planted(sites=2, readers=4, cases=40, auc=0.7, bias=0.3, repeats=20, skill_sd=0.5, criterion_sd=0.5, case_share=0.4, own_share=0.2)
planted = st.builds(
    Planted,
    auc=st.floats(0.05, 0.95),
    bias=st.floats(-1, 1),
    skill_sd=st.floats(0, 1),
    criterion_sd=st.floats(0, 1),
    case_share=st.floats(0, 0.45),
    own_share=st.floats(0, 0.45),
)


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(-0.95, 0.95))
def test_two_normals_below_limits_as_scipy_has_them(h: float, k: float, correlation: float) -> None:
    reference = multivariate_normal(cov=[[1, correlation], [correlation, 1]]).cdf([h, k])
    assert both_below(h, k, correlation) == pytest.approx(reference, abs=2e-5)  # scipy's own is that near


def test_two_normals_in_closed_form() -> None:
    for correlation in (-0.9, -0.3, 0.0, 0.5, 0.97):
        assert both_below(0, 0, correlation) == pytest.approx(0.25 + np.arcsin(correlation) / (2 * np.pi), abs=1e-10)  # Sheppard 1899
    assert both_below(np.inf, 1.0, 0.5) == pytest.approx(0.8413447460685429)
    assert both_below(-np.inf, 1.0, 0.5) == pytest.approx(0, abs=1e-15)
    limits = np.array([-np.inf, -1, 0.3, np.inf])
    assert joint_steps(limits, limits, 0.6).sum() == pytest.approx(1)


# ---- what must hold for every plan ----


@settings(max_examples=40, deadline=None)
@given(planted)
def test_the_auc_asked_for_is_the_auc_planted(one: Planted) -> None:
    assert expected_auc(one, one.separation) == pytest.approx(one.auc, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(planted)
def test_truths_are_what_truths_can_be(one: Planted) -> None:
    truth = of_new_readers(one)
    told = truth.as_dict()
    assert all(0 <= told[name] <= 1 for name in told if name.startswith(("accuracy", "sens", "spec", "auc", "raw")))
    assert all(told[name] <= 1 for name in told if name.startswith(("ac1", "kappa")))
    for arm in (REAL, SYNTHETIC):
        assert truth.within[arm].raw >= truth.between[arm].raw - 1e-9  # a reader is at least as near to themselves as to another
        assert truth.within_steps[arm] <= truth.within[arm].raw + 1e-9
    assert (truth.accuracy > 0.5) == (one.separation > 0) or abs(one.separation) < 1e-6


@settings(max_examples=40, deadline=None)
@given(planted)
def test_a_leaning_turned_round_turns_the_arms_round(one: Planted) -> None:
    truth, turned = of_new_readers(one), of_new_readers(replace(one, bias=-one.bias))
    assert truth.sensitivity == pytest.approx(turned.specificity, abs=1e-6)
    assert truth.between[SYNTHETIC].raw == pytest.approx(turned.between[REAL].raw, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(planted, st.floats(0.1, 0.9))
def test_the_accuracy_asked_for_is_the_accuracy_planted(one: Planted, accuracy: float) -> None:
    assert of_new_readers(one.with_accuracy(accuracy)).accuracy == pytest.approx(accuracy, abs=1e-6)


def test_guessing_without_a_leaning() -> None:
    truth = of_new_readers(Planted(auc=0.5, skill_sd=0, criterion_sd=0, case_share=0.3, own_share=0.3))
    assert truth.sensitivity == truth.specificity == pytest.approx(0.5)
    assert truth.between[REAL].raw == pytest.approx(0.5 + np.arcsin(0.3) / np.pi)
    assert truth.within[REAL].raw == pytest.approx(0.5 + np.arcsin(0.6) / np.pi)
    assert truth.between[REAL].ac1 == pytest.approx(truth.between[REAL].kappa) == pytest.approx(2 * truth.between[REAL].raw - 1)
    assert of_new_readers(Planted(bias=0.25, skill_sd=0, criterion_sd=0)).sensitivity == pytest.approx(0.5987, abs=1e-4)  # as --help says


# ---- against the readers' own answers ----


def agreeing(calls: np.ndarray) -> float:
    """Share of agreeing pairs of readers; calls (cases, readers)."""
    count, n = calls.sum(axis=1), calls.shape[1]
    return float(((count * (count - 1) + (n - count) * (n - count - 1)) / (n * (n - 1))).mean())


def test_answers_come_out_as_planted() -> None:
    """Means over 400 studies within four of their standard errors of every truth, for new readers and for each study's own."""
    cases, new = shown(FAR), of_new_readers(FAR)
    found, own = [], []
    for number in range(400):
        generator = rng(5, number)
        readers = draw_readers(FAR, generator)
        step = draw_steps(FAR, readers, cases, generator)
        called, again = step[: FAR.cases] >= 4, step[FAR.cases :]
        found.append(
            [
                called[cases.synthetic].mean(),
                1 - called[~cases.synthetic].mean(),
                areas(placements(step[: FAR.cases].astype(float), cases.synthetic)[0]).mean(),
                agreeing(called[~cases.synthetic]),
                agreeing(called[cases.synthetic]),
                ((again >= 4) == called[cases.repeated]).mean(),
                (again == step[cases.repeated]).mean(),
            ]
        )
        these = of_these_readers(FAR, readers)
        own.append(figures(these))
        assert accuracies(readers).mean() == pytest.approx(these.accuracy)
        assert aucs(readers).mean() == pytest.approx(these.auc)
    values, truths = np.array(found), np.array(own)
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - figures(new)) < 4 * error).all()
    off = values - truths
    assert (np.abs(off.mean(axis=0)) < 4 * off.std(axis=0) / np.sqrt(len(off))).all()


def figures(truth: Truth) -> list[float]:
    within = (truth.within[REAL].raw + truth.within[SYNTHETIC].raw) / 2
    between = [truth.between[REAL].raw, truth.between[SYNTHETIC].raw]
    return [truth.sensitivity, truth.specificity, truth.auc, *between, within, sum(truth.within_steps) / 2]


def test_rhythm_and_morphology_are_answered_as_planted() -> None:
    one = Planted(readers=20, cases=400, repeats=40)
    cases, generator = shown(one), rng(1, 0)
    answers = draw_answers(one, draw_readers(one, generator), cases, generator)
    label = np.concatenate([cases.rhythm, cases.rhythm[cases.repeated]])
    assert (answers.rhythm == label[:, None]).mean() == pytest.approx(0.93, abs=0.01)
    assert set(np.unique(answers.rhythm)) == {0, 1, 2, 3}
    assert [(answers.morphology == said).mean() for said in range(3)] == pytest.approx([0.85, 0.10, 0.05], abs=0.01)
    assert set(np.unique(answers.step)) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("figure", ["accuracy", "auc"])
def test_variance_components_are_those_that_studies_show(figure: str) -> None:
    """Mean square between readers, Var and Cov2 of 400 studies, whose estimates are unbiased (DeLong's nearly)."""
    cases, found = shown(FAR), []
    for number in range(400):
        generator = rng(6, number)
        step = draw_steps(FAR, draw_readers(FAR, generator), cases, generator)[: FAR.cases]
        right = ((step >= 4) == cases.synthetic[:, None]).astype(float)
        one = (
            figures_of_calls(right, cases.synthetic, "balanced accuracy")
            if figure == "accuracy"
            else figures_of_scores(step.astype(float), cases.synthetic)
        )
        assert one.covariance is not None
        error = np.trace(one.covariance) / 8
        found.append([one.value.mean(), one.value.var(ddof=1), error, (one.covariance.sum() - 8 * error) / 56])
    parts = of_accuracy(FAR) if figure == "accuracy" else of_auc(FAR)
    expected = [parts.expected, parts.between + parts.error - parts.shared, parts.error, parts.shared]
    allowed = 4 * np.std(found, axis=0) / np.sqrt(len(found)) + (0 if figure == "accuracy" else 0.06 * np.array(expected) * [0, 1, 1, 1])
    assert (np.abs(np.mean(found, axis=0) - expected) < allowed).all()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"sites": 0}, "sites"),
        ({"readers": 1.5}, "readers"),
        ({"sites": 1, "readers": 1}, "readers"),
        ({"cases": 61}, "cases"),
        ({"cases": 10}, "cases"),
        ({"auc": float("nan")}, "auc"),
        ({"auc": 1.0}, "auc"),
        ({"bias": 3}, "bias"),
        ({"repeats": 61}, "repeats"),
        ({"case_share": 0.6, "own_share": 0.4}, "case_share"),
        ({"skill_sd": -0.1}, "skill_sd"),
    ],
)
def test_what_makes_no_study_is_refused_by_name(values: dict[str, float], field: str) -> None:
    with pytest.raises(StudyError, match=field):
        Planted(**values)  # type: ignore[arg-type]
