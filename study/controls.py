"""Controls: strips whose arm an attentive reader sees. In no scored figure, outside the leak gate, and reported apart.

In pairs: one obviously mechanical (the simulator without noise or variation; arm synthetic) and one obviously recorded (the noisiest recording;
arm real). Both are in sinus rhythm: fibrillation's f-waves look like noise to a measure of noise, and rhythm must not tell a control's arm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from generator.noise import MEASURE, noise
from generator.simulate import mechanical, noisy
from generator.strip import from_bytes, strip_hash, to_bytes
from storage import strips
from storage.truth import RealStrip
from study import allocation
from study.errors import StudyError

CONTROL_RHYTHM = "NSR"
SIMULATOR = "simulator"  # in the place of a checkpoint's hash, and the collection of stand-ins
CANDIDATES = 500  # recordings, at random, among which the noisiest are sought


@dataclass(frozen=True)
class Controls:
    """The control strips of a round, before they are stored."""

    mechanical: list[tuple[int, NDArray[np.int16]]]  # (seed, counts)
    recorded: list[RealStrip]  # of the available recordings; none among stand-ins
    stand_ins: list[tuple[int, NDArray[np.int16]]]  # in the recordings' place
    microvolts: list[float]  # noise of the recorded ones

    @property
    def drawn(self) -> list[NDArray[np.int16]]:
        return [counts for _seed, counts in (*self.mechanical, *self.stand_ins)]

    def record(self) -> dict[str, Any]:
        """What is kept with the round; without the seeds."""
        if not self.mechanical:
            return {}
        made = "generator.simulate.mechanical"
        return {"control strips": {"mechanical": made, "noise of the recorded (microvolts)": self.microvolts, "measure": MEASURE}}

    def seeds(self) -> dict[str, int]:
        return {f"control {number}": seed for number, (seed, _counts) in enumerate(self.mechanical, start=1)}


def choose(session: Session, available: Sequence[RealStrip], taken: Sequence[RealStrip], pairs: int, seed: int, *, stand_ins: bool) -> Controls:
    """The controls of a round: simulated strips, and the noisiest recordings of patients whom the round does not show otherwise.

    available: as truth.arms_for_opening; taken: the round's scored recordings. Raises StudyError where recordings are missing.
    """
    seeds = [allocation.control_seed(seed, number) for number in range(pairs)]
    simulated = [(one, mechanical(one)) for one in seeds]
    if stand_ins:
        made = [(one, noisy(one)) for one in seeds]
        return Controls(simulated, [], made, [round(noise(counts), 1) for _seed, counts in made])
    patients = {strip.patient for strip in taken}
    free = [strip for strip in available if strip.rhythm == CONTROL_RHYTHM and strip.patient not in patients]
    some = [free[i] for i in allocation.some_candidates(len(free), CANDIDATES, seed)] if pairs else []
    samples = strips.samples(session, [strip.strip_id for strip in some])
    measured = sorted(((noise(from_bytes(samples[strip.strip_id])), strip) for strip in some), key=lambda one: -one[0])
    noisiest: dict[str, tuple[float, RealStrip]] = {}
    for microvolts, strip in measured:
        noisiest.setdefault(strip.patient, (microvolts, strip))
    found = list(noisiest.values())[:pairs]
    if len(found) < pairs:
        raise StudyError(
            f"controls: {pairs} more {CONTROL_RHYTHM} recordings of other patients are needed, {len(found)} are there. "
            "Import more recordings, or ask for fewer controls."
        )
    return Controls(simulated, [strip for _noise, strip in found], [], [round(microvolts, 1) for microvolts, _strip in found])


def store(session: Session, controls: Controls, job_id: int | None) -> list[int]:
    """Stores the simulated strips; the strip ids of all controls."""
    made = [_add_mechanical(session, seed, counts, job_id) for seed, counts in controls.mechanical]
    return [*made, *(strip.strip_id for strip in controls.recorded), *(_add_stand_in(session, *one, job_id) for one in controls.stand_ins)]


def _add_mechanical(session: Session, seed: int, counts: NDArray[np.int16], job_id: int | None) -> int:
    new = strips.NewDrawing(
        samples=to_bytes(counts),
        rhythm=CONTROL_RHYTHM,
        checkpoint=SIMULATOR,
        sampler=SIMULATOR,
        steps=0,
        guidance=1.0,
        seed=seed,
        number=0,
        device="cpu",
        purpose="control",
        conditions={"simulator": "generator.simulate.mechanical"},
        job_id=job_id,
    )
    return _new(strips.add_drawing(session, new))


def _add_stand_in(session: Session, seed: int, counts: NDArray[np.int16], job_id: int | None) -> int:
    new = strips.NewRecording(
        samples=to_bytes(counts),
        rhythm=CONTROL_RHYTHM,
        collection=SIMULATOR,
        record=f"control-{strip_hash(counts)[:8]}",
        patient=hashlib.sha256(f"control {seed}".encode()).hexdigest(),
        rate=100.0,
        stand_in=True,
        job_id=job_id,
    )
    return _new(strips.add_recording(session, new))


def _new(strip_id: int | None) -> int:
    if strip_id is None:
        raise StudyError("A control of this seed is in the database already. Choose another seed, or leave it out.")
    return strip_id
