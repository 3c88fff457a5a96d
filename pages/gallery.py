"""Drawing synthetic strips: asked for in the sidebar, drawn by the runner, shown on ECG paper with what it takes to draw them again."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from generator.quality_control import TOLERATED
from generator.request import HEART_RATE_LIMITS, MOST_STRIPS, SAMPLERS, STEP_LIMITS, DrawRequest
from pages import progress, sheet, words
from pages.access import database, require
from study import checkpoints, jobs, rejections, speed, strips
from study.checkpoints import About
from study.errors import Problems
from study.people import Person
from study.rejections import Rejected
from study.roles import Action
from study.speed import Estimate

PER_PAGE = 4
_STANDARD = DrawRequest(rhythm="NSR", n=8, seed=1)
_UNIT_WORDS = {"mV": "in mV", "uV": "in µV", "min-max": "each scaled to 0 to 1"}
_RHYTHM_WORDS = {"NSR": "sinus rhythm (NSR)", "AF": "atrial fibrillation (AF)"}


def render() -> None:
    person = require(Action.DRAW_STRIPS)
    with st.sidebar:
        st.fragment(_ask)()
    words.heading("Drawn strips", demo=person.demo)
    words.outcome()
    try:
        latest = progress.follow(person, Action.DRAW_STRIPS, "draw")
        if latest is not None and latest.result:
            _summary(latest.result, rejections.of_job(database(), person, latest.id))
        _gallery(person, drawing=latest is not None and latest.active)
        _rejected(person)
    except Problems as error:
        words.problem(error)


# ---- the sidebar: a fragment, so that the strips beside it stay as they are while somebody chooses ----


def _ask() -> None:
    person = require(Action.DRAW_STRIPS)
    st.subheader("Draw strips")
    first, chosen, then = st.container(), st.container(gap="xsmall"), st.container()
    with chosen:
        about = _checkpoint(person)
    with first:
        _batch(about)
    with then:
        _method(about)
    if about is not None:
        _time(person)
    if st.button("Draw", type="primary", width="stretch", disabled=about is None, on_click=_draw, args=(person,)):
        st.rerun()


def _batch(about: About | None) -> None:
    rhythms = [rhythm for rhythm in _RHYTHM_WORDS if about is None or rhythm in about.rhythms]
    st.radio("Rhythm", rhythms, format_func=_RHYTHM_WORDS.__getitem__, key="draw-rhythm")
    number, seed = st.columns(2)
    number.number_input("Number", min_value=1, max_value=MOST_STRIPS, value=_STANDARD.n, key="draw-n")
    same = "The same seed, the same strips."
    seed.number_input("Seed", min_value=0, max_value=jobs.LARGEST_SEED, value=_STANDARD.seed, key="draw-seed", help=same)


def _checkpoint(person: Person) -> About | None:
    """The choice, and what has been chosen; None where it is no checkpoint."""
    folders = [str(folder) for folder in checkpoints.known(database(), person)]
    hint = "A folder on the server with config.json and model.safetensors. Choose one, or type where it is."
    st.selectbox("Checkpoint", folders, format_func=_short, key="draw-checkpoint", accept_new_options=True, help=hint)
    try:
        about = checkpoints.about(_folder())
    except Problems as error:
        words.problem(error)
        return None
    told = [f"{_counted(about.blocks, 'block')} of {about.channels} channels."]
    if about.converted:
        told.append(f"Converted from a published checkpoint: {', '.join(about.leads)}, {_UNIT_WORDS.get(about.units, about.units)}.")
    if not about.copies:
        told.append("It carries nothing by which copies of its training strips could be told: they are not looked for.")
    st.caption(words.plain(" ".join(told)))
    if about.implausible:
        st.warning("The check at its conversion found leads that no heart makes. Look at its strips before you use them.", icon=":material/warning:")
    return about


def _method(about: About | None) -> None:
    whole = "The published sampler: it always takes all of its steps."
    told = f"dpm++2m-sde: fast, with fresh noise at every step. dpm++2m: fast, without. ancestral: {whole[0].lower()}{whole[1:]}"
    sampler = st.selectbox("Sampler", SAMPLERS, key="draw-sampler", help=told)
    steps, guidance = st.columns(2)
    if sampler == "ancestral":
        number = about.steps if about else 0
        steps.number_input("Steps", value=number, disabled=True, key=f"draw-steps-ancestral-{number}", help=whole)
    else:
        more = "Evaluations of the network for a strip. More is slower; from about 20 on, little changes."
        steps.number_input("Steps", min_value=STEP_LIMITS[0], max_value=STEP_LIMITS[1], value=_STANDARD.steps, key="draw-steps", help=more)
    if about is None or about.guidance:
        exaggerates = "1: as trained. More makes the rhythm more marked, and strips more alike; it takes about 1.6 times as long."
        guidance.number_input("Guidance", min_value=0.0, max_value=10.0, value=1.0, step=0.5, format="%g", key="draw-guidance", help=exaggerates)
    else:
        nothing = "This checkpoint was never trained to go without labels: guidance has nothing to compare with."
        guidance.number_input("Guidance", value=1.0, format="%g", disabled=True, key="draw-guidance-none", help=nothing)
    rate = "Heart rate (beats/min)"
    if about is None or about.heart_rate:
        least, most = HEART_RATE_LIMITS
        st.number_input(rate, min_value=least, max_value=most, value=None, key="draw-rate", placeholder="as the rhythm has it")
    else:
        free = "This checkpoint's network knows no rhythm track: the heart rate comes as it comes."
        st.number_input(rate, value=None, disabled=True, key="draw-rate-none", placeholder="cannot be chosen", help=free)


def _time(person: Person) -> None:
    """How long what is entered would take."""
    try:
        expected = speed.estimate(database(), person, _request(), _folder())
    except Problems as error:
        words.problem(error)
        return
    if expected is None:
        st.caption("How fast this machine draws is not known yet. It is measured as soon as the first strips are drawn.")
        return
    st.caption(words.plain(_in_sentences(expected, _request().n)))


def _in_sentences(expected: Estimate, n: int) -> str:
    each = f"{expected.seconds_per_strip:.2g}" if expected.seconds_per_strip < 10 else f"{expected.seconds_per_strip:.0f}"
    speed_of_one = f"{each} s a strip{'' if expected.on_gpu else ' and core'} on {expected.device}, {_counted(expected.workers, 'worker')}"
    told = [f"{_upper(speed.in_words(expected.seconds))} for {_counted(n, 'strip')}: {speed_of_one}."]
    if not expected.measured:
        told.append("That follows from the size of its network; it has not been drawn with here yet.")
    if not expected.on_gpu:
        told.append("No GPU here: the CPU draws.")
    if expected.others:
        told.append(f"Longer, as {_counted(expected.others, 'other drawing')} will take turns with it.")
    return " ".join(told)


def _folder() -> Path:
    return Path(str(st.session_state["draw-checkpoint"]).strip()).expanduser()


def _request() -> DrawRequest:
    """What is entered now. A callback reads it here too: what it was given with the last run may be older than the click."""
    state, about = st.session_state, checkpoints.about(_folder())
    rate = state.get("draw-rate") if about.heart_rate else None
    return DrawRequest(
        rhythm=state["draw-rhythm"],
        n=int(state["draw-n"]),
        seed=int(state["draw-seed"]),
        steps=_STANDARD.steps if state["draw-sampler"] == "ancestral" else int(state["draw-steps"]),
        sampler=state["draw-sampler"],
        guidance=float(state.get("draw-guidance", 1.0)) if about.guidance else 1.0,
        heart_rate=None if rate is None else float(rate),
    )


def _draw(person: Person) -> None:
    def ask() -> None:
        jobs.ask(database(), person, "draw", {"request": _request().as_dict(), "checkpoint": str(_folder())})

    if words.attempt("", ask):
        st.session_state["gallery-page"] = 1


def _short(folder: str) -> str:
    """A folder in a narrow box: its own name first."""
    path = Path(folder)
    if path == checkpoints.SHIPPED:
        return "the one that comes along"
    return f"{path.name} ({str(path.parent).replace(str(Path.home()), '~')})" if path.is_absolute() else folder


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# ---- the strips ----


def _summary(result: dict[str, int], reasons: dict[str, int]) -> None:
    """reasons: of the samples of that drawing that were rejected."""
    parts = [f"{result['drawn']} new"]
    if result.get("already_present"):
        parts.append(f"{result['already_present']} were there already (the same seed draws the same strips)")
    st.caption(f"Last drawing: {', '.join(parts)}.")
    rejected = Rejected(sum(result.values()), reasons)
    if rejected.warning:
        st.warning(words.plain(rejected.warning), icon=":material/warning:")
    elif rejected.number:
        st.caption(words.plain(rejected.sentence))


def _rejected(person: Person) -> None:
    """Of each checkpoint that drew something here: strips that passed say little without those that did not."""
    found = rejections.of_gallery(database(), person)
    if not found:
        return
    with st.expander("Rejected by quality control, checkpoint by checkpoint", icon=":material/rule:"):
        st.dataframe(
            [
                {
                    "Checkpoint": checkpoint[:12],
                    "Rhythm": rhythm,
                    "Samples": rejected.samples,
                    "Rejected": rejected.number,
                    "Share": rejected.share,
                    "Why": rejected.counted,
                }
                for checkpoint, rhythm, rejected in found
            ],
            hide_index=True,
            column_config={"Share": st.column_config.NumberColumn(format="percent")},
            alt="Samples rejected by quality control, by checkpoint and rhythm",
        )
        st.caption(
            f"At most {100 * TOLERATED:.0f} % may need rejecting. A sample that was drawn twice counts once; those drawn for rounds are not here."
        )


def _gallery(person: Person, *, drawing: bool) -> None:
    choice = st.segmented_control("Show", ["all", *_RHYTHM_WORDS], default="all", required=True, key="gallery-rhythm", label_visibility="collapsed")
    rhythm = None if choice == "all" else choice
    shown, total = strips.gallery(database(), person, rhythm=rhythm, page=sheet.current("gallery-page"), per_page=PER_PAGE)
    if total and not shown:  # fewer pages than before
        shown, total = strips.gallery(database(), person, rhythm=rhythm, per_page=PER_PAGE)
    if not total:
        if not drawing:
            st.info("Nothing has been drawn yet. Choose a rhythm and a number in the sidebar.")
        return
    st.caption(f"{total} strips drawn. Those drawn for rounds are not among them.")
    sheet.page_of(shown)
    sheet.pages(total, PER_PAGE, "gallery-page")
