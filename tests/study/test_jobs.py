from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from generator.errors import GeneratorError
from generator.request import DrawRequest
from storage import export
from storage import jobs as stored
from storage.database import Database
from storage.tables import Job, now
from study import jobs, sign_in
from study.errors import NotAllowed, StudyError
from study.people import Person
from study.roles import Role
from tests.joining import joined

DRAW = {"request": DrawRequest("AF", 5, 1).as_dict()}


@pytest.fixture
def somebody(db: Database) -> dict[Role, Person]:
    admin = sign_in.person_for(db, sign_in.set_up(db, "ada", "Ada", "correct horse", "North"))
    assert admin
    others = [role for role in Role if role is not Role.ADMIN]
    return {Role.ADMIN: admin, **{role: joined(db, admin, role.value, role.value, role, "North", "correct horse") for role in others}}


@pytest.fixture
def rosa(somebody: dict[Role, Person]) -> Person:
    return somebody[Role.RESEARCHER]


def _claimed(db: Database) -> int:
    with db.write() as session:
        row = stored.claim(session)
    assert row
    return row.id


def test_a_second_click_asks_once(db: Database, rosa: Person, somebody: dict[Role, Person]) -> None:
    first = jobs.ask(db, rosa, "draw", DRAW)
    assert jobs.ask(db, rosa, "draw", DRAW) == first
    with pytest.raises(StudyError, match="not finished"):
        jobs.ask(db, rosa, "draw", {"request": DrawRequest("NSR", 9, 2).as_dict()})
    assert jobs.ask(db, somebody[Role.ADMIN], "draw", DRAW) != first
    assert _claimed(db) == first
    assert jobs.ask(db, rosa, "draw", DRAW) == first
    with db.write() as session:
        assert stored.finish(session, first, "done", result={"drawn": 5})
    assert jobs.ask(db, rosa, "draw", DRAW) != first
    assert [row.status for row in jobs.recent_jobs(db, rosa)] == ["queued", "done"]


def test_the_database_itself_allows_one_active_job_of_a_kind_for_a_person(db: Database, rosa: Person) -> None:
    with pytest.raises(Exception, match=r"(?i)unique"), db.write() as session:
        session.add_all([Job(kind="draw", person_id=rosa.id, asked={}), Job(kind="draw", person_id=rosa.id, asked={})])


def test_a_demo_is_asked_for_once_by_nobody_in_particular(db: Database) -> None:
    job_id = jobs.ask(db, None, "demo", {})
    assert jobs.ask(db, None, "demo", {}) == job_id
    assert jobs.job(db, None, job_id).status == "queued"
    assert [row.id for row in jobs.active_jobs(db, None)] == [job_id]
    sign_in.set_up(db, "ada", "Ada", "correct horse", None)
    with pytest.raises(StudyError, match="empty database"):
        jobs.ask(db, None, "demo", {})


def test_each_queued_job_is_claimed_once_oldest_first(db: Database, rosa: Person, somebody: dict[Role, Person]) -> None:
    asked = [jobs.ask(db, rosa, "draw", DRAW), jobs.ask(db, somebody[Role.ADMIN], "draw", DRAW)]
    assert [_claimed(db), _claimed(db)] == asked
    with db.write() as session:
        assert stored.claim(session) is None
        assert not stored.queued(session)


def test_cancelling(db: Database, rosa: Person) -> None:
    queued = jobs.ask(db, rosa, "draw", DRAW)
    jobs.cancel(db, rosa, queued)
    assert jobs.job(db, rosa, queued).status == "cancelled"
    running = jobs.ask(db, rosa, "draw", DRAW)
    assert _claimed(db) == running
    jobs.cancel(db, rosa, running)
    assert jobs.job(db, rosa, running).active
    with db.write() as session:
        assert stored.beat(session, running) == "cancelling"
        assert stored.finish(session, running, "cancelled")
        assert not stored.finish(session, running, "done")  # ended is ended
        assert stored.beat(session, running) == "cancelled"
    jobs.cancel(db, rosa, running)
    assert jobs.job(db, rosa, running).status == "cancelled"


def test_a_click_that_cancels_nothing_leaves_no_entry(db: Database, rosa: Person) -> None:
    job_id = jobs.ask(db, rosa, "draw", DRAW)
    assert _claimed(db) == job_id
    for _ in range(3):
        jobs.cancel(db, rosa, job_id)
    with db.write() as session:
        stored.finish(session, job_id, "cancelled")
    jobs.cancel(db, rosa, job_id)
    with db.read() as session:
        [entry] = export.trail(session, f"job {job_id}", "work cancelled")
    assert entry.detail == {"from": "running", "to": "cancelling"}


def test_progress_is_a_share(db: Database, rosa: Person) -> None:
    job_id = jobs.ask(db, rosa, "draw", DRAW)
    _claimed(db)
    with db.write() as session:
        assert stored.beat(session, job_id, done=2, total=5, message="Drawing") == "running"
    row = jobs.job(db, rosa, job_id)
    assert (row.done, row.total, row.message, row.share) == (2, 5, "Drawing", 0.4)


