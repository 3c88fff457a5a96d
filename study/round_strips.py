"""The strips that a round or a practice draws afresh: enough of them, none known before, and how they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from generator.request import DrawRequest
from generator.strip import strip_hash, to_bytes
from storage import strips
from storage.database import Database
from study import allocation
from study.errors import StudyError
from study.rejections import Rejected

Report = Callable[[int, int, str], None]  # (done, total, what is being done)
_COLUMNS = {"checkpoint", "rhythm", "n", "sampler", "steps", "guidance", "seed", "number", "device"}  # of a drawing, or of its strip


class Drawn(Protocol):
    """A sample that was drawn: its counts (8, 1000), or why it was rejected; conditions: what was chosen for it, see Draw."""

    @property
    def number(self) -> int: ...
    @property
    def counts(self) -> NDArray[np.int16] | None: ...
    @property
    def rejected(self) -> str | None: ...
    @property
    def conditions(self) -> dict[str, Any]: ...


class Draw(Protocol):
    """Draws the samples numbered first to request.n - 1 of a request; a sample depends on request and number, never on what else is drawn.

    Each sample's conditions name the checkpoint's SHA-256 ("checkpoint"), the device ("device") and what was checked ("quality_control",
    generator.quality_control.checks) beside what was chosen for it.
    """

    def __call__(self, request: DrawRequest, *, first: int = 0) -> Sequence[Drawn]: ...


@dataclass(frozen=True)
class Batch:
    """The samples of one request: those that are shown, and those that quality control rejected on the way."""

    request: DrawRequest
    accepted: list[Drawn]
    rejected: list[Drawn]

    @property
    def reasons(self) -> Counter[str]:
        return Counter(_why(sample) for sample in self.rejected)


def draw_batches(draw: Draw, numbers: Mapping[str, int], seed: int, steps: int, report: Report, total: int) -> list[Batch]:
    """numbers[rhythm] accepted samples of each rhythm, by the streams of the round's seed. Raises as `_draw_enough`."""
    batches: list[Batch] = []
    for rhythm in allocation.RHYTHMS:
        if number := numbers.get(rhythm, 0):
            report(sum(len(batch.accepted) for batch in batches), total, f"Drawing {number} {rhythm} strips")
            batches.append(_draw_enough(draw, DrawRequest(rhythm=rhythm, n=number, seed=allocation.draw_seed(seed, rhythm), steps=steps)))
    return batches


def shown(batches: Sequence[Batch]) -> list[NDArray[np.int16]]:
    """The accepted strips, (8, 1000) counts each."""
    return [_counts(sample) for batch in batches for sample in batch.accepted]


def refuse_known(db: Database, drawn: Sequence[NDArray[np.int16]]) -> None:
    """Raises StudyError where a strip is in the database already: somebody may have seen it."""
    with db.read() as session:
        known = strips.known(session, [strip_hash(counts) for counts in drawn])
    if known:
        raise StudyError(f"{len(known)} of the strips drawn with this seed are in the database already. Choose another seed, or leave it out.")


def store(session: Session, batches: Sequence[Batch], purpose: str, job_id: int | None) -> list[tuple[int, str]]:
    """Stores accepted and rejected samples; (strip id, rhythm) of the accepted, in order. Raises StudyError for one that is there already."""
    made = []
    for batch in batches:
        made += [(_add(session, batch.request, sample, purpose, job_id), batch.request.rhythm) for sample in batch.accepted]
        strips.add_rejections(session, [_rejection(batch.request, sample, job_id) for sample in batch.rejected])
    return made


def rejected(batches: Sequence[Batch]) -> Rejected:
    """Of all that was drawn."""
    reasons = sum((batch.reasons for batch in batches), Counter[str]())
    return Rejected(sum(len(batch.accepted) + len(batch.rejected) for batch in batches), reasons)


def record(batches: Sequence[Batch]) -> dict[str, Any]:
    """What is kept with the round of how its strips were drawn; without the seeds."""
    request = batches[0].request if batches else None
    warning = rejected(batches).warning
    return {
        "checkpoint": sorted({sample.conditions["checkpoint"] for batch in batches for sample in batch.accepted}),
        "sampler": request.sampler if request else None,
        "guidance": request.guidance if request else None,
        "drawn": {
            batch.request.rhythm: {"accepted": len(batch.accepted), "rejected": len(batch.rejected), "reasons": dict(batch.reasons)}
            for batch in batches
        },
        "quality_control": sorted({sample.conditions.get("quality_control", "") for batch in batches for sample in batch.accepted}),
        **({"too many rejected": warning} if warning else {}),
    }


def seeds(batches: Sequence[Batch]) -> dict[str, int]:
    return {f"draw {batch.request.rhythm}": batch.request.seed for batch in batches}


def _draw_enough(draw: Draw, request: DrawRequest) -> Batch:
    """request.n accepted samples; a rejected one is replaced by the next number of the same seed. Gives up where more than half are rejected."""
    samples: list[Drawn] = []
    asked = request.n
    while True:
        samples += draw(replace(request, n=asked), first=len(samples))
        if any(not {"checkpoint", "device"} <= set(sample.conditions) for sample in samples):
            raise StudyError("The generator did not say which checkpoint and device it drew with: the strips could not be drawn again.")
        accepted = [sample for sample in samples if sample.counts is not None]
        if len(samples) != asked:
            raise StudyError(f"The generator gave {len(samples)} of {asked} {request.rhythm} strips. Look at the generator's messages and try again.")
        if len(accepted) >= request.n:
            break
        if asked >= 2 * request.n + 2:
            counted = Rejected(asked, Counter(_why(sample) for sample in samples if sample.counts is None)).counted
            raise StudyError(
                f"{asked - len(accepted)} of {asked} {request.rhythm} samples were rejected ({counted}). "
                "Choose more steps, or another checkpoint; nothing was stored."
            )
        asked = min(asked + request.n - len(accepted), 2 * request.n + 2)
    return Batch(request, accepted, [sample for sample in samples if sample.counts is None])


def _counts(sample: Drawn) -> NDArray[np.int16]:
    if sample.counts is None:
        raise StudyError(f"Sample {sample.number} was rejected ({sample.rejected}) and cannot be shown.")
    return sample.counts


def _add(session: Session, request: DrawRequest, sample: Drawn, purpose: str, job_id: int | None) -> int:
    made = sample.conditions
    strip_id = strips.add_drawing(
        session,
        strips.NewDrawing(
            samples=to_bytes(_counts(sample)),
            rhythm=request.rhythm,
            checkpoint=made["checkpoint"],
            sampler=request.sampler,
            steps=request.steps,
            guidance=request.guidance,
            seed=request.seed,
            number=sample.number,
            device=made["device"],
            purpose=purpose,
            conditions={key: value for key, value in made.items() if key not in _COLUMNS},
            job_id=job_id,
        ),
    )
    if strip_id is None:
        raise StudyError(f"Sample {sample.number} of seed {request.seed} is in the database already. Choose another seed, or leave it out.")
    return strip_id


def _rejection(request: DrawRequest, sample: Drawn, job_id: int | None) -> strips.NewRejection:
    return strips.NewRejection(sample.conditions["checkpoint"], request.rhythm, request.seed, sample.number, _why(sample), job_id)


def _why(sample: Drawn) -> str:
    return sample.rejected or "rejected without a reason"
