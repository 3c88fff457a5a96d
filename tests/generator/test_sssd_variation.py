"""How much a strip departs from its average beat is measured lead by lead and band by band, learned from recordings, and drawn for each strip."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from generator.errors import GeneratorError
from generator.request import DrawRequest
from generator.sssd import draw
from generator.sssd.average_beat import averaged
from generator.sssd.config import read_config
from generator.sssd.rhythm import OFFSET_CHANNEL, track
from generator.sssd.variation import VALUES, VariationModel, electrode_noise, fit, variation, varied
from generator.strip import band_passed
from tests.generator.test_sssd_average_beat import SMALL, write_checkpoint
from tests.generator.test_sssd_draw import CONFIG

R_TIMES = 0.4 + 0.8 * np.arange(12)
T = np.arange(1000) / 100
DRIFT, MIDDLE, MUSCLE, COMPLEXES = (slice(first, first + 8) for first in (0, 8, 16, 24))
UNSHARED = 32


def _beats(size: NDArray[np.floating] | float = 1.0) -> NDArray[np.float64]:
    """(8, 1000) a QRS complex at each R time, `size` times as high, (8, beats) or less, with a wide wave after it."""
    sizes = np.pad(np.broadcast_to(np.asarray(size, dtype=float), (8, len(R_TIMES))), ((0, 0), (2, 2)), mode="edge")
    since = T[:, None] - np.concatenate([[-1.2, -0.4], R_TIMES, [10.0, 10.8]])
    shape = np.exp(-0.5 * (since / 0.015) ** 2) + 0.2 * np.exp(-0.5 * ((since - 0.25) / 0.06) ** 2)
    return sizes @ shape.T


def _noise(seed: int = 0, sd: float = 0.05) -> NDArray[np.float64]:
    return sd * np.random.default_rng(seed).normal(size=(8, 1000))


def _told(strip: NDArray[np.float64]) -> NDArray[np.float64]:
    values = variation(strip, R_TIMES)
    assert values is not None
    assert values.shape == (VALUES,)
    return values


def test_noise_of_one_lead_is_told_of_that_lead() -> None:
    quiet, loud = _beats() + _noise(), _beats() + _noise() * np.array([1, 1, 4, 1, 1, 1, 1, 1])[:, None]
    more = _told(loud) - _told(quiet)
    assert more[[16 + 2, 8 + 2, 2]] == pytest.approx(np.log(4), abs=0.05)
    others = np.delete(np.arange(UNSHARED), [2, 10, 18, 26])
    assert more[others] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("hz", "band"), [(0.7, DRIFT), (5.4, MIDDLE), (25.7, MUSCLE)])
def test_what_disturbs_is_told_by_its_band(hz: float, band: slice) -> None:
    """A drifting electrode, a tremor, muscle: each mostly in its own eight values."""
    quiet, told = _told(_beats() + _noise(sd=0.01)), _told(_beats() + _noise(sd=0.01) + 0.3 * np.sin(2 * np.pi * hz * T + 1))
    assert (told - quiet)[band].min() > 2
    assert all(told[one].max() < told[band].min() - 0.7 for one in (DRIFT, MIDDLE, MUSCLE) if one != band)


def test_breathing_is_a_pattern_that_beats_share_and_redrawn_complexes_are_not() -> None:
    steady = _beats() + _noise(sd=0.01)
    swell = 0.15 * np.sin(2 * np.pi * 0.25 * R_TIMES)
    breathing = _told(_beats(1 + np.outer(np.linspace(-1, 1, 8), swell)) + _noise(sd=0.01))
    generator = np.random.default_rng(1)
    since = T[:, None] - R_TIMES
    redrawn = sum(
        (0.06 * generator.normal(size=(8, len(R_TIMES)))) @ np.exp(-0.5 * ((since - at) / 0.01) ** 2).T for at in (-0.05, -0.02, 0.01, 0.04)
    )
    anew = _told(steady + redrawn)
    before = _told(steady)
    for values in (breathing, anew):
        assert (values - before)[[24, 31]].min() > 0.7
    assert breathing[UNSHARED] - before[UNSHARED] < 0.35
    assert anew[UNSHARED] - before[UNSHARED] > 1.4


@pytest.fixture(scope="module")
def strips() -> list[NDArray[np.float64]]:
    """Patients with QRS complexes of their own size, more or less noise in all leads, breathing in proportion to the complex."""
    made = []
    for i in range(80):
        generator = np.random.default_rng(i)
        size = np.exp(0.5 * generator.normal(size=(8, 1)))
        swell = 1 + 0.1 * np.sin(2 * np.pi * 0.25 * R_TIMES + generator.uniform(0, 6))
        made.append(_beats(size * swell) + _noise(i, sd=0.02 * np.exp(0.6 * generator.normal())))
    return made


def test_drawn_values_are_as_large_and_as_different_as_those_of_recordings(strips: list[NDArray[np.float64]]) -> None:
    model = fit(strips, [R_TIMES] * len(strips))
    recorded = np.array([_told(strip) for strip in strips])
    generator = np.random.default_rng(5)
    size = np.random.default_rng(4).normal(np.log(0.5), 0.5, size=(400, 8))
    drawn = np.array([model.draw(generator, one) for one in size])
    assert drawn[:, MUSCLE].mean(axis=0) == pytest.approx(recorded[:, MUSCLE].mean(axis=0), abs=0.35)
    assert drawn[:, MUSCLE].std(axis=0) == pytest.approx(recorded[:, MUSCLE].std(axis=0), rel=0.3)
    assert np.corrcoef(drawn[:, 16], drawn[:, 20])[0, 1] > 0.8  # noise is of the whole strip here
    assert np.corrcoef(drawn[:, 27], size[:, 3])[0, 1] > 0.5  # a small complex swells by little


@pytest.mark.parametrize("seed", range(3))
def test_what_is_too_large_is_scaled_down_lead_by_lead(strips: list[NDArray[np.float64]], seed: int) -> None:
    """And the average beat stays."""
    strip = strips[seed]
    wanted = _told(strip) - np.random.default_rng(seed).uniform(0.2, 1.0, size=VALUES)
    made = varied(strip, R_TIMES, _Always(wanted), np.random.default_rng(0))
    found = _told(made)
    assert found[COMPLEXES] == pytest.approx(wanted[COMPLEXES], abs=0.1)
    assert found[MUSCLE] == pytest.approx(wanted[MUSCLE], abs=0.2)
    assert np.abs(_beat(made) - _beat(strip)).max() < 0.03 * np.abs(_beat(strip)).max()


def test_what_is_missing_is_noise_of_electrodes(strips: list[NDArray[np.float64]]) -> None:
    strip = strips[0]
    wanted = _told(strip)
    wanted[[16, 17, 20]] += 2.0  # muscle in I, II and V3
    found = _told(varied(strip, R_TIMES, _Always(wanted), np.random.default_rng(0)))
    assert found[[16, 17, 20]] == pytest.approx(wanted[[16, 17, 20]], abs=0.35)  # some of it falls below 15 Hz
    assert found[[18, 19]].max() < found[[16, 17]].min() - 0.5  # the central terminal brings a third of the limbs' noise to the chest


@given(seed=st.integers(0, 2**31))
def test_limb_leads_share_what_an_electrode_brings(seed: int) -> None:
    """Leads have the mean squares asked for, III as much as the right arm leaves: between none and twice as much."""
    noise = electrode_noise(np.full(8, 0.04), np.random.default_rng(seed))
    assert np.mean(band_passed(noise) ** 2, axis=1) == pytest.approx(0.04, rel=0.25)
    assert np.mean(band_passed(noise[1] - noise[0]) ** 2) < 0.09


def test_the_same_seed_varies_a_strip_alike_and_few_beats_leave_it_as_it_is(strips: list[NDArray[np.float64]]) -> None:
    model = fit(strips, [R_TIMES] * len(strips))
    one, again, other = (varied(strips[0], R_TIMES, model, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert variation(strips[0], R_TIMES[:3]) is None
    assert np.array_equal(varied(strips[0], R_TIMES[:3], model, np.random.default_rng(1)), strips[0])


def test_ectopic_beats_move_the_model_little(strips: list[NDArray[np.float64]]) -> None:
    """Some recordings of sinus rhythm have one; no scale makes one."""
    ectopic = np.zeros((8, len(R_TIMES)))
    ectopic[:, 5] = 5.0
    some = [strip + _beats(ectopic) if i < 4 else strip for i, strip in enumerate(strips)]
    generator = np.random.default_rng(0)
    sizes = np.array([_log_size(strip) for strip in strips])
    plain, with_them = (
        np.array([model.draw(generator, size) for size in sizes]).mean(axis=0)
        for model in (fit(made, [R_TIMES] * len(made)) for made in (strips, some))
    )
    assert np.abs(plain - with_them)[COMPLEXES].max() < 0.3


def _log_size(strip: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.sqrt(np.mean(_beat(strip)[:, 24:37] ** 2, axis=1))))


def test_few_strips_are_refused(strips: list[NDArray[np.float64]]) -> None:
    with pytest.raises(GeneratorError, match="Only 9 strips"):
        fit(strips[:10], [*[R_TIMES] * 9, R_TIMES[:2]])


def test_a_checkpoint_keeps_how_strips_vary_and_draws_it_strip_by_strip(strips: list[NDArray[np.float64]], tmp_path: Path) -> None:
    model = fit(strips, [R_TIMES] * len(strips))
    louder = dataclasses.replace(model, mean=tuple(value + 2 for value in model.mean))
    folder = write_checkpoint(tmp_path / "one", dataclasses.replace(SMALL, variation={"NSR": model, "AF": louder}))
    assert read_config(folder).variation == {"NSR": model, "AF": louder}
    other = write_checkpoint(tmp_path / "other", dataclasses.replace(SMALL, variation={"NSR": louder, "AF": model}))
    request = DrawRequest("NSR", 3, 5, steps=4)
    drawn = draw.draw(request, checkpoint=folder, quality_control=False)
    (alone,), (changed,) = (draw.draw(request, first=2, checkpoint=one, quality_control=False) for one in (folder, other))
    assert drawn[2].counts is not None
    assert np.array_equal(drawn[2].counts, np.array(alone.counts))
    assert not np.array_equal(drawn[2].counts, np.array(changed.counts))


def test_what_does_not_fit_is_refused(strips: list[NDArray[np.float64]], tmp_path: Path) -> None:
    model = fit(strips, [R_TIMES] * len(strips))
    with pytest.raises(GeneratorError, match="rhythms of the labels"):
        dataclasses.replace(SMALL, variation={"VT": model})
    with pytest.raises(GeneratorError, match="needs the field beat"):
        dataclasses.replace(CONFIG, variation={"NSR": model})
    with pytest.raises(GeneratorError, match="other shapes"):
        dataclasses.replace(model, rest=(1.0,))
    write_checkpoint(tmp_path, dataclasses.replace(SMALL, variation={"NSR": model, "AF": model}))
    values = json.loads((tmp_path / "config.json").read_text())
    del values["variation"]["NSR"]["rest"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(GeneratorError, match="has the fields"):
        read_config(tmp_path)


class _Always(VariationModel):
    """Draws the same values whatever the strip is."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        object.__setattr__(self, "mean", tuple(values))

    def draw(self, generator: np.random.Generator, qrs_size: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.array(self.mean)


def _beat(strip: NDArray[np.float64]) -> NDArray[np.float32]:
    return averaged(strip, track(R_TIMES)[OFFSET_CHANNEL])
