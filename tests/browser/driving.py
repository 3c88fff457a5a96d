"""Driving the real app: a server of its own on a fresh database, and the few moves that every browser test makes."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from pages.access import COOKIE

ROOT = Path(__file__).resolve().parents[2]
VIEWPORT: ViewportSize = {"width": 1440, "height": 900}
_START_SECONDS = 90


@dataclass
class Server:
    """A running blindstrip. `database` is its URL, `log` what it printed."""

    url: str
    database: str
    log: Path
    process: subprocess.Popen[bytes]
    elsewhere: list[str] = field(default_factory=list)  # what its pages asked of other hosts, or tried against the content policy

    def watch(self, context: BrowserContext) -> None:
        """Keeps every request of a browser that leaves this server, and what the browser itself refused to do."""

        def look(url: str) -> None:
            if url.partition("://")[2].partition("/")[0] != urlparse(self.url).netloc and not url.startswith(("data:", "blob:")):
                self.elsewhere.append(url)

        context.on("request", lambda request: look(request.url))
        context.on("console", lambda said: self.elsewhere.append(said.text) if "Content Security Policy" in said.text else None)
        context.on("page", lambda page: page.on("websocket", lambda socket: look(socket.url)))

    def open(self, chrome: Browser, path: str = "/") -> Page:
        """The page at a path in a browser without cookies."""
        context = chrome.new_context(viewport=VIEWPORT, accept_downloads=True)
        self.watch(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(self.url + path)
        return page

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def start_server(folder: Path, port: int | None = None, *, environment: Mapping[str, str] | None = None) -> Server:
    """Serves the app on a free port with the database in `folder`, empty at first; returns once it answers."""
    port = port or free_port()
    database, log = f"sqlite:///{folder / 'study.db'}", folder / "server.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSTRIP_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT,
            env={**inherited, **(environment or {}), "BLINDSTRIP_DATABASE": database},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://127.0.0.1:{port}", database, log, process)
    end = time.monotonic() + _START_SECONDS
    while not _answers(server.url):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise RuntimeError(f"The app did not start:\n{log.read_text()}")
        select.select([], [], [], 0.2)
    return server


def sign_in(server: Server, chrome: Browser, username: str, password: str) -> Page:
    """A fresh browser, signed in."""
    page = server.open(chrome, "/sign-in")
    page.locator("input[name=username]").fill(username)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in").click()
    settled(page)
    return page


def at_the_desk(
    server: Server,
    chrome: Browser,
    token: str,
    *,
    ratio: float = 1,
    viewport: ViewportSize = VIEWPORT,
    path: str = "/?round=1",
    theme: Literal["light", "dark"] = "light",
    touch: bool = False,
) -> Page:
    """A signed-in reader with a case before them, who has put off the bank card."""
    context = chrome.new_context(viewport=viewport, device_scale_factor=ratio, color_scheme=theme, has_touch=touch)
    server.watch(context)
    context.add_cookies([{"name": COOKIE, "value": token, "url": server.url}])
    context.add_init_script("localStorage.setItem('blindstrip/card asked', 'yes')")
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(server.url + path)
    return page


def on_desk(page: Page, place: str) -> None:
    """Waits until a case's strip is painted: round-position, or round-position-again for a correction."""
    expect(page.locator(f'.desk[data-painted="{place}"]')).to_be_visible(timeout=30_000)


def press(page: Page, keys: str) -> None:
    """One key for each letter."""
    for key in keys:
        page.keyboard.press(key)


def settled(page: Page) -> None:
    """Waits until the script run is over: before that, a click could hit what the last run drew."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
