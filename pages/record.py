"""A study's protocol with its amendments, and what its record holds of each round: the commitment to its seeds, and how it was closed."""

from __future__ import annotations

import json

import streamlit as st

from pages import words
from pages.access import database
from study import amendments, closing, commitment
from study.overview import RoundSummary, StudyDetail
from study.people import Person
from study.protocol import QUESTION_ORDERS, Protocol
from study.roles import Action, may

_COMMITMENT = (
    "The round's seeds, which say who reads what in which order, are bound by this hash (SHA-256) since it was opened. They are told after "
    "unblinding, and everybody can check then that they are the same."
)
_REASON = "Kept in the audit trail and shown with the results: write no names in it."


def protocol(person: Person, study: StudyDetail) -> None:
    """The rules in force, their amendments, and the form that changes them."""
    rows = [{"": name.replace("_", " "), "value": str(value)} for name, value in study.protocol.as_dict().items()]
    st.dataframe(rows, hide_index=True, width=520, alt="Protocol")
    st.caption(f"SHA-256 {study.protocol_hash}")
    if study.frozen_at is None:
        st.text("Not frozen: no case has been judged.")
    else:
        st.text(f"Frozen since {words.moment(study.frozen_at)}. Changes after that are numbered amendments, shown with the results.")
    if study.amendments:
        st.dataframe(
            [
                {
                    **{"Amendment": one.number, "When": words.moment(one.at), "Who": one.by, "From -> to": one.change, "Why": one.reason},
                    "Judgements by then": f"{one.done} of {one.total}",
                }
                for one in study.amendments
            ],
            hide_index=True,
            alt="Amendments of the protocol",
        )
    if may(person, Action.MANAGE_STUDIES) and study.unblinding_asked_at is None and study.demo == person.demo:
        _change(person, study)


def _change(person: Person, study: StudyDetail) -> None:
    rules, frozen = study.protocol, study.frozen_at is not None
    with st.form("change-protocol", border=False, width=720):
        st.number_input("Margin of equivalence", 0.01, 0.49, rules.margin, step=0.01, key=_key("margin", study))
        if not frozen:
            st.radio("Order of the questions", QUESTION_ORDERS, QUESTION_ORDERS.index(rules.question_order), key=_key("order", study))
        later = ", in rounds opened from now on" if study.rounds else ""
        st.number_input(f"Cases between a case and its repeat, at least{later}", 0, 1000, rules.min_repeat_distance, key=_key("distance", study))
        st.number_input(f"Wash-out between rounds (days){later}", 0, 3650, rules.washout_days, key=_key("washout", study))
        if frozen:
            st.text_input("Reason of the amendment", key=f"rule-reason-{study.id}", max_chars=closing.REASON_LENGTH, help=_REASON)
        st.form_submit_button("Amend the protocol" if frozen else "Change the protocol", on_click=_changed, args=(person, study))


def _changed(person: Person, study: StudyDetail) -> None:
    state, reason = st.session_state, f"rule-reason-{study.id}"

    def change() -> None:
        wanted = Protocol(
            margin=float(state[_key("margin", study)]),
            question_order=state.get(_key("order", study), study.protocol.question_order),
            min_repeat_distance=int(state[_key("distance", study)]),
            washout_days=int(state[_key("washout", study)]),
        )
        if study.frozen_at is None:
            amendments.edit_protocol(database(), person, study.id, wanted, shown=study.protocol_hash)
        else:
            amendments.amend(database(), person, study.id, wanted, state[reason], shown=study.protocol_hash)

    done = words.attempt("The protocol is changed." if study.frozen_at is None else "The protocol is amended.", change)
    if done and reason in state:  # refused, it stays for another try
        state[reason] = ""


def _key(rule: str, study: StudyDetail) -> str:
    """Of a rule's field: another one as soon as another protocol is in force, so that it never shows a value that is not."""
    return f"rule-{rule}-{study.id}-{study.protocol_hash[:12]}"


def of_round(person: Person, study: StudyDetail, opened: RoundSummary) -> None:
    """The commitment to the round's seeds; how it was closed, or the form that closes it."""
    if opened.commitment is not None:
        st.caption(f"Commitment to the seeds: {opened.commitment}", help=_COMMITMENT)
    if opened.closed_at is not None:
        st.text(f"Closed by {opened.closed_by} on {words.moment(opened.closed_at)}. Reason: {opened.closed_because}")
    elif opened.closed:
        st.text("Closed: every reader has read and signed it.")
    elif may(person, Action.OPEN_ROUNDS) and study.unblinding_asked_at is None and study.demo == person.demo:
        _close(person, study, opened)


def _close(person: Person, study: StudyDetail, opened: RoundSummary) -> None:
    with st.popover("Close this round before all have read and signed it", icon=":material/lock:"):
        st.text("It takes no more answers and no more signatures then. Nothing undoes it.")
        with st.form(f"close-{opened.id}", border=False):
            st.text_input("Reason", key=f"close-reason-{opened.id}", max_chars=closing.REASON_LENGTH, help=_REASON)
            st.form_submit_button("Close the round", on_click=_closed, args=(person, study.id, opened))


def _closed(person: Person, study_id: int, opened: RoundSummary) -> None:
    reason = st.session_state[f"close-reason-{opened.id}"]
    words.attempt(f"Round {opened.number} is closed.", closing.close_round, database(), person, study_id, opened.number, reason)


def deposit(person: Person, study: StudyDetail) -> None:
    """A file with the commitments, for whoever wants to keep them outside before the rounds are read."""
    if any(one.commitment for one in study.rounds):
        told = commitment.published(database(), person, study.id)
        content = json.dumps(told, indent=1, default=lambda at: at.isoformat()) + "\n"
        st.download_button(
            "Commitments to the seeds",
            content,
            f"commitments-study-{study.id}.json",
            "application/json",
            on_click="ignore",
            icon=":material/download:",
        )
        st.caption(
            "Kept in a registry or sent to the other hospitals before a round is read, they prove later that its seeds were not chosen afterwards."
        )
