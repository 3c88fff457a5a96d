"""Visits to screens: who is there, what they see, which button they press."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamlit.testing.v1 import AppTest

from pages import access
from tests.world import World

SECONDS = 60  # for one run


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


def shown(test: AppTest) -> str:
    """Everything a person can read on the screen, with Markdown's escapes taken out."""
    kinds = (test.header, test.subheader, test.markdown, test.text, test.caption, test.error, test.warning, test.info, test.success, test.html)
    texts = [str(getattr(element, "value", None) or element.proto.body) for kind in kinds for element in kind]
    labels = [getattr(widget, "label", "") for kind in (test.button, test.radio, test.selectbox, test.metric, test.text_input) for widget in kind]
    return "\n".join([*texts, *labels]).replace("\\", "")


def by_label(test: AppTest, label: str) -> Any:
    [button] = [one for one in test.button if one.label == label]
    return button
