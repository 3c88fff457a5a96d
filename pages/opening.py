"""The forms by which a coordinator opens a study's practice and its rounds. What a plan comes to is said while it is made."""

from __future__ import annotations

from typing import Any

import streamlit as st

from generator.request import STEP_LIMITS
from pages import faults, words
from pages.access import database
from study import jobs, leak_gate, leak_page, round_plan
from study.errors import Problems
from study.overview import StudyDetail
from study.people import Person
from study.practice_round import MOST_CASES, PracticePlan
from study.round_plan import SEEDS, RoundPlan

_SEED = "Whoever knows it can draw the round's synthetic strips again. Left empty, a random one is stored and leaves only with the export."
_ROTATE = (
    "Where readers cannot read everything: all read the anchors, and each of the other cases is read by some, of different hospitals where possible."
)
_CONTROLS = (
    "A pair is an obviously mechanical strip and an obviously recorded one. They are in no figure but their own: who misses them did not look "
    "closely, or did not understand the scale."
)


def plan(person: Person, study: StudyDetail) -> None:
    """The plan of the next round, what it comes to, and the button that opens it."""
    standard = RoundPlan()
    left, right = st.columns(2, gap="large")
    with left:
        st.number_input("Cases each reader reads, repeats and controls included", 2, 1000, standard.cases, key="plan-cases")
        st.slider("Synthetic (% of the scored cases)", 0, 100, round(standard.synthetic_share * 100), step=5, key="plan-synthetic")
        st.slider("Atrial fibrillation (% of the scored cases, in both arms alike)", 0, 100, round(standard.af_share * 100), step=5, key="plan-af")
        st.slider("Hidden repeats (% of the cases)", 0, 50, round(standard.repeat_share * 100), step=5, key="plan-repeat")
    with right:
        st.number_input("Wash-out since the last round (days)", 0, 3650, study.protocol.washout_days, key="plan-washout")
        with st.expander("Controls, anchors, the generator"):
            _more(study, standard)
        asked = _plan(study)
        try:
            st.info(words.plain(round_plan.in_words(round_plan.preview(database(), person, study.id, asked))))
        except Problems as error:
            st.warning(words.plain(faults.told(error)))
    st.button("Open the round", type="primary", key="open-round", on_click=_ask_round, args=(person, study))
    st.caption("Draws the synthetic strips afresh, chooses recordings this study has not shown, and passes both through the leak gate.")
    if study.refused_openings:
        _refusal(person, study.id)


def gate(report: dict[str, Any]) -> None:
    """What a gate that warned of a round, or refused a demo's, means: in words, and once unblinded as the worst feature's two distributions."""
    st.warning(words.plain(leak_gate.sentence(report)), icon=":material/visibility:")
    if "distribution" in report:
        _picture(report["distribution"])
    else:
        st.caption("The feature's two distributions are shown once the study is unblinded: they would tell which arm is which.")


def _refusal(person: Person, study_id: int) -> None:
    refused = leak_gate.last_refusal(database(), person, study_id)
    if refused is None:
        return
    with st.expander(f"Why the gate refused the last time, on {words.moment(refused.at)}", icon=":material/block:"):
        st.text(f"AUC {refused.auc:.2f}; the strips' {refused.worst_feature} told the arms apart most of all. {refused.remedy}")
        if refused.distribution:
            _picture(refused.distribution)


def _picture(distribution: dict[str, Any]) -> None:
    st.image(leak_page.picture(distribution), alt=leak_page.in_words(distribution))
    st.caption("Share of each arm's strips, in bins of the feature.")


