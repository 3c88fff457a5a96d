"""Who is signed in, and the way out."""

from __future__ import annotations

import streamlit as st

from pages import access


def render() -> None:
    person = access.current_person()
    if person is None:
        access.turn_away()
    st.header("Sign out")
    st.text(f"You are signed in as {person.name}, {person.role}" + (f", {person.site}." if person.site else "."))
    st.text("Everything you submitted is stored. A case you have not submitted will be shown again.")
    style = "font:inherit;font-weight:600;padding:.5rem 1.2rem;border-radius:.4rem;border:0;background:#0b4f9e;color:#fff;cursor:pointer"
    st.html(f'<form method="post" action="/sign-out"><button style="{style}">Sign out</button></form>')
