"""How much a strip departs from its average beat, as a few numbers: drawn from a model of recordings, and what was drawn is scaled to them.

Some recordings are clean and some are not: an electrode trembles, a chest lead drifts, QRS complexes swell with breathing. The network gives every
strip the same middling amount of each: over strips, the log of what its QRS complexes leave over has a standard deviation of 0.2, of recordings
0.6. It knows what such departures look like; how large they are is drawn here. Told as further input, it hardly listened within 2,400 iterations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from threadpoolctl import threadpool_limits

from generator.errors import GeneratorError
from generator.leads import STORED
from generator.sssd.average_beat import BEGINS_SECONDS, BIN_SECONDS, aligned, at_every_beat, averaged
from generator.sssd.rhythm import OFFSET_CHANNEL, track
from generator.strip import RATE, SAMPLES, band_passed

_QRS_SECONDS = (-0.06, 0.06)  # from R
_SHARED = 2  # patterns of QRS change that the beats of a strip share: gain and axis, with breathing
_LEAST = 1e-4  # mV, root mean square
_FACTORS = 6
_MOST_SD = 2.5  # drawn values stay within
_FEWEST = 10  # strips of a rhythm

_LOW_PASSES = [signal.butter(2, hz, fs=RATE, output="sos") for hz in (1.0, 15.0)]  # between: tremor, f waves, T waves that change; above: muscle
_BANDS = len(_LOW_PASSES) + 1  # outside QRS complexes
_WINDOW = np.arange(round(_QRS_SECONDS[0] * RATE), round(_QRS_SECONDS[1] * RATE) + 1)
_TAPER = 3  # samples on either side of a QRS complex over which its scale becomes that of the bands
_ROUNDS = 4  # of scaling leads and patterns of QRS complexes by turns: each undoes a little of the other
_WIDE = np.arange(_WINDOW[0] - _TAPER, _WINDOW[-1] + _TAPER + 1)
_HOLD = np.interp(_WIDE, [_WIDE[0] - 1, _WINDOW[0], _WINDOW[-1], _WIDE[-1] + 1], [0.0, 1.0, 1.0, 0.0])  # a complex's share of its scale
_MOST_UP = np.array([[3.0], [1.0], [1.0]])  # times that a band is scaled up by: a drift is smooth however large, other departures are not
_OWN = 0.5  # of what is wanted of a complex, at least, is not noise of electrodes
_BEYOND = 200  # samples on either side, so that filters settle
_LIMBS = np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])  # I and II from right arm, left arm, left leg
_OF_LEADS = np.block([[_LIMBS, np.zeros((2, 6))], [np.full((6, 3), -1 / 3), np.eye(6)]])  # (8, 9)
_FURTHEST = 10.0  # times, at most, that anything is scaled by
VALUES = len(STORED) * (_BANDS + 1) + 1  # of each lead three bands and the QRS complexes; what no shared pattern explains in those


def variation(strip: NDArray[np.floating], r_times: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """(VALUES,) how much a strip departs from its average beat; None with fewer than four whole QRS complexes.

    strip: (8, 1000) mV; r_times: seconds. Logs of root mean squares of what the average beat leaves over from 0.5 to 40 Hz:
    eight leads below 1 Hz, eight from 1 to 15 Hz, eight above, all outside QRS complexes; eight within; and what is left of the complexes, in all
    leads, without the two patterns over beats that explain most of it.
    """
    parts = _Parts.of(strip, r_times)
    return None if parts is None else parts.values()


def varied(strip: NDArray[np.floating], r_times: NDArray[np.floating], model: VariationModel, generator: np.random.Generator) -> NDArray[np.float64]:
    """(8, 1000) mV, a drawn strip with its departures as large as the model draws them; with too few beats as it is. r_times: as asked for."""
    parts = _Parts.of(strip, aligned(strip, r_times))
    return np.asarray(strip, dtype=np.float64) if parts is None else parts.changed(model.draw(generator, parts.qrs_size()), generator)


@dataclass(frozen=True)
class _Parts:
    """A strip, taken apart: average beat, and what that leaves over by band and at QRS complexes."""

    beat: NDArray[np.float32]  # (8, BINS)
    unscaled: NDArray[np.float64]  # (8, 1000) the beat at every beat's place, and what the canonical form filters away
    bands: NDArray[np.float64]  # (_BANDS, 8, 1000)
    places: NDArray[np.int64]  # (beats, window with tapers) samples
    complexes: NDArray[np.float64]  # (8, beats, window with tapers) without what lies below 1 Hz: a drift goes through a complex as it comes

    @classmethod
    def of(cls, strip: NDArray[np.floating], r_times: NDArray[np.floating]) -> _Parts | None:
        beats = np.round(np.asarray(r_times) * RATE).astype(int)
        beats = beats[(beats + _WIDE[0] >= 0) & (beats + _WIDE[-1] < SAMPLES)]
        if beats.size < _SHARED + 2:
            return None
        offset = track(r_times)[OFFSET_CHANNEL]
        beat = averaged(strip, offset)
        average = at_every_beat(beat, offset).astype(np.float64)
        rest = band_passed(strip - average)
        bands = _in_bands(rest)
        places = beats[:, None] + _WIDE
        return cls(beat, strip - rest, bands, places, (rest - bands[0])[:, places])

    def values(self) -> NDArray[np.float64]:
        return np.log(np.maximum(self.sizes(), _LEAST))

    def sizes(self) -> NDArray[np.float64]:
        """(VALUES,) root mean squares."""
        outside = np.ones(SAMPLES, dtype=bool)
        outside[_within(self.places).ravel()] = False
        unshared = self.complexes - _shared(self.complexes)
        return np.concatenate([_rms(self.bands[:, :, outside], 2).ravel(), _rms(_within(self.complexes), (1, 2)), [_size(unshared)]])

    def qrs_size(self) -> NDArray[np.float64]:
        """(8,) log of the root mean square of the average beat's QRS complex in each lead."""
        first, last = (round((seconds - BEGINS_SECONDS) / BIN_SECONDS) for seconds in _QRS_SECONDS)
        return np.log(np.maximum(_rms(self.beat[:, first : last + 1], 1), _LEAST))

    def changed(self, values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        """(8, 1000) mV, the strip put together again, its departures about as large as `values` (VALUES,) say.

        What is too large is scaled down, lead by lead. Too little drift is scaled up, too little above 15 Hz is made up for by muscle noise, and too
        little between is left: scaled up, the network's departures are T waves with kinks and P waves where none are, and noise there hides P waves.
        Complexes are given what muscle noise does not bring.
        """
        of_bands, of_leads, of_unshared = np.split(np.exp(values), [len(STORED) * _BANDS, -1])
        wanted, found = of_bands.reshape(_BANDS, -1), self.sizes()[: of_bands.size].reshape(_BANDS, -1)
        by = np.minimum(_factor(wanted, found), _MOST_UP)
        drift, *moving = by[..., None] * self.bands
        rest = np.sum(moving, axis=0)
        missing = np.maximum(wanted[-1] ** 2 - (by[-1] * found[-1]) ** 2, 0.0)
        noise = electrode_noise(missing, generator)
        brought = np.mean(noise**2, axis=1)  # to each lead's complexes
        complexes = self.complexes
        for _ in range(_ROUNDS):
            of_its_own = np.sqrt(np.maximum(of_leads**2 - brought, (_OWN * of_leads) ** 2))
            complexes = complexes * _factor(of_its_own, _rms(_within(complexes), (1, 2)))[:, None, None]
            shared = _shared(complexes)
            own_unshared = np.sqrt(np.maximum(of_unshared**2 - np.mean(brought), (_OWN * of_unshared) ** 2))
            complexes = shared + (complexes - shared) * np.minimum(_factor(own_unshared, _size(complexes - shared)), 1.0)
        for beat, place in enumerate(self.places):
            rest[:, place] += _HOLD * (complexes[:, beat] - rest[:, place])
        return np.asarray(self.unscaled + drift + rest + noise)


def electrode_noise(powers: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """(8, 1000) mV: muscle noise above 15 Hz at nine electrodes, as the leads see it, with about these mean squares, (8,), in the canonical band.

    Each electrode has its own noise, power falling with frequency as 1/f up to 20 Hz and faster above, as in PTB-XL's noisiest strips; I, II and
    the chest leads are differences (I = LA - RA, II = LL - RA, V = electrode - (RA + LA + LL) / 3), so that what limb leads share, they share.
    How much of I and II comes from the right arm is chosen at random for a strip.
    """
    share = generator.uniform()
    white = generator.normal(size=(len(_OF_LEADS[0]), SAMPLES + 2 * _BEYOND))
    hz = np.fft.rfftfreq(white.shape[1], 1 / RATE)
    coloured = np.fft.irfft(np.fft.rfft(white) * np.sqrt(1 / (np.maximum(hz, 0.2) * (1 + (hz / 20) ** 2))), white.shape[1])
    kept, left = (_in_bands(one)[-1, :, _BEYOND:-_BEYOND] for one in (coloured, band_passed(coloured)))
    right = share * min(powers[0], powers[1])
    left_arm, leg = powers[0] - right, powers[1] - right
    chest = np.maximum(powers[2:] - (right + left_arm + leg) / 9, 0.0)
    of_electrodes = np.sqrt([right, left_arm, leg, *chest]) / _rms(left, 1)
    return np.asarray(_OF_LEADS @ (of_electrodes[:, None] * kept))


def _in_bands(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(_BANDS, ..., samples), which add up to x."""
    below = [signal.sosfiltfilt(one, x, axis=-1) for one in _LOW_PASSES]
    return np.diff(np.stack([np.zeros_like(x), *below, x]), axis=0)


def _factor(wanted: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(wanted / np.maximum(found, _LEAST), 1 / _FURTHEST, _FURTHEST)


def _shared(complexes: NDArray[np.float64]) -> NDArray[np.float64]:
    """What two patterns over beats explain of (8, beats, window with tapers): the two that explain most within the window."""
    over_beats = np.linalg.svd(_within(complexes).transpose(1, 0, 2).reshape(complexes.shape[1], -1), full_matrices=False)[0][:, :_SHARED]
    return np.einsum("bp,cp,lcw->lbw", over_beats, over_beats, complexes)


def _size(unshared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square, of as many beats as are left when two patterns are gone."""
    beats = unshared.shape[1]
    return _rms(_within(unshared), (0, 1, 2)) * math.sqrt(beats / (beats - _SHARED))


def _within(x: NDArray[Any]) -> NDArray[Any]:
    return x[..., _TAPER:-_TAPER]


@dataclass(frozen=True)
class VariationModel:
    """How the variation of one rhythm's strips is drawn: linear in the size of QRS complexes, and normal around that by a few factors."""

    mean: tuple[float, ...]  # (VALUES,) where every QRS size is 0
    slope: tuple[tuple[float, ...], ...]  # (VALUES, 8)
    factors: tuple[tuple[float, ...], ...]  # (_FACTORS, VALUES)
    rest: tuple[float, ...]  # (VALUES,) standard deviation that no factor explains

    def __post_init__(self) -> None:
        shapes = {name: np.shape(getattr(self, name)) for name in ("mean", "slope", "factors", "rest")}
        n = VALUES
        if shapes != {"mean": (n,), "slope": (n, len(STORED)), "factors": (_FACTORS, n), "rest": (n,)}:
            raise GeneratorError(f"A variation model has other shapes than {n} values, {len(STORED)} leads and {_FACTORS} factors: {shapes}.")

    def draw(self, generator: np.random.Generator, qrs_size: NDArray[np.floating]) -> NDArray[np.float64]:
        """(VALUES,) for a strip with QRS complexes of that size, (8,) logs of root mean squares."""
        factors, rest = np.array(self.factors), np.array(self.rest)
        off = generator.normal(size=len(factors)) @ factors + rest * generator.normal(size=rest.size)
        most = _MOST_SD * np.sqrt(np.sum(factors**2, axis=0) + rest**2)
        return np.array(self.mean) + np.array(self.slope) @ qrs_size + np.clip(off, -most, most)

    def as_dict(self) -> dict[str, object]:
        return {field.name: np.array(getattr(self, field.name)).tolist() for field in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VariationModel:
        """Raises GeneratorError for missing or unknown names and for wrong shapes."""
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise GeneratorError(f"A variation model has the fields {', '.join(sorted(known))}, not {', '.join(sorted(values))}.")
        return cls(**{name: _tuples(value) for name, value in values.items()})


def fit(strips: Sequence[NDArray[np.floating]], r_times: Sequence[NDArray[np.floating]]) -> VariationModel:
    """The model of one rhythm from its strips (8, 1000) in mV and their R times (s); those with too few beats do not count.

    GeneratorError with fewer than ten strips.
    """
    from sklearn.decomposition import FactorAnalysis  # who only reads a checkpoint's configuration, such as a screen, does without

    parts = [_Parts.of(strip, times) for strip, times in zip(strips, r_times, strict=True)]
    whole = [one for one in parts if one is not None]
    if len(whole) < _FEWEST:
        raise GeneratorError(f"Only {len(whole)} strips have four whole QRS complexes: to learn how they vary takes ten of each rhythm.")
    values = _without_outliers(np.array([one.values() for one in whole]))
    known = np.column_stack([np.ones(len(whole)), np.array([one.qrs_size() for one in whole])])
    with threadpool_limits(1, user_api="blas"):  # the same numbers on any machine, as far as that goes
        of_size = np.linalg.lstsq(known, values, rcond=None)[0]  # (1 + 8, VALUES)
        analysis = FactorAnalysis(_FACTORS, svd_method="lapack").fit(values - known @ of_size)
    return VariationModel(_rounded(of_size[0]), _rounded(of_size[1:].T), _rounded(analysis.components_), _rounded(np.sqrt(analysis.noise_variance_)))


def _without_outliers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(strips, VALUES) held within 2.5 robust standard deviations of the median: an ectopic beat makes QRS complexes differ as no scale does."""
    middle = np.median(values, axis=0)
    most = _MOST_SD * 1.4826 * np.median(np.abs(values - middle), axis=0)
    return np.clip(values, middle - most, middle + most)


def _rms(x: NDArray[np.floating], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=axis)))


def _rounded(values: NDArray[np.floating]) -> Any:
    return _tuples(np.round(values, 4).tolist())


def _tuples(values: Any) -> Any:
    return tuple(map(_tuples, values)) if isinstance(values, list) else float(values)
