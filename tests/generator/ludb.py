"""The 40 records of LUDB with their experts' marks, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import wfdb

from generator.strip import Counts, canonical

_LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
_FEWEST_LEADS = 4  # with a mark, or the experts' word on a beat is no consensus


@dataclass(frozen=True)
class Wave:
    """One P ("p"), QRS ("N") or T ("t") in one lead; times in ms."""

    kind: str
    onset: float
    peak: float
    offset: float


@dataclass(frozen=True)
class Record:
    """A record in the canonical form, whether it fibrillates, and the waves of each lead."""

    counts: Counts
    fibrillates: bool
    waves: Sequence[Sequence[Wave]]

    def marks(self, r_times: Sequence[float] | np.ndarray, kind: str, end: str, window: tuple[float, float]) -> np.ndarray:
        """For each R time (s) the median over leads, in ms, of the onset or offset of the wave whose peak lies in the window about R; else NaN."""
        found = np.full(len(r_times), np.nan)
        for k, r in enumerate(1000 * np.asarray(r_times)):
            near = [[wave for wave in lead if wave.kind == kind and window[0] <= wave.peak - r <= window[1]] for lead in self.waves]
            marked = [float(getattr(waves[-1 if kind == "p" else 0], end)) for waves in near if waves]
            if len(marked) >= _FEWEST_LEADS:
                found[k] = np.median(marked)
        return found


@cache
def records(shared: Path) -> tuple[Record, ...]:
    """Header gains there normalise each lead, so digital counts (about 1 uV) are read."""
    made = []
    for header in sorted((shared / "data/ludb/data").glob("*.hea")):
        name = str(header.with_suffix(""))
        record = wfdb.rdrecord(name, physical=False)
        counts = canonical(record.d_signal.T / 1000, record.fs, record.sig_name, name=header.stem)
        waves = [_waves(wfdb.rdann(name, lead)) for lead in _LEADS]
        made.append(Record(counts, "Atrial fibrillation" in " ".join(record.comments), waves))
    return tuple(made)


def _waves(marks: wfdb.Annotation) -> list[Wave]:
    at, symbols = marks.sample * 2.0, marks.symbol  # 500 samples/s
    whole = [i for i in range(1, len(symbols) - 1) if symbols[i] in "pNt" and (symbols[i - 1], symbols[i + 1]) == ("(", ")")]
    return [Wave(symbols[i], at[i - 1], at[i], at[i + 1]) for i in whole]
