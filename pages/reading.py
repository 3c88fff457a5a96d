"""The reading room: the rounds and the practice a reader has, then one strip after the other on the desk, and at the end the signature.

The database knows where the reader is; what has not been submitted is in the browser, which keeps it over a reload.
"""

from __future__ import annotations

import re

import streamlit as st

from pages import desk, words
from pages.access import database, require, still_here
from study import cases, practice, reading, screens, sign_in, signing
from study.answers import Answer
from study.errors import Problems
from study.people import Person
from study.practice import PracticeProgress
from study.protocol import RHYTHM_WORDS, SCALE
from study.reading import RoundProgress
from study.roles import Action

ROUND, CASE, PRACTICE, ATTEMPT = "round", "case", "practice", "attempt"  # the query parameters that keep the place over a reload

_COMMITMENT = (
    "Which cases you read in which order follows from seeds that this hash (SHA-256) binds since the round was opened. They are told after "
    "unblinding; then anybody can check that nobody has changed them."
)
_LAYOUT = """<style>
.stMainBlockContainer { padding: 3.1rem 1.5rem .5rem !important; max-width: none !important; }
</style>"""


def render() -> None:
    person = require(Action.READ_CASES)
    try:
        if (round_id := _number(ROUND)) is not None:
            _read(person, round_id)
        elif (round_id := _number(PRACTICE)) is not None:
            _practise(person, round_id)
        else:
            _choose(person)
    except Problems as error:
        words.problem(error)
        st.button("Back to my rounds", on_click=_leave)


def _number(name: str) -> int | None:
    value = st.query_params.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 10 else None


# ---- choosing a round ----


def _choose(person: Person) -> None:
    st.header("Rounds to read")
    rounds, lessons = reading.rounds_to_read(database(), person), practice.to_practise(database(), person)
    if not rounds and not lessons:
        st.info("There is nothing to read for you now. A coordinator opens the rounds; come back when you are told that one is open.")
    for lesson in lessons:
        with st.container(border=True, key=f"practice-{lesson.round_id}", width=760):
            _practice(lesson)
    for one in rounds:
        with st.container(border=True, key=f"round-{one.round_id}", width=760):
            _round(one)


