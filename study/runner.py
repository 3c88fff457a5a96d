"""The runner: takes up the jobs that people ask for, does them, and never loses one.

`python -m study.runner [--db URL] [--scheduler ADDRESS]`. The app starts one (study.runner_process); more may run on other machines against the
same PostgreSQL database.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from storage import jobs
from storage.database import Database
from storage.jobs import JobRow
from storage.tables import now
from study import log, speed, staging, work
from study.drawing import Drawer
from study.errors import Cancelled, Problems
from study.jobs import KINDS
from study.settings import Settings
from study.work import Progress

AT_ONCE = 4  # jobs: somebody's import need not wait for somebody else's
DRAWINGS_AT_ONCE = 16  # jobs besides: they wait for Dask, whose workers take their strips in turn
ATTEMPTS = 2  # at drawing, by runners that died
SECONDS_BETWEEN_LOOKS = 0.3
SECONDS_BETWEEN_BEATS = 1.0
SECONDS_BETWEEN_SWEEPS = 60.0  # of uploads whose import was killed
SECONDS_SILENT = 20  # a started job without a beat for so long has lost its runner
INTERRUPTED = "Interrupted by a restart. Ask again; what was stored by then stays."
CANCELLED = "Cancelled. What was stored by then stays."
GOES_ON = "Interrupted; it goes on where it stopped"
DIED_AGAIN = (
    f"blindstrip's runner died {ATTEMPTS} times while it drew this. The strips that were stored by then stay; the server's log may say why. "
    "Ask for fewer strips, or for another checkpoint."
)

_LOG = logging.getLogger("blindstrip.runner")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop (SIGTERM, SIGINT, or the end of standard input under --while-stdin-open). Exit status 0, or 2 with a message."""
    parser = argparse.ArgumentParser(prog="python -m study.runner", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", metavar="URL", help="database (default: BLINDSTRIP_DATABASE, else a SQLite file of your own)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler, tcp://HOST:PORT (default: BLINDSTRIP_SCHEDULER, else one of its own)")
    parser.add_argument("--while-stdin-open", action="store_true", help="stop when standard input ends: with the process that started this one")
    given = parser.parse_args(arguments)
    log.start("runner")
    logging.getLogger("distributed").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = threading.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: stop.set())
    if given.while_stdin_open:
        threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(10)  # readers go first; the Dask worker inherits it
    try:
        settings = Settings.from_environment(given.db)
        db = Database(settings.database)
        db.migrate()
    except Problems as error:
        print(error, file=sys.stderr)
        return 2
    run(db, Drawer(given.scheduler or settings.scheduler), stop)
    sys.stderr.flush()
    os._exit(0)  # a job's thread may be deep in a computation; its row says already that it was interrupted


def run(db: Database, drawer: Drawer, stop: threading.Event) -> None:
    """Take jobs up until `stop` is set; then put drawings back into the queue, mark what else is unfinished as interrupted, and let go of Dask."""
    drawer.warm_up(lambda: speed.measure(db, drawer, stop.is_set))
    working: dict[int, _Working] = {}
    lock = threading.Lock()
    threading.Thread(target=_beat, args=(working, lock, stop), daemon=True).start()
    with_threads = ThreadPoolExecutor(AT_ONCE + DRAWINGS_AT_ONCE, thread_name_prefix="job")
    _LOG.info("Ready.")
    sweep_at = 0.0
    while not stop.is_set():
        try:
            with lock:
                own = {job_id: one.job.kind for job_id, one in working.items()}
            _take_in_orphans(db, set(own))
            if time.monotonic() > sweep_at:
                staging.sweep(db)
                sweep_at = time.monotonic() + SECONDS_BETWEEN_SWEEPS
            job = _claim(db, _wanted(list(own.values())))
        except Problems as error:
            _LOG.error("%s", error)
            stop.wait(SECONDS_BETWEEN_BEATS)
            continue
        if job is None:
            stop.wait(SECONDS_BETWEEN_LOOKS)
            continue
        with lock:
            working[job.id] = _Working(job, Progress(db, job.id, job.started_at))
        with_threads.submit(_do, db, job, working, lock, drawer)
    with lock:
        unfinished = list(working.values())
    for one in unfinished:
        _write_down(db, one.job.id, "interrupted", _interrupted, run=one.job.started_at)  # first: a job that is stopped calls itself cancelled
        one.progress.stop()
    with_threads.shutdown(wait=False, cancel_futures=True)
    drawer.close()


