"""An account that was deleted while somebody read from the database: done, and told that SQLite's log still holds it, and what to do."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage import database
from storage.database import Database
from tests.study.cli_calls import call, run
from tests.study.hospital import hospital


def test_a_log_that_could_not_be_emptied_is_told_with_its_remedy(db: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PRAGMAS", ("busy_timeout=10", *database._PRAGMAS[1:]))
    hospital(db)
    db.close()
    with closing(sqlite3.connect(tmp_path / "study.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM person").fetchone()
        status, out, err = call("people", "delete", "dot", "--as", "adam", "--db", url, "--json")
    assert (status, json.loads(out)["still_in_the_log"]) == (0, True)
    assert "stop blindstrip and run `blindstrip people list --as USERNAME` once" in err
    assert "Dot" not in str(run("people", "list", "--as", "adam", "--db", url))
    assert not (tmp_path / "study.db-wal").exists()  # the remedy works
    assert run("people", "delete", "cai", "--as", "adam", "--db", url)["still_in_the_log"] is False
