"""Many strips into a folder: written as they come, on one machine or a cluster, and gone on with where the last time ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from generator.recordings import Journal, WrittenStrip
from generator.request import GPU_BATCH, DrawRequest
from study.errors import StudyError
from study.rejections import Rejected
from study.turns import Missing

if TYPE_CHECKING:
    from generator.sssd.draw import Drawn
    from study.drawing import Drawer

SECONDS_A_PIECE = 5.0  # strips are written about this often, where a thread can draw one in it: what a killed command may lose
_LARGEST_PIECE = 16  # strips a thread, or batches on a GPU

Piece = tuple[list["Drawn"], dict[str, Any]]  # some of a request's samples, and their provenance
Told = Callable[[float], None]  # strips drawn so far, with fractions


class Draw(Protocol):
    """Draws the samples of a request but those in `skip`, each exactly once, in any order."""

    def __call__(self, request: DrawRequest, skip: Collection[int], told: Told) -> Generator[Piece]: ...


@dataclass(frozen=True)
class Sampled:
    drawn: int  # strips in the folder
    rejected: Counter[str]  # by reason
    checkpoint: str  # its SHA-256
    quality_control: str  # what was checked: generator.quality_control.checks
    continued_from: int  # strips that were there before


def sample(request: DrawRequest, journal: Journal, draw: Draw, progress: Callable[[float, float], None]) -> Sampled:
    """Draw the strips of a request into the folder of a journal, one by one whole, and its manifest last of all.

    A folder that was not finished is gone on with: only what is missing is drawn, and what comes out is the same, to the byte. The settings, the
    checkpoint and the kind of device must be the same; n may be larger. progress: samples in the folder, with fractions, of n.
    Raises StudyError where they differ, where workers differ among themselves, and where every sample was rejected (the folder is empty again);
    GeneratorError as drawing does. What was drawn by then stays.
    """
    _refuse_another(journal, _as_stored(request))
    continued_from = journal.strips
    made = _draw_missing(request, journal, draw, progress)
    rejected = Counter(journal.rejected.values())
    if not journal.strips:
        journal.discard()
        counted = Rejected(request.n, rejected).counted
        raise StudyError(f"All {request.n} samples were rejected ({counted}). Choose more steps, or another checkpoint.")
    listed = [{"number": number, "reason": reason} for number, reason in sorted(journal.rejected.items())]
    journal.finish({"drawn_by": "blindstrip", **made, "rejected": listed})
    return Sampled(journal.strips, rejected, made["checkpoint"], made["quality_control"], continued_from)


def in_this_process(checkpoint: Path | None, device: str, threads: int) -> Draw:
    """Draws here, on that many threads or on a GPU: a command has the machine to itself."""

    def pieces(request: DrawRequest, skip: Collection[int], told: Told) -> Generator[Piece]:
        from generator.sssd import draw

        model = draw.load(checkpoint, device)
        made = draw.provenance(request, model)
        yield [], made  # what cannot be gone on with is refused before anything is drawn
        at_once = threads if model.device.type == "cpu" else GPU_BATCH
        missing, size, before = Missing(0, request.n, skip), at_once, 0
        while missing:
            first, count = missing.take(size)
            begun = time.perf_counter()
            progress = _counting_on(told, before)
            yield draw.draw(request, first=first, count=count, checkpoint=model, threads=threads, progress=progress), made
            before += count
            each = (time.perf_counter() - begun) / -(-count // at_once)
            size = at_once * min(max(round(SECONDS_A_PIECE / each), 1), _LARGEST_PIECE)

    return pieces


def on_dask(drawer: Drawer, checkpoint: Path | None, waiting: Callable[[str], None]) -> Draw:
    """Draws on the workers of a Dask scheduler. checkpoint: folder on the workers; waiting: told while none is connected."""
    folder = None if checkpoint is None else str(checkpoint.absolute())

    def pieces(request: DrawRequest, skip: Collection[int], told: Told) -> Generator[Piece]:
        for chunk in drawer.draw(request, skip=skip, checkpoint=folder, waiting=waiting, told=told):
            yield chunk.samples, chunk.provenance

    return pieces


# ---- what a folder must agree with ----

_REMEDIES = {
    "checkpoint": "Go on with the checkpoint it was begun with",
    "device": "Go on with the same kind of device",
    "torch": "Go on with the same version of PyTorch",
    "quality_control": "Go on with the same version of blindstrip",
}


def _as_stored(request: DrawRequest) -> dict[str, Any]:
    asked = request.as_dict()
    if request.sampler == "ancestral":
        del asked["steps"]  # it takes those of its schedule, whatever was asked
    return asked


def _refuse_another(journal: Journal, here: dict[str, Any]) -> None:
    """A strip depends on all that is stored with it but n."""
    there, out = journal.settings, journal.directory
    if there is None:
        return
    different = _different(there, here)
    if different:
        remedy = _REMEDIES.get(different[0], "Give the command it was begun with")
        raise StudyError(f"{out} holds part of another drawing: {_differences(there, here)}. {remedy}, or name an empty folder with --out.")
    if here["n"] < there["n"]:
        raise StudyError(f"{out} was begun for {there['n']} strips, not {here['n']}. Ask for {there['n']} or more with --n, or name an empty folder.")


def _different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in other if name != "n" and one.get(name) != other[name]]


def _differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_shown(one.get(name))} there, {_shown(other[name])} here" for name in _different(one, other))


def _shown(value: object) -> str:
    return "none" if value is None else value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


# ---- one drawing ----


def _draw_missing(request: DrawRequest, journal: Journal, draw: Draw, progress: Callable[[float, float], None]) -> dict[str, Any]:
    """Draws what is not there and returns the provenance of all that is."""
    there, made = journal.numbers(), None
    progress(len(there), request.n)
    with closing(draw(request, there, lambda drawn: progress(len(there) + drawn, request.n))) as pieces:
        for samples, provenance in pieces:
            if made is None:
                _refuse_another(journal, provenance)
                journal.begin(provenance)
            elif provenance != made:
                raise StudyError(f"The workers differ: {_differences(made, provenance)}. Let workers of one kind connect; the same command goes on.")
            made = provenance
            for one in samples:
                _store(journal, request, one)
    missing = request.n - len(journal.numbers())
    if journal.settings is None or missing:
        raise StudyError(f"{missing} samples did not come. The same command draws them.")
    return journal.settings


def _counting_on(told: Told, before: int) -> Callable[[float, int], None]:
    return lambda drawn, _: told(before + drawn)


def _store(journal: Journal, request: DrawRequest, one: Drawn) -> None:
    if one.counts is None:
        journal.reject(one.number, str(one.rejected))
    else:
        journal.write(WrittenStrip(one.counts, request.rhythm, request.seed, one.number, {"conditions": one.conditions}))
