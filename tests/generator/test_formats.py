"""One strip in every format that tests can write comes back the same to half a count; what a file does not say is refused, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from generator import formats
from generator.errors import GeneratorError, Refused
from generator.formats import Leads, Stated
from generator.leads import LEADS, STORED, lead_name
from generator.recordings import find, read
from generator.recordings.wfdb_record import read_leads
from generator.simulate import stand_in
from generator.strip import millivolts
from tests.format_files import MICROVOLTS, aecg, counts, eight, group, write_csv, write_dicom, write_edf
from tests.wfdb_files import signals, write_record

HALF_A_COUNT = MICROVOLTS / 2000 + 1e-9  # mV
CSV = Stated(rate=500, unit="uV")
ALL = Stated(rate=500, unit="uV", leads=LEADS)


@pytest.fixture(scope="module")
def mv() -> NDArray[np.float64]:
    """A stand-in's twelve leads at 500 samples/s."""
    return signals(1, rate=500)


def in_wfdb(folder: Path, mv: NDArray[np.float64]) -> Leads:
    return read_leads(write_record(folder, "r", mv, rate=500))


def in_dicom(folder: Path, mv: NDArray[np.float64]) -> Leads:
    return formats.read(write_dicom(folder / "r", [group(mv, 500)]))


def in_edf(folder: Path, mv: NDArray[np.float64]) -> Leads:
    return formats.read(write_edf(folder / "r", mv, 500))


def in_bdf(folder: Path, mv: NDArray[np.float64]) -> Leads:
    return formats.read(write_edf(folder / "r", mv, 500, bdf=True))


def in_aecg(folder: Path, mv: NDArray[np.float64]) -> Leads:
    (folder / "r").write_text(aecg(mv, 500))
    return formats.read(folder / "r")


def in_csv(folder: Path, mv: NDArray[np.float64]) -> Leads:
    return formats.read(write_csv(folder / "r", mv), CSV)


def in_csv_of_europe(folder: Path, mv: NDArray[np.float64]) -> Leads:
    return formats.read(write_csv(folder / "r", mv, header=False, separator=";"), ALL)


def in_numpy(folder: Path, mv: NDArray[np.float64]) -> Leads:
    with (folder / "r").open("wb") as file:
        np.save(file, counts(mv) * MICROVOLTS)
    return formats.read(folder / "r", ALL)


EVERY: list[Callable[[Path, NDArray[np.float64]], Leads]] = [in_wfdb, in_dicom, in_edf, in_bdf, in_aecg, in_csv, in_csv_of_europe, in_numpy]


@pytest.mark.parametrize("written", EVERY)
def test_a_strip_comes_back_to_half_a_count(tmp_path: Path, mv: NDArray[np.float64], written: Callable[[Path, NDArray[np.float64]], Leads]) -> None:
    leads = written(tmp_path, mv)
    assert [lead_name(name) for name in leads.names] == list(LEADS)
    assert leads.rate == 500
    assert leads.millivolts.shape == mv.shape
    assert np.abs(leads.millivolts - mv).max() <= HALF_A_COUNT