def _more(study: StudyDetail, standard: RoundPlan) -> None:
    if study.rounds:
        st.slider("Cases of earlier rounds, shown again (% of the cases)", 0, 50, 0, step=5, key="plan-earlier")
    st.number_input("Pairs of controls", 0, 20, standard.controls, key="plan-controls", help=_CONTROLS)
    if st.toggle("Not everybody reads every case", key="plan-rotate", help=_ROTATE):
        most = max(len(study.readers) + study.unseen, 1)
        st.number_input("Anchors: scored cases that all read", 0, 1000, 8, key="plan-anchors")
        st.number_input("Readers of each other case", 1, most, min(2, most), key="plan-readings")
    st.number_input("Sampler steps", *STEP_LIMITS, standard.steps, key="plan-steps")
    st.text_input("Checkpoint folder on the server", key="plan-checkpoint", placeholder="the one that comes with blindstrip")
    st.number_input("Seed", 0, SEEDS - 1, None, key="plan-seed", placeholder="a random one", help=_SEED)


def _plan(study: StudyDetail) -> RoundPlan:
    """What the widgets say."""
    state = st.session_state
    rotate = state["plan-rotate"]
    return RoundPlan(
        cases=int(state["plan-cases"]),
        synthetic_share=state["plan-synthetic"] / 100,
        af_share=state["plan-af"] / 100,
        repeat_share=state["plan-repeat"] / 100,
        washout_days=int(state["plan-washout"]),
        seed=None if state["plan-seed"] is None else int(state["plan-seed"]),
        checkpoint=state["plan-checkpoint"].strip() or None,
        steps=int(state["plan-steps"]),
        anchors=int(state["plan-anchors"]) if rotate else None,
        readings=int(state["plan-readings"]) if rotate else None,
        earlier_repeats=state["plan-earlier"] / 100 if study.rounds else 0.0,
        controls=int(state["plan-controls"]),
    )


def _ask_round(person: Person, study: StudyDetail) -> None:
    asked = {"study_id": study.id, "plan": _plan(study).as_dict()}
    words.attempt("Opening the round.", jobs.ask, database(), person, "round", asked)


def practice(person: Person, study: StudyDetail) -> None:
    """Who has practised; or the form that opens a study's practice, as long as nothing is scored."""
    st.text(
        "A short round in which each answer is followed by the truth, before the study's own. It is never analysed, and no round shows its strips."
    )
    if study.practice:
        mark = study.practice.plan.get("pass_mark")
        asked = f"Readers pass with {mark:.0%} of the rhythms right." if mark else "Going through it is enough."
        st.text(f"{study.practice.cases} cases, opened by {study.practice.opened_by} on {words.moment(study.practice.opened_at)}. {asked}")
        rows = [
            {"Reader": one.name, "Hospital": one.site, "Attempt": one.attempt, "Read": f"{one.done} of {one.total}", "Passed": one.passed}
            for one in study.practice.readers
        ]
        st.dataframe(rows, hide_index=True, width=720, alt="Who has gone through the practice")
    elif study.frozen_at is not None:
        st.text("This study has none: practice comes before the first judgement.")
    else:
        _practice_form(person, study)


def _practice_form(person: Person, study: StudyDetail) -> None:
    standard = PracticePlan()
    with st.form("practice", border=False, width=520):
        st.number_input("Cases, half of them synthetic", 4, MOST_CASES, standard.cases, step=2, key="practice-cases")
        help_ = "Readers who name fewer rhythms go through it again before their rounds open. Real or synthetic has no pass mark: it may be a guess."
        st.number_input("Pass mark (% of the rhythms)", 1, 100, None, key="practice-mark", placeholder="none: going through is enough", help=help_)
        st.form_submit_button("Open the practice", on_click=_ask_practice, args=(person, study.id))
        st.caption("Its strips do not pass through the leak gate: what they are is told.")


def _ask_practice(person: Person, study_id: int) -> None:
    state = st.session_state
    mark = None if state["practice-mark"] is None else state["practice-mark"] / 100
    asked = {"study_id": study_id, "plan": PracticePlan(cases=int(state["practice-cases"]), pass_mark=mark).as_dict()}
    words.attempt("Opening the practice.", jobs.ask, database(), person, "practice", asked)
