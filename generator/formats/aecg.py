"""HL7 annotated ECG (ANSI/HL7 V3 ECG R1-2004; FDA's implementation guide of 2005).

A series holds sequence sets, each of leads of one moment: a sequence of time (head, increment), and for each lead origin + digits * scale.
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
from generator.formats.xml_parts import Kinds, below, dropped_kinds, first, number, text
from generator.leads import STORED, lead_name

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_KINDS: Kinds = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"/sequence/|/controlvariable/", None),
        (r"/subjectdemographicperson/name", dropped.NAME),
        (r"patientid$|/trialsubject/id$", dropped.NUMBER),
        (r"birthtime$", dropped.BORN),
        (r"gendercode$|/age$", dropped.AGE_AND_SEX),
        (r"/subjectdemographicperson/", dropped.OTHER),
        (r"person/name|/assignedperson/|(performer|investigator|author)/id$", dropped.STAFF),
        (r"location|/trialsite/|organization/", dropped.PLACE),
        (r"device/", dropped.DEVICE),
        (r"time(/(low|high|center))?$", dropped.WHEN),
        (r"/id$", dropped.NUMBERS),
        (r"/annotation/|/text$|/title$", dropped.WORDS),
    )
)


def read(path: Path, root: Element) -> Leads:
    """The sequence set with all leads, or the longest. Series that were derived (median beats) are not looked at. Raises Refused."""
    kinds = dropped_kinds(path, root, _KINDS)
    series = [one for component in root if (one := first(component, "series")) is not None]
    sets = [one for each in series for component in each if (one := first(component, "sequenceSet")) is not None]
    if not sets:
        raise Refused("missing lead", f"{path}: no series with a sequence set: no ECG in it. {AGAIN}")
    best = max(sets, key=lambda one: ({lead_name(code) for code in _codes(one)} >= set(STORED), len("".join(text(d) for d in below(one, "digits")))))
    return _of_set(path, best, kinds)


def _codes(sequences: Element) -> list[str]:
    return [code.get("code", "") for one in below(sequences, "sequence") if (code := first(one, "code")) is not None]


def _of_set(path: Path, sequences: Element, kinds: frozenset[str]) -> Leads:
    rate, rows = 0.0, []
    for one in below(sequences, "sequence"):
        code, value = first(one, "code"), first(one, "value")
        if code is None or value is None:
            continue
        if code.get("code", "").startswith("TIME_"):
            rate = _rate(path, first(value, "increment"))
        elif name := lead_name(code.get("code", "")):
            rows.append((name, _millivolts(path, name, value)))
    if not rate:
        raise Refused("wrong header", f"{path}: no sequence of time with an increment, so the rate is unknown. {AGAIN}")
    return stacked(path, rows, rate, kinds)


def _rate(path: Path, increment: Element | None) -> float:
    if increment is None:
        raise Refused("wrong header", f"{path}: the sequence of time has no increment. {AGAIN}")
    unit = increment.get("unit", "s")
    seconds = number(path, increment.get("value"), "the increment of time") * _SECONDS.get(unit, 0.0)
    if not 1e-6 < seconds <= 1:
        raise Refused("wrong header", f"{path}: the increment of time is no time between two samples. {AGAIN}")
    return round(1 / seconds, 6)  # 0.002 s is not a binary fraction


def _millivolts(path: Path, name: str, value: Element) -> NDArray[np.float64]:
    origin, scale = first(value, "origin"), first(value, "scale")
    unit = "" if scale is None else scale.get("unit", "")
    if scale is None or not unit:
        raise Refused("unknown unit", f"{path}: lead {name} has no scale with a unit. {AGAIN}")
    try:
        digits = np.array(text(value, "digits").split(), dtype=np.float64)
    except ValueError:
        raise Refused("unreadable record", f"{path}: lead {name} has a digit that is no number. {AGAIN}") from None
    refuse_too_many(path, 12 * digits.size)
    steps = number(path, scale.get("value"), f"the scale of lead {name}") / per_millivolt(path, name, unit)
    if origin is None:
        return digits * steps
    at = number(path, origin.get("value"), f"the origin of lead {name}") / per_millivolt(path, name, origin.get("unit") or unit)
    return digits * steps + at
