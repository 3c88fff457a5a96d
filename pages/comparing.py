"""What the screens Quality and Utility share: the choice of strips to compare, and the tables and pictures of a measurement of quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from generator.quality.result import BOTH, Figure, Quality
from pages import figure, words
from storage.quality import Batch
from study import jobs, quality, strip_sets
from study.report.chart import Axis, Entry, Mark, from_zero, intervals_picture
from study.strip_sets import Choices

_AXES = {"worth": "macro F1", "distribution": "share or density", "detail": "ratio", "realness": "AUC"}  # of the parts that have a picture

Drawn = tuple[str, int | None]  # checkpoint, and a drawing of it or all
Source = tuple[str, int | None]  # collection, and an import or all


# ---- what to compare ----


def can_choose(there: Choices) -> bool:
    """Whether there is anything to compare; if not, says what is missing."""
    if not there.batches:
        st.text("There are no drawn strips to measure. Draw some of each rhythm first, 200 of each for intervals that say something.")
    elif not there.sources:
        st.text("There are no recordings to measure against. Import some first.")
    return bool(there.batches and there.sources)


def choose(key: str, there: Choices) -> None:
    """The widgets, whose keys begin with `key`; `chosen` reads them."""
    drawn = _drawn(there.batches)
    sources = {
        (one.collection, one.job_id): f"{strip_sets.source_in_words(one.collection, one.job_id)}: {_numbers(one.rhythms)}" for one in there.sources
    }
    left, right = st.columns(2)
    left.selectbox("Drawn strips", list(drawn), format_func=drawn.__getitem__, key=f"{key}-drawn")
    left.number_input("Seed", min_value=0, max_value=jobs.LARGEST_SEED, value=0, key=f"{key}-seed", help="Stored with the result.")
    right.selectbox("Recordings to train on", list(sources), format_func=sources.__getitem__, key=f"{key}-train")
    held: dict[Source | None, str] = {None: f"{strip_sets.HELD_OUT_IN_WORDS} of the same recordings' patients, chosen by the seed"}
    held |= {one: label for one, label in sources.items() if one != st.session_state[f"{key}-train"]}
    right.selectbox("Held-out recordings", list(held), format_func=held.__getitem__, key=f"{key}-real")


def chosen(key: str) -> dict[str, Any]:
    """What `choose` was told, as study.strip_sets.Asked takes it."""
    state = st.session_state
    (checkpoint, job_id), (train, train_import) = state[f"{key}-drawn"], state[f"{key}-train"]
    real, real_import = state[f"{key}-real"] or (None, None)
    recordings = {"train": train, "train_import": train_import, "real": real, "real_import": real_import}
    return {"checkpoint": checkpoint, "job_id": job_id, "seed": int(state[f"{key}-seed"]), **recordings}


def _drawn(batches: Sequence[Batch]) -> dict[Drawn, str]:
    """Each checkpoint as a whole, then its drawings."""
    found: dict[Drawn, str] = {}
    for checkpoint in dict.fromkeys(batch.checkpoint for batch in batches):
        of_it = [batch for batch in batches if batch.checkpoint == checkpoint]
        total = {rhythm: sum(batch.rhythms.get(rhythm, 0) for batch in of_it) for rhythm in ("AF", "NSR")}
        found[checkpoint, None] = f"checkpoint {checkpoint[:12]}, all drawings: {_numbers(total)}"
        for batch in of_it:
            if batch.job_id is not None:
                how = f"{batch.sampler}, {batch.steps} steps, guidance {batch.guidance:g}"
                found[checkpoint, batch.job_id] = f"checkpoint {checkpoint[:12]}, drawing {batch.job_id} ({how}): {_numbers(batch.rhythms)}"
    return found


def _numbers(rhythms: dict[str, int]) -> str:
    return ", ".join(f"{number} {rhythm}" for rhythm, number in sorted(rhythms.items()) if number)


# ---- a measurement of quality ----


def targets(result: Quality) -> None:
    rows = quality.target_rows(result)
    met = sum(row["verdict"] == "pass" for row in rows)
    st.markdown(f"**{met} of {len(rows)} targets met**")
    marks = {"pass": "✓ pass", "MISS": "✗ miss", "undefined": "undefined"}
    told = [{**row, "value": quality.number(row["value"]), "verdict": marks[row["verdict"]]} for row in rows]
    table(told, "Targets")


def missing(result: Quality) -> None:
    """Figures that could not be had: said before the figures that could."""
    without = [one for one in result.figures if one.value is None]
    if without:
        reasons = dict.fromkeys(one.reason or "" for one in without)
        st.warning(words.plain(f"{len(without)} of {len(result.figures)} figures are undefined: {'; '.join(reasons)}."), icon=":material/warning:")


def parts(result: Quality, wanted: Sequence[str], heading: Callable[[str], Any]) -> None:
    """Each part that was measured: its heading, what it says, its picture and its table."""
    for part in wanted:
        if part not in result.parts:
            continue
        title, meaning = quality.TITLES[part]
        heading(title)
        st.caption(words.plain(meaning))
        _chart(part, result)
        table(quality.figure_rows(result, part), title)
    st.caption(words.plain("n: synthetic / recordings compared with / recordings in their place. Intervals: 95 %, bootstrap over patients."))


def table(rows: Sequence[dict[str, Any]], alt: str) -> None:
    """Whole, without a scrollbar; nothing where there is nothing. Reasons, too long for a cell, stand below it and are told by letter."""
    letters = {reason: chr(ord("a") + i) for i, reason in enumerate(dict.fromkeys(row["reason"] for row in rows if row.get("reason")))}
    told = []
    for row in rows:
        one = {name: "" if cell is None else cell for name, cell in row.items() if name != "reason"}
        told.append({**one, **({"note": f"[{letters[row['reason']]}]" if row.get("reason") else ""} if letters else {})})
    st.dataframe(told, hide_index=True, height="content", alt=alt)
    if letters:
        st.caption(words.plain(" ".join(f"[{letter}] {reason}." for reason, letter in letters.items())))


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
