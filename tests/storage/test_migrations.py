"""A database that an earlier version made, with data in it, becomes this version's without losing any."""

from __future__ import annotations

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError

from storage import database, jobs, speeds, strips
from storage.database import Database
from storage.tables import Job, Person, Rejection

AT = "2026-01-02 03:04:05.678901"
ROWS = {
    "person": {"id": 1, "username": "rosa", "name": "Rosa", "role": "researcher", "demo": False, "active": True, "created_at": AT},
    "job": {"id": 1, "asked": '{"a": [1]}', "status": "running", "done": 3, "message": ""},
    "job ": {"id": 2, "asked": "{}", "status": "done", "done": 8, "message": "Done."},
    "strip": {"id": 1, "sha256": "s", "samples": b"1"},
    "strip ": {"id": 2, "sha256": "t", "samples": b"2"},
    "rejection": {"id": 1, "checkpoint": "c", "rhythm": "AF", "seed": 1, "number": 2, "reason": "flat", "job_id": 1, "at": AT},
    "drawing": {"strip_id": 1, "sampler": "ddpm"},
    "drawing ": {"strip_id": 2, "sampler": "dpm++2m"},
}
OF_ALL: dict[str, dict[str, object]] = {
    "job": {"kind": "draw", "person_id": 1, "total": 8, "created_at": AT},
    "strip": {"rhythm": "AF", "created_at": AT},
    "drawing": {"checkpoint": "c", "steps": 20, "guidance": 1.0, "seed": 1, "number": 0, "conditions": "{}", "device": "d", "purpose": "gallery"},
}


def _up_to_0001(db: Database) -> None:
    with db.engine.connect() as connection, connection.begin():
        database._one_revision_up(connection, ScriptDirectory(str(database._MIGRATIONS)), "a test")


def _insert(connection: Connection, table: str, own: dict[str, object]) -> None:
    row = {**own, **OF_ALL.get(table, {})}
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"), row)


def _database_of_0001(url: str) -> Database:
    db = Database(url)
    _up_to_0001(db)
    with db.engine.begin() as connection:
        for table, row in ROWS.items():
            _insert(connection, table.strip(), row)
        connection.execute(text("UPDATE drawing SET job_id = 1"))
    return db


def test_what_the_first_version_stored_is_there_in_the_second(any_url: str) -> None:
    db = _database_of_0001(any_url)
    db.migrate()
    with db.read() as session:
        running, done = jobs.get(session, 1), jobs.get(session, 2)
        assert (running.asked, running.done, running.total, running.status, running.attempts) == ({"a": [1]}, 3, 8, "running", 1)
        assert (done.done, done.status, done.message, done.attempts) == (8, "done", "Done.", 0)
        assert session.scalar(select(Rejection.job_id)) == 1
        assert strips.numbers_of(session, 1) == ({0}, {2})
        assert sorted(strip.sampler for strip in strips.drawn_strips(session)) == ["ancestral", "dpm++2m"]  # the name that the generator gives it
        assert speeds.newest(session) is None
    db.close()


def test_a_migrated_database_still_allows_one_active_job_of_a_kind_for_a_person(any_url: str) -> None:
    db = _database_of_0001(any_url)
    db.migrate()
    with pytest.raises(IntegrityError), db.write() as session:
        session.add(Job(id=3, kind="draw", person_id=1, asked={}))
    with db.write() as session:
        session.add_all([Job(id=4, kind="import", person_id=1, asked={}), Job(id=5, kind="draw", person_id=1, asked={}, status="done")])
        session.delete(session.get_one(Job, 2))
    with pytest.raises(IntegrityError), db.write() as session:  # what points to a job still does
        session.execute(text("DELETE FROM job WHERE id = 1"))
    db.close()


def test_strips_under_way_count_in_part(any_url: str) -> None:
    db = Database(any_url)
    db.migrate()
    with db.write() as session:
        session.add(Person(id=1, username="rosa", name="Rosa", role="researcher"))
        job_id = jobs.add(session, "draw", 1, {}, total=8)
        assert jobs.claim(session)
        jobs.beat(session, job_id, done=2.25)
    with db.read() as session:
        assert jobs.get(session, job_id).done == 2.25
    db.close()
