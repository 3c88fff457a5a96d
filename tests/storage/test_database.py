from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage.database import Database
from storage.errors import StorageError
from storage.tables import Base, Person, Site


def _with_site(url: str) -> Database:
    db = Database(url)
    db.migrate()
    with db.write() as session:
        session.add(Site(name="0"))
    return db


def test_an_empty_database_becomes_the_schema_that_the_tables_declare(any_url: str) -> None:
    db = Database(any_url)
    db.migrate()
    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
        names = {index["name"]: index for table in Base.metadata.tables for index in inspect(connection).get_indexes(table)}
        assert names["uq_job_active"]["unique"]
    db.migrate()  # a second start finds nothing to do
    db.close()


def test_no_answer_and_no_audit_entry_can_be_changed_or_removed(any_url: str) -> None:
    db = Database(any_url)
    db.migrate()
    with db.write() as session:
        columns = "id, at, action, subject, detail, previous, hash"
        session.execute(text(f"INSERT INTO audit ({columns}) VALUES (1, '2026-01-01', 'a', 's', '{{}}', '0', '1')"))
    for statement in ("UPDATE audit SET action = 'b'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="append-only"), db.write() as session:
            session.execute(text(statement))
    with db.read() as session:
        assert session.scalar(text("SELECT action FROM audit")) == "a"
    db.close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(db: Database) -> None:
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match=r"newer version of blindstrip \(schema 9999\)"):
        db.migrate()
    with db.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_somebody_elses_database_is_refused_and_left_alone(url: str) -> None:
    db = Database(url)
    with db.write() as session:
        session.execute(text("CREATE TABLE accounts (id INTEGER)"))
    with pytest.raises(StorageError, match="tables that blindstrip did not make"):
        db.migrate()
    assert inspect(db.engine).get_table_names() == ["accounts"]
    db.close()


def test_processes_that_start_at_once_do_not_collide(any_url: str) -> None:
    program = f"from storage.database import Database; import sys; sys.stdin.read(1); Database({any_url!r}).migrate()"
    command, root = [sys.executable, "-c", program], Path(__file__).parents[2]
    starting = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root) for _ in range(3)]
    errors = []
    for process in starting:
        assert process.stdin
        process.stdin.write("!")
        process.stdin.flush()
    for process in starting:
        errors.append(process.communicate()[1])
        assert process.returncode == 0, errors[-1]
    db = Database(any_url)
    with db.read() as session:
        assert session.scalars(select(Site)).all() == []
    db.close()


def test_sixteen_writers_lose_no_update(any_url: str) -> None:
    db = _with_site(any_url)
    threads, times = 16, 60 if any_url.startswith("sqlite") else 10

    def count() -> None:
        for _ in range(times):
            with db.write() as session:
                session.execute(update(Site).values(name=str(int(session.scalars(select(Site.name)).one()) + 1)))

    running = [threading.Thread(target=count) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    with db.read() as session:
        assert session.scalars(select(Site.name)).one() == str(threads * times)
    db.close()


def test_readers_see_the_old_value_while_a_writer_works(any_url: str) -> None:
    db = _with_site(any_url)
    with db.write() as writer:
        writer.execute(update(Site).values(name="new"))
        with db.read() as reader:
            assert reader.scalars(select(Site.name)).one() == "0"
    with db.read() as reader:
        assert reader.scalars(select(Site.name)).one() == "new"
    db.close()


def test_a_reader_sees_one_state_throughout_and_cannot_write(any_url: str) -> None:
    db = _with_site(any_url)
    with db.read() as reader:
        assert reader.scalars(select(Site.name)).one() == "0"
        with db.write() as writer:
            writer.execute(update(Site).values(name="new"))
        reader.expire_all()
        assert reader.scalars(select(Site.name)).one() == "0"
    db.close()


def test_a_failed_transaction_leaves_nothing(any_url: str) -> None:
    db = _with_site(any_url)

    def fail_half_way() -> None:
        with db.write() as session:
            session.add(Site(name="half"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with db.read() as session:
        assert session.scalars(select(Site.name)).all() == ["0"]
    db.close()


def test_foreign_keys_hold(any_url: str) -> None:
    db = _with_site(any_url)
    with pytest.raises(IntegrityError), db.write() as session:
        session.add(Person(username="x", name="X", role="reader", site_id=99))
    db.close()


def test_sqlite_is_set_up_to_lose_nothing(db: Database) -> None:
    with db.read() as session:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        settings = {name: session.execute(text(f"PRAGMA {name}")).scalar() for name in names}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000}


def _commit_then_die(url: str) -> None:
    import os

    with Database(url).write() as session:
        session.add(Site(name="committed"))
    with Database(url).write() as session:
        session.add(Site(name="not committed"))
        session.flush()
        os._exit(9)


def test_a_killed_process_loses_nothing_that_it_committed(db: Database, url: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_commit_then_die, args=(url,))
    process.start()
    process.join()
    assert process.exitcode == 9
    with db.write() as session:  # the lock died with its holder
        assert session.scalars(select(Site.name)).all() == ["committed"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "no database URL"),
        ("mysql://somewhere/x", "SQLite or PostgreSQL"),
        ("sqlite:///:memory:", "Name a file"),
        ("sqlite:////proc/nowhere/x.db", "cannot be made"),
    ],
)
def test_a_bad_url_is_refused_with_a_remedy(url: str, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        Database(url)


def test_a_server_that_is_not_there_is_said_in_words_without_the_password() -> None:
    pytest.importorskip("psycopg")
    db = Database("postgresql://somebody:secret@127.0.0.1:1/nothing")
    with pytest.raises(StorageError, match="cannot be used") as caught:
        db.migrate()
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague, " * 100)
    with pytest.raises(StorageError, match="cannot be used"):
        Database(f"sqlite:///{tmp_path / 'letter.txt'}").migrate()
