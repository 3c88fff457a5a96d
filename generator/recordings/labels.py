"""Which recordings are NSR, which are AF, and which are left out. Each rule returns (rhythm, "") or (None, reason).

PTB-XL (SCP-ECG statements of a cardiologist, Wagner et al. 2020, doi 10.1038/s41597-020-0495-6)
    AF: AFIB without AFLT and without PACE. NSR: SR and NORM without AFIB.
    A statement counts if it is listed, whatever its likelihood: 0 there means "likelihood unknown", and rhythm statements nearly always carry it.
MIMIC-IV-ECG (lines of the cart's report, Gow et al. 2023, doi 10.13026/4nqg-sb35)
    NSR: a line "sinus rhythm" and a line "normal ECG" (or "within normal limits"), each exactly that: no "except for rate", no "borderline".
    AF: a line that begins with "atrial fibrillation" and neither hedges nor denies it.
    Neither, if any line of the report names pacing, flutter, a lead reversal or poor data, or a second rhythm.
A folder's own table: the column `rhythm`, NSR or AF in any case.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

RHYTHMS = ("NSR", "AF")
LONGEST_CELL = 10_000  # characters; PTB-XL's longest list of statements has 200
LONGEST_REMEMBERED = 200  # characters of a line of a report

Label = tuple[str | None, str]

_HEDGED = re.compile(
    r"\b(probabl[ey]|possibl[ey]|consider|suggests?|suspect(ed)?|may|might|likely|rule out|cannot|versus|vs|or|undetermined|uncertain|questionable"
    r"|no|not|without|denies|absent|resolved|replaced|previous(ly)?|history|now)\b|\?"
)
_UNUSABLE = {
    "pacing": re.compile(r"\b(pac(ed|ing)|pacemaker)\b"),
    "flutter": re.compile(r"\bflutter\b"),
    "lead reversal or poor data": re.compile(
        r"reversal|data quality|poor quality|leads? \(?(missing|off)|\b(missing|off) leads?|artifact|unsuitable|no further analysis|analysis error"
    ),
}
_OTHER_RHYTHM = re.compile(
    r"\b(sinus|junctional|ectopic atrial|idioventricular|ventricular tachycardia|supraventricular|svt|atrial rhythm|atrial tachycardia)\b"
)
_NORMAL = {"normal ecg", "summary normal ecg", "within normal limits"}
_SINUS = {"sinus rhythm", "normal sinus rhythm"}

_AF: Label = ("AF", "")
_NSR: Label = ("NSR", "")
_NO_REPORT: Label = (None, "no report")
_HEDGED_OR_DENIED: Label = (None, "atrial fibrillation hedged or denied")
_TWO_RHYTHMS: Label = (None, "two rhythms")
_NOT_NORMAL: Label = (None, "sinus rhythm, not a normal ECG")
_NEITHER: Label = (None, "neither NSR nor AF")


def rhythm_from_scp_codes(scp_codes: str) -> Label:
    """PTB-XL's column `scp_codes`: `{'NORM': 100.0, 'SR': 0.0}`, or the codes alone, `SR;NORM`. An unreadable cell is left out with that reason."""
    codes = _statements(scp_codes)
    if codes is None:
        return None, "scp_codes unreadable"
    if "AFIB" in codes:
        for other, word in (("AFLT", "flutter"), ("PACE", "pacing")):
            if other in codes:
                return None, f"AF with {word}"
        return "AF", ""
    if {"SR", "NORM"} <= codes:
        return "NSR", ""
    return None, "sinus rhythm, not a normal ECG" if "SR" in codes else "neither NSR nor AF"


def rhythm_from_report(lines: Iterable[str]) -> Label:
    """The report lines of a cart, report_0 ... report_17, empty ones included."""
    said = [line for line in map(_said, filter(None, lines)) if line is not None]
    if not said:
        return _NO_REPORT
    for reason in _UNUSABLE:
        if any(reason in line.unusable for line in said):
            return None, reason
    fibrillation = [line for line in said if line.fibrillation]
    if fibrillation:
        if any(line.hedged for line in fibrillation):
            return _HEDGED_OR_DENIED
        return _TWO_RHYTHMS if any(line.other_rhythm for line in said if not line.fibrillation) else _AF
    if any(line.sinus for line in said):
        return _NSR if any(line.normal for line in said) else _NOT_NORMAL
    return _NEITHER


def rhythm_from_word(word: str) -> Label:
    """The column `rhythm` of a folder's own table."""
    rhythm = word.strip().upper()
    if rhythm in RHYTHMS:
        return rhythm, ""
    return None, f"rhythm {word.strip()[:20]!r} is neither NSR nor AF" if rhythm else "no rhythm given"


def _statements(scp_codes: str) -> set[str] | None:
    text = scp_codes.strip()
    if not text.startswith("{"):
        codes = {code.strip() for code in text.split(";")}
        return codes if text and all(re.fullmatch(r"[A-Z0-9_/]+", code) for code in codes) else None
    if len(text) > LONGEST_CELL:
        return None
    try:
        listed = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last three: keys that are no keys, brackets a thousand deep
        return None
    return set(listed) if isinstance(listed, dict) else None


class _Said(NamedTuple):
    """What one line of a report says, by the rules above."""

    unusable: frozenset[str]
    fibrillation: bool
    hedged: bool  # fibrillation, but not plainly
    other_rhythm: bool
    sinus: bool
    normal: bool


def _said(line: str) -> _Said | None:
    """None for a line without a word."""
    return _remembered(line) if len(line) <= LONGEST_REMEMBERED else _heard(line)


def _heard(line: str) -> _Said | None:
    plain = _plain(line)
    if not plain:
        return None
    unusable = frozenset(reason for reason, pattern in _UNUSABLE.items() if pattern.search(plain))
    fibrillation = "atrial fib" in plain or "afib" in plain.split()
    hedged = fibrillation and bool(_HEDGED.search(plain) or not plain.startswith("atrial fibrillation"))
    return _Said(unusable, fibrillation, hedged, bool(_OTHER_RHYTHM.search(plain)), plain in _SINUS, plain in _NORMAL)


_remembered = lru_cache(maxsize=1 << 16)(_heard)  # carts say the same few thousand lines in all of their reports


def _plain(line: str) -> str:
    """Lower case, single blanks, without the punctuation around and after words; "?" stays."""
    return re.sub(r"\s+", " ", re.sub(r"[^\w?()/-]+", " ", line.lower())).strip(" -")
