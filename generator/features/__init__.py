"""What a strip measures: rhythm, P-wave evidence, intervals and amplitudes, one row a strip. docs/features.md has units and definitions.

All of it is read off the beat that recurs (`average_beat`): the regression of the strip on its R times, in which neighbouring beats that
overlap are told apart. Where a figure is undefined it is NaN and the column `undefined` says why; no strip is left out.

The delineation is our own: NeuroKit's delineators find a P wave in 98 % of beats even in AF and work lead by lead, and a strip has 100 samples/s,
which an average over its beats and leads makes finer. Against LUDB's experts (40 records; mean error and its SD over records): QRS onset 0 and
10 ms, QRS offset +3 and 8 ms, P onset +2 and 15 ms, T offset -16 and 8 ms (a tangent ends a T wave earlier than the eye does). P waves: the AUC
of p_coherence, NSR against AF, is 0.99 in LUDB and in 1,856 strips of PTB-XL.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from generator.beats import r_peaks, rr_intervals
from generator.features.average import AverageBeat, average_beat
from generator.features.definitions import COLUMNS, UNITS
from generator.features.p_waves import PEvidence, of_atria, p_evidence
from generator.features.rhythm import of_rhythm
from generator.features.waves import Boundaries, boundaries, of_waves
from generator.leads import LEADS, STORED
from generator.strip import SAMPLES

__all__ = ["COLUMNS", "UNITS", "AverageBeat", "Boundaries", "PEvidence", "average_beat", "boundaries", "features", "p_evidence"]

_ROUNDING = 2  # counts by which III may differ from II - I where each lead was rounded by itself


def features(counts: NDArray[np.integer]) -> pd.DataFrame:
    """One row a strip, the columns of UNITS and `undefined` (str: "" or "column, column: reason; ...").

    counts: canonical counts, (n, 8, 1000) in the order of STORED or (n, 12, 1000) in that of LEADS. ValueError for another shape or order.
    About 4 ms a strip.
    """
    strips = _eight(np.asarray(counts))
    with _threads().limit(limits=1):  # small matrices: threads that wait for a busy core cost ten times what they save
        rows = [_row(strip) for strip in strips]
    return pd.DataFrame(rows, columns=[*COLUMNS, "undefined"])


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def _eight(strips: NDArray[np.integer]) -> NDArray[np.integer]:
    """(n, 8, 1000): the stored leads of each strip."""
    shapes = tuple((len(leads), SAMPLES) for leads in (STORED, LEADS))
    if strips.ndim != 3 or strips.shape[1:] not in shapes:
        raise ValueError(f"features takes strips of shape (n, {len(STORED)}, {SAMPLES}) or (n, {len(LEADS)}, {SAMPLES}), not {strips.shape}")
    if strips.shape[1] == len(STORED):
        return strips
    one, two, three = (strips[:, LEADS.index(lead)].astype(np.int64) for lead in ("I", "II", "III"))
    if np.abs(three - (two - one)).max(initial=0) > _ROUNDING:
        raise ValueError(f"The third lead is not II - I: twelve leads come in the order {', '.join(LEADS)}. Reorder them, or give the eight stored.")
    return strips[:, [LEADS.index(lead) for lead in STORED]]


def _row(strip: NDArray[np.integer]) -> dict[str, float | str]:
    row: dict[str, float | str] = dict.fromkeys(COLUMNS, np.nan)
    why: dict[str, list[str]] = {}  # reason: the columns it leaves undefined
    times = r_peaks(strip)
    row["beats"] = float(times.size)
    if times.size < 2:
        missing = [column for column in COLUMNS if column != "beats"]
        return row | {"undefined": f"{', '.join(missing)}: {'no beat stands out' if times.size == 0 else 'only one beat found'}"}
    average = average_beat(strip, times)
    row |= of_rhythm(times, why)
    row |= of_atria(average, times, why)
    row |= of_waves(average, float(np.mean(rr_intervals(times))), float(row.get("p_coherence", np.nan)), why)
    return row | {"undefined": "; ".join(f"{', '.join(columns)}: {reason}" for reason, columns in why.items())}
