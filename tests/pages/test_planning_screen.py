"""The Planning screen: who may enter, what it says of a plan, and the check by simulation."""

from __future__ import annotations

import pytest

from pages import planning as screen
from study import planning
from study.simulation.model import Planted
from tests.pages.visiting import Visit, by_label, shown


@pytest.mark.parametrize("who", ["coordinator", "researcher"])
def test_those_who_run_studies_see_what_the_planner_says(visit: Visit, who: str) -> None:
    test = visit.as_(who, "planning")
    assert not test.exception
    plan = planning.plan(Planted(), 0.1)
    assert test.metric[0].value == f"{100 * plan.equivalent:.0f} %"
    assert f"{planning.cases_needed(Planted(), 0.1)} cases give these readers 80 % power." in shown(test)
    assert "Each reader reads 60 strips: about 30 minutes." in shown(test)
    assert f"±{plan.auc_half_width:.3f}" in test.dataframe[0].value.to_string()


def test_readers_have_no_business_here(visit: Visit) -> None:
    test = visit.as_("reader", "planning")
    assert not test.metric
    assert "may not see how studies progress" in test.error[0].value


def test_what_is_chosen_is_what_is_planned(visit: Visit) -> None:
    test = visit.as_("coordinator", "planning")
    test.number_input(key="planning-sites").set_value(3)
    test.number_input(key="planning-cases").set_value(100)
    test.number_input(key="planning-auc").set_value(0.6)
    test.number_input(key="planning-repeats").set_value(20).run()
    plan = planning.plan(Planted(sites=3, cases=100, auc=0.6, repeats=20), 0.1)
    assert test.metric[0].value == f"{100 * plan.equivalent:.0f} %"
    assert f"12 readers, 100 cases, true accuracy {100 * plan.accuracy:.1f} %" in shown(test)
    assert "Each reader reads 120 strips: about 60 minutes." in shown(test)


def test_a_plan_that_makes_no_study_says_why(visit: Visit) -> None:
    test = visit.as_("coordinator", "planning")
    test.number_input(key="planning-cases").set_value(61).run()
    assert not test.exception
    assert "Choose an even number" in test.error[0].value.replace("\\", "")


def test_the_check_is_shown_until_the_plan_changes(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "STUDIES", 20)
    test = visit.as_("coordinator", "planning")
    by_label(test, "Check with 20 simulated studies").click().run()
    assert not test.exception
    table = test.dataframe[1].value.to_string()
    assert "60.0 % (edge of the margin)" in table
    assert "50.0 % (as planned)" in table
    test.number_input(key="planning-cases").set_value(80).run()
    assert len(test.dataframe) == 1


def test_the_chart_marks_this_plan() -> None:
    figure = screen._chart(Planted(sites=2, readers=3, cases=40), 0.1)
    *lines, here = figure["data"]
    assert [line["name"] for line in lines] == ["80 cases", "40 cases", "20 cases"]
    assert here["x"] == [6]
    of_plan = lines[1]
    assert here["y"][0] == pytest.approx(of_plan["y"][of_plan["x"].index(6)])
    assert all(of_more > of_fewer for of_more, of_fewer in zip(lines[0]["y"][2:], lines[2]["y"][2:], strict=True))
