"""Studies for those who run them: set up, open rounds, follow the readers, unblind. Progress, never accuracy."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages import opening, orders, progress, record, words
from pages.access import database, require
from study import closing, people, studies, unblinding
from study.errors import Problems
from study.overview import ReaderProgress, RoundSummary, StudyDetail, StudySummary
from study.people import Person
from study.protocol import QUESTION_ORDERS, Protocol, phases
from study.roles import Action, may

STUDY = "study"  # the query parameter that keeps the place over a reload


def render() -> None:
    person = require(Action.SEE_STUDIES)
    chosen = st.query_params.get(STUDY, "")
    try:
        if chosen.isdecimal():
            _one(person, studies.study(database(), person, int(chosen)))
        else:
            _all(person)
    except Problems as error:
        words.problem(error)
        st.button("Back to all studies", on_click=_leave)


def _enter(study_id: int) -> None:
    st.query_params[STUDY] = str(study_id)


def _leave() -> None:
    st.query_params.pop(STUDY, None)


# ---- all studies ----


def _all(person: Person) -> None:
    words.heading("Studies", demo=person.demo)
    words.outcome()
    found = studies.studies(database(), person)
    if not found:
        st.info("There is no study yet.")
    for summary in found:
        with st.container(border=True, key=f"study-{summary.id}"):
            _card(summary, person)
    if may(person, Action.MANAGE_STUDIES):
        with st.expander("Set up a study", icon=":material/add:", expanded=not found):
            _set_up(person)


def _card(summary: StudySummary, person: Person) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(summary.title, width="content")
        st.badge(summary.state, color="green" if summary.state == "unblinded" else "blue")
        if summary.demo and not person.demo:  # for the demo's people the screen says it
            words.demo_notice(summary.notice)
        st.space("stretch")
        st.button("Open", key=f"open-{summary.id}", on_click=_enter, args=(summary.id,))
    done = f"{summary.done} of {summary.total} cases read" if summary.total else "no round open yet"
    st.text(f"{_number(summary.readers, 'reader')} at {', '.join(summary.sites) or 'no hospital'}; {_number(summary.rounds, 'round')}; {done}.")
    if summary.total:
        st.progress(summary.done / summary.total)


def _set_up(person: Person) -> None:
    standard = Protocol()
    readers = _readers(person)
    if not readers:
        st.text("There are no readers yet: add them on the People screen first, or later.")
    with st.form("set-up", border=False, width=720):
        st.text_input("Title", key="study-title", max_chars=studies.TITLE_LENGTH)
        st.multiselect("Readers", list(readers), format_func=readers.__getitem__, key="study-readers")
        st.number_input(
            "Margin of equivalence",
            min_value=0.01,
            max_value=0.49,
            value=standard.margin,
            step=0.01,
            key="study-margin",
            help="An accuracy surely within 50 % plus or minus this margin counts as equivalent to guessing. 0.10 is 40 % to 60 %.",
        )
        st.radio("Order of the questions", QUESTION_ORDERS, key="study-order", help="Purpose-blind studies ask for rhythm and morphology first.")
        st.number_input(
            "Cases between a case and its repeat, at least", min_value=0, max_value=1000, value=standard.min_repeat_distance, key="study-distance"
        )
        st.number_input("Wash-out between rounds (days)", min_value=0, max_value=3650, value=standard.washout_days, key="study-washout")
        st.form_submit_button("Set up the study", type="primary", on_click=_create, args=(person,))
        st.caption(
            "These rules can be changed until the first case is judged. After that they are frozen, and every exported row carries their hash."
        )


def _create(person: Person) -> None:
    state = st.session_state

    def create() -> None:
        protocol = Protocol(
            margin=float(state["study-margin"]),
            question_order=state["study-order"],
            min_repeat_distance=int(state["study-distance"]),
            washout_days=int(state["study-washout"]),
        )
        _enter(studies.create_study(database(), person, state["study-title"], protocol, state["study-readers"]))

    words.attempt("The study is set up. Open its first round when the recordings are in.", create)


def _readers(person: Person) -> dict[int, str]:
    """Readers of this person's world, by id."""
    return {one.id: f"{one.name}, {one.site}" for one in people.readers_to_choose(database(), person)}


# ---- one study ----


def _one(person: Person, study: StudyDetail) -> None:
    st.button("All studies", icon=":material/arrow_back:", type="tertiary", on_click=_leave)
    words.title(study.title)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(study.state, color="green" if study.state == "unblinded" else "blue")
        if study.demo:
            words.demo_notice(study.notice)
        st.text(f"set up by {study.created_by} on {words.moment(study.created_at)}", width="content")
    words.outcome()
    changeable = may(person, Action.OPEN_ROUNDS) and study.unblinded_at is None
    if changeable:
        for kind in ("practice", "round"):
            progress.follow(person, Action.OPEN_ROUNDS, kind)
    _progress(study)
    for opened in study.rounds:
        verdict = opened.leak.get("verdict", "")
        with st.expander(f"Round {opened.number}: {_cases(opened)}, opened {words.moment(opened.opened_at)}, leak gate: {verdict}"):
            if verdict in ("warn", "refuse"):
                opening.gate(opened.leak)
            _round(person, study, opened)
    record.deposit(person, study)
    if study.refused_openings:
        st.caption(f"The leak gate refused {_number(study.refused_openings, 'opening')} of a round here; the audit trail and the export say when.")
    if study.rounds:
        orders.orders(person, study.id)
    if changeable or study.practice:
        with st.expander("Practice", icon=":material/school:"):
            opening.practice(person, study)
    if changeable:
        with st.expander("Open a round", icon=":material/add:", expanded=not study.rounds):
            opening.plan(person, study)
        with st.expander("Add readers", icon=":material/person_add:"):
            _add_readers(person, study)
    with st.expander("Protocol", icon=":material/rule:"):
        record.protocol(person, study)
    if may(person, Action.UNBLIND):
        st.subheader("Unblinding")
        _unblinding(person, study)


