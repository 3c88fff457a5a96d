"""Philips Sierra XML 1.03 and 1.04: leads in base64, plain or compressed (XLI), limb leads as differences from what I and II predict.

Philips publishes the schema, not the compression; it is as sierra-ecg-tools (Watford 2010 to 2024, MIT) describes it: each lead is packed by LZW in
codes of 10 bit, high bytes before low ones, and holds second differences.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from generator.errors import Refused
from generator.formats import dropped
from generator.formats.leads import AGAIN, Leads, refuse_too_many, stacked
from generator.formats.xml_parts import Kinds, base64_bytes, below, dropped_kinds, first, number, text
from generator.leads import LEADS, lead_name

VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
LZW_BITS = 10
LARGEST_CODE = (1 << LZW_BITS) - 2
MOST_LEADS = 16

_KINDS: Kinds = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"waveforms/|/signalcharacteristics/|/reportformat/|/reportgain/|/reportbandwidth/|/documenttype$|/documentversion$", None),
        (r"/patient/.*name$", dropped.NAME),
        (r"/patient/.*(patientid|mrn)$", dropped.NUMBER),
        (r"dateofbirth$", dropped.BORN),
        (r"/patient/.*(/age|/years|/sex)$", dropped.AGE_AND_SEX),
        (r"/patient/", dropped.OTHER),
        (r"operator|physician|provider|editor|mduname|technician", dropped.STAFF),
        (r"institution|facility|department|location|room|bed", dropped.PLACE),
        (r"/machine", dropped.DEVICE),
        (r"/(reportinfo|dataacquisition)$|date$|time$", dropped.WHEN),
        (r"/orderinfo/|/userdefines/|/documentname$|/filename$|id$", dropped.NUMBERS),
        (r"measurement|interpretation|comments|statement|remarks", dropped.WORDS),
    )
)


def read(path: Path, root: Element) -> Leads:
    """The recording without the calibration pulse that carts append. Raises Refused."""
    version = text(root, "documentinfo", "documentversion")
    if version not in VERSIONS:
        raise Refused("unknown format", f"{path}: Philips XML of another version than {', '.join(VERSIONS)}. Export it as one of these.")
    kinds = dropped_kinds(path, root, _KINDS)
    signals, waveforms = first(root, "dataacquisition", "signalcharacteristics"), next(below(root, "parsedwaveforms"), None)
    if signals is None or waveforms is None:
        raise Refused("wrong header", f"{path}: no signal characteristics or no parsed waveforms. {AGAIN}")
    rate = number(path, text(signals, "samplingrate"), "samplingrate")
    microvolts = number(path, text(signals, "signalresolution") or text(signals, "resolution"), "resolution")
    if not 0 < rate < 1e6 or not microvolts > 0:
        raise Refused("wrong header", f"{path}: sampling rate or resolution is not above zero. {AGAIN}")
    if number(path, text(signals, "signaloffset") or "0", "signaloffset") or text(signals, "bitspersample") not in ("", "16"):
        raise Refused("unreadable record", f"{path}: samples are not in 16 bit around zero, the only form that is known. {AGAIN}")
    counts = _without_pulse(_predicted(path, _stored(path, waveforms, signals, rate)))
    return stacked(path, [(name, row * (microvolts / 1000)) for name, row in counts.items()], rate, kinds)


def _stored(path: Path, waveforms: Element, signals: Element, rate: float) -> dict[str, NDArray[np.int64]]:
    """The leads as they lie in the file, by name."""
    names = (waveforms.get("leadlabels") or "").split() or _by_default(path, signals)
    number_of = number(path, waveforms.get("numberofleads") or str(len(names)), "numberofleads")
    if waveforms.get("dataencoding") != "Base64" or not 0 < number_of <= min(MOST_LEADS, len(names)):
        raise Refused("wrong header", f"{path}: parsed waveforms of an encoding or a number of leads that is not known. {AGAIN}")
    names = names[: int(number_of)]
    samples = int(number(path, waveforms.get("durationperchannel"), "durationperchannel") * rate / 1000)
    refuse_too_many(path, samples * len(names))
    content = base64_bytes(path, waveforms.text or "", "parsedwaveforms")
    packing = waveforms.get("compressmethod") or waveforms.get("compression") or "Uncompressed"
    if packing == "XLI":
        rows = _unpacked(path, content, len(names), samples)
    elif packing == "Uncompressed" and len(content) == 2 * samples * len(names):
        rows = list(np.frombuffer(content, "<i2").reshape(len(names), samples).astype(np.int64))
    else:
        raise Refused("unreadable record", f"{path}: parsed waveforms packed in an unknown way, or not as long as announced. {AGAIN}")
    found = {lead_name(name) or name: row for name, row in zip(names, rows, strict=True)}
    if len(found) < len(names):
        raise Refused("wrong header", f"{path}: a lead occurs twice. {AGAIN}")
    return found


def _by_default(path: Path, signals: Element) -> list[str]:
    if text(signals, "acquisitiontype") not in ("STD-12", "10-WIRE"):
        raise Refused("wrong header", f"{path}: no lead labels, and not a standard 12-lead ECG. {AGAIN}")
    return list(LEADS)[: int(min(12, max(0, number(path, text(signals, "numberchannelsallocated"), "numberchannelsallocated"))))]


def _predicted(path: Path, stored: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Limb leads but I and II are stored as what Einthoven and Goldberger predict, rounded down, less what was measured."""
    if not set(LEADS[:6]) <= stored.keys():
        raise Refused("missing lead", f"{path}: not all of the limb leads {', '.join(LEADS[:6])} are there. {AGAIN}")
    one, two = stored["I"], stored["II"]
    three = two - one - stored["III"]
    augmented = {"aVR": -stored["aVR"] - (one + two) // 2, "aVL": (one - three) // 2 - stored["aVL"], "aVF": (two + three) // 2 - stored["aVF"]}
    return {name: row for name, row in {**stored, "III": three, **augmented}.items() if name in LEADS}


def _without_pulse(counts: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """From where to the end all leads hold the same value, which no heart makes them do, stands a pulse of 1 mV."""
    rows = np.stack(list(counts.values()))
    apart = np.flatnonzero(np.ptp(rows, axis=0) > 0)
    return {name: row[: apart[-1] + 1] for name, row in counts.items()} if apart.size else counts


# ---- compression ----


def _unpacked(path: Path, content: bytes, leads: int, samples: int) -> list[NDArray[np.int64]]:
    rows, at = [], 0
    for lead in range(leads):
        size = int.from_bytes(content[at : at + 4], "little")
        start = int.from_bytes(content[at + 6 : at + 8], "little", signed=True)
        packed = content[at + 8 : at + 8 + size]
        at += 8 + size
        if len(packed) < size or at > len(content):
            raise Refused("truncated samples", f"{path}: its compressed waveforms end in lead {lead + 1} of {leads}. {AGAIN}")
        bytes_of = _lzw(path, packed, 2 * samples)
        halves = np.frombuffer(bytes_of[: 2 * samples], np.uint8).reshape(2, samples)
        rows.append(_from_differences((halves[0].astype(np.int16) << 8 | halves[1]).astype(np.int64), start))
    return rows


def _lzw(path: Path, packed: bytes, wanted: int) -> bytes:
    """Welch 1984, codes of 10 bit from the highest bit on; the table stays as it is once it is full."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    codes = bits[: bits.size - bits.size % LZW_BITS].reshape(-1, LZW_BITS) @ (1 << np.arange(LZW_BITS - 1, -1, -1))
    strings = [bytes([byte]) for byte in range(256)]
    out, before = bytearray(), b""
    for code in codes.tolist():
        if code > LARGEST_CODE or len(out) >= wanted:
            break
        if code < len(strings):
            string = strings[code]
        elif code == len(strings) and before:
            string = before + before[:1]
        else:
            raise Refused("unreadable record", f"{path}: its compressed waveforms cannot be unpacked. {AGAIN}")
        if before and len(strings) <= LARGEST_CODE:
            strings.append(before + string[:1])
        out += string
        before = string
    if len(out) < wanted:
        raise Refused("truncated samples", f"{path}: its compressed waveforms end after {len(out) // 2} of {wanted // 2} samples. {AGAIN}")
    return bytes(out)


def _from_differences(stored: NDArray[np.int64], start: int) -> NDArray[np.int64]:
    """Two samples, then second differences, negative and raised by 64; the first of them is the chunk's start, the last stored one is not used."""
    if stored.size < 3:
        return stored
    second = -np.concatenate([[start], stored[2:-1] - 64])
    first_differences = np.cumsum(np.concatenate([[stored[1] - stored[0]], second]))
    return np.concatenate([stored[:1], stored[0] + np.cumsum(first_differences)])