def _title(heading: str, study_title: str, *, notice: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(heading, width="content")
        st.text(study_title, width="content")
        if notice:
            words.demo_notice(notice)


def _round(one: RoundProgress) -> None:
    _title(f"Round {one.number}", one.study_title, notice=one.notice)
    st.progress(one.done / one.total if one.total else 0.0, text=f"{one.done} of {one.total} cases read")
    if one.signed_at is not None:
        st.text(f"Read through and signed on {words.moment(one.signed_at)}. Thank you.")
    elif one.done >= one.total:
        st.text("Read through. Look over your answers and sign them.")
        st.button("Review and sign", key=f"read-{one.round_id}", type="primary", on_click=_enter, args=(ROUND, one.round_id))
    elif one.practice_first:
        st.text("Opens when you have gone through the practice above.")
    elif not one.open:
        st.text(f"Opens on {words.moment(one.starts_at)}.")
    else:
        label = "Continue" if one.done else "Start reading"
        st.button(label, key=f"read-{one.round_id}", type="primary", on_click=_enter, args=(ROUND, one.round_id))
    if one.commitment is not None:
        st.caption(f"Commitment to this round's seeds: {one.commitment}", help=_COMMITMENT)


def _practice(one: PracticeProgress) -> None:
    _title("Practice", one.study_title, notice=one.notice)
    if one.finished:
        st.text(_practice_result(one))
    else:
        needed = "" if one.pass_mark is None else f" To pass, name at least {one.pass_mark:.0%} of the rhythms right."
        st.text(f"{one.total} cases to learn the form. You are told what each was; nothing here counts.{needed}")
        st.progress(one.done / one.total, text=f"{one.done} of {one.total} cases")
    label = "Practise again" if one.finished else "Continue" if one.done else "Start practising"
    attempt = one.attempt + 1 if one.finished else one.attempt
    st.button(
        label, key=f"practise-{one.round_id}", type="secondary" if one.passed else "primary", on_click=_enter, args=(PRACTICE, one.round_id, attempt)
    )


def _practice_result(one: PracticeProgress) -> str:
    said = f"{one.rhythm_right} of {one.total} rhythms named right."
    if one.realism_right is not None:
        said += f" {one.realism_right} of {one.total} called rightly real or synthetic."
    if one.passed:
        return said
    return f"{said} To go on, name at least {one.pass_mark:.0%} of the rhythms right: practise once more."


def _enter(kind: str, round_id: int, attempt: int | None = None) -> None:
    _leave()
    st.query_params[kind] = str(round_id)
    if attempt is not None:
        st.query_params[ATTEMPT] = str(attempt)


def _leave() -> None:
    for name in (ROUND, CASE, PRACTICE, ATTEMPT):
        st.query_params.pop(name, None)


# ---- reading a case ----


def _read(person: Person, round_id: int) -> None:
    data = cases.of_round(database(), person, round_id, _number(CASE))
    if data is None:
        _sign(person, round_id)
        return
    correcting = data["given"] is not None
    st.html(_LAYOUT)
    words.outcome()
    desk.desk(
        data,
        back=lambda: _before(round_id),
        leave=_to_the_round if correcting else _leave,
        onward=_to_the_round,
        calibrated=lambda: _calibrated(person),
    )


def _before(round_id: int) -> None:
    """To the case before the one on the desk, which may be further on than when the screen was drawn."""
    found = re.fullmatch(rf"{round_id}-(\d{{1,5}})(-again)?", str(desk.sent("back")))
    if found and int(found[1]) > 1:
        st.query_params[CASE] = str(int(found[1]) - 1)


def _to_the_round() -> None:
    st.query_params.pop(CASE, None)


def _calibrated(person: Person) -> None:
    found = desk.sent("calibrated")
    if isinstance(found, dict) and still_here():
        words.attempt("", screens.calibrate, database(), person, found.get("screen", ""), found.get("pixels_per_mm", 0))


# ---- the end of a round ----


def _sign(person: Person, round_id: int) -> None:
    one = next((one for one in reading.rounds_to_read(database(), person) if one.round_id == round_id), None)
    st.header("Round read through")
    if one is None or one.signed_at is not None:
        st.text("Every case of this round has your answer, and you have signed them. Thank you.")
        st.button("Back to my rounds", on_click=_leave)
        return
    words.outcome()
    st.text("Every case of this round has your answer. Look over them, correct what you like, then sign: from then on they stand.")
    answers = signing.answers_of_round(database(), person, round_id)
    last_phase = max(given.phase for given in answers)
    if last_phase > 1:
        st.text("The answers of the first part stand since the second came.")
    with st.container(height=420, key="given"):
        for given in answers:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(f"Case {given.position}", width=80)
                st.text(_summary(given.answer), width="stretch")
                if given.revisions > 1:
                    st.text(f"corrected {given.revisions - 1} ×", width="content")
                if given.phase == last_phase:
                    st.button(f"Correct case {given.position}", key=f"correct-{given.position}", on_click=_correct, args=(given.position,))
    if person.demo:
        st.text("A demo reader has no password: one click signs.")
    elif not sign_in.has_password(database(), person):
        st.text("You sign in through your hospital: sign within 15 minutes of signing in.")
    else:
        st.text_input("Your password, in place of a signature", type="password", key="signature", on_change="ignore", width=380)
    with st.container(horizontal=True):
        st.button("Sign the round", type="primary", on_click=_signed, args=(person, round_id))
        st.button("Back to my rounds", on_click=_leave)


def _summary(answer: Answer) -> str:
    said = [SCALE[answer.realism - 1]] if answer.realism else []
    said += [RHYTHM_WORDS.get(answer.rhythm, answer.rhythm)] if answer.rhythm else []
    implausible = [item for item, judged in answer.morphology.items() if judged == "implausible"]
    said += [f"implausible: {', '.join(implausible)}"] if implausible else []
    unjudged = [item for item, judged in answer.morphology.items() if judged == "cannot judge"]
    said += [f"cannot judge: {', '.join(unjudged)}"] if unjudged else []
    said += [f"quality {answer.quality}"] if answer.quality else []
    said += [f"cues: {', '.join(answer.cues)}"] if answer.cues else []
    said += [f"{len(answer.marks)} marked"] if answer.marks else []
    said += [f'"{answer.comment}"'] if answer.comment else []
    return " · ".join(said)


def _correct(position: int) -> None:
    st.query_params[CASE] = str(position)


def _signed(person: Person, round_id: int) -> None:
    password = st.session_state.get("signature") or ""
    words.attempt("Signed. Thank you.", signing.sign, database(), person, round_id, password)


# ---- practice ----


def _practise(person: Person, round_id: int) -> None:
    data = cases.of_practice(database(), person, round_id, _number(ATTEMPT) or 1)
    if data is None:
        st.header("Practice gone through")
        st.text(_practice_result(practice.progress(database(), person, round_id)))
        st.button("Back to my rounds", type="primary", on_click=_leave)
        return
    st.html(_LAYOUT)
    words.outcome()
    desk.desk(data, leave=_leave, onward=lambda: None, calibrated=lambda: _calibrated(person))
