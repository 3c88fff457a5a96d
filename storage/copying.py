"""The whole content of a database: its checksum, the same on either engine, and the way from one database into another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import JSON, ColumnElement, MetaData, String, Table, Text, cast, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from storage import audit
from storage.database import Database
from storage.errors import StorageError
from storage.tables import Base

_BATCH = 200  # rows at a time: a strip has 16 kB
_VERSION = "alembic_version"

Row = dict[str, Any]  # by column; what JSON columns hold as the text that is stored, so that NULL and JSON's null stay apart


@dataclass(frozen=True)
class Content:
    """What a database holds. sha256 covers every column of every row but the schema's number, alike on SQLite and PostgreSQL.

    of_tables: SHA-256 by table. They are compared and never told: that of the arms' table could be found again by trying.
    """

    rows: dict[str, int]  # by table
    sha256: str
    audit_entries: int
    last_hash: str  # of the audit trail
    of_tables: dict[str, str] = field(repr=False)


def content(session: Session) -> Content:
    """Of the tables as they are there, of an earlier schema too. Raises StorageError where the chain of the audit trail does not hold."""
    connection = session.connection()
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name != _VERSION)
    rows, of_tables = {}, {}
    for table in sorted(found.tables.values(), key=lambda table: table.name):
        digest, count = hashlib.sha256(), 0
        for row in _rows(session, table):
            digest.update(_canonical(table, row).encode() + b"\n")
            count += 1
        rows[table.name], of_tables[table.name] = count, digest.hexdigest()
    whole = hashlib.sha256(json.dumps(of_tables, sort_keys=True).encode()).hexdigest()
    return Content(rows, whole, audit.verify(session), audit.last_hash(session), of_tables)


def compare(there: Content, here: Content) -> None:
    """Raises StorageError that names the first table whose rows are not the same."""
    for table in sorted(there.rows.keys() | here.rows.keys()):
        if there.rows.get(table) != here.rows.get(table):
            raise StorageError(f"Table {table} has {there.rows.get(table, 0)} rows in the source and {here.rows.get(table, 0)} in the copy.")
        if there.of_tables[table] != here.of_tables[table]:
            raise StorageError(f"Table {table}: its rows in the copy are not those of the source (checksums differ).")
    if (there.audit_entries, there.last_hash) != (here.audit_entries, here.last_hash):
        raise StorageError("The audit trail of the copy does not end as that of the source does.")


def copy(source: Database, target: Database) -> Content:
    """Everything, from one consistent state of the source while others read and write it, in one transaction of the target: all or nothing.

    Before it is committed the target's rows are read again and compared. Raises StorageError for a source that is not of this program's schema,
    for a target that is not empty, and where something differs; the target holds no rows then.
    """
    if not source.is_current():
        raise StorageError(f"{source.engine.url} is empty, or of an earlier version. Start this version of blindstrip with it once.")
    with target.read() as here:
        _refuse_full(here)  # before the schema is touched
    target.migrate()
    with source.read() as there, target.write() as here:
        _refuse_full(here)
        for table in Base.metadata.sorted_tables:
            _move(table, there, here)
        _set_sequences(here)
        found = content(here)
        compare(content(there), found)
        if bare := audit.unguarded(here):
            raise StorageError(f"Table {bare[0]} of the target can be changed: its triggers are missing. Name a database that blindstrip made.")
    return found


def _refuse_full(session: Session) -> None:
    connection = session.connection()
    for name in inspect(connection).get_table_names():
        if name != _VERSION and session.execute(select(text("1")).select_from(Table(name, MetaData())).limit(1)).first() is not None:
            raise StorageError(f"{connection.engine.url} is not empty: table {name} has rows. Name an empty database, or a file that does not exist.")


def _move(table: Table, there: Session, here: Session) -> None:
    given = table.to_metadata(MetaData())
    words = [column.name for column in given.columns if isinstance(column.type, JSON)]
    for name in words:
        given.columns[name].type = JSON(none_as_null=True)
    rows = _rows(there, table)
    while batch := list(islice(rows, _BATCH)):
        for row in batch:
            for name in words:
                if row[name] is not None:
                    value = json.loads(row[name])
                    row[name] = JSON.NULL if value is None else value
        try:
            here.execute(insert(given), batch)
        except DBAPIError as error:
            if isinstance(error, OperationalError):  # gone, full: said by the database
                raise
            reason = str(error.orig).strip().splitlines()[0]
            raise StorageError(f"Table {table.name}: the target refuses a row of the source ({reason}). Nothing was copied.") from error


def _rows(session: Session, table: Table) -> Iterator[Row]:
    """In the order of the primary key, as bytes sort; what names a row of the same table after those that name none."""
    plainly = session.get_bind().dialect.name == "postgresql"  # SQLite compares bytes anyway
    order: list[ColumnElement[Any]] = [key.parent.is_not(None) for key in _to_itself(table)]
    order += [column.collate("C") if plainly and isinstance(column.type, String) else column for column in table.primary_key.columns]
    columns = [cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column for column in table.columns]
    for row in session.execute(select(*columns).order_by(*order), execution_options={"yield_per": _BATCH}):
        yield dict(row._mapping)


def _to_itself(table: Table) -> Iterable[Any]:
    return sorted((key for key in table.foreign_keys if key.column.table is table), key=lambda key: key.parent.name)


def _canonical(table: Table, row: Row) -> str:
    plain = {name: _plain(value, isinstance(table.columns[name].type, JSON)) for name, value in row.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any, is_json: bool) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    return [json.loads(value)] if is_json and value is not None else value


def _set_sequences(session: Session) -> None:
    """PostgreSQL counts on behind the rows; SQLite finds the last one itself."""
    if session.get_bind().dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        keys = list(table.primary_key.columns)
        sequence = session.scalar(select(func.pg_get_serial_sequence(table.name, keys[0].name))) if len(keys) == 1 else None
        last = session.scalar(select(func.max(keys[0]))) if sequence else None
        if last is not None:
            session.execute(select(func.setval(sequence, last)))
