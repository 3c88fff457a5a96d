"""DICOM 12-lead and general ECG waveforms (PS3.3 A.34.3, A.34.4, C.10.9), read by pydicom.

A sample in the channel's unit is raw * sensitivity * correction factor + baseline (C.10.9.1.4).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pydicom.waveforms import multiplex_array

from generator.errors import Refused
from generator.formats import dropped
from generator.formats.lead_codes import LEAD_OF_CODE
from generator.formats.leads import AGAIN, Leads, Stated, content, per_millivolt, refuse_too_many, stacked
from generator.leads import STORED, lead_name

LARGEST = 64 << 20  # bytes
MOST_SKEW = 0.5  # samples between the first and the last lead of what is taken for one moment

_PREAMBLE = 128
_CODE = re.compile(r"(?:2:|5\.6\.3-9-)(\d{1,3})")  # of MDC and of SCPECG
_SIGNALS = ("WaveformSequence", "SOPClassUID", "Modality")  # what is used, or says no more than that this is an ECG
_SIZES = ("SamplingFrequency", "NumberOfWaveformSamples", "NumberOfWaveformChannels")
_KIND_OF_WORD = {"LO": dropped.WORDS, "LT": dropped.WORDS, "ST": dropped.WORDS, "UT": dropped.WORDS, "UC": dropped.WORDS, "FD": dropped.WORDS,
                 "DS": dropped.WORDS, "DA": dropped.WHEN, "DT": dropped.WHEN, "TM": dropped.WHEN, "UI": dropped.NUMBERS, "SH": dropped.NUMBERS,
                 "PN": dropped.STAFF}  # fmt: skip
_KIND_OF_FIELD = {
    "PatientName": dropped.NAME,
    "OtherPatientNames": dropped.NAME,
    "PatientID": dropped.NUMBER,
    "OtherPatientIDs": dropped.NUMBER,
    "OtherPatientIDsSequence": dropped.NUMBER,
    "PatientBirthDate": dropped.BORN,
    "PatientBirthTime": dropped.BORN,
    "PatientAge": dropped.AGE_AND_SEX,
    "PatientSex": dropped.AGE_AND_SEX,
    "StationName": dropped.DEVICE,
    "SoftwareVersions": dropped.DEVICE,
    "PatientInstitutionResidence": dropped.PLACE,
    "CurrentPatientLocation": dropped.PLACE,
}


def is_one(head: bytes) -> bool:
    return head[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def read(path: Path, stated: Stated) -> Leads:
    """The original leads of one moment: of one multiplex group, or of several that were recorded together. Raises Refused."""
    content(path, LARGEST)
    logging.getLogger("pydicom").disabled = True  # it logs values of fields
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _leads(path)
        except Refused:
            raise
        except Exception as error:  # pydicom raises whatever its parsing trips over; its words may quote the patient's
            raise Refused("unreadable record", f"{path}: not a readable DICOM file ({type(error).__name__}). {AGAIN}") from None


def _leads(path: Path) -> Leads:
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:  # a small file could unpack to a very large one
        raise Refused("unreadable record", f"{path}: a deflated DICOM file. Export it as Explicit VR Little Endian.")
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    groups = dataset.get("WaveformSequence")
    if not groups:
        raise Refused("unknown format", f"{path}: a DICOM file without a waveform (an image or a PDF of an ECG, perhaps). Export the waveform.")
    chosen, rate = _of_one_moment(path, groups)
    rows = [row for number in chosen for row in _rows(path, dataset, number)]
    return stacked(path, rows, rate, frozenset(_kinds(dataset)))


def _of_one_moment(path: Path, groups: list[Dataset]) -> tuple[list[int], float]:
    """The numbers of the groups to read, and their rate: with all leads rather than not, original rather than derived, long rather than short."""
    together: dict[tuple[float, int, float, bool], list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        rate, samples, channels = (float(group.get(field) or 0) for field in _SIZES)
        if not (0 < rate < 1e6 and samples > 0 and channels > 0):
            raise Refused("wrong header", f"{path}: multiplex group {number + 1} without sampling frequency, samples or channels. {AGAIN}")
        refuse_too_many(path, int(samples * channels))
        original = str(group.get("WaveformOriginality", "ORIGINAL")) != "DERIVED"  # a median beat is derived
        together[rate, int(samples), float(group.get("MultiplexGroupTimeOffset") or 0), original].append(number)

    def worth(key: tuple[float, int, float, bool]) -> tuple[bool, bool, float]:
        names = {_name(channel) for number in together[key] for channel in groups[number].get("ChannelDefinitionSequence") or []}
        return names >= set(STORED), key[3], key[1] / key[0]

    best = max(together, key=worth)
    return together[best], best[0]


def _rows(path: Path, dataset: Dataset, number: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
    group: Dataset = dataset.WaveformSequence[number]
    channels = group.get("ChannelDefinitionSequence") or []
    if str(group.get("WaveformSampleInterpretation")) in ("MB", "AB"):
        raise Refused("unreadable record", f"{path}: samples in mu-law or A-law, which is for speech. Export them as 16 bit.")
    raw = multiplex_array(dataset, number, as_raw=True).T
    if len(channels) != len(raw):
        raise Refused("wrong header", f"{path}: {len(channels)} channels described, {len(raw)} recorded. {AGAIN}")
    padding = group.get("WaveformPaddingValue")
    if not dataset.file_meta.TransferSyntaxUID.is_little_endian:  # pydicom leaves these bytes as they lie
        raw, padding = raw.byteswap(), padding[::-1] if isinstance(padding, bytes) else None
    absent = _padded(raw, padding)
    leads = [(channel, name, row) for row, channel in enumerate(channels) if (name := _name(channel))]
    skews = [float(channel.get("ChannelSampleSkew") or 0) for channel, _, _ in leads]
    if skews and max(skews) - min(skews) > MOST_SKEW:
        raise Refused("wrong header", f"{path}: channel skew of {max(skews) - min(skews):g} samples: leads of different moments. {AGAIN}")
    for channel, name, row in leads:
        sensitivity, unit = channel.get("ChannelSensitivity"), channel.get("ChannelSensitivityUnitsSequence")
        if not sensitivity or not unit:
            raise Refused("unknown unit", f"{path}: lead {name} without channel sensitivity or its units. Export it with calibration.")
        correction = channel.get("ChannelSensitivityCorrectionFactor")
        gain = float(sensitivity) * (1.0 if correction is None else float(correction))
        values = raw[row] * gain + float(channel.get("ChannelBaseline") or 0)
        yield name, np.where(absent, np.nan, values) / per_millivolt(path, name, str(unit[0].get("CodeValue", "")))


def _padded(raw: NDArray[np.integer], padding: object) -> NDArray[np.bool_]:
    """Which moments are padding: before the first and after the last at which a channel holds anything else, as some pad with 0, a sample's value."""
    outside = np.zeros(raw.shape[1], dtype=bool)
    if isinstance(padding, bytes) and len(padding) == raw.itemsize:
        held = np.flatnonzero((raw != np.frombuffer(padding, raw.dtype)[0]).any(axis=0))
        outside[:] = True
        if held.size:
            outside[held[0] : held[-1] + 1] = False
    return outside


