"""A disk that is full, a file that may not be written to, a database that is locked or gone: the reader is told, and the same answer is stored once
things are back."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import app
from pages import access, faults
from pages.security_headers import SecurityHeaders
from storage import database
from storage.database import Database
from storage.tables import Judgement
from study import audit_check, cases, log
from study.load.setting import set_up
from study.people import Person
from tests.postgres_server import PostgresServer
from tests.world import GOOD_ANSWER, beats

PATIENCE_MS = 300  # of SQLite with a lock, in place of ten seconds


@dataclass
class Desk:
    """A reader with a case before them, and the answer that their browser sends."""

    db: Database
    reader: Person
    client: TestClient
    caplog: pytest.LogCaptureFixture

    def __post_init__(self) -> None:
        case = cases.of_round(self.db, self.reader, 1)
        assert case is not None
        self.sent = {"place": case["place"], "key": case["key"], "answer": GOOD_ANSWER.as_dict(), "viewing": {}}
        self.before = self.stored()

    def submits(self) -> Any:
        return self.client.post("/answer", json=self.sent)

    def stored(self) -> int:
        with self.db.read() as session:
            return session.scalar(select(func.count()).select_from(Judgement)) or 0

    def is_told(self, reason: str) -> None:
        """503, in words that name no database, with an id under which the log has the reason: the desk keeps the answer and sends it again."""
        answer = self.submits()
        assert answer.status_code == 503
        number = answer.headers[faults.HEADER]
        assert answer.text == faults.AWAY.format(number)
        [line] = [line for line in (log.Lines("test").format(record) for record in self.caplog.records) if number in line]
        assert re.search(reason, line)

    def is_stored_once(self) -> None:
        for _ in range(2):  # the second as if the receipt had been lost
            answer = self.submits()
            assert (answer.status_code, answer.json()["notice"]) == (200, None)
        assert self.stored() == self.before + 1
        assert audit_check.database(self.db)["judgements"] == self.before + 1


@contextmanager
def at_desk(url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Desk]:
    monkeypatch.setenv("BLINDSTRIP_DATABASE", url)
    access.database.cache_clear()
    served = Starlette(
        routes=[Route("/answer", app.answer, methods=["POST"])],
        middleware=[Middleware(SecurityHeaders), Middleware(app.IdentityGate)],
        exception_handlers=app.app._exception_handlers,
    )
    caplog.set_level(logging.INFO)
    db = access.database()
    db.migrate()
    [(reader, token)] = set_up(db, 4, 1, strip=lambda _rhythm, number: beats(number))
    try:
        yield Desk(db, reader, TestClient(served, raise_server_exceptions=False, cookies={access.COOKIE: token}), caplog)
    finally:
        access.database().close()
        access.database.cache_clear()


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[None]:
    """A mount at a folder, which needs root; skips the test where this machine allows none."""
    done = subprocess.run(["mount", *arguments, str(at)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with (
        mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs", at=tmp_path),
        at_desk(f"sqlite:///{tmp_path / 'study.db'}", monkeypatch, caplog) as desk,
    ):
        assert desk.db.put_away_log()  # or what is in it already would be written over, which takes no room
        filling = tmp_path / "filling"
        with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        desk.is_told("full")
        desk.is_told("full")
        filling.unlink()
        desk.is_stored_once()


def test_a_file_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "study.db"
    with at_desk(f"sqlite:///{file}", monkeypatch, caplog) as desk, Database(desk.db.url).read():  # whoever reads keeps SQLite's files there
        desk.db.close()  # what was open may go on writing: only what is opened anew is refused
        if os.geteuid() == 0:  # root may write to what is read-only, but not where a mount is
            with mounted("--bind", str(tmp_path), at=tmp_path):
                subprocess.run(["mount", "-o", "remount,bind,ro", str(tmp_path)], check=True)
                desk.is_told("readonly|unable to open")
                desk.db.close()
        else:
            file.chmod(0o400)
            desk.is_told("readonly|unable to open")
            desk.db.close()
            file.chmod(0o600)
        desk.is_stored_once()


def test_a_database_that_another_process_has_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(database, "_PRAGMAS", (f"busy_timeout={PATIENCE_MS}", *database._PRAGMAS[1:]))
    file = tmp_path / "study.db"
    program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    with at_desk(f"sqlite:///{file}", monkeypatch, caplog) as desk:
        with subprocess.Popen([sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "locked\n"
            desk.is_told("locked")
        desk.is_stored_once()


def test_a_postgresql_that_is_gone_for_a_while(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with at_desk(postgres.new_database(), monkeypatch, caplog) as desk:
        postgres.stop()
        try:
            desk.is_told("connection")
            screen = desk.client.get("/", headers={"accept": "text/html"})
            assert (screen.status_code, screen.text) == (503, faults.AWAY.format(screen.headers[faults.HEADER]))
            with pytest.raises(WebSocketDisconnect) as closed, desk.client.websocket_connect("/_stcore/stream"):
                pass
            assert closed.value.code == app.TRY_LATER
        finally:
            postgres.start()
        desk.is_stored_once()
        at_the_next = replace(desk)
        postgres.stop()
        postgres.start()  # between two answers: nobody notices
        at_the_next.is_stored_once()
