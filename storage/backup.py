"""Backups: one SQLite file with its checksum beside it, taken while others read and write, and the way back into an empty database."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text

from storage.copying import Content, compare, content, copy
from storage.database import Database
from storage.errors import StorageError, Unavailable

_SQLITE = b"SQLite format 3\0"


def backup(db: Database, file: Path) -> Content:
    """Into a new file that nobody else may read, and `FILE.sha256` beside it, as `sha256sum -c` reads it.

    Of SQLite by its online backup, whatever its schema; of PostgreSQL by a copy. What was written is read again and compared with the state that
    was copied. Raises StorageError where the file is there already, or something differs; nothing is left behind then.
    """
    for path in (file, _beside(file)):
        if path.exists():
            raise StorageError(f"{path} is there already. Name a new file: a backup replaces none.")
    with _part(file) as part:
        there = _online(db, part) if db.engine.dialect.name == "sqlite" else _by_copy(db, part)
        with closing(sqlite3.connect(part)) as raw:
            raw.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        compare(there, checked(part))
        _kept(part)
        line = f"{sha256(part)}  {file.name}\n"
        part.rename(file)
    beside = _beside(file)
    beside.touch(0o600)
    beside.write_text(line, encoding="utf-8")
    _kept(beside)
    _kept(file.parent)
    return there


def checked(file: Path) -> Content:
    """What a backup holds. Raises StorageError for a file that is no database of blindstrip, damaged, or of a newer version; writes nothing."""
    if not file.is_file():
        raise StorageError(f"{file}: there is no such file. Name a backup.")
    with file.open("rb") as opened:
        if opened.read(len(_SQLITE)) != _SQLITE:
            raise StorageError(f"{file} is no backup of blindstrip: it is no SQLite file.")
    beside = _beside(file)
    if beside.exists() and beside.read_text(encoding="utf-8").split()[:1] != [sha256(file)]:
        raise StorageError(f"{file} is damaged: its checksum is not the one in {beside.name}. Take another backup.")
    db = Database(f"sqlite:///{file}", read_only=True)
    try:
        with db.read() as session:
            if (found := session.scalar(text("PRAGMA integrity_check"))) != "ok":
                raise StorageError(f"{file} is damaged: {str(found).splitlines()[0]}. Take another backup.")
            if (broken := session.execute(text("PRAGMA foreign_key_check")).first()) is not None:
                raise StorageError(f"{file} is damaged: table {broken[0]} names a row that is not there. Take another backup.")
        db.is_current()  # refuses what is newer, or not of blindstrip
        with db.read() as session:
            return content(session)
    except Unavailable as error:
        raise StorageError(f"{file} is damaged or cannot be read. Take another backup. ({error})") from error
    finally:
        db.close()


def restore(file: Path, target: Database) -> Content:
    """Into an empty database on either engine; a backup of an earlier version is brought up to date on the way, and stays as it is itself.

    Raises StorageError as `checked` and `copying.copy` do.
    """
    checked(file)
    with _of_this_version(file) as source:
        return copy(source, target)


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _online(db: Database, part: Path) -> Content:
    with db.read() as session:
        there = content(session)  # the first statement fixes the state that is backed up, too
        raw: Any = session.connection().connection.driver_connection
        with closing(sqlite3.connect(part)) as copied:
            raw.backup(copied)  # in one step: in steps it would begin anew with every write of others
    return there


def _by_copy(db: Database, part: Path) -> Content:
    target = Database(f"sqlite:///{part}")
    try:
        return copy(db, target)
    finally:
        target.close()


@contextmanager
def _of_this_version(file: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="blindstrip-") as folder:
        db = Database(f"sqlite:///{file}", read_only=True)
        try:
            if not db.is_current():
                db.close()
                shutil.copyfile(file, Path(folder) / "earlier.db")
                db = Database(f"sqlite:///{folder}/earlier.db")
                db.migrate()
            yield db
        finally:
            db.close()


@contextmanager
def _part(file: Path) -> Iterator[Path]:
    """A file of our own beside the one to come; gone, with what SQLite made beside it, unless it was given its name."""
    try:
        opened, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # nobody else may read it
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}. Name a file in a folder that is there and yours to write.") from error
    os.close(opened)
    try:
        yield Path(name)
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            Path(name + ending).unlink(missing_ok=True)


def _beside(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def _kept(path: Path) -> None:
    """On the disk, not on its way there."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
