"""What the beats of a strip have in common is kept as a few numbers, put back at every beat, drawn by a network of its own and followed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from generator.errors import GeneratorError
from generator.request import DrawRequest
from generator.sssd import checkpoint, draw
from generator.sssd.average_beat import BINS, aligned, at_every_beat, averaged, beats_of, rr_label
from generator.sssd.config import BeatConfig, Config, NetworkConfig, read_config
from generator.sssd.network import Network
from generator.sssd.rhythm import OFFSET_CHANNEL, track
from generator.sssd.schedule import Schedule
from generator.strip import Counts
from tests.generator.test_sssd_draw import CONFIG, NETWORK

COSINE = Schedule(kind="cosine", prediction="v", step_scale=1000.0, T=8)
GIVEN = dataclasses.replace(NETWORK, track_channels=15, beat_given=True)
OF_BEAT = dataclasses.replace(
    NETWORK, s4_lmax=BINS, fold=4, track_channels=0, beat_average=False, label_embed_classes=3, res_channels=12, skip_channels=12
)
SMALL = dataclasses.replace(CONFIG, network=GIVEN, beat=BeatConfig(OF_BEAT, COSINE, (1.0,) * 8))


def _offset(rr: float, jitter: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    steps = rr + jitter * np.random.default_rng(seed).uniform(-1, 1, size=40)
    times = np.cumsum(steps)
    return track(times[times < 10])[OFFSET_CHANNEL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(path, SMALL)
    return path


def _counts(drawn: draw.Drawn) -> Counts:
    assert drawn.counts is not None
    return drawn.counts


def write_checkpoint(path: Path, config: Config, *, seed: int = 0) -> Path:
    network, beat = Network(config.network), Network(OF_BEAT)
    network.initialise(seed=0)
    beat.initialise(seed=seed)
    for one in (network, beat):
        torch.nn.init.normal_(one.last_2.weight, std=0.1)
    checkpoint.save(path, network, config, beat=beat)
    return path


@given(rr=st.floats(0.4, 1.6), jitter=st.floats(0, 0.15), seed=st.integers(0, 50))
def test_a_strip_of_one_repeated_beat_is_that_beat_at_every_beat(rr: float, jitter: float, seed: int) -> None:
    offset = _offset(rr, jitter, seed)
    waves = np.stack([np.exp(-0.5 * ((offset + shift) / 0.05) ** 2) for shift in (0.0, 0.12, -0.2)])
    back = at_every_beat(averaged(waves, offset), offset)
    held = (offset > -0.2) & (offset < 0.5)  # where it is not faded
    assert np.abs(back - waves)[:, held].max() < 0.02


@given(seed=st.integers(0, 50))
def test_a_narrow_qrs_complex_is_not_rounded_off(seed: int) -> None:
    """R, S of 40 ms, each beat elsewhere between samples: what is told at each beat is what stands there."""
    offset = _offset(0.8, 0.1, seed)
    qrs = np.exp(-0.5 * (offset / 0.010) ** 2) - 0.5 * np.exp(-0.5 * ((offset - 0.03) / 0.012) ** 2)
    back = at_every_beat(averaged(qrs[None], offset), offset)[0]
    assert np.abs(back - qrs).max() < 0.1


@pytest.mark.parametrize("beats", [2, 3, 12])
def test_few_beats_tell_no_more_than_they_can(beats: int) -> None:
    """Noise of two beats is not blown up where they leave open what lies between their samples."""
    offset = _offset(0.8)
    some = beats_of(offset) < beats
    beat = averaged(np.random.default_rng(1).normal(size=(8, 1000))[:, some], offset[some])
    assert np.abs(beat).max() < 6


def test_r_times_are_aligned_with_each_other() -> None:
    """R times that are off by up to 8 ms come back to where the beats are, but for what all have in common."""
    rng = np.random.default_rng(4)
    true = np.cumsum(rng.uniform(0.6, 1.0, size=20))
    true = true[true < 9.5]
    offset = track(true)[OFFSET_CHANNEL]
    strip = np.stack([np.exp(-0.5 * ((offset + shift) / 0.012) ** 2) for shift in (0.0, 0.02, -0.02)])
    heard = true + rng.uniform(-0.008, 0.008, size=true.size)
    found = aligned(strip, heard)
    assert np.std(found - true) < 0.001 < np.std(heard - true)
    assert np.abs(found - heard).max() <= 0.015


@pytest.mark.parametrize("times", [[], [0.4]])
def test_what_cannot_be_aligned_stays(times: list[float]) -> None:
    assert aligned(np.zeros((8, 1000)), np.array(times)).tolist() == times


def test_a_flat_strip_moves_no_beat() -> None:
    assert aligned(np.zeros((8, 1000)), np.array([1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]


def test_noise_that_does_not_recur_averages_out() -> None:
    offset = _offset(0.7)
    noise = np.random.default_rng(1).normal(size=(8, 1000))
    beat = averaged(noise, offset)
    assert beat.shape == (8, BINS)
    assert beat.std() < 0.4  # fourteen beats: 1 / sqrt(14), spread over two bins each
    assert np.abs(beat[:, [0, -1]]).max() < 0.1  # faded


@given(scale=st.floats(-3, 3), rr=st.floats(0.4, 1.5))
def test_averaging_is_linear(scale: float, rr: float) -> None:
    strip, offset = np.random.default_rng(2).normal(size=(8, 1000)), _offset(rr)
    assert np.allclose(averaged(scale * strip, offset), scale * averaged(strip, offset), atol=1e-4)


def test_an_offset_that_no_beat_reaches_takes_its_neighbours_value() -> None:
    offset = _offset(0.4)  # nothing is later than 0.4 s after R
    beat = averaged(np.full((1, 1000), 2.0), offset)
    assert np.allclose(beat[0, 10:-10], 2.0)


def test_the_rate_is_told_on_a_log_scale() -> None:
    assert rr_label(np.array([0.0, 0.8, 1.6])) == pytest.approx(0.0, abs=1e-6)
    assert rr_label(np.array([0.0, 0.4])) < -2
    assert rr_label(np.array([1.0])) == 0


def test_a_strip_follows_its_average_beat(folder: Path, tmp_path: Path) -> None:
    """With another network for beats, the same seed gives other strips; with the same, the same ones."""
    request = DrawRequest("NSR", 2, 3, steps=4)
    counts = [_counts(one) for one in draw.draw(request, checkpoint=folder, quality_control=False)]
    again = [_counts(one) for one in draw.draw(request, first=1, count=1, checkpoint=folder, quality_control=False)]
    assert np.array_equal(counts[1], again[0])
    write_checkpoint(tmp_path, SMALL, seed=5)
    other = [_counts(one) for one in draw.draw(request, checkpoint=tmp_path, quality_control=False)]
    assert not np.array_equal(counts[0], other[0])


@pytest.mark.parametrize("sampler", ["dpm++2m-sde", "dpm++2m", "ancestral"])
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_any_sampler_and_guidance_draw_with_an_average_beat(folder: Path, sampler: str, guidance: float) -> None:
    drawn = draw.draw(DrawRequest("AF", 1, 3, steps=4, sampler=sampler, guidance=guidance), checkpoint=folder, quality_control=False)
    assert drawn[0].counts is not None


def test_a_chosen_heart_rate_leaves_the_noise_of_the_average_beat(folder: Path) -> None:
    """Two rates, one seed: the beats differ only as far as the network heeds the rate, which this one hardly does."""
    slow, fast = (draw.draw(DrawRequest("NSR", 1, 3, steps=4, heart_rate=rate), checkpoint=folder, quality_control=False)[0] for rate in (50.0, 51.0))
    assert slow.counts is not None
    assert fast.counts is not None
    assert not np.array_equal(slow.counts, fast.counts)


def test_a_checkpoint_keeps_both_networks(folder: Path) -> None:
    network, beat = checkpoint.load_networks(folder)
    assert beat is not None
    assert beat.config == OF_BEAT
    assert network.config == GIVEN
    model = checkpoint.load(folder)
    assert model.beat is not None
    assert model.config == SMALL


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"beat": None}, "beat_given"),
        ({"beat": {"network": {}, "schedule": {}}}, "scale"),
        ({"beat.scale": [1.0] * 7}, "8 values"),
        ({"beat.scale": [0.0] * 8}, "above 0"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path, change: dict[str, object], told: str) -> None:
    values = json.loads((folder / "config.json").read_text())
    for name, value in change.items():
        where = values if "." not in name else values[name.split(".")[0]]
        where[name.split(".")[-1]] = value
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(GeneratorError, match=told):
        checkpoint.load(tmp_path)


def test_average_beats_of_another_form_are_refused(folder: Path, tmp_path: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "format": 3}))
    with pytest.raises(GeneratorError, match="read by straight lines"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**{name: value for name, value in values.items() if name != "variation"}, "format": 4}))
    assert read_config(tmp_path) == SMALL
    plain = {**values, "format": 3, "beat": None, "network": {**values["network"], "beat_given": False, "track_channels": 7}}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    assert read_config(tmp_path).beat is None


def test_weights_without_their_configuration_are_refused(folder: Path, tmp_path: Path) -> None:
    network = Network(NETWORK)
    network.initialise(0)
    checkpoint.save(tmp_path, network, CONFIG)
    of_beat = {name: weight for name, weight in load_file(folder / "model.safetensors").items() if name.startswith("beat.")}
    weights = load_file(tmp_path / "model.safetensors") | of_beat
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(GeneratorError, match="average beats"):
        checkpoint.load(tmp_path)


def test_a_network_that_is_given_a_beat_needs_its_channels() -> None:
    with pytest.raises(GeneratorError, match="15 track channels"):
        NetworkConfig(track_channels=7, beat_given=True)


def test_strips_with_a_margin_are_cut_out_of_longer_ones(folder: Path, tmp_path: Path) -> None:
    """The network draws 10 s and the margin; the R times told are those inside, where QRS complexes lie."""
    request = DrawRequest("NSR", 2, 3, steps=4)
    write_checkpoint(tmp_path, dataclasses.replace(SMALL, margin=40))
    model = checkpoint.load(tmp_path)
    assert model.evaluator.samples == 1080
    for with_margin, without in zip(*(draw.draw(request, checkpoint=one, quality_control=False) for one in (model, folder)), strict=True):
        assert _counts(with_margin).shape == (8, 1000)
        assert not np.array_equal(_counts(with_margin), _counts(without))
        times = with_margin.conditions["r_times"]
        assert isinstance(times, list)
        assert 0 <= min(times) < max(times) < 10


def test_a_margin_that_is_no_multiple_of_fold_is_refused() -> None:
    with pytest.raises(GeneratorError, match="multiple of fold"):
        dataclasses.replace(SMALL, margin=39)
