"""What drawn strips are worth to a classifier: the job of the Utility page, its stored results, and whether they still hold.

A result is tied to the checkpoint (its SHA-256) and to the strips (digests over their samples). No scikit-learn and no torch here until something is
computed: pages read what is stored through this module. docs/utility.md defines every figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from storage import jobs
from storage import quality as stored
from storage.database import Database
from storage.jobs import JobRow
from study import checkpoints, quality, strip_sets
from study.errors import Problems, StudyError
from study.people import Person
from study.report.exhibits import PUBLISHED as PUBLISHED_F1
from study.roles import Action, demand

KIND = "worth"  # of the job; "utility" is a study's own
MOST_SEEDS = 10
KEPT = 20  # results to choose from

EXPERIMENTS = {
    "TRTR": "train on real, test on real: the ceiling",
    "TSTR": "train on synthetic, test on real",
    "TRTS": "train on real, test on synthetic",
    "TSTS": "train on synthetic, test on synthetic, cross-validated",
    "TRSTR": "train on real and synthetic, test on real",
}
PUBLISHED = {
    "source": "Hegde et al. 2025, doi 10.3233/SHTI251414",
    "f1": PUBLISHED_F1,
    "differs": [
        "other recordings, another generator's checkpoint, other classifiers; no protocol that could be repeated",
        "one F1, where macro F1 here is the mean of both rhythms'",
        "no ceiling (TRTR) and no interval: 0.80 may be near what real strips reach there, or far from it",
        "features of lead II, whose PR interval is the P wave's duration and whose times hold at 500 samples/s alone",
    ],
}

Progress = Callable[[float, float, str], None]


@dataclass(frozen=True)
class Asked(strip_sets.Asked):
    """What the page asks to be computed."""

    seeds: int = 3  # trainings of each classifier
    quick: bool = False  # without the residual network

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise StudyError(f"{self.seeds} trainings of each classifier were asked for. Choose 1 to {MOST_SEEDS}.")


@dataclass(frozen=True)
class Kept:
    """A stored result, as it is chosen among others. sizes: of its drawn strips."""

    job_id: int
    asked: Asked
    at: datetime | None
    sizes: dict[str, int]


@dataclass(frozen=True)
class Shown:
    """A stored result. result: of generator.utility; stale: why it is out of date; folder: that of the checkpoint, where it is known."""

    kept: Kept
    result: dict[str, Any]
    sizes: dict[str, dict[str, int]]
    digests: dict[str, str]
    folder: Path | None
    stale: tuple[str, ...]
    quality: quality.Shown | None  # the last measurement of the same checkpoint

    @property
    def asked(self) -> Asked:
        return self.kept.asked

    @property
    def quality_differs(self) -> str | None:
        """Why what quality says may not be of these strips, or None."""
        if self.quality is None:
            return None
        if self.quality.asked.job_id != self.asked.job_id:
            return f"Quality was measured of other strips: {strip_sets.sources_in_words(self.quality.asked)['synthetic']}."
        return f"The measurement of quality is out of date. {self.quality.stale}" if self.quality.stale else None


def check(db: Database, person: Person | None, given: dict[str, Any]) -> dict[str, Any]:
    """What a job is to be asked, or StudyError for what would fail anyway, a patient in two sets too; NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    asked = Asked.from_dict(given)
    with db.read() as session:
        strip_sets.checked(session, asked)
    return asked.as_dict()


def compute(db: Database, given: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Trains and tests what was asked for; the job's result: {"utility", "sizes" and "digests" of each set}. For the runner: imports scikit-learn."""
    from generator.utility import labelled, utility

    asked = Asked.from_dict(given)
    with db.read() as session:
        sets = strip_sets.checked(session, asked)
        counts = strip_sets.counts(session, sets)
    tables = {}
    for name, of_it in sets.items():
        progress(0, 100, "Measuring strips")
        tables[name] = labelled(counts[name], [one.rhythm for one in of_it], [one.patient for one in of_it])
    result = utility(
        tables["train"],
        tables["real"],
        tables["synthetic"],
        seed=asked.seed,
        seeds=asked.seeds,
        counts=None if asked.quick else (counts["train"], counts["real"], counts["synthetic"]),
        told=lambda share: progress(round(100 * share), 100, "Training classifiers"),
    )
    sizes = {name: strip_sets.sizes(of_it) for name, of_it in sets.items()}
    return {"utility": result, "sizes": sizes, "digests": strip_sets.digests(sets)}


def results(db: Database, person: Person) -> list[Kept]:
    """The stored results, newest first, whoever asked for them. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        return [_kept(job) for job in stored.done(session, KIND, limit=KEPT)]


def shown(db: Database, person: Person, job_id: int) -> Shown:
    """A stored result, with what has changed since and what is known of its strips' quality. Raises NotAllowed; StudyError where there is none."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        job = jobs.get(session, job_id)
        if job.kind != KIND or job.status != "done" or job.result is None:
            raise StudyError("There is no such result. Reload the page.")
        kept, made = _kept(job), job.result
        folder, moved = _checkpoint_since(session, kept.asked)
        stale = [*moved, *_strips_since(session, kept.asked, made)]
    return Shown(
        kept, made["utility"], made["sizes"], made["digests"], folder, tuple(stale), quality.latest(db, person, checkpoint=kept.asked.checkpoint)
    )


def _kept(job: JobRow) -> Kept:
    return Kept(job.id, Asked.from_dict(job.asked), job.ended_at, (job.result or {})["sizes"]["synthetic"])


def _strips_since(session: Session, asked: Asked, made: dict[str, Any]) -> list[str]:
    """What of the strips has changed."""
    sets = strip_sets.members(session, asked)
    now = strip_sets.digests(sets)
    said = []
    for name, what in (("synthetic", "drawn strips"), ("train", "recordings to train on"), ("real", "recordings to test on")):
        if now[name] != made["digests"][name]:
            before, after = (sum(one[rhythm] for rhythm in ("AF", "NSR")) for one in (made["sizes"][name], strip_sets.sizes(sets[name])))
            said.append(f"The {what} have changed since: {before} then, {after} now.")
    return said


def _checkpoint_since(session: Session, asked: Asked) -> tuple[Path | None, list[str]]:
    """The folder that the strips were drawn from, if it is known, and what has become of the checkpoint in it."""
    found = stored.folder_of(session, asked.checkpoint, asked.job_id)
    if found is None:
        return None, []
    folder = checkpoints.SHIPPED if found[0] is None else Path(found[0])
    called = "The checkpoint that ships with blindstrip" if found[0] is None else f"The checkpoint in {folder}"
    try:
        now = checkpoints.sha256(folder)
    except (*Problems, OSError):
        return folder, [f"{called} cannot be read any more: the strips were drawn with {asked.checkpoint[:12]}."]
    if now != asked.checkpoint:
        return folder, [f"{called} is another one now, {now[:12]}: the strips were drawn with {asked.checkpoint[:12]}. Draw strips with it first."]
    return folder, []
