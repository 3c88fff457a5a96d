"""A database that is only looked at: nothing is written into it, nor beside it; and a log that could not be emptied is told."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import audit, database
from storage.database import Database
from storage.errors import Unavailable


def made(path: Path) -> Path:
    db = Database(f"sqlite:///{path}")
    db.migrate()
    with db.write() as session:
        audit.append(session, None, "a", "b")
    db.close()
    return path


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Name -> content and time of the last change of every file."""
    return {path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def entries(path: Path) -> int:
    db = Database(f"sqlite:///{path}", read_only=True)
    try:
        assert db.is_current()
        with db.read() as session:
            return audit.verify(session)
    finally:
        db.close()


@pytest.mark.parametrize("name", ["study.db", "a b#c?d%20é.db"])
def test_reading_a_file_that_nobody_has_open_writes_nothing(tmp_path: Path, name: str) -> None:
    path = made(tmp_path / name)
    before = state(tmp_path)
    assert entries(path) == 1
    assert state(tmp_path) == before


def test_a_file_that_does_without_a_log_goes_on_without(tmp_path: Path) -> None:
    path = made(tmp_path / "study.db")
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")
    before = state(tmp_path)
    assert entries(path) == 1
    assert state(tmp_path) == before


def test_what_a_server_has_written_and_not_yet_put_away_is_read_too(tmp_path: Path) -> None:
    path = made(tmp_path / "study.db")
    server = Database(f"sqlite:///{path}")
    with server.write() as session:
        audit.append(session, None, "c", "d")
    before = {name: of for name, of in state(tmp_path).items() if not name.endswith("-shm")}  # where readers note how far they have read
    assert entries(path) == 2
    assert {name: of for name, of in state(tmp_path).items() if not name.endswith("-shm")} == before
    server.close()


def test_nothing_can_be_written_and_no_file_is_made(tmp_path: Path) -> None:
    path = made(tmp_path / "study.db")
    db = Database(f"sqlite:///{path}", read_only=True)
    with pytest.raises(Unavailable), db.write() as session:
        session.execute(text("UPDATE study SET seed = 1"))
    db.close()
    missing = Database(f"sqlite:///{tmp_path / 'folder' / 'nothing.db'}", read_only=True)
    with pytest.raises(Unavailable):
        missing.is_current()
    assert [one.name for one in tmp_path.iterdir()] == ["study.db"]


def test_a_log_that_somebody_reads_from_is_not_said_to_be_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PRAGMAS", ("busy_timeout=10", *database._PRAGMAS[1:]))
    path = made(tmp_path / "study.db")
    db = Database(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM audit").fetchone()
        with db.write() as session:
            audit.append(session, None, "c", "Quittenbaum")
        assert db.put_away_log() is False
        assert b"Quittenbaum" in path.with_name("study.db-wal").read_bytes()
    assert db.put_away_log() is True
    assert path.with_name("study.db-wal").read_bytes() == b""
    db.close()
