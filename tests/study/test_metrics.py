"""What a server says of itself: counts of what was done to it, for admins alone."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from storage import jobs
from storage.database import Database
from study.errors import NotAllowed
from study.metrics import FAULTS_TOLD, Metrics, state
from study.people import Person
from study.roles import Role

READER = Person(1, "ada", "Ada", Role.READER, "North", demo=False)


def test_people_are_counted_once_however_many_screens_they_have_open() -> None:
    metrics = Metrics()
    with metrics.connected(READER), metrics.connected(READER), metrics.connected(replace(READER, id=2)):
        with metrics.connected(replace(READER, id=3, role=Role.ADMIN)):
            now = metrics.state([])
            assert (now.online, now.screens) == ({"reader": 2, "admin": 1}, 4)
        assert metrics.state([]).online == {"reader": 2}
    assert (metrics.state([]).online, metrics.state([]).screens) == ({}, 0)


def test_a_screen_that_broke_off_is_closed_and_its_time_counted() -> None:
    metrics = Metrics()
    with pytest.raises(RuntimeError), metrics.connected(READER), metrics.timed("screen: Read"):
        raise RuntimeError
    now = metrics.state([])
    assert (now.screens, [(pace.what, pace.times) for pace in now.paces]) == (0, [("screen: Read", 1)])


def test_the_slowest_stands_first() -> None:
    metrics, waiting = Metrics(), threading.Event()
    for what, seconds in (("quick", 0.0), ("slow", 0.05)):
        with metrics.timed(what):
            waiting.wait(seconds)
    first, second = metrics.state([]).paces
    assert (first.what, second.what) == ("slow", "quick")
    assert first.median >= 0.05


def test_all_faults_are_counted_and_the_latest_told_without_their_words() -> None:
    metrics = Metrics()
    for i in range(FAULTS_TOLD + 5):
        metrics.fault(f"ID{i}", ValueError("who said what"))
    now = metrics.state([])
    assert (now.faults, len(now.latest), now.latest[0].number, now.latest[0].kind) == (
        FAULTS_TOLD + 5,
        FAULTS_TOLD,
        f"ID{FAULTS_TOLD + 4}",
        "ValueError",
    )
    assert "who said what" not in repr(now)


def test_what_waits_and_what_is_under_way_is_counted_by_kind(db: Database) -> None:
    with db.write() as session:
        for kind in ("draw", "import"):
            jobs.add(session, kind, None, {})
        jobs.claim(session, ["import"])
    found = state(db, replace(READER, role=Role.ADMIN)).queue
    assert [(one.kind, one.status, one.number) for one in found] == [("draw", "queued", 1), ("import", "running", 1)]
    assert all(0 <= one.seconds < 60 for one in found)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_nobody_else_sees_it(db: Database, role: Role) -> None:
    with pytest.raises(NotAllowed):
        state(db, replace(READER, role=role))
