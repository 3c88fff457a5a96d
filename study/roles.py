"""The four roles and what each may do: permission is decided here, once, for screens and commands alike."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from study.errors import NotAllowed


class Role(StrEnum):
    READER = "reader"
    COORDINATOR = "coordinator"
    RESEARCHER = "researcher"
    ADMIN = "admin"


class Action(StrEnum):
    """What can be asked for; the value completes "... may not ..."."""

    READ_CASES = "read cases"
    SEE_STUDIES = "see how studies progress"
    MANAGE_STUDIES = "set up a study"
    OPEN_ROUNDS = "open a round"
    UNBLIND = "unblind a study"
    SEE_RESULTS = "see results"
    EXPORT = "export a study"
    IMPORT_RECORDINGS = "import recordings"
    DRAW_STRIPS = "draw synthetic strips"
    SEE_STRIPS = "see the recordings and the gallery"
    MANAGE_PEOPLE = "add people"
    SEE_PEOPLE = "see other people"
    SEE_AUDIT = "read the audit trail"
    SEE_SERVER = "see how the server does"


_CONDUCT = {
    Action.SEE_STUDIES,
    Action.MANAGE_STUDIES,
    Action.OPEN_ROUNDS,
    Action.UNBLIND,
    Action.SEE_RESULTS,
    Action.EXPORT,
    Action.MANAGE_PEOPLE,
    Action.SEE_PEOPLE,
    Action.SEE_AUDIT,
}
_MATERIAL = {Action.IMPORT_RECORDINGS, Action.DRAW_STRIPS, Action.SEE_STRIPS}

ALLOWED: dict[Role, frozenset[Action]] = {
    Role.READER: frozenset({Action.READ_CASES, Action.SEE_PEOPLE}),
    Role.COORDINATOR: frozenset(_CONDUCT),
    Role.RESEARCHER: frozenset(_MATERIAL | {Action.SEE_STUDIES, Action.UNBLIND, Action.SEE_RESULTS, Action.EXPORT, Action.SEE_PEOPLE}),
    Role.ADMIN: frozenset(_CONDUCT | _MATERIAL | {Action.SEE_SERVER}),  # everything but reading: who knows where strips come from must not judge them
}


class HasRole(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> Role: ...


def may(person: HasRole | None, action: Action) -> bool:
    """Whether this person's role allows the action; nobody (None) may do nothing."""
    return person is not None and action in ALLOWED[person.role]


def demand(person: HasRole | None, action: Action) -> None:
    """Raises NotAllowed, with the roles that may, unless this person may do it."""
    if may(person, action):
        return
    who = f"{person.name} ({person.role})" if person else "Somebody who is not signed in"
    allowed = [role.value for role in Role if action in ALLOWED[role]]
    raise NotAllowed(f"{who} may not {action.value}. Sign in as {_or(allowed)}.")


def _or(words: list[str]) -> str:
    with_article = [("an " if word[0] in "aeiou" else "a ") + word for word in words]
    return " or ".join(with_article) if len(words) < 3 else ", ".join(with_article[:-1]) + " or " + with_article[-1]
