"""Training learns, goes on after kill -9 as if nothing had happened, and refuses what it cannot use."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.errors import GeneratorError
from generator.request import checkpoint_sha256
from generator.sssd import checkpoint, train
from generator.sssd.config import NetworkConfig, read_config
from generator.sssd.train import Settings
from generator.sssd.training_set import TrainingSet, shifted, stretched, without_drift

SMALL = Settings(
    network=NetworkConfig(
        num_res_layers=1,
        res_channels=8,
        skip_channels=8,
        diffusion_step_embed_dim_in=8,
        diffusion_step_embed_dim_mid=16,
        diffusion_step_embed_dim_out=16,
        s4_d_state=4,
        label_embed_dim=4,
        label_embed_classes=2,
        fold=8,
        track_channels=7,
        beat_average=True,
        beat_pooling=True,
        strip_pooling=True,
        linear_filters=3,
    ),
    batch=4,
    warm_up=2,
)


@pytest.fixture(scope="module")
def strips() -> TrainingSet:
    """Twelve strips of each rhythm that beat: a narrow bump at each R time, noise."""
    generator = np.random.default_rng(0)
    t = np.arange(1000) / 100
    mv, rhythm = [], []
    for i in range(24):
        spread = 0.0 if i % 2 else 0.2
        times = 0.3 + np.cumsum(np.clip(0.8 + spread * generator.normal(size=30), 0.4, 1.5))
        beat = np.exp(-0.5 * ((t[:, None] - times) / 0.02) ** 2).sum(axis=1)
        mv.append(np.linspace(0.5, 1.5, 8)[:, None] * beat + 0.02 * generator.normal(size=(8, 1000)))
        rhythm.append("NSR" if i % 2 else "AF")
    return TrainingSet.from_arrays(np.stack(mv), rhythm)


class Killed(Exception):
    """Stands for kill -9: nothing is written after it."""


def _iterations(strips: TrainingSet, out: Path, iterations: int, monkeypatch: pytest.MonkeyPatch, *, killed_at: int | None = None) -> None:
    """Train for a number of iterations: each counts as a second."""
    run = train._Run(strips, out, dataclasses.replace(SMALL, save_seconds=3.0), 0, torch.device("cpu"))
    run.resume()
    iterate = run._iterate
    clock = iter(range(10**6))
    run.clock = lambda: float(next(clock))

    def until_killed(share: float, pool: ThreadPoolExecutor) -> float:
        if run.iteration == killed_at:
            raise Killed
        return iterate(share, pool)

    monkeypatch.setattr(run, "_iterate", until_killed)
    run.until(float(iterations), None)


def test_a_killed_training_goes_on_as_if_it_had_not_been(strips: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _iterations(strips, tmp_path / "whole", 8, monkeypatch)
    with pytest.raises(Killed):
        _iterations(strips, tmp_path / "killed", 8, monkeypatch, killed_at=5)
    _iterations(strips, tmp_path / "killed", 8, monkeypatch)
    whole, resumed = (checkpoint.load_network(tmp_path / name) for name in ("whole", "killed"))
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    assert read_config(tmp_path / "killed").trained["iterations"] == 8


def test_loss_falls_and_is_logged(strips: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _iterations(strips, tmp_path, 150, monkeypatch)
    lines = [json.loads(line) for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert lines[-1]["iteration"] == 150
    assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]
    assert not list(tmp_path.glob("*.part"))


def test_another_seed_does_not_go_on_with_this_training(strips: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _iterations(strips, tmp_path, 3, monkeypatch)
    with pytest.raises(GeneratorError, match="other recordings, settings or seed"):
        train.train(strips, tmp_path, 1, seed=1, settings=SMALL, device="cpu")


def test_a_missing_rhythm_is_refused(strips: TrainingSet, tmp_path: Path) -> None:
    only = TrainingSet.from_arrays(strips.mv, ["NSR"] * len(strips.mv))
    with pytest.raises(GeneratorError, match="0 strips of AF"):
        train.train(only, tmp_path, 1, settings=SMALL, device="cpu")


def test_recordings_are_read_and_refusals_counted(shared: Path) -> None:
    from generator import recordings

    listed = recordings.find(shared / "data" / "ptbxl", shared / "data" / "ptbxl" / "ptbxl_database.csv").candidates
    broken = [candidate for candidate in listed if candidate.path.name == "11813_lr"]
    chosen = [*listed[:3], *broken]
    assert len(chosen) == 4
    read = TrainingSet.from_candidates(chosen)
    assert read.mv.shape == (3, 8, 1000)
    assert sum(read.refused.values()) == 1
    assert all(len(times) >= 5 for times in read.r_times)


def test_drift_goes_and_the_canonical_band_stays() -> None:
    t = np.arange(1000) / 100
    slow, kept = np.sin(2 * np.pi * 0.05 * t), 0.1 * np.sin(2 * np.pi * 1.0 * t)
    cleaned = without_drift(np.tile(2.0 + slow + kept, (8, 1)))
    assert np.abs(cleaned - kept)[:, 200:-200].max() < 0.03


@pytest.mark.parametrize("samples", [-3, -1, 0, 2])
def test_a_shift_moves_all_leads_alike(samples: int) -> None:
    strip = np.random.default_rng(0).normal(size=(8, 100)).astype(np.float32)
    moved = shifted(strip, samples)
    assert moved.shape == strip.shape
    inside = slice(5, -5)
    assert np.array_equal(moved[:, inside], np.roll(strip, samples, axis=1)[:, inside])


def test_a_checkpoint_can_be_trained_further(strips: TrainingSet, tmp_path: Path) -> None:
    first = train.train(strips, tmp_path / "first", 0.02, device="cpu", settings=SMALL)
    further = train.train(strips, tmp_path / "further", 0.0001, device="cpu", settings=dataclasses.replace(SMALL, learning_rate=0.0), start=first)
    before, after = checkpoint.load_network(first), checkpoint.load_network(further)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(before.state_dict().values(), after.state_dict().values(), strict=True))
    assert read_config(further).trained["trained_further"] == checkpoint_sha256(first)
    with pytest.raises(GeneratorError, match="other recordings, settings or seed"):
        train.train(strips, tmp_path / "further", 0.0001, device="cpu", settings=SMALL)  # begun from a checkpoint, now anew


def test_what_was_not_trained_here_is_not_trained_further(strips: TrainingSet, tmp_path: Path) -> None:
    folder = train.train(strips, tmp_path / "first", 0.0001, device="cpu", settings=SMALL)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "units": "mV"}))
    with pytest.raises(GeneratorError, match="Only a checkpoint that was trained here"):
        train.train(strips, tmp_path / "further", 0.0001, device="cpu", settings=SMALL, start=folder)


def test_a_stretched_strip_has_its_beats_farther_from_the_middle() -> None:
    t = np.arange(1000) / 100
    strip = np.exp(-0.5 * ((t - 6) / 0.05) ** 2)[None].astype(np.float32)
    assert t[stretched(strip, 1.1)[0].argmax()] == pytest.approx(6.1, abs=0.011)
    assert t[stretched(strip, 0.9)[0].argmax()] == pytest.approx(5.9, abs=0.011)
    assert np.allclose(stretched(strip, 1.0), strip, atol=1e-6)


def test_turning_the_axis_moves_one_limb_lead_to_another_and_leaves_the_chest(strips: TrainingSet) -> None:
    run = train._Run(strips, Path("unused"), SMALL, 0, torch.device("cpu"))
    assert np.allclose(run.turn(30) @ run.turn(-30), np.eye(8))
    by_60 = run.turn(60) * run.std[:, None] / run.std[None, :]  # of millivolts again
    assert np.allclose(by_60[1], [1, 0, 0, 0, 0, 0, 0, 0])  # II lies 60 degrees below I: what was I is now II
    assert np.allclose(by_60[2:], np.eye(8)[2:])