def test_a_silent_job_is_an_orphan(db: Database, rosa: Person) -> None:
    job_id = jobs.ask(db, rosa, "draw", DRAW)
    _claimed(db)
    with db.write() as session:
        assert stored.orphans(session, now() - timedelta(seconds=20)) == []
        session.execute(update(Job).values(heartbeat_at=now() - timedelta(seconds=21)))
        assert stored.orphans(session, now() - timedelta(seconds=20)) == [job_id]


def test_a_job_is_put_back_with_its_attempts_unless_its_runner_stopped_in_order(db: Database, rosa: Person) -> None:
    job_id = jobs.ask(db, rosa, "draw", DRAW)
    for in_order, attempts in ((False, 1), (True, 1), (False, 2)):
        assert _claimed(db) == job_id
        with db.write() as session:
            stored.beat(session, job_id, done=2.5)
            assert stored.put_back(session, job_id, "Once more", in_order=in_order)
        row = jobs.job(db, rosa, job_id)
        assert (row.status, row.message, row.done, row.attempts) == ("queued", "Once more", 2.5, attempts)
    jobs.cancel(db, rosa, job_id)
    with db.write() as session:
        assert not stored.put_back(session, job_id, "Once more", in_order=False)
    assert jobs.job(db, rosa, job_id).status == "cancelled"


def test_what_an_earlier_run_reports_does_not_count(db: Database, rosa: Person) -> None:
    job_id = jobs.ask(db, rosa, "draw", DRAW)
    runs = []
    for _ in range(2):
        _claimed(db)
        runs.append(jobs.job(db, rosa, job_id).started_at)
        with db.write() as session:
            stored.put_back(session, job_id, "", in_order=False)
    with db.write() as session:
        assert stored.claim(session)
        for earlier in runs:
            assert stored.beat(session, job_id, run=earlier, done=4) == "lost"
            assert not stored.finish(session, job_id, "done", run=earlier)
    row = jobs.job(db, rosa, job_id)
    assert (row.status, row.done) == ("running", 0)
    with db.write() as session:
        assert stored.beat(session, job_id, run=row.started_at, done=4) == "running"
        assert stored.finish(session, job_id, "done", run=row.started_at)


def test_a_runner_takes_the_kinds_that_it_has_room_for(db: Database, rosa: Person) -> None:
    draw, utility = jobs.ask(db, rosa, "draw", DRAW), jobs.ask(db, rosa, "utility", {"study_id": 1})
    with db.write() as session:
        assert not stored.queued(session, ["import"])
        assert stored.claim(session, ["import"]) is None
        claimed = [row.id for row in (stored.claim(session, ["utility"]), stored.claim(session, ["utility", "draw"])) if row]
    assert claimed == [utility, draw]


def test_work_belongs_to_who_asked(db: Database, rosa: Person, somebody: dict[Role, Person]) -> None:
    job_id = jobs.ask(db, rosa, "draw", DRAW)
    for stranger in (somebody[Role.COORDINATOR], somebody[Role.READER], None):
        with pytest.raises(NotAllowed, match="somebody else"):
            jobs.job(db, stranger, job_id)
        with pytest.raises(NotAllowed, match="somebody else"):
            jobs.cancel(db, stranger, job_id)
    assert jobs.job(db, somebody[Role.ADMIN], job_id).status == "queued"


def test_roles_decide_who_may_ask(db: Database, somebody: dict[Role, Person], tmp_path: Path) -> None:
    asked: dict[str, dict[str, Any]] = {
        "draw": DRAW,
        "import": {"directory": str(tmp_path)},
        "utility": {"study_id": 1},
        "round": {"study_id": 1, "plan": {}},
    }
    for kind, content in asked.items():
        for person in (somebody[Role.READER], None):
            with pytest.raises(NotAllowed):
                jobs.ask(db, person, kind, content)
    with pytest.raises(NotAllowed):
        jobs.ask(db, somebody[Role.COORDINATOR], "import", asked["import"])


@pytest.mark.parametrize(
    ("kind", "asked", "words"),
    [
        ("paint", {}, "no work of kind 'paint'"),
        ("draw", {}, "missing"),
        ("draw", {**DRAW, "colour": 1}, "unknown"),
        ("draw", {"request": {**DRAW["request"], "n": 0}}, "between 1 and"),
        ("draw", {"request": {**DRAW["request"], "rhythm": "VT"}}, "rhythm is 'VT'"),
        ("draw", {"request": {**DRAW["request"], "seed": 2**53}}, "at most"),
        ("draw", {**DRAW, "checkpoint": "/nowhere/at/all"}, "/nowhere/at/all/config.json does not exist. A checkpoint is a folder"),
        ("draw", {**DRAW, "checkpoint": "weights"}, "from the root on"),
        ("import", {"directory": "/nowhere/at/all"}, "no folder"),
    ],
)
def test_what_would_fail_anyway_is_refused_at_once(db: Database, rosa: Person, kind: str, asked: dict[str, object], words: str) -> None:
    with pytest.raises((StudyError, GeneratorError), match=words):
        jobs.ask(db, rosa, kind, asked)
    assert jobs.recent_jobs(db, rosa) == []
