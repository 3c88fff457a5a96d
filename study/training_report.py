"""How a training goes, in one HTML file beside its checkpoint: losses, strips at fixed seeds, and what strips measure, by time.

report.jsonl keeps what was drawn and measured, a line each time, so that a training that goes on keeps its report.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generator import copies
from generator.beats import r_peaks
from generator.cores import cores
from generator.features import features
from generator.quality_control import check
from generator.request import RHYTHMS, DrawRequest, checkpoint_sha256
from generator.sssd.config import read_config
from generator.sssd.training_set import TrainingSet
from generator.strip import RATE, Counts, canonical_from_unfiltered, from_bytes, to_bytes
from generator.utility import labelled, utility
from study.training_page import NETWORKS, page

if TYPE_CHECKING:
    from generator.sssd.draw import Drawn

PAGE = "report.html"
ROWS = "report.jsonl"

SEED = 0  # of the strips that are drawn each time: from one row to the next only the network changes
SHOWN = 2  # of each rhythm, on ECG paper
MEASURED = 60  # of each rhythm, or as many as can be drawn in the time:
DRAWING_SECONDS = 90.0

_COMPARED = 200  # training strips of each rhythm, beside them
_REACH = 5  # samples around R in which the beat's largest deflection lies

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Arm:
    """Strips of both rhythms as they were drawn or recorded."""

    counts: Counts  # (n, 8, 1000)
    rhythm: NDArray[np.str_]
    patients: list[str] | None

    @classmethod
    def of(cls, strips: TrainingSet) -> _Arm:
        return cls(np.stack([canonical_from_unfiltered(strip.astype(np.float64)) for strip in strips.mv]), strips.rhythm, strips.patients)

    def of_rhythm(self, rhythm: str) -> Counts:
        return self.counts[self.rhythm == rhythm]


class TrainingReport:
    """What `generator.sssd.train.train` calls at intervals: draws and measures if the checkpoint changed, and writes the page anew."""

    def __init__(self, strips: TrainingSet, held_out: TrainingSet | None, facts: Mapping[str, str], *, device: str = "auto") -> None:
        """facts: name to value, shown above what the training itself tells. device: to draw on."""
        self._strips, self._held_out, self._facts, self._device = strips, held_out, dict(facts), device

    def __call__(self, out: Path, seconds: float) -> None:
        """Writes out/report.html. A fault in it is told and stops no training."""
        for step in (self._add_row, self._write):
            try:
                step(out, seconds)
            except Exception as error:  # days of training are worth more than their report
                _log.warning("The report is not complete: %s: %s. Training goes on.", type(error).__name__, error)

    def _add_row(self, out: Path, seconds: float) -> None:
        """Draws and measures, where the checkpoint is another one than in the last row."""
        if not (out / "config.json").is_file():
            return
        rows, sha256 = read_rows(out), checkpoint_sha256(out)
        if not rows or rows[-1]["checkpoint"] != sha256:
            row = {"seconds": round(seconds, 1), "checkpoint": sha256, **self._measured(out)}
            with (out / ROWS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _write(self, out: Path, seconds: float) -> None:
        rows = read_rows(out)
        written = page(f"Training of {out.resolve().name}", self._all_facts(out, seconds), _losses(out), rows, self._beside, shown(rows))
        part = out / f"{PAGE}.part"
        part.write_text(written, encoding="utf-8")
        part.replace(out / PAGE)

    # ---- what is measured ----

    @cached_property
    def _learned(self) -> _Arm:
        return _Arm.of(self._strips)

    @cached_property
    def _beside(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Figures of recordings: those learned and, where there are some, those held out."""
        arms = {"learned recordings": self._learned}
        if self._held_out is not None:
            arms["held-out recordings"] = _Arm.of(self._held_out)
        details = self._details
        return {
            name: {rhythm: figures(arm.of_rhythm(rhythm)[:_COMPARED], rhythm, details[rhythm], None) for rhythm in RHYTHMS}
            for name, arm in arms.items()
        }

    @cached_property
    def _details(self) -> dict[str, float | None]:
        return {rhythm: _median([detail(strip) for strip in self._learned.of_rhythm(rhythm)]) for rhythm in RHYTHMS}

    @cached_property
    def _tables(self) -> list[Any]:
        """Features of learned and of held-out recordings, for utility."""
        arms = [self._learned, *([_Arm.of(self._held_out)] if self._held_out is not None else [])]
        return [labelled(arm.counts, arm.rhythm.tolist(), arm.patients) for arm in arms]

    def _measured(self, out: Path) -> dict[str, Any]:
        """A row: figures by rhythm, utility where strips are held out, and the first strips."""
        drawn, refused = self._draw(out)
        reference = copies.Reference.load(out)
        found = {rhythm: figures(drawn.of_rhythm(rhythm), rhythm, self._details[rhythm], reference) for rhythm in RHYTHMS}
        first = [
            {"caption": f"{rhythm}, seed {SEED}, number {number}", "counts": _packed(strip)}
            for rhythm in RHYTHMS
            for number, strip in enumerate(drawn.of_rhythm(rhythm)[:SHOWN])
        ]
        return {"figures": found, "no_strip": refused, "utility": self._utility(drawn), "strips": first}

    def _draw(self, out: Path) -> tuple[_Arm, int]:
        """Strips without quality control, and how many samples were no strips at all (a flat lead, an amplitude beyond any ECG)."""
        from generator.sssd import draw

        model = draw.load(out, self._device)
        samples: dict[str, list[Drawn]] = {rhythm: [] for rhythm in RHYTHMS}

        def more(first: int, count: int) -> None:
            for rhythm, drawn in samples.items():
                request = DrawRequest(rhythm, MEASURED, SEED)
                drawn += draw.draw(request, first=first, count=count, checkpoint=model, threads=cores(), quality_control=False)

        begun = time.monotonic()
        more(0, SHOWN)
        took = time.monotonic() - begun
        more(SHOWN, int(np.clip(DRAWING_SECONDS / took * SHOWN, 0, MEASURED - SHOWN)))
        strips = [(rhythm, sample.counts) for rhythm, of_one in samples.items() for sample in of_one if sample.counts is not None]
        counts = np.array([one for _, one in strips], dtype=np.int16).reshape(-1, 8, 1000)
        return _Arm(counts, np.array([rhythm for rhythm, _ in strips], dtype=str), None), sum(map(len, samples.values())) - len(strips)

    def _utility(self, drawn: _Arm) -> dict[str, Any] | None:
        if self._held_out is None or not len(drawn.counts):
            return None
        learned, held_out = self._tables
        result = utility(learned, held_out, labelled(drawn.counts, drawn.rhythm.tolist()), seed=SEED)
        return {name: {key: result[name]["gradient boosting"][key] for key in ("macro_f1", "ci", "n", "reason")} for name in ("TSTR", "TRTS", "TRTR")}

    # ---- what is told ----

    def _all_facts(self, out: Path, seconds: float) -> dict[str, str]:
        def counted(strips: TrainingSet) -> str:
            whose = "" if strips.patients is None else f" of {len(set(strips.patients))} patients"
            return ", ".join(f"{int((strips.rhythm == rhythm).sum())} {rhythm}" for rhythm in RHYTHMS) + whose

        def refused(strips: TrainingSet) -> str:
            return "; ".join(f"{reason}: {number}" for reason, number in (+strips.refused).items()) or "none"

        told = {
            **self._facts,
            "Trained": f"{seconds / 60:.0f} min",
            "Strips to learn": counted(self._strips),
            "Recordings refused": refused(self._strips),
        }
        if self._held_out is not None:
            told |= {"Strips held out": counted(self._held_out), "Of those, refused": refused(self._held_out)}
        if not (out / "config.json").is_file():
            return told | {"Checkpoint": "none yet: average beats are learned first"}
        config = read_config(out)
        trained: Any = config.trained
        networks = {**({} if config.beat is None else {"beat": config.beat.network}), "strip": config.network}
        for name, one in networks.items():
            done = trained["networks"][name]
            told[NETWORKS[name]] = (
                f"{one.num_res_layers} blocks of {one.res_channels} channels; {done['iterations']} iterations of {done['batch']} in "
                f"{done['seconds'] / 60:.0f} min; {_in_words(trained['settings'][name])}"
            )
        if trained["refused"]:
            told["Left out, amplitudes included"] = _in_words(trained["refused"])
        told["Hardware"] = f"{trained['device']}, {trained['processes']} processes of {trained['threads']} threads, {trained['precision']}"
        return told | {"Checkpoint": checkpoint_sha256(out), "PyTorch": str(trained["torch"])}


