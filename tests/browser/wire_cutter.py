"""A network that can be cut: connections to a server go through here until `cut`, and again after `mend`."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlparse

from tests.browser.driving import free_port


class Network:
    """`url` leads to the server as long as the network is whole; `hold_answers` lets requests through and keeps back what the server says."""

    def __init__(self, url: str) -> None:
        self._to = ("127.0.0.1", urlparse(url).port or 80)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._open: set[socket.socket] = set()
        self._whole = False
        self._answers = threading.Event()
        self._answers.set()
        self.mend()

    def cut(self) -> None:
        """Ends every connection, and takes no new one."""
        self._whole = False
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for one in list(self._open):
            _close(one)
        self._answers.set()

    def mend(self) -> None:
        if self._whole:
            return
        self._door = socket.create_server(("127.0.0.1", self._port))
        self._whole = True
        threading.Thread(target=self._let_in, args=(self._door,), daemon=True).start()

    def hold_answers(self) -> None:
        self._answers.clear()

    def _let_in(self, door: socket.socket) -> None:
        while True:
            try:
                client, _ = door.accept()
                server = socket.create_connection(self._to)
            except OSError:
                if not self._whole:
                    return
                continue
            self._open |= {client, server}
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, from_: socket.socket, to: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := from_.recv(65536):
                if answers:
                    self._answers.wait()
                to.sendall(data)
        for one in (from_, to):
            _close(one)
            self._open.discard(one)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
