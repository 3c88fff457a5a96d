"""Drawing on Dask: every strip once, however workers die; how far it is; stopped when it is told to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from generator.request import SAMPLERS, DrawRequest
from generator.sssd.schedule import Schedule
from storage import jobs as stored
from storage.database import Database
from storage.jobs import JobRow
from storage.tables import Drawing, Strip, Truth
from study import drawing, jobs, sign_in, work
from study.drawing import Drawer
from study.errors import Cancelled, StudyError
from study.people import Person
from study.work import Progress
from tests.study import tiny
from tests.study.waiting import until

pytestmark = pytest.mark.xdist_group("runner")  # two Dask clusters at once are slow on two cores


@pytest.fixture(autouse=True)
def _no_quality_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "draw_chunk", tiny.draw_chunk)


@pytest.fixture(scope="module")
def drawer() -> Iterator[Drawer]:
    dask = Drawer()
    yield dask
    dask.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.write(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint whose ancestral sampler takes longer for one strip than a test waits."""
    return tiny.write(tmp_path_factory.mktemp("slow"), Schedule("cosine", "v", T=200_000))


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A checkpoint whose worker dies as often as tiny.dies says."""
    monkeypatch.setattr(drawing, "draw_chunk", tiny.draw_chunk_and_die)
    return tiny.write(tmp_path / "deadly")


@pytest.fixture
def rosa(db: Database) -> Person:
    person = sign_in.person_for(db, sign_in.set_up(db, "rosa", "Rosa", "correct horse", None))
    assert person
    return person


def _claimed(db: Database, person: Person, checkpoint: str, n: int = 10, sampler: str = SAMPLERS[0]) -> JobRow:
    jobs.ask(db, person, "draw", {"request": DrawRequest("AF", n, 7, steps=4, sampler=sampler).as_dict(), "checkpoint": checkpoint})
    return tiny.claimed(db)


def _whole(db: Database, checkpoint: str, n: int) -> bool:
    """Whether each stored strip is what this process draws under its number."""
    from generator.sssd import draw

    request = DrawRequest("AF", n, 7, steps=4)
    again = {sample.number: sample.counts for sample in draw.draw(request, checkpoint=Path(checkpoint), device="cpu", quality_control=False)}
    with db.read() as session:
        rows = session.execute(select(Drawing.number, Strip.samples).join(Strip, Strip.id == Drawing.strip_id)).all()
    expected = {number: counts.astype("<i2").tobytes() for number, counts in again.items() if counts is not None}
    return all(samples == expected[number] for number, samples in rows)


def test_drawing_stores_each_strip_once_with_what_draws_it_again(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    job = _claimed(db, rosa, checkpoint)
    result = work.do(db, job, Progress(db, job.id), drawer)
    assert sum(result.values()) == 10
    assert tiny.numbers(db) == list(range(10))
    assert _whole(db, checkpoint, 10)
    row = jobs.job(db, rosa, job.id)
    assert (row.done, row.total) == (10, 10)
    with db.read() as session:
        assert set(session.scalars(select(Truth.arm))) <= {"synthetic"}
        for made in session.scalars(select(Drawing)):
            assert (made.seed, made.steps, made.sampler, made.purpose, made.job_id) == (7, 4, SAMPLERS[0], "gallery", job.id)


def test_drawing_the_same_again_stores_nothing_twice(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    results = []
    for _ in range(2):
        job = _claimed(db, rosa, checkpoint, n=4)
        results.append(work.do(db, job, Progress(db, job.id), drawer))
        with db.write() as session:
            stored.finish(session, job.id, "done")
    assert results[1]["drawn"] == 0
    assert results[1]["already_present"] == results[0]["drawn"]


def test_what_is_there_already_is_not_drawn_again(checkpoint: str, drawer: Drawer) -> None:
    there = {0, 1, 5, 6, 11}
    told: list[float] = []
    chunks = drawer.draw(DrawRequest("AF", 12, 7, steps=4), skip=there, checkpoint=checkpoint, told=told.append)
    assert sorted(sample.number for chunk in chunks for sample in chunk.samples) == [2, 3, 4, 7, 8, 9, 10]
    assert told[-1] == 7
    everything = drawer.draw(DrawRequest("AF", 3, 7, steps=4), skip=range(3), checkpoint=checkpoint)
    assert list(everything) == []


def test_a_worker_that_dies_once_loses_no_strip(db: Database, rosa: Person, deadly: str, drawer: Drawer) -> None:
    tiny.dies(deadly, 1)
    job = _claimed(db, rosa, deadly, n=12)
    result = work.do(db, job, Progress(db, job.id), drawer)
    assert sum(result.values()) == 12
    assert tiny.numbers(db) == list(range(12))
    assert _whole(db, deadly, 12)


def test_a_worker_that_dies_twice_over_the_same_strips_ends_the_job_and_keeps_what_is_whole(
    db: Database, rosa: Person, deadly: str, drawer: Drawer
) -> None:
    tiny.dies(deadly, 2)
    job = _claimed(db, rosa, deadly, n=12)
    with pytest.raises(StudyError, match=r"died twice over the same strips"):
        work.do(db, job, Progress(db, job.id), drawer)
    assert set(tiny.numbers(db)) <= set(range(12)) - {tiny.DEADLY}
    assert _whole(db, deadly, 12)
    chunks = drawer.draw(DrawRequest("NSR", 4, 1, steps=4), checkpoint=deadly)  # the next job has a worker again
    assert sum(len(chunk.samples) for chunk in chunks) == 4


def test_where_no_worker_of_our_own_is_left_new_ones_are_started(drawer: Drawer, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_SECONDS_ALONE", 1)
    cluster = drawer._connected().cluster
    assert cluster is not None
    cluster.scale(0)
    until(lambda: not cluster.scheduler_info["workers"])
    end = time.monotonic() + 120
    chunks = drawer.draw(DrawRequest("NSR", 4, 1, steps=4), checkpoint=checkpoint, cancelled=lambda: time.monotonic() > end)
    assert sum(len(chunk.samples) for chunk in chunks) == 4


def test_strips_under_way_count_in_part_and_a_strip_can_be_stopped_half_way(slow: str, drawer: Drawer, checkpoint: str) -> None:
    told: list[float] = []
    chunks = drawer.draw(DrawRequest("AF", 2, 1, sampler="ancestral"), checkpoint=slow, told=told.append, cancelled=lambda: len(told) >= 3)
    with pytest.raises(Cancelled):
        next(chunks)
    assert 0 < told[0] < told[1] < told[2] < 1
    free_again = drawer.draw(DrawRequest("NSR", 4, 1, steps=4), checkpoint=checkpoint)
    assert sum(len(chunk.samples) for chunk in free_again) == 4


def test_a_job_tells_strips_under_way(db: Database, rosa: Person, slow: str, drawer: Drawer) -> None:
    job = _claimed(db, rosa, slow, n=2, sampler="ancestral")

    class Watched(Progress):
        def beat(self, *news: Any, **more: Any) -> None:
            super().beat(*news, **more)
            if 0 < jobs.job(db, rosa, job.id).done < 1:
                jobs.cancel(db, rosa, job.id)

    with pytest.raises(Cancelled):
        work.do(db, job, Watched(db, job.id, job.started_at), drawer)
    row = jobs.job(db, rosa, job.id)
    assert row.status == "cancelling"
    assert 0 < row.done < 1
    assert tiny.numbers(db) == []  # nothing half-drawn is kept


def test_a_scheduler_that_is_not_there_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.drawing._SECONDS_TO_CONNECT", 0.5)
    drawing = Drawer("tcp://127.0.0.1:9")
    with pytest.raises(StudyError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        next(drawing.draw(DrawRequest("AF", 1, 1)))
