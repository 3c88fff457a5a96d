"""A browser tab without a browser: signs in over HTTP, speaks Streamlit's websocket protocol, and keeps everything the server sends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Self

import httpx
from google.protobuf import json_format
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

from pages.access import COOKIE

_SECONDS = 60  # for one message


class Tab:
    """One tab of a browser. `run` is a click, a reload or a move; `messages` and `frames` are what the server sent for the last one.

    cookie: of the sign-in; headers: what a hostile client adds; session_id: of a session to resume; origin: the page that opens the websocket.
    Raises websockets' InvalidStatus where the server refuses the connection.
    """

    def __init__(
        self, url: str, cookie: str = "", *, query: str = "", headers: dict[str, str] | None = None, session_id: str = "", origin: str | None = None
    ) -> None:
        self._query, self._kept, self._answers = query, dict[str, ForwardMsg](), dict[str, WidgetState]()
        self.messages: list[ForwardMsg] = []
        self.frames: list[bytes] = []
        self.session_id = ""
        self._opening = connect(
            url.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=["streamlit", *(["none", session_id] if session_id else [])],  # type: ignore[list-item]
            additional_headers={**({"Cookie": f"{COOKIE}={cookie}"} if cookie else {}), **(headers or {})},
            origin=origin,  # type: ignore[arg-type]
            max_size=None,
            compression=None,
            open_timeout=_SECONDS,
        )

    def __enter__(self) -> Self:
        self._socket = self._opening.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._opening.__exit__(None, None, None)

    def run(self, page: str = "") -> Self:
        """Runs the script, with what was answered and clicked since; page: what stands in the address after the slash."""
        back = BackMsg()
        back.rerun_script.query_string, back.rerun_script.page_name = self._query, page
        back.rerun_script.widget_states.widgets.extend(self._answers.values())
        self._socket.send(back.SerializeToString())
        self.messages, self.frames = [], []
        for message in self._until_the_end():
            self.messages.append(message)
            if message.WhichOneof("type") == "new_session":
                self.session_id = message.new_session.initialize.session_id
        self._answers = {name: state for name, state in self._answers.items() if state.WhichOneof("value") != "trigger_value"}
        return self

    def _until_the_end(self) -> Iterator[ForwardMsg]:
        while True:
            frame = self._socket.recv(_SECONDS)
            assert isinstance(frame, bytes)
            self.frames.append(frame)
            message = ForwardMsg.FromString(frame)
            if message.WhichOneof("type") == "ref_hash":  # sent before: the client keeps it
                message = self._kept[message.ref_hash]
            elif message.hash:
                self._kept[message.hash] = message
            yield message
            if message.WhichOneof("type") == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return

    def answer(self, key: str, **value: Any) -> None:
        """Fills the widget that was given this key, e.g. `answer("rhythm-1-1", string_array_value=["unsure"])`."""
        [name] = [name for name in self.widgets() if name.endswith(f"-{key}")]
        state = WidgetState(id=name)
        for field, given in value.items():
            if field == "string_array_value":
                state.string_array_value.data.extend(given)
            else:
                setattr(state, field, given)
        self._answers[name] = state

    def click(self, key: str) -> None:
        self.answer(key, trigger_value=True)

    def widgets(self) -> list[str]:
        """The ids of what the last run drew."""
        found = []
        for message in self.messages:
            if message.WhichOneof("type") == "delta" and message.delta.WhichOneof("type") == "new_element":
                element = message.delta.new_element
                drawn = getattr(element, element.WhichOneof("type") or "empty")
                if hasattr(drawn, "id") and drawn.id:
                    found.append(drawn.id)
        return found

    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("type") for message in self.messages]

    def pages(self) -> list[str]:
        """What the navigation offers: the addresses, the default page's as an empty one."""
        [navigation] = [message.navigation for message in self.messages if message.WhichOneof("type") == "navigation"]
        return [page.url_pathname for page in navigation.app_pages]

    def drawn(self) -> str:
        """Everything that the last run put on the screen, as one text."""
        return "\n".join(str(json_format.MessageToDict(m.delta)) for m in self.messages if m.WhichOneof("type") == "delta")


def browser(url: str) -> httpx.Client:
    """HTTP with a cookie jar, as a browser asks for pages; follows no redirect."""
    return httpx.Client(base_url=url, headers={"Accept": "text/html"}, timeout=_SECONDS)


def post_form(client: httpx.Client, path: str, form: str = "/sign-in", **fields: str) -> httpx.Response:
    """Fills and sends a form that stands on the page at `form`, with its CSRF token."""
    token = re.search(r'name="csrf" value="([^"]+)"', client.get(form).text)
    return client.post(path, data={**fields, "csrf": token[1] if token else ""})


def sign_in(url: str, username: str, password: str) -> str:
    """The cookie of a sign-in by the form."""
    with browser(url) as client:
        answer = post_form(client, "/sign-in", username=username, password=password)
        assert answer.status_code == 303, answer.text
        return client.cookies[COOKIE]
