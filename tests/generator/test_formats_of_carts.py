"""GE MUSE XML, Philips Sierra XML and SCP-ECG: known samples come back to the count, and what a file does not say is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from generator import formats
from generator.errors import Refused
from generator.leads import LEADS, STORED
from tests.cart_files import muse, scp, sealed, sierra
from tests.format_files import MICROVOLTS, counts, eight
from tests.wfdb_files import signals


@pytest.fixture(scope="module")
def twelve() -> NDArray[np.int64]:
    """(12, 5000) counts of 5 µV; augmented leads rounded as carts round them."""
    found = counts(signals(1, rate=500)).astype(np.int64)
    one, two = found[0], found[1]
    found[2] = two - one
    found[3], found[4], found[5] = -((one + two) // 2), one - two // 2, two - one // 2
    return found


def back(file: Path, content: str | bytes) -> NDArray[np.float64]:
    """Counts, as read."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return formats.read(file).millivolts * 1000 / MICROVOLTS


def refusal(file: Path, content: str | bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        back(file, content)
    assert str(file) in str(refused.value)
    assert "Musterfrau" not in str(refused.value)
    return refused.value


def test_muse(tmp_path: Path, twelve: NDArray[np.int64]) -> None:
    stored = eight(twelve)
    assert np.allclose(back(tmp_path / "x", muse(stored.astype(np.int16))), stored, atol=1e-9)
    leads = formats.read(tmp_path / "x")
    assert (leads.rate, leads.names) == (500, list(STORED))


@settings(max_examples=25, deadline=None)
@given(arrays.arrays(np.int16, (8, 30), elements=st.integers(-32768, 32767)), st.sampled_from([1.0, 2.44, 4.88, 5.0]))
def test_any_amplitude_per_bit_of_muse_gives_millivolts(tmp_path_factory: pytest.TempPathFactory, raw: NDArray[np.int16], step: float) -> None:
    file = tmp_path_factory.mktemp("m") / "x"
    file.write_text(muse(raw, step=step))
    assert np.allclose(formats.read(file).millivolts, raw * (step / 1000), atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<SampleBase>500", "<SampleBase>0", "wrong header"),
        ("<SampleBase>500</SampleBase>", "", "wrong header"),
        (">Rhythm<", ">Median<", "wrong header"),
        ("MICROVOLTS", "Musterfrau", "unknown unit"),
        ("<LeadAmplitudeUnitsPerBit>5.0", "<LeadAmplitudeUnitsPerBit>many", "wrong header"),
        ("<LeadSampleSize>2", "<LeadSampleSize>4", "unreadable record"),
        ("<FirstSampleBaseline>0", "<FirstSampleBaseline>7", "unreadable record"),
        ("<LeadSampleCountTotal>5000", "<LeadSampleCountTotal>5001", "truncated samples"),
        ("<WaveFormData>", "<WaveFormData>*", "unreadable record"),
        ("<LeadID>V2", "<LeadID>V1", "wrong header"),
    ],
)
def test_muse_that_cannot_be_told(tmp_path: Path, twelve: NDArray[np.int64], old: str, new: str, reason: str) -> None:
    content = muse(eight(twelve).astype(np.int16))
    assert old in content
    replaced = content.replace(old, new)
    if old == "MICROVOLTS":
        with pytest.raises(Refused, match="is in 'Musterfrau'"):  # a unit is told: nobody could correct it otherwise
            back(tmp_path / "x", replaced)
    else:
        assert refusal(tmp_path / "x", replaced).reason == reason


@pytest.mark.parametrize("version", ["1.03", "1.04", "1.04.01", "1.04.02"])
@pytest.mark.parametrize("packed", [True, False])
def test_sierra(tmp_path: Path, twelve: NDArray[np.int64], version: str, packed: bool) -> None:
    assert np.allclose(back(tmp_path / "x", sierra(twelve, packed=packed, version=version)), twelve, atol=1e-9)


def test_a_pulse_of_calibration_is_no_heart_beat(tmp_path: Path, twelve: NDArray[np.int64]) -> None:
    pulse = np.zeros((12, 500), np.int64)
    pulse[:, 100:200] = 200
    read = back(tmp_path / "x", sierra(np.concatenate([twelve, pulse], axis=1)))
    assert np.allclose(read, twelve[:, : read.shape[1]], atol=1e-9)
    assert 0 <= twelve.shape[1] - read.shape[1] < 5


