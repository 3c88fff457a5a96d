"""A database as a backup, and from one engine into the other: everything arrives, once, from one moment, and nothing else is touched."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from storage import audit, backup, copying
from storage.backup import checked, restore
from storage.copying import Content, content, copy
from storage.database import Database
from storage.errors import StorageError
from storage.tables import Job, Judgement, Person, ReadingCase, Round, Screen, Site, Speed, Strip, Study, Truth, now
from tests.storage.test_migrations import _one_up

MANY = 450  # strips: several batches


def filled(url: str) -> Database:
    """Every kind of column: JSON with null beside no JSON, bytes, moments, floats, words as keys, rows that name rows of their own table."""
    db = Database(url)
    db.migrate()
    with db.write() as session:
        session.add(Site(id=3, name="Zürich – Süd"))
        session.flush()
        session.add(Person(id=5, username="ada", name="Ada", role="reader", site_id=3))
        session.flush()
        session.add_all(Speed(checkpoint=one, device="cpu", seconds=0.1 + 0.2, operations=1e12, workers=2, measured_at=now()) for one in "aZ_é0")
        session.add_all(Screen(person_id=5, name=name, pixels_per_mm=4.0) for name in ("b", "A"))
        session.add_all(Strip(id=i, sha256=f"{i:064x}", samples=bytes([i % 256, 0, 255]) * 9, rhythm="AF") for i in range(1, MANY + 1))
        session.flush()
        session.add_all(Truth(strip_id=i, arm=("real", "synthetic")[i % 2]) for i in range(1, MANY + 1))
        session.add(Study(id=1, title="S", protocol={"b": [1.5, None], "a": "ü"}, protocol_hash="h", seed=2**62, created_by=5))
        session.flush()
        session.add(Round(id=1, study_id=1, number=1, plan={}, leak={}, opened_by=5, starts_at=now()))
        session.flush()
        session.add_all(ReadingCase(id=i, round_id=1, strip_id=i, role="scored", code=f"c{i}") for i in (1, 2))
        session.flush()
        session.get_one(ReadingCase, 1).repeat_of = 2  # a row that names a later one
        answer = {"morphology": {}, "cues": [], "comment": "", "shown_at": now(), "protocol_hash": "h"}
        session.add(Judgement(id=7, case_id=1, reader_id=5, realism=2, **answer))
        session.add(Job(id=9, kind="draw", asked={}, result={"n": 1}, status="done"))
        session.add(Job(id=10, kind="draw", asked={}, status="done"))
        session.flush()
        session.execute(text("UPDATE job SET result = 'null' WHERE id = 10"))
        for i in range(3):
            audit.append(session, 5, "something", f"study {i}", {"ü": i})
    return db


def held(db: Database) -> Content:
    with db.read() as session:
        return content(session)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.db"
    filled(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def source(once: Path, tmp_path: Path) -> Database:
    shutil.copy(once, tmp_path)
    return Database(f"sqlite:///{tmp_path / 'source.db'}")


def test_everything_goes_to_the_other_engine_and_back(source: Database, postgres_url: str, tmp_path: Path) -> None:
    there, back = Database(postgres_url), Database(f"sqlite:///{tmp_path / 'back.db'}")
    before = held(source)
    assert copy(source, there) == copy(there, back) == before == held(back)
    assert (before.rows["strip"], before.rows["judgement"], before.audit_entries) == (MANY, 1, 3)
    for db in (there, back):
        with db.read() as session:
            assert audit.unguarded(session) == []
            stored = session.execute(text("SELECT id, result IS NULL, CAST(result AS TEXT) FROM job ORDER BY id")).all()
            assert [tuple(row) for row in stored] == [(9, False, '{"n": 1}'), (10, False, "null")]
            assert session.execute(select(Study.protocol, Study.seed, Study.utility)).one() == ({"b": [1.5, None], "a": "ü"}, 2**62, None)
        with pytest.raises(DBAPIError, match="append-only"), db.write() as session:
            session.execute(text("UPDATE judgement SET realism = 6"))
        with db.write() as session:  # numbers go on behind those that were copied
            new = Site(name="new")
            session.add(new)
            session.flush()
            assert new.id == 4
    for db in (source, there, back):
        db.close()


def test_two_databases_that_differ_in_any_value_have_other_checksums(source: Database) -> None:
    seen = {held(source).sha256}
    for change in (
        "UPDATE strip SET samples = x'00' WHERE id = 7",
        "UPDATE truth SET arm = 'real' WHERE strip_id = 1",
        "UPDATE screen SET pixels_per_mm = 4.0000000001",
        "UPDATE job SET result = NULL WHERE id = 10",
        "UPDATE study SET created_at = '2026-01-02 03:04:05.678901'",
        "DELETE FROM speed WHERE checkpoint = 'a'",
    ):
        with source.write() as session:
            assert session.execute(text(change)).rowcount  # type: ignore[attr-defined]
        seen.add(held(source).sha256)
    assert len(seen) == 7
    source.close()


@pytest.mark.parametrize("way", ["copy", "backup"])
def test_one_moment_is_copied_while_others_write(source: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Somebody writes into the source after the first table was read, and is not kept waiting."""
    before, late, found = held(source), Database(source.url), copying._rows
    monkeypatch.setattr(copying, "_rows", _with(found, lambda: _add_site(late)))
    if way == "copy":
        target = Database(f"sqlite:///{tmp_path / 'target.db'}")
        assert copy(source, target) == before
        target.close()
    else:
        assert backup.backup(source, tmp_path / "b.db") == before == checked(tmp_path / "b.db")
    monkeypatch.undo()
    assert held(source).rows["site"] == 2
    source.close()
    late.close()


