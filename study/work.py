"""What the runner does for each kind of job. Each is a function of the database, the job, a progress to report to, and where drawing is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.request import DrawRequest
from generator.strip import to_bytes
from storage import jobs, strips
from storage.database import Database
from storage.jobs import JobRow
from storage.strips import NewDrawing, NewRejection
from study import speed, staging
from study.errors import Cancelled, StudyError
from study.people import Person, person_by_id
from study.speed import Pace, in_words

if TYPE_CHECKING:
    from generator.sssd.draw import Drawn
    from study.drawing import Chunk, Drawer
    from study.intake import Intake

_SECONDS_BETWEEN_WRITES = 1.0  # each is a transaction, and a screen looks once a second
_FILES_TOLD = 20  # of each reason for refusal; the counts are of all


class Progress:
    """What a job reports to: `progress(done, total, "what is being done")`. Raises Cancelled at the next report once it is asked to stop.

    run: started_at of the job as it was claimed, where it may be put back into the queue and begun anew by somebody else.
    """

    def __init__(self, db: Database, job_id: int, run: datetime | None = None) -> None:
        self._db = db
        self._job_id = job_id
        self._run = run
        self._stop = threading.Event()
        self._written = self._told = 0.0  # when, on the monotonic clock: anything, and news

    def __call__(self, done: float, total: float, message: str | None = None) -> None:
        if self._stop.is_set():
            raise Cancelled("Cancelled.")
        if self._due() or done >= total:
            self.beat(done, int(total), message)

    def beat(self, done: float | None = None, total: int | None = None, message: str | None = None) -> None:
        """A sign of life, with or without news. A job that is no longer running in the database must stop."""
        with self._db.write() as session:
            if jobs.beat(session, self._job_id, run=self._run, done=done, total=total, message=message) != "running":
                self._stop.set()
        self._written = time.monotonic()
        if (done, total, message) != (None, None, None):
            self._told = self._written

    def seconds_silent(self) -> float:
        """Since something was written."""
        return time.monotonic() - self._written

    def say(self, message: str) -> None:
        self.beat(message=message)

    def say_seldom(self, message: str) -> None:
        """For words that change all the time."""
        if self._due():
            self.beat(message=message)

    def stop(self) -> None:
        self._stop.set()

    def stopped(self) -> bool:
        return self._stop.is_set()

    def _due(self) -> bool:
        return time.monotonic() - self._told >= _SECONDS_BETWEEN_WRITES


def do(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Do the job and return its result. Raises Cancelled, or whatever kept it from being done."""
    return _KINDS[job.kind](db, job, progress, drawer)


