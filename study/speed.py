"""How long drawing takes: the runner measures it as it draws, and whoever is about to ask for strips is told."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from generator.request import GPU_BATCH, DrawRequest, shipped_checkpoint
from generator.sssd.config import Config
from storage import jobs, speeds
from storage.database import Database
from study import checkpoints
from study.people import Person
from study.roles import Action, demand
from study.turns import is_gpu

if TYPE_CHECKING:
    from study.drawing import Chunk, Drawer

GUIDANCE_COST = 1.6  # times the work: the half without a label is evaluated while noise outweighs signal
_STRIPS_TO_MEASURE, _STEPS_TO_MEASURE = 4, 8  # of each worker
_SECONDS_REMEMBERED = 4.0  # of drawing: a shorter time may have met a busy machine
_SECONDS_OF_PACE = 60.0  # what the time left is told from
_SECONDS_BEFORE_TOLD = 3.0


@dataclass(frozen=True)
class Estimate:
    """What a drawing would take if it began now and nobody else drew."""

    seconds: float  # until all strips are there
    seconds_per_strip: float  # of one worker
    device: str  # a GPU's name, or a processor's and CPU
    workers: int
    measured: bool  # with this checkpoint; otherwise it follows from the size of its network
    others: int  # drawings of other people that would take turns with it

    @property
    def on_gpu(self) -> bool:
        return is_gpu(self.device)


def estimate(db: Database, person: Person, request: DrawRequest, folder: Path) -> Estimate | None:
    """What a request would take with the checkpoint in `folder`; None where nothing has been drawn here yet.

    Raises NotAllowed, and GeneratorError for a folder that is no checkpoint.
    """
    demand(person, Action.DRAW_STRIPS)
    config, sha256 = checkpoints.read(folder), checkpoints.sha256(folder)
    with db.read() as session:
        own = speeds.newest(session, sha256)
        known = own or speeds.newest(session)
        others = jobs.others_at_work(session, person.id, "draw")
    if known is None:
        return None
    scale = 1.0 if own else config.network.operations() / known.operations
    each = known.seconds * scale * evaluations(request, config)
    at_once = GPU_BATCH if is_gpu(known.device) else 1
    batches = -(-request.n // at_once)
    turns = -(-batches // max(known.workers, 1))
    return Estimate(turns * at_once * each, each, known.device, known.workers, own is not None, others)


def evaluations(request: DrawRequest, config: Config) -> float:
    """Of the network, for one strip; with guidance some count twice."""
    steps = config.schedule.T if request.sampler == "ancestral" else request.steps
    return steps * _cost(request)


def in_words(seconds: float) -> str:
    """A time that nobody knows to the second: "about 40 s", "about 3 min", "about 2.5 h"."""
    if seconds < 9.5:
        return "less than 10 s"
    for unit, length, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 36)):
        if seconds < most * length:
            number = seconds / length
            rounded = round(number / 5) * 5 if unit == "s" and number >= 20 else round(number * 2) / 2 if unit == "h" else round(number)
            return f"about {rounded:g} {unit}"
    return f"about {seconds / 86400:.0f} days"


# ---- what the runner does ----


def note(session: Session, chunk: Chunk, request: DrawRequest) -> None:
    """Keep how long a finished chunk took."""
    checkpoint, device = str(chunk.provenance["checkpoint"]), str(chunk.provenance["device"])
    weight = 1 - math.exp(-chunk.seconds / _SECONDS_REMEMBERED)
    seconds = _seconds_an_evaluation(chunk, request)
    speeds.note(session, checkpoint, device, seconds=seconds, operations=chunk.operations, workers=chunk.workers, weight=weight)


def measure(db: Database, drawer: Drawer, cancelled: Callable[[], bool]) -> None:
    """Draw a few strips with the shipped checkpoint, and forget them, where it has not been measured yet: so that the first to ask is told a time."""
    with db.read() as session:
        if speeds.newest(session, checkpoints.sha256(shipped_checkpoint())):
            return
    request = DrawRequest("NSR", _STRIPS_TO_MEASURE * max(drawer.places(), 1), seed=0, steps=_STEPS_TO_MEASURE)
    chunks = list(drawer.draw(request, cancelled=cancelled))
    fastest = min(chunks, key=lambda chunk: _seconds_an_evaluation(chunk, request))  # others came first, or while somebody else was at work
    with db.write() as session:
        note(session, fastest, request)


class Pace:
    """How long the rest takes, from how fast the last minute's strips came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points: deque[tuple[float, float]] = deque()

    def seconds_left(self, done: float, total: float) -> float | None:
        """None while too little has been seen."""
        now = self._clock()
        self._points.append((now, done))
        while now - self._points[0][0] > _SECONDS_OF_PACE and len(self._points) > 2:
            self._points.popleft()
        since, before = self._points[0]
        if now - since < _SECONDS_BEFORE_TOLD or done <= before:
            return None
        return (total - done) * (now - since) / (done - before)


def _seconds_an_evaluation(chunk: Chunk, request: DrawRequest) -> float:
    at_once = GPU_BATCH if is_gpu(str(chunk.provenance["device"])) else 1  # a GPU takes as long for a part of a batch
    strips = -(-len(chunk.samples) // at_once) * at_once
    return chunk.seconds / (strips * int(chunk.provenance["steps"]) * _cost(request))


def _cost(request: DrawRequest) -> float:
    return 1.0 if request.guidance == 1 else GUIDANCE_COST
