"""People and their hospitals."""

from __future__ import annotations

import streamlit as st

from pages import words
from pages.access import database, require
from study import people
from study.errors import Problems
from study.people import Person
from study.roles import Action, Role

_ROLES = {
    Role.READER: "reads cases; sees nothing of where strips come from",
    Role.COORDINATOR: "sets up studies, opens rounds, sees how far readers are",
    Role.RESEARCHER: "imports recordings, draws strips",
    Role.ADMIN: "everything but reading",
}


def render() -> None:
    person = require(Action.MANAGE_PEOPLE)
    words.heading("People", demo=person.demo)
    words.outcome()
    try:
        everybody = people.people(database(), person)
    except Problems as error:
        words.problem(error)
        return
    rows = [{"Name": one.name, "User name": one.username, "Role": one.role.value, "Hospital": one.site or ""} for one in everybody]
    st.dataframe(rows, hide_index=True, alt="Everybody who may sign in")
    if person.demo:
        st.text("The demo has its people. Set up a study of your own to add real ones.")
        return
    st.subheader("Add somebody")
    _form(person, sorted({one.site for one in everybody if one.site}))
    st.subheader("Delete an account")
    _deletion(
        person, [one for one in everybody if one.id != person.id and not one.demo and (one.role is not Role.ADMIN or person.role is Role.ADMIN)]
    )


def _form(person: Person, sites: list[str]) -> None:
    roles = [role for role in Role if role is not Role.ADMIN or person.role is Role.ADMIN]
    with st.form("add-person", width=640):
        st.text_input("Name", key="new-name", max_chars=120)
        st.text_input("User name", key="new-username", max_chars=64, help="What they sign in with: a to z, 0 to 9 and . - _ @")
        st.radio("Role", roles, format_func=lambda role: f"{role}: {_ROLES[role]}", key="new-role")
        st.selectbox("Hospital", sites, index=None, key="new-site", accept_new_options=True, placeholder="Choose, or write a new one")
        hint = f"At least {people.PASSWORD_LENGTH} characters. Tell it to them in person or by phone."
        st.text_input("First password", type="password", key="new-password", help=hint)
        st.form_submit_button("Add", type="primary", on_click=_add, args=(person,))


def _add(person: Person) -> None:
    state = st.session_state
    values = {field: state.get(f"new-{field}") or "" for field in ("username", "name", "site", "password")}
    added = words.attempt(
        f"{values['name']} can sign in now.",
        people.add_person,
        database(),
        person,
        values["username"],
        values["name"],
        state["new-role"],
        values["site"] or None,
        values["password"],
    )
    if added:
        for field in ("name", "username", "password"):
            state[f"new-{field}"] = ""


def _deletion(person: Person, others: list[Person]) -> None:
    st.text(
        "Erases name, user name, password and sign-ins for good. What the person judged stays in its study under the pseudonym; a round that they "
        "have not read through can then be closed with a reason."
    )
    names = {one.id: f"{one.name} ({one.username}), {one.role}" for one in others}
    if not names:
        st.text("There is no other account.")
        return
    chosen = st.selectbox("Account", list(names), index=None, format_func=names.__getitem__, key="delete-who", placeholder="Choose", width=520)
    if chosen is not None:
        sure = st.checkbox("I know that this cannot be undone", key=f"delete-sure-{chosen}")
        st.button("Delete the account", type="primary", disabled=not sure, on_click=_delete, args=(person, chosen))


def _delete(person: Person, person_id: int) -> None:
    named: list[bool] = []
    if words.attempt("The account is deleted.", lambda: named.append(people.delete_person(database(), person, person_id))):
        st.session_state["delete-who"] = None
        if named[0]:
            words.say(
                "The account is deleted. The audit trail of this database, begun by an earlier version, still has the user name: docs/audit.md."
            )