def test_every_format_gives_the_same_strip(tmp_path: Path) -> None:
    """On the grid of counts nothing is lost: the canonical form cannot tell the formats apart."""
    mv = millivolts(stand_in("AF", 3))
    mv[3:6] = 0  # half-counts, and never used
    strips = set()
    files = {"a.dcm": lambda file: write_dicom(file, [group(mv, 100)]), "b.edf": lambda file: write_edf(file, mv, 100)}
    files |= {"c.xml": lambda file: file.write_text(aecg(mv, 100)), "d.csv": lambda file: write_csv(file, mv)}
    for name, write in files.items():
        write(tmp_path / name)
    write_record(tmp_path, "e", mv)
    (tmp_path / "labels.csv").write_text("record,rhythm,rate,unit\na,AF,,\nb.edf,AF,,\nc.xml,AF,,\nd.csv,AF,100,uV\ne,AF,,\n")
    for candidate in find(tmp_path).candidates:
        strips.add(read(candidate).counts.tobytes())
    assert len(strips) == 1


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(np.int16, (8, 40), elements=st.integers(-3000, 3000)),
    st.sampled_from([0.5, 1.0, 2.44, 4.88, 5.0]),
    st.sampled_from(["uV", "mV", "nV"]),
    st.floats(-500, 500),
)
def test_any_calibration_gives_millivolts(
    tmp_path_factory: pytest.TempPathFactory, raw: NDArray[np.int16], step: float, unit: str, offset: float
) -> None:
    """step, offset: in µV; the files hold them in their own unit."""
    mv, per_uv = raw * step / 1000, {"uV": 1.0, "mV": 1e-3, "nV": 1e3}[unit]
    folder, own = tmp_path_factory.mktemp("any"), round(offset * per_uv, 6)
    half = step / 2000 + 1e-6
    (folder / "x").write_text(aecg(mv, 250, STORED, step=step * per_uv, unit=unit, origin=own))
    made = group(mv, 250, STORED, unit=unit, step=step * per_uv, ChannelBaseline=own, ChannelSensitivityCorrectionFactor=0.98)
    for file in (folder / "x", write_dicom(folder / "d", [made])):
        assert np.abs(formats.read(file).millivolts - mv).max() <= half


# ---- what is not said, or said wrongly ----


