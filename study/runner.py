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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from storage import jobs
from storage.database import Database
from storage.jobs import JobRow
from storage.tables import now
from study import work
from study.drawing import Drawer
from study.errors import Cancelled, Problems
from study.settings import Settings
from study.work import Progress

AT_ONCE = 4  # jobs: somebody's import need not wait for somebody else's thousand strips
SECONDS_BETWEEN_LOOKS = 0.3
SECONDS_BETWEEN_BEATS = 1.0
SECONDS_SILENT = 20  # a started job without a beat for so long has lost its runner
INTERRUPTED = "Interrupted by a restart. Ask again; what was stored by then stays."

_LOG = logging.getLogger("blindstrip.runner")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop (SIGTERM, SIGINT, or the end of standard input under --while-stdin-open). Exit status 0, or 2 with a message."""
    parser = argparse.ArgumentParser(prog="python -m study.runner", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", metavar="URL", help="database (default: BLINDSTRIP_DATABASE, else a SQLite file of your own)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler, tcp://HOST:PORT (default: BLINDSTRIP_SCHEDULER, else one of its own)")
    parser.add_argument("--while-stdin-open", action="store_true", help="stop when standard input ends: with the process that started this one")
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
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
    """Take jobs up until `stop` is set; then mark what is unfinished as interrupted and let go of Dask."""
    drawer.warm_up()
    working: dict[int, Progress] = {}
    lock = threading.Lock()
    threading.Thread(target=_beat, args=(working, lock, stop), daemon=True).start()
    with_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="job")
    _LOG.info("Ready.")
    while not stop.is_set():
        try:
            with lock:
                own = set(working)
            _fail_orphans(db, own)
            job = _claim(db) if len(own) < AT_ONCE else None
        except Problems as error:
            _LOG.error("%s", error)
            stop.wait(SECONDS_BETWEEN_BEATS)
            continue
        if job is None:
            stop.wait(SECONDS_BETWEEN_LOOKS)
            continue
        with lock:
            working[job.id] = Progress(db, job.id)
        with_threads.submit(_do, db, job, working, lock, drawer)
    with lock:
        unfinished = dict(working)
    for job_id, progress in unfinished.items():
        _finish(db, job_id, "failed", INTERRUPTED)  # first: a job that is stopped calls itself cancelled, where nobody has said more
        progress.stop()
    with_threads.shutdown(wait=False, cancel_futures=True)
    drawer.close()


def _do(db: Database, job: JobRow, working: dict[int, Progress], lock: threading.Lock, drawer: Drawer) -> None:
    progress = working[job.id]
    _LOG.info("Job %d (%s) begins.", job.id, job.kind)
    try:
        result = work.do(db, job, progress, drawer)
    except Cancelled:
        _finish(db, job.id, "cancelled", "Cancelled. What was stored by then stays.")
    except Problems as error:
        _LOG.warning("Job %d (%s) failed: %s", job.id, job.kind, error)
        _finish(db, job.id, "failed", str(error))
    except BaseException:
        _LOG.exception("Job %d (%s) failed.", job.id, job.kind)
        _finish(db, job.id, "failed", f"Something went wrong that blindstrip did not foresee; the server's log has it under job {job.id}. Ask again.")
    else:
        _finish(db, job.id, "done", "Done.", result)
        _LOG.info("Job %d (%s) is done.", job.id, job.kind)
    finally:
        with lock:
            working.pop(job.id, None)


def _finish(db: Database, job_id: int, status: str, message: str, result: dict[str, object] | None = None) -> None:
    try:
        with db.write() as session:
            jobs.finish(session, job_id, status, message, result)
    except Exception:
        _LOG.exception("Job %d is %s, but that could not be written down.", job_id, status)  # it will be found silent, and marked


def _claim(db: Database) -> JobRow | None:
    with db.read() as session:
        if not jobs.queued(session):
            return None  # the usual case costs no write lock
    with db.write() as session:
        return jobs.claim(session)


def _fail_orphans(db: Database, own: set[int]) -> None:
    silent_since = now() - timedelta(seconds=SECONDS_SILENT)
    with db.read() as session:
        silent = [job_id for job_id in jobs.orphans(session, silent_since) if job_id not in own]
    for job_id in silent:
        with db.write() as session:
            if job_id in jobs.orphans(session, silent_since):
                jobs.finish(session, job_id, "failed", INTERRUPTED)
                _LOG.warning("Job %d had lost its runner.", job_id)


def _beat(working: dict[int, Progress], lock: threading.Lock, stop: threading.Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_BEATS):
        with lock:
            alive = list(working.values())
        for progress in alive:
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
