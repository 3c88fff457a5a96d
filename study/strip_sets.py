"""Sets of strips in the database that are compared with each other, for the pages Quality and Utility: which there are, and who is in them.

Drawn strips are those of a checkpoint; recordings are a collection or what one import added to it; the recordings that are held out are another
source, or a fifth of the patients. No patient is in two sets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from sqlalchemy.orm import Session

from generator.strip import Counts, from_bytes
from storage import quality as stored
from storage import strips
from storage.database import Database
from storage.quality import Batch, Member, Source
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand

HELD_OUT = 0.2  # of the patients, where the held-out recordings come from the source that is also `train`
HELD_OUT_IN_WORDS = f"{100 * HELD_OUT:.0f} %"

Sets = dict[str, list[Member]]  # "real", "synthetic" and "train", each by id


@dataclass(frozen=True)
class Asked:
    """What a page asks to be compared."""

    checkpoint: str  # SHA-256: its strips drawn for the gallery
    train: str  # collection of recordings
    real: str | None = None  # the held-out recordings' collection; None: a fifth of the patients of `train`, chosen by the seed
    job_id: int | None = None  # one drawing only; None: all of the checkpoint
    seed: int = 0
    train_import: int | None = None  # only what this import added; None: the whole collection
    real_import: int | None = None

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Self:
        unknown = sorted(set(given) - set(cls.__dataclass_fields__))
        if unknown or not given.get("checkpoint") or not given.get("train"):
            raise StudyError(f"The work was asked for with {', '.join(unknown) or 'no checkpoint or no collection'}. Reload the page.")
        asked = cls(**given)
        if (asked.real, asked.real_import) == (asked.train, asked.train_import):
            raise StudyError("The held-out recordings and those to train on are the same collection. Choose another, or a fifth of its patients.")
        return asked

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Choices:
    """What there is to compare."""

    batches: list[Batch]
    sources: list[Source]


def choices(db: Database, person: Person) -> Choices:
    """Raises NotAllowed. Strips drawn for rounds are never among them, as on the other screens of strips."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        return Choices(stored.batches(session), stored.sources(session))


def members(session: Session, asked: Asked) -> Sets:
    """The sets' strips, by id."""
    synthetic = stored.drawn(session, asked.checkpoint, asked.job_id)
    train = stored.recorded(session, asked.train, asked.train_import)
    if asked.real is not None:
        return {"real": stored.recorded(session, asked.real, asked.real_import), "synthetic": synthetic, "train": train}
    out = _held_out(train, asked.seed)
    kept = {name: [one for one in train if (one.patient in out) == inside] for name, inside in (("real", True), ("train", False))}
    return {"real": kept["real"], "synthetic": synthetic, "train": kept["train"]}


def checked(session: Session, asked: Asked) -> Sets:
    """The sets' strips. StudyError where one is empty, or a patient is both in the training and in the held-out recordings."""
    sets = members(session, asked)
    for name, of_it in sets.items():
        if not of_it:
            raise StudyError(f"There is no strip in the {name} set. Draw strips of the checkpoint, or choose another collection.")
    shared = {one.patient for one in sets["train"]} & {one.patient for one in sets["real"]}
    if shared:
        raise StudyError(
            f"{len(shared)} {'patient is' if len(shared) == 1 else 'patients are'} in both the recordings to train on and the held-out ones. "
            f"Choose other held-out recordings, or {HELD_OUT_IN_WORDS} of the training recordings' patients, who are then in one of the two only."
        )
    return sets


def counts(session: Session, sets: Sets) -> dict[str, Counts]:
    """(n, 8, 1000) of each set, in its order."""
    blobs = strips.samples(session, [one.strip_id for of_it in sets.values() for one in of_it])
    return {name: np.stack([from_bytes(blobs[one.strip_id]) for one in of_it]) for name, of_it in sets.items()}


def sizes(of_it: Sequence[Member]) -> dict[str, int]:
    """Strips of each rhythm, and patients; each drawn strip counts as one."""
    return {rhythm: sum(one.rhythm == rhythm for one in of_it) for rhythm in ("AF", "NSR")} | {"patients": len({one.patient for one in of_it})}


def digests(sets: Sets) -> dict[str, str]:
    """Of each set, the SHA-256 of its strips' own, which are of their samples, in alphabetical order, each with its rhythm."""
    return {name: _sha256("\n".join(sorted(f"{one.sha256} {one.rhythm}" for one in of_it))) for name, of_it in sets.items()}


def source_in_words(collection: str, job_id: int | None) -> str:
    return collection if job_id is None else f"{collection}, import {job_id}"


def sources_in_words(asked: Asked) -> Mapping[str, str]:
    """Of each set, what was chosen."""
    drawn = f"checkpoint {asked.checkpoint[:12]}" + ("" if asked.job_id is None else f", drawing {asked.job_id}")
    train = source_in_words(asked.train, asked.train_import)
    if asked.real is not None:
        return {"train": train, "real": source_in_words(asked.real, asked.real_import), "synthetic": drawn}
    return {"train": f"{train}, other patients", "real": f"{train}, {HELD_OUT_IN_WORDS} of patients by seed {asked.seed}", "synthetic": drawn}


def _held_out(of_it: Sequence[Member], seed: int) -> set[str]:
    """A fifth of the patients, of those with AF and of those without; by a hash, so that a new import moves no patient from one set to the other."""
    out: set[str] = set()
    with_af = {one.patient for one in of_it if one.rhythm == "AF"}
    for group in (with_af, {one.patient for one in of_it} - with_af):
        order = sorted(group, key=lambda patient: _sha256(f"{seed} {patient}"))
        out |= set(order[: round(HELD_OUT * len(order))])
    return out


def _sha256(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()