def refusal(file: Path, stated: Stated | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        formats.read(file, stated)
    assert str(file) in str(refused.value)
    assert str(refused.value).count(". ") >= 1  # a remedy follows
    return refused.value


def test_the_kind_is_told_by_content(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    assert formats.kind(write_dicom(tmp_path / "a.edf", [group(mv, 500)])) == "dicom"
    assert formats.kind(write_edf(tmp_path / "a.dcm", mv, 500)) == "edf"
    (tmp_path / "a.csv").write_text(aecg(mv[:, :10], 500))
    assert formats.kind(tmp_path / "a.csv") == "xml"
    (tmp_path / "page.dcm").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n\0")
    assert refusal(tmp_path / "page.dcm").reason == "unknown format"
    (tmp_path / "page.xml").write_text("<html><body>ECG</body></html>")
    assert refusal(tmp_path / "page.xml").reason == "unknown format"


def test_an_array_says_neither_rate_nor_unit_nor_order(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    np.save(tmp_path / "a.npy", eight(mv).T)
    for stated in (None, Stated(rate=500), Stated(unit="mV"), Stated(rate=500, unit="mV")):
        assert refusal(tmp_path / "a.npy", stated).reason == "not stated"
    assert refusal(tmp_path / "a.npy", Stated(500, "furlong", STORED)).reason == "unknown unit"
    assert refusal(tmp_path / "a.npy", Stated(500, "mV", LEADS)).reason == "wrong header"
    assert np.array_equal(formats.read(tmp_path / "a.npy", Stated(500, "mV", STORED)).millivolts, eight(mv))
    np.save(tmp_path / "b.npy", np.array([object()]), allow_pickle=True)
    assert refusal(tmp_path / "b.npy", ALL).reason == "unreadable record"


def test_a_csv_whose_columns_have_no_names(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    file = write_csv(tmp_path / "a.csv", mv, header=False)
    assert refusal(file, CSV).reason == "not stated"
    assert refusal(file, Stated(500, "uV", STORED)).reason == "wrong header"
    file.write_text("name,I,II\nWilhelmine,0.1,0.2\nWilhelmine,Musterfrau,0.2\n")
    assert "Musterfrau" not in str(refusal(file, CSV))


def test_several_groups_of_one_moment_are_one_recording(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    three = [group(mv[at : at + 4], 500, LEADS[at : at + 4]) for at in (0, 4, 8)]
    median = group(mv[:, :600], 500, WaveformOriginality="DERIVED", MultiplexGroupLabel="MEDIAN BEAT")
    leads = formats.read(write_dicom(tmp_path / "a", [median, *three], general=True))
    assert leads.names == list(LEADS)
    assert np.abs(leads.millivolts - mv).max() <= HALF_A_COUNT
    for number, one in enumerate(three):
        one.MultiplexGroupTimeOffset = 2500.0 * number
    assert set(formats.read(write_dicom(tmp_path / "b", three, general=True)).names) < set(LEADS)  # which the canonical form refuses by name


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_dicom_in_any_byte_order(tmp_path: Path, mv: NDArray[np.float64], syntax: UID) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a", [group(eight(mv), 500, STORED, WaveformPaddingValue=b"\1\2")]))
    [one] = dataset.WaveformSequence
    one.WaveformData, one.WaveformPaddingValue = (
        np.frombuffer(one.WaveformData, "<i2").astype(">i2" if "Big" in syntax.name else "<i2").tobytes(),
        b"\2\1",
    )
    dataset.file_meta.TransferSyntaxUID = syntax
    order = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
    pydicom.dcmwrite(tmp_path / "b", dataset, enforce_file_format=True, **order)
    assert np.abs(formats.read(tmp_path / "b").millivolts - eight(mv)).max() <= HALF_A_COUNT


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(np.int16, (8, 40), elements=st.integers(-1000, 1000)),
    st.tuples(st.integers(-32000, -1001), st.integers(1001, 32000)),
    st.tuples(st.integers(-9999, -1), st.integers(1, 9999)),
    st.sampled_from(["uV", "mV"]),
)
def test_any_limits_of_an_edf_give_millivolts(
    tmp_path_factory: pytest.TempPathFactory, raw: NDArray[np.int16], digital: tuple[int, int], physical: tuple[int, int], unit: str
) -> None:
    """Kemp 1992: two points of a straight line, digital and physical minimum and maximum."""
    signals_of = [
        edfio.EdfSignal.from_digital(row, 40, label=name, physical_dimension=unit, physical_range=physical, digital_range=digital)
        for name, row in zip(STORED, raw, strict=True)
    ]
    file = tmp_path_factory.mktemp("edf") / "x"
    edfio.Edf(signals_of).write(file)
    expected = np.interp(raw, digital, physical) / {"uV": 1000, "mV": 1}[unit]
    assert np.allclose(formats.read(file).millivolts, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ChannelSensitivity": None}, "unknown unit"),
        ({"ChannelSensitivityUnitsSequence": []}, "unknown unit"),
        ({"unit": "mmHg"}, "unknown unit"),
        ({"SamplingFrequency": 0}, "wrong header"),
        ({"NumberOfWaveformSamples": 10**9}, "wrong header"),
        ({"NumberOfWaveformSamples": 6000}, "unreadable record"),
        ({"WaveformBitsAllocated": 8, "WaveformSampleInterpretation": "MB"}, "unreadable record"),
    ],
)
def test_dicom_that_cannot_be_told(tmp_path: Path, mv: NDArray[np.float64], fields: dict[str, object], reason: str) -> None:
    assert refusal(write_dicom(tmp_path / "a", [group(mv, 500, **fields)])).reason == reason  # type: ignore[arg-type]


def test_dicom_leads_of_different_moments_and_padding(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    one = group(mv, 500)
    one.ChannelDefinitionSequence[7].ChannelSampleSkew = 3
    assert "skew" in str(refusal(write_dicom(tmp_path / "skewed", [one])))
    padded = mv.copy()
    padded[:, -25:] = 0
    leads = formats.read(write_dicom(tmp_path / "padded", [group(padded, 500, WaveformPaddingValue=b"\0\0")]))
    assert np.isnan(leads.millivolts).sum(axis=1).tolist() == [25] * 12  # and not the zeros between
    assert refusal(write_dicom(tmp_path / "none", [])).reason == "unknown format"


def test_edf_with_gaps_cut_short_or_without_calibration(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    good = write_edf(tmp_path / "a", mv, 500).read_bytes()
    for content, reason in (
        (good.replace(b"EDF+C", b"EDF+D"), "interrupted recording"),
        (good[: len(good) // 2], "truncated samples"),
        (good.replace(b"-20000  ", b"20000   "), "unknown unit"),
        (good.replace(b"uV      ", b"mmHg    "), "unknown unit"),
        (good[:252] + b"many" + good[256:], "wrong header"),
    ):
        (tmp_path / "b").write_bytes(content)
        assert refusal(tmp_path / "b").reason == reason


def test_of_a_long_edf_the_middle_is_read(tmp_path: Path) -> None:
    long = np.tile(signals(2), (1, 60))
    leads = formats.read(write_edf(tmp_path / "a", long, 100))
    assert leads.millivolts.shape == (12, 1200)
    assert np.abs(leads.millivolts - long[:, 29400:30600]).max() <= HALF_A_COUNT


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def test_xml_brings_nothing_in_and_does_not_grow(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    good = aecg(mv[:, :100], 500)
    for content in (
        good.replace("<AnnotatedECG", BOMB + "<AnnotatedECG").replace("Musterfrau", "&b;"),
        good.replace("<AnnotatedECG", OUTSIDE + "<AnnotatedECG").replace("Musterfrau", "&a;"),
        good.replace("<componentOf>", "<componentOf>" + "<a>" * 5000 + "</a>" * 5000),
        good[:-40],
    ):
        (tmp_path / "a").write_text(content)
        refused = refusal(tmp_path / "a")
        assert refused.reason == "unreadable record"
        assert "root:" not in str(refused)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('<increment value="0.002"', '<increment value="0"', "wrong header"),
        ('<increment value="0.002" unit="s"', '<increment value="0.002" unit="h"', "wrong header"),
        ("TIME_RELATIVE", "NOTHING", "wrong header"),
        ('<scale value="5.0" unit="uV"', '<scale value="5.0"', "unknown unit"),
        ('<scale value="5.0" unit="uV"', '<scale value="5.0" unit="mm"', "unknown unit"),
        ('<scale value="5.0"', '<scale value="nan"', "wrong header"),
        ("<digits>", "<digits>Musterfrau ", "unreadable record"),
        ("LEAD_V2", "LEAD_V1", "wrong header"),
    ],
)
def test_aecg_that_cannot_be_told(tmp_path: Path, mv: NDArray[np.float64], old: str, new: str, reason: str) -> None:
    content = aecg(mv[:, :100], 500)
    assert old in content
    (tmp_path / "a").write_text(content.replace(old, new))
    refused = refusal(tmp_path / "a")
    assert refused.reason == reason
    assert "Musterfrau" not in str(refused)


# ---- the table ----


def test_a_folder_of_files_has_a_table(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    write_dicom(tmp_path / "2024" / "a.dcm", [group(mv, 500)])
    write_csv(tmp_path / "b.csv", mv)
    np.save(tmp_path / "c.npy", eight(mv))
    (tmp_path / "labels.csv").write_text(
        "record,rhythm,patient,age,sex,rate,unit,leads\na.dcm,NSR,1,60,F,,,\nb,AF,1,,,500,uV,\nc.npy,AF,2,,,500,mV,I II V1 V2 V3 V4 V5 V6\n"
    )
    found = find(tmp_path).candidates
    assert [candidate.record for candidate in found] == ["2024/a.dcm", "b.csv", "c.npy"]
    assert [candidate.stated for candidate in found][1:] == [Stated(500, "uV"), Stated(500, "mV", STORED)]
    assert [read(candidate).rate for candidate in found] == [500, 500, 500]
    write_edf(tmp_path / "b.edf", mv, 500)
    with pytest.raises(GeneratorError, match="occurs 2 times"):
        find(tmp_path)
