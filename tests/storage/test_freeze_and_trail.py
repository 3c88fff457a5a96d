"""Migration 0004: what it adds to a study that is being read, and what SQLite and PostgreSQL themselves refuse from then on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from storage import audit, studies
from storage.audit import APPEND_ONLY
from storage.database import Database
from tests.storage.test_migrations import (
    AT,
    READ,
    SINCE,
    _columns,
    _content,
    _database_of_0001,
    _database_of_0002,
    _down_to,
    _one_up,
    _practice,
    _signature,
)

ROOT = Path(__file__).resolve().parents[2]
ROWS: dict[str, dict[str, object]] = {
    "round_closing": {"round_id": 1, "closed_by": 1, "closed_at": AT, "reason": "Ada has left."},
    "commitment": {"round_id": 1, "sha256": "c" * 64, "nonce": "d" * 64, "made_at": AT},
    "amendment": {
        **{"study_id": 1, "number": 1, "amended_by": 1, "amended_at": AT, "before": "{}", "after": "{}", "hash_before": "a", "hash_after": "b"},
        **{"reason": "a", "done": 1, "total": 2, "closed": False},
    },
    "snapshot": {"study_id": 1, "sha256": "e" * 64, "content": b"1", "taken_at": AT},
}


def _add(connection: Connection, table: str, row: dict[str, object], verb: str = "INSERT") -> None:
    connection.execute(text(f"{verb} INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"), row)


def _filled(url: str) -> Database:
    """A migrated database with a row in each append-only table."""
    db = _database_of_0002(url)
    db.migrate()
    with db.engine.begin() as connection:
        _practice(connection)
        _signature(connection)
        for table, row in ROWS.items():
            _add(connection, table, row)
    return db


@pytest.fixture
def filled(any_url: str) -> Iterator[Database]:
    db = _filled(any_url)
    yield db
    db.close()


def test_no_row_of_the_third_version_is_lost_and_a_round_keeps_its_protocol(any_url: str) -> None:
    db = _database_of_0002(any_url)
    _one_up(db)
    with db.engine.begin() as connection:
        _practice(connection)
        _signature(connection)
    columns, before = _columns(db), _content(db)
    db.migrate()
    assert _content(db, columns) == before
    assert set(_columns(db)) == set(columns) | SINCE
    with db.read() as session:
        [opened] = studies.rounds(session, 1)
        practice = studies.practice_round(session, 1)
    assert practice is not None
    assert (opened.protocol_hash, practice.protocol_hash) == ("h", "h")  # that of the study: READ
    db.close()


def test_a_database_of_the_first_version_comes_all_the_way(any_url: str) -> None:
    db = _database_of_0001(any_url)
    columns = {table: [name for name in names if (table, name) != ("drawing", "sampler")] for table, names in _columns(db).items()}
    before = _content(db, columns)
    db.migrate()
    assert _content(db, columns) == before
    db.close()


def test_the_way_back_to_the_third_version_loses_nothing(any_url: str) -> None:
    db = _database_of_0002(any_url)
    _one_up(db)
    columns, before = _columns(db), _content(db)
    db.migrate()
    _down_to(db, "0003")
    assert (_columns(db), _content(db)) == (columns, before)
    with pytest.raises(DatabaseError, match="judgement is append-only"), db.engine.begin() as connection:
        connection.execute(text("DELETE FROM judgement"))
    db.migrate()
    assert _content(db, columns) == before
    db.close()


@pytest.mark.parametrize("table", ROWS)
def test_the_way_back_is_refused_where_a_row_would_be_lost(any_url: str, table: str) -> None:
    db = _database_of_0002(any_url)
    db.migrate()
    with db.engine.begin() as connection:
        _add(connection, table, ROWS[table])
    _down_to(db, "0004")
    before = _content(db)
    with pytest.raises(RuntimeError, match=f"a row in {table}"):
        _down_to(db, "0003")
    assert _content(db) == before
    db.close()


def _refuses(db: Database, table: str, statement: str) -> None:
    with pytest.raises(DatabaseError, match=f"{table} is append-only"), db.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nothing_that_was_written_down_can_be_changed_or_removed(filled: Database, table: str) -> None:
    before = _content(filled)
    assert before[table]
    column = _columns(filled)[table][-1]
    _refuses(filled, table, f"UPDATE {table} SET {column} = {column}")
    _refuses(filled, table, f"DELETE FROM {table}")
    if filled.engine.dialect.name == "postgresql":
        _refuses(filled, table, f"TRUNCATE {table} CASCADE")
    assert _content(filled) == before


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_a_row_cannot_be_replaced_either(url: str, table: str) -> None:
    """INSERT OR REPLACE deletes, and fires no DELETE trigger unless a build of SQLite or a pragma says so."""
    db = _filled(url)
    before = _content(db)
    names = _columns(db)[table]
    with db.engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA recursive_triggers = OFF")  # type: ignore[union-attr]
        with pytest.raises(DatabaseError, match=f"{table} is append-only"), connection.begin():
            connection.execute(text(f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) SELECT {', '.join(names)} FROM {table} LIMIT 1"))
        if table == "judgement":  # another row with the same reader, case, phase and revision
            other = {**READ["judgement"][0], "id": 77, "phase": 1}
            with pytest.raises(DatabaseError, match="judgement is append-only"), connection.begin():
                _add(connection, "judgement", other, "INSERT OR REPLACE")
    assert _content(db) == before
    db.close()


def test_rows_can_still_be_added(filled: Database) -> None:
    with filled.write() as session:
        assert audit.append(session, 1, "a", "b", {}) == 2  # READ has one


def test_with_the_grants_of_the_handbook_a_role_can_work_and_change_nothing_that_was_said(postgres_url: str) -> None:
    """docs/audit.md has them: the tables belong to somebody else, so that the triggers cannot be taken away either."""
    owner = _filled(postgres_url)
    grants = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "audit.md").read_text(), re.DOTALL)
    with owner.engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS blindstrip_app"))
        connection.execute(text("CREATE ROLE blindstrip_app LOGIN"))
        for statement in grants[0].strip().split(";\n"):
            connection.execute(text(statement.removesuffix(";")))
    role = Database(postgres_url.replace("tester@", "blindstrip_app@"))
    try:
        role.migrate()  # nothing to do: it only looks
        with role.write() as session:
            assert studies.study(session, 1, lock=True).title == "S"
            studies.change(session, 1, seed=8)
            assert audit.append(session, 1, "a", "b", {}) == 2
        for table in APPEND_ONLY:
            for statement in (f"UPDATE {table} SET {_columns(owner)[table][-1]} = NULL", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
                with pytest.raises(DatabaseError, match="permission denied"), role.engine.begin() as connection:
                    connection.execute(text(statement))
        with pytest.raises(DatabaseError, match="must be owner"), role.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER audit_refuses_change ON audit"))
    finally:
        role.close()
        with owner.engine.begin() as connection:
            connection.execute(text("DROP OWNED BY blindstrip_app"))
            connection.execute(text("DROP ROLE blindstrip_app"))
        owner.close()