def _with(rows: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    done: list[bool] = []

    def found(session: Session, table: Any) -> Any:
        yield from rows(session, table)
        if not done:
            done.append(True)
            then()

    return found


def _add_site(db: Database) -> None:
    with db.write() as session:
        session.add(Site(name="late"))


def test_a_target_that_is_not_empty_is_refused_and_left_alone(source: Database, any_url: str) -> None:
    target = Database(any_url)
    _one_up(target)  # of an earlier version, which must not be brought up to date by the way
    with target.write() as session:
        session.execute(text("INSERT INTO site (name) VALUES ('theirs')"))
    with pytest.raises(StorageError, match="is not empty: table site has rows"):
        copy(source, target)
    with target.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
        assert session.scalars(select(Site.name)).all() == ["theirs"]
    source.close()
    target.close()


def test_a_newer_database_is_refused_at_either_end(source: Database, any_url: str) -> None:
    newer = Database(any_url)
    newer.migrate()
    with newer.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refused in (newer.migrate, newer.is_current, lambda: copy(source, newer), lambda: copy(newer, source)):
        with pytest.raises(StorageError, match=r"newer version of blindstrip \(schema 9999\)"):
            refused()
    source.close()
    newer.close()


def test_what_the_target_cannot_hold_is_named_and_nothing_is_copied(source: Database, postgres_url: str) -> None:
    """SQLite keeps words of any length in a column."""
    with source.write() as session:
        session.add(Site(name="x" * 121))
    target = Database(postgres_url)
    with pytest.raises(StorageError, match="Table site: the target refuses a row"):
        copy(source, target)
    assert sum(held(target).rows.values()) == 0
    source.close()
    target.close()


def test_a_copy_that_differs_is_not_kept(source: Database, any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that spoils one value: found by the checksum of its table, not by its rows' number."""
    found = copying._rows

    def spoiled(session: Session, table: Any) -> Any:
        for row in found(session, table):
            moved = table.metadata is Strip.metadata and table.name == "strip" and row["id"] == 5
            yield {**row, "samples": b"0"} if moved else row

    monkeypatch.setattr(copying, "_rows", spoiled)
    target = Database(any_url)
    with pytest.raises(StorageError, match="Table strip: its rows in the copy are not those of the source"):
        copy(source, target)
    monkeypatch.undo()
    assert sum(held(target).rows.values()) == 0
    source.close()
    target.close()


# ---- backups ----


def test_a_backup_is_one_file_for_its_owner_alone_and_comes_back(source: Database, any_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    before = backup.backup(source, folder / "monday.db")
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {"monday.db": 0o600, "monday.db.sha256": 0o600}
    line = f"{hashlib.sha256((folder / 'monday.db').read_bytes()).hexdigest()}  monday.db\n"
    assert (folder / "monday.db.sha256").read_text() == line
    target = Database(any_url)
    assert restore(folder / "monday.db", target) == before == held(target) == held(source)
    assert len(list(folder.iterdir())) == 2  # reading it wrote nothing beside it
    assert (folder / "monday.db.sha256").read_text() == f"{hashlib.sha256((folder / 'monday.db').read_bytes()).hexdigest()}  monday.db\n"
    with pytest.raises(StorageError, match="is there already"):
        backup.backup(source, folder / "monday.db")
    source.close()
    target.close()


def test_postgresql_is_backed_up_into_such_a_file_too(postgres_url: str, tmp_path: Path) -> None:
    db = filled(postgres_url)
    assert backup.backup(db, tmp_path / "b.db") == held(db) == checked(tmp_path / "b.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.db", "b.db.sha256"]
    db.close()


def test_a_backup_of_an_earlier_version_is_brought_up_to_date_and_stays_itself(tmp_path: Path, any_url: str) -> None:
    db = Database(f"sqlite:///{tmp_path / 'old.db'}")
    _one_up(db)
    with db.write() as session:
        session.execute(text("INSERT INTO site (id, name) VALUES (4, 'North')"))
    file = tmp_path / "b.db"
    assert backup.backup(db, file).rows["site"] == 1
    before, target = file.read_bytes(), Database(any_url)
    assert restore(file, target).rows["site"] == 1
    assert target.is_current()
    assert file.read_bytes() == before
    db.close()
    target.close()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("a bit", "checksum is not the one in b.db.sha256"),
        ("a page, and no checksum", "is damaged"),
        ("cut off, and no checksum", "is damaged"),
        ("a letter", "no SQLite file"),
        ("gone", "there is no such file"),
        ("newer", r"newer version of blindstrip \(schema 9999\)"),
        ("an audit entry", "Audit trail: entry 2 .* was changed"),
        ("a row that others name", "names a row that is not there"),
    ],
)
def test_a_file_that_is_no_sound_backup_is_refused_and_the_target_not_made(source: Database, tmp_path: Path, what: str, words: str) -> None:
    file, target = tmp_path / "b.db", tmp_path / "target.db"
    backup.backup(source, file)
    source.close()
    content, beside = file.read_bytes(), tmp_path / "b.db.sha256"
    place = content.index(b"Ada")
    page = place - place % 4096
    if what == "a bit":
        file.write_bytes(content[:place] + b"Ida" + content[place + 3 :])
    elif what == "a letter":
        file.write_bytes(b"Dear colleague, " * 300)
    elif what == "gone":
        file.unlink()
    else:
        beside.unlink()
    if what == "a page, and no checksum":
        file.write_bytes(content[:page] + b"\x2a" * 4096 + content[page + 4096 :])
    if what == "cut off, and no checksum":
        file.write_bytes(content[: len(content) // 2])
    with closing(sqlite3.connect(file)) if file.exists() and what in CHANGES else closing(sqlite3.connect(":memory:")) as raw:
        raw.executescript(CHANGES.get(what, ""))
    with pytest.raises(StorageError, match=words):
        restore(file, Database(f"sqlite:///{target}"))
    assert not target.exists()


CHANGES = {
    "newer": "UPDATE alembic_version SET version_num = '9999'",
    "an audit entry": "DROP TRIGGER audit_refuses_update; UPDATE audit SET action = 'else' WHERE id = 2",
    "a row that others name": "DELETE FROM person",
}


def test_a_backup_that_fails_leaves_nothing(source: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        backup.backup(source, folder / "nowhere" / "b.db")

    def differs(there: Content, here: Content) -> None:
        raise StorageError("differs")

    monkeypatch.setattr(backup, "compare", differs)
    with pytest.raises(StorageError, match="differs"):
        backup.backup(source, folder / "b.db")
    assert list(folder.iterdir()) == []
    source.close()