@settings(max_examples=25, deadline=None)
@given(arrays.arrays(np.int64, (12, 50), elements=st.integers(-5000, 5000)))
def test_whatever_sierra_packs_comes_back(tmp_path_factory: pytest.TempPathFactory, raw: NDArray[np.int64]) -> None:
    raw[2] = raw[1] - raw[0]
    raw[:2, -1] = 1, 2  # not a pulse of calibration
    raw[2, -1] = 1
    assert np.allclose(back(tmp_path_factory.mktemp("s") / "x", sierra(raw)), raw, atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (">1.04<", ">1.05<", "unknown format"),
        ("<samplingrate>500", "<samplingrate>-500", "wrong header"),
        ("<resolution>5.0", "<resolution>0", "wrong header"),
        ("<resolution>5.0</resolution>", "", "wrong header"),
        ("<bitspersample>16", "<bitspersample>12", "unreadable record"),
        ("<signaloffset>0", "<signaloffset>9", "unreadable record"),
        ('"XLI"', '"ZIP"', "unreadable record"),
        ('"Base64"', '"Hex"', "wrong header"),
        ('numberofleads="12"', 'numberofleads="13"', "wrong header"),
        ('durationperchannel="10000"', 'durationperchannel="20000"', "truncated samples"),
        ('durationperchannel="10000"', 'durationperchannel="9e99"', "wrong header"),
        ("aVR aVL", "X Y", "missing lead"),
        ("V1 V2", "V1 V1", "wrong header"),
        ("parsedwaveforms", "otherwaveforms", "wrong header"),
    ],
)
def test_sierra_that_cannot_be_told(tmp_path: Path, twelve: NDArray[np.int64], old: str, new: str, reason: str) -> None:
    content = sierra(twelve)
    assert old in content
    assert refusal(tmp_path / "x", content.replace(old, new)).reason == reason


@pytest.mark.parametrize("differences", [0, 1, 2])
@pytest.mark.parametrize("table", ["default", "own", "none"])
def test_scp(tmp_path: Path, twelve: NDArray[np.int64], differences: int, table: str) -> None:
    assert np.allclose(back(tmp_path / "x", scp(twelve, leads=LEADS, differences=differences, table=table)), twelve, atol=1e-9)
    leads = formats.read(tmp_path / "x")
    assert (leads.rate, leads.names) == (500, list(LEADS))


@settings(max_examples=25, deadline=None)
@given(arrays.arrays(np.int64, (8, 50), elements=st.integers(-8000, 8000)), st.integers(0, 2))
def test_whatever_scp_codes_comes_back(tmp_path_factory: pytest.TempPathFactory, raw: NDArray[np.int64], differences: int) -> None:
    assert np.allclose(back(tmp_path_factory.mktemp("s") / "x", scp(raw, differences=differences)), raw, atol=1e-9)


def test_scp_that_is_not_what_was_recorded(tmp_path: Path, twelve: NDArray[np.int64]) -> None:
    good = scp(twelve, leads=LEADS)
    file = tmp_path / "x"
    assert refusal(file, scp(twelve, leads=LEADS, flags=1)).reason == "high compression"
    assert refusal(file, scp(twelve, leads=LEADS, bimodal=1)).reason == "high compression"
    assert refusal(file, good[:-3]).reason == "truncated samples"
    assert refusal(file, good[:2000] + bytes([good[2000] ^ 1]) + good[2001:]).reason == "changed samples"
    assert refusal(file, sealed(good[:-300])).reason == "truncated samples"
    assert refusal(file, scp(twelve, leads=LEADS, differences=3)).reason == "wrong header"
    assert refusal(file, scp(np.concatenate([twelve, twelve[:1]]), leads=(*LEADS, "I"))).reason == "wrong header"


def test_a_strip_in_a_cart_s_files_is_the_strip_to_half_a_count(tmp_path: Path) -> None:
    mv = signals(3, rate=500)
    whole = counts(mv).astype(np.int64)
    for content in (muse(eight(whole).astype(np.int16)), scp(eight(whole))):
        assert np.abs(back(tmp_path / "x", content) * MICROVOLTS / 1000 - eight(mv)).max() <= MICROVOLTS / 2000 + 1e-9
