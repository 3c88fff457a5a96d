"""Who is at this screen, and the database behind it. Every screen's first line is `person = require(...)`."""

from __future__ import annotations

from functools import cache
from typing import NoReturn

import streamlit as st

from storage.database import Database
from study import sign_in
from study.errors import NotAllowed
from study.people import Person
from study.roles import Action, demand
from study.settings import Settings

COOKIE = sign_in.COOKIE
IDENTITY = "person"  # the key of st.user that app.py's gate fills through server.trustedUserHeaders
_DRAWN_FOR = "drawn for"  # the key of session state with the person at the last run


@cache
def database() -> Database:
    """The one database of this process; its pool is shared by all sessions."""
    return Database(Settings.from_environment().database)


def current_person() -> Person | None:
    """Whose sign-in the browser presents now. Looked up again in each run, so that a sign-out or a change of role counts at the next click.

    Both ways in must name the same person: the cookie of this connection, and the identity that the gate bound this session to.
    """
    token = sign_in_token()
    person = sign_in.person_for(database(), token) if token else None
    return person if person is not None and st.user.get(IDENTITY) == str(person.id) else None


def sign_in_token() -> str | None:
    return st.context.cookies.get(COOKIE)


def signed_in() -> Person:
    """The person at the screen; the end of this run where there is none."""
    person = current_person()
    if person is None:
        turn_away()
    st.session_state[_DRAWN_FOR] = person
    return person


def require(action: Action) -> Person:
    """The person at the screen, if their role allows what the screen is for; otherwise the end of this run, with the reason."""
    person = signed_in()
    try:
        demand(person, action)
    except NotAllowed as error:
        st.error(str(error))
        st.stop()
    return person


def still_here() -> bool:
    """Whether who clicks is who the screen was drawn for, in the same role. Streamlit runs a callback before the screen can ask `require`."""
    person = current_person()
    return person is not None and person == st.session_state.get(_DRAWN_FOR)


def turn_away() -> NoReturn:
    """What somebody sees whose sign-in has ended while the page was open."""
    st.header("You are signed out")
    st.html('<p>Your answers up to the last submitted case are stored. <a href="/sign-in" target="_self">Sign in</a> to go on.</p>')
    st.stop()
