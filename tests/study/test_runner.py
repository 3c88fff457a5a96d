from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from generator.request import DrawRequest
from storage import jobs as stored
from storage.database import Database
from storage.jobs import JobRow
from storage.tables import Job, now
from study import drawing, jobs, runner, runner_process, sign_in, staging, work
from study.drawing import Chunk, Drawer
from study.errors import Cancelled
from study.people import Person
from study.roles import Role
from study.work import Progress
from tests.joining import joined
from tests.study import tiny
from tests.study.waiting import PATIENCE, until

pytestmark = pytest.mark.xdist_group("runner")  # two Dask clusters at once are slow on two cores


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.write(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(autouse=True)
def _no_quality_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "draw_chunk", tiny.draw_chunk)


@pytest.fixture(scope="module")
def drawer() -> Iterator[Drawer]:
    dask = Drawer()
    yield dask
    dask.close()


@pytest.fixture
def rosa(db: Database) -> Person:
    person = sign_in.person_for(db, sign_in.set_up(db, "rosa", "Rosa", "correct horse", None))
    assert person
    return person


def _asked(checkpoint: str, n: int = 10, seed: int = 7, steps: int = 4) -> dict[str, Any]:
    return {"request": DrawRequest("AF", n, seed, steps=steps).as_dict(), "checkpoint": checkpoint}


# ---- jobs, in this process ----


def _work_through(db: Database, drawer: Drawer) -> None:
    """Runs the runner until nothing is queued or running."""
    stop = threading.Event()

    def idle() -> bool:
        with db.read() as session:
            return not session.scalars(select(Job.id).where(Job.status.in_(stored.ACTIVE))).all()

    def stop_when_idle() -> None:
        until(idle)
        stop.set()

    threading.Thread(target=stop_when_idle).start()
    runner.run(db, drawer, stop)


class _NoDask(Drawer):
    """Jobs that draw nothing need no Dask."""

    def warm_up(self, then: Callable[[], None] = lambda: None) -> None:
        pass


class _Kept(_NoDask):
    """The module's drawer, which outlives the runners."""

    def __init__(self, drawer: Drawer) -> None:
        super().__init__()
        self._kept = drawer

    def draw(self, request: DrawRequest, **asked: Any) -> Iterator[Chunk]:
        return self._kept.draw(request, **asked)


def test_a_problem_is_told_to_who_asked(db: Database, rosa: Person) -> None:
    folder = staging.stage(db, "up.zip", io.BytesIO(b"PK\x03\x04 and no more"))
    job_id = jobs.ask(db, rosa, "import", {"directory": str(folder), "temporary": True})
    _work_through(db, _NoDask())
    row = jobs.job(db, rosa, job_id)
    assert row.status == "failed"
    assert "not a readable zip" in row.message
    assert not folder.exists()  # an upload goes, whatever became of it


