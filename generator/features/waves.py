"""Where the waves of the average beat begin and end, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from generator.features.average import AverageBeat
from generator.leads import LEADS, STORED, twelve_leads
from generator.strip import RATE

_QRS_SEARCH = 0.14  # an onset or offset is sought this far from R
_SPEED_SHARE = 0.06  # of the greatest spatial speed: below it the QRS has not begun or has ended; no bias against LUDB at this level
_P_SHARE = 0.15  # of the P wave's height: below it P has not begun; no bias against LUDB at this level
_P_PEAK = (-0.26, -0.07)  # s: where the peak of P is sought
_P_RISES = 0.10  # s: P begins at most this long before its peak
_P_LIKE = 0.5  # p_coherence from which on there is a P wave to measure
_ST_SECONDS = 0.06  # after the QRS offset
_FINE = 5  # the average beat is interpolated to 2 ms
_TO_MS = 1000 / (RATE * _FINE)
_OF_QRS = ("qrs_width", "pr", "qt", "qtc", "axis", "r_I", "r_II", "r_V1", "s_V1", "s_V2", "r_V5", "r_V6", "st_II", "st_V2", "st_V5", "t_II", "t_V5")


@dataclass(frozen=True)
class Boundaries:
    """Of the average beat, in ms from the R time; None where nothing marks one. p_onset is sought whether or not there is a P wave."""

    p_onset: float | None
    qrs_onset: float | None
    qrs_offset: float | None
    t_offset: float | None


def boundaries(average: AverageBeat) -> Boundaries:
    """QRS by the spatial speed, T offset by the steepest tangent of the magnitude over leads, P onset by a share of its height."""
    beat, r = _fine(average)
    onset, offset = _qrs_ends(beat, r)
    if onset is None or offset is None:
        return Boundaries(None, None, None, None)
    p_onset, t_offset = _p_onset(beat, r, onset), _t_end(_from_pq(beat, onset), _t_start(beat, offset))
    return Boundaries(*(None if at is None else (at - r) * _TO_MS for at in (p_onset, onset, offset, t_offset)))


def of_waves(average: AverageBeat, interval: float, p_coherence: float, why: dict[str, list[str]]) -> dict[str, float]:
    """The columns of intervals and amplitudes. interval: mean RR in s; p_coherence: whether there is a P wave to measure."""
    row = {"r_transition": _transition(average)}
    beat, r = _fine(average)
    onset, offset = _qrs_ends(beat, r)
    if onset is None or offset is None:
        why.setdefault("the QRS complex has no clear onset and offset", []).extend(_OF_QRS)
        return row
    row["qrs_width"] = (offset - onset) * _TO_MS
    p_onset = _p_onset(beat, r, onset) if p_coherence >= _P_LIKE else None
    if p_onset is None:
        why.setdefault("no P wave with an onset recurs before the QRS complex", []).append("pr")
    else:
        row["pr"] = (onset - p_onset) * _TO_MS
    beat = _from_pq(beat, onset)
    twelve = twelve_leads(beat)
    row |= _of_qrs(twelve[:, onset : offset + 1])
    st = min(offset + round(_ST_SECONDS * RATE * _FINE), beat.shape[1] - 1)
    for lead in ("II", "V2", "V5"):
        row[f"st_{lead}"] = float(twelve[LEADS.index(lead), st])
    t_start = _t_start(beat, offset)
    for lead in ("II", "V5"):
        wave = twelve[LEADS.index(lead), t_start:]
        row[f"t_{lead}"] = float(wave[np.argmax(np.abs(wave))])
    end = _t_end(beat, t_start)
    if end is None:
        why.setdefault("no T wave end inside the average beat", []).extend(["qt", "qtc"])
    else:
        row["qt"] = (end - onset) * _TO_MS
        row["qtc"] = row["qt"] / np.cbrt(interval)
    return row


def _fine(average: AverageBeat) -> tuple[NDArray[np.float64], int]:
    """(8, taps) mV every 2 ms, and the tap of the R time."""
    at = np.arange(0, average.beat.shape[1] - 1 + 1e-9, 1 / _FINE)
    return CubicSpline(np.arange(average.beat.shape[1]), average.beat, axis=-1)(at), average.r * _FINE


def _from_pq(beat: NDArray[np.float64], onset: int) -> NDArray[np.float64]:
    """The PQ segment is the zero of amplitudes."""
    return beat - beat[:, max(onset - 2 * _FINE, 0) : onset + 1].mean(axis=-1, keepdims=True)


def _t_start(beat: NDArray[np.float64], offset: int) -> int:
    return min(offset + 6 * _FINE, beat.shape[1] - 2)


def _of_qrs(qrs: NDArray[np.float64]) -> dict[str, float]:
    """Amplitudes and axis of the QRS complex (12, taps)."""
    high, low, area = qrs.max(axis=-1), qrs.min(axis=-1), qrs.sum(axis=-1)
    row = {f"r_{lead}": float(high[LEADS.index(lead)]) for lead in ("I", "II", "V1", "V5", "V6")}
    row |= {f"s_{lead}": float(low[LEADS.index(lead)]) for lead in ("V1", "V2")}
    row["axis"] = float(np.degrees(np.arctan2(2 / np.sqrt(3) * area[LEADS.index("aVF")], area[LEADS.index("I")])))
    return row


def _qrs_ends(beat: NDArray[np.float64], r: int) -> tuple[int | None, int | None]:
    speed = np.sqrt((np.gradient(beat, axis=-1) ** 2).sum(axis=0))
    reach = round(_QRS_SEARCH * RATE * _FINE)
    core = speed[r - reach // 2 : r + reach // 2]
    if core.size == 0 or core.max() == 0:
        return None, None
    slow = speed < _SPEED_SHARE * core.max()
    calm = np.asarray(np.lib.stride_tricks.sliding_window_view(slow, _FINE).all(axis=-1))  # slow for 10 ms
    before = np.flatnonzero(calm[r - reach : r - _FINE])
    after = np.flatnonzero(calm[r + _FINE : r + reach])
    onset = r - reach + int(before[-1]) + _FINE - 1 if before.size else None
    offset = r + _FINE + int(after[0]) if after.size else None
    return onset, offset


def _p_onset(beat: NDArray[np.float64], r: int, qrs_onset: int) -> int | None:
    """Where the magnitude over leads, above the line from the average beat's start to the QRS onset, last was a small share of the P peak's."""
    first, last = (r + round(seconds * RATE * _FINE) for seconds in _P_PEAK)
    last = min(last, qrs_onset - _FINE)
    if last <= first:
        return None
    before = beat[:, :qrs_onset]
    ends = [part.mean(axis=-1, keepdims=True) for part in (before[:, : 2 * _FINE], before[:, -2 * _FINE :])]
    share = np.linspace(0, 1, qrs_onset)
    magnitude = np.sqrt(((before - ends[0] * (1 - share) - ends[1] * share) ** 2).sum(axis=0))
    peak = first + int(np.argmax(magnitude[first:last]))
    foot = float(magnitude[max(peak - round(_P_RISES * RATE * _FINE), 0) : peak + 1].min())
    below = np.flatnonzero(magnitude[:peak] <= foot + _P_SHARE * (magnitude[peak] - foot))
    return int(below[-1]) if below.size else None


def _t_end(beat: NDArray[np.float64], first: int) -> int | None:
    """Where the steepest falling tangent of the T wave's magnitude over leads meets its foot."""
    magnitude = np.sqrt((beat[:, first:] ** 2).sum(axis=0))
    top = int(np.argmax(magnitude))
    fall = np.gradient(magnitude)[top:]
    if fall.size < 4 * _FINE:
        return None
    steepest = int(np.argmin(fall))
    if fall[steepest] >= 0 or steepest >= fall.size - _FINE:
        return None
    foot = float(magnitude[top + steepest :].min())
    crossing = steepest + (magnitude[top + steepest] - foot) / -fall[steepest]
    end = first + top + round(float(crossing))
    return end if end < beat.shape[1] else None


def _transition(average: AverageBeat) -> float:
    reach = round(0.06 * RATE)
    chest = average.beat[STORED.index("V1") :]  # (6, taps): V1 to V6
    before = chest[:, max(average.r - 10, 0) : average.r - reach].mean(axis=-1, keepdims=True)  # PQ is the zero of amplitudes
    qrs = chest[:, average.r - reach : average.r + reach + 1] - before
    high, low = np.maximum(qrs.max(axis=-1), 0), np.maximum(-qrs.min(axis=-1), 0)
    share = high / np.where(high + low > 0, high + low, 1.0)
    above = np.flatnonzero(share >= 0.5)
    if above.size == 0 or above[0] == 0:
        return 6.0 if above.size == 0 else 1.0
    k = int(above[0])
    return float(k + (0.5 - share[k - 1]) / (share[k] - share[k - 1]))
