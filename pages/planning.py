"""Planning: readers, cases and margin in; power, widths of intervals and minutes out, by formula, and by simulation where asked for."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages import words
from pages.access import require
from pages.charts import COLORS, GRID, INK, QUIET
from study import planning
from study.errors import Problems
from study.planning import Plan
from study.protocol import Protocol
from study.roles import Action
from study.simulation.coverage import Rejections
from study.simulation.model import MOST_READERS, Planted

STUDIES = 300  # simulated for a check: a few seconds
_CHECKED = "planning-checked"  # the key of session state with the last check and what it was of
_MOST_SHOWN = 24  # readers in the chart, or twice as many as are planned
_HELP = {
    "auc": "Of the six-point scale, as you believe of your readers: 0.50 is guessing, where equivalence is easiest to find.",
    "repeats": "Shown to every reader a second time; they cost time and serve agreement with oneself alone.",
    "bias": "0.25 calls 60 % of the strips synthetic when guessing; below 0: leaning to real.",
    "skill": "Standard deviation of d' over readers. 0.2 spreads the accuracy of guessing readers by 4 percentage points.",
    "criterion": "Standard deviation of the criterion over readers: how differently ready they are to say synthetic.",
    "case": "Of what varies from strip to strip, the part that all readers feel alike: a strip that fools one fools the next.",
    "own": "The reader's own view of a strip, the same when they see it again. The rest is fresh each time.",
}


def render() -> None:
    person = require(Action.SEE_STUDIES)
    words.heading("Planning", demo=person.demo)
    st.caption("Readers who are numbers, not people: what a study like this would show if readers and strips vary as assumed below.")
    left, right = st.columns([2, 3], gap="large")
    try:
        with left:
            planted, margin, seconds = _asked()
        with right:
            _told(planted, margin, planning.plan(planted, margin, seconds=seconds))
            st.plotly_chart(_chart(planted, margin), theme=None, config={"displayModeBar": False}, alt="Power against the number of readers")
            _check(planted, margin)
    except Problems as error:
        words.problem(error)


def _asked() -> tuple[Planted, float, float]:
    standard = Planted()
    one, other = st.columns(2)
    sites = one.number_input("Hospitals", 1, 50, standard.sites, key="planning-sites")
    readers = other.number_input("Readers at each", 1, MOST_READERS, standard.readers, key="planning-readers")
    cases = one.number_input("Scored cases", 12, 1000, standard.cases, step=2, key="planning-cases", help="Half of them synthetic.")
    repeats = other.number_input("Of them repeated", 0, 1000, standard.repeats, key="planning-repeats", help=_HELP["repeats"])
    margin = one.number_input("Margin of equivalence", 0.01, planning.LARGEST_MARGIN, Protocol().margin, step=0.01, key="planning-margin")
    auc = other.number_input("True AUC", 0.05, 0.95, standard.auc, step=0.01, key="planning-auc", help=_HELP["auc"])
    seconds = one.number_input("Seconds a case", 1, 3600, round(planning.SECONDS), step=5, key="planning-seconds")
    with st.expander("What is assumed of readers and strips"):
        bias = st.number_input("Leaning to synthetic (z units)", -2.0, 2.0, standard.bias, step=0.05, key="planning-bias", help=_HELP["bias"])
        skill = st.number_input("Spread of skill", 0.0, 1.0, standard.skill_sd, step=0.05, key="planning-skill", help=_HELP["skill"])
        criterion = st.number_input(
            "Spread of criterion", 0.0, 1.0, standard.criterion_sd, step=0.05, key="planning-criterion", help=_HELP["criterion"]
        )
        case = st.slider(
            "What strips are to all readers (%)", 0, 90, round(100 * standard.case_share), step=5, key="planning-case", help=_HELP["case"]
        )
        own = st.slider("What they are to one reader (%)", 0, 90, round(100 * standard.own_share), step=5, key="planning-own", help=_HELP["own"])
    return Planted(sites, readers, cases, auc, bias, repeats, skill, criterion, case / 100, own / 100), margin, seconds


def _told(planted: Planted, margin: float, plan: Plan) -> None:
    low, high = (f"{100 * (0.5 + edge):g} %" for edge in (-margin, margin))
    share = f"{100 * plan.equivalent:.0f} %"
    st.metric("Power: found equivalent to chance", share, help="Share of such studies whose 90 % interval lies inside the margin.")
    equivalent, off = round(100 * plan.equivalent), round(100 * plan.off_chance)
    st.text(
        f"{planted.all_readers} readers, {planted.cases} cases, true accuracy {100 * plan.accuracy:.1f} %: of 100 such studies {equivalent} would "
        f"show equivalence (accuracy within {low} to {high}, tested at 5 %), {off} a difference from chance, {100 - equivalent - off} neither."
    )
    needed = planning.cases_needed(planted, margin)
    st.text(planning.no_cases(plan, margin) if needed is None else f"{needed} cases give these readers 80 % power.")
    site = "one reader each: see its own" if plan.site_half_width is None else f"±{100 * plan.site_half_width:.1f} points"
    rows = [
        {"95 % interval of": "accuracy, all readers", "expected": f"±{100 * plan.accuracy_half_width:.1f} points"},
        {"95 % interval of": "accuracy, readers of one hospital", "expected": site},
        {"95 % interval of": "AUC, all readers", "expected": f"±{plan.auc_half_width:.3f}"},
        {"95 % interval of": f"agreement (Gwet's AC1, true value {plan.ac1:.2f})", "expected": f"±{plan.ac1_half_width:.3f}"},
    ]
    st.dataframe(rows, hide_index=True, alt="Expected half-widths of intervals")
    st.text(f"Each reader reads {plan.readings} strips: about {plan.minutes:.0f} minutes.")


def _check(planted: Planted, margin: float) -> None:
    """The same by simulation, when asked for; kept while the design stays."""
    if st.button(f"Check with {STUDIES} simulated studies", icon=":material/casino:", key="planning-check"):
        from study.simulation.simulator import checked_power

        bar = st.progress(0.0, text="Simulating studies")  # each step lets Streamlit stop this run, when the person has gone on

        def report(done: int, total: int, _doing: str = "") -> None:
            bar.progress(done / total if total else 0.0, text="Simulating studies")

        st.session_state[_CHECKED] = planted, margin, checked_power(planted, margin, studies=STUDIES, report=report)
        bar.empty()
    of, within, found = st.session_state.get(_CHECKED, (None, None, []))
    if (of, within) == (planted, margin):
        st.dataframe([_row(one) for one in found], hide_index=True, alt="The equivalence test of simulated studies")
        st.caption("At the edge of the margin at most 5 % should be found equivalent. Behind a share stands its 95 % Monte Carlo interval.")


def _row(found: Rejections) -> dict[str, str]:
    return {
        "True accuracy": f"{100 * found.accuracy:.1f} % ({found.truth})",
        "Equivalent": f"{100 * found.equivalent:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})",
        "Better": f"{100 * found.better:.0f} %",
        "Worse": f"{100 * found.worse:.0f} %",
        "Undecided": f"{100 * found.undecided:.0f} %",
    }


def _chart(planted: Planted, margin: float) -> dict[str, Any]:
    """Power against the number of readers in all, for half, all and twice the cases."""
    readers = list(range(2, max(_MOST_SHOWN, min(2 * planted.all_readers, MOST_READERS)) + 1, 1 if planted.all_readers <= 24 else 4))
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{cases} cases",
            "x": readers,
            "y": planning.power(planted, margin, readers, cases),
            "line": {"color": COLORS[""] if cases == planted.cases else "#8a94a1", "width": 3 if cases == planted.cases else 1.6, "dash": dash},
            "hovertemplate": f"%{{x}} readers, {cases} cases: %{{y:.0%}}<extra></extra>",
        }
        for cases, dash in ((2 * planted.cases, "dash"), (planted.cases, "solid"), (planted.cases // 2, "dot"))
    ]
    here = {"x": [planted.all_readers], "y": planning.power(planted, margin, [planted.all_readers], planted.cases)}
    mark = {"type": "scatter", "mode": "markers", "name": "this plan", **here, "marker": {"color": COLORS[""], "size": 11}, "hoverinfo": "skip"}
    title = {"font": {"color": QUIET, "size": 12}}
    axis = {"gridcolor": GRID, "zeroline": False, "fixedrange": True}
    goal = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": planning.POWER, "y1": planning.POWER}
    return {
        "data": [*lines, mark],
        "layout": {
            "template": {"layout": {}},
            "height": 340,
            "margin": {"l": 60, "r": 20, "t": 40, "b": 50},
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "font": {"color": INK, "size": 13, "family": "Source Sans Pro, Source Sans, sans-serif"},
            "legend": {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
            "xaxis": {**axis, "title": {"text": "readers in all", **title}},
            "yaxis": {**axis, "title": {"text": "found equivalent to chance (power)", **title}, "range": [0, 1.02], "tickformat": ".0%"},
            "shapes": [{**goal, "line": {"color": QUIET, "width": 1, "dash": "dot"}}],
        },
    }