def draw_for_gallery(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Draws strips and stores each chunk as it comes, with what it takes to draw it again. An interrupted job goes on with what is missing."""
    request = DrawRequest.from_dict(job.asked["request"])
    with db.read() as session:
        drawn, rejected = strips.numbers_of(session, job.id)
    result = {"drawn": len(drawn), "already_present": 0, "rejected": len(rejected)}
    there, pace = drawn | rejected, Pace()
    progress.beat(len(there), request.n, "Getting ready to draw")

    def told(strips_more: float) -> None:
        done = len(there) + strips_more
        left = pace.seconds_left(done, request.n)
        progress(done, request.n, "Drawing" if left is None else f"Drawing, {in_words(left)} left")

    asked = {"skip": there, "checkpoint": job.asked["checkpoint"], "cancelled": progress.stopped, "waiting": progress.say_seldom, "told": told}
    for chunk in drawer.draw(request, **asked):
        with db.write() as session:
            if jobs.beat(session, job.id, run=job.started_at) not in ("running", "cancelling"):
                raise Cancelled("Somebody else goes on with this.")
            for sample in chunk.samples:
                result[_store(session, job, chunk, sample)] += 1
            speed.note(session, chunk, request)
    return result


def import_folder(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Imports a folder of recordings or an upload, which is removed. The files are read by a process of their own: study.parsing."""
    from study.intake import import_recordings

    folder = Path(job.asked["directory"])
    labels = Path(job.asked["labels"]) if job.asked["labels"] else None
    try:
        archive, directory = staging.staged(folder) if job.asked["temporary"] else (None, folder)
        intake = import_recordings(
            db, _person(db, job), directory, labels, progress, archive=archive, cancelled=progress.stopped, job_id=job.id, apart=True
        )
    finally:
        if job.asked["temporary"]:
            staging.clear(folder)
    return _taken_in(intake)


def fetch_recordings(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Fetches recordings of a collection from PhysioNet into the server's folder for it, and imports what lies there."""
    from study import fetch
    from study.intake import import_recordings

    asked = fetch.Asked.from_dict({name: value for name, value in job.asked.items() if name != "licence"})
    folder = fetch.folder_of(asked.collection)
    fetched = fetch.fetch(asked, folder, accepted=True, progress=progress, cancelled=progress.stopped)  # study.jobs.ask wants consent

    def told(done: int, total: int) -> None:
        progress(done, total, "Reading recordings")

    intake = import_recordings(db, _person(db, job), folder, None, told, cancelled=progress.stopped, job_id=job.id, apart=True)
    missing = list(fetched.missing.values())
    return {**_taken_in(intake), "chosen": fetched.chosen, "missing": len(missing), "missing_files": missing[:_FILES_TOLD]}


def _taken_in(intake: Intake) -> dict[str, Any]:
    return {
        "imported": intake.imported,
        "already_present": intake.already_present,
        "refused": {reason: len(files) for reason, files in intake.refused.items()},
        "refused_files": {reason: [str(file) for file in files[:_FILES_TOLD]] for reason, files in intake.refused.items()},
        "left_out": dict(intake.left_out),
        "dropped": intake.dropped,
    }


def open_round(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Opens a round; its strips are drawn on Dask."""
    from study import rounds

    plan = rounds.RoundPlan.from_dict(job.asked["plan"])
    draw = _collected(db, drawer, progress, plan.checkpoint)
    return {"round_id": rounds.open_round(db, _somebody(db, job), job.asked["study_id"], plan, draw, progress, job_id=job.id)}


def open_practice(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Opens a study's practice; its strips are drawn on Dask."""
    from study import practice_round

    plan = practice_round.PracticePlan.from_dict(job.asked["plan"])
    draw = _collected(db, drawer, progress, plan.checkpoint)
    opened = practice_round.open_practice(db, _somebody(db, job), job.asked["study_id"], plan, draw, progress, job_id=job.id)
    return {"round_id": opened}


def make_demo(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Makes the demo: people, stand-ins, a study to read and one already read."""
    from study import demo

    demo.make_demo(db, _collected(db, drawer, progress, None), progress, collection=job.asked.get("collection"))
    return {}


def compute_utility(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Computes what a study's strips are worth to a classifier."""
    from study import utility

    utility.compute_utility(db, job.asked["study_id"], lambda done, total: progress(done, total, "Training classifiers"))
    return {}


def measure_quality(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Measures drawn strips against recordings; its result is what the Quality page shows."""
    from study import quality

    return quality.measure_stored(db, job.asked, progress)


def compute_worth(db: Database, job: JobRow, progress: Progress, drawer: Drawer) -> dict[str, Any]:
    """Computes what drawn strips are worth to a classifier; its result is what the Utility page shows."""
    from study import worth

    return worth.compute(db, job.asked, progress)


_KINDS: dict[str, Callable[[Database, JobRow, Progress, Drawer], dict[str, Any]]] = {
    "draw": draw_for_gallery,
    "import": import_folder,
    "fetch": fetch_recordings,
    "round": open_round,
    "practice": open_practice,
    "demo": make_demo,
    "utility": compute_utility,
    "quality": measure_quality,
    "worth": compute_worth,
}


def _collected(db: Database, drawer: Drawer, progress: Progress, checkpoint: str | None) -> Callable[..., Sequence[Drawn]]:
    def draw(request: DrawRequest, *, first: int = 0) -> Sequence[Drawn]:
        def told(strips: float) -> None:
            progress.say_seldom(f"Drawing {request.rhythm}: {round(strips, 1):g} of {request.n - first} strips")

        samples: list[Drawn] = []
        for chunk in drawer.draw(request, first=first, checkpoint=checkpoint, cancelled=progress.stopped, waiting=progress.say_seldom, told=told):
            samples += [replace(sample, conditions={**sample.conditions, **chunk.provenance}) for sample in chunk.samples]
            with db.write() as session:
                speed.note(session, chunk, request)
        return sorted(samples, key=lambda sample: sample.number)

    return draw


def _store(session: Any, job: JobRow, chunk: Chunk, sample: Drawn) -> str:
    made = chunk.provenance
    if sample.counts is None:
        reason = sample.rejected or "refused"
        strips.add_rejections(session, [NewRejection(made["checkpoint"], made["rhythm"], made["seed"], sample.number, reason, job.id)])
        return "rejected"
    new = NewDrawing(
        samples=to_bytes(sample.counts),
        rhythm=made["rhythm"],
        checkpoint=made["checkpoint"],
        sampler=made["sampler"],
        steps=made["steps"],
        guidance=made["guidance"],
        seed=made["seed"],
        number=sample.number,
        device=made["device"],
        purpose="gallery",
        conditions={**sample.conditions, **{name: made[name] for name in ("heart_rate", "torch", "quality_control")}},
        job_id=job.id,
    )
    return "already_present" if strips.add_drawing(session, new) is None else "drawn"


def _somebody(db: Database, job: JobRow) -> Person:
    person = _person(db, job)
    if person is None:
        raise StudyError("Nobody asked for this work. Ask for it again.")
    return person


def _person(db: Database, job: JobRow) -> Person | None:
    person = person_by_id(db, job.person_id) if job.person_id is not None else None
    if job.person_id is not None and person is None:
        raise StudyError("Who asked for this work is not in the database any more. Ask again.")
    return person
