"""Commands on the record: checking a database or a bundle, what can be deposited before a round is read."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.database import Database
from study import audit_check, commitment
from study.commands.common import of_study
from study.errors import StudyError
from study.settings import Settings

_SQLITE = b"SQLite format 3\0"


def verify(given: argparse.Namespace) -> dict[str, Any]:
    """Of a bundle (zip or folder), of a SQLite file, or of the database at a URL; nothing is written, and nothing is brought up to date."""
    what = given.what or Settings.from_environment(given.db).database
    path = Path(what)
    if "://" not in what and (path.is_dir() or (path.is_file() and not _is_sqlite(path))):
        if given.db is None:
            return {"bundle": path.name, **audit_check.bundle(path)}
        with _there(given.db) as db:
            return {"bundle": path.name, **audit_check.bundle(path, db)}
    with _there(what if "://" in what else f"sqlite:///{path}") as db:
        return audit_check.database(db)


def commitments(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        return commitment.published(db, person, study_id)


@contextmanager
def _there(url: str) -> Iterator[Database]:
    """A database that exists, to read in only."""
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).expanduser().is_file():
        raise StudyError(
            f"{url.removeprefix('sqlite:///')}: there is no such file. Name a database (file or URL), or the zip or folder of an export."
        )
    db = Database(url, read_only=True)
    try:
        yield db
    finally:
        db.close()


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE
