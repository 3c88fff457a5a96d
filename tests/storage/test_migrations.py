"""A database that an earlier version made, with data in it, becomes this version's without losing any."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from storage import database, jobs, judgements, speeds, strips, studies
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


def _one_up(db: Database) -> None:
    with db.engine.connect() as connection, database._foreign_keys_off(connection), connection.begin():
        database._one_revision_up(connection, ScriptDirectory(str(database._MIGRATIONS)), "a test")


def _down_to(db: Database, revision: str = "-1") -> None:
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    with db.engine.connect() as connection, database._foreign_keys_off(connection), connection.begin():
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def _insert(connection: Connection, table: str, own: dict[str, object]) -> None:
    row = {**own, **OF_ALL.get(table, {})}
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"), row)


def _database_of_0001(url: str) -> Database:
    db = Database(url)
    _one_up(db)
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


# ---- 0002 with a study that is being read -> 0003 ----

OTHER, LATER = "2026-02-03 04:05:06.789012", "2026-02-03 04:06:07.000001"
ANSWER = {"morphology": '{"P wave": "plausible"}', "protocol_hash": "h", "shown_at": OTHER, "submitted_at": LATER}
READ: dict[str, list[dict[str, object]]] = {
    "site": [{"id": 1, "name": "North"}],
    "person": [
        {"id": 1, "username": "ada", "name": "Ada", "role": "reader", "site_id": 1, "demo": False, "active": True, "created_at": AT},
        {"id": 2, "username": "ben", "name": "Ben", "role": "reader", "site_id": 1, "demo": False, "active": True, "created_at": AT},
    ],
    "strip": [{"id": i, "sha256": f"s{i}", "samples": bytes([i]), "rhythm": ("NSR", "AF")[i % 2], "created_at": AT} for i in (1, 2, 3)],
    "truth": [{"strip_id": i, "arm": ("real", "synthetic")[i % 2], "stand_in": False} for i in (1, 2, 3)],
    "study": [
        {
            "id": 1,
            "title": "S",
            "demo": False,
            "protocol": "{}",
            "protocol_hash": "h",
            "seed": 7,
            "created_by": 1,
            "created_at": AT,
            "frozen_at": OTHER,
        }
    ],
    "study_reader": [{"study_id": 1, "reader_id": 1}, {"study_id": 1, "reader_id": 2}],
    "round": [{"id": 1, "study_id": 1, "number": 1, "plan": '{"cases": 3}', "leak": "{}", "opened_by": 1, "opened_at": AT, "starts_at": AT}],
    "reading_case": [
        {"id": 1, "round_id": 1, "strip_id": 1, "role": "scored", "repeat_of": None, "code": "c1"},
        {"id": 2, "round_id": 1, "strip_id": 2, "role": "scored", "repeat_of": None, "code": "c2"},
        {"id": 3, "round_id": 1, "strip_id": 1, "role": "repeat", "repeat_of": 1, "code": "c3"},
    ],
    "placement": [
        {"id": 10 * reader + position, "round_id": 1, "case_id": case, "reader_id": reader, "position": position}
        for reader, order in ((1, (2, 1, 3)), (2, (1, 2, 3)))
        for position, case in enumerate(order, start=1)
    ],
    "judgement": [
        {"id": 5, "case_id": 2, "reader_id": 1, "revision": 1, "realism": 2, "rhythm": "AF", "cues": '["other"]', "comment": "grün", **ANSWER},
        {"id": 6, "case_id": 2, "reader_id": 1, "revision": 2, "realism": 6, "rhythm": "NSR", "cues": "[]", "comment": "", **ANSWER},
        {"id": 9, "case_id": 1, "reader_id": 2, "revision": 1, "realism": 1, "rhythm": "NSR", "cues": "[]", "comment": "", **ANSWER},
    ],
    "audit": [
        {"id": 1, "at": AT, "person_id": 1, "action": "judgement submitted", "subject": "case c2", "detail": "{}", "previous": "", "hash": "a1"}
    ],
}
NEW_TABLES = {"signature", "practice_case", "practice_answer", "screen"}
SINCE = {"round_closing", "commitment", "amendment", "snapshot", "invitation"}


def _database_of_0002(url: str) -> Database:
    db = Database(url)
    _one_up(db)
    _one_up(db)
    with db.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))  # in which the moments are written
        for table, rows in READ.items():
            for row in rows:
                connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"), row)
        if connection.dialect.name == "postgresql":  # which counts only the ids that it gave
            for table in ("placement", "judgement", "reading_case", "round", "audit"):
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100)"))
    return db


def _content(db: Database, columns: dict[str, list[str]] | None = None) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, or of the tables and columns that are named."""
    found = inspect(db.engine)
    wanted = columns or {table: [column["name"] for column in found.get_columns(table)] for table in found.get_table_names()}
    with db.engine.connect() as connection:
        return {
            table: sorted((tuple(row) for row in connection.execute(text(f"SELECT {', '.join(names)} FROM {table}"))), key=repr)
            for table, names in wanted.items()
            if table != "alembic_version"
        }


