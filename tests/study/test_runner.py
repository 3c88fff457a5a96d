from __future__ import annotations

import os
import signal
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
from storage.tables import Drawing, Job, Rejection, Strip, Truth, now
from study import jobs, people, runner, runner_process, work
from study.drawing import Drawer, _end_of_chunk
from study.errors import Cancelled, StudyError
from study.people import Person
from study.work import Progress

pytestmark = pytest.mark.xdist_group("runner")  # two Dask clusters at once are slow on two cores
PATIENCE = 90  # seconds before a test that waits for another process gives up


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network so small that it draws noise, quickly."""
    import torch

    from generator.leads import STORED
    from generator.sssd.checkpoint import save
    from generator.sssd.config import Config, NetworkConfig
    from generator.sssd.network import Network
    from generator.sssd.schedule import Schedule

    torch.manual_seed(1)
    config = NetworkConfig(
        num_res_layers=1,
        res_channels=4,
        skip_channels=4,
        diffusion_step_embed_dim_in=4,
        diffusion_step_embed_dim_mid=4,
        diffusion_step_embed_dim_out=4,
        s4_d_state=4,
        label_embed_dim=4,
        label_embed_classes=2,
        fold=10,
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    zero, one, small = (0.0,) * 8, (1.0,) * 8, (0.2,) * 8
    labels = {"NSR": (0,), "AF": (1,)}
    save(folder, Network(config), Config(config, Schedule(), labels, STORED, "standardised", zero, small, zero, one, True, {}, {}))
    return str(folder)


@pytest.fixture(scope="module")
def drawer() -> Iterator[Drawer]:
    drawing = Drawer()
    yield drawing
    drawing.close()


@pytest.fixture
def rosa(db: Database) -> Person:
    person = people.person_for(db, people.set_up(db, "rosa", "Rosa", "correct horse", None))
    assert person
    return person


def _asked(checkpoint: str, n: int = 10, seed: int = 7, steps: int = 4) -> dict[str, Any]:
    return {"request": DrawRequest("AF", n, seed, steps=steps).as_dict(), "checkpoint": checkpoint}


def _claimed(db: Database) -> JobRow:
    with db.write() as session:
        row = stored.claim(session)
    assert row
    return row


def _until(true: Callable[[], bool]) -> None:
    """Waits for another process: asks it again and again, and gives up in the end."""
    pause = threading.Event()
    for _ in range(PATIENCE * 10):
        if true():
            return
        pause.wait(0.1)
    pytest.fail(f"nothing happened within {PATIENCE} s")


def _numbers(db: Database) -> list[int]:
    with db.read() as session:
        return sorted([*session.scalars(select(Drawing.number)), *session.scalars(select(Rejection.number))])


# ---- drawing on Dask ----


def test_drawing_stores_each_strip_once_with_what_draws_it_again(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    jobs.ask(db, rosa, "draw", _asked(checkpoint))
    job = _claimed(db)
    result = work.do(db, job, Progress(db, job.id), drawer)
    assert sum(result.values()) == 10
    assert _numbers(db) == list(range(10))
    row = jobs.job(db, rosa, job.id)
    assert (row.done, row.total) == (10, 10)
    from generator.sssd import draw

    again = {sample.number: sample for sample in draw.draw(DrawRequest("AF", 10, 7, steps=4), checkpoint=Path(checkpoint), device="cpu")}
    with db.read() as session:
        assert set(session.scalars(select(Truth.arm))) <= {"synthetic"}
        for drawing, strip in session.execute(select(Drawing, Strip).join(Strip, Strip.id == Drawing.strip_id)):
            sample = again[drawing.number]
            assert sample.counts is not None
            assert strip.samples == sample.counts.astype("<i2").tobytes()
            assert (drawing.seed, drawing.steps, drawing.sampler, drawing.purpose, drawing.job_id) == (7, 4, "dpm++2m", "gallery", job.id)


def test_drawing_the_same_again_stores_nothing_twice(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    results = []
    for _ in range(2):
        jobs.ask(db, rosa, "draw", _asked(checkpoint, n=4))
        job = _claimed(db)
        results.append(work.do(db, job, Progress(db, job.id), drawer))
        with db.write() as session:
            stored.finish(session, job.id, "done")
    assert results[1]["drawn"] == 0
    assert results[1]["already_present"] == results[0]["drawn"]


def test_a_worker_that_dies_loses_no_strip(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    jobs.ask(db, rosa, "draw", _asked(checkpoint, n=12))
    job = _claimed(db)
    chunks = drawer.draw(DrawRequest.from_dict(job.asked["request"]), checkpoint=checkpoint)
    samples = list(next(chunks).samples)
    (pid,) = drawer._connected().run(os.getpid).values()
    os.kill(pid, signal.SIGKILL)
    for chunk in chunks:
        samples += chunk.samples
    assert sorted(sample.number for sample in samples) == list(range(12))


def test_cancelling_stops_the_drawing(db: Database, rosa: Person, checkpoint: str, drawer: Drawer) -> None:
    jobs.ask(db, rosa, "draw", _asked(checkpoint, n=100_000))
    job = _claimed(db)
    progress = Progress(db, job.id)

    def stopped() -> bool:
        progress.beat()
        return progress.stopped()

    def cancel_when_some_are_drawn() -> None:
        _until(lambda: jobs.job(db, rosa, job.id).done > 0)
        jobs.cancel(db, rosa, job.id)

    beating = threading.Thread(target=_until, args=(stopped,))
    asking = threading.Thread(target=cancel_when_some_are_drawn)
    beating.start()
    asking.start()
    with pytest.raises(Cancelled):
        work.do(db, job, progress, drawer)
    beating.join()
    asking.join()
    assert 0 < len(_numbers(db)) < 100_000
    assert sum(1 for _ in drawer.draw(DrawRequest("NSR", 4, 1, steps=4), checkpoint=checkpoint)) == 1  # the worker is free again


def test_a_scheduler_that_is_not_there_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.drawing._SECONDS_TO_CONNECT", 0.5)
    drawing = Drawer("tcp://127.0.0.1:9")
    with pytest.raises(StudyError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        next(drawing.draw(DrawRequest("AF", 1, 1)))


def test_chunks_end_where_batches_end_and_go_on() -> None:
    for n in (1, 4, 5, 63, 64, 200):
        for size in (1, 3, 4, 7, 64, 100, 256):
            first, ends = 0, []
            while first < n:
                following = _end_of_chunk(first, size, n)
                assert first < following <= n
                ends.append(following)
                first = following
            assert all(end % 4 == 0 for end in ends[:-1])


# ---- jobs, in this process ----


def _work_through(db: Database, drawer: Drawer) -> None:
    """Runs the runner until nothing is queued or running."""
    stop = threading.Event()

    def idle() -> bool:
        with db.read() as session:
            return not session.scalars(select(Job.id).where(Job.status.in_(stored.ACTIVE))).all()

    def stop_when_idle() -> None:
        _until(idle)
        stop.set()

    threading.Thread(target=stop_when_idle).start()
    runner.run(db, drawer, stop)


class _NoDask(Drawer):
    """Jobs that draw nothing need no Dask."""

    def warm_up(self) -> None:
        pass


def test_a_problem_is_told_to_who_asked(db: Database, rosa: Person, tmp_path: Path) -> None:
    job_id = jobs.ask(db, rosa, "import", {"directory": str(tmp_path), "temporary": True})
    _work_through(db, _NoDask())
    row = jobs.job(db, rosa, job_id)
    assert row.status == "failed"
    assert "labels" in row.message
    assert not tmp_path.exists()  # an upload goes, whatever became of it


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


def test_a_job_whose_runner_was_killed_is_marked_at_the_next_start(db: Database, rosa: Person, tmp_path: Path) -> None:
    job_id = jobs.ask(db, rosa, "utility", {"study_id": 1})
    _claimed(db)
    with db.write() as session:  # as if the runner that took it had been gone for a while
        session.execute(update(Job).values(heartbeat_at=now() - timedelta(seconds=runner.SECONDS_SILENT + 1)))
    _work_through(db, _NoDask())
    row = jobs.job(db, rosa, job_id)
    assert (row.status, row.message) == ("failed", runner.INTERRUPTED)


def test_stopping_marks_what_is_unfinished(db: Database, rosa: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, ended = threading.Event(), threading.Event()

    def endless(_db: Database, _job: JobRow, progress: Progress, _drawer: Drawer) -> dict[str, Any]:
        stop.set()
        _until(progress.stopped)
        ended.set()
        raise Cancelled("Cancelled.")

    monkeypatch.setitem(work._KINDS, "utility", endless)
    job_id = jobs.ask(db, rosa, "utility", {"study_id": 1})
    runner.run(db, _NoDask(), stop)
    assert ended.wait(PATIENCE)
    row = jobs.job(db, rosa, job_id)
    assert (row.status, row.message) == ("failed", runner.INTERRUPTED)


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
        _until(lambda: not jobs.job(db, rosa, job_id).active)
        row = jobs.job(db, rosa, job_id)
        assert row.status == "done", row.message
        assert _numbers(db) == list(range(6))

        endless = jobs.ask(db, rosa, "draw", _asked(checkpoint, n=100_000, seed=8))
        _until(lambda: jobs.job(db, rosa, endless).done > 0)
        jobs.cancel(db, rosa, endless)
        _until(lambda: jobs.job(db, rosa, endless).status == "cancelled")

        killed = jobs.ask(db, rosa, "draw", _asked(checkpoint, n=100_000, seed=9))
        _until(lambda: jobs.job(db, rosa, killed).done > 0)
        pids = _worker_pids(process)
        assert pids
        process.kill()
        process.wait()
        _until(lambda: _gone(pids))  # Dask's processes do not outlive it
        assert jobs.job(db, rosa, killed).status == "running"
        with db.write() as session:
            session.execute(update(Job).where(Job.id == killed).values(heartbeat_at=now() - timedelta(seconds=runner.SECONDS_SILENT + 1)))
    finally:
        process.kill()
    process = runner_process.start(url)
    try:
        _until(lambda: jobs.job(db, rosa, killed).status == "failed")
        assert jobs.job(db, rosa, killed).message == runner.INTERRUPTED
        pids = _worker_pids(process)
        runner_process.stop(process)
        assert process.returncode == 0
        _until(lambda: _gone(pids))
    finally:
        process.kill()


def test_the_web_process_starts_a_runner_without_loading_what_it_needs() -> None:
    program = (
        "import sys; import study.runner_process, study.jobs, study.people, study.work; "
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
