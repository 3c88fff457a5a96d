"""People and their hospitals: whom to invite, their links and addresses, their roles, and the end of an account."""

from __future__ import annotations

import streamlit as st

from pages import words
from pages.access import database, require
from study import invitations, people
from study.errors import Problems
from study.people import Person
from study.roles import Action, Role

_ROLES = {
    Role.READER: "reads cases; sees nothing of where strips come from",
    Role.COORDINATOR: "sets up studies, opens rounds, sees how far readers are",
    Role.RESEARCHER: "imports recordings, draws strips",
    Role.ADMIN: "everything but reading",
}
_LINK = "people-link"  # in session state: (whose, the link), shown once


def render() -> None:
    person = require(Action.MANAGE_PEOPLE)
    words.heading("People", demo=person.demo)
    words.outcome()
    try:
        everybody = people.people(database(), person)
        waiting = people.waiting(database(), person)
    except Problems as error:
        words.problem(error)
        return
    _link()
    rows = [_row(one, one.id in waiting) for one in everybody]
    st.dataframe(rows, hide_index=True, alt="Everybody who may sign in")
    if person.demo:
        st.text("The demo has its people. Set up a study of your own to add real ones.")
        return
    st.subheader("Invite somebody")
    _form(person, sorted({one.site for one in everybody if one.site}))
    others = [one for one in everybody if one.id != person.id and not one.demo and (one.role is not Role.ADMIN or person.role is Role.ADMIN)]
    st.subheader("Change an account")
    _change(person, others)


def _row(one: Person, waiting: bool) -> dict[str, str]:
    return {"Name": one.name, "User name": one.username, "Role": one.role.value, "Hospital": one.site or "", "Signs in": _signs_in(one, waiting)}


def _signs_in(one: Person, waiting: bool) -> str:
    if one.demo:
        return "by one click"
    if waiting:
        return "link not used yet"
    return "by password or through the hospital" if one.email else "by password"


def _link() -> None:
    """The link that was just made, once: the database has its hash alone."""
    if _LINK not in st.session_state:
        return
    whose, path, until = st.session_state.pop(_LINK)
    with st.container(border=True, key="link"):
        st.text(f"Give this link to {whose} alone: whoever opens it chooses the password. It works once, until {until}.")
        st.caption("It is shown only now.")
        st.code(f"{(st.context.url or '').split('/team')[0]}{path}", language=None, wrap_lines=True)


def _form(person: Person, sites: list[str]) -> None:
    roles = [role for role in Role if role is not Role.ADMIN or person.role is Role.ADMIN]
    with st.form("add-person", width=640):
        st.text_input("Name", key="new-name", max_chars=120)
        st.text_input("User name", key="new-username", max_chars=64, help="What they sign in with: a to z, 0 to 9 and . - _ @")
        st.radio("Role", roles, format_func=lambda role: f"{role}: {_ROLES[role]}", key="new-role")
        st.selectbox("Hospital", sites, index=None, key="new-site", accept_new_options=True, placeholder="Choose, or write a new one")
        st.text_input("E-mail address", key="new-email", max_chars=254, help="Only for signing in through the hospital. Nothing is sent to it.")
        st.form_submit_button("Make the link", type="primary", on_click=_invite, args=(person,))


def _invite(person: Person) -> None:
    state = st.session_state
    given = {field: state.get(f"new-{field}") or "" for field in ("username", "name", "site", "email")}

    def invite() -> None:
        role, site = state["new-role"], given["site"] or None
        _keep(invitations.invite(database(), person, given["username"], given["name"], role, site, email=given["email"] or None))

    if words.attempt(f"{given['name']} is invited.", invite):
        for field in ("name", "username", "email"):
            state[f"new-{field}"] = ""


def _keep(made: invitations.Invitation) -> None:
    st.session_state[_LINK] = (made.person.name, made.path, words.moment(made.expires_at))


def _change(person: Person, others: list[Person]) -> None:
    names = {one.id: f"{one.name} ({one.username}), {one.role}" for one in others}
    if not names:
        st.text("There is no other account.")
        return
    chosen = st.selectbox("Account", list(names), index=None, format_func=names.__getitem__, key="change-who", placeholder="Choose", width=520)
    one = next((one for one in others if one.id == chosen), None)
    if one is None:
        return
    if one.role is Role.READER or person.role is Role.ADMIN:
        _way_in(person, one)
    if person.role is Role.ADMIN:
        _role(person, one)
    _deletion(person, one)


def _way_in(person: Person, one: Person) -> None:
    with st.container(border=True, width=640):
        st.text("A forgotten password: the new link sets another. Until it is used, the old one counts.")
        st.button("Make a new link", key=f"link-{one.id}", on_click=_new_link, args=(person, one))
        with st.form(f"email-{one.id}", border=False):
            st.text_input("E-mail address", one.email or "", key=f"email-of-{one.id}", max_chars=254, help="The hospital's sign-on knows them by it.")
            st.form_submit_button("Keep the address", on_click=_set_email, args=(person, one))


def _new_link(person: Person, one: Person) -> None:
    words.attempt(f"{one.name} has a new link.", lambda: _keep(invitations.new_link(database(), person, one.id)))


def _set_email(person: Person, one: Person) -> None:
    words.attempt("The address is kept.", people.set_email, database(), person, one.id, st.session_state[f"email-of-{one.id}"] or None)


def _role(person: Person, one: Person) -> None:
    with st.form(f"role-{one.id}", width=640):
        st.radio("Role", list(Role), list(Role).index(one.role), format_func=lambda role: f"{role}: {_ROLES[role]}", key=f"role-of-{one.id}")
        st.text_input("Hospital", one.site or "", key=f"site-of-{one.id}", max_chars=120)
        st.form_submit_button("Change the role", on_click=_change_role, args=(person, one))


def _change_role(person: Person, one: Person) -> None:
    role, site = st.session_state[f"role-of-{one.id}"], st.session_state[f"site-of-{one.id}"]
    words.attempt(f"{one.name} is a {role} now.", people.change_role, database(), person, one.id, role, site or None)


def _deletion(person: Person, one: Person) -> None:
    with st.container(border=True, width=640):
        st.text(
            "Deleting erases name, user name, e-mail address, password and sign-ins for good. What the person judged stays in its study under the "
            "pseudonym; a round that they have not read through can then be closed with a reason."
        )
        sure = st.checkbox("I know that this cannot be undone", key=f"delete-sure-{one.id}")
        st.button("Delete the account", type="primary", disabled=not sure, on_click=_delete, args=(person, one.id))


def _delete(person: Person, person_id: int) -> None:
    left: list[people.Deleted] = []
    if words.attempt("The account is deleted.", lambda: left.append(people.delete_person(database(), person, person_id))):
        st.session_state["change-who"] = None
        if left[0].in_log:
            words.say(people.IN_LOG)
        elif left[0].named_in_trail:
            words.say(
                "The account is deleted. The audit trail of this database, begun by an earlier version, still has the user name: docs/audit.md."
            )
