"""Files that carts and other programs wrote: Einthoven's law, the heart rate that the file itself gives, and one ECG in three formats."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

from generator import formats
from generator.beats import r_peaks, rr_intervals
from generator.errors import Refused
from generator.formats import Leads
from generator.leads import LEADS, lead_name
from generator.strip import canonical

KINDS = {
    "cardio_sample.dcm": "dicom",
    "ecgtoolkit_Example.dcm": "dicom",
    "ecgtoolkit_Example.scp": "scp",
    "fda_subject1_0.xml": "xml",
    "liryc_hl7aecg_example.xml": "xml",
    "sierra_1_03_129DYPRG.XML": "xml",
    "sierra_1_04_01.xml": "xml",
}
COUNT = 0.005  # mV: none of them is finer than 2.5 µV, none coarser than 5


@pytest.fixture(scope="module")
def samples(shared: Path) -> dict[str, Leads]:
    return {name: formats.read(shared / "data" / "formats" / name) for name in KINDS}


def rows(leads: Leads) -> dict[str | None, np.ndarray]:
    return {lead_name(name): row for name, row in zip(leads.names, leads.millivolts, strict=True)}


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_is_a_twelve_lead_ecg(samples: dict[str, Leads], shared: Path, name: str) -> None:
    assert formats.kind(shared / "data" / "formats" / name) == KINDS[name]
    found = rows(samples[name])
    assert set(found) == set(LEADS)
    apart = found["II"] - found["I"] - found["III"]
    if name.startswith("liryc"):  # a simulator's: offsets of its own in each lead, and augmented leads that follow from nothing
        assert np.ptp(apart - np.median(apart)) < 0.02 * np.ptp(found["II"])
        return
    assert np.abs(apart).max() <= 2 * COUNT + 1e-9
    for lead, one, two in (("aVR", -0.5, -0.5), ("aVL", 1, -0.5), ("aVF", -0.5, 1)):  # Goldberger 1942; carts round each
        assert np.abs(found[lead] - one * found["I"] - two * found["II"]).max() <= 2 * COUNT + 1e-9
    assert all(0.1 < np.ptp(row) < 6 for row in found.values())


def heart_rate(leads: Leads) -> float:
    return 60 / float(np.median(rr_intervals(r_peaks(canonical(leads.millivolts, leads.rate, leads.names)))))


def test_the_heart_rate_is_what_the_file_says(samples: dict[str, Leads], shared: Path) -> None:
    """Not of liryc's: it says 57/min and 10 ms a sample, and holds two beats, 500 samples apart. Of the three others no one says."""
    folder = shared / "data" / "formats"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notes = pydicom.dcmread(folder / "cardio_sample.dcm").WaveformAnnotationSequence
    coded = {str(note.ConceptNameCodeSequence[0].CodeMeaning): note.get("NumericValue") for note in notes if "ConceptNameCodeSequence" in note}
    said = {"cardio_sample.dcm": float(coded["Ventricular Heart Rate"])}
    for name, encoding, pattern in (
        ("sierra_1_03_129DYPRG.XML", "utf-8", r"<heartrate>(\d+)<"),
        ("sierra_1_04_01.xml", "utf-16", r"<heartrate[^>]*>(\d+)<"),
    ):
        [first, *_] = re.findall(pattern, (folder / name).read_text(encoding=encoding), re.DOTALL)
        said[name] = float(first)
    assert said == {"cardio_sample.dcm": 80, "sierra_1_03_129DYPRG.XML": 41, "sierra_1_04_01.xml": 64}
    for name, rate in said.items():
        assert heart_rate(samples[name]) == pytest.approx(rate, abs=2), name


def test_one_ecg_in_three_formats_is_one_ecg(samples: dict[str, Leads]) -> None:
    aecg, *others = (rows(samples[name]) for name in ("fda_subject1_0.xml", "ecgtoolkit_Example.dcm", "ecgtoolkit_Example.scp"))
    for other in others:
        for lead in LEADS:
            assert np.allclose(aecg[lead], other[lead], atol=1e-9)


def test_the_calibration_pulse_of_philips_is_cut_off(samples: dict[str, Leads]) -> None:
    assert [samples[name].millivolts.shape[1] for name in ("sierra_1_03_129DYPRG.XML", "sierra_1_04_01.xml")] == [5264, 5300]


@pytest.mark.parametrize("name", KINDS)
def test_half_a_sample_is_refused(shared: Path, tmp_path: Path, name: str) -> None:
    content = (shared / "data" / "formats" / name).read_bytes()
    (tmp_path / "half").write_bytes(content[: len(content) // 2])
    with pytest.raises(Refused):
        formats.read(tmp_path / "half")