def figures(counts: Counts, rhythm: str, real_detail: float | None, reference: copies.Reference | None) -> dict[str, Any]:
    """What strips of one rhythm measure; None where no strip defines it. counts: (n, 8, 1000); real_detail: `detail` of recordings, the median.

    p_amplitude (mV), p_coherence, rr_cv: medians of generator.features. r_variation: median over strips of SD over mean of the beats' largest
    deflection (root sum of squares over leads). beat_spread: 1 - mean correlation between average beats of two strips (generator.copies).
    detail: median of `detail` as a share of real_detail. rejected: share that quality control would refuse, copies included where there is a
    reference.
    """
    if not len(counts):
        return {"n": 0}
    table = features(counts)
    medians = {name: _median(table[name].tolist()) for name in ("p_amplitude", "p_coherence", "rr_cv")}
    sharp = _median([detail(strip) for strip in counts])
    return {
        "n": len(counts),
        **medians,
        "r_variation": _median([_r_variation(strip) for strip in counts]),
        "beat_spread": _beat_spread(counts),
        "detail": None if sharp is None or not real_detail else sharp / real_detail,
        "rejected": float(np.mean([check(strip, rhythm, reference) is not None for strip in counts])),
    }


def detail(strip: NDArray[np.integer]) -> float:
    """Mean absolute second difference in counts: what QRS notches, f waves and noise are made of. strip: (8, 1000)."""
    return float(np.abs(np.diff(strip.astype(np.float64), n=2, axis=-1)).mean())


