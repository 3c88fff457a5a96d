"""The report of a training shows losses, figures and strips by time, keeps its rows, and stops no training."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generator import copies
from generator.simulate import stand_in
from generator.strip import Counts
from study import training_report
from study.training_page import page
from study.training_report import TrainingReport, figures, read_rows, shown
from tests.generator import tiny_training
from tests.study import tiny


@pytest.fixture(scope="module")
def simulated() -> dict[str, Counts]:
    return {rhythm: np.stack([stand_in(rhythm, seed) for seed in range(6)]) for rhythm in ("NSR", "AF")}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_report, "MEASURED", 3)


LOSSES: list[dict[str, Any]] = [
    {
        "network": network,
        "seconds": 10.0 * i,
        "iteration": 5 * i,
        "loss": 1 / i,
        "learning_rate": 1e-3,
        "learned": {"NSR": 0.5, "AF": 0.4},
        "held_out": {"NSR": 0.6, "AF": 0.7},
    }
    for network in ("beat", "strip")
    for i in range(1, 5)
]


def _report(held_out: bool = False) -> TrainingReport:
    return TrainingReport(tiny_training.strips(), tiny_training.strips(6, seed=1) if held_out else None, {"Recordings": "<b>ward</b>"}, device="cpu")


def _checkpoint(out: Path, iterations: int) -> None:
    network = {"seconds": 60.0, "iterations": iterations, "batch": 4}
    told: dict[str, Any] = {
        "device": "CPU",
        "processes": 1,
        "threads": 1,
        "precision": "float32",
        "torch": "2",
        "refused": {},
        "settings": {"strip": {"batch": 4}, "beat": {"augmentation": {"gain": 0.1}}},
    }
    tiny.write(out, networks={"strip": network, "beat": network}, **told)
    (out / "loss.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOSSES))


@pytest.mark.usefixtures("few")
def test_the_report_has_losses_figures_and_strips_by_time(tmp_path: Path) -> None:
    report = _report()
    _checkpoint(tmp_path, 1)
    report(tmp_path, 600.0)
    _checkpoint(tmp_path, 2)
    report(tmp_path, 1200.0)
    written = (tmp_path / "report.html").read_text()
    _Balanced().feed(written)
    assert re.findall("<h3>After ([^<]*)</h3>", written) == ["20 min", "10 min"]
    assert written.count("<figcaption>NSR, seed 0, number 1</figcaption>") == 2
    assert "after 10 min" in written
    assert "learned recordings" in written
    assert "AF, held-out strips" in written
    assert "&lt;b&gt;ward&lt;/b&gt;" in written
    assert "<script" not in written
    assert [row["figures"]["AF"]["n"] for row in read_rows(tmp_path)] == [3, 3]


@pytest.mark.usefixtures("few")
def test_a_report_goes_on_where_a_killed_process_left_it(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 1)
    _report()(tmp_path, 600.0)
    with (tmp_path / "report.jsonl").open("a") as file:
        file.write('{"seconds": 1200.0, "che')  # killed while it wrote
    _report()(tmp_path, 600.0)  # the same checkpoint
    assert [row["seconds"] for row in read_rows(tmp_path)] == [600.0]
    _checkpoint(tmp_path, 2)
    _report()(tmp_path, 1300.0)
    assert [row["seconds"] for row in read_rows(tmp_path)] == [600.0, 1300.0]


@pytest.mark.usefixtures("few")
def test_strips_are_those_of_the_same_seeds_each_time(tmp_path: Path) -> None:
    report = _report()
    for i in (1, 2):
        _checkpoint(tmp_path, i)  # the same weights
        report(tmp_path, 60.0 * i)
    (_, later), (_, earlier) = shown(read_rows(tmp_path))
    for (caption, strip), (before, same) in zip(later, earlier, strict=True):
        assert caption == before
        assert np.array_equal(strip, same)


@pytest.mark.usefixtures("few")
def test_utility_is_there_when_strips_are_held_out(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 1)
    _report(held_out=True)(tmp_path, 60.0)
    [row] = read_rows(tmp_path)
    assert row["utility"]["TSTR"]["n"]["test"] == {"AF": 3, "NSR": 3}
    assert "held-out recordings" in (tmp_path / "report.html").read_text()


def test_before_there_is_a_checkpoint_the_report_shows_the_loss(tmp_path: Path) -> None:
    (tmp_path / "loss.jsonl").write_text(json.dumps(LOSSES[0]) + "\n")
    _report()(tmp_path, 60.0)
    written = (tmp_path / "report.html").read_text()
    assert "Network of average beats: mean squared error" in written
    assert "none yet: average beats are learned first" in written
    assert read_rows(tmp_path) == []


def test_a_fault_in_the_report_stops_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "config.json").write_text("{}")
    _report()(tmp_path, 60.0)
    assert "not complete" in caplog.text
    assert "Training goes on" in caplog.text


# ---- figures ----


def test_figures_tell_sinus_rhythm_from_fibrillation(simulated: dict[str, Counts]) -> None:
    found = {rhythm: figures(strips, rhythm, None, None) for rhythm, strips in simulated.items()}
    assert found["NSR"]["p_coherence"] > found["AF"]["p_coherence"]
    assert found["NSR"]["rr_cv"] < found["AF"]["rr_cv"]
    assert found["NSR"]["n"] == 6


def test_what_is_wrong_with_strips_shows_in_its_figure(simulated: dict[str, Counts]) -> None:
    strips = simulated["NSR"]
    real = figures(strips, "NSR", float(np.median([training_report.detail(strip) for strip in strips])), None)
    assert real["detail"] == pytest.approx(1.0)
    noisy = strips + np.random.default_rng(0).integers(-20, 21, strips.shape).astype(np.int16)
    assert figures(noisy, "NSR", training_report.detail(strips[0]), None)["detail"] > 2
    uneven = (strips * np.where(np.arange(1000) < 500, 1.0, 0.6)).astype(np.int16)
    assert figures(uneven, "NSR", None, None)["r_variation"] > real["r_variation"] + 0.1
    alike = np.repeat(strips[:1], 3, axis=0)
    assert figures(alike, "NSR", None, None)["beat_spread"] == pytest.approx(0, abs=1e-6)
    assert real["beat_spread"] > 0.01
    copied = copies.Reference(copies.Reference.of(strips, None, ["NSR"] * 6).projections, {"NSR": 0.01}, 0)
    assert figures(strips, "NSR", None, copied)["rejected"] == 1.0


def test_figures_of_what_has_no_beats_are_undefined() -> None:
    found = figures(np.zeros((2, 8, 1000), dtype=np.int16), "NSR", 1.0, None)
    assert (found["n"], found["p_amplitude"], found["beat_spread"], found["r_variation"]) == (2, None, None, None)
    assert figures(np.zeros((0, 8, 1000), dtype=np.int16), "NSR", 1.0, None) == {"n": 0}


def test_many_rows_are_shown_spread_over_time() -> None:
    rows = [{"seconds": float(i), "strips": []} for i in range(100)]
    times = [seconds for seconds, _ in shown(rows)]
    assert (times[0], times[-1], len(times)) == (99.0, 0.0, 8)
    assert times == sorted(times, reverse=True)


def test_a_page_of_a_training_that_has_only_begun_stands() -> None:
    written = page("<begun>", {}, [LOSSES[0]], [], {}, [])
    _Balanced().feed(written)
    assert "&lt;begun&gt;" in written
    assert "No strip was drawn yet" in written


class _Balanced(HTMLParser):
    """Fails where an element closes another one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
