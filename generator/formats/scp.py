"""SCP-ECG (EN 1064:2005, ISO 11073-91064): sections of rhythm data, plain, as differences, and in Huffman code.

Files of high compression (a reference beat subtracted, or samples left out between beats) are refused: they are no longer what was recorded.
"""

from __future__ import annotations

import binascii
import re
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.errors import Refused
from generator.formats import dropped
from generator.formats.lead_codes import LEAD_OF_CODE
from generator.formats.leads import AGAIN, Leads, Stated, content, refuse_too_many, stacked

LARGEST = 32 << 20  # bytes
VERSIONS = (*range(10, 14), *range(20, 24))  # tenths
DEFAULT_TABLE = 19999
MOST_LEADS = 64
MOST_CODES = 256

_HEADER = 16  # bytes of a section before its data
_CODES = 10  # bits of the longest prefix of the default table
_OF_TAG = {0: dropped.NAME, 1: dropped.NAME, 3: dropped.NAME, 2: dropped.NUMBER, 5: dropped.BORN, 4: dropped.AGE_AND_SEX, 8: dropped.AGE_AND_SEX,
           14: dropped.DEVICE, 15: dropped.DEVICE, 16: dropped.PLACE, 17: dropped.PLACE, 18: dropped.PLACE, 19: dropped.PLACE, 23: dropped.PLACE,
           20: dropped.STAFF, 21: dropped.STAFF, 22: dropped.STAFF, 25: dropped.WHEN, 26: dropped.WHEN, 31: dropped.NUMBERS, 10: dropped.WORDS,
           13: dropped.WORDS, 30: dropped.WORDS, 35: dropped.WORDS, 6: dropped.OTHER, 7: dropped.OTHER, 9: dropped.OTHER, 11: dropped.OTHER,
           12: dropped.OTHER}  # fmt: skip
_OF_SECTIONS = (7, 8, 9, 10, 11)  # measurements, diagnoses, the maker's own, statements


def is_one(head: bytes) -> bool:
    """Section 0 follows the file's checksum and length, and says SCPECG in its header (in version 1.0 nothing)."""
    return len(head) >= 6 + _HEADER and head[8:10] == b"\0\0" and head[16:22] in (b"SCPECG", bytes(6)) and head[14] in VERSIONS


def read(path: Path, stated: Stated) -> Leads:
    """Raises Refused: a wrong checksum, missing sections, high compression, leads of different moments."""
    data = content(path, LARGEST)
    try:
        return _leads(path, data)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise Refused("unreadable record", f"{path}: not a readable SCP-ECG file ({type(error).__name__}). {AGAIN}") from None


def _leads(path: Path, data: bytes) -> Leads:
    checksum, length = struct.unpack_from("<HI", data)
    if length > len(data):
        raise Refused("truncated samples", f"{path}: {len(data)} bytes of {length}. Copy the file again.")
    if binascii.crc_hqx(data[2:length], 0xFFFF) != checksum:
        raise Refused("changed samples", f"{path}: its checksum (CRC) does not fit, so it was changed or damaged. {AGAIN}")
    sections = _sections(data)
    absent = [number for number in (3, 6) if not sections.get(number)]
    if absent:
        raise Refused("missing lead", f"{path}: no section {absent[0]} ({'leads' if absent[0] == 3 else 'rhythm data'}). Export the whole ECG.")
    names, samples = _definition(path, sections[3])
    nanovolts, microseconds, differences, bimodal = struct.unpack_from("<HHBB", sections[6])
    if bimodal:
        raise Refused("high compression", f"{path}: samples between beats were left out (bimodal compression). Export it without compression.")
    if not microseconds or not nanovolts or differences > 2:
        raise Refused("wrong header", f"{path}: section 6 without resolution, interval or a known encoding. {AGAIN}")
    refuse_too_many(path, samples * len(names))
    lengths = struct.unpack_from(f"<{len(names)}H", sections[6], 6)
    table = _table(path, sections.get(2, b""))
    at, rows = 6 + 2 * len(names), []
    for name, size in zip(names, lengths, strict=True):
        packed = sections[6][at : at + size]
        at += size
        if name is None:  # a right precordial lead, a rhythm channel
            continue
        stored = _plain(packed, samples) if table is None else table.decoded(packed, samples)
        if stored is None or len(packed) < size:
            raise Refused("truncated samples", f"{path}: fewer than {samples} samples of lead {name}. {AGAIN}")
        rows.append((name, _integrated(stored, differences) * (nanovolts / 1e6)))
    return stacked(path, rows, 1e6 / microseconds, _kinds(sections))


def _sections(data: bytes) -> dict[int, bytes]:
    """The data of each section, without headers. Section 0 lists where they are, counted from 1."""
    [size] = struct.unpack_from("<I", data, 6 + 4)
    found = {}
    for at in range(6 + _HEADER, min(6 + size, len(data)) - 9, 10):
        number, length, place = struct.unpack_from("<HII", data, at)
        if number and length > _HEADER and 0 < place <= len(data):
            found[number] = data[place - 1 + _HEADER : place - 1 + length]
    return found


