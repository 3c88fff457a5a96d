"""The reading desk: paper, calipers, form and keys of the reading screen, in one element that lives in the browser.

It is drawn there (study/ecg_paper.py says how), answers are kept there until they are stored, and what the server sends for a case is its samples
and its place: nothing else differs between cases. The parts of the script are files beside this one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from study.answers import COMMENT_LENGTH
from study.ecg_paper import geometry
from study.protocol import CUES, MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, QUALITY_ANSWERS, RHYTHM_ANSWERS, RHYTHM_WORDS, SCALE
from study.screens import CARD_MM

KEY = "desk"
EVENTS = ("back", "leave", "onward", "calibrated")  # answers go another way: study/cases.py
RHYTHM_KEYS = dict(zip(RHYTHM_ANSWERS, "NAOU", strict=True))
ITEM_KEYS = dict(zip(MORPHOLOGY_ITEMS, "PRQSTI", strict=True))
QUALITY_KEYS = dict(zip(QUALITY_ANSWERS, "789", strict=True))

_SCRIPT = ("paper.js", "clock.js", "calipers.js", "drafts.js", "form.js", "keys.js", "sending.js", "keyboard.js", "desk.js")


def desk(data: dict[str, Any], **on_event: Callable[[], None]) -> None:
    """Puts a case on the desk; on_event: a callback for each of EVENTS, which finds what was sent with `sent`."""
    _element()(key=KEY, data=data, height="content", **{f"on_{event}_change": callback for event, callback in on_event.items()})


def sent(event: str) -> Any:
    """What the desk sent with an event; for callbacks."""
    state = st.session_state.get(KEY) or {}
    return state.get(event)


def words() -> dict[str, Any]:
    """What the form says, as plain values."""
    return {
        "scale": SCALE,
        "rhythm": [(answer, RHYTHM_WORDS.get(answer, answer), RHYTHM_KEYS[answer]) for answer in RHYTHM_ANSWERS],
        "items": list(ITEM_KEYS.items()),
        "judged": MORPHOLOGY_ANSWERS,
        "quality": list(QUALITY_KEYS.items()),
        "cues": CUES,
        "commentLength": COMMENT_LENGTH,
        "cardMm": CARD_MM,
    }


@cache
def script() -> str:
    """The desk's script: its constants, then its parts."""
    folder = Path(__file__).parent
    constants = f"const PAPER = {json.dumps(geometry())};\nconst FORM = {json.dumps(words())};\n"
    return constants + "\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPT)


@cache
def _element() -> Callable[..., Any]:
    css = (Path(__file__).parent / "desk.css").read_text(encoding="utf-8")
    element: Callable[..., Any] = st.components.v2.component("reading_desk", html='<div class="root"></div>\n', css=css, js=script())
    return element
