from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from storage import audit
from storage.database import Database
from storage.errors import StorageError

_TEXT = st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abä", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def trail(db: Database) -> Database:
    with db.write() as session:
        for number in range(1, 4):
            detail = {"seed": 2**62 + number, "share": 0.5, "shape": (8, 1000)}
            assert audit.append(session, None, "round opened", f"study {number}", detail) == number
    return db


def test_an_untouched_trail_verifies_from_its_first_entry(trail: Database) -> None:
    with trail.read() as session:
        assert audit.verify(session) == audit.count(session) == audit.count(session, action="round opened") == 3
        assert audit.count(session, action="round opened", subject="study 2") == 1
        assert audit.count(session, action="round closed", subject="study 2") == 0
        assert session.scalar(text("SELECT previous FROM audit WHERE id = 1")) == "0" * 64
        assert session.scalar(text("SELECT hash FROM audit WHERE id = 3")) == audit.last_hash(session)


def test_an_empty_trail_verifies(db: Database) -> None:
    with db.read() as session:
        assert audit.verify(session) == 0
        assert audit.last_hash(session) == audit.START


def test_a_trail_verifies_on_postgresql(postgres_url: str) -> None:
    db = Database(postgres_url)
    db.migrate()
    with db.write() as session:
        audit.append(session, None, "round opened", "study 1", {"share": 0.1, "a": {"é": [1, 2.5, None, True]}})
        audit.append(session, None, "signed in", "person 1")
    with db.read() as session:
        assert audit.verify(session) == 2
    db.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE audit SET at = '2020-01-01 00:00:00.000000' WHERE id = 2", r"entry 2 .*was changed"),
        ("UPDATE audit SET person_id = 7 WHERE id = 2", r"entry 2 .*was changed"),
        ("UPDATE audit SET action = 'nothing' WHERE id = 2", r"entry 2 .*was changed"),
        ("UPDATE audit SET subject = 'study 9' WHERE id = 2", r"entry 2 .*was changed"),
        ("UPDATE audit SET detail = '{}' WHERE id = 2", r"entry 2 .*was changed"),
        ("UPDATE audit SET previous = '%064d' WHERE id = 2", r"entry 2 does not follow"),
        ("UPDATE audit SET hash = '%064d' WHERE id = 2", r"entry 2 .*was changed"),
        ("UPDATE audit SET id = 9 WHERE id = 2", r"entry 2 is missing"),
        ("DELETE FROM audit WHERE id = 2", r"entry 2 is missing"),
        ("DELETE FROM audit WHERE id = 1", r"entry 1 is missing"),
    ],
)
def test_a_changed_field_is_found(trail: Database, change: str, words: str) -> None:
    with trail.engine.connect() as connection:  # somebody with the file in hand
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
        with connection.begin():
            connection.exec_driver_sql("DROP TRIGGER audit_refuses_update")
            connection.exec_driver_sql("DROP TRIGGER audit_refuses_delete")
            connection.exec_driver_sql(change % 5 if "%" in change else change)
    with trail.read() as session, pytest.raises(StorageError, match=words):
        audit.verify(session)


def test_an_entry_rewritten_with_a_fitting_hash_breaks_the_chain_after_it(trail: Database) -> None:
    with trail.write() as session:
        session.execute(text("DROP TRIGGER audit_refuses_update"))
        entry = session.get(audit.AuditEntry, 2)
        assert entry
        entry.subject = "study 99"
        entry.hash = audit._hash(entry)
    with trail.read() as session, pytest.raises(StorageError, match="entry 3 does not follow"):
        audit.verify(session)


@settings(max_examples=25, deadline=None)
@given(detail=st.dictionaries(st.text("abc", max_size=4), _JSON, max_size=4))
def test_whatever_detail_went_in_verifies_when_it_comes_back(tmp_path_factory: pytest.TempPathFactory, detail: dict[str, Any]) -> None:
    db = Database(f"sqlite:///{tmp_path_factory.mktemp('audit') / 'a.db'}")
    db.migrate()
    with db.write() as session:
        audit.append(session, None, "a", "s", detail)
    with db.read() as session:
        assert audit.verify(session) == 1
    db.close()


@pytest.mark.parametrize("detail", [{"x": float("nan")}, {"x": object()}, {"x": b"bytes"}])
def test_a_detail_that_cannot_be_written_down_is_refused(db: Database, detail: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="numbers, words, lists and dictionaries"), db.write() as session:
        audit.append(session, None, "a", "s", detail)
