"""The runner beside the app: started with it, started again if it dies, gone with it. Standard library only: the web process loads this."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOG = logging.getLogger(__name__)
_SECONDS_TO_STOP = 15
_SECONDS_BEFORE_ANOTHER = 5.0  # a runner that dies at once must not be started a hundred times a second


@contextmanager
def kept_running(url: str, scheduler: str | None = None) -> Iterator[None]:
    """A runner for the database at `url` for as long as the context is open; `scheduler`: address of a Dask scheduler, None: embedded."""
    stopping = threading.Event()
    keeper = threading.Thread(target=_keep, args=(url, scheduler, stopping), name="runner keeper", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        keeper.join(_SECONDS_TO_STOP + 5)


def start(url: str, scheduler: str | None = None) -> subprocess.Popen[bytes]:
    """Start one runner. It ends when its standard input does: at `stop`, and when this process dies, however it dies."""
    # in the environment, not on the command line: a database URL may hold a password, and everybody can list command lines
    environment = {**os.environ, "BLINDSTRIP_DATABASE": url}
    if scheduler:
        environment["BLINDSTRIP_SCHEDULER"] = scheduler
    rooms = str(Path(__file__).resolve().parents[1])  # from a checkout that was not installed, too
    environment["PYTHONPATH"] = os.pathsep.join([rooms, *filter(None, [os.environ.get("PYTHONPATH")])])
    # in a session of its own: Ctrl-C is for the app, which then closes the runner's input
    command = [sys.executable, "-m", "study.runner", "--while-stdin-open"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, start_new_session=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it: its jobs are marked as interrupted and its Dask processes end with it."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _keep(url: str, scheduler: str | None, stopping: threading.Event) -> None:
    while not stopping.is_set():
        process = start(url, scheduler)
        while process.poll() is None:
            if stopping.wait(0.2):
                stop(process)
                return
        _LOG.error("The runner ended by itself (status %s). Another one starts in %.0f s.", process.returncode, _SECONDS_BEFORE_ANOTHER)
        stopping.wait(_SECONDS_BEFORE_ANOTHER)
