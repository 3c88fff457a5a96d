"""Strips of an unblinded study on paper: those that fooled everybody or nobody, and the page of a single one, which results lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages import figure, paper, sheet, words
from pages.access import database
from study import notices, unblinded_strips
from study.overview import StudySummary
from study.people import Person
from study.report.page import table
from study.strips import ShownStrip

STRIP, STUDY = "strip", "study"  # of the address
_PER_PAGE = 2
_KINDS = {  # (arm, whether every reader was wrong or none)
    "Synthetic, taken for real by every reader": ("synthetic", True),
    "Real, taken for synthetic by every reader": ("real", True),
    "Synthetic, recognised by every reader": ("synthetic", False),
    "Real, recognised by every reader": ("real", False),
}


def chosen() -> str | None:
    """The case whose page the address asks for."""
    return st.query_params.get(STRIP)


def of_everybody(person: Person, study: StudySummary, rows: Sequence[dict[str, Any]]) -> None:
    """The strips that fooled every reader and no reader, on paper, and the way to the page of any. rows: of the table strips of results."""
    if not rows:
        return
    groups = {kind: _of_kind(rows, *which) for kind, which in _KINDS.items()}
    key = f"fooled-{study.id}"
    with st.container(key=f"{figure.OFF_PAPER}-strips"):
        kind = st.radio("Strips on paper", list(groups), format_func=lambda one: f"{one} ({len(groups[one])})", key=key, horizontal=True)
        found = groups[kind or next(iter(groups))]
        at = min(sheet.current(f"{key}-page"), max(len(found) - 1, 0) // _PER_PAGE)  # another kind may have fewer pages
        for row, strip in _drawn(person, study, found[at * _PER_PAGE : (at + 1) * _PER_PAGE]):
            sheet.page_of([strip])
            st.button("This strip's page", key=f"open-{row['case']}", icon=":material/open_in_full:", on_click=_open, args=(study.id, row["case"]))
        if not found:
            st.caption("There is no such strip.")
        if len(found) > _PER_PAGE:
            sheet.pages(len(found), _PER_PAGE, f"{key}-page")
        codes = {row["case"]: f"{row['case']}   {row['arm']}, {row['label']}, {row['wrong']} of {row['readers']} readers wrong" for row in rows}
        with st.container(horizontal=True, vertical_alignment="bottom"):
            code = st.selectbox("Any strip of the study", list(codes), format_func=codes.__getitem__, key=f"any-{study.id}", width=520)
            st.button("Open its page", key=f"open-any-{study.id}", on_click=_open, args=(study.id, code))


def page(person: Person, study: StudySummary, code: str) -> None:
    """One strip: on paper, where it came from, what lies nearest, its features, every judgement."""
    found = unblinded_strips.strip_page(database(), person, study.id, code)
    figure.page_style(notices.banner(study.notice), f"{study.title}  ·  case {code}")
    if study.demo and not person.demo:
        words.demo_notice(study.notice)
    st.button("Back to the results", icon=":material/arrow_back:", on_click=_close)
    words.title(f"{study.title}, case {code}")
    st.text(f"{found.arm.capitalize()}, {found.label}")
    _on_paper(found.counts, f"12-lead ECG, {found.label}, {found.arm}", "own")
    left, right = st.columns(2)
    with left:
        st.subheader("Where it came from")
        st.html(f"<div class=bs-table>{table(found.provenance)}</div>")
    with right:
        st.subheader("What machines say")
        st.markdown("\n".join(f"- {words.plain(one)}" for one in found.machine))
    st.subheader("What everybody said")
    st.dataframe(found.judgements, hide_index=True, alt="Judgements")
    st.caption("Every showing and every revision; the ones that count are marked. Readers by code, as in the results.")
    st.subheader("What lies nearest")
    for number, one in enumerate(found.beside):
        st.markdown(f"**{words.plain(one.title)}**")
        st.caption(words.plain(one.told), width=880)
        if one.counts is not None:
            _on_paper(one.counts, f"12-lead ECG, {one.title}", f"beside-{number}")
    st.subheader("Its features")
    figure.show(1, found.features)


def _of_kind(rows: Sequence[dict[str, Any]], arm: str, everybody: bool) -> list[dict[str, Any]]:
    """The most telling first: those that readers were surest of."""
    found = [row for row in rows if row["arm"] == arm and row["readers"] > 1 and row["wrong"] == (row["readers"] if everybody else 0)]
    called_synthetic = (arm == "synthetic") != everybody
    return sorted(found, key=lambda row: ((-1 if called_synthetic else 1) * row["suspicion"], row["case"]))


def _drawn(person: Person, study: StudySummary, rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], ShownStrip]]:
    strips = unblinded_strips.on_paper(database(), person, study.id, [row["case"] for row in rows])
    told = []
    for row, strip in zip(rows, strips, strict=True):
        origin = {
            "case": row["case"],
            "": f"{row['arm']}, {row['wrong']} of {row['readers']} readers wrong",
            "mean answer": round(row["suspicion"], 2),
        }
        score = None if row["machine"] is None else round(row["machine"], 2)
        told.append((row, ShownStrip(strip.strip_id, strip.counts, strip.rhythm, origin | {"machine's score": score})))
    return told


def _on_paper(counts: Any, alt: str, key: str) -> None:
    st.plotly_chart(paper.figure(counts), width="content", theme=None, key=f"sheet-{key}", config=paper.CONFIG, alt=alt)


def _open(study_id: int, code: str) -> None:
    st.query_params.update({STUDY: str(study_id), STRIP: code})


def _close() -> None:
    st.query_params.pop(STRIP, None)
