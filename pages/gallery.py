"""Drawing synthetic strips: asked for in the sidebar, drawn by the runner, shown on ECG paper with what it takes to draw them again."""

from __future__ import annotations

import streamlit as st

from generator.request import HEART_RATE_LIMITS, MOST_STRIPS, SAMPLERS, STEP_LIMITS, DrawRequest
from pages import progress, sheet, words
from pages.access import database, require
from study import jobs, strips
from study.errors import Problems
from study.people import Person
from study.roles import Action

PER_PAGE = 4
_RHYTHM_WORDS = {"NSR": "sinus rhythm (NSR)", "AF": "atrial fibrillation (AF)"}


def render() -> None:
    person = require(Action.DRAW_STRIPS)
    with st.sidebar:
        _ask(person)
    words.heading("Drawn strips", demo=person.demo)
    words.outcome()
    try:
        latest = progress.follow(person, Action.DRAW_STRIPS, "draw")
        if latest is not None and latest.result:
            _summary(latest.result)
        _gallery(person, drawing=latest is not None and latest.active)
    except Problems as error:
        words.problem(error)


def _ask(person: Person) -> None:
    standard = DrawRequest(rhythm="NSR", n=8, seed=1)
    st.subheader("Draw strips")
    with st.form("draw", border=False):
        st.radio("Rhythm", list(_RHYTHM_WORDS), format_func=_RHYTHM_WORDS.__getitem__, key="draw-rhythm")
        st.number_input("Number", min_value=1, max_value=MOST_STRIPS, value=standard.n, key="draw-n")
        st.number_input(
            "Seed", min_value=0, max_value=jobs.LARGEST_SEED, value=standard.seed, key="draw-seed", help="The same seed, the same strips."
        )
        st.number_input("Steps", min_value=STEP_LIMITS[0], max_value=STEP_LIMITS[1], value=standard.steps, key="draw-steps", help="More is slower.")
        st.selectbox("Sampler", SAMPLERS, key="draw-sampler", help="ancestral is the published one: it always takes all of its 200 steps.")
        st.number_input(
            "Heart rate (beats/min)",
            min_value=HEART_RATE_LIMITS[0],
            max_value=HEART_RATE_LIMITS[1],
            value=None,
            key="draw-rate",
            placeholder="as the rhythm has it",
        )
        st.text_input("Checkpoint folder on the server", key="draw-checkpoint", placeholder="the one that comes along")
        st.form_submit_button("Draw", type="primary", width="stretch", on_click=_draw, args=(person,))


def _draw(person: Person) -> None:
    state = st.session_state

    def ask() -> None:
        rate = state["draw-rate"]
        request = DrawRequest(
            rhythm=state["draw-rhythm"],
            n=int(state["draw-n"]),
            seed=int(state["draw-seed"]),
            steps=int(state["draw-steps"]),
            sampler=state["draw-sampler"],
            heart_rate=None if rate is None else float(rate),
        )
        jobs.ask(database(), person, "draw", {"request": request.as_dict(), "checkpoint": state["draw-checkpoint"].strip() or None})

    if words.attempt("", ask):
        state["gallery-page"] = 1


def _summary(result: dict[str, int]) -> None:
    parts = [f"{result['drawn']} new"]
    if result.get("already_present"):
        parts.append(f"{result['already_present']} were there already (the same seed draws the same strips)")
    if result.get("rejected"):
        parts.append(f"{result['rejected']} rejected, because no recording like it would be taken either")
    st.caption(f"Last drawing: {', '.join(parts)}.")


def _gallery(person: Person, *, drawing: bool) -> None:
    choice = st.segmented_control("Show", ["all", *_RHYTHM_WORDS], default="all", required=True, key="gallery-rhythm", label_visibility="collapsed")
    rhythm = None if choice == "all" else choice
    shown, total = strips.gallery(database(), person, rhythm=rhythm, page=sheet.current("gallery-page"), per_page=PER_PAGE)
    if total and not shown:  # fewer pages than before
        shown, total = strips.gallery(database(), person, rhythm=rhythm, per_page=PER_PAGE)
    if not total:
        if not drawing:
            st.info("Nothing has been drawn yet. Choose a rhythm and a number in the sidebar.")
        return
    st.caption(f"{total} strips drawn. Those drawn for rounds are not among them.")
    sheet.page_of(shown)
    sheet.pages(total, PER_PAGE, "gallery-page")
