"""Quality of drawn strips: what to compare, the measurement as a job, and the last result beside real against real."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages import comparing, figure, paper, progress, words
from pages.access import database, require
from storage.quality import Member
from study import jobs, quality, strip_sets
from study.errors import Problems
from study.people import Person
from study.quality import Shown
from study.roles import Action
from study.strip_sets import Choices

_SHARED = (
    "The split does not know which recordings a checkpoint was trained on. Distance to training strips says something about copies only where the "
    "training recordings are those that the checkpoint learned from, and the held-out ones are not."
)
_MOST_SCALE = 0.62  # of true size: two sheets side by side


def render() -> None:
    person = require(Action.SEE_STRIPS)
    words.heading("Quality", demo=person.demo)
    words.outcome()
    try:
        progress.follow(person, Action.SEE_STRIPS, "quality")
        shown = quality.latest(database(), person)
        _ask(person, strip_sets.choices(database(), person), expanded=shown is None)
        if shown is None:
            st.info("Nothing has been measured yet.")
        else:
            _result(person, shown)
    except Problems as error:
        words.problem(error)


def _ask(person: Person, there: Choices, *, expanded: bool) -> None:
    with st.expander("Measure", icon=":material/straighten:", expanded=expanded):
        if comparing.can_choose(there):
            comparing.choose("quality", there)
            st.caption(f"{_SHARED} It takes one to three minutes.")
            st.button("Measure", type="primary", on_click=_measure, args=(person,))


def _measure(person: Person) -> None:
    words.attempt("", lambda: jobs.ask(database(), person, "quality", comparing.chosen("quality")))


def _result(person: Person, shown: Shown) -> None:
    result, asked = shown.result, shown.asked
    figure.page_style("", "Quality of drawn strips")
    st.subheader("Last measurement")
    if shown.stale:
        st.warning(words.plain(f"Out of date. {shown.stale} Measure again."), icon=":material/history:")
    said = strip_sets.sources_in_words(asked)
    st.text(f"{words.moment(shown.at)}    {said['synthetic']}    trained on {said['train']}    held out {said['real']}    seed {asked.seed}")
    st.dataframe([{"set": name, **sizes} for name, sizes in result.sizes.items()], hide_index=True, width=420, alt="Strips in each set")
    comparing.targets(result)
    comparing.missing(result)
    comparing.parts(result, result.parts, st.subheader)
    _pairs(person, shown)


def _pairs(person: Person, shown: Shown) -> None:
    if not shown.pairs:
        return
    st.subheader("Closest pairs")
    st.caption("A synthetic strip at the left, the training recording with the most similar average beat at the right. Look for the same beat.")
    choice = st.segmented_control("Rhythm", ["AF", "NSR"], default="AF", required=True, key="quality-pairs", label_visibility="collapsed")
    chosen = [pair for pair in shown.pairs if pair[1] == choice]
    there = [member for _, _, *both in chosen for member in both if member is not None]
    counts = quality.strip_counts(database(), person, there)
    for i, (distance, rhythm, *both) in enumerate(chosen):
        st.text(f"{i + 1}. distance {distance:.3f} (1 - correlation of average beats)")
        for column, member, kind in zip(st.columns(2), both, ("synthetic", "training recording"), strict=True):
            with column:
                _sheet(member, counts, f"{rhythm}, {kind}", f"pair-{choice}-{i}-{kind}")


def _sheet(member: Member | None, counts: dict[int, Any], kind: str, key: str) -> None:
    if member is None or member.strip_id not in counts:
        st.text(f"{kind}: not shown, as it is in a round that is still blind.")
        return
    st.plotly_chart(
        paper.figure(counts[member.strip_id], scale=_MOST_SCALE),
        width="content",
        theme=None,
        key=key,
        config=paper.CONFIG,
        alt=f"12-lead ECG, {kind}",
    )
    st.text(f"{kind}: {member.name}")
