"""What this server has done since it started: who is connected, how long its screens and answers take, what went wrong.

Kept in memory by the process that serves: gone with it, and another server has its own. Nothing of a case, an answer or a name is in it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from storage import health
from storage.database import Database
from storage.tables import now
from study.people import Person
from study.roles import Action, Role, demand

REMEMBERED = 1000  # of each screen, the last times that it was drawn
FAULTS_TOLD = 20


@dataclass(frozen=True)
class Fault:
    at: datetime
    number: str  # the id that somebody was told, and the log has
    kind: str  # of the exception


@dataclass(frozen=True)
class Pace:
    """How long something took, of the last thousand times; seconds."""

    what: str
    times: int  # since the start
    median: float
    most: float  # 95th percentile


@dataclass(frozen=True)
class State:
    since: datetime
    online: dict[str, int]  # people by role, with a screen open now
    screens: int  # open ones
    faults: int  # since the start
    latest: list[Fault]  # newest first
    paces: list[Pace]  # slowest first
    queue: list[health.Queued]


class Metrics:
    """Counts, from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.since = now()
        self._open: Counter[tuple[Role, int]] = Counter()
        self._took: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self._times: Counter[str] = Counter()
        self._latest: deque[Fault] = deque(maxlen=FAULTS_TOLD)
        self._faults = 0

    @contextmanager
    def connected(self, person: Person) -> Iterator[None]:
        """Somebody has a screen open for as long as this lasts."""
        who = person.role, person.id
        with self._lock:
            self._open[who] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[who] -= 1

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """What went wrong, or was run anew before its end, counts as well: it took its time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._took[what].append(time.perf_counter() - start)
                self._times[what] += 1

    def fault(self, number: str, error: BaseException) -> None:
        with self._lock:
            self._faults += 1
            self._latest.appendleft(Fault(now(), number, type(error).__name__))

    def state(self, queue: list[health.Queued]) -> State:
        with self._lock:
            online = Counter(role.value for (role, _person), screens in self._open.items() if screens > 0)
            paces = [Pace(what, self._times[what], *map(float, np.percentile(took, (50, 95)))) for what, took in self._took.items()]
            paces.sort(key=lambda pace: (-pace.most, pace.what))
            return State(self.since, dict(online), self._open.total(), self._faults, list(self._latest), paces, queue)


SERVER = Metrics()


def state(db: Database, person: Person) -> State:
    """How this server does. Raises NotAllowed."""
    demand(person, Action.SEE_SERVER)
    return SERVER.state(health.queue(db))
