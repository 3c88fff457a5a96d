"""Quality of strips: what `blindstrip quality` measures of folders, and the job of the Quality page of strips in the database.

No torch and no scikit-learn here until something is measured: pages read what is stored through this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.quality.result import BOTH, PARTS, Quality, Strips
from generator.strip import from_bytes
from storage import quality as stored
from storage import strips
from storage.database import Database
from storage.jobs import JobRow
from storage.quality import Member
from study import strip_sets
from study.people import Person
from study.roles import Action, demand
from study.strip_sets import Asked, Sets

Progress = Callable[[float, float, str], None]

TITLES = {  # part: (heading, what it says)
    "worth": (
        "Worth to a classifier",
        "Macro F1 of AF against NSR from interval, RR and P features. Beside: trained and tested on recordings (TRTR).",
    ),
    "distribution": (
        "Distribution",
        "In the embedding of a network trained to tell AF from NSR on recordings. Frechet and kernel distance: less is nearer. Precision, density: "
        "whether strips lie among recordings; recall, coverage: whether recordings lie among strips.",
    ),
    "heart": ("Heart", "Wasserstein distance to the recordings of each measure's distribution, in its unit: less is nearer; then the medians."),
    "detail": ("Fine detail", "Median strip's mean absolute second difference over the median recording's: below 1 is blurred, above 1 noisy."),
    "realness": ("Real or synthetic", "AUC of a convolutional network, cross-validated by patient: 0.5 cannot tell, 1 always can."),
    "memorisation": (
        "Memorisation",
        "Distance (1 - correlation) of a strip's average beat to the nearest training strip's. Beside: held-out recordings.",
    ),
    "repeat": ("Beats repeat", "Correlation of a strip's beats with each other: Wasserstein distance to the recordings', then the medians."),
}
MEANINGS = {
    "rr_cv": "variation of RR (SD / mean)",
    "f_band": "f waves, V1, 4-9 Hz",
    "p_coherence": "consistency of P window",
    "p_share": "beats with a P wave",
    "p_to_r": "P peak to R",
    "qrs_width": "QRS width",
    "qtc": "QTc (Fridericia)",
    "axis": "QRS axis",
    "r_transition": "R transition (V lead)",
    "beat_correlation": "correlation between beats",
}


def measure(real: Strips, synthetic: Strips, train: Strips, seed: int, progress: Progress | None = None, parts: Sequence[str] = PARTS) -> Quality:
    """generator.quality.measure.quality, imported when it is needed: it brings torch."""
    from generator.quality.measure import quality

    return quality(real, synthetic, train, seed=seed, parts=parts, progress=progress)


# ---- rows to read ----


def target_rows(result: Quality) -> list[dict[str, Any]]:
    """A row a target: what was to be reached, what was, and pass, MISS or why it is undefined."""
    words = {True: "pass", False: "MISS", None: "undefined"}
    return [
        {"target": one.name, "rhythm": one.rhythm, "value": one.value, "limit": one.limit, "verdict": words[one.met], "reason": one.reason}
        for one in result.targets
    ]


def figure_rows(result: Quality, part: str) -> list[dict[str, Any]]:
    """A row a figure: value and interval, the same of recordings in the strips' place, medians where it is a distance, numbers of strips, reasons."""
    rows = []
    for one in result.figures:
        if one.part != part:
            continue
        reasons = [one.reason, one.beside_reason and one.beside_reason != one.reason and f"beside: {one.beside_reason}"]
        rows.append(
            {
                "figure": MEANINGS.get(one.name, one.name),
                "rhythm": one.rhythm,
                "value": number(one.value),
                "95 %": _ends(one.interval),
                "real against real": number(one.beside),
                "95 % beside": _ends(one.beside_interval),
                "unit": one.unit,
                "median": number(one.median),
                "median real": number(one.median_real),
                "n": f"{one.n} / {one.n_real} / {one.n_beside}",
                "reason": "; ".join(reason for reason in reasons if reason) or None,
            }
        )
    always = ("figure", "rhythm", "value", "real against real", "n")
    empty = {name for row in rows for name in row if name not in always and all(other[name] in (None, "1", "") for other in rows)}
    return [{name: cell for name, cell in row.items() if name not in empty} for row in rows]


