"""`blindstrip convert` asks for what no file says, writes what draws, and tells whether it looks like an ECG; `bench` measures it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from generator.request import checkpoint_sha256, shipped_checkpoint
from generator.sssd.config import read_config
from tests.study.cli_calls import fails, run

STATED = ("--kernel", "conjugate", "--lead-order", "I,V1,V2,V3,V4,V5,V6,aVF", "--units", "mV")


@pytest.fixture(scope="module")
def published(shared: Path) -> tuple[object, ...]:
    golden = shared / "golden"
    return ("convert", golden / "sssd_reference_tiny.pkl", "--config", golden / "sssd_reference_tiny.json")


@pytest.fixture(scope="module")
def converted(published: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("converted") / "checkpoint"
    return out, run(*published, *STATED, "--strips", 2, "--out", out)


def test_what_was_stated_is_kept_with_the_weights(converted: tuple[Path, dict[str, object]]) -> None:
    out, answer = converted
    config = read_config(out)
    assert answer["checkpoint"] == checkpoint_sha256(out)
    assert answer["kernel"] == config.network.kernel_form == "conjugate"
    assert answer["lead_order"] == list(config.leads) == ["I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF"]
    assert answer["units"] == config.units == "mV"
    assert answer["labels"] == {"NSR": [7, 15], "AF": [2]}
    source = config.trained["converted_from"]
    assert isinstance(source, dict)
    assert source["file"] == "sssd_reference_tiny.pkl"


def test_random_weights_are_told_to_draw_no_plausible_leads(converted: tuple[Path, dict[str, object]]) -> None:
    out, answer = converted
    assert answer["plausible"] is False
    check = read_config(out).trained["check"]
    assert isinstance(check, dict)
    assert check["plausible"] is False
    page = (out / "first_strips.html").read_text()
    assert page.count("<svg") >= 1
    assert "sssd_reference_tiny.pkl" in page
    card = (out / "MODEL_CARD.md").read_text()
    assert "not for a study" in card
    assert "conjugate" in card
    assert "I, V1, V2, V3, V4, V5, V6, aVF" in card


def test_a_converted_checkpoint_draws_from_the_command(
    converted: tuple[Path, dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = converted
    command = ("sample", "--rhythm", "AF", "--n", 2, "--seed", 4, "--steps", 4, "--checkpoint", out)
    assert "All 2 samples were rejected (fewer than 4 QRS complexes: 2)" in fails(*command, "--out", tmp_path / "noise")
    monkeypatch.setattr("generator.quality_control.check", lambda *_: None)  # random weights draw noise
    made = run("sample", "--rhythm", "AF", "--n", 2, "--seed", 4, "--steps", 4, "--checkpoint", out, "--out", tmp_path / "af")
    assert made["checkpoint"] == checkpoint_sha256(out)
    assert made["drawn"] + made["rejected"] == 2
    assert "Leave guidance at 1" in fails(
        "sample", "--rhythm", "AF", "--n", 1, "--seed", 4, "--guidance", 2, "--checkpoint", out, "--out", tmp_path / "guided"
    )
    assert "no rhythm track" in fails(
        "sample", "--rhythm", "AF", "--n", 1, "--seed", 4, "--heart-rate", 70, "--checkpoint", out, "--out", tmp_path / "paced"
    )


@pytest.mark.parametrize("left_out", ["--kernel", "--lead-order", "--units"])
def test_nothing_is_guessed(published: tuple[object, ...], tmp_path: Path, left_out: str) -> None:
    at = STATED.index(left_out)
    assert left_out in fails(*published, *STATED[:at], *STATED[at + 2 :], "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--lead-order", "I,V1,V2,V3,V4,V5,V6"), "V1 to V6 and two limb leads"),
        (("--lead-order", "I,V1,V2,V3,V4,V5,V6,aVX"), "V1 to V6 and two limb leads"),
        (("--units", "volts"), "invalid choice: 'volts'"),
        (("--units", "min-max"), "--lead-offsets and --lead-scales"),
        (("--units", "min-max", "--lead-offsets=1,2,none", "--lead-scales=1"), "are no numbers with commas"),
        (("--nsr-labels", "7,15"), "--af-labels together"),
        (("--nsr-labels", "7,15", "--af-labels", "-2"), "are no positions such as 7,15"),
        (("--nsr-labels", "7,15", "--af-labels", "99"), "position 99"),
        (("--config", "{ward}/labels.csv"), "is not JSON"),
        (("--config", "{tmp}/none.json"), "does not exist"),
    ],
)
def test_what_cannot_be_is_refused(published: tuple[object, ...], ward: Path, tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    said = [word.format(ward=ward, tmp=tmp_path) for word in more]
    assert words in fails(*published, *STATED, *said, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_file_that_is_no_checkpoint_and_a_folder_in_use_are_refused(published: tuple[object, ...], ward: Path, tmp_path: Path) -> None:
    command, _file, *rest = published
    assert "be read safely" in fails(command, ward / "labels.csv", *rest, *STATED, "--out", tmp_path / "out")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("Dear colleague")
    assert "holds files already" in fails(*published, *STATED, "--out", tmp_path / "used")


def test_a_checkpoint_that_does_not_tell_its_kernel_form_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(shipped_checkpoint(), folder)
    values = json.loads((folder / "config.json").read_text())
    del values["network"]["kernel_form"]
    (folder / "config.json").write_text(json.dumps(values))
    assert "network.kernel_form" in fails("sample", "--rhythm", "AF", "--n", 1, "--seed", 1, "--checkpoint", folder, "--out", tmp_path / "out")


def test_the_speed_of_drawing_is_measured_beside_the_published_way() -> None:
    answer = run("bench", "sampling", "--networks", "default", "--steps", 4)
    [(name, measured)] = answer.items()
    assert name == "default"
    assert measured["steps"] == 4
    assert measured["parameters"] == 2_317_452
    for figure in ("seconds_per_strip", "peak_memory_mb", "ratio_to_published"):
        assert measured[figure] > 0
    assert "no network 'big'" in fails("bench", "sampling", "--networks", "big")
