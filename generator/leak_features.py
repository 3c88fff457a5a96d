"""What the leak gate sees of a strip or a file: its format and the recording chain, nothing of the heart (no RR interval, no wave's shape)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from generator.errors import GeneratorError
from generator.leads import LEADS, STORED, twelve_leads
from generator.strip import MICROVOLTS_PER_COUNT, RATE

FEATURES = {  # name: what is measured, in one strip (its median over leads)
    "quantisation step": "smallest difference between two values of a lead, in microvolts",
    "distinct values": "distinct values within the middle half of a lead's samples, per 5 microvolts of that half's span",
    "low bit": "share of odd values, as stored",
    "offset": "median of a lead, absolute, in microvolts",
    "limb-lead residual": "standard deviation of II - I - III and of Goldberger's relations, in microvolts",
    "sample count": "samples of a lead",
    "sampling rate": "samples a second",
    "lead layout": "leads that are not in the place that I, II, III, aVR, aVL, aVF, V1 to V6 gives them",
    "edges": "steepest step in the first and last 50 ms against the steepest inside, logarithm",
    "drift below 0.5 Hz": "amplitude of what is slower than 0.5 Hz but no offset, logarithm",
    "noise floor": "power above 30 Hz between beats: in the third of 100 ms windows that move least below 30 Hz, logarithm",
    "power above 35 Hz": "share of the power between 5 Hz and the Nyquist frequency, logarithm",
    "power below 0.7 Hz": "share of the power up to 5 Hz, logarithm",
}
# What the canonical form makes equal. One of these that tells the arms apart refuses them alone.
FORMAT = tuple(FEATURES)[:8]
AMPLITUDE = "amplitude scale"  # apart from the others: it may be the heart's
AMPLITUDE_MEANS = "span of the middle 99 % of a lead's samples, in microvolts"

FEWEST_SECONDS = 2.0
_NOISE_HZ = 30.0
_FLOOR = 1e-3  # counts squared: what is added before a logarithm


class LeakError(GeneratorError):
    """Arms that the gate cannot look at: too few strips, or arrays of another shape."""


@dataclass(frozen=True)
class Signals:
    """A strip or a file before anything is done to it."""

    microvolts: NDArray[np.float64]  # (leads, samples)
    stored: NDArray[np.integer]  # the same as the whole numbers that are stored
    leads: tuple[str, ...]  # standard names, a row each; "" for what is no lead of LEADS
    rate: float  # samples/s
    samples: int  # of a lead in the file: more than a row has where a long file was read around its middle


@dataclass(frozen=True)
class Measured:
    """An arm as the gate sees it: features (n, FEATURES) in their order, amplitude (n,) in microvolts."""

    features: NDArray[np.float64]
    amplitude: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, chosen: NDArray[np.integer] | slice) -> Measured:
        return Measured(self.features[chosen], self.amplitude[chosen])


def measure(arm: Iterable[Signals]) -> Measured:
    """Raises LeakError for signals shorter than 2 s or without a lead that is known."""
    rows = [(_features(one), _amplitude(_known(one)[0])) for one in arm]
    return Measured(np.array([row for row, _ in rows]).reshape(-1, len(FEATURES)), np.array([amplitude for _, amplitude in rows]))


def of_counts(strips: NDArray[np.number], name: str) -> list[Signals]:
    """Strips (n, 8 or 12, samples) in counts of 5 microvolts at 100 samples/s, leads in the order of STORED or LEADS. Raises LeakError."""
    if strips.ndim != 3 or strips.shape[1] not in (8, 12):
        raise LeakError(f"The {name} arm has shape {strips.shape}. The leak gate takes strips (n, 8 or 12 leads, samples).")
    leads = LEADS if strips.shape[1] == len(LEADS) else STORED
    counts = np.asarray(strips, dtype=np.float64)
    return [Signals(one * MICROVOLTS_PER_COUNT, np.rint(one).astype(np.int64), leads, RATE, one.shape[1]) for one in counts]


def _known(one: Signals) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """The eight leads that are stored, or what there is of the twelve: microvolts and stored numbers."""
    wanted = STORED if set(STORED) <= set(one.leads) else LEADS
    rows = [one.leads.index(lead) for lead in wanted if lead in one.leads]
    if not rows or one.microvolts.shape[1] < FEWEST_SECONDS * one.rate:
        what = f"{len(rows)} leads that are known, {one.microvolts.shape[1] / one.rate:.1f} s"
        raise LeakError(f"A strip has {what}. The leak gate needs a lead of {', '.join(LEADS)} and {FEWEST_SECONDS:g} s. Leave the strip out.")
    return one.microvolts[rows], one.stored[rows]


def _features(one: Signals) -> list[float]:
    microvolts, stored = _known(one)
    counts = microvolts / MICROVOLTS_PER_COUNT
    power, hertz = _spectrum(counts, one.rate)
    return [
        float(np.median([_step(lead) for lead in microvolts])),
        float(np.median([_distinct(lead) for lead in counts])),
        float(np.mean(stored % 2)),
        float(np.median(np.abs(np.median(microvolts, axis=-1)))),
        _limb_residual(one),
        float(one.samples),
        float(one.rate),
        float(_out_of_place(one.leads)),
        _edges(counts, one.rate),
        _drift(power, hertz, counts.shape[1]),
        _noise_floor(counts, one.rate),
        _share(power, hertz, (35.0, one.rate / 2), (5.0, one.rate / 2)),
        _share(power, hertz, (0.0, 0.7), (0.0, 5.0)),
    ]


def _amplitude(microvolts: NDArray[np.float64]) -> float:
    low, high = np.percentile(microvolts, [0.5, 99.5], axis=-1)
    return float(np.median(high - low))


def _step(lead: NDArray[np.float64]) -> float:
    values = np.unique(np.round(lead, 3))
    return float(np.round(np.min(np.diff(values)), 3)) if len(values) > 1 else 0.0


def _distinct(lead: NDArray[np.float64]) -> float:
    low, high = np.percentile(lead, [25, 75])
    inside = lead[(lead >= low) & (lead <= high)]
    return float(len(np.unique(np.round(inside, 3))) / max(high - low + 1, 1))


def _limb_residual(one: Signals) -> float:
    """0 where the file has not I and II and one of the four that follow from them. Offsets are no matter of it: they are a feature of their own."""
    row = {lead: i for i, lead in enumerate(one.leads)}
    computed = [i for i, lead in enumerate(LEADS) if lead not in STORED and lead in row]
    if not {"I", "II"} <= row.keys() or not computed:
        return 0.0
    limb = one.microvolts[[row["I"], row["II"]]]
    expected = twelve_leads(np.concatenate([limb, np.zeros((6, limb.shape[1]))]))
    error = one.microvolts[[row[LEADS[i]] for i in computed]] - expected[computed]
    return float(np.round(np.sqrt(np.mean((error - error.mean(axis=-1, keepdims=True)) ** 2)), 6))


def _out_of_place(leads: tuple[str, ...]) -> int:
    order = STORED if len(leads) == len(STORED) else LEADS
    return sum(i >= len(leads) or leads[i] != lead for i, lead in enumerate(order))


def _edges(counts: NDArray[np.float64], rate: float) -> float:
    steps, width = np.abs(np.diff(counts, axis=-1)), max(round(0.05 * rate), 1)
    ends = np.maximum(steps[:, :width].max(axis=-1), steps[:, -width:].max(axis=-1))
    return float(np.median(np.log((ends + 1) / (steps[:, width:-width].max(axis=-1) + 1))))


def _noise_floor(counts: NDArray[np.float64], rate: float) -> float:
    """Where the heart is silent all leads are, whatever they weigh; that is looked for below the band in which noise is measured."""
    if rate <= 2 * _NOISE_HZ:
        return float(np.log(_FLOOR))
    fast = signal.sosfiltfilt(_high_pass(rate), counts, axis=-1)
    moved = np.diff(counts - fast, axis=-1, prepend=(counts - fast)[:, :1]) ** 2
    moved = (moved / (moved.mean(axis=-1, keepdims=True) + _FLOOR)).mean(axis=0, keepdims=True)
    width = round(rate / 10)
    movement, power = (one[:, : one.shape[1] // width * width].reshape(len(one), -1, width).mean(axis=-1) for one in (moved, fast**2))
    quiet = movement[0] <= np.quantile(movement[0], 1 / 3)
    return float(np.median(np.log(np.median(power[:, quiet], axis=-1) + _FLOOR)))


@lru_cache(maxsize=32)
def _high_pass(rate: float) -> NDArray[np.float64]:
    return np.asarray(signal.butter(4, _NOISE_HZ, btype="highpass", fs=rate, output="sos"))


def _spectrum(counts: NDArray[np.float64], rate: float) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    window = signal.windows.hann(counts.shape[-1], sym=False)
    power = np.abs(np.fft.rfft((counts - counts.mean(axis=-1, keepdims=True)) * window, axis=-1)) ** 2
    return power, np.fft.rfftfreq(counts.shape[-1], 1 / rate)


def _drift(power: NDArray[np.float64], hertz: NDArray[np.floating], samples: int) -> float:
    """From the root mean square of the band: twice the power over samples^2, and over 3/8, the mean square of Hann's window."""
    slow = power[:, (hertz > 0) & (hertz < 0.5)].sum(axis=-1) * 2 / (samples**2 * 3 / 8)
    return float(np.median(np.log(slow + _FLOOR))) / 2


def _share(power: NDArray[np.float64], hertz: NDArray[np.floating], band: tuple[float, float], of: tuple[float, float]) -> float:
    inside, whole = ((hertz >= low) & (hertz <= high) for low, high in (band, of))
    return float(np.median(np.log((power[:, inside].sum(axis=-1) + _FLOOR) / (power[:, whole].sum(axis=-1) + _FLOOR))))
