"""Files of the formats beside WFDB, each written with its library or by hand from its public specification."""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edfio
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, GeneralECGWaveformStorage, TwelveLeadECGWaveformStorage, generate_uid

from generator.leads import LEADS, STORED

MICROVOLTS = 5.0  # a count
CODES = dict(zip(LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))

NAME, BORN, NUMBER, WARD = "Musterfrau^Wilhelmine", "19490517", "MRN-4711-0815", "Station Zylinder"  # what must go nowhere
WHO = {"name": NAME, "born": BORN, "number": NUMBER, "ward": WARD}


def counts(mv: NDArray[np.float64], step: float = MICROVOLTS) -> NDArray[np.int16]:
    return np.rint(mv * 1000 / step).astype(np.int16)


# ---- DICOM ----


def group(
    mv: NDArray[np.float64], rate: float, leads: Sequence[str] = LEADS, *, unit: str = "uV", step: float = MICROVOLTS, **fields: Any
) -> Dataset:
    """A multiplex group of (leads, samples) mV; fields: of the group, or of each channel where they begin with Channel."""
    one, channels = Dataset(), []
    baseline, correction = float(fields.get("ChannelBaseline", 0)), float(fields.get("ChannelSensitivityCorrectionFactor", 1))
    for lead in leads:
        channel, source, units = Dataset(), Dataset(), Dataset()
        source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = f"2:{CODES[lead]}", "MDC", f"Lead {lead}"
        units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", unit
        channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [units]
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = step, correction, baseline
        channel.ChannelSampleSkew, channel.WaveformBitsStored = 0, 16
        for field, value in fields.items():
            if field.startswith("Channel"):
                setattr(channel, field, value)
        channels.append(channel)
    per_mv = {"uV": 1e3, "mV": 1.0, "nV": 1e6}.get(unit, 1e3)
    raw = np.rint((mv * per_mv - baseline) / (step * correction)).astype("<i2")
    one.WaveformOriginality, one.NumberOfWaveformChannels, one.NumberOfWaveformSamples = "ORIGINAL", len(leads), mv.shape[1]
    one.SamplingFrequency, one.MultiplexGroupTimeOffset, one.ChannelDefinitionSequence = rate, 0, channels
    one.WaveformBitsAllocated, one.WaveformSampleInterpretation, one.WaveformData = 16, "SS", raw.T.tobytes()
    for field, value in fields.items():
        if not field.startswith("Channel"):
            setattr(one, field, value)
    return one


def write_dicom(file: Path, groups: Sequence[Dataset], *, who: bool = False, general: bool = False) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = GeneralECGWaveformStorage if general else TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.WaveformSequence = "ECG", list(groups)
    if who:
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.InstitutionName = NAME, NUMBER, BORN, WARD
        private = dataset.private_block(0x0011, "Zylinder AG", create=True)
        private.add_new(0x01, "LO", f"{NAME} on {WARD}")
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)
    return file


# ---- EDF ----


def write_edf(
    file: Path, mv: NDArray[np.float64], rate: float, leads: Sequence[str] = LEADS, *, unit: str = "uV", step: float = MICROVOLTS, who: bool = False,
    bdf: bool = False,
) -> Path:  # fmt: skip
    """EDF+ in counts of so many µV; edfio's header holds eight characters a number, so limits are whole counts."""
    per_uv = {"uV": 1.0, "mV": 1e-3, "V": 1e-6}.get(unit, 1.0)
    made = edfio.BdfSignal if bdf else edfio.EdfSignal
    signals = [
        made.from_digital(
            counts(row, step).astype(np.int32 if bdf else np.int16), rate, label=f"ECG {lead}", physical_dimension=unit,
            physical_range=(-20000 * step * per_uv, 20000 * step * per_uv), digital_range=(-20000, 20000),
        )
        for lead, row in zip(leads, mv, strict=True)
    ]  # fmt: skip
    patient = recording = None
    annotations: list[edfio.EdfAnnotation] = []
    if who:
        patient = edfio.Patient(code=NUMBER, sex="F", birthdate=datetime.date(1949, 5, 17), name=NAME)
        recording = edfio.Recording(startdate=datetime.date(2019, 11, 23), hospital_administration_code=WARD.replace(" ", "_"))
        annotations = [edfio.EdfAnnotation(1.0, None, f"{NAME} moves")]
    file.parent.mkdir(parents=True, exist_ok=True)
    (edfio.Bdf if bdf else edfio.Edf)(signals, patient=patient, recording=recording, annotations=annotations).write(file)  # type: ignore[arg-type]
    return file


# ---- plain numbers ----


def write_csv(
    file: Path, mv: NDArray[np.float64], leads: Sequence[str] = LEADS, *, header: bool = True, separator: str = ",", step: float = MICROVOLTS
) -> Path:
    """Microvolts, a row a sample, in whole counts."""
    text = io.StringIO()
    np.savetxt(text, counts(mv, step).T * step, fmt="%.1f", delimiter=separator, header=separator.join(leads) if header else "", comments="")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.getvalue().replace(".", ",") if separator == ";" else text.getvalue())
    return file


# ---- XML ----


def aecg(mv: NDArray[np.float64], rate: float, leads: Sequence[str] = LEADS, *, step: float = MICROVOLTS, unit: str = "uV", origin: float = 0) -> str:
    """HL7 aECG with everything that says who it is of."""
    per_mv = {"uV": 1e3, "mV": 1.0, "nV": 1e6}.get(unit, 1e3)
    digits = np.rint((mv * per_mv - origin) / step).astype(int)
    sequences = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value xsi:type="SLIST_PQ"><origin value="{origin}" unit="{unit}"/>'
        f'<scale value="{step}" unit="{unit}"/><digits>{" ".join(map(str, row))}</digits></value></sequence></component>'
        for lead, row in zip(leads, digits, strict=True)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<id extension="{NUMBER}"/><componentOf><subject><trialSubject><id extension="{NUMBER}"/><subjectDemographicPerson><name>{NAME}</name>'
        f'<birthTime value="{BORN}"/></subjectDemographicPerson></trialSubject></subject><location><name>{WARD}</name></location></componentOf>'
        '<component><series><code code="RHYTHM"/><component><sequenceSet><component><sequence><code code="TIME_RELATIVE"/>'
        f'<value xsi:type="GLIST_PQ"><head value="0" unit="s"/><increment value="{1 / rate:.6g}" unit="s"/></value></sequence></component>'
        f"{sequences}</sequenceSet></component></series></component></AnnotatedECG>"
    )


def eight(twelve: NDArray[Any]) -> NDArray[Any]:
    """The eight stored leads of twelve, in mV or in counts."""
    return twelve[[LEADS.index(lead) for lead in STORED]]
