"""A reader without a browser: opens the reading screen by Streamlit's websocket, keeps it open, and sends answers as the desk does.

Of Streamlit's messages (protocol buffers) a reading needs two, "run" and "the run is over", which are written and read here by hand: nothing in
study/ imports Streamlit.
"""

from __future__ import annotations

import random
import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from study.answers import Answer
from study.protocol import MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS
from study.sign_in import COOKIE

_SECONDS = 20.0  # for one message, and for one answer: as pages/desk/sending.js
_RERUN_SCRIPT, _QUERY_STRING = 11, 1  # fields of Streamlit's BackMsg and ClientState
_SCRIPT_FINISHED, _EARLY_FOR_RERUN = 6, 2  # field of its ForwardMsg, and the value after which the script runs again
_ON_DESK = re.compile(rb'"key": ?"([0-9a-f]{32})".*?"place": ?"(\d+-(\d+))"', re.DOTALL)
_READ_THROUGH = b"Round read through"


@dataclass(frozen=True)
class Case:
    """What an answer has to name of the case on the desk."""

    place: str  # round-position
    key: str
    position: int


class Away(Exception):
    """No word from the server that the answer is stored: it is to be sent again. The message says what came instead."""


class Refused(Exception):
    """The server will not store this answer, however often it is sent; or there is nothing to answer."""


class Reader:
    """One browser of a reader who is signed in; close it, or use it with `with`."""

    def __init__(self, url: str, token: str, round_id: int = 1) -> None:
        self._url, self._token, self._round_id = url, token, round_id
        self._client = httpx.Client(base_url=url, cookies={COOKIE: token}, timeout=_SECONDS)
        self._screen = ExitStack()

    def open(self) -> Case | None:
        """The case on the screen, opened anew; None where the round is read through. Raises Away and Refused."""
        self._screen.close()
        try:
            connecting = connect(
                self._url.replace("http", "ws", 1) + "/_stcore/stream",
                subprotocols=["streamlit"],  # type: ignore[list-item]
                additional_headers={"Cookie": f"{COOKIE}={self._token}"},
                max_size=None,
                compression=None,
                open_timeout=_SECONDS,
            )
            socket = self._screen.enter_context(connecting)
            socket.send(run_message(f"round={self._round_id}"))
            shown = b""
            while not is_end(frame := socket.recv(_SECONDS, decode=False)):
                shown += frame
        except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
            raise Away(type(error).__name__) from error
        if found := _ON_DESK.search(shown):
            return Case(found[2].decode(), found[1].decode(), int(found[3]))
        if _READ_THROUGH not in shown:
            raise Refused("The reading screen came without a case on it, and the round is not read through.")
        return None

    def submit(self, case: Case, answer: Answer) -> Case | None:
        """The next case once the answer is stored; None where that was the last. Raises Away and Refused."""
        sent = {"place": case.place, "key": case.key, "answer": answer.as_dict(), "viewing": {}}
        try:
            reply = self._client.post("/answer", json=sent)
        except httpx.HTTPError as error:
            raise Away(type(error).__name__) from error
        if reply.status_code in (400, 403, 409, 413, 422):
            raise Refused(f"{reply.status_code}: {reply.text}")
        if reply.status_code != 200:
            raise Away(f"{reply.status_code}: {reply.text}")
        said: dict[str, Any] = reply.json()
        if said.get("problem") or said.get("notice"):
            raise Refused(str(said.get("problem") or said["notice"]))
        following = said.get("case")
        return Case(following["place"], following["key"], following["done"] + 1) if following else None

    def close(self) -> None:
        self._screen.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def some_answer(chance: random.Random, comment: str = "") -> Answer:
    """A complete answer to any case, by chance."""
    morphology = {item: chance.choice(MORPHOLOGY_ANSWERS) for item in MORPHOLOGY_ITEMS}
    return Answer(chance.randint(1, 6), chance.choice(["NSR", "AF", "unsure"]), morphology, comment=comment)


# ---- Streamlit's messages ----


def run_message(query: str) -> bytes:
    """BackMsg{rerun_script: ClientState{query_string}}, for fewer than 100 letters."""
    return _field(_RERUN_SCRIPT, _field(_QUERY_STRING, query.encode()))


def is_end(frame: bytes) -> bool:
    """Whether a ForwardMsg says that the script has run to its end."""
    at = 0
    while at < len(frame):
        tag, at = _number(frame, at)
        value, at = _number(frame, at)  # of a text or a message: its length
        if tag == _SCRIPT_FINISHED << 3:
            return value != _EARLY_FOR_RERUN
        at += value if tag & 7 == 2 else 0
    return False


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def _number(frame: bytes, at: int) -> tuple[int, int]:
    """A varint, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = frame[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