def test_an_unforeseen_error_is_never_lost(db: Database, rosa: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> dict[str, Any]:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setitem(work._KINDS, "utility", broken)
    job_id = jobs.ask(db, rosa, "utility", {"study_id": 1})
    _work_through(db, _NoDask())
    row = jobs.job(db, rosa, job_id)
    assert row.status == "failed"
    assert f"job {job_id}" in row.message
    assert "secret detail" not in row.message
    assert "secret detail" in caplog.text


def _be_silent(db: Database, job_id: int) -> None:
    """As if the runner that took it up had been gone for a while."""
    with db.write() as session:
        long_ago = now() - timedelta(seconds=runner.SECONDS_SILENT + 1)
        session.execute(update(Job).where(Job.id == job_id).values(heartbeat_at=long_ago))


def test_a_job_whose_runner_was_killed_is_marked_at_the_next_start(db: Database, rosa: Person) -> None:
    job_id = jobs.ask(db, rosa, "utility", {"study_id": 1})
    tiny.claimed(db)
    _be_silent(db, job_id)
    _work_through(db, _NoDask())
    row = jobs.job(db, rosa, job_id)
    assert (row.status, row.message) == ("failed", runner.INTERRUPTED)


def test_stopping_marks_what_is_unfinished(db: Database, rosa: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, ended = threading.Event(), threading.Event()

    def endless(_db: Database, _job: JobRow, progress: Progress, _drawer: Drawer) -> dict[str, Any]:
        stop.set()
        until(progress.stopped)
        ended.set()
        raise Cancelled("Cancelled.")

    monkeypatch.setitem(work._KINDS, "utility", endless)
    job_id = jobs.ask(db, rosa, "utility", {"study_id": 1})
    runner.run(db, _NoDask(), stop)
    assert ended.wait(PATIENCE)
    row = jobs.job(db, rosa, job_id)
    assert (row.status, row.message) == ("failed", runner.INTERRUPTED)


# ---- drawings go on ----


def _interrupted(db: Database, person: Person, drawer: Drawer, asked: dict[str, Any]) -> JobRow:
    """A job that has stored some of its strips, and whose runner is gone."""
    job_id = jobs.ask(db, person, "draw", asked)
    job = tiny.claimed(db)
    progress = Progress(db, job.id, job.started_at)

    def stop_after_some() -> None:
        until(lambda: bool(tiny.numbers(db)))
        progress.stop()

    stopping = threading.Thread(target=stop_after_some)
    stopping.start()
    with pytest.raises(Cancelled):
        work.do(db, job, progress, drawer)
    stopping.join()
    _be_silent(db, job_id)
    return jobs.job(db, person, job_id)


def test_a_drawing_whose_runner_was_killed_goes_on_with_what_is_missing(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    n = 600
    job = _interrupted(db, rosa, drawer, _asked(checkpoint, n=n))
    there = tiny.numbers(db)
    assert 0 < len(there) < n
    _work_through(db, _Kept(drawer))
    row = jobs.job(db, rosa, job.id)
    assert (row.status, row.done, row.attempts) == ("done", n, 2), row.message
    assert tiny.numbers(db) == list(range(n))
    assert row.result
    assert sum(row.result.values()) == n
    assert row.result["already_present"] == 0  # none was drawn again


def test_a_drawing_whose_runner_dies_again_fails_with_a_message(db: Database, rosa: Person, checkpoint: str) -> None:
    job_id = jobs.ask(db, rosa, "draw", _asked(checkpoint))
    for _ in range(runner.ATTEMPTS):
        tiny.claimed(db)
        _be_silent(db, job_id)
        runner._take_in_orphans(db, set())
    row = jobs.job(db, rosa, job_id)
    assert (row.status, row.message) == ("failed", runner.DIED_AGAIN)


def test_a_drawing_that_was_being_cancelled_when_its_runner_died_is_cancelled(db: Database, rosa: Person, checkpoint: str) -> None:
    job_id = jobs.ask(db, rosa, "draw", _asked(checkpoint))
    tiny.claimed(db)
    jobs.cancel(db, rosa, job_id)
    _be_silent(db, job_id)
    runner._take_in_orphans(db, set())
    assert jobs.job(db, rosa, job_id).status == "cancelled"


def test_a_runner_that_was_only_asleep_neither_stores_nor_ends_what_another_goes_on_with(
    db: Database, rosa: Person, checkpoint: str, drawer: Drawer
) -> None:
    job_id = jobs.ask(db, rosa, "draw", _asked(checkpoint))
    asleep = tiny.claimed(db)
    _be_silent(db, job_id)
    runner._take_in_orphans(db, set())
    goes_on = tiny.claimed(db)
    assert goes_on.id == asleep.id
    with pytest.raises(Cancelled):
        work.do(db, asleep, Progress(db, job_id, asleep.started_at), drawer)
    assert tiny.numbers(db) == []
    with db.write() as session:
        assert not stored.finish(session, job_id, "cancelled", run=asleep.started_at)
        assert stored.finish(session, job_id, "done", run=goes_on.started_at)


def test_stopping_puts_a_drawing_back_into_the_queue_as_often_as_it_likes(
    db: Database, rosa: Person, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = jobs.ask(db, rosa, "draw", _asked(checkpoint))
    for _ in range(runner.ATTEMPTS + 1):
        stop, ended = threading.Event(), threading.Event()

        def endless(
            _db: Database, _job: JobRow, progress: Progress, _drawer: Drawer, stop: threading.Event = stop, ended: threading.Event = ended
        ) -> dict[str, Any]:
            stop.set()
            until(progress.stopped)
            ended.set()
            raise Cancelled("Cancelled.")

        monkeypatch.setitem(work._KINDS, "draw", endless)
        runner.run(db, _NoDask(), stop)
        assert ended.wait(PATIENCE)
        assert jobs.job(db, rosa, job_id).status == "queued"


# ---- several people at once ----


def _researchers(db: Database, rosa: Person, number: int) -> list[Person]:
    return [joined(db, rosa, f"r{i}", f"R{i}", Role.RESEARCHER, None, "correct horse") for i in range(number)]


def test_drawings_do_not_take_the_places_of_other_work(db: Database, rosa: Person, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten drawings and four other jobs are all at work at once."""
    all_at_work = threading.Barrier(10 + runner.AT_ONCE)

    def meet(*_: object) -> dict[str, Any]:
        all_at_work.wait(PATIENCE)
        return {}

    monkeypatch.setitem(work._KINDS, "draw", meet)
    monkeypatch.setitem(work._KINDS, "utility", meet)
    for i, person in enumerate(_researchers(db, rosa, 10)):
        jobs.ask(db, person, "draw", _asked(checkpoint))
        if i < runner.AT_ONCE:
            jobs.ask(db, person, "utility", {"study_id": 1})
    _work_through(db, _NoDask())
    with db.read() as session:
        assert set(session.scalars(select(Job.status))) == {"done"}


def test_a_short_drawing_does_not_wait_for_a_long_one(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    [leo] = _researchers(db, rosa, 1)
    long = jobs.ask(db, rosa, "draw", _asked(checkpoint, n=100_000))
    stop = threading.Event()
    running = threading.Thread(target=runner.run, args=(db, _Kept(drawer), stop))
    running.start()
    try:
        until(lambda: jobs.job(db, rosa, long).done > 0)
        short = jobs.ask(db, leo, "draw", _asked(checkpoint, n=8, seed=8))
        until(lambda: not jobs.job(db, leo, short).active)
        assert jobs.job(db, leo, short).status == "done"
        assert jobs.job(db, rosa, long).status == "running"
        jobs.cancel(db, rosa, long)
        until(lambda: not jobs.job(db, rosa, long).active)
    finally:
        stop.set()
        running.join()


# ---- the process itself ----


def _worker_pids(process: subprocess.Popen[bytes]) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]


def _gone(pids: list[int]) -> bool:
    import psutil

    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_the_runner_draws_survives_nothing_and_leaves_nothing_behind(db: Database, url: str, rosa: Person, checkpoint: str) -> None:
    process = runner_process.start(url)
    try:
        job_id = jobs.ask(db, rosa, "draw", _asked(checkpoint, n=6))
        until(lambda: not jobs.job(db, rosa, job_id).active)
        row = jobs.job(db, rosa, job_id)
        assert row.status == "done", row.message
        assert tiny.numbers(db) == list(range(6))

        endless = jobs.ask(db, rosa, "draw", _asked(checkpoint, n=100_000, seed=8))
        until(lambda: jobs.job(db, rosa, endless).done > 0)
        jobs.cancel(db, rosa, endless)
        until(lambda: jobs.job(db, rosa, endless).status == "cancelled")

        killed = jobs.ask(db, rosa, "draw", _asked(checkpoint, n=100_000, seed=9))
        until(lambda: jobs.job(db, rosa, killed).done > 0)
        pids = _worker_pids(process)
        assert pids
        process.kill()
        process.wait()
        until(lambda: _gone(pids))  # Dask's processes do not outlive it
        assert jobs.job(db, rosa, killed).status == "running"
        _be_silent(db, killed)
    finally:
        process.kill()
    there = jobs.job(db, rosa, killed).done
    process = runner_process.start(url)
    try:
        until(lambda: jobs.job(db, rosa, killed).done > there)
        assert jobs.job(db, rosa, killed).attempts == 2
        pids = _worker_pids(process)
        runner_process.stop(process)
        assert process.returncode == 0
        until(lambda: _gone(pids))
        assert jobs.job(db, rosa, killed).status == "queued"
    finally:
        process.kill()


def test_the_web_process_starts_a_runner_without_loading_what_it_needs() -> None:
    program = (
        "import sys; import study.runner_process, study.jobs, study.people, study.work, study.speed, study.checkpoints; "
        "print([name for name in ('torch', 'distributed', 'dask', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]"


def test_a_runner_without_a_database_says_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague, " * 100)
    niceness = os.nice(0)
    command = [sys.executable, "-m", "study.runner", "--db", f"sqlite:///{tmp_path / 'letter.txt'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.nice(0) == niceness
