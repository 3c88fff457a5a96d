"""Commands for who keeps the server: backups, moving to another database, whether all is well."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from storage import backup as backups
from storage.copying import Content
from storage.copying import copy as copy_all
from storage.database import Database
from study.doctor import STATES, examine
from study.errors import StudyError
from study.settings import Settings


def backup(given: argparse.Namespace) -> dict[str, Any]:
    with _there(Settings.from_environment(given.db).database) as db:
        held = backups.backup(db, given.file)
    return {"file": str(given.file), "bytes": given.file.stat().st_size, "file_sha256": backups.sha256(given.file), **_told(held)}


def restore(given: argparse.Namespace) -> dict[str, Any]:
    with closing(Database(Settings.from_environment(given.db).database)) as db:
        return {"file": str(given.file), "database": str(db.engine.url), **_told(backups.restore(given.file, db))}


def copy(given: argparse.Namespace) -> dict[str, Any]:
    with _there(Settings.from_environment(given.source or given.db).database) as source, closing(Database(given.to)) as target:
        return {"from": str(source.engine.url), "to": str(target.engine.url), **_told(copy_all(source, target))}


def doctor(given: argparse.Namespace) -> dict[str, Any]:
    settings = Settings.from_environment(given.db)
    checks = examine(settings.database, settings.checkpoint, given.url)
    return {"checks": [asdict(one) for one in checks], **{state.replace(" ", "_"): sum(one.state == state for one in checks) for state in STATES}}


def status_of_doctor(answer: dict[str, Any]) -> int:
    """1 where anything is bad."""
    return int(answer["bad"] > 0)


def _told(held: Content) -> dict[str, Any]:
    """Without the checksums of single tables: see Content."""
    told = asdict(held)
    del told["of_tables"]
    return {"compared": True, "content_sha256": told.pop("sha256"), **told}


@contextmanager
def _there(url: str) -> Iterator[Database]:
    """A database that exists. One that others may be writing is opened as they do; a SQLite file without a log, a backup, is not written to."""
    read_only = False
    if url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///")).expanduser()
        if not file.is_file():
            raise StudyError(f"{file}: there is no such file. Check --db or --from.")
        with file.open("rb") as opened:
            read_only = opened.read(20)[18:] != b"\2\2"  # SQLite's header: 2 where the file has a write-ahead log
    with closing(Database(url, read_only=read_only)) as db:
        yield db
