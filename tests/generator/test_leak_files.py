"""The leak gate over files as they are: arms that differ by one thing of their format are refused, and pass once they are in the canonical form."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from generator.errors import GeneratorError
from generator.leads import LEADS
from generator.leak import LeakReport, leak, leak_as_is
from generator.leak_features import FEATURES, measure
from generator.leak_files import files_in, read_files
from generator.recordings import find, read_all
from generator.recordings.wfdb_record import read_leads
from generator.strip import STORED
from tests.wfdb_files import edit_header, signals, write_record

Hearts = list[NDArray[np.float64]]  # (12, samples) mV each
ARM = 8


@pytest.fixture(scope="module")
def simulated() -> Hearts:
    return [0.987 * signals(seed, rhythm) for seed in range(ARM // 2) for rhythm in ("NSR", "AF")]


def recorded(shared: Path) -> Hearts:
    """Recordings of PTB-XL, half of each rhythm."""
    candidates = find(shared / "data" / "ptbxl").candidates
    chosen = [one for rhythm in ("NSR", "AF") for one in [one for one in candidates if one.rhythm == rhythm][: ARM // 2]]
    return [read_leads(one.path).millivolts for one in chosen]


def folder(at: Path, hearts: Hearts, **written: float) -> Path:
    for i, heart in enumerate(hearts):
        write_record(at, f"r{i}", heart, **{"gain": 1000.0, **written})  # type: ignore[arg-type]
    (at / "labels.csv").write_text("record,rhythm\n" + "".join(f"r{i},NSR\n" for i in range(len(hearts))))
    return at


def as_they_are(*arms: Path) -> LeakReport:
    (real, no_fault), (synthetic, none_either) = (read_files(files_in(arm)) for arm in arms)
    assert not no_fault
    assert not none_either
    return leak_as_is(real, synthetic, seed=3)


def canonical(*arms: Path) -> LeakReport:
    found = [[read.counts for _, read in read_all(find(arm).candidates) if not isinstance(read, Exception)] for arm in arms]
    assert [len(one) for one in found] == [ARM, ARM]
    return leak(np.stack(found[0]), np.stack(found[1]), seed=3)


def _coarse(hearts: Hearts, at: Path) -> Path:
    return folder(at, hearts, gain=400.0)


def _offset(hearts: Hearts, at: Path) -> Path:
    return folder(at, [heart + 0.3 for heart in hearts])


def _limb_leads(hearts: Hearts, at: Path) -> Path:
    """The four that follow from I and II off by 2 microvolts, as amplifiers of their own leave them."""
    noise = np.random.default_rng(5)
    changed = [heart.copy() for heart in hearts]
    for heart in changed:
        heart[2:6] += noise.normal(0, 0.002, heart[2:6].shape)
    return folder(at, changed)


FAULTS: dict[str, Callable[[Hearts, Path], Path]] = {"quantisation step": _coarse, "offset": _offset, "limb-lead residual": _limb_leads}


def refused_and_passed(hearts: Hearts, tmp_path: Path, feature: str) -> None:
    """The same hearts in both arms: nothing but the fault can tell them apart."""
    real, synthetic = folder(tmp_path / "real", hearts), FAULTS[feature](hearts, tmp_path / "synthetic")
    before = as_they_are(real, synthetic)
    assert (before.verdict, before.worst_feature, before.features[feature]) == ("refuse", feature, 1.0)
    assert "canonical form" in before.remedy
    after = canonical(real, synthetic)
    assert after.verdict == "open", after
    assert after.features[feature] < 0.6


@pytest.mark.parametrize("feature", FAULTS)
def test_simulated_arms_that_differ_by_one_thing_only(simulated: Hearts, tmp_path: Path, feature: str) -> None:
    refused_and_passed(simulated, tmp_path, feature)


@pytest.mark.parametrize("feature", FAULTS)
def test_real_recordings_that_differ_by_one_thing_only(shared: Path, tmp_path: Path, feature: str) -> None:
    refused_and_passed(recorded(shared), tmp_path, feature)


def test_real_recordings_as_they_are_differ_in_nothing_from_others_of_their_kind(shared: Path) -> None:
    read, refused = read_files(files_in(shared / "data" / "ptbxl")[:48])
    assert not refused
    assert leak_as_is(read[::2], read[1::2], seed=1).verdict != "refuse"


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        (lambda hearts, at: [write_record(at, f"r{i}", np.tile(heart, 2)) for i, heart in enumerate(hearts)], "sample count"),
        (lambda hearts, at: [write_record(at, f"r{i}", heart, rate=200) for i, heart in enumerate(hearts)], "sampling rate"),
        (lambda hearts, at: [write_record(at, f"r{i}", heart[::-1], leads=LEADS[::-1]) for i, heart in enumerate(hearts)], "lead layout"),
        (lambda hearts, at: [write_record(at, f"r{i}", heart[:3], leads=LEADS[:3]) for i, heart in enumerate(hearts)], "lead layout"),
        (lambda hearts, at: [write_record(at, f"r{i}", np.rint(heart * 100) / 100) for i, heart in enumerate(hearts)], "low bit"),
    ],
)
def test_files_of_any_shape_are_looked_at(simulated: Hearts, tmp_path: Path, change: Callable[[Hearts, Path], Sequence[Path]], feature: str) -> None:
    """No table is needed: the files are all there is."""
    for i, heart in enumerate(simulated):
        write_record(tmp_path / "real", f"r{i}", heart)
    change(simulated, tmp_path / "synthetic")
    report = as_they_are(tmp_path / "real", tmp_path / "synthetic")
    assert report.verdict == "refuse"
    assert report.features[feature] == 1.0


def test_the_unit_of_a_file_is_no_difference(simulated: Hearts, tmp_path: Path) -> None:
    """Microvolts at 0.2 units each are millivolts at 200 units each: the same numbers."""
    for unit, gain in (("mV", 200.0), ("uV", 0.2)):
        for i, heart in enumerate(simulated):
            write_record(tmp_path / unit, f"r{i}", np.rint(heart * 200) / 200, unit=unit, gain=gain)
    (one, _), (other, _) = (read_files(files_in(tmp_path / unit)) for unit in ("mV", "uV"))
    assert np.allclose(measure(one).features, measure(other).features)
    assert measure(one).features[:, list(FEATURES).index("quantisation step")] == pytest.approx(5.0)


def test_files_that_cannot_be_read_are_refused_with_their_names(simulated: Hearts, tmp_path: Path) -> None:
    write_record(tmp_path, "good", simulated[0])
    edit_header(write_record(tmp_path, "bad", simulated[1]), "/mV", "/mmHg")
    write_record(tmp_path, "other", simulated[2][:2], leads=("PLETH", "RESP"))
    gap = simulated[3].copy()
    record = write_record(tmp_path, "gap", gap)
    data = np.fromfile(record.with_suffix(".dat"), "<i2")
    data[100] = -32768  # WFDB's mark for a sample that is missing
    data.tofile(record.with_suffix(".dat"))
    read, refused = read_files(files_in(tmp_path))
    assert len(read) == 1
    assert sorted(one.reason for one in refused) == ["missing lead", "missing samples (NaN)", "unknown unit"]
    assert all(str(tmp_path) in str(one) for one in refused)


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match=r"neither a table .* nor a WFDB record"):
        files_in(tmp_path)
    with pytest.raises(GeneratorError, match="no such folder"):
        files_in(tmp_path / "nothing")


def test_files_that_are_too_short_are_refused_by_name(simulated: Hearts, tmp_path: Path) -> None:
    write_record(tmp_path, "long", simulated[0])
    write_record(tmp_path, "short", simulated[0][:, :150])
    read, [refused] = read_files(files_in(tmp_path))
    assert len(read) == 1
    assert refused.reason == "too short"
    assert re.search(r"short: 1\.5 s.*Leave it out", str(refused))


def test_a_signal_that_is_no_lead_keeps_its_unit(simulated: Hearts, tmp_path: Path) -> None:
    """A respiration in ohms beside the leads."""
    record = write_record(tmp_path, "with", np.vstack([simulated[0], simulated[0][:1]]), leads=(*LEADS, "RESP"))
    header = record.with_suffix(".hea")
    *lines, breath = header.read_text().splitlines()
    header.write_text("\n".join([*lines, breath.replace("/mV", "/Ohm")]) + "\n")
    write_record(tmp_path, "without", simulated[0])
    read, refused = read_files(files_in(tmp_path))
    assert refused == []
    assert np.array_equal(*measure(read).features)


def test_eight_leads_are_as_good_as_twelve(simulated: Hearts, tmp_path: Path) -> None:
    """A file of the eight stored leads in their order has no limb-lead residual and no lead out of place."""
    rows = [LEADS.index(lead) for lead in STORED]
    write_record(tmp_path, "eight", simulated[0][rows], leads=STORED)
    features = dict(zip(FEATURES, measure(read_files(files_in(tmp_path))[0]).features[0], strict=True))
    assert (features["limb-lead residual"], features["lead layout"]) == (0.0, 0.0)
