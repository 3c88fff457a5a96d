"""Plain numbers: CSV with a row a sample and a column a lead, NumPy arrays with the leads along either axis.

Neither says how fast it was sampled or in which unit; the table of labels does, and where the file names no leads, in which order they stand.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.errors import Refused
from generator.formats import dropped
from generator.formats.leads import Leads, Stated, content, per_millivolt, refuse_too_many, stacked
from generator.leads import lead_name

LARGEST = 64 << 20  # bytes
STATE_IT = "Write it into the table of labels, columns rate (samples/s), unit (nV, uV, mV, V) and leads (in the order of the file)."

_TEXT = re.compile(rb"[\t\r\n\x20-\x7e\x80-\xff]*\Z")
_OF_TIME = {"time", "t", "sample", "index", "seconds", "ms", ""}


def is_npy(head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY")


def is_csv(head: bytes) -> bool:
    """Text with several cells in its first line."""
    return bool(_TEXT.match(head)) and bool(re.search(rb"[,;\t]", head.split(b"\n")[0]))


def read_npy(path: Path, stated: Stated) -> Leads:
    """Raises Refused: no rate, unit or leads stated, a shape that does not fit them, objects in place of numbers."""
    rate, unit = _rate_and_unit(path, stated)
    names = stated.leads
    if not names:
        raise Refused("not stated", f"{path}: an array names no leads. {STATE_IT}")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a header that is none, fewer bytes than it announces, objects
        raise Refused("unreadable record", f"{path}: not a readable array ({type(error).__name__}). Save numbers by numpy.save.") from None
    if found.dtype.kind not in "iuf" or found.ndim != 2 or found.shape.count(len(names)) != 1:
        shape = " x ".join(map(str, found.shape))
        raise Refused("wrong header", f"{path}: {shape} of {found.dtype} for {len(names)} leads. Save two axes, one of them the leads.")
    refuse_too_many(path, found.size)
    values = np.asarray(found if found.shape[0] == len(names) else found.T, dtype=np.float64)
    rows = [(name, row / per_millivolt(path, name, unit)) for name, row in zip(names, values, strict=True) if lead_name(name)]
    return stacked(path, rows, rate, frozenset())


def read_csv(path: Path, stated: Stated) -> Leads:
    """The first line names the columns, or the table of labels does. Decimal commas where semicolons part the cells. Raises Refused."""
    rate, unit = _rate_and_unit(path, stated)
    text = content(path, LARGEST).decode("utf-8-sig", errors="replace")
    first = text.split("\n", 1)[0]
    separator = next((mark for mark in (";", "\t", ",") if mark in first), ",")
    try:
        cells = [cell.strip() for cell in next(csv.reader([first.strip("\r")], delimiter=separator), [])]
    except csv.Error:
        raise Refused("wrong header", f"{path}: its first line is no row of cells. Save it as CSV.") from None
    named = any(lead_name(cell) for cell in cells)
    names = cells if named else list(stated.leads or ())
    if not names:
        raise Refused("not stated", f"{path}: neither its first line nor the table of labels names the leads. {STATE_IT}")
    if len(names) != len(cells):
        raise Refused("wrong header", f"{path}: {len(cells)} columns, and the table of labels names {len(names)} leads. Name every column.")
    columns = [column for column, name in enumerate(names) if lead_name(name)]
    values = _numbers(path, text, separator, columns, skip=int(named))
    refuse_too_many(path, values.size)
    kinds = {dropped.WORDS} if any(name.lower() not in _OF_TIME and not lead_name(name) for name in names) else set()
    rows = [(names[column], row / per_millivolt(path, names[column], unit)) for column, row in zip(columns, values, strict=True)]
    return stacked(path, rows, rate, frozenset(kinds))


def _numbers(path: Path, text: str, separator: str, columns: list[int], skip: int) -> NDArray[np.float64]:
    """(columns, samples)."""
    if not columns:
        return np.empty((0, 0))
    plain = text.replace(",", ".") if separator == ";" else text
    try:
        return np.loadtxt(io.StringIO(plain), delimiter=separator, skiprows=skip, usecols=columns, ndmin=2, comments=None, quotechar='"').T
    except Exception:  # its words quote the cell, which may be a name
        raise Refused("unreadable record", f"{path}: a row without a number for each lead. Save it as CSV, a row a sample.") from None


def _rate_and_unit(path: Path, stated: Stated) -> tuple[float, str]:
    if stated.rate is None or not stated.unit:
        raise Refused("not stated", f"{path}: {'the sampling rate' if stated.rate is None else 'the unit'} is not stated. {STATE_IT}")
    if not 0 < stated.rate < 1e6:
        raise Refused("wrong header", f"{path}: {stated.rate:g} samples/s is impossible. {STATE_IT}")
    return stated.rate, stated.unit
