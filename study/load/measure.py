"""How a server bears many readers at once: `blindstrip bench load`.

Each reader holds the websocket of the reading screen open and answers as the desk does, after thinking for a while; what they were told is stored is
counted against what is there at the end.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select

from generator.cores import cores
from generator.request import DrawRequest
from storage.database import Database
from storage.tables import Judgement
from study import jobs, people
from study.answers import Answer
from study.errors import StudyError
from study.load.reader import Away, Case, Reader, some_answer
from study.load.server import free_port, start
from study.load.setting import RESEARCHER, demo_person, set_up

THINKING = (5.0, 15.0)  # seconds that a simulated reader takes for a strip
SECONDS_TO_COME_IN = 10.0  # over which the readers open their screens
SECONDS_TO_OPEN = 60.0  # at most, until the last has; who is early reads on
_PAUSE = 1.0  # before an answer is sent again, as pages/desk/sending.js begins
_LOOK = 0.5  # seconds between looks at the drawing


@dataclass
class Work:
    """What readers have done so far."""

    taken: list[tuple[float, float]] = field(default_factory=list)  # of each answer: when it was sent (monotonic), milliseconds to the next strip
    at_desk: list[int] = field(default_factory=list)  # who has opened the screen
    again: int = 0  # sendings that no receipt came for
    faults: list[BaseException] = field(default_factory=list)


def load(
    *, readers: int, minutes: float, drawing: int = 0, database: str | None = None, say: Callable[[str], None] = lambda words: None
) -> dict[str, Any]:
    """Readers at work on a server of its own for so many minutes; in the second half `drawing` strips are drawn beside them by the embedded worker.

    database: URL of an empty one; None: SQLite in a temporary folder. Raises StudyError where the server does not start or a reader cannot go on.
    """
    seconds = 60 * minutes
    with tempfile.TemporaryDirectory(prefix="blindstrip-load-") as name:
        folder = Path(name)
        with closing(Database(database or f"sqlite:///{folder / 'study.db'}")) as db:
            db.migrate()
            if not people.first_run(db):
                raise StudyError("The load is measured in an empty database, and this one has people. Name another with --db, or none.")
            say(f"Setting up a round for {readers} readers")
            who = set_up(db, int((seconds + SECONDS_TO_OPEN) / THINKING[0]) + 2, readers)
            server = start(db.url, free_port(), folder / "server.log")
            try:
                server.wait()
                say(f"Reading for {minutes:g} minutes")
                with at_work(server.url, [token for _, token in who], SECONDS_TO_COME_IN) as work:
                    memory, drawn = _watched(db, server.process.pid, seconds, drawing, work)
            finally:
                server.stop()
            if work.faults:
                raise StudyError(f"A reader could not go on: {work.faults[0]}")
            with db.read() as session:
                present = session.scalar(select(func.count()).select_from(Judgement)) or 0
            kind = db.engine.dialect.name
    return {
        "readers": readers,
        "minutes": minutes,
        "think_seconds": list(THINKING),
        "database": kind,
        "cores": cores(),
        "judgements": {"expected": len(work.taken), "present": present},
        "sent_again": work.again,
        "milliseconds_from_submit_to_next_strip": _told(work.taken, drawn),
        **({"drawing": drawn} if drawn else {}),
        "server_memory_mb_by_minute": memory,
        "memory_growth_mb_from_minute_2": round(memory[-1] - memory[1], 1) if len(memory) > 2 else None,
    }


@contextmanager
def at_work(url: str, tokens: Sequence[str], come_in: float = 0.0) -> Iterator[Work]:
    """Readers who answer, each in a thread, until the block ends; then each still waits for the receipt of their last answer.

    The block begins when all have a case before them. come_in: seconds over which they open their screens.
    """
    over, work = threading.Event(), Work()

    def read(token: str, seed: int) -> None:
        chance = random.Random(seed)
        try:
            over.wait(chance.uniform(0, come_in))
            with Reader(url, token) as reader:
                case = reader.open()
                work.at_desk.append(seed)
                while case is not None and not over.wait(chance.uniform(*THINKING)):
                    begun = time.monotonic()
                    case = _submitted(reader, case, some_answer(chance), work)
                    work.taken.append((begun, 1000 * (time.monotonic() - begun)))
        except Exception as fault:
            work.faults.append(fault)

    threads = [threading.Thread(target=read, args=(token, number)) for number, token in enumerate(tokens)]
    for thread in threads:
        thread.start()
    try:
        while len(work.at_desk) < len(threads) and not work.faults:
            time.sleep(_LOOK)
        yield work
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _submitted(reader: Reader, case: Case, answer: Answer, work: Work) -> Case | None:
    while True:
        try:
            return reader.submit(case, answer)
        except Away:
            work.again += 1
            time.sleep(_PAUSE)


def summary(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile (the smallest value that 95 % do not exceed) of at least one."""
    ordered = sorted(milliseconds)
    return {"median": round(statistics.median(ordered), 1), "95th percentile": round(ordered[max(0, -(-95 * len(ordered) // 100) - 1)], 1)}


def _watched(db: Database, pid: int, seconds: float, drawing: int, work: Work) -> tuple[list[float], dict[str, Any]]:
    """Until the time is over: the server's resident memory in MB at the end of each minute, and what became of the drawing (empty without one)."""
    process, begun, memory, drawn = psutil.Process(pid), time.monotonic(), list[float](), dict[str, Any]()
    job_id = None
    while (passed := time.monotonic() - begun) < seconds and not work.faults:
        if drawing and job_id is None and passed >= seconds / 2:
            request = DrawRequest(rhythm="AF", n=drawing, seed=1).as_dict()
            job_id = jobs.ask(db, demo_person(db, RESEARCHER[0]), "draw", {"request": request})
            drawn = {"strips_asked": drawing, "from": time.monotonic(), "to": None}
        if job_id is not None and drawn["to"] is None:
            job = jobs.job(db, demo_person(db, RESEARCHER[0]), job_id)
            drawn |= {"strips_drawn": int(job.done), "to": None if job.active else time.monotonic()}
        if passed >= 60 * (len(memory) + 1):
            memory.append(_megabytes(process))
        time.sleep(_LOOK)
    if job_id is not None and drawn["to"] is None:
        drawn["to"] = time.monotonic()
        jobs.cancel(db, demo_person(db, RESEARCHER[0]), job_id)
    with suppress(psutil.NoSuchProcess):
        memory += [_megabytes(process)] if len(memory) < seconds / 60 else []
    return memory, drawn


def _megabytes(process: psutil.Process) -> float:
    return round(process.memory_info().rss / 1e6, 1)


def _told(taken: Sequence[tuple[float, float]], drawn: dict[str, Any]) -> dict[str, Any]:
    """Percentiles, apart for the time of the drawing where there was one; turns its moments into seconds."""
    if not drawn:
        return _of([ms for _, ms in taken])
    begun, ended = drawn.pop("from"), drawn.pop("to")
    drawn["seconds"] = round(ended - begun, 1)
    beside = [begun <= at <= ended for at, _ in taken]
    return {
        "without drawing": _of([ms for (_, ms), there in zip(taken, beside, strict=True) if not there]),
        "while drawing": _of([ms for (_, ms), there in zip(taken, beside, strict=True) if there]),
    }


def _of(milliseconds: Sequence[float]) -> dict[str, Any]:
    return {"answers": len(milliseconds), **(summary(milliseconds) if milliseconds else {"median": None, "95th percentile": None})}
