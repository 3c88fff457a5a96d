"""What the atria leave in a strip: P waves as evidence, beat by beat, and the waves of fibrillation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from generator.features.average import AverageBeat
from generator.leads import STORED
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES

_WINDOW = np.arange(-26, -6)  # samples: 260 to 70 ms before R
_P_LIKE = 0.5  # consistency from which on a beat has a P wave
_QRS = 6  # samples on either side of R
_F_BAND = signal.butter(3, (4.0, 9.0), btype="bandpass", fs=RATE, output="sos")


@dataclass(frozen=True)
class PEvidence:
    """What speaks for a P wave before each beat whose P window lies inside the strip. All arrays: (beats,).

    times: R times in s. consistency: correlation of the beat's P window, QRS and T cancelled, with the other beats' mean over all leads.
    energy: root mean square over leads of that part of the window which follows the others' mean, in mV; negative where it opposes it.
    """

    times: NDArray[np.float64]
    consistency: NDArray[np.float64]
    energy: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which beats have a P wave: one that recurs, and is not below the resolution of a strip."""
        return (self.consistency >= _P_LIKE) & (self.energy >= MICROVOLTS_PER_COUNT / 1000)


def p_evidence(average: AverageBeat, times: NDArray[np.floating]) -> PEvidence | None:
    """Evidence for P waves, none assumed; None where fewer than three beats have their P window inside the strip."""
    inside, each = _windows(average, np.asarray(times, dtype=np.float64))
    if len(each) < 3:
        return None
    others = (each.sum(axis=0) - each) / (len(each) - 1)
    product, of_others = (each * others).sum(axis=1), np.linalg.norm(others, axis=1)
    norms = np.linalg.norm(each, axis=1) * of_others
    along = product / np.where(of_others > 0, of_others, 1.0)
    return PEvidence(np.asarray(times)[inside], product / np.where(norms > 0, norms, 1.0), along / np.sqrt(each.shape[1]))


def of_atria(average: AverageBeat, times: NDArray[np.float64], why: dict[str, list[str]]) -> dict[str, float]:
    """The columns of P and f waves."""
    mean = _straightened(average.beat[:, average.r + _WINDOW])
    row = {"p_amplitude": float(np.ptp(mean[[STORED.index(lead) for lead in ("I", "II", "V1")]], axis=-1).max())}
    row["p_to_r"] = _p_to_r(mean)
    row |= _f_waves(average, times)
    evidence = p_evidence(average, times)
    if evidence is None:
        why.setdefault("fewer than 3 beats with their P window inside the strip", []).extend(["p_coherence", "p_energy", "p_beats"])
        return row
    _, each = _windows(average, times)
    scatter = each.var(axis=0, ddof=1).mean()
    row["p_coherence"] = float(np.median(evidence.consistency))
    row["p_energy"] = float(np.sqrt(max(np.mean(each.mean(axis=0) ** 2) - scatter / len(each), 0.0)))
    row["p_beats"] = float(evidence.present.mean())
    return row


def _windows(average: AverageBeat, times: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which beats have their P window inside the strip, and those windows (beats, leads * samples): the average P and what is left over."""
    at = np.rint(times * RATE).astype(int)
    inside = at + _WINDOW[0] >= 0
    each = _straightened(average.rest[:, at[inside, None] + _WINDOW] + average.beat[:, None, average.r + _WINDOW])
    return inside, each.transpose(1, 0, 2).reshape(int(inside.sum()), -1)


def _straightened(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windows (..., samples) less their straight line: a P wave bends, the tail of a T wave hardly."""
    steps = np.linspace(-1, 1, windows.shape[-1])
    slope = (windows * steps).sum(axis=-1, keepdims=True) / (steps**2).sum()
    return windows - windows.mean(axis=-1, keepdims=True) - slope * steps


def _p_to_r(window: NDArray[np.float64]) -> float:
    size = np.sqrt((window**2).sum(axis=0))
    k = int(np.argmax(size[1:-1])) + 1  # not the ends, where a line through P leaves most over
    bend = size[k - 1] - 2 * size[k] + size[k + 1]
    shift = 0.5 * (size[k - 1] - size[k + 1]) / bend if bend < 0 else 0.0
    return float(-(_WINDOW[k] + np.clip(shift, -0.5, 0.5)) * 1000 / RATE)


def _f_waves(average: AverageBeat, times: NDArray[np.float64]) -> dict[str, float]:
    rest = average.rest[STORED.index("V1")]
    kept = np.ones(SAMPLES, dtype=bool)
    for peak in np.rint(times * RATE).astype(int):
        kept[max(peak - _QRS, 0) : peak + _QRS + 1] = False
    at = np.arange(SAMPLES)
    bridged = np.interp(at, at[kept], rest[kept])  # what beats differ by in their QRS is no f wave
    band = signal.sosfiltfilt(_F_BAND, bridged)[kept]
    return {"f_wave": float(np.sqrt(np.mean(rest[kept] ** 2))), "f_band": float(1000 * np.sqrt(np.mean(band**2)))}