@dataclass(frozen=True)
class _Working:
    job: JobRow
    progress: Progress


def _do(db: Database, job: JobRow, working: dict[int, _Working], lock: threading.Lock, drawer: Drawer) -> None:
    progress = working[job.id].progress

    def finish(status: str, message: str, result: dict[str, object] | None = None) -> None:
        _write_down(db, job.id, status, jobs.finish, status, message, result, run=job.started_at)

    _LOG.info("Job %d (%s) begins.", job.id, job.kind)
    try:
        result = work.do(db, job, progress, drawer)
    except Cancelled:
        finish("cancelled", CANCELLED)
    except Problems as error:
        _LOG.warning("Job %d (%s) failed (%s); its row says why.", job.id, job.kind, type(error).__name__)  # its words may name records
        finish("failed", str(error))
    except BaseException:
        _LOG.exception("Job %d (%s) failed.", job.id, job.kind)
        finish("failed", f"Something went wrong that blindstrip did not foresee; the server's log has it under job {job.id}. Ask again.")
    else:
        finish("done", "Done.", result)
        _LOG.info("Job %d (%s) is done.", job.id, job.kind)
    finally:
        with lock:
            working.pop(job.id, None)


def _write_down(db: Database, job_id: int, what: str, how: Callable[..., object], *details: object, **more: object) -> None:
    try:
        with db.write() as session:
            how(session, job_id, *details, **more)
    except Exception:
        _LOG.exception("Job %d is %s, but that could not be written down.", job_id, what)  # it will be found silent, and taken in


def _wanted(own: list[str]) -> list[str]:
    """The kinds of job that there is room for."""
    drawings = own.count("draw")
    full = {"draw": drawings >= DRAWINGS_AT_ONCE}
    return [kind for kind in KINDS if not full.get(kind, len(own) - drawings >= AT_ONCE)]


def _claim(db: Database, kinds: list[str]) -> JobRow | None:
    with db.read() as session:
        if not jobs.queued(session, kinds):
            return None  # the usual case costs no write lock
    with db.write() as session:
        return jobs.claim(session, kinds)


def _interrupted(session: Session, job_id: int, *, run: datetime | None = None) -> None:
    """A job without its runner: a drawing can go on where it stopped; anything else would begin anew, so who asked for it decides.

    run: the one that stops in order and says so itself; None: the runner died.
    """
    job, in_order = jobs.get(session, job_id), run is not None
    if in_order and job.started_at != run:
        return  # somebody else's by now
    if job.kind != "draw":
        jobs.finish(session, job_id, "failed", INTERRUPTED)
    elif job.status == "cancelling":
        jobs.finish(session, job_id, "cancelled", CANCELLED)
    elif in_order or job.attempts < ATTEMPTS:
        jobs.put_back(session, job_id, GOES_ON, in_order=in_order)
    else:
        jobs.finish(session, job_id, "failed", DIED_AGAIN)


def _take_in_orphans(db: Database, own: set[int]) -> None:
    silent_since = now() - timedelta(seconds=SECONDS_SILENT)
    with db.read() as session:
        silent = [job_id for job_id in jobs.orphans(session, silent_since) if job_id not in own]
    for job_id in silent:
        with db.write() as session:
            if job_id in jobs.orphans(session, silent_since):
                _interrupted(session, job_id)
                _LOG.warning("Job %d had lost its runner.", job_id)


def _beat(working: dict[int, _Working], lock: threading.Lock, stop: threading.Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_BEATS):
        with lock:
            alive = [one.progress for one in working.values()]
        for progress in alive:
            if progress.seconds_silent() < SECONDS_BETWEEN_BEATS / 2:
                continue
            try:
                progress.beat()
            except Problems as error:
                _LOG.error("%s", error)
            except Exception:  # without this thread every job would soon count as lost
                _LOG.exception("No sign of life could be written.")


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
