"""Training learns, goes on after kill -9 as if nothing had happened, and refuses what it cannot use."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from generator import copies
from generator.errors import GeneratorError
from generator.request import checkpoint_sha256
from generator.sssd import checkpoint, train
from generator.sssd.config import NetworkConfig, read_config
from generator.sssd.network import Network
from generator.sssd.s4 import S4
from generator.sssd.trainer import Trainer
from generator.sssd.training_set import TrainingSet
from tests.conftest import ROOT
from tests.generator import tiny_training

SMALL = tiny_training.small(save_seconds=3.0)


@pytest.fixture(scope="module")
def strips() -> TrainingSet:
    return tiny_training.strips()


class Killed(Exception):
    """Stands for kill -9: nothing is written after it."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration takes a second, nothing else takes time."""
    ticks = 0
    whole, iterate = Trainer.__init__, Trainer._iterate

    def init(self: Trainer, *given: Any, **named: Any) -> None:
        whole(self, *given, **named)
        self.clock = lambda: float(ticks)

    def tick(self: Trainer, *given: Any) -> float:
        nonlocal ticks
        ticks += 1
        return iterate(self, *given)

    monkeypatch.setattr(Trainer, "__init__", init)
    monkeypatch.setattr(Trainer, "_iterate", tick)


def _kill(monkeypatch: pytest.MonkeyPatch, name: str, iteration: int) -> None:
    iterate = Trainer._iterate

    def until_killed(self: Trainer, *given: Any) -> float:
        if (self.name, self.iteration) == (name, iteration):
            raise Killed
        return iterate(self, *given)

    monkeypatch.setattr(Trainer, "_iterate", until_killed)


def _lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "loss.jsonl").read_text().splitlines()]


def _same_networks(one: Path, other: Path) -> None:
    for mine, theirs in zip(checkpoint.load_networks(one), checkpoint.load_networks(other), strict=True):
        assert mine is not None
        assert theirs is not None
        for name, weight in mine.state_dict().items():
            assert torch.equal(weight, theirs.state_dict()[name]), name