def _columns(db: Database) -> dict[str, list[str]]:
    found = inspect(db.engine)
    return {table: [column["name"] for column in found.get_columns(table)] for table in found.get_table_names()}


def _judge(connection: Connection, **values: object) -> None:
    row = {"case_id": 3, "reader_id": 1, "revision": 1, "cues": "[]", "comment": "", **ANSWER, **values}
    connection.execute(text(f"INSERT INTO judgement ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"), row)


def test_no_row_of_the_second_version_is_lost_or_changed(any_url: str) -> None:
    db = _database_of_0002(any_url)
    columns, before = _columns(db), _content(db)
    db.migrate()
    assert _content(db, columns) == before
    assert set(_columns(db)) == set(columns) | NEW_TABLES | SINCE
    assert all(rows == [] for table, rows in _content(db).items() if table in NEW_TABLES | SINCE)
    db.close()


def test_answers_of_the_second_version_are_read_as_they_were_given(any_url: str) -> None:
    db = _database_of_0002(any_url)
    db.migrate()
    with db.read() as session:
        every = judgements.of_study(session, 1, every_revision=True)
        assert [(row.id, row.reader_id, row.case_id, row.position, row.revision, row.realism, row.rhythm, row.comment) for row in every] == [
            (5, 1, 2, 1, 1, 2, "AF", "grün"),
            (6, 1, 2, 1, 2, 6, "NSR", ""),
            (9, 2, 1, 1, 1, 1, "NSR", ""),
        ]
        assert {(row.phase, row.quality, row.reading_ms, row.away_ms) for row in every} == {(1, None, None, None)}
        assert all((row.marks, row.viewing, row.morphology) == ([], {}, {"P wave": "plausible"}) for row in every)
        assert [row.cues for row in every] == [["other"], [], []]
        assert {(row.shown_at, row.submitted_at, row.protocol_hash) for row in every} == {(_moment(OTHER), _moment(LATER), "h")}
        assert [(one.reader_id, one.case_id, one.position, one.phase) for one in studies.placements(session, 1)] == [
            *((1, 2, 1, 1), (1, 1, 2, 1), (1, 3, 3, 1)),
            *((2, 1, 1, 1), (2, 2, 2, 1), (2, 3, 3, 1)),
        ]
        assert [(one.number, one.practice, one.plan, one.cases) for one in studies.rounds(session, 1)] == [(1, False, {"cases": 3}, 3)]
        assert studies.practice_round(session, 1) is None
        assert [(one.done, one.total) for one in studies.progress(session, 1)] == [(1, 3), (1, 3)]
        assert judgements.next_position(session, 1, 1) == 2
        assert studies.study(session, 1).frozen_at == _moment(OTHER)
    db.close()


def test_reading_goes_on_where_it_was_left(any_url: str) -> None:
    db = _database_of_0002(any_url)
    db.migrate()
    with db.write() as session:
        shown = judgements.next_shown(session, 1, 2)
        assert shown is not None
        assert (shown.code, shown.phase) == ("c2", 1)
        new = judgements.add(
            session, case_id=2, reader_id=2, realism=4, rhythm="AF", morphology={}, cues=[], comment="", shown_at=_moment(AT), protocol_hash="h"
        )
        assert new not in (5, 6, 9)
    with db.read() as session:
        newest = judgements.newest(session, 2, 2, 1)
        assert (newest.id, newest.revision, newest.marks, newest.viewing, newest.quality) == (new, 1, [], {}, None)
    with pytest.raises(IntegrityError), db.engine.begin() as connection:  # a revision once a phase
        _judge(connection, case_id=2, realism=1, rhythm="AF", phase=1)
    with db.engine.begin() as connection:
        _judge(connection, case_id=2, realism=1, rhythm=None, phase=2)
    with pytest.raises(IntegrityError), db.engine.begin() as connection:  # what a judgement points to is still watched
        _judge(connection, case_id=77)
    with pytest.raises(IntegrityError), db.engine.begin() as connection:
        connection.execute(text("INSERT INTO placement (round_id, case_id, reader_id, position) VALUES (1, 2, 1, 4)"))
    assert {index["name"] for index in inspect(db.engine).get_indexes("judgement")} >= {"ix_judgement_reader_id"}
    db.close()


def _practice(connection: Connection) -> None:
    columns = "id, study_id, number, plan, leak, opened_by, opened_at, starts_at, practice"
    connection.execute(text(f"INSERT INTO round ({columns}) VALUES (2, 1, 0, '{{}}', '{{}}', 1, :at, :at, :yes)"), {"at": AT, "yes": True})
    connection.execute(text("INSERT INTO reading_case (id, round_id, strip_id, role, code) VALUES (20, 2, 3, 'practice', 'learn')"))
    connection.execute(text("INSERT INTO practice_case (case_id, arm) VALUES (20, 'synthetic')"))
    columns = "id, case_id, reader_id, attempt, answer, submitted_at"
    connection.execute(text(f"INSERT INTO practice_answer ({columns}) VALUES (1, 20, 1, 1, '{{}}', :at)"), {"at": AT})


