"""`blindstrip leak`: the gate over folders, in the canonical form and as they are, with its page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from study import leak_gate, leak_page
from tests.study.cli_calls import fails, run
from tests.wfdb_files import signals, write_record

FILES = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same hearts at 5 and at 2.5 microvolts a unit, without tables."""
    at = tmp_path_factory.mktemp("leak")
    for i in range(FILES):
        heart = 0.987 * signals(i)
        write_record(at / "real", f"r{i}", heart, gain=200.0)
        write_record(at / "synthetic", f"s{i}", heart, gain=400.0)
    return at / "real", at / "synthetic"


def labelled(folder: Path) -> Path:
    records = sorted(file.stem for file in folder.glob("*.hea"))
    (folder / "labels.csv").write_text("record,rhythm\n" + "".join(f"{record},NSR\n" for record in records))
    return folder


def test_files_as_they_are_are_told_apart_where_the_canonical_form_is_not(folders: tuple[Path, Path]) -> None:
    real, synthetic = folders
    report = run("leak", "--real", real, "--synthetic", synthetic, "--as-is")
    assert {"verdict", "auc", "auc_ci", "p_value", "features", "worst_feature", "remedy", "amplitude"} <= report.keys()
    assert (report["verdict"], report["worst_feature"], report["real"], report["synthetic"]) == ("refuse", "quantisation step", FILES, FILES)
    assert "no table of labels" in fails("leak", "--real", real, "--synthetic", synthetic)
    arms = ("--real", labelled(real), "--synthetic", labelled(synthetic))
    assert run("leak", *arms)["verdict"] == "open"
    assert run("leak", *arms, "--as-is")["verdict"] == "refuse"


def test_of_files_without_a_table_any_can_be_chosen(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for arm in folders:
        for i in range(FILES):
            write_record(tmp_path / arm.name, f"x{i}", signals(i))
    arms = ("--real", tmp_path / "real", "--synthetic", tmp_path / "synthetic")
    assert run("leak", *arms, "--as-is", "--n", 5)["real"] == 5
    assert "7 files were asked for in each arm, 6 are there" in fails("leak", *arms, "--as-is", "--n", 7)


def test_files_that_cannot_be_read_leave_an_arm_too_small(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for i in range(FILES):
        (tmp_path / f"r{i}.hea").write_text("nonsense\n")
    message = fails("leak", "--real", tmp_path, "--synthetic", folders[1], "--as-is")
    assert "The real arm has 0 strips" in message


def test_the_page_shows_the_worst_feature_s_distributions_and_the_remedy(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, synthetic = folders
    page = tmp_path / "new" / "leak.html"
    report = run("leak", "--real", real, "--synthetic", synthetic, "--as-is", "--report", page)
    told = page.read_text(encoding="utf-8")
    assert "The gate is shut" in told
    assert report["remedy"] in told
    assert told.count("<svg") == 1
    assert "Distribution of quantisation step. real: 100% from" in told
    assert not re.search(r"(src|href)=|<script|url\(http", told)
    assert [file.name for file in page.parent.iterdir()] == ["leak.html"]


# ---- what is shown of a report ----

REPORT = {
    "verdict": "warn",
    "auc": 0.71,
    "auc_ci": [0.6, 0.8],
    "p_value": 0.02,
    "features": {"noise floor": 0.72, "offset": 0.5},
    "worst_feature": "noise floor",
    "remedy": "Train longer.",
    "distribution": {"feature": "noise floor", "edges": [0.0, 1.0, 2.0], "real": [0.25, 0.75], "synthetic": [0.75, 0.25]},
    "amplitude": {"auc": 0.8, "p_value": 0.004, "microvolts": {"real": 900.0, "synthetic": 1300.0}, "warning": "The arms' amplitudes differ. Check."},
}


def swapped() -> dict[str, object]:
    """The same report with the arms' names exchanged."""
    told = json.loads(json.dumps(REPORT))
    for part in (told["distribution"], told["amplitude"]["microvolts"]):
        part["real"], part["synthetic"] = part["synthetic"], part["real"]
    return dict(told)


def test_while_blind_a_report_is_the_same_whichever_arm_is_which() -> None:
    assert swapped() != REPORT
    assert leak_gate.blinded(swapped()) == leak_gate.blinded(REPORT)
    assert not re.search(r"\b(real|synthetic)\b", json.dumps(leak_gate.blinded(REPORT)))
    assert "distribution" not in leak_gate.blinded(REPORT)


def test_a_report_without_a_gate_is_shown_as_it_is() -> None:
    told = {"verdict": "not asked", "reason": "practice"}
    assert leak_gate.blinded(told) == told


def test_a_warning_of_amplitude_alone_speaks_of_amplitude() -> None:
    of_amplitude = leak_gate.sentence(REPORT | {"worst_feature": "amplitude scale"})
    assert of_amplitude == "The arms' amplitudes differ. Check."
    both = leak_gate.sentence(REPORT)
    assert "noise floor most of all. Train longer. The arms' amplitudes differ" in both


def test_the_picture_s_bars_are_as_high_as_their_shares() -> None:
    drawn = leak_page.picture(REPORT["distribution"])  # type: ignore[arg-type]
    bars = [float(height) for height in re.findall(r'<rect x="[\d.]+" y="[\d.]+" width="[\d.]+" height="([\d.]+)"', drawn)]
    heights = [height for height in bars if height > 12]  # the legend's boxes are 12 high
    assert np.array(heights) / max(heights) == pytest.approx([1 / 3, 1, 1, 1 / 3], rel=0.01)


def test_words_in_a_page_are_escaped() -> None:
    report = REPORT | {"remedy": "<script>alert(1)</script>"}
    assert "<script>" not in leak_page.page(report, {"<b>": "<i>"})
