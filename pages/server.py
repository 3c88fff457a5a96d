"""How the server does, for whoever runs it: who is connected, what waits, what went wrong, what is slow."""

from __future__ import annotations

import streamlit as st

from pages import words
from pages.access import database, require
from study import metrics
from study.errors import Problems
from study.roles import Action, Role

_EVERY = 5  # seconds


def render() -> None:
    person = require(Action.SEE_SERVER)
    words.heading("Server", demo=person.demo)
    st.caption("Of this server process since it started; where several serve, each has its own. `blindstrip doctor` checks the whole installation.")
    _state()


@st.fragment(run_every=_EVERY)
def _state() -> None:
    try:
        state = metrics.state(database(), require(Action.SEE_SERVER))
    except Problems as error:
        words.problem(error)
        return
    waiting = sum(one.number for one in state.queue if one.status == "queued")
    with st.container(horizontal=True):
        st.metric("Readers online", state.online.get(Role.READER, 0), help="People with a screen open now.", width="content")
        st.metric("Others online", sum(state.online.values()) - state.online.get(Role.READER, 0), width="content")
        st.metric("Jobs waiting", waiting, width="content")
        st.metric("Jobs under way", sum(one.number for one in state.queue) - waiting, width="content")
        st.metric("Errors", state.faults, help="What somebody was told of under an id.", width="content")
        st.metric("Serving since", words.moment(state.since), width="content")
    if state.queue:
        st.subheader("Jobs")
        rows = [{"Job": one.kind, "State": one.status, "Number": one.number, "Oldest, min": round(one.seconds / 60, 1)} for one in state.queue]
        st.dataframe(rows, hide_index=True, width=640, alt="Jobs that wait or are under way")
    st.subheader("How long it takes")
    if state.paces:
        columns = ("What", "Times", "Median, ms", "95th percentile, ms")
        rows = [dict(zip(columns, (one.what, one.times, *(round(1000 * s) for s in (one.median, one.most))), strict=True)) for one in state.paces]
        st.caption("The last thousand times of each, slowest first, without the way to the browser.")
        st.dataframe(rows, hide_index=True, width=640, alt="How long screens and answers take")
    else:
        st.text("Nothing was asked of it yet.")
    st.subheader("What went wrong")
    if state.latest:
        st.caption("The id is what the person was told; the server's log has more under it.")
        rows = [{"When": words.moment(one.at), "Id": one.number, "Kind": one.kind} for one in state.latest]
        st.dataframe(rows, hide_index=True, width=640, alt="The latest errors")
    else:
        st.text("Nothing since it started.")
