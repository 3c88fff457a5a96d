"""The rhythm track says where beats are; RR models give back what they were fitted to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.errors import GeneratorError
from generator.sssd.rhythm import OFFSET_CHANNEL, TRACK_CHANNELS, RRModel, fit, track

NSR = RRModel(math.log(0.85), 0.15, math.log(0.01), 0.4, math.log(0.02), 0.5)
AF = RRModel(math.log(0.7), 0.2, math.log(0.2), 0.3, -20.0, 0.0)


@given(st.lists(st.floats(0.3, 2.0), min_size=3, max_size=40), st.floats(0, 1))
def test_tracks_are_finite_and_in_range(rr: list[float], first: float) -> None:
    times = first + np.cumsum(rr)
    channels = track(times[times < 10])
    assert channels.shape == (TRACK_CHANNELS, 1000)
    assert np.isfinite(channels).all()
    assert np.abs(channels[:2]).max() <= 1 + 1e-6


def test_the_offset_is_zero_at_each_beat_and_negative_before_it() -> None:
    times = np.arange(0.5, 10, 0.8)
    channels = track(times)
    for time in times:
        at = round(time * 100)
        assert abs(channels[OFFSET_CHANNEL, at]) < 1e-6
        assert channels[OFFSET_CHANNEL, at - 15] == pytest.approx(-0.15, abs=1e-5)
        assert channels[OFFSET_CHANNEL, at + 40] == pytest.approx(0.40, abs=1e-5)
        assert channels[2, at] == pytest.approx(1)  # the bump


def test_without_beats_there_is_no_track() -> None:
    assert not track(np.array([])).any()
    assert not track(np.array([4.2])).any()


@pytest.mark.parametrize(("model", "breathes"), [(NSR, True), (AF, False)])
def test_a_fitted_model_is_the_one_that_drew(model: RRModel, breathes: bool) -> None:
    generator = np.random.default_rng(0)
    fitted = fit([model.draw(generator) for _ in range(600)], breathes=breathes)
    assert fitted.log_mean == pytest.approx(model.log_mean, abs=0.03)
    assert fitted.log_mean_sd == pytest.approx(model.log_mean_sd, rel=0.15)
    assert math.exp(fitted.log_jitter) == pytest.approx(math.exp(model.log_jitter), rel=0.2)


def test_sinus_rhythm_is_regular_and_fibrillation_is_not() -> None:
    generator = np.random.default_rng(1)

    def variation(model: RRModel) -> float:
        return float(np.median([np.std(rr) / np.mean(rr) for rr in (np.diff(model.draw(generator)) for _ in range(100))]))

    assert variation(NSR) < 0.05
    assert variation(AF) > 0.12


@pytest.mark.parametrize("heart_rate", [45.0, 75.0, 140.0])
def test_a_chosen_heart_rate_is_kept(heart_rate: float) -> None:
    generator = np.random.default_rng(2)
    rates = [60 / np.mean(np.diff(NSR.draw(generator, heart_rate))) for _ in range(50)]
    assert np.median(rates) == pytest.approx(heart_rate, rel=0.02)


def test_impossible_heart_rates_are_refused() -> None:
    with pytest.raises(GeneratorError, match="between 30 and 200"):
        NSR.draw(np.random.default_rng(0), 500)


def test_models_survive_json_and_refuse_strangers() -> None:
    assert RRModel.from_dict(NSR.as_dict()) == NSR
    with pytest.raises(GeneratorError, match="fields"):
        RRModel.from_dict({"mean": 1})


def test_too_few_strips_are_refused() -> None:
    with pytest.raises(GeneratorError, match="at least ten"):
        fit([np.arange(0, 10, 0.8)] * 3, breathes=True)


@given(seed=st.integers(0, 200), margin=st.sampled_from([0, 8, 40]))
def test_a_margin_continues_the_track_on_either_side(seed: int, margin: int) -> None:
    times = RRModel(-0.16, 0.1, -3.0, 0.2, -4.0, 0.2).draw(np.random.default_rng(seed), margin=margin / 100)
    assert -margin / 100 <= times.min()
    assert times.max() < 10 + margin / 100
    wide = track(times, margin)
    assert wide.shape == (TRACK_CHANNELS, 1000 + 2 * margin)
    assert all(wide[2, min(round(time * 100) + margin, 999 + 2 * margin)] > 0.9 for time in times)
