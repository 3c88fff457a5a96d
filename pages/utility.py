"""Utility of drawn strips: what they are worth to a classifier, computed as a job, and beside it how faithful and how private they are."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages import comparing, figure, progress, words
from pages.access import database, require
from study import jobs, strip_sets, worth, worth_exhibits
from study.errors import Problems
from study.people import Person
from study.report.page import table
from study.roles import Action
from study.strip_sets import Choices
from study.worth import Kept, Shown
from study.worth_faults import Check, as_table, checks

_SEEN = (
    "blindstrip does not know which recordings a checkpoint was trained on. Hold out recordings that it has not seen: strips drawn after the "
    "recordings that they are tested on look worth more than they are. The sets never share a patient."
)
_TIME = "Without the network it takes one to three minutes; with it, some eight minutes more for each training, on two cores."
_RATIO = "Macro F1 of classifiers trained on synthetic strips over that of classifiers trained on recordings, both tested on the held-out recordings."
_SETS = {"train": "recordings to train on", "real": "held-out recordings", "synthetic": "drawn strips"}
_WIDE = "<style>.bs-table.bs-wide { max-width: none; } @media screen { .bs-table.bs-wide table { min-width: 66rem; } }</style>"
_BESIDE = ("distribution", "heart", "detail", "repeat", "realness", "memorisation")  # of a measurement of quality; its "worth" is this screen's


def render() -> None:
    person = require(Action.SEE_STRIPS)
    words.heading("Utility", demo=person.demo)
    words.outcome()
    try:
        progress.follow(person, Action.SEE_STRIPS, worth.KIND)
        kept = worth.results(database(), person)
        _ask(person, strip_sets.choices(database(), person), expanded=not kept)
        if kept:
            _result(worth.shown(database(), person, _chosen(kept)))
        else:
            st.info("Nothing has been computed yet.")
    except Problems as error:
        words.problem(error)


# ---- what to compute ----


def _ask(person: Person, there: Choices, *, expanded: bool) -> None:
    with st.expander("Compute", icon=":material/calculate:", expanded=expanded):
        if comparing.can_choose(there):
            comparing.choose("utility", there)
            left, right = st.columns(2, vertical_alignment="bottom")
            left.number_input(
                "Trainings of each classifier", 1, worth.MOST_SEEDS, 3, key="utility-seeds", help="Intervals are over patients and over trainings."
            )
            right.checkbox("Quick: without the residual network", key="utility-quick")
            st.caption(f"{_SEEN} {_TIME}")
            st.button("Compute", type="primary", on_click=_compute, args=(person,))


def _compute(person: Person) -> None:
    state = st.session_state

    def ask() -> None:
        asked = {**comparing.chosen("utility"), "seeds": int(state["utility-seeds"]), "quick": bool(state["utility-quick"])}
        jobs.ask(database(), person, worth.KIND, asked)

    words.attempt("", ask)


# ---- a result ----


def _chosen(kept: Sequence[Kept]) -> int:
    """Which result: the newest, until another is chosen or a newer one is there."""
    labels = {one.job_id: _label(one) for one in kept}
    if len(kept) == 1:
        return kept[0].job_id
    return int(st.selectbox("Result", list(labels), format_func=labels.__getitem__, key=f"utility-result-{kept[0].job_id}"))


def _label(one: Kept) -> str:
    return f"{words.moment(one.at)}, {strip_sets.sources_in_words(one.asked)['synthetic']}: {one.sizes['AF']} AF, {one.sizes['NSR']} NSR"


def _result(shown: Shown) -> None:
    figure.page_style("", "Utility of drawn strips")
    st.html(_WIDE)
    if shown.stale:
        st.warning(words.plain(f"Out of date. {' '.join(shown.stale)} Compute again."), icon=":material/history:")
    measured = shown.quality.result if shown.quality else None
    _faults(checks(shown.result, shown.sizes, measured))
    if shown.quality_differs:
        st.text(f"Of fine detail, copies, kinds and realness: {shown.quality_differs}")
    _headline(shown)
    _sets(shown)
    st.subheader("Figures")
    st.caption(words.plain(worth_exhibits.published_differs()))
    number = 0
    for make in (worth_exhibits.tested_on_recordings, worth_exhibits.tested_on_strips, worth_exhibits.reliability):
        exhibit = make(shown.result)
        number += exhibit.picture is not None
        figure.show(number if exhibit.picture else None, exhibit)
    st.subheader("Every figure")
    st.html(f"<div class='bs-table bs-wide'>{table(worth_exhibits.every_figure(shown.result))}</div>")
    _beside(shown)


def _faults(found: Sequence[Check]) -> None:
    """What is wrong, in words, before any figure; then all that was looked for."""
    wrong, unknown = [one for one in found if one.found], [one for one in found if one.found is None]
    if wrong:
        listed = "".join(f"\n- {words.plain(one.sentence)}" for one in wrong)
        st.warning(f"**What is wrong with these strips**\n{listed}", icon=":material/warning:")
    elif unknown:
        st.info(f"{len(found) - len(unknown)} of {len(found)} faults could be looked for; none was found.")
    else:
        st.success(f"None of the {len(found)} faults that are looked for was found.", icon=":material/check:")
    for reason in dict.fromkeys(one.reason for one in unknown):
        st.text(f"Not looked for: {', '.join(one.name for one in unknown if one.reason == reason)} ({reason}).")
    with st.expander("What is looked for, and when it is said", icon=":material/rule:"):
        st.html(f"<div class='bs-table bs-wide'>{table(as_table(found))}</div>")


def _headline(shown: Shown) -> None:
    st.subheader("TSTR / TRTR: what share of the recordings' worth the strips have", help=_RATIO)
    told = worth_exhibits.headline(shown.result)
    for column, (classifier, value, ends) in zip(st.columns(3), told, strict=False):
        with column.container(border=True):
            st.metric(classifier.capitalize(), value)
            st.caption(words.plain(ends))


def _sets(shown: Shown) -> None:
    """Sizes, prevalences, seeds and versions, and what the result is tied to."""
    said = strip_sets.sources_in_words(shown.asked)
    rows = []
    for name, called in _SETS.items():
        sizes = shown.sizes[name]
        share = sizes["AF"] / (sizes["AF"] + sizes["NSR"])
        told = {"set": called, "chosen": said[name], "AF": sizes["AF"], "NSR": sizes["NSR"], "AF share": f"{100 * share:.1f} %"}
        rows.append({**told, "patients": "each its own" if name == "synthetic" else str(sizes["patients"]), "SHA-256": shown.digests[name][:12]})
    comparing.table(rows, "Sets that were compared")
    versions = ", ".join(f"{name} {number}" for name, number in shown.result["versions"].items())
    trainings = "1 training" if shown.asked.seeds == 1 else f"{shown.asked.seeds} trainings"
    folder = "drawn from a folder that is not known: a change there is not seen" if shown.folder is None else f"drawn from {shown.folder}"
    st.text(f"Computed {words.moment(shown.kept.at)}, seed {shown.asked.seed}, {trainings} of each classifier. {versions}.")
    st.text(f"Checkpoint {shown.asked.checkpoint}, {folder}.")


# ---- beside it ----


def _beside(shown: Shown) -> None:
    st.subheader("Fidelity and privacy")
    measured = shown.quality
    if measured is None:
        st.info(
            "How faithful and how private the strips of this checkpoint are has not been measured yet. Ask for it on the Quality screen, with the "
            "same strips and recordings; it then stands here, and fine detail, copies, missing kinds and realness are looked for above."
        )
        return
    said = strip_sets.sources_in_words(measured.asked)
    st.text(f"Measured {words.moment(measured.at)} on the Quality screen: {said['synthetic']}, trained on {said['train']}, held out {said['real']}.")
    if shown.quality_differs:
        st.warning(words.plain(f"{shown.quality_differs} Measure again on the Quality screen."), icon=":material/history:")
    comparing.targets(measured.result)
    comparing.missing(measured.result)
    comparing.parts(measured.result, _BESIDE, lambda title: st.markdown(f"##### {title}"))
