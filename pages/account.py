"""Who is signed in, their password, and the way out."""

from __future__ import annotations

import streamlit as st

from pages import access, words
from study import passwords, sign_in
from study.errors import StudyError
from study.people import Person


def render() -> None:
    person = access.signed_in()
    st.header("Account")
    st.text(f"You are signed in as {person.name}, {person.role}" + (f", {person.site}." if person.site else "."))
    st.text("Everything you submitted is stored. A case you have not submitted will be shown again.")
    style = "font:inherit;font-weight:600;padding:.5rem 1.2rem;border-radius:.4rem;border:0;background:#0b4f9e;color:#fff;cursor:pointer"
    st.html(f'<form method="post" action="/sign-out"><button style="{style}">Sign out</button></form>')
    if sign_in.has_password(access.database(), person):
        st.subheader("Your password")
        words.outcome()
        _password(person)


def _password(person: Person) -> None:
    with st.form("password", width=420):
        st.text_input("Old password", type="password", key="password-old")
        st.text_input("New password", type="password", key="password-new", help=f"At least {passwords.LENGTH} characters. A short sentence is good.")
        st.text_input("New password once more", type="password", key="password-again")
        st.form_submit_button("Change the password", key="password-change", on_click=_change, args=(person,))


def _change(person: Person) -> None:
    old, new, again = (st.session_state.get(f"password-{which}") or "" for which in ("old", "new", "again"))

    def change() -> None:
        if new != again:
            raise StudyError("The two new passwords differ. Write the same twice.")
        sign_in.change_password(access.database(), person, access.sign_in_token(), old, new)

    words.attempt("The password is changed. Your sign-ins on other computers have ended.", change)
    for which in ("old", "new", "again"):
        st.session_state[f"password-{which}"] = ""
