"""Strips on ECG paper, several to a page, each with where it came from under it. For those who may know."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from pages import paper
from study.strips import ShownStrip


def page_of(strips: Iterable[ShownStrip]) -> None:
    """The strips at true scale, one under the other."""
    for strip in strips:
        with st.container(key=f"strip-{strip.strip_id}", gap="xsmall"):
            alt = f"12-lead ECG, {strip.rhythm}"
            st.plotly_chart(paper.figure(strip.counts), width="content", theme=None, key=f"sheet-{strip.strip_id}", config=paper.CONFIG, alt=alt)
            told = {name: value for name, value in strip.origin.items() if value is not None and not isinstance(value, (dict, list))}
            st.text(f"{strip.rhythm}    " + "    ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in told.items()))


def current(key: str) -> int:
    """The page chosen at `pages`, from 0."""
    return int(st.session_state.get(key) or 1) - 1


def pages(total: int, per_page: int, key: str) -> None:
    """Page numbers for so many strips."""
    number = max(1, -(-total // per_page))
    if current(key) >= number:
        st.session_state[key] = 1
    st.pagination(number, key=key)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)  # of a hash, the beginning
