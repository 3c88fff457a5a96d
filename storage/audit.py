"""The audit trail: append-only, each entry's hash covers its content and the hash of the entry before."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.tables import AuditEntry, now

START = "0" * 64  # what the first entry names as the hash before it
APPEND_ONLY = {  # table -> the columns by which a row could be replaced: what its triggers look at
    "judgement": ("id", "case_id, reader_id, phase, revision"),
    "audit": ("id", "hash"),
    "signature": ("round_id, reader_id",),
    "practice_answer": ("id", "case_id, reader_id, attempt"),
    "round_closing": ("round_id",),
    "commitment": ("round_id",),
    "amendment": ("study_id, number",),
    "snapshot": ("study_id",),
}
_POSTGRESQL_GUARDS = text(  # BEFORE triggers of statements, switched on, without a condition, that do what they are there for
    "SELECT tgname, relname, tgtype FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid "
    "WHERE tgenabled IN ('O', 'A') AND tgqual IS NULL AND tgattr::text = '' AND pg_table_is_visible(tgrelid) AND prosrc = :refuses"
)
_POSTGRESQL_REFUSES = " BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END "
_BEFORE_CHANGE, _BEFORE_TRUNCATE = 2 + 8 + 16, 2 + 32  # pg_trigger.tgtype: BEFORE, and DELETE with UPDATE, or TRUNCATE


def append(session: Session, person_id: int | None, action: str, subject: str, detail: dict[str, Any] | None = None) -> int:
    """Add an entry in the caller's write transaction (the write lock keeps the chain single) and return its number.

    person_id: who did it, None for the program itself; action: a verb ("round opened"); subject: what it was done to ("study 3");
    detail: JSON values only, raises StorageError otherwise.
    """
    last = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1)).one_or_none()
    entry = AuditEntry(
        id=last.id + 1 if last else 1,  # without gaps, so that a removed entry shows
        at=now(),
        person_id=person_id,
        action=action,
        subject=subject,
        detail=_plain(detail or {}, action),
        previous=last.hash if last else START,
    )
    entry.hash = _hash(entry)
    session.add(entry)
    session.flush()
    return entry.id


def verify(session: Session) -> int:
    """The number of entries, if every one is as it was written; raises StorageError that names the first that is not.

    Entries cut off at the end of the trail cannot be seen from inside: compare `last_hash` with one written down elsewhere (an export).
    """
    previous, count = START, 0
    for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id)).yield_per(1000):
        count += 1
        if entry.id != count:
            raise StorageError(f"Audit trail: entry {count} is missing (entry {entry.id} follows). Restore the database from a backup.")
        if entry.previous != previous:
            raise StorageError(f"Audit trail: entry {count} does not follow from the entry before it. Restore the database from a backup.")
        if entry.hash != _hash(entry):
            raise StorageError(f"Audit trail: entry {count} ({entry.action}) was changed after it was written. Restore the database from a backup.")
        previous = entry.hash
    return count


def last_hash(session: Session) -> str:
    """The hash that stands for the whole trail so far: 64 hexadecimal digits."""
    return session.scalar(select(AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1)) or START


def hash_of(session: Session, entry_id: int) -> str | None:
    """Of one entry; None where there is none of that number. START for 0: before the first."""
    return session.scalar(select(AuditEntry.hash).where(AuditEntry.id == entry_id)) if entry_id else START


def unguarded(session: Session) -> list[str]:
    """The append-only tables that the database would let somebody change: whose triggers are not there, are switched off, or say something else."""
    if session.get_bind().dialect.name == "sqlite":
        rows = session.execute(text("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"))
        there: set[tuple[Any, ...]] = {(table, sql) for table, sql in rows}
        return [table for table, keys in APPEND_ONLY.items() if not {(table, sql) for sql in _sqlite_guards(table, keys)} <= there]
    there = {tuple(row) for row in session.execute(_POSTGRESQL_GUARDS, {"refuses": _POSTGRESQL_REFUSES})}
    kinds = {"change": _BEFORE_CHANGE, "truncate": _BEFORE_TRUNCATE}
    return [table for table in APPEND_ONLY if not {(f"{table}_refuses_{kind}", table, bits) for kind, bits in kinds.items()} <= there]


def count(session: Session, *, action: str | None = None, subject: str | None = None) -> int:
    """Entries in the trail; of one kind, about one thing, where given."""
    wanted = {name: value for name, value in (("action", action), ("subject", subject)) if value is not None}
    return session.scalar(select(func.count()).select_from(AuditEntry).filter_by(**wanted)) or 0


def names_user(session: Session, subject: str) -> bool:
    """Whether an entry about a person holds their user name, as those of earlier versions do."""
    return any("username" in detail for detail in session.scalars(select(AuditEntry.detail).where(AuditEntry.subject == subject)))


def _sqlite_guards(table: str, keys: tuple[str, ...]) -> list[str]:
    """The triggers of an append-only table, as the migrations write them."""
    taken = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE ({key}) = ({', '.join('NEW.' + name for name in key.split(', '))}))" for key in keys)
    when = {"update": f"UPDATE ON {table}", "delete": f"DELETE ON {table}", "replace": f"INSERT ON {table} WHEN {taken}"}
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    return [f"CREATE TRIGGER {table}_refuses_{kind} BEFORE {event} {refuse}" for kind, event in when.items()]


def _hash(entry: AuditEntry) -> str:
    content = [entry.id, _moment(entry.at), entry.person_id, entry.action, entry.subject, entry.detail, entry.previous]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _plain(detail: dict[str, Any], action: str) -> dict[str, Any]:
    """As it will come back from the database (tuples become lists), so that the hash is of what is stored."""
    try:
        plain: dict[str, Any] = json.loads(_canonical(detail))
    except (TypeError, ValueError) as error:
        raise StorageError(f"Audit entry {action!r}: its detail must hold numbers, words, lists and dictionaries only ({error}).") from error
    return plain


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