# ---- killed, and on ----


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("kills", "length"),
    [
        ([("beat", 2)], {"iterations": 8}),  # of each network
        ([("strip", 0)], {"iterations": 8}),
        ([("strip", 5)], {"iterations": 8}),
        ([("beat", 1), ("strip", 1), ("strip", 7)], {"minutes": 20 / 60}),  # 3 iterations and 17
    ],
    ids=str,
)
def test_a_killed_training_goes_on_as_if_it_had_not_been(
    strips: TrainingSet, tmp_path: Path, kills: list[tuple[str, int]], length: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    train.train(strips, tmp_path / "whole", **length, device="cpu", settings=SMALL)
    for name, iteration in kills:
        with monkeypatch.context() as patch:
            _kill(patch, name, iteration)
            with pytest.raises(Killed):
                train.train(strips, tmp_path / "killed", **length, device="cpu", settings=SMALL)
    train.train(strips, tmp_path / "killed", **length, device="cpu", settings=SMALL)
    _same_networks(tmp_path / "whole", tmp_path / "killed")
    assert _lines(tmp_path / "whole") == _lines(tmp_path / "killed")
    assert read_config(tmp_path / "whole").trained == read_config(tmp_path / "killed").trained


def test_losses_by_iteration_are_the_same_however_long_an_iteration_takes(strips: TrainingSet, tmp_path: Path) -> None:
    for name in ("one", "other"):
        train.train(strips, tmp_path / name, iterations=5, device="cpu", settings=SMALL)
    one, other = ([(line["network"], line["iteration"], line["loss"]) for line in _lines(tmp_path / name)] for name in ("one", "other"))
    assert one == other
    assert [iteration for network, iteration, _ in one if network == "strip"] == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("clock")
def test_a_finished_training_that_is_given_more_goes_on(strips: TrainingSet, tmp_path: Path) -> None:
    train.train(strips, tmp_path, iterations=2, device="cpu", settings=SMALL)
    before = checkpoint_sha256(tmp_path)
    train.train(strips, tmp_path, iterations=2, device="cpu", settings=SMALL)
    assert checkpoint_sha256(tmp_path) == before
    train.train(strips, tmp_path, iterations=4, device="cpu", settings=SMALL)
    networks: Any = read_config(tmp_path).trained["networks"]
    assert [one["iterations"] for one in networks.values()] == [4, 4]


# ---- what it comes to ----


@pytest.mark.usefixtures("clock")
def test_losses_of_both_networks_fall_and_are_logged(strips: TrainingSet, tmp_path: Path) -> None:
    train.train(strips, tmp_path, iterations=80, device="cpu", settings=SMALL)
    for network in ("beat", "strip"):
        lines = [line for line in _lines(tmp_path) if line["network"] == network]
        assert lines[-1]["iteration"] == 80
        losses = [line["loss"] for line in lines]
        assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.usefixtures("clock")
def test_both_networks_are_in_one_checkpoint_that_draws(strips: TrainingSet, tmp_path: Path) -> None:
    from generator.request import DrawRequest
    from generator.sssd import draw

    train.train(strips, tmp_path, minutes=20 / 60, device="cpu", settings=SMALL)
    config = read_config(tmp_path)
    assert config.beat is not None
    assert config.beat.network == SMALL.beat.network
    trained: Any = config.trained
    assert trained["networks"] == {
        "beat": {"seconds": 3.0, "iterations": 3, "batch": 8},  # 15 % of the time
        "strip": {"seconds": 17.0, "iterations": 17, "batch": 4},
    }
    assert (trained["precision"], trained["processes"], trained["strips"]) == ("float32", 1, {"NSR": 12, "AF": 12})
    drawn = draw.draw(DrawRequest("AF", 2, 0, steps=4), checkpoint=tmp_path, device="cpu", quality_control=False)
    assert len(drawn) == 2


@pytest.mark.usefixtures("clock")
def test_losses_of_held_out_strips_are_logged_by_rhythm(strips: TrainingSet, tmp_path: Path) -> None:
    train.train(strips, tmp_path, iterations=3, device="cpu", settings=SMALL, held_out=tiny_training.strips(6, seed=1))
    for line in _lines(tmp_path):
        assert set(line["held_out"]) == set(line["learned"]) == {"AF", "NSR"}
    train.train(strips, tmp_path / "without", iterations=3, device="cpu", settings=SMALL)
    assert _lines(tmp_path / "without")[-1]["loss"] == _lines(tmp_path)[-1]["loss"]  # holding strips out changes no weight


def test_what_copies_are_told_by_is_written_unless_it_is_not_wanted(strips: TrainingSet, tmp_path: Path) -> None:
    train.train(strips, tmp_path, iterations=1, device="cpu", settings=SMALL)
    reference = copies.Reference.load(tmp_path)
    assert reference is not None
    assert len(reference.projections) == 24
    train.train(strips, tmp_path, iterations=2, device="cpu", settings=SMALL, training_beats=False)
    assert copies.Reference.load(tmp_path) is None


@pytest.mark.usefixtures("clock")
def test_the_time_that_a_report_takes_is_no_training_time(strips: TrainingSet, tmp_path: Path) -> None:
    told: list[tuple[float, bool]] = []

    def report(out: Path, seconds: float) -> None:
        told.append((seconds, (out / "config.json").exists()))

    train.train(strips, tmp_path, minutes=20 / 60, device="cpu", settings=SMALL, on_interval=report, interval_seconds=8.0)
    assert told == [(11.0, True), (19.0, True), (20.0, True)]


# ---- several processes, half precision ----


def _launched(processes: int, out: Path, iterations: int) -> None:
    """As torchrun and accelerate launch start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    command = [sys.executable, "-m", "tests.generator.tiny_training", str(out), str(iterations)]
    started = []
    for rank in range(processes):
        environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told


def test_two_processes_come_to_the_losses_of_one(strips: TrainingSet, tmp_path: Path) -> None:
    _launched(2, tmp_path / "two", 3)
    train.train(strips, tmp_path / "one", iterations=3, device="cpu", settings=tiny_training.small())
    one, two = (_lines(tmp_path / name) for name in ("one", "two"))
    assert [(line["network"], line["iteration"]) for line in one] == [(line["network"], line["iteration"]) for line in two]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-4)
    assert read_config(tmp_path / "two").trained["processes"] == 2
    for mine, theirs in zip(checkpoint.load_networks(tmp_path / "one"), checkpoint.load_networks(tmp_path / "two"), strict=True):
        assert mine is not None
        assert theirs is not None
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True))
    train.train(strips, tmp_path / "two", iterations=4, device="cpu", settings=tiny_training.small())  # and on with one


def test_bf16_trains_near_float32(strips: TrainingSet, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # a process has one precision, tests run in one process
    try:
        train.train(strips, tmp_path / "half", iterations=4, device="cpu", settings=SMALL, precision="bf16")
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    train.train(strips, tmp_path / "whole", iterations=4, device="cpu", settings=SMALL)
    assert [line["loss"] for line in _lines(tmp_path / "half")] == pytest.approx([line["loss"] for line in _lines(tmp_path / "whole")], rel=0.03)
    assert read_config(tmp_path / "half").trained["precision"] == "bf16"


def test_the_long_convolution_stays_float32_under_autocast() -> None:
    layer = S4(4, 500, 8)
    layer.initialise(0)
    u = torch.randn(2, 4, 500, generator=torch.Generator().manual_seed(0))
    exact = layer(u)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(u), exact)
        rounded = layer(u.bfloat16())
    assert torch.allclose(rounded.float(), exact, atol=0.02 * float(exact.detach().abs().max()))


# ---- refused, or trained further ----


def test_another_seed_does_not_go_on_with_this_training(strips: TrainingSet, tmp_path: Path) -> None:
    train.train(strips, tmp_path, iterations=1, device="cpu", settings=SMALL)
    with pytest.raises(GeneratorError, match="other recordings, settings or seed"):
        train.train(strips, tmp_path, iterations=1, seed=1, settings=SMALL, device="cpu")


def test_a_missing_rhythm_is_refused(strips: TrainingSet, tmp_path: Path) -> None:
    only = TrainingSet.from_arrays(strips.mv, ["NSR"] * len(strips.mv))
    with pytest.raises(GeneratorError, match="0 strips of AF"):
        train.train(only, tmp_path, 1, settings=SMALL, device="cpu")


@pytest.mark.parametrize("length", [{}, {"minutes": 1.0, "iterations": 1}])
def test_minutes_or_iterations_are_asked_for(strips: TrainingSet, tmp_path: Path, length: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="one of them"):
        train.train(strips, tmp_path, **length, settings=SMALL, device="cpu")


def _still(settings: train.Settings) -> train.Settings:
    """With learning rates of zero."""
    still = {name: dataclasses.replace(getattr(settings, name), learning_rate=0.0, learning_rate_further=0.0) for name in ("beat", "strip")}
    return dataclasses.replace(settings, **still)


def test_a_checkpoint_can_be_trained_further(strips: TrainingSet, tmp_path: Path) -> None:
    first = train.train(strips, tmp_path / "first", iterations=3, device="cpu", settings=SMALL)
    further = train.train(strips, tmp_path / "further", iterations=1, device="cpu", settings=_still(SMALL), start=first)
    for before, after in zip(checkpoint.load_networks(first), checkpoint.load_networks(further), strict=True):
        assert before is not None
        assert after is not None
        assert all(
            torch.allclose(one, other, atol=1e-6) for one, other in zip(before.state_dict().values(), after.state_dict().values(), strict=True)
        )
    assert read_config(further).trained["trained_further"] == checkpoint_sha256(first)
    with pytest.raises(GeneratorError, match="other recordings, settings or seed"):
        train.train(strips, tmp_path / "further", iterations=1, device="cpu", settings=SMALL)  # begun from a checkpoint, now anew


def test_strips_alone_can_be_trained_further(strips: TrainingSet, tmp_path: Path) -> None:
    """The average beats of AF are few, and soon learned by heart."""
    first = train.train(strips, tmp_path / "first", iterations=3, device="cpu", settings=SMALL)
    others = TrainingSet.from_arrays(2 * strips.mv, strips.rhythm.tolist())  # whose beats have another scale
    only_strips = dataclasses.replace(SMALL, only_strips=True)
    further = train.train(others, tmp_path / "further", iterations=2, device="cpu", settings=only_strips, start=first)
    strip, beat = checkpoint.load_networks(first)
    strip_after, beat_after = checkpoint.load_networks(further)
    assert beat is not None
    assert beat_after is not None
    assert all(torch.equal(one, other) for one, other in zip(beat.state_dict().values(), beat_after.state_dict().values(), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(strip.state_dict().values(), strip_after.state_dict().values(), strict=True))
    assert read_config(further).beat == read_config(first).beat
    assert not (further / "training-beat.pt").exists()
    with pytest.raises(GeneratorError, match="draws average beats already"):
        train.train(strips, tmp_path / "anew", iterations=1, device="cpu", settings=only_strips)


def test_a_checkpoint_without_average_beats_is_widened_and_gets_them(strips: TrainingSet, tmp_path: Path) -> None:
    with_beat = train.train(strips, tmp_path / "with", iterations=1, device="cpu", settings=SMALL)
    narrow = dataclasses.replace(SMALL.strip.network, track_channels=7, beat_given=False)
    network = _noisy(narrow)
    config = dataclasses.replace(read_config(with_beat), network=narrow, beat=None, variation={})
    checkpoint.save(tmp_path / "before", network, config)
    further = train.train(strips, tmp_path / "further", iterations=1, device="cpu", settings=_still(SMALL), start=tmp_path / "before")
    wide, beat = checkpoint.load_networks(further)
    assert beat is not None
    x, step, labels, track = torch.randn(1, 8, 1000), torch.tensor([300.0]), torch.tensor([[0.0, 1.0]]), torch.randn(1, 15, 1000)
    with torch.no_grad():
        assert torch.allclose(network(x, step, labels, track[:, :7]), wide(x, step, labels, track), atol=1e-5)  # it is told, and does not listen yet


def _noisy(config: NetworkConfig) -> Network:
    network = Network(config)
    network.initialise(1)
    torch.nn.init.normal_(network.last_2.weight, std=0.1)
    return network.eval()


def test_what_was_not_trained_here_is_not_trained_further(strips: TrainingSet, tmp_path: Path) -> None:
    folder = train.train(strips, tmp_path / "first", iterations=1, device="cpu", settings=SMALL)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "units": "mV"}))
    with pytest.raises(GeneratorError, match="Only a checkpoint that was trained here"):
        train.train(strips, tmp_path / "further", iterations=1, device="cpu", settings=SMALL, start=folder)
