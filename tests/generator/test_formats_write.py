"""Strips written for other programs: read back to half a count, and nobody can take a synthetic one for a patient's."""

from __future__ import annotations

import io
from pathlib import Path

import edfio
import numpy as np
import pydicom
import pytest

from generator import formats
from generator.errors import GeneratorError
from generator.formats import Leads, Stated
from generator.formats.write import FORMS, strip_as
from generator.leads import LEADS
from generator.recordings.wfdb_record import read_leads
from generator.simulate import stand_in
from generator.strip import MICROVOLTS_PER_COUNT, RATE, Counts, millivolts

COUNTS = stand_in("AF", 3)
TOLD = ["arm: synthetic", "rhythm: AF, as asked for", "strip_sha256: " + "a" * 64]


def read_back(form: str, files: dict[str, bytes], folder: Path) -> Leads:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = folder / min(files)
    return read_leads(path.with_suffix("")) if form == "wfdb" else formats.read(path, Stated(RATE, "uV"))


def extreme() -> Counts:
    """The largest amplitudes that a limb lead and its sums may have in 16 bit."""
    counts = COUNTS.copy()
    counts[:, ::7] = np.array([2000, -2000, 4000, -4000, 1, -1, 4000, 0], dtype=np.int16)[:, None]
    return counts


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("counts", [COUNTS, extreme()], ids=["a strip", "extreme"])
@pytest.mark.parametrize("synthetic", [True, False])
def test_what_is_read_back_differs_by_less_than_half_a_count(form: str, counts: Counts, synthetic: bool, tmp_path: Path) -> None:
    leads = read_back(form, strip_as(form, "case", counts, synthetic=synthetic, told=TOLD), tmp_path)
    assert ([name.removeprefix("ECG ") for name in leads.names], leads.rate) == (list(LEADS), RATE)
    assert np.abs(leads.millivolts - millivolts(counts)).max() * 1000 <= MICROVOLTS_PER_COUNT / 2
    assert np.abs(leads.millivolts - millivolts(counts)).max() * 1000 < 0.01  # half counts are exact in all four


@pytest.mark.parametrize("form", FORMS)
def test_every_format_says_that_a_strip_is_synthetic_and_never_of_a_recorded_one(form: str) -> None:
    synthetic = strip_as(form, "case", COUNTS, synthetic=True, told=TOLD)
    assert any(b"SYNTHETIC" in content for content in synthetic.values())
    recorded = strip_as(form, "case", COUNTS, synthetic=False, told=["recorded from a patient"])
    assert not any(b"SYNTHETIC" in content for content in recorded.values())
    assert synthetic == strip_as(form, "case", COUNTS, synthetic=True, told=TOLD)


def test_dicom_says_it_wherever_a_viewer_shows_whose_ecg_it_is(tmp_path: Path) -> None:
    (content,) = strip_as("dicom", "case", COUNTS, synthetic=True, told=TOLD).values()
    found = pydicom.dcmread(io.BytesIO(content))
    for field in ("PatientName", "PatientID", "PatientComments", "StudyDescription", "SeriesDescription", "DerivationDescription", "StudyID"):
        assert str(found[field].value).startswith("SYNTHETIC"), field
    (group,) = found.WaveformSequence
    assert (group.WaveformOriginality, found.ContentQualification, found.PatientIdentityRemoved) == ("DERIVED", "RESEARCH", "YES")
    assert all(channel.ChannelLabel.endswith("SYNTHETIC") for channel in group.ChannelDefinitionSequence)
    assert all(line in found.PatientComments for line in TOLD)


def test_edf_says_it_as_the_patient_in_each_signal_and_as_an_annotation() -> None:
    (content,) = strip_as("edf", "case", COUNTS, synthetic=True, told=TOLD).values()
    found = edfio.read_edf(io.BytesIO(content))
    assert found.patient.code == "SYNTHETIC"
    assert {signal.transducer_type for signal in found.signals} == {"SYNTHETIC"}
    assert [one.text for one in found.annotations][1:] == TOLD
    assert found.annotations[0].text.startswith("SYNTHETIC")


def test_csv_says_it_in_every_row() -> None:
    (content,) = strip_as("csv", "case", COUNTS, synthetic=True).values()
    head, *rows = content.decode().splitlines()
    assert head == ",".join([*LEADS, "origin"])
    assert len(rows) == 1000
    assert all(row.endswith(",SYNTHETIC") for row in rows)


@pytest.mark.parametrize("form", FORMS)
def test_amplitudes_beyond_16_bit_are_refused(form: str) -> None:
    with pytest.raises(GeneratorError, match="cannot be written as 16 bit"):
        strip_as(form, "case", np.full((8, 1000), 20_000, dtype=np.int16), synthetic=True)