def read_rows(out: Path) -> list[dict[str, Any]]:
    """What report.jsonl holds; a last line that was not written to its end is dropped, from the file too."""
    file = out / ROWS
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        file.write_text("".join(lines), encoding="utf-8")
    return [json.loads(line) for line in lines]


def shown(rows: Sequence[Mapping[str, Any]], most: int = 8) -> list[tuple[float, list[tuple[str, Counts]]]]:
    """(seconds, [(caption, counts)]) of rows spread evenly over those there are, the first and the last among them, the latest first."""
    chosen = sorted({round(place) for place in np.linspace(0, len(rows) - 1, min(most, len(rows)))}, reverse=True)
    return [(rows[i]["seconds"], [(one["caption"], _unpacked(one["counts"])) for one in rows[i]["strips"]]) for i in chosen]


def _losses(out: Path) -> list[dict[str, Any]]:
    file = out / "loss.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def _in_words(values: Mapping[str, Any]) -> str:
    """Names and values, one level of nesting laid flat."""
    flat = {name: value for key, value in values.items() for name, value in (value.items() if isinstance(value, dict) else [(key, value)])}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in flat.items())


def _packed(strip: Counts) -> str:
    return base64.b64encode(zlib.compress(to_bytes(strip), 9)).decode()


def _unpacked(text: str) -> Counts:
    return from_bytes(zlib.decompress(base64.b64decode(text)))


def _median(values: Sequence[float]) -> float | None:
    defined = [value for value in values if np.isfinite(value)]
    return float(np.median(defined)) if defined else None


def _r_variation(strip: Counts) -> float:
    size = np.sqrt((strip.astype(np.float64) ** 2).sum(axis=0))
    at = np.rint(r_peaks(strip) * RATE).astype(int)
    if at.size < 3:
        return float("nan")
    heights = np.array([size[max(place - _REACH, 0) : place + _REACH + 1].max() for place in at])
    return float(heights.std(ddof=1) / heights.mean())


def _beat_spread(counts: Counts) -> float | None:
    found = copies.beats(counts).astype(np.float64)
    unit = found[~np.isnan(found[:, 0, 0])]
    n = len(unit)
    return float(1 - ((unit.sum(axis=0) ** 2).sum() - n) / (n * (n - 1))) if n > 1 else None  # of unit vectors, all pairs at once
