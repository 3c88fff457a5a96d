"""Visits to screens: who is there, what they see, which button they press."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from pages import access, desk
from storage.tables import Placement, ReadingCase
from study import cases
from study.answers import Answer
from tests.world import GOOD_ANSWER, World

SECONDS = 60  # for one run
_ON_DESK, _SENT = "on desk", "sent from desk"


def without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest runs no scripts of a browser: here the desk is a button for each event, and `on_desk` what it was given."""

    def plain(data: dict[str, Any], **on_event: Callable[[], None]) -> None:
        st.session_state[_ON_DESK] = data
        st.text(f"{data['title']} {data['study']} {data['notice']}")
        for event, callback in on_event.items():
            st.button(event, key=f"desk-{event}", on_click=callback)

    monkeypatch.setattr(desk, "desk", plain)
    monkeypatch.setattr(desk, "sent", lambda event: st.session_state[_SENT])


def on_desk(test: AppTest) -> dict[str, Any]:
    """What the browser would have got for the case."""
    data: dict[str, Any] = test.session_state[_ON_DESK]
    return data


def send(test: AppTest, event: str, value: Any) -> AppTest:
    """What the browser sends, and the run after it."""
    test.session_state[_SENT] = value
    return test.button(key=f"desk-{event}").click().run()


@dataclass
class Visit:
    """Who is at the screens of a world: `token` is what their browser presents."""

    world: World
    token: str | None = None

    def as_(self, who: str, screen: str, **query: object) -> AppTest:
        """A screen in a new session of this person."""
        test = AppTest.from_string(f"from pages import {screen}\n{screen}.render()", default_timeout=SECONDS)
        test.user = {access.IDENTITY: str(self.world.people[who].id)}
        test.query_params.update({name: str(value) for name, value in query.items()})
        self.token = self.world.tokens[who]
        return test.run()

    def reads(self, who: str = "reader") -> AppTest:
        return self.as_(who, "reading", round=self.world.round_id)

    def submits(self, answer: Answer = GOOD_ANSWER, *, who: str = "reader", place: str | None = None, **more: Any) -> dict[str, Any]:
        """What the server says to an answer from the desk; without a place, to the case that comes next."""
        reader = self.world.people[who]
        place = place or (cases.of_round(self.world.db, reader, self.world.round_id) or {})["place"]
        return cases.answered(self.world.db, reader, {"place": place, "key": self.key(place, who), "answer": answer.as_dict(), **more})

    def key(self, place: str, who: str = "reader") -> str:
        """What binds the case at a place to its reader, as the desk has been told it; empty where it has not."""
        reader, [round_id, position] = self.world.people[who], place.removeprefix("practice-").removesuffix("-again").split("-")[:2]
        if who != "coordinator" and int(round_id) == self.world.round_id:
            with self.world.db.read() as session:
                code = session.scalar(
                    select(ReadingCase.code)
                    .join(Placement, Placement.case_id == ReadingCase.id)
                    .where(Placement.reader_id == reader.id, Placement.position == int(position))
                )
                phase = session.scalar(select(Placement.phase).where(Placement.reader_id == reader.id, Placement.position == int(position)))
            return hashlib.sha256(f"{code} {phase} {reader.id} {reader.username}".encode()).hexdigest()[:32]
        return ""


def shown(test: AppTest) -> str:
    """Everything a person can read on the screen, with Markdown's escapes taken out."""
    kinds = (test.header, test.subheader, test.markdown, test.text, test.caption, test.error, test.warning, test.info, test.success, test.html)
    texts = [str(getattr(element, "value", None) or element.proto.body) for kind in kinds for element in kind]
    labels = [getattr(widget, "label", "") for kind in (test.button, test.radio, test.selectbox, test.metric, test.text_input) for widget in kind]
    return "\n".join([*texts, *labels]).replace("\\", "")


def by_label(test: AppTest, label: str) -> Any:
    [button] = [one for one in test.button if one.label == label]
    return button
