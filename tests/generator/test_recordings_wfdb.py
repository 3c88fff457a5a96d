"""One WFDB record: its unit is respected, and each thing that can be wrong with it has its reason; nothing else is ever raised."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.errors import Refused
from generator.recordings import Candidate, read
from generator.recordings.wfdb_record import read_leads
from generator.strip import canonical
from tests.wfdb_files import LEADS, edit_header, signals, write_record


def refusal(record: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        read(Candidate(record, record.name, "test", "NSR", "p"))
    assert record.name in str(caught.value)
    return caught.value


@pytest.mark.parametrize(("unit", "gain"), [("mV", 1000.0), ("uV", 1.0), ("V", 1e6), ("nV", 0.001)])
def test_units_are_converted(tmp_path: Path, unit: str, gain: float) -> None:
    record = write_record(tmp_path, "r", signals(1), unit=unit, gain=gain)
    np.testing.assert_allclose(read_leads(record).millivolts, signals(1), atol=0.0006)


@pytest.mark.parametrize("written", ["uV", "µV", "μV", "UV"])
def test_microvolts_in_every_spelling(tmp_path: Path, written: str) -> None:
    record = write_record(tmp_path, "r", signals(1), unit="uV", gain=1.0)
    edit_header(record, "/uV", f"/{written}")
    np.testing.assert_allclose(read_leads(record).millivolts, signals(1), atol=0.0006)


def test_without_a_unit_the_format_means_millivolts(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r", signals(1))
    edit_header(record, "/mV", "")
    np.testing.assert_allclose(read_leads(record).millivolts, signals(1), atol=0.003)


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r", signals(1))
    edit_header(record, "/mV", "/mmHg")
    assert refusal(record).reason == "unknown unit"


def test_a_signal_that_is_no_lead_may_have_any_unit(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r", np.vstack([signals(1), np.ones(1000)]), leads=(*LEADS, "SpO2"))
    text = record.with_suffix(".hea").read_text().splitlines()
    text[-1] = text[-1].replace("/mV", "/%")
    record.with_suffix(".hea").write_text("\n".join(text) + "\n")
    assert read_leads(record).names == list(LEADS)


@pytest.mark.parametrize("gain", ["", "0", "0(0)/mV", "0.0/mV", "..", "2..0(0)/mV"])
def test_without_a_gain_the_amplitude_is_unknown(tmp_path: Path, gain: str) -> None:
    record = write_record(tmp_path, "r", signals(1))
    edit_header(record, " 200.0(0)/mV 16 0", f" {gain} 16 0" if gain else "")
    assert refusal(record).reason == "unknown unit"


@pytest.mark.parametrize("left", [0, 1, 12_000, 23_976, 23_999])
def test_a_truncated_dat_is_refused(tmp_path: Path, left: int) -> None:
    record = write_record(tmp_path, "r", signals(1))
    data = record.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:left])
    assert refusal(record).reason == "truncated samples"


@pytest.mark.parametrize("suffix", [".dat", ".hea"])
def test_a_missing_file_is_refused(tmp_path: Path, suffix: str) -> None:
    record = write_record(tmp_path, "r", signals(1))
    record.with_suffix(suffix).unlink()
    assert refusal(record).reason == "missing file"


def test_a_truncated_flac_is_refused(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "ptbxl" / "records100" / "01000" / "01119_lr"
    for suffix in (".hea", "_1.dat", "_2.dat"):
        data = source.with_name(source.name + suffix).read_bytes()
        (tmp_path / f"01119_lr{suffix}").write_bytes(data[: len(data) // 2] if suffix == "_2.dat" else data)
    assert refusal(tmp_path / "01119_lr").reason in ("truncated samples", "unreadable record")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("r 12 100 1000", "r 12 100 2000000000"),
        ("r 12 100 1000", "r 12 0 1000"),
        ("r 12 100 1000", "r 12 fast 1000"),
        ("r 12 100 1000", "r 12"),
        ("r 12 100 1000", "r 13 100 1000"),
        ("r 12 100 1000", "r 0 100 1000"),
        ("r 12 100 1000", "r 12 nan 1000"),
        ("r 12 100 1000", "r 12 100000 999999999"),
        ("r 12 100 1000", "r/3 12 100 1000"),
        ("r 12 100 1000", "completely different"),
        ("r.dat 16 ", "../r.dat 16 "),
        ("r.dat 16 ", "/dev/zero 16 "),
        ("r.dat 16 ", "x::http://127.0.0.1/r.dat 16 "),
        ("r 12 100 1000", "r 12 100 " + "9" * 5000),
        ("r 12 100 1000", "r 12 100 1000\n" + "#" * 70_000),
        ("r.dat 16 ", "r.dat 99 "),
        ("r.dat 16 ", "r.dat 16x99999999 "),
        (" V2\n", " V1\n"),
        (" V2\n", "\n"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, old: str, new: str) -> None:
    record = write_record(tmp_path, "r", signals(1))
    edit_header(record, old, new)
    assert refusal(record).reason in {"wrong header", "unreadable record", "truncated samples", "missing lead"}


@given(st.binary(max_size=400))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_a_header_are_refused_and_never_a_traceback(tmp_path: Path, header: bytes) -> None:
    record = write_record(tmp_path, "r", signals(1))
    record.with_suffix(".hea").write_bytes(header)
    refusal(record)


@given(st.integers(0, 700), st.sampled_from([b"0", b"9", b" ", b"\n", b"/", b"(", b"x", b"-", b"\xff", b""]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_header_with_one_wrong_character_is_read_or_refused(tmp_path: Path, at: int, character: bytes) -> None:
    record = write_record(tmp_path, "r", signals(1))
    header = record.with_suffix(".hea").read_bytes()
    record.with_suffix(".hea").write_bytes(header[:at] + character + header[at + 1 :])
    with contextlib.suppress(Refused):  # anything else fails
        read(Candidate(record, "r", "test", "NSR", "p"))


def test_a_sample_marked_as_missing_is_refused(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r", signals(1))
    data = bytearray(record.with_suffix(".dat").read_bytes())
    data[12_000:12_002] = (-32768).to_bytes(2, "little", signed=True)
    record.with_suffix(".dat").write_bytes(data)
    assert refusal(record).reason == "missing samples (NaN)"


def test_gains_that_break_einthovens_triangle_are_refused(tmp_path: Path) -> None:
    record = write_record(tmp_path, "r", signals(1))
    lines = record.with_suffix(".hea").read_text().splitlines()
    lines[2] = lines[2].replace("200.0(0)", "400.0(0)")  # lead II
    record.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    assert refusal(record).reason == "limb leads contradict each other"


def test_ludbs_normalised_headers_are_refused(shared: Path) -> None:
    records = sorted((shared / "data" / "ludb" / "data").glob("*.hea"))
    reasons = [refusal(header.with_suffix("")).reason for header in records[:1]]
    assert reasons == ["limb leads contradict each other"]


def test_of_a_long_record_only_the_middle_is_read(tmp_path: Path) -> None:
    mv = signals(1, rate=100, seconds=600) * np.linspace(1, 2, 60_000)
    record = write_record(tmp_path, "r", mv)
    assert read_leads(record).millivolts.shape[1] < 1500
    rounded = np.rint(mv * 200) / 200
    expected = canonical(rounded, 100, LEADS)
    assert np.abs(read(Candidate(record, "r", "test", "NSR", "p")).counts - expected.astype(int)).max() <= 1
