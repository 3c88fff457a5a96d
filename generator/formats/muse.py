"""GE MUSE XML (RestingECG): eight leads in base64, 16 bit little-endian, in so many µV a bit. The other four follow from I and II.

GE publishes no specification; the elements are those of GE's own reading script of 2009 (musexmlexport) and of files as hospitals export them.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from generator.errors import Refused
from generator.formats import dropped
from generator.formats.leads import AGAIN, Leads, per_millivolt, refuse_too_many, stacked
from generator.formats.xml_parts import Kinds, base64_bytes, dropped_kinds, local, number, text
from generator.leads import lead_name

_UNITS = {"MICROVOLTS": "uV", "MILLIVOLTS": "mV"}
_KINDS: Kinds = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"/waveform/", None),
        (r"patient(last|first|middle)name$", dropped.NAME),
        (r"patientid$|secondaryid$", dropped.NUMBER),
        (r"dateofbirth$", dropped.BORN),
        (r"(patientage|ageunits|gender)$", dropped.AGE_AND_SEX),
        (r"/patientdemographics/", dropped.OTHER),
        (r"(last|first)name$|physician|technician|editor|overreader", dropped.STAFF),
        (r"site|location|institution|room|bed", dropped.PLACE),
        (r"date$|time$", dropped.WHEN),
        (r"device|software|cart", dropped.DEVICE),
        (r"id$|number$|/order/", dropped.NUMBERS),
        (r"/diagnosis/|/originaldiagnosis/|measurements/|comment|text|xtra|qrstimestypes", dropped.WORDS),
    )
)


def read(path: Path, root: Element) -> Leads:
    """The rhythm waveform; the median beat beside it is not looked at. Raises Refused."""
    kinds = dropped_kinds(path, root, _KINDS)
    rhythms = [one for one in root if local(one) == "Waveform" and text(one, "WaveformType") == "Rhythm"]
    if len(rhythms) != 1:
        raise Refused("wrong header", f"{path}: {len(rhythms)} rhythm waveforms, one is needed. {AGAIN}")
    exponent = number(path, text(rhythms[0], "SampleExponent") or "0", "SampleExponent")
    rate = number(path, text(rhythms[0], "SampleBase"), "SampleBase") * 10 ** min(max(exponent, -9), 9)
    if not 0 < rate < 1e6:
        raise Refused("wrong header", f"{path}: {rate:g} samples/s is impossible. {AGAIN}")
    leads = [(name, one) for one in rhythms[0] if local(one) == "LeadData" and (name := lead_name(text(one, "LeadID")))]
    return stacked(path, [(name, _millivolts(path, name, one)) for name, one in leads], rate, kinds)


def _millivolts(path: Path, name: str, lead: Element) -> NDArray[np.float64]:
    unit = text(lead, "LeadAmplitudeUnits")
    steps = number(path, text(lead, "LeadAmplitudeUnitsPerBit"), f"LeadAmplitudeUnitsPerBit of lead {name}")
    if text(lead, "LeadSampleSize") not in ("", "2") or number(path, text(lead, "FirstSampleBaseline") or "0", f"FirstSampleBaseline of lead {name}"):
        raise Refused("unreadable record", f"{path}: lead {name} is not in 16 bit around zero, the only form that is known. {AGAIN}")
    raw = base64_bytes(path, text(lead, "WaveFormData"), f"the waveform of lead {name}")
    announced = number(path, text(lead, "LeadSampleCountTotal") or str(len(raw) // 2), f"LeadSampleCountTotal of lead {name}")
    if len(raw) != 2 * announced:
        raise Refused("truncated samples", f"{path}: lead {name} has {len(raw) // 2} samples where {announced:g} are announced. {AGAIN}")
    refuse_too_many(path, 12 * len(raw) // 2)
    return np.frombuffer(raw, "<i2") * steps / per_millivolt(path, name, _UNITS.get(unit, unit))
