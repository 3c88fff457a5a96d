"""What the answers show: after unblinding the figures with their intervals, before it only how far the readers are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from typing import Any

import streamlit as st

from pages import figure, progress, unblinded_strip, words
from pages.access import database, require
from study import jobs, notices, studies
from study.errors import Problems
from study.overview import StudySummary
from study.people import Person
from study.rejections import Rejected
from study.report.exhibit import Exhibit
from study.report.exhibits import CLASSIFIER, FOOLED
from study.results import Results
from study.roles import Action, may

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
    "machine": "Readers and machine: AUC on the same strips",
    "suspicion": "Readers' suspicion beside the machine's score and the distance from real strips",
    "rhythm_calls": "Rhythm named, by label and arm, of readers and classifiers",
    "fooled": "Strips that fooled everybody, and nobody",
    "strips": "Every strip that was read",
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
        asked = next((i for i, study in enumerate(found) if str(study.id) == st.query_params.get(unblinded_strip.STUDY)), 0)
        if (code := unblinded_strip.chosen()) is not None:
            unblinded_strip.page(person, found[asked], code)
            return
        at = st.selectbox("Study", range(len(found)), asked, format_func=lambda i: found[i].title, key="results-study", width=520)
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
        words.demo_notice(study.notice)
    from study.results import names

    shown = _shown(person, study.id, _stored_utility(person, study.id))
    known = names(database(), person, study.id)  # in each run: they change, and differ from person to person
    tables = shown.tables | {"readers": [{**row, "name": known.get(row["reader"])} for row in shown.tables["readers"]]}
    told = f"Unblinded {shown.unblinded:%Y-%m-%d}  ·  protocol {shown.protocol_hash}{f'  ·  snapshot {shown.snapshot}' if shown.snapshot else ''}"
    figure.page_style(notices.banner(study.notice), f"{study.title}  ·  protocol {shown.protocol_hash[:12]}")
    st.html(f"<div class=bs-paper-head><h1>{escape(study.title)}</h1><p>Results of a blind reader study by blindstrip. {escape(told)}</p></div>")
    first, more = shown.verdict
    st.html(f"<p class=bs-verdict>{escape(first)}</p>")
    numbers = itertools.count(1)
    figure.show(next(numbers) if shown.accuracy.picture else None, shown.accuracy)
    st.caption(words.plain(f"{more} {_WORDS}"), width=880)
    _headline(tables)
    figure.contents([heading for heading, _ in shown.sections])
    for part, (heading, exhibits) in enumerate(shown.sections, start=1):
        st.subheader(heading, anchor=f"part-{part}")
        for exhibit in exhibits:
            figure.show(next(numbers) if exhibit.picture else None, exhibit)
        if heading == CLASSIFIER:
            _utility(person, study, shown.missing)
        elif heading == FOOLED:
            unblinded_strip.of_everybody(person, study, tables["strips"])
    _rejected(tables["rejected"])
    st.subheader("What the figures rest on")
    st.markdown("\n".join(f"- {words.plain(note)}" for note in shown.notes), width=880)
    with st.container(key=f"{figure.OFF_PAPER}-all"):
        st.subheader("All tables")
        st.caption(f"{told}. Intervals are 95 % unless the method says otherwise. Where a figure is undefined, its reason stands in the last column.")
        for name, title in _TABLES.items():
            with st.expander(title):
                st.dataframe(tables[name], hide_index=True, placeholder="", alt=title)
        if may(person, Action.EXPORT):
            _export(person, study)


@dataclass(frozen=True)
class Shown:
    """All that the page says of an unblinded study; tables as rows of plain values."""

    unblinded: datetime
    protocol_hash: str
    snapshot: str | None
    verdict: tuple[str, str]
    accuracy: Exhibit
    sections: list[tuple[str, tuple[Exhibit, ...]]]
    tables: dict[str, list[dict[str, Any]]]
    notes: list[str]
    missing: str | None  # why what machines make of the strips is to be computed, or computed again


@st.cache_data(max_entries=20, show_spinner=False)
def _shown(_person: Person, study_id: int, utility: dict[str, Any] | None) -> Shown:
    """Kept while nothing changes, for everybody: it names nobody. utility: as it is stored, the one thing that is added after unblinding."""
    from study import results
    from study import utility as of_classifiers
    from study.report import exhibits
    from study.report.facts import Found
    from study.results import TABLES, records

    data = replace(results.unblinded(database(), _person, study_id), utility=utility)
    result = replace(_results(_person, study_id), **results.of_classifiers(data))
    found = Found(result)
    return Shown(
        result.unblinded_at,
        result.protocol_hash,
        result.snapshot,
        exhibits.verdict(found),
        exhibits.accuracy(found),
        exhibits.sections(found),
        {name: records(getattr(result, name)) for name in TABLES},
        result.notes,
        of_classifiers.NOT_COMPUTED if utility is None else of_classifiers.outdated(data),
    )


@st.cache_data(max_entries=20, show_spinner="Computing intervals ...")
def _results(_person: Person, study_id: int) -> Results:
    """Kept apart, because it takes long: an unblinded study takes no more answers."""
    from study import results as found

    return found.results_of(found.unblinded(database(), _person, study_id))


def _stored_utility(person: Person, study_id: int) -> dict[str, Any] | None:
    from study.utility import stored_utility

    return stored_utility(database(), person, study_id)


# ---- beside the figures ----


def _headline(tables: dict[str, list[dict[str, Any]]]) -> None:
    """The figures a reader of the study asks for first: of several readers their means, of one reader their own."""
    realism = _rows(tables["realism"], group="all", rhythm="all")
    agreement = _rows(tables["agreement"], group="all", item="real or synthetic", arm="all", rhythm="all")
    of_several = " (readers and cases)" if len(tables["readers"]) > 1 else ""
    with st.container(horizontal=True, gap="small"):
        for name in ("balanced accuracy", "sensitivity", "specificity"):
            _metric(name.capitalize(), _rows(realism, figure=name + of_several), percent=True)
        _metric("d'", _rows(realism, figure="d'"))
        _metric("Fleiss' kappa", _rows(agreement, figure="Fleiss' kappa"))
        _metric("Krippendorff's alpha", _rows(agreement, figure="Krippendorff's alpha"))
    st.caption("All readers, with 95 % intervals: for the three rates as for other readers and other strips, where there are several.")


def _metric(label: str, rows: Sequence[dict[str, Any]], *, percent: bool = False) -> None:
    [row] = rows
    if row["value"] is None:
        st.metric(label, "undefined", help=words.plain(row["reason"] or ""), border=True, width="content")
        return
    known = row["low"] is not None
    interval = f"{_number(row['low'], percent)} to {_number(row['high'], percent)}" if known else "no interval"
    why = None if known else words.plain(row["reason"] or "")
    st.metric(
        label, _number(row["value"], percent, digits=3), delta=interval, delta_color="off", delta_arrow="off", help=why, border=True, width="content"
    )


def _utility(person: Person, study: StudySummary, missing: str | None) -> None:
    """Where it has not been computed, or is not of these strips: why, and the way to it."""
    if missing is None:
        return
    with st.container(key=f"{figure.OFF_PAPER}-compute"):
        if missing.startswith("stale"):
            st.warning(words.plain(f"What machines make of the strips is {missing}."), icon=":material/warning:")
        else:
            st.caption(words.plain(f"What machines make of the strips: {missing}."))
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


# ---- rows ----


def _rows(table: Sequence[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def _number(value: float, percent: bool, digits: int = 2) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.{digits}f}".replace("-0.00", "0.00")
