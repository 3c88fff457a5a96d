"""EDF, EDF+ and BDF (Kemp et al. 1992; Kemp & Olivan 2003), read by edfio: 24 hours or 10 s, of which the middle is wanted."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import edfio
import numpy as np
from numpy.typing import NDArray

from generator.errors import Refused
from generator.formats import dropped
from generator.formats.leads import AGAIN, LARGEST_FILE, Leads, Stated, per_millivolt, refuse_too_many, stacked
from generator.leads import lead_name
from generator.strip import SECONDS

WHOLE_BELOW_SECONDS = 120  # of a longer recording the middle is read
MARGIN_SECONDS = 1
MOST_SIGNALS = 512

_EDF, _BDF = b"0       ", b"\xffBIOSEMI"
_RESERVED = slice(192, 236)  # of the header: EDF+C, EDF+D, or nothing
_WORDS_BEFORE = re.compile(r"^(ecg|ekg|lead)[ :_-]*", re.IGNORECASE)  # EDF+ writes "ECG V2"
_OF_PATIENT = (dropped.NUMBER, dropped.AGE_AND_SEX, dropped.BORN, dropped.NAME)  # in this order in EDF+
_NO_PATIENT = {"", "X", "X X X X"}
_NO_RECORDING = {"", "Startdate X X X X"}


def is_one(head: bytes) -> bool:
    return head.startswith((_EDF, _BDF)) and len(head) >= 256


def read(path: Path, stated: Stated) -> Leads:
    """Raises Refused: interruptions (EDF+D), leads of different rates, missing units or calibration, a header that cannot be read."""
    with path.open("rb") as file:
        head = file.read(256)
    if path.stat().st_size > LARGEST_FILE:
        raise Refused("too large", f"{path}: more than {LARGEST_FILE >> 20} MB. Export the part that is wanted.")
    if head[_RESERVED].startswith((b"EDF+D", b"BDF+D")):
        raise Refused("interrupted recording", f"{path}: EDF+D, which has gaps in time. Export it as EDF+C.")
    if not head[252:256].strip().isdigit() or int(head[252:256]) > MOST_SIGNALS:
        raise Refused("wrong header", f"{path}: the number of signals is no number up to {MOST_SIGNALS}. {AGAIN}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _leads(path, head)
        except Refused:
            raise
        except Exception as error:  # whatever edfio trips over; its words may quote the header
            raise Refused("unreadable record", f"{path}: not a readable EDF file ({type(error).__name__}). {AGAIN}") from None


def _leads(path: Path, head: bytes) -> Leads:
    announced = int(head[236:244])
    opened: edfio.Edf | edfio.Bdf = edfio.read_bdf(path) if head.startswith(_BDF) else edfio.read_edf(path)
    if opened.num_data_records < announced:
        raise Refused("truncated samples", f"{path}: {opened.num_data_records} data records where the header announces {announced}. Copy it again.")
    named = [(name, signal) for signal in opened.signals if (name := lead_name(_WORDS_BEFORE.sub("", signal.label.strip())))]
    rates = {signal.sampling_frequency for _, signal in named}
    if len(rates) > 1:
        raise Refused("wrong header", f"{path}: leads of {min(rates):g} to {max(rates):g} samples/s. Export all leads at one rate.")
    rate = rates.pop() if rates else 0.0
    if rates and not 0 < rate < 1e6:
        raise Refused("wrong header", f"{path}: {rate} samples/s is impossible. {AGAIN}")
    refuse_too_many(path, int(min(opened.duration, WHOLE_BELOW_SECONDS) * rate * len(named)))
    rows = [(name, _millivolts(path, name, signal, opened.duration)) for name, signal in named]
    return stacked(path, rows, rate, _kinds(head, opened))


def _millivolts(path: Path, name: str, signal: edfio.EdfSignal | edfio.BdfSignal, seconds: float) -> NDArray[np.float64]:
    """Kemp 1992: physical = (digital - digital minimum) * physical range / digital range + physical minimum."""
    if signal.digital_max <= signal.digital_min or signal.physical_max == signal.physical_min:
        raise Refused("unknown unit", f"{path}: lead {name} has no calibration (minimum and maximum are the same). {AGAIN}")
    if seconds > WHOLE_BELOW_SECONDS:
        half = SECONDS / 2 + MARGIN_SECONDS
        values = signal.get_data_slice(seconds / 2 - half, seconds / 2 + half)
    else:
        values = signal.data
    return values / per_millivolt(path, name, signal.physical_dimension)


def _kinds(head: bytes, opened: edfio.Edf | edfio.Bdf) -> frozenset[str]:
    """The patient field of EDF+ holds number, sex, date of birth and name; of plain EDF, whatever was typed."""
    patient, recording = (head[part].decode("latin-1").strip() for part in (slice(8, 88), slice(88, 168)))
    kinds = set()
    parts = patient.split()
    if patient not in _NO_PATIENT:
        if len(parts) >= 4 and parts[1] in ("M", "F", "X"):
            kinds = {kind for part, kind in zip(parts, _OF_PATIENT, strict=False) if part != "X"}
            if len(parts) > 4:
                kinds.add(dropped.OTHER)
        else:
            kinds = {dropped.NAME, dropped.NUMBER}
    if recording not in _NO_RECORDING:
        kinds |= {dropped.PLACE, dropped.STAFF, dropped.DEVICE}
    if head[168:176].strip() not in (b"", b"01.01.85"):
        kinds.add(dropped.WHEN)
    if head[_RESERVED].startswith((b"EDF+", b"BDF+")) and opened.annotations:
        kinds.add(dropped.WORDS)
    return frozenset(kinds)