def _progress(study: StudyDetail) -> None:
    st.subheader("Progress")
    if not study.rounds:
        st.text("No round is open yet.")
        return
    rows = [_progress_row(reader) | {"Rounds signed": f"{reader.signed} of {reader.rounds}"} for reader in study.readers]
    _progress_table(rows, "Cases read and rounds signed by each reader")
    if study.unseen:
        others = _number(study.unseen, "reader")
        st.caption(f"{study.done} of {study.total} answers in all. Only who leads the study sees the {others} of other hospitals.")
    if phases(study.protocol.question_order) > 1:
        st.caption("A case counts in both parts of its round.")


def _progress_table(rows: list[dict[str, Any]], alt: str) -> None:
    bar = {"Progress": st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0)}
    st.dataframe(rows, hide_index=True, width=720, column_config=bar, alt=alt)


def _progress_row(reader: ReaderProgress) -> dict[str, Any]:
    share = reader.done / reader.total if reader.total else 0.0
    return {"Reader": reader.name, "Hospital": reader.site, "Read": reader.done, "Of": reader.total, "Progress": share}


def _cases(opened: RoundSummary) -> str:
    """How many a reader reads, where not everybody reads all of them."""
    rotating = "rotation" in opened.plan.get("achieved", {})
    return f"{opened.cases} cases" + (f", {opened.plan['cases']} a reader" if rotating else "")


def _round(person: Person, study: StudyDetail, opened: RoundSummary) -> None:
    st.text(f"Opened by {opened.opened_by}. Reading starts {words.moment(opened.starts_at)}.")
    record.of_round(person, study, opened)
    rows = [_progress_row(reader) | {"Signed": words.moment(reader.signed_at)} for reader in opened.readers]
    _progress_table(rows, f"Cases of round {opened.number} read, and when it was signed, by each reader")
    left, right = st.columns(2)
    with left:
        st.markdown("**Plan**")
        st.dataframe(_pairs(opened.plan), hide_index=True, alt=f"Plan of round {opened.number}")
    with right:
        st.markdown("**Leak gate**")
        st.caption("A classifier that sees format features alone tried to tell the arms apart.")
        told = {name: value for name, value in opened.leak.items() if name != "distribution"}
        st.dataframe(_pairs(told), hide_index=True, alt=f"Leak report of round {opened.number}")


def _pairs(values: dict[str, Any]) -> list[dict[str, str]]:
    """A nested dictionary as rows of name and value."""
    rows: list[dict[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += [{"": f"{name}, {row['']}".replace("_", " "), "value": row["value"]} for row in _pairs(value)]
        else:
            rows.append({"": name.replace("_", " "), "value": _shown(value)})
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _add_readers(person: Person, study: StudyDetail) -> None:
    others = {one.id: f"{one.name}, {one.site}" for one in studies.readers_to_add(database(), person, study.id)}
    if not others:
        st.text("Every reader takes part already.")
        return
    with st.form("add-readers", border=False, width=720):
        st.multiselect("Readers", list(others), format_func=others.__getitem__, key="more-readers")
        st.form_submit_button("Add", on_click=_add, args=(person, study.id))


def _add(person: Person, study_id: int) -> None:
    words.attempt("Added.", studies.add_readers, database(), person, study_id, st.session_state["more-readers"])


# ---- unblinding ----


def _unblinding(person: Person, study: StudyDetail) -> None:
    if study.unblinded_at is not None:
        st.text(f"Asked for by {study.unblinding_asked_by}, confirmed by {study.unblinded_by} on {words.moment(study.unblinded_at)}.")
        st.text("The Results screen shows what the answers say.")
        if study.snapshot:
            st.caption(f"Snapshot: SHA-256 {study.snapshot}")
    elif study.unblinding_asked_at is not None:
        _confirm(person, study)
    else:
        _ask(person, study)


def _ask(person: Person, study: StudyDetail) -> None:
    st.text(
        "Two people unblind a study, of two hospitals where there are two: one asks, another confirms. Nothing undoes it, and no case can be judged "
        "after it. A snapshot is taken, from which the results are computed."
    )
    if not study.closed:
        st.text("It can be asked for when every round is closed: read and signed by every reader, or closed with a reason.")
        return
    with st.form("ask-unblinding", border=False, width=720):
        st.text_input("Reason", key="unblinding-reason", max_chars=closing.REASON_LENGTH, placeholder="for example: every round is read and signed")
        st.form_submit_button("Ask for unblinding", on_click=_ask_now, args=(person, study.id))


def _ask_now(person: Person, study_id: int) -> None:
    reason = st.session_state["unblinding-reason"]
    words.attempt("Asked. Another person has to confirm.", unblinding.ask, database(), person, study_id, reason)


def _confirm(person: Person, study: StudyDetail) -> None:
    st.text(f"{study.unblinding_asked_by} asked for it on {words.moment(study.unblinding_asked_at)}.")
    if study.unblinding_asked_by_id == person.id:
        st.text("Another person has to confirm it.")
    else:
        st.checkbox("I know that this cannot be undone", key="unblinding-sure")
        if st.session_state["unblinding-sure"]:
            done = "Unblinded. The Results screen shows what the answers say."
            st.button("Confirm unblinding", type="primary", on_click=words.act, args=(done, unblinding.confirm, database(), person, study.id))
    st.button("Withdraw the request", on_click=words.act, args=("Withdrawn.", unblinding.withdraw, database(), person, study.id))


def _number(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")