def _name(channel: Dataset) -> str | None:
    """By code (MDC 2:1, SCPECG 5.6.3-9-1), else by the code's meaning ("Lead I (Einthoven)"), else by the label."""
    source = channel.get("ChannelSourceSequence")
    if source:
        code = _CODE.fullmatch(str(source[0].get("CodeValue", "")))
        if code:
            return LEAD_OF_CODE.get(int(code[1]))
        if name := lead_name(str(source[0].get("CodeMeaning", "")).split("(")[0]):
            return name
    return lead_name(str(channel.get("ChannelLabel", "")))


# ---- what stays in the file ----


def _kinds(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.keyword in _SIGNALS or element.keyword.endswith("CodeSequence") or not element.value:
            continue  # codes say what a field is
        if element.VR == "SQ" and element.keyword not in _KIND_OF_FIELD:
            yield from (kind for item in element.value for kind in _kinds(item))
        elif kind := _kind(element):
            yield kind


def _kind(element: DataElement) -> str | None:
    field = element.keyword
    if field in _KIND_OF_FIELD:
        return _KIND_OF_FIELD[field]
    if element.tag.group == 0x0010:
        return dropped.OTHER
    if field.startswith("Institution"):
        return dropped.PLACE
    if field.startswith(("Manufacturer", "Device")):
        return dropped.DEVICE
    return dropped.WORDS if element.tag.is_private else _KIND_OF_WORD.get(element.VR)