def _signature(connection: Connection) -> None:
    connection.execute(text("INSERT INTO signature (round_id, reader_id, signed_at, judgements_sha256) VALUES (1, 1, :at, 'x')"), {"at": AT})


@pytest.mark.parametrize(
    ("table", "column"),
    [("judgement", "realism"), ("judgement", "viewing"), ("signature", "judgements_sha256"), ("practice_answer", "answer"), ("audit", "hash")],
)
def test_a_migrated_database_refuses_to_change_what_was_said(any_url: str, table: str, column: str) -> None:
    db = _database_of_0002(any_url)
    db.migrate()
    with db.engine.begin() as connection:
        _practice(connection)
        _signature(connection)
    before = _content(db)
    assert before[table]
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        with pytest.raises(DatabaseError, match=f"{table} is append-only"), db.engine.begin() as connection:
            connection.execute(text(statement))
    assert _content(db) == before
    db.close()


def test_a_migrated_database_keeps_practice_apart(any_url: str) -> None:
    db = _database_of_0002(any_url)
    db.migrate()
    with db.engine.begin() as connection:
        _practice(connection)
    before = _content(db)
    with pytest.raises(DatabaseError, match="practice cases are not judged"), db.engine.begin() as connection:
        _judge(connection, case_id=20, realism=3, rhythm="AF")
    for round_id, role in ((1, "practice"), (2, "scored"), (2, "repeat"), (2, "control")):
        with pytest.raises(DatabaseError, match="a practice round has practice cases, and no other round has"), db.engine.begin() as connection:
            connection.execute(text(f"INSERT INTO reading_case (round_id, strip_id, role, code) VALUES ({round_id}, 2, '{role}', 'new')"))
    assert _content(db) == before
    with db.engine.begin() as connection:
        connection.execute(text("INSERT INTO reading_case (round_id, strip_id, role, code) VALUES (1, 2, 'control', 'new')"))
    db.close()


def test_the_way_back_loses_nothing_that_the_second_version_knew(any_url: str) -> None:
    db = _database_of_0002(any_url)
    columns, before = _columns(db), _content(db)
    unique = {table: _unique(db, table) for table in ("judgement", "placement")}
    _one_up(db)
    _down_to(db)
    assert (_columns(db), _content(db)) == (columns, before)
    assert {table: _unique(db, table) for table in unique} == unique
    for statement in ("UPDATE judgement SET realism = 1", "DELETE FROM judgement"):
        with pytest.raises(DatabaseError, match="judgement is append-only"), db.engine.begin() as connection:
            connection.execute(text(statement))
    with pytest.raises(IntegrityError), db.engine.begin() as connection:
        _judge(connection, case_id=2, revision=2, realism=1, rhythm="AF")
    _one_up(db)
    assert _content(db, columns) == before
    assert set(_columns(db)) == set(columns) | NEW_TABLES
    db.close()


@pytest.mark.parametrize("judged", [False, True])
def test_the_way_back_is_refused_where_there_is_a_second_phase(any_url: str, judged: bool) -> None:
    db = _database_of_0002(any_url)
    _one_up(db)
    with db.engine.begin() as connection:
        connection.execute(text("INSERT INTO placement (round_id, case_id, reader_id, position, phase) VALUES (1, 3, 1, 4, 2)"))
        if judged:
            _judge(connection, phase=2, realism=3, rhythm=None)
    before = _content(db)
    with pytest.raises((IntegrityError, RuntimeError)):
        _down_to(db)
    assert _content(db) == before  # tables and columns too
    with pytest.raises(DatabaseError, match="judgement is append-only"), db.engine.begin() as connection:
        connection.execute(text("DELETE FROM judgement"))
    db.close()


@pytest.mark.parametrize("add", [_practice, _signature])
def test_the_way_back_is_refused_where_something_would_be_lost(any_url: str, add: Callable[[Connection], None]) -> None:
    db = _database_of_0002(any_url)
    _one_up(db)
    with db.engine.begin() as connection:
        add(connection)
    before = _content(db)
    try:
        with pytest.raises(Exception, match=r"signed|practice"):
            _down_to(db)
        assert _content(db) == before
    finally:
        db.close()


def test_a_demo_of_before_had_stand_ins_and_one_of_recordings_keeps_its_version(any_url: str) -> None:
    db = _database_of_0002(any_url)
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE study SET demo = true"))
    db.migrate()
    with db.write() as session:
        assert {(study.demo, study.stand_ins) for study in studies.all_studies(session)} == {(True, True)}
        studies.change(session, 1, stand_ins=False)
    before = _content(db)
    with pytest.raises(RuntimeError, match="a demo study of recordings"):
        _down_to(db, "0005")
    assert _content(db) == before
    db.close()


def _unique(db: Database, table: str) -> set[tuple[str | None, tuple[str, ...]]]:
    return {(one["name"], tuple(one["column_names"])) for one in inspect(db.engine).get_unique_constraints(table)}


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=UTC)
