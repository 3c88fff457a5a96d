"""What the answers show: after unblinding the figures with their intervals, before it only how far the readers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages import charts, progress, words
from pages.access import database, require
from pages.charts import Point
from study import jobs, studies
from study.errors import Problems, StudyError
from study.people import Person
from study.protocol import SCALE
from study.rejections import Rejected
from study.roles import Action, may
from study.studies import StudySummary

PUBLISHED = {"TSTR": 0.80, "TRTS": 0.91}  # F1 of Hegde et al. 2025, doi 10.3233/SHTI251414
CHANCE = (0.5, "chance")
SHARE = (-0.02, 1.02)  # a marker at 0 or 1 is seen whole
_ORDER = {"all": 0, "site": 1, "reader": 2}

_TABLES = {
    "realism": "Accuracy, sensitivity, specificity, d', criterion, AUC",
    "verdicts": "Equivalence to chance",
    "agreement": "Agreement between readers",
    "repeats": "Agreement of readers with their own repeats",
    "controls": "Controls",
    "rhythm": "Rhythm",
    "morphology": "Morphology",
    "times": "Reading times",
    "cues": "Cues",
    "marks": "Leads that were marked",
    "sites": "Differences between hospitals",
    "calibration": "The six-point scale against the truth",
    "learning": "Rounds",
    "utility": "Classifier utility",
    "rejected": "Samples that quality control rejected",
    "readers": "Readers",
}
_WORDS = (
    "Sensitivity is the share of synthetic strips called synthetic, specificity the share of real strips called real. Accuracy below chance is "
    "discrimination too, not realism; and an accuracy that is not significantly different from 50 % is not thereby equivalent to chance: that takes "
    "an interval within the margin."
)


def render() -> None:
    person = require(Action.SEE_RESULTS)
    words.heading("Results", demo=person.demo)
    words.outcome()
    try:
        found = studies.studies(database(), person)
        if not found:
            st.info("There is no study yet.")
            return
        found.sort(key=lambda study: study.state != "unblinded")
        at = st.selectbox("Study", range(len(found)), format_func=lambda i: found[i].title, key="results-study", width=520)
        _study(person, found[at])
    except Problems as error:
        words.problem(error)


def _study(person: Person, study: StudySummary) -> None:
    if study.state != "unblinded":
        st.info("This study is blind. Until two people have unblinded it, nobody sees more than how far the readers are.")
        share = study.done / study.total if study.total else 0.0
        st.progress(share, text=f"{study.done} of {study.total} cases read" if study.total else "No round is open yet.")
        return
    if study.demo and not person.demo:
        words.demo_notice()
    tables, notes, curves = _results(study.id, person.id)
    tables["utility"], utility_computed = _stored_utility(person, study.id)
    _headline(tables)
    _verdicts(tables)
    _realism(tables)
    _scale(tables, curves)
    _sites(tables["sites"])
    _learning(tables["learning"])
    left, right = st.columns(2, gap="large")
    with left:
        _agreement(tables)
    with right:
        _morphology(tables)
    _controls(tables["controls"])
    _utility(person, study, tables["utility"] if utility_computed else [])
    _rejected(tables["rejected"])
    for note in notes:
        st.caption(words.plain(note))
    st.subheader("All figures")
    st.caption("Intervals are 95 % unless the method says otherwise. Where a figure is undefined, its reason stands in the last column.")
    for name, title in _TABLES.items():
        with st.expander(title):
            st.dataframe(tables[name], hide_index=True, alt=title)
    if may(person, Action.EXPORT):
        _export(person, study)


@st.cache_data(max_entries=20, show_spinner="Computing intervals ...")
def _results(study_id: int, person_id: int) -> tuple[dict[str, list[dict[str, Any]]], list[str], dict[str, list[tuple[float, float]]]]:
    """The tables as rows of plain values, kept while nothing changes: an unblinded study takes no more answers."""
    from study import people
    from study import results as found

    person = people.person_by_id(database(), person_id)
    if person is None:
        raise StudyError("Sign in again.")
    result = found.results(database(), person, study_id)
    return {name: found.records(getattr(result, name)) for name in found.TABLES}, result.notes, result.curves


def _stored_utility(person: Person, study_id: int) -> tuple[list[dict[str, Any]], bool]:
    """Its table, and whether it has been computed: the one thing that is added after unblinding."""
    from study.results import records
    from study.utility import stored_utility, utility_table

    stored = stored_utility(database(), person, study_id)
    return records(utility_table(stored)), stored is not None


# ---- the page from above ----


def _headline(tables: dict[str, list[dict[str, Any]]]) -> None:
    """The figures a reader of the study asks for first."""
    realism = _rows(tables["realism"], group="all", rhythm="all")
    agreement = _rows(tables["agreement"], group="all", item="real or synthetic", arm="all", rhythm="all")
    with st.container(horizontal=True, gap="large"):
        for figure, label in (("accuracy", "Accuracy"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity")):
            _metric(label, _clustered(realism, figure), percent=True)
        _metric("d'", _rows(realism, figure="d'"))
        _metric("Fleiss' kappa", _rows(agreement, figure="Fleiss' kappa"))
        _metric("Krippendorff's alpha", _rows(agreement, figure="Krippendorff's alpha"))


def _metric(label: str, rows: Sequence[dict[str, Any]], *, percent: bool = False) -> None:
    [row] = rows
    if row["value"] is None:
        st.metric(label, "undefined", help=words.plain(row["reason"] or ""), border=True, width="content")
        return
    interval = "" if row["low"] is None else f"{_number(row['low'], percent)} to {_number(row['high'], percent)}"
    st.metric(label, _number(row["value"], percent, digits=3), delta=interval, delta_color="off", delta_arrow="off", border=True, width="content")


def _verdicts(tables: dict[str, list[dict[str, Any]]]) -> None:
    st.subheader("Can readers tell?")
    for row in tables["verdicts"]:
        if row["group"] == "all":
            st.text(row["sentence"])
    st.caption(_WORDS)


def _realism(tables: dict[str, list[dict[str, Any]]]) -> None:
    st.caption("Intervals of 95 %: Wilson's for a reader; for hospitals and all readers by bootstrap over readers and strips.")
    choice = st.segmented_control("Strips", ["all", "NSR", "AF"], default="all", required=True, key="results-rhythm")
    rows = _rows(tables["realism"], rhythm=choice)
    left, right = st.columns(2, gap="large")
    margin = next((row["margin"] for row in tables["verdicts"]), None)
    band = None if margin is None else (0.5 - margin, 0.5 + margin, f"50 % ± {margin * 100:.0f} %: the margin")
    with left:
        st.markdown("**Accuracy**")
        _chart(
            charts.intervals(
                _points(_clustered(rows, "accuracy"), _who), x_title="share right", x_range=SHARE, percent=True, reference=CHANCE, band=band
            ),
            "accuracy",
        )
    with right:
        st.markdown("**Sensitivity and specificity**")
        points = [
            point
            for figure, arm in (("specificity", "real"), ("sensitivity", "synthetic"))
            for point in _points(_clustered(rows, figure), _who, series=arm)
        ]
        _chart(charts.intervals(points, x_title="share of each arm called right", x_range=SHARE, percent=True, reference=CHANCE), "sensitivity")


def _scale(tables: dict[str, list[dict[str, Any]]], curves: dict[str, list[tuple[float, float]]]) -> None:
    st.subheader("How sure are they, and are they right to be?")
    left, right = st.columns(2, gap="large")
    with left:
        _chart(charts.roc(curves, "all readings"), "receiver operating characteristic")
        st.caption(
            "A line a reader, from the strictest use of the scale to the laxest; the bold one pools all readings. On the dotted line they guess."
        )
    with right:
        rows = _rows(tables["calibration"], group="all")
        points = [_point(row, SCALE[row["step"] - 1]) for row in rows]
        _chart(charts.intervals(points, x_title="share of these readings that was synthetic", x_range=SHARE, percent=True), "calibration")
        st.caption("Readers who know what they know have shares that rise with the step.")


def _sites(table: Sequence[dict[str, Any]]) -> None:
    """Where there are two hospitals: how far apart, not only that they were pooled."""
    rows = [row for row in table if row["figure"].startswith("difference of ")]
    if not rows:
        return
    st.subheader("Do the hospitals differ?")
    points = [_point(row, f"{row['name']}: {row['figure'].removeprefix('difference of ')}") for row in rows]
    _chart(charts.intervals(points, x_title="difference, readers nested in hospitals", x_range=(-1, 1), reference=(0, "alike")), "sites")


def _learning(table: Sequence[dict[str, Any]]) -> None:
    rows = [row for row in _rows(table, group="all") if " - " not in row["round"]]
    if len(rows) < 2:
        return
    st.subheader("Does it change from round to round?")
    points = [_point(row, f"round {row['round']}") for row in rows]
    _chart(charts.intervals(points, x_title="share right, all readings", x_range=SHARE, percent=True, reference=CHANCE), "rounds")
    st.caption("Each round has other strips: what changes may be the strips, not the readers.")


def _agreement(tables: dict[str, list[dict[str, Any]]]) -> None:
    st.subheader("Do readers agree?")
    rows = [
        row for row in tables["agreement"] if row["item"] == "real or synthetic" and row["rhythm"] == "all" and row["arm"] in ("real", "synthetic")
    ]
    rows = [row for row in rows if row["figure"] == "Gwet's AC1" and row["group"] in ("all", "site")]
    points = [_point(row, _who(row), series=row["arm"]) for row in rows]
    _chart(charts.intervals(points, x_title="Gwet's AC1 on real or synthetic, by arm", x_range=(-1, 1), reference=(0, "chance")), "agreement")
    [apart] = _rows(tables["agreement"], group="all", item="real or synthetic", arm="synthetic - real", rhythm="all", figure="Gwet's AC1")
    if apart["value"] is None:
        st.caption(words.plain(f"The arms' difference is undefined: {apart['reason']}."))
    else:
        interval = "" if apart["low"] is None else f" (95 % interval {apart['low']:.2f} to {apart['high']:.2f})"
        st.caption(words.plain(f"Synthetic less real: {apart['value']:.2f}{interval}. Strips that nobody can tell apart are agreed on alike."))
    own = _rows(tables["repeats"], item="real or synthetic", apart="all", rhythm="all", figure="raw agreement")
    st.caption("With their own repeats (raw agreement)")
    _chart(charts.intervals(_points(own, _who), x_title="share of repeats answered alike", x_range=SHARE, percent=True), "repeats")


def _morphology(tables: dict[str, list[dict[str, Any]]]) -> None:
    st.subheader("What looks plausible?")
    rows = [row for row in _rows(tables["morphology"], group="all", rhythm="all", figure="plausible") if row["arm"] in ("real", "synthetic")]
    points = [_point(row, row["item"], series=row["arm"]) for row in rows]
    _chart(charts.intervals(points, x_title="judged plausible, of those that could be judged", x_range=SHARE, percent=True), "morphology")


def _controls(table: Sequence[dict[str, Any]]) -> None:
    """Apart from all other figures. The notes say what a missed control means."""
    rows = [row for row in table if row["kind"] != "all"]
    if not any(row["n"] for row in rows):
        return
    st.subheader("Were the obvious strips seen?")
    st.caption("Controls: an obviously mechanical strip (synthetic) and an obviously recorded one (real). They are in no other figure.")
    points = [
        point for kind, arm in (("recorded", "real"), ("mechanical", "synthetic")) for point in _points(_rows(rows, kind=kind), _who, series=arm)
    ]
    _chart(charts.intervals(points, x_title="share of controls called right", x_range=SHARE, percent=True), "controls")


def _utility(person: Person, study: StudySummary, table: Sequence[dict[str, Any]]) -> None:
    st.subheader("What are the same strips worth to a classifier?")
    if table:
        rows = [row for row in table if row["figure"] == "macro F1" and row["experiment"] != "TSTS"]
        points = [_point(row, f"{row['experiment']}: {row['meaning']}, {row['classifier']}") for row in rows]
        _chart(charts.intervals(points, x_title="macro F1 of AF and NSR", x_range=SHARE), "utility")
        st.caption(
            "Features: RR and waveform intervals. The published study reports F1 "
            + " and ".join(f"{value:.2f} ({name})" for name, value in PUBLISHED.items())
            + " with other recordings, features and classifiers: a reference, not a comparison."
        )
        return
    progress.follow(person, Action.SEE_RESULTS, "utility")
    st.button("Compute classifier utility", on_click=words.act, args=("", jobs.ask, database(), person, "utility", {"study_id": study.id}))


def _rejected(table: Sequence[dict[str, Any]]) -> None:
    """Of all rounds: what was drawn and not shown belongs in the denominator. The notes say it round by round."""
    of_all = _rows(table, round="all", rhythm="all")
    [total] = _rows(of_all, figure="rejected")
    if total["value"] is None:
        return
    reasons = {row["figure"].removeprefix("rejected: "): round(row["value"] * row["n"]) for row in of_all if row is not total}
    unknown = round(total["value"] * total["n"]) - sum(reasons.values())  # of rounds that were opened before reasons were kept with them
    found = Rejected(total["n"], reasons | ({"reason not recorded": unknown} if unknown else {}))
    st.subheader("How many strips had to be rejected?")
    if found.warning:
        st.warning(words.plain(found.warning), icon=":material/warning:")
    st.caption(words.plain(f"{found.sentence} 95 % interval of the share: {_number(total['low'], True)} to {_number(total['high'], True)}."))


def _export(person: Person, study: StudySummary) -> None:
    st.subheader("Export")
    st.caption(
        "One zip: every judgement, cases, readers by code, orders, seeds, protocol, audit trail, the strips (WFDB), the report, ratings for iMRMC, "
        "data dictionary, checksums, scripts in R and Python."
    )
    if not st.session_state.get(f"bundle-{study.id}"):
        st.button("Prepare the export", key=f"prepare-{study.id}", on_click=_prepare, args=(person, study.id))
        return
    name, content = st.session_state[f"bundle-{study.id}"]
    st.download_button(f"Download {name}", content, name, "application/zip", type="primary", on_click="ignore")


def _prepare(person: Person, study_id: int) -> None:
    from study.bundle import bundle

    def make() -> None:
        st.session_state[f"bundle-{study_id}"] = bundle(database(), person, study_id)

    words.attempt("The export is ready.", make)


# ---- rows to points ----


def _rows(table: Sequence[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def _clustered(rows: Sequence[dict[str, Any]], figure: str) -> list[dict[str, Any]]:
    """A figure of every group: readers with Wilson intervals; sites and all with the interval that knows that readers saw the same strips."""
    return [row for row in rows if row["figure"] == (figure if row["group"] == "reader" else f"{figure} (clustered)")]


def _who(row: dict[str, Any]) -> str:
    return {"all": "all readers", "reader": f"{row['name']}, {row['site']}"}.get(row["group"], str(row["name"]))


def _points(rows: Sequence[dict[str, Any]], label: Any, series: str = "") -> list[Point]:
    ordered = sorted(rows, key=lambda row: (_ORDER.get(row["group"], 3), row["name"]))
    return [_point(row, label(row), series) for row in ordered]


def _point(row: dict[str, Any], label: str, series: str = "") -> Point:
    return Point(label, row["value"], row["low"], row["high"], row["n"], series, row["reason"] or "")


def _number(value: float, percent: bool, digits: int = 2) -> str:
    return f"{value:.1%}" if percent else f"{value:.{digits}f}"


def _chart(figure: dict[str, Any], key: str) -> None:
    st.plotly_chart(figure, theme=None, key=f"chart-{key}", config={"displayModeBar": False}, alt=f"Figure: {key}, by reader with intervals")
