"""A strip as a file of another program: WFDB, DICOM waveform, EDF+ or CSV, twelve leads in steps of 2.5 microvolts, the same bytes each time.

Who reads such a file elsewhere must see what it is: a strip that no patient's heart made says SYNTHETIC where a patient's name would stand.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable, Sequence

import edfio
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

from generator.errors import GeneratorError
from generator.formats.lead_codes import LEAD_OF_CODE
from generator.formats.synthetic import SYNTHETIC
from generator.leads import LEADS
from generator.recordings.strips import HALVES, half_counts, record_files
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES, Counts

RECORDED = "RECORDED"
STEP = MICROVOLTS_PER_COUNT / HALVES  # microvolts
LARGEST = 32767  # -32768 means "no sample" in WFDB
NO_MOMENT = datetime.date(1985, 1, 1)  # EDF's earliest: blindstrip keeps no moment of a recording

_CODE_OF_LEAD = {lead: code for code, lead in LEAD_OF_CODE.items()}
_NOT_A_PATIENT = "drawn, not recorded from a patient; for research on synthetic ECGs, not for any patient's care"
_FROM_A_PATIENT = "recorded from a patient, identity removed; for research, not for any patient's care"


def strip_as(form: str, name: str, counts: Counts, *, synthetic: bool, told: Sequence[str] = ()) -> dict[str, bytes]:
    """The files of a strip by name. form: of FORMS; counts: (8, 1000); told: lines on where it came from, for where the format has room.

    Raises GeneratorError for a strip whose leads do not fit 16 bits.
    """
    digital = half_counts(counts)
    if np.abs(digital).max() > LARGEST:
        raise GeneratorError(f"Strip {name} exceeds {LARGEST * STEP / 1000:.0f} mV and cannot be written as 16 bit.")
    if form == "wfdb":
        lines = told if not synthetic or any(line.startswith(SYNTHETIC) for line in told) else [f"{SYNTHETIC}: {_NOT_A_PATIENT}", *told]
        return record_files(name, counts, lines)
    ending, write = _WRITERS[form]
    return {f"{name}.{ending}": write(name, digital, synthetic, told)}


def _dicom(name: str, digital: NDArray[np.int64], synthetic: bool, told: Sequence[str]) -> bytes:
    """12-lead ECG waveform storage (PS3.3 A.34.3), one multiplex group, with the strip's own 100 samples/s."""
    about = _NOT_A_PATIENT if synthetic else _FROM_A_PATIENT
    word = SYNTHETIC if synthetic else RECORDED
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = _uid(name, digital, "instance")
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    one.StudyInstanceUID, one.SeriesInstanceUID = _uid(name, digital, "study"), _uid(name, digital, "series")
    one.PatientName, one.PatientID = f"{word}^{'NOT A PATIENT' if synthetic else 'IDENTITY REMOVED'}", f"{word}-{name}"
    one.PatientBirthDate, one.PatientSex, one.PatientComments = "", "", "\n".join([f"{word}: {about}", *told])
    one.PatientIdentityRemoved, one.DeidentificationMethod = "YES", "no patient" if synthetic else "identifiers are not kept by blindstrip"
    one.StudyDescription = one.SeriesDescription = one.ProtocolName = f"{word}: ECG strip of a reading study"
    one.DerivationDescription = f"{word}: {about}; 0.5 to 40 Hz, {RATE} samples/s, {STEP:g} uV a unit"
    one.ContentQualification = "RESEARCH"
    one.Manufacturer, one.ManufacturerModelName = "blindstrip", f"blindstrip ({'no cart' if synthetic else 'not the cart'})"
    one.Modality, one.SeriesNumber, one.InstanceNumber, one.StudyID, one.AccessionNumber = "ECG", 1, 1, word, ""
    moment = NO_MOMENT.strftime("%Y%m%d")
    one.StudyDate = one.ContentDate = moment
    one.StudyTime = one.ContentTime = "000000"
    one.AcquisitionDateTime, one.AcquisitionContextSequence, one.ReferringPhysicianName = f"{moment}000000", [], ""
    group = Dataset()
    group.MultiplexGroupTimeOffset, group.WaveformOriginality = 0, "DERIVED"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples, group.SamplingFrequency = len(LEADS), SAMPLES, RATE
    group.MultiplexGroupLabel, group.ChannelDefinitionSequence = word, [_channel(lead, word) for lead in LEADS]
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = digital.T.astype("<i2").tobytes()
    one.WaveformSequence = [group]
    out = io.BytesIO()
    one.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _channel(lead: str, word: str) -> Dataset:
    channel, source, unit = Dataset(), Dataset(), Dataset()
    source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = f"2:{_CODE_OF_LEAD[lead]}", "MDC", f"Lead {lead}"
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "uV", "UCUM", "microvolt"
    channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [unit]
    channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = f"{STEP:g}", 1, 0
    channel.ChannelSampleSkew, channel.WaveformBitsStored, channel.ChannelLabel = 0, 16, f"{lead} {word}"
    channel.FilterLowFrequency, channel.FilterHighFrequency = "0.5", "40"
    return channel


def _uid(name: str, digital: NDArray[np.int64], of: str) -> UID:
    return generate_uid(entropy_srcs=[name, digital.tobytes().hex(), of])


def _edf(name: str, digital: NDArray[np.int64], synthetic: bool, told: Sequence[str]) -> bytes:
    """EDF+C; the lines told are annotations at the beginning."""
    word = SYNTHETIC if synthetic else RECORDED
    signals = [
        edfio.EdfSignal.from_digital(
            row.astype(np.int16), RATE, label=f"ECG {lead}", transducer_type=word, physical_dimension="uV", prefiltering="HP:0.5Hz LP:40Hz",
            physical_range=(-LARGEST * STEP, LARGEST * STEP), digital_range=(-LARGEST, LARGEST),
        )
        for lead, row in zip(LEADS, digital, strict=True)
    ]  # fmt: skip
    patient = edfio.Patient(code=word, name="NOT_A_PATIENT" if synthetic else "IDENTITY_REMOVED", additional=[name])
    recording = edfio.Recording(startdate=NO_MOMENT, equipment_code="blindstrip", additional=[word])
    about = f"{word}: {_NOT_A_PATIENT if synthetic else _FROM_A_PATIENT}"
    annotations = [edfio.EdfAnnotation(0, None, line) for line in (about, *told)]
    out = io.BytesIO()
    edfio.Edf(signals, patient=patient, recording=recording, annotations=annotations).write(out)
    return out.getvalue()


def _csv(name: str, digital: NDArray[np.int64], synthetic: bool, told: Sequence[str]) -> bytes:
    """Microvolts, a row a sample; CSV has no comments that every program skips, so the last column says of each row what it is."""
    word = SYNTHETIC if synthetic else RECORDED
    rows = (",".join([*(f"{value * STEP:g}" for value in sample), word]) for sample in digital.T)
    return "\n".join([",".join([*LEADS, "origin"]), *rows, ""]).encode()


_WRITERS: dict[str, tuple[str, Callable[[str, NDArray[np.int64], bool, Sequence[str]], bytes]]] = {
    "dicom": ("dcm", _dicom),
    "edf": ("edf", _edf),
    "csv": ("csv", _csv),
}
FORMS = ("wfdb", *_WRITERS)
