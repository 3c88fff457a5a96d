"""What a cardiologist would measure, as distributions: synthetic strips and recordings beside each other, by Wasserstein distance.

Most of MEASURES comes from generator.features; what is added here is defined in _OWN. One row a strip, NaN where undefined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import signal, stats

from generator.beats import r_peaks
from generator.features import UNITS, features
from generator.quality.resample import basic, percentile, weights
from generator.quality.result import RHYTHMS, Figure, Strips
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES

_OWN = {
    "p_share": ("1", "share of beats whose P window (260 to 70 ms before R, straight line removed) correlates with the others' mean by 0.5 or more"),
    "beat_correlation": ("1", "median over beats of the correlation of a beat (200 ms before R to 300 ms after, all leads) with the others' mean"),
    "detail": ("uV", "mean absolute second difference of the samples: notches, f waves, noise"),
}
_OF_FEATURES = ("rr_cv", "p_coherence", "qrs_width", "qtc", "axis", "f_band", "p_to_r", "r_transition")
MEASURES: dict[str, tuple[str, str]] = {name: UNITS[name] for name in _OF_FEATURES} | _OWN  # column: (unit, definition)
OF_RHYTHM = {
    "AF": ("rr_cv", "f_band", "p_coherence", "qrs_width", "qtc", "axis", "r_transition"),
    "NSR": ("rr_cv", "p_share", "p_to_r", "qrs_width", "qtc", "axis", "r_transition"),
}
FEWEST = 5  # strips with a value

_P_WINDOW = (-0.26, -0.07)
_P_LIKE = 0.5
_BEAT_WINDOW = (-0.20, 0.30)

Array = NDArray[np.float64]


def measured(counts: NDArray[np.integer]) -> pd.DataFrame:
    """One row a strip, the columns of MEASURES. counts: (n, 8, 1000). About 6 ms a strip."""
    own = pd.DataFrame([_row(strip) for strip in counts], columns=list(_OWN), dtype=float)
    return pd.concat([features(counts)[list(_OF_FEATURES)], own], axis=1)


def figures(part: str, names: dict[str, Sequence[str]], arms: dict[str, tuple[pd.DataFrame, Strips]], seed: np.random.SeedSequence) -> list[Figure]:
    """Wasserstein-1 distances (Villani 2009) of synthetic to real and, beside, of other recordings to real, in each measure's unit.

    arms: "real", "synthetic" and "beside", each `measured` with its strips. names: which measures of which rhythm. Angles are taken about the
    recordings' mean direction.
    """
    made = []
    for rhythm in RHYTHMS:
        for name in names.get(rhythm, ()):
            rng = np.random.default_rng(seed)
            values, patients = {}, {}
            for arm, (table, strips) in arms.items():
                member = (strips.rhythm == rhythm) & np.isfinite(table[name].to_numpy())
                values[arm], patients[arm] = table[name].to_numpy()[member], strips.patient[member]
            if name == "axis" and values["real"].size:
                middle = float(stats.circmean(values["real"], high=180, low=-180))
                values = {arm: (one - middle + 180) % 360 - 180 for arm, one in values.items()}
            sizes = {"n": values["synthetic"].size, "n_real": values["real"].size, "n_beside": values["beside"].size}
            found = [_apart(values["real"], patients["real"], values[arm], patients[arm], rng) for arm in ("synthetic", "beside")]
            shift = middle if name == "axis" and values["real"].size else 0.0
            medians = [float(np.median(values[arm])) + shift if values[arm].size else None for arm in ("synthetic", "real")]
            (value, interval, reason), (other, other_interval, other_reason) = found
            made.append(
                Figure(
                    part, name, rhythm, value, other, interval, other_interval, MEASURES[name][0], **sizes,
                    median=medians[0], median_real=medians[1], reason=reason, beside_reason=other_reason,
                )
            )  # fmt: skip
    return made


def detail_ratio(rhythm: str, arms: dict[str, tuple[pd.DataFrame, Strips]], seed: np.random.SeedSequence) -> Figure:
    """The median strip's detail as a share of the median recording's: 1 is alike, less is blurred, more is noisy."""
    rng = np.random.default_rng(seed)
    values, drawn = {}, {}
    for arm, (table, strips) in arms.items():
        member = strips.rhythm == rhythm
        values[arm] = table["detail"].to_numpy()[member]
        drawn[arm] = weights(strips.patient[member], rng) if member.any() else np.zeros((0, 0))
    sizes = {"n": values["synthetic"].size, "n_real": values["real"].size, "n_beside": values["beside"].size}
    found: list[tuple[float | None, tuple[float, float] | None, str | None]] = []
    for arm in ("synthetic", "beside"):
        few = min(values["real"].size, values[arm].size)
        if few < FEWEST:
            found.append((None, None, f"{few} strips of {rhythm}; {FEWEST} are needed"))
            continue
        whole = float(np.median(values[arm]) / np.median(values["real"]))
        each = _medians(values[arm], drawn[arm]) / _medians(values["real"], drawn["real"])
        found.append((whole, percentile(each), None))
    (value, interval, reason), (other, other_interval, other_reason) = found
    medians = [float(np.median(values[arm])) if values[arm].size else None for arm in ("synthetic", "real")]
    return Figure(
        "detail", "detail ratio", rhythm, value, other, interval, other_interval, "1", **sizes,
        median=medians[0], median_real=medians[1], reason=reason, beside_reason=other_reason,
    )  # fmt: skip


def _apart(
    real: Array, real_patients: NDArray[np.str_], other: Array, other_patients: NDArray[np.str_], rng: np.random.Generator
) -> tuple[float | None, tuple[float, float] | None, str | None]:
    if min(real.size, other.size) < FEWEST:
        return None, None, f"defined in {real.size} recordings and {other.size} strips; {FEWEST} of each are needed"
    value = float(stats.wasserstein_distance(other, real))
    pairs = zip(weights(other_patients, rng), weights(real_patients, rng), strict=True)
    each = np.array([stats.wasserstein_distance(other, real, of_other, of_real) for of_other, of_real in pairs])
    return value, basic(value, each, least=0.0), None


def _medians(values: Array, drawn: Array) -> Array:
    """(resamples,): weighted medians."""
    order = np.argsort(values)
    share = np.cumsum(drawn[:, order], axis=1)
    return np.asarray(values[order][(share >= share[:, -1:] / 2).argmax(axis=1)])


# ---- one strip ----


def _row(strip: NDArray[np.integer]) -> dict[str, float]:
    row = {"detail": float(np.abs(np.diff(strip.astype(np.float64), n=2, axis=-1)).mean() * MICROVOLTS_PER_COUNT)}
    times = r_peaks(strip)
    if times.size < 2:
        return row
    beats = _windows(strip, times, _BEAT_WINDOW)
    if len(beats) >= 3:
        row["beat_correlation"] = float(np.median(_with_others(beats - beats.mean(axis=-1, keepdims=True))))
    p_waves = _straight(_windows(strip, times, _P_WINDOW))
    if len(p_waves) >= 3:
        row["p_share"] = float((_with_others(p_waves) >= _P_LIKE).mean())
    return row


def _windows(strip: NDArray[np.integer], times: Array, window: tuple[float, float]) -> Array:
    """(beats, 8, taps): those beats whose window lies inside the strip, between samples by a line as R times are."""
    taps = np.arange(round(window[0] * RATE), round(window[1] * RATE) + 1)
    whole = np.floor(times * RATE).astype(int)
    inside = (whole + taps[0] >= 0) & (whole + taps[-1] + 1 < SAMPLES)
    part = (times * RATE - whole)[inside, None]
    at = whole[inside, None] + taps
    samples = strip.astype(np.float64)
    return np.asarray((samples[:, at] * (1 - part) + samples[:, at + 1] * part).transpose(1, 0, 2))


def _with_others(beats: Array) -> Array:
    """(beats,): each one's correlation with the mean of the others, over all leads at once."""
    flat = beats.reshape(len(beats), -1)
    others = (flat.sum(axis=0) - flat) / (len(flat) - 1)
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(others, axis=1)
    return np.asarray((flat * others).sum(axis=1) / np.where(norms > 0, norms, 1.0))


def _straight(windows: Array) -> Array:
    """Less their straight line: a P wave bends, the tail of a T wave hardly."""
    return np.asarray(signal.detrend(windows, axis=-1)) if windows.size else windows
