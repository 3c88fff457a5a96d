"""Quality of drawn strips: what to compare, the measurement as a job, and the last result beside real against real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from generator.quality.result import BOTH, Figure, Quality
from pages import figure, paper, progress, words
from pages.access import database, require
from storage.quality import Batch, Member
from study import jobs, quality
from study.errors import Problems, StudyError
from study.people import Person
from study.quality import Asked, Choices, Shown
from study.report.chart import Axis, Entry, Mark, from_zero, intervals_picture
from study.roles import Action

_SHARED = (
    "The split does not know which recordings a checkpoint was trained on. Distance to training strips says something about copies only where the "
    "training recordings are those that the checkpoint learned from, and the held-out ones are not."
)
_AXES = {"worth": "macro F1", "distribution": "share or density", "detail": "ratio", "realness": "AUC"}  # of the parts that have a picture
_MOST_SCALE = 0.62  # of true size: two sheets side by side


def render() -> None:
    person = require(Action.SEE_STRIPS)
    words.heading("Quality", demo=person.demo)
    words.outcome()
    try:
        progress.follow(person, Action.SEE_STRIPS, "quality")
        shown = quality.latest(database(), person)
        _ask(person, quality.choices(database(), person), expanded=shown is None)
        if shown is None:
            st.info("Nothing has been measured yet.")
        else:
            _result(person, shown)
    except Problems as error:
        words.problem(error)


# ---- what to compare ----


def _ask(person: Person, there: Choices, *, expanded: bool) -> None:
    with st.expander("Measure", icon=":material/straighten:", expanded=expanded):
        if not there.batches:
            st.text("There are no drawn strips to measure. Draw some of each rhythm first, 200 of each for intervals that say something.")
            return
        if not there.collections:
            st.text("There are no recordings to measure against. Import some first.")
            return
        options = _sets(there.batches)
        names = list(there.collections)
        left, right = st.columns(2)
        left.selectbox("Drawn strips", range(len(options)), format_func=lambda i: options[i][0], key="quality-drawn")
        left.number_input("Seed", min_value=0, max_value=jobs.LARGEST_SEED, value=0, key="quality-seed", help="Stored with the result.")
        right.selectbox("Recordings to train on", names, format_func=lambda name: _counted(name, there), key="quality-train")
        held = [None, *(name for name in names if name != st.session_state["quality-train"])]
        label = f"{quality.HELD_OUT:.0%} of the same collection's patients, chosen by the seed"
        right.selectbox("Held-out recordings", held, format_func=lambda name: label if name is None else _counted(name, there), key="quality-real")
        st.caption(f"{_SHARED} It takes one to three minutes.")
        st.button("Measure", type="primary", on_click=_measure, args=(person,))


def _measure(person: Person) -> None:
    def ask() -> None:
        state = st.session_state
        options = _sets(quality.choices(database(), person).batches)
        if not state["quality-drawn"] < len(options):
            raise StudyError("The drawn strips have changed since. Choose again.")
        _, checkpoint, job_id = options[state["quality-drawn"]]
        asked = Asked(checkpoint, state["quality-train"], state["quality-real"], job_id, int(state["quality-seed"]))
        jobs.ask(database(), person, "quality", asked.as_dict())

    words.attempt("", ask)


def _sets(batches: Sequence[Batch]) -> list[tuple[str, str, int | None]]:
    """(label, checkpoint, drawing or None): each checkpoint as a whole, then its drawings."""
    found: list[tuple[str, str, int | None]] = []
    for checkpoint in dict.fromkeys(batch.checkpoint for batch in batches):
        of_it = [batch for batch in batches if batch.checkpoint == checkpoint]
        total = {rhythm: sum(batch.rhythms.get(rhythm, 0) for batch in of_it) for rhythm in ("AF", "NSR")}
        found.append((f"checkpoint {checkpoint[:12]}, all drawings: {_numbers(total)}", checkpoint, None))
        for batch in of_it:
            if batch.job_id is not None:
                how = f"{batch.sampler}, {batch.steps} steps, guidance {batch.guidance:g}"
                found.append((f"checkpoint {checkpoint[:12]}, drawing {batch.job_id} ({how}): {_numbers(batch.rhythms)}", checkpoint, batch.job_id))
    return found


def _counted(name: str, there: Choices) -> str:
    return f"{name}: {_numbers(there.collections[name])}"


def _numbers(rhythms: dict[str, int]) -> str:
    return ", ".join(f"{number} {rhythm}" for rhythm, number in sorted(rhythms.items()) if number)


# ---- the result ----


def _result(person: Person, shown: Shown) -> None:
    result, asked = shown.result, shown.asked
    figure.page_style("", "Quality of drawn strips")
    st.subheader("Last measurement")
    if shown.stale:
        st.warning(words.plain(f"Out of date. {shown.stale} Measure again."), icon=":material/history:")
    held = asked.real or f"{quality.HELD_OUT:.0%} of its patients"
    drawn = f"checkpoint {asked.checkpoint[:12]}" + ("" if asked.job_id is None else f", drawing {asked.job_id}")
    st.text(f"{words.moment(shown.at)}    {drawn}    trained on {asked.train}    held out {held}    seed {asked.seed}")
    st.dataframe([{"set": name, **sizes} for name, sizes in result.sizes.items()], hide_index=True, width=420, alt="Strips in each set")
    _targets(result)
    _missing(result)
    for part in result.parts:
        title, meaning = quality.TITLES[part]
        st.subheader(title)
        st.caption(words.plain(meaning))
        _chart(part, result)
        _table(quality.figure_rows(result, part), title)
    st.caption(words.plain("n: synthetic / recordings compared with / recordings in their place. Intervals: 95 %, bootstrap over patients."))
    _pairs(person, shown)


def _targets(result: Quality) -> None:
    rows = quality.target_rows(result)
    met = sum(row["verdict"] == "pass" for row in rows)
    st.markdown(f"**{met} of {len(rows)} targets met**")
    marks = {"pass": "✓ pass", "MISS": "✗ miss", "undefined": "undefined"}
    told = [{**row, "value": quality.number(row["value"]), "verdict": marks[row["verdict"]]} for row in rows]
    if all(row["reason"] is None for row in told):
        told = [{name: cell for name, cell in row.items() if name != "reason"} for row in told]
    _table(told, "Targets")


def _table(rows: Sequence[dict[str, Any]], alt: str) -> None:
    """Whole, without a scrollbar; nothing where there is nothing."""
    told = [{name: "" if cell is None else cell for name, cell in row.items()} for row in rows]
    st.dataframe(told, hide_index=True, height="content", alt=alt)


def _missing(result: Quality) -> None:
    """Figures that could not be had: said before the figures that could."""
    without = [one for one in result.figures if one.value is None]
    if without:
        reasons = dict.fromkeys(one.reason or "" for one in without)
        st.warning(words.plain(f"{len(without)} of {len(result.figures)} figures are undefined: {'; '.join(reasons)}."), icon=":material/warning:")


def _chart(part: str, result: Quality) -> None:
    """Shares and areas on one axis; distances have a unit each, and stay in their table."""
    names = {"distribution": ("precision", "recall", "density", "coverage")}
    figures = [one for one in result.figures if one.part == part and (part not in names or one.name in names[part])]
    if part not in _AXES:
        return
    figures = [one for one in figures if one.rhythm != BOTH or part in ("worth", "realness")]
    entries = [Entry(one.name + ("" if one.rhythm == BOTH else f", {one.rhythm}"), (_marks(one),)) for one in figures]
    drawn = [mark.figure for entry in entries for marks in entry.marks for mark in marks]
    if all(row["value"] is None for row in drawn):
        return
    reference = {"realness": (0.5, "chance"), "detail": (1.0, "as real")}.get(part)
    axis = Axis(_AXES[part], 0, max(1.0, from_zero(drawn)), "number", reference)
    figure.picture(intervals_picture("Orange squares: drawn strips; blue dots: recordings in their place.", [axis], entries))


def _marks(one: Figure) -> tuple[Mark, Mark]:
    both = ((one.value, one.interval, one.reason), (one.beside, one.beside_interval, one.beside_reason))
    drawn, beside = (
        {"value": value, "low": ends and ends[0], "high": ends and ends[1], "reason": reason or "no interval was computed"}
        for value, ends, reason in both
    )
    return Mark(drawn, "synthetic"), Mark(beside, "real")


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
