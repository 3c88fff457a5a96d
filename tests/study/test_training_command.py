"""`blindstrip train` as processes: killed at any moment, started by a launcher, told what to hold out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from generator.request import TRAINING_BEATS
from generator.sssd import train
from study import training_report
from tests.conftest import ROOT
from tests.study import train_small
from tests.study.cli_calls import fails, run
from tests.study.waiting import until

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # losses are the same to the bit with as many threads
ITERATIONS = 12


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "Settings", train_small.settings)
    monkeypatch.setattr(training_report, "MEASURED", 2)


def _arguments(ward: Path, out: Path) -> tuple[object, ...]:
    return ("train", "--records", ward, "--out", out, "--device", "cpu", "--iterations", ITERATIONS)


def _lines(out: Path) -> list[dict[str, Any]]:
    """Those that are written to their end."""
    file = out / "loss.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")] if file.exists() else []


def _killed_in(network: str, ward: Path, out: Path) -> None:
    command = [sys.executable, "-m", "tests.study.train_small", *map(str, _arguments(ward, out))]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def under_way() -> bool:
        assert process.poll() is None
        return any(line["network"] == network and line["iteration"] >= 3 for line in _lines(out))

    until(under_way, every=0.005)  # all twelve iterations are soon over
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.usefixtures("small")
def test_killed_processes_come_to_the_losses_of_one_that_lived(ward: Path, tmp_path: Path) -> None:
    for network in ("beat", "strip"):
        _killed_in(network, ward, tmp_path / "killed")
    for name in ("killed", "whole"):
        assert run(*_arguments(ward, tmp_path / name))["networks"]["strip"]["iterations"] == ITERATIONS
    killed, whole = ([(line["network"], line["iteration"], line["loss"]) for line in _lines(tmp_path / name)] for name in ("killed", "whole"))
    assert killed == whole
    assert (tmp_path / "killed" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert not list((tmp_path / "killed").glob("*.part"))


@pytest.mark.usefixtures("small")
def test_folds_that_are_held_out_are_not_learned_and_measured_on(ward: Path, tmp_path: Path) -> None:
    out, labels = tmp_path / "out", tmp_path / "labels.csv"  # fold 3 with two of each rhythm
    rows = (ward / "labels.csv").read_text().splitlines()
    labels.write_text("\n".join([rows[0], *(",".join([*row.split(",")[:3], "3" if i < 4 else "1"]) for i, row in enumerate(rows[1:]))]))
    answer = run(
        "train",
        "--records",
        ward,
        "--labels",
        labels,
        "--validate-folds",
        3,
        "--out",
        out,
        "--device",
        "cpu",
        "--iterations",
        2,
        "--no-training-beats",
    )
    assert answer["recordings"] == 20
    assert all(set(line["held_out"]) == {"NSR", "AF"} for line in _lines(out))
    page = (out / "report.html").read_text()
    assert "held-out recordings" in page
    assert "TSTR" in page
    assert not (out / TRAINING_BEATS).exists()


def test_a_fold_is_learned_or_held_out(ward: Path, tmp_path: Path) -> None:
    said = fails("train", "--records", ward, "--folds", "1-3", "--validate-folds", "3", "--out", tmp_path, "--minutes", 1)
    assert "Folds 3 are in --folds and in --validate-folds" in said


@pytest.mark.usefixtures("small")
def test_only_the_first_process_answers(ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "is_main_process", lambda: False)
    monkeypatch.setattr(train, "train", lambda *given, **named: None)
    with pytest.raises(SystemExit) as left:
        run("train", "--records", ward, "--out", tmp_path, "--device", "cpu", "--iterations", 1)
    assert left.value.code == 0
