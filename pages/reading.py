"""The reading room: the rounds a reader has to read, then one strip after the other with its form.

The database knows where the reader is; the session holds only what has not been submitted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from pages import paper, words
from pages.access import database, require, still_here
from study import reading
from study.errors import Problems
from study.people import Person
from study.protocol import CUES, MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, PURPOSE_BLIND, RHYTHM_ANSWERS, SCALE
from study.reading import Answer, ReadingCase, RoundProgress
from study.roles import Action

ELSEWHERE = "The last case had been answered in another window. That answer stands; this one was not stored."
ROUND = "round"  # the query parameter that keeps the place over a reload

_RHYTHM_WORDS = {"NSR": "sinus rhythm", "AF": "atrial fibrillation"}
_SHEET_WIDTH = round(paper.SHEET_MM[0] * paper.CSS_PIXELS_PER_MM)
_LAYOUT = f"""<style>
.stMainBlockContainer {{ padding: 3.6rem 2.5rem 1rem !important; max-width: 1520px !important; }}
.st-key-sheet {{ overflow-x: auto; }} .st-key-sheet > div {{ min-width: {_SHEET_WIDTH}px; }}
.st-key-case {{ align-items: flex-start; }}
.st-key-strip-and-questions, .st-key-cues-and-submit {{ gap: .6rem; }}
.st-key-cues-and-submit {{ min-width: 15rem; }}
.st-key-case .stRadio [role=radiogroup] {{ gap: .15rem; }}
.st-key-cues-and-submit [data-testid=stButtonGroup] button {{ min-height: 1.9rem; padding: .1rem .7rem; }}
</style>"""


def render() -> None:
    person = require(Action.READ_CASES)
    try:
        chosen = st.query_params.get(ROUND, "")
        if chosen.isdecimal():
            _read(person, int(chosen))
        else:
            _choose(person)
    except Problems as error:
        words.problem(error)
        st.button("Back to my rounds", on_click=_leave)


# ---- choosing a round ----


def _choose(person: Person) -> None:
    st.header("Rounds to read")
    rounds = reading.rounds_to_read(database(), person)
    if not rounds:
        st.info("There is nothing to read for you now. A coordinator opens the rounds; come back when you are told that one is open.")
    for one in rounds:
        with st.container(border=True, key=f"round-{one.round_id}", width=760):
            _round(one)


def _round(one: RoundProgress) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"Round {one.number}", width="content")
        st.text(one.study_title, width="content")
        if one.demo:
            words.demo_notice()
    st.progress(one.done / one.total if one.total else 0.0, text=f"{one.done} of {one.total} cases read")
    if one.done >= one.total:
        st.text("Read through. Thank you.")
    elif not one.open:
        st.text(f"Opens on {words.moment(one.starts_at)}.")
    else:
        label = "Continue" if one.done else "Start reading"
        st.button(label, key=f"read-{one.round_id}", type="primary", on_click=_enter, args=(one.round_id,))


def _enter(round_id: int) -> None:
    st.query_params[ROUND] = str(round_id)


def _leave() -> None:
    st.query_params.pop(ROUND, None)


# ---- reading a case ----


def _read(person: Person, round_id: int) -> None:
    case = reading.next_case(database(), person, round_id)
    if st.session_state.pop("elsewhere", False):
        st.warning(ELSEWHERE)
    if case is None:
        st.header("Round read through")
        st.text("Every case of this round has your answer. Thank you.")
        st.button("Back to my rounds", on_click=_leave)
        return
    place = f"{round_id}-{case.position}"
    if st.session_state.get("shown", ("",))[0] != case.code:
        st.session_state["shown"] = (case.code, datetime.now(UTC))
    st.html(_LAYOUT)
    _heading(case)
    with st.container(horizontal=True, key="case"):
        with st.container(key="strip-and-questions", width=_SHEET_WIDTH):
            _strip(case)
            for question in (_rhythm, _morphology, _realism) if case.question_order == PURPOSE_BLIND else (_realism, _rhythm, _morphology):
                question(place)
        with st.container(key="cues-and-submit"):
            _cues(place)
            st.text_area("Comment", key=f"comment-{place}", max_chars=reading.COMMENT_LENGTH, height=80, on_change="ignore")
            _submit_button(person, case, place)


def _heading(case: ReadingCase) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown(f"**Case {case.position} of {case.total}**", width="content")
        st.progress((case.position - 1) / case.total, width=220)
        st.text(case.study_title, width="content")
        if case.demo:
            words.demo_notice()
        st.space("stretch")
        st.button("Leave", key="leave", help="Your submitted answers are stored. You continue at this case.", on_click=_leave, type="tertiary")


def _strip(case: ReadingCase) -> None:
    with st.container(key="sheet"):
        alt = f"12-lead ECG, case {case.position} of {case.total}, 25 mm/s, 10 mm/mV. Drag on the paper to measure."
        st.plotly_chart(paper.figure(case.counts), width="content", theme=None, key="strip", config=paper.CONFIG, alt=alt)


def _realism(place: str) -> None:
    st.segmented_control(
        "Recorded from a patient, or synthetic?", range(1, 7), format_func=lambda step: SCALE[step - 1], key=f"realism-{place}", on_change="ignore"
    )


def _rhythm(place: str) -> None:
    st.segmented_control(
        "Rhythm", RHYTHM_ANSWERS, format_func=lambda answer: _RHYTHM_WORDS.get(answer, answer), key=f"rhythm-{place}", on_change="ignore"
    )


def _morphology(place: str) -> None:
    for column, item in zip(st.columns(len(MORPHOLOGY_ITEMS), gap="small"), MORPHOLOGY_ITEMS, strict=True):
        with column:
            st.radio(item, MORPHOLOGY_ANSWERS, index=None, key=_item_key(item, place), on_change="ignore")


def _cues(place: str) -> None:
    st.pills("What gave it away, if anything did", CUES, selection_mode="multi", key=f"cues-{place}", on_change="ignore")


def _submit_button(person: Person, case: ReadingCase, place: str) -> None:
    st.button(  # Ctrl+S and not Ctrl+Enter: a radio or pill that has the focus, as after every answer, keeps Enter to itself
        "Submit", key=f"submit-{place}", type="primary", shortcut="Ctrl+S", on_click=_submit, args=(person, case.code, place), width="stretch"
    )
    problem = st.session_state.get(f"problem-{place}")
    if problem:
        st.warning(words.plain(problem))


def _submit(person: Person, code: str, place: str) -> None:
    """One transaction; a second click finds the answer stored and changes nothing."""
    if not still_here():
        return
    state = st.session_state
    morphology: dict[str, Any] = {item: state.get(_item_key(item, place)) for item in MORPHOLOGY_ITEMS}
    realism: Any = state.get(f"realism-{place}")
    rhythm: Any = state.get(f"rhythm-{place}")
    cues, comment = list(state.get(f"cues-{place}") or []), state.get(f"comment-{place}") or ""
    missing = [name for name, value in {"real or synthetic": realism, "rhythm": rhythm, **morphology}.items() if value is None]
    if CUES[-1] in cues and not comment.strip():
        missing.append("the comment that your cue refers to")
    if missing:
        state[f"problem-{place}"] = f"Not submitted yet. Still to answer: {', '.join(missing)}."
        return
    answer = Answer(realism, rhythm, morphology, cues, comment)
    shown_code, shown_at = state.get("shown", (None, None))
    try:
        stored = reading.submit(database(), person, code, answer, shown_at if shown_code == code else datetime.now(UTC))
    except Problems as error:
        state[f"problem-{place}"] = str(error)
        return
    state.pop(f"problem-{place}", None)
    if stored:
        state["stored"] = code
    elif state.get("stored") != code:  # not the second half of a double click
        state["elsewhere"] = True


def _item_key(item: str, place: str) -> str:
    return f"{item.lower().replace(' ', '-')}-{place}"