def _definition(path: Path, section: bytes) -> tuple[list[str | None], int]:
    """The leads by name, None for others, and the samples of each."""
    number, flags = section[0], section[1]
    if flags & 1:
        raise Refused("high compression", f"{path}: a reference beat was subtracted. Export it without compression.")
    each = [struct.unpack_from("<IIB", section, 2 + 9 * lead) for lead in range(min(number, MOST_LEADS))]
    spans = {(start, end) for start, end, code in each if code in LEAD_OF_CODE}
    if len(spans) != 1:
        raise Refused("wrong header", f"{path}: {len(spans) or 'no'} spans of time in place of one for all leads. Export leads of one moment.")
    start, end = spans.pop()
    if end < start:
        raise Refused("wrong header", f"{path}: leads end before they begin. {AGAIN}")
    return [LEAD_OF_CODE.get(code) for _, _, code in each], end - start + 1


def _integrated(stored: NDArray[np.int64], differences: int) -> NDArray[np.int64]:
    """Samples of first or second differences, of which the first one or two stand as they are (EN 1064, 5.8)."""
    if differences == 0 or stored.size < 2:
        return stored
    if differences == 1:
        return np.cumsum(stored)
    steps = np.cumsum(np.concatenate([[stored[1] - stored[0]], stored[2:]]))
    return np.concatenate([stored[:1], stored[0] + np.cumsum(steps)])


def _plain(packed: bytes, samples: int) -> NDArray[np.int64] | None:
    return np.frombuffer(packed[: 2 * samples], "<i2").astype(np.int64) if len(packed) >= 2 * samples else None


# ---- Huffman code ----


class _Table:
    """Prefixes with the value each stands for, or with the number of bits that follow and hold it."""

    def __init__(self, codes: list[tuple[str, int, int]]) -> None:
        """codes: prefix, bits that follow, value where none do."""
        self._codes = codes
        alternatives = [f"({prefix}[01]{{{bits}}})" if bits else f"({prefix})" for prefix, bits, _ in codes]
        self._pattern = re.compile("|".join(alternatives))

    def decoded(self, packed: bytes, samples: int) -> NDArray[np.int64] | None:
        """None where the code ends early or is none."""
        bits = format(int.from_bytes(packed, "big"), f"0{8 * len(packed)}b") if packed else ""
        values, at = np.zeros(samples, np.int64), 0
        for sample in range(samples):
            found = self._pattern.match(bits, at)
            if found is None or found.lastindex is None:
                return None
            prefix, more, value = self._codes[found.lastindex - 1]
            if more:
                value = int(bits[at + len(prefix) : found.end()], 2)
                value -= (value >> (more - 1)) << more  # two's complement
            values[sample] = value
            at = found.end()
        return values


def _default_table() -> _Table:
    """EN 1064, C.3.7.6: 0 is 0, +-n is n ones, a zero and the sign up to 8, then nine ones before 8 bit and ten before 16."""
    codes = [("0", 0, 0)]
    codes += [("1" * n + "0" + sign, 0, n if sign == "0" else -n) for n in range(1, 9) for sign in "01"]
    return _Table([*codes, ("1" * (_CODES - 1) + "0", 8, 0), ("1" * _CODES, 16, 0)])


def _table(path: Path, section: bytes) -> _Table | None:
    """None where samples are not coded."""
    if not section:
        return None
    [tables] = struct.unpack_from("<H", section)
    if tables == DEFAULT_TABLE:
        return _default_table()
    if tables != 1:
        raise Refused("unreadable record", f"{path}: {tables} Huffman tables, one is known. {AGAIN}")
    codes = []
    [number] = struct.unpack_from("<H", section, 2)
    if number > MOST_CODES:
        raise Refused("unreadable record", f"{path}: a Huffman table of {number} codes. {AGAIN}")
    for one in range(number):
        prefix, whole, stays, value, code = struct.unpack_from("<BBBhI", section, 4 + 9 * one)
        if not stays or not 0 < prefix <= min(whole, 32) or whole - prefix > 32:
            raise Refused("unreadable record", f"{path}: a Huffman table of a form that is not known. {AGAIN}")
        codes.append((format(code & ((1 << prefix) - 1), f"0{prefix}b")[::-1], whole - prefix, value))  # the first bit is the lowest
    return _Table(codes)


# ---- what stays in the file ----


def _kinds(sections: dict[int, bytes]) -> frozenset[str]:
    found = {dropped.WORDS} if any(sections.get(number) for number in _OF_SECTIONS) else set()
    header, at = sections.get(1, b""), 0
    while at + 3 <= len(header) and header[at] != 255:
        tag, size = struct.unpack_from("<BH", header, at)
        if tag in _OF_TAG and header[at + 3 : at + 3 + size].strip(b"\0 "):
            found.add(_OF_TAG[tag])
        at += 3 + size
    return frozenset(found)
