"""The triggers that keep what was said from being changed: present under their names is not enough, they have to refuse."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from storage import audit
from storage.database import Database

_HARMLESS = "CREATE TRIGGER judgement_refuses_update"
ON_SQLITE = {
    "another action": ["DROP TRIGGER judgement_refuses_update", f"{_HARMLESS} BEFORE UPDATE ON judgement BEGIN SELECT 1; END"],
    "on another table": [
        "DROP TRIGGER judgement_refuses_update",
        f"{_HARMLESS} BEFORE UPDATE ON site BEGIN SELECT RAISE(ABORT, 'judgement is append-only'); END",
    ],
    "of one column": [
        "DROP TRIGGER judgement_refuses_update",
        f"{_HARMLESS} BEFORE UPDATE OF comment ON judgement BEGIN SELECT RAISE(ABORT, 'judgement is append-only'); END",
    ],
    "under a condition": [
        "DROP TRIGGER judgement_refuses_update",
        f"{_HARMLESS} BEFORE UPDATE ON judgement WHEN 0 BEGIN SELECT RAISE(ABORT, 'judgement is append-only'); END",
    ],
    "missing": ["DROP TRIGGER judgement_refuses_delete"],
}
_AGAIN = "CREATE TRIGGER judgement_refuses_change BEFORE"
_REFUSING = "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
ON_POSTGRESQL = {
    "switched off": ["ALTER TABLE judgement DISABLE TRIGGER judgement_refuses_change"],
    "for replicas alone": ["ALTER TABLE judgement ENABLE REPLICA TRIGGER judgement_refuses_truncate"],
    "another action": [
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "DROP TRIGGER judgement_refuses_change ON judgement",
        f"{_AGAIN} UPDATE OR DELETE ON judgement FOR EACH STATEMENT EXECUTE FUNCTION nothing()",
    ],
    "on another table": ["DROP TRIGGER judgement_refuses_change ON judgement", f"{_AGAIN} UPDATE OR DELETE ON site {_REFUSING}"],
    "of one column": ["DROP TRIGGER judgement_refuses_change ON judgement", f"{_AGAIN} UPDATE OF comment OR DELETE ON judgement {_REFUSING}"],
    "under a condition": [
        "DROP TRIGGER judgement_refuses_change ON judgement",
        f"{_AGAIN} UPDATE OR DELETE ON judgement FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION append_only()",
    ],
    "of updates alone": ["DROP TRIGGER judgement_refuses_change ON judgement", f"{_AGAIN} UPDATE ON judgement {_REFUSING}"],
}


def _unguarded_after(db: Database, statements: list[str]) -> list[str]:
    """What is found after these, which are taken back."""
    with db.engine.connect() as connection, Session(bind=connection) as session:
        for statement in statements:
            session.execute(text(statement))
        found = audit.unguarded(session)
        session.rollback()
    return found


def test_a_database_that_was_brought_up_to_date_is_guarded(any_url: str) -> None:
    db = Database(any_url)
    db.migrate()
    with db.read() as session:
        assert audit.unguarded(session) == []
    db.close()


@pytest.mark.parametrize("what", ON_SQLITE)
def test_a_trigger_that_refuses_nothing_is_none_on_sqlite(db: Database, what: str) -> None:
    assert _unguarded_after(db, ON_SQLITE[what]) == ["judgement"]


def test_a_trigger_that_refuses_nothing_is_none_on_postgresql(postgres_url: str) -> None:
    db = Database(postgres_url)
    db.migrate()
    for what, statements in ON_POSTGRESQL.items():
        assert _unguarded_after(db, statements) == ["judgement"], what
    gutted = "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    assert _unguarded_after(db, [gutted]) == list(audit.APPEND_ONLY)
    assert _unguarded_after(db, []) == []
    db.close()