def number(value: float | None) -> str | None:
    """Three digits that count."""
    if value is None:
        return None
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}"


def _ends(interval: tuple[float, float] | None) -> str | None:
    return None if interval is None else f"{number(interval[0])} to {number(interval[1])}"


# ---- strips of the database ----


@dataclass(frozen=True)
class Shown:
    """A stored result. stale: why it is out of date, or None."""

    job_id: int
    asked: Asked
    result: Quality
    at: Any  # datetime
    stale: str | None
    pairs: list[tuple[float, str, Member | None, Member | None]]  # distance, rhythm, synthetic, train; None: not to be shown


def check(db: Database, person: Person | None, given: dict[str, Any]) -> dict[str, Any]:
    """What a job is to be asked, or StudyError for what would fail anyway; NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    asked = Asked.from_dict(given)
    with db.read() as session:
        strip_sets.checked(session, asked)
    return asked.as_dict()


def measure_stored(db: Database, given: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Measures what was asked; the job's result: {"quality", "strips" of each set, by id, "digest"}. For the runner: imports torch."""
    asked = Asked.from_dict(given)
    with db.read() as session:
        sets = strip_sets.checked(session, asked)
        counts = strip_sets.counts(session, sets)
    arms = {name: Strips.of(counts[name], [one.rhythm for one in of_it], [one.patient for one in of_it]) for name, of_it in sets.items()}
    result = measure(arms["real"], arms["synthetic"], arms["train"], asked.seed, progress)
    pairs = [{"synthetic": sets["synthetic"][one.synthetic].strip_id, "train": sets["train"][one.train].strip_id} for one in result.pairs]
    return {"quality": result.as_dict(), "pairs": pairs, "digest": _digest(sets)}


def latest(db: Database, person: Person, checkpoint: str | None = None) -> Shown | None:
    """The last result that anybody asked for (of this checkpoint), and whether the strips have changed since. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        job = next(iter(stored.done(session, "quality", checkpoint=checkpoint)), None)
        if job is None or not job.result:
            return None
        asked = Asked.from_dict(job.asked)
        same = _digest(strip_sets.members(session, asked)) == job.result["digest"]
        stale = None if same else "Strips or recordings were added since this was measured."
        result = Quality.from_dict(job.result["quality"])
        wanted = {strip_id for pair in job.result["pairs"] for strip_id in pair.values()}
        known = stored.shown(session, wanted)
    pairs = [(one.distance, one.rhythm, *(known.get(ids[name]) for name in ("synthetic", "train"))) for one, ids in _zipped(result, job)]
    return Shown(job.id, asked, result, job.ended_at, stale, pairs)


def strip_counts(db: Database, person: Person, members: Sequence[Member]) -> dict[int, NDArray[np.int16]]:
    """(8, 1000) counts of members that may be shown, by id. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        allowed = stored.shown(session, {one.strip_id for one in members})
        return {strip_id: from_bytes(blob) for strip_id, blob in strips.samples(session, allowed).items()}


def _zipped(result: Quality, job: JobRow) -> list[tuple[Any, dict[str, int]]]:
    return list(zip(result.pairs, (job.result or {})["pairs"], strict=True))


def _digest(sets: Sets) -> str:
    """By id: stored results of earlier versions are tied to their strips by it."""
    told = ";".join(f"{name}:" + ",".join(str(one.strip_id) for one in members) for name, members in sorted(sets.items()))
    return hashlib.sha256(told.encode()).hexdigest()


__all__ = ["BOTH", "Asked", "Shown", "check", "latest", "measure", "measure_stored"]
