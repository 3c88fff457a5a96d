"""What several screens say in the same way, and how they say that something was refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from pages import faults
from pages.access import database, still_here
from study import notices
from study.errors import Problems

_OUTCOME = "outcome"


def demo_notice(notice: str) -> None:
    """What every screen of a demo says; notice: study.notices."""
    st.badge(notice, color="orange", icon=":material/science:")


def heading(title: str, *, demo: bool) -> None:
    """A screen's heading: our own words, never a person's."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(title, width="content")
        if demo:
            demo_notice(notices.of_the_demo(database()))


def title(text: str) -> None:
    """A person's own words, large. st.text, because Markdown in them could load an image from outside."""
    st.html("<style>.st-key-own-words [data-testid=stText] { font-size: 1.6rem; font-weight: 600; line-height: 1.3; }</style>")
    with st.container(key="own-words"):
        st.text(text)


def act(done: str, action: Callable[..., Any], *args: Any) -> None:
    """`attempt` as a button's on_click."""
    attempt(done, action, *args)


def attempt(done: str, action: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    """For callbacks: does it, and keeps for `outcome` what to say: `done`, or why it was refused."""
    if not still_here():
        st.session_state[_OUTCOME] = ("error", "Nothing was done, because your sign-in has changed since. Try again.")
        return False
    try:
        action(*args, **kwargs)
    except Problems as error:
        st.session_state[_OUTCOME] = ("error", faults.told(error))
        return False
    st.session_state[_OUTCOME] = ("success", done)
    return True


def say(done: str) -> None:
    """For callbacks, after `attempt`: what to say of it instead."""
    st.session_state[_OUTCOME] = ("success", done)


def outcome() -> None:
    """What the last callback had to say, once."""
    kind, text = st.session_state.pop(_OUTCOME, ("", ""))
    if kind == "error":
        st.error(plain(text), icon=":material/error:")
    elif text:
        st.success(plain(text), icon=":material/check:")


def problem(error: Exception) -> None:
    """A refusal, in its own words: study.errors.Problems are written for the person at the screen. What is none has an id in the log."""
    st.error(plain(faults.told(error)), icon=":material/error:")


def unforeseen(error: Exception) -> bool:
    """For Streamlit, in place of its own words: what no screen caught."""
    problem(error)
    return True


def moment(at: datetime | None) -> str:
    """A date and time as the reader's browser counts them; UTC where it does not say."""
    if at is None:
        return ""
    offset = st.context.timezone_offset
    return f"{at:%d %b %Y %H:%M} UTC" if offset is None else f"{at - timedelta(minutes=offset):%d %b %Y %H:%M}"


def plain(text: str) -> str:
    """Words in a message or label, where Streamlit reads Markdown: no link, image, colour or formula comes out of them."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|~$:^=@-])", r"\\\1", text)
