"""What a file's reader gives: its leads in millivolts, and which fields of it were left behind. Nothing but Refused leaves a reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.errors import Refused
from generator.leads import STORED, lead_name

PER_MILLIVOLT = {"nv": 1e6, "uv": 1e3, "mv": 1.0, "v": 1e-3}  # units in one millivolt
EINTHOVEN_SHARE = 0.05  # II - I - III against the largest of the three (standard deviations): PTB-XL below 0.012, 39 of 40 LUDB above 0.09
LARGEST_FILE = 256 << 20  # bytes, as of an upload's files
MOST_SAMPLES = 20_000_000  # that a file may announce for what is read
AGAIN = "Export the recording again."


@dataclass(frozen=True)
class Leads:
    """millivolts: (leads, samples). names: as the file writes them. dropped: see generator.formats.dropped."""

    millivolts: NDArray[np.float64]
    names: list[str]
    rate: float  # samples/s
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Stated:
    """What a table of labels says of a file that cannot say it: CSV and NumPy. None where the table says nothing."""

    rate: float | None = None  # samples/s
    unit: str | None = None
    leads: tuple[str, ...] | None = None  # in the order of the file


def per_millivolt(path: Path, name: str, unit: str) -> float:
    """So many of a unit are one millivolt. Raises Refused for other units."""
    plain = unit.strip().replace("µ", "u").replace("μ", "u").lower()
    if plain not in PER_MILLIVOLT:
        raise Refused("unknown unit", f"{path}: lead {name} is in {unit[:20]!r}. Give it in nV, uV, mV or V.")
    return PER_MILLIVOLT[plain]


def content(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The bytes of a file. Raises Refused for one that is not there or too large."""
    try:
        with path.open("rb") as file:
            found = file.read(largest + 1)
    except OSError as error:
        raise Refused("missing file", f"{path}: {error.strerror or error}. Import the folder with all its files.") from error
    if len(found) > largest:
        raise Refused("too large", f"{path}: more than {largest >> 20} MB, which no 12-lead ECG has. Export the 10 s that are wanted.")
    return found


def checked(path: Path, leads: Leads) -> Leads:
    """The same leads. Raises Refused for a lead that occurs twice and for limb leads that contradict each other."""
    _refuse_doubled(path, leads.names)
    _refuse_broken_triangle(path, leads)
    return leads


def refuse_too_many(path: Path, samples: int) -> None:
    if samples > MOST_SAMPLES:
        raise Refused("wrong header", f"{path}: {samples} samples to read, more than any ECG has. Export the 10 s that are wanted.")


def stacked(path: Path, rows: Iterable[tuple[str, NDArray[np.floating]]], rate: float, dropped: frozenset[str]) -> Leads:
    """Leads of single rows in mV, checked. Raises Refused for none, for rows of different lengths, and as `checked` does."""
    named = list(rows)
    if not named:
        raise Refused("missing lead", f"{path}: none of its signals is a lead of a 12-lead ECG. All of {', '.join(STORED)} are needed.")
    lengths = {row.size for _, row in named}
    if 0 in lengths:
        raise Refused("truncated samples", f"{path}: a lead without samples. {AGAIN}")
    if len(lengths) > 1:
        raise Refused("truncated samples", f"{path}: leads of {min(lengths)} to {max(lengths)} samples. {AGAIN}")
    millivolts = np.stack([np.asarray(row, dtype=np.float64) for _, row in named])
    return checked(path, Leads(millivolts, [name for name, _ in named], rate, dropped))


def _refuse_doubled(path: Path, names: Sequence[str]) -> None:
    known = [lead_name(name) for name in names]
    for lead in STORED:
        if known.count(lead) > 1:
            raise Refused("wrong header", f"{path}: lead {lead} occurs {known.count(lead)} times. Keep one of each.")


def _refuse_broken_triangle(path: Path, leads: Leads) -> None:
    """II = I + III whatever the heart does (Einthoven); where it fails, gains or lead names are wrong, as in LUDB's normalised headers."""
    row = {lead_name(name): samples for name, samples in zip(leads.names, leads.millivolts, strict=True)}
    if not {"I", "II", "III"} <= row.keys():
        return
    with np.errstate(over="ignore", invalid="ignore"):  # values that no ECG has are refused later, by name
        largest = max(float(row[lead].std()) for lead in ("I", "II", "III"))
        error = float((row["II"] - row["I"] - row["III"]).std())  # offsets differ between amplifiers and are no fault
    if error > EINTHOVEN_SHARE * largest:
        raise Refused(
            "limb leads contradict each other",
            f"{path}: II differs from I + III by {error:.2f} mV where the leads have {largest:.2f} mV. Correct gains or lead names in the header.",
        )
