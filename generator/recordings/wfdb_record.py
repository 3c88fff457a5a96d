"""One WFDB record: its samples in millivolts, or the reason why it cannot be used. Nothing but Refused leaves this module."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from generator.errors import Refused
from generator.formats import dropped
from generator.formats.leads import MOST_SAMPLES, Leads, checked, per_millivolt
from generator.leads import lead_name
from generator.strip import SECONDS

WHOLE_BELOW_SECONDS = 120  # a longer record is read around its middle only
MARGIN_SECONDS = 1

LARGEST_HEADER = 64 << 10  # bytes
SIGNAL_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # beside its header: no folder, no drive, no address of the network

_CALIBRATION = re.compile(r"(?P<gain>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?", re.IGNORECASE)


@dataclass(frozen=True)
class AsStored:
    """A file before the canonical form."""

    microvolts: NDArray[np.float64]  # (signals, samples)
    stored: NDArray[np.int64]  # the same as the file holds it
    names: list[str]  # as the file writes them
    rate: float  # samples/s
    samples: int  # of a signal in the file: more than a row has where it was read around its middle only


@dataclass(frozen=True)
class Header:
    """What is checked before a sample is read."""

    rate: float
    samples: int | None  # None: the header leaves it open
    units: list[str]  # one a signal, as written
    dropped: frozenset[str] = frozenset()  # see generator.formats.dropped


def read_leads(path: Path) -> Leads:
    """The signals of the record at `path` (no extension), in mV.

    Raises Refused: missing file, wrong header, unknown unit, truncated or unreadable samples, limb leads that contradict each other.
    """
    header = read_header(path)
    record = _samples(path, header)
    names = [name or "" for name in record.sig_name]
    values = np.asarray(record.p_signal, dtype=np.float64).T  # (leads, samples)
    needed = [i for i, name in enumerate(names) if lead_name(name) is not None]
    for i in needed:
        values[i] /= per_millivolt(path, names[i], header.units[i])
    return checked(path, Leads(values[needed], [names[i] for i in needed], header.rate, header.dropped))


def read_digital(path: Path) -> tuple[NDArray[np.int64], list[str], list[float]]:
    """The samples as stored, (leads, samples), with lead names and units per mV: for folders that we wrote ourselves. Raises Refused."""
    header = read_header(path)
    record = _samples(path, header, physical=False)
    return np.asarray(record.d_signal, dtype=np.int64).T, [name or "" for name in record.sig_name], [float(gain) for gain in record.adc_gain]


def read_as_is(path: Path) -> AsStored:
    """The signals with nothing done to them: no lead chosen, no rate changed, limb leads that contradict each other included.

    Raises Refused for files that cannot be read, for a lead of unknown unit, and for one with missing samples. Other signals keep their unit.
    """
    header = read_header(path)
    record = _samples(path, header, physical=False)
    names = [name or "" for name in record.sig_name]
    microvolts = np.asarray(record.dac(), dtype=np.float64).T  # (leads, samples)
    for i, name in enumerate(names):
        if lead_name(name) is None:  # a respiration in ohms, a pressure: no lead
            continue
        microvolts[i] *= 1000 / per_millivolt(path, name, header.units[i])
        if not np.isfinite(microvolts[i]).all():
            raise Refused("missing samples (NaN)", f"{path}: lead {name} has samples without a value. Export it again, or leave it out.")
    stored = np.asarray(record.d_signal, dtype=np.int64).T
    return AsStored(microvolts, stored, names, header.rate, header.samples or stored.shape[1])


def read_header(path: Path) -> Header:
    """Rate, length and units, checked. Where a header says nothing wfdb takes 200/mV and 250 samples/s, and of µV it keeps the V. Raises Refused."""
    file = path.with_name(path.name + ".hea")
    try:
        with file.open("rb") as header:
            content = header.read(LARGEST_HEADER + 1)
    except OSError as error:
        raise Refused("missing file", f"{file}: {error.strerror or error}. Import the folder with all its files.") from error
    if len(content) > LARGEST_HEADER:
        raise Refused("wrong header", f"{file}: more than {LARGEST_HEADER} bytes, which no header has. Export the record again.")
    written = [line.strip() for line in content.decode("utf-8", errors="replace").splitlines() if line.strip()]
    lines = [line.split() for line in written if not line.startswith("#")]
    if not lines or len(lines[0]) < 3:
        raise Refused("wrong header", f"{file}: the first line names no sampling rate. Export the record again.")
    if "/" in lines[0][0]:
        raise Refused("wrong header", f"{file}: a record of several segments. Export it as one segment.")
    signals = _whole(file, "number of signals", lines[0][1])
    try:
        rate = float(re.split(r"[/(]", lines[0][2])[0])
    except ValueError as error:
        raise Refused("wrong header", f"{file}: sampling rate {lines[0][2]!r} is no number. Correct the header's first line.") from error
    if not 0 < rate < 1e6:
        raise Refused("wrong header", f"{file}: sampling rate {lines[0][2]} is impossible. Correct the header's first line.")
    if len(lines) - 1 != signals or signals == 0:
        raise Refused("wrong header", f"{file}: {signals} signals announced, {len(lines) - 1} described. Export the record again.")
    elsewhere = [line[0] for line in lines[1:] if not SIGNAL_FILE.fullmatch(line[0])]
    if elsewhere:
        raise Refused("wrong header", f"{file} names a signal file {elsewhere[0][:60]!r}. A header may only name files beside it.")
    samples = _whole(file, "number of samples", lines[0][3]) if len(lines[0]) > 3 else None
    read = min(samples or 0, int(WHOLE_BELOW_SECONDS * rate)) * sum(_samples_a_frame(line) for line in lines[1:])
    if read > MOST_SAMPLES:
        raise Refused("wrong header", f"{file}: {read} samples to read, more than any ECG has. Correct rate and signals.")
    told = {dropped.WORDS} if len(lines) < len(written) else set()
    told |= {dropped.WHEN} if len(lines[0]) > 4 else set()
    return Header(rate, samples or None, [_unit(file, line) for line in lines[1:]], frozenset(told))


def _samples(path: Path, header: Header, physical: bool = True) -> wfdb.Record:
    first, last = 0, None
    if header.samples and header.samples > WHOLE_BELOW_SECONDS * header.rate:
        half = int((SECONDS / 2 + MARGIN_SECONDS) * header.rate)
        first, last = header.samples // 2 - half, header.samples // 2 + half
    try:
        record = wfdb.rdrecord(str(path), sampfrom=first, sampto=last, physical=physical)
    except FileNotFoundError as error:
        raise Refused("missing file", f"{error.filename or path}: no such file. Import the folder with all its files.") from error
    except Exception as error:  # wfdb raises whatever its parsing trips over: each is a file that cannot be used
        short = any(words in str(error) for words in ("cannot reshape", "not loaded correctly", "mismatched dimensions"))
        if short:
            raise Refused("truncated samples", f"{path}: fewer samples than the header says. Copy the record again.") from error
        raise Refused("unreadable record", f"{path}: {type(error).__name__}: {error}. Export the record again.") from error
    read = record.p_signal if physical else record.d_signal
    if read is None or read.ndim != 2 or read.shape[1] != len(header.units):
        raise Refused("unreadable record", f"{path}: no samples of {len(header.units)} signals. Export the record again.")
    return record


def _whole(file: Path, field: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refused("wrong header", f"{file}: {field} {text!r} is no whole number. Correct the header's first line.")
    return int(text)


def _samples_a_frame(line: list[str]) -> int:
    several = re.match(r"\d+x(\d+)", line[1]) if len(line) > 1 else None
    return int(several[1]) if several else 1


def _unit(file: Path, line: list[str]) -> str:
    calibration = _CALIBRATION.fullmatch(line[2]) if len(line) > 2 else None
    if calibration is None or float(calibration["gain"]) == 0:
        raise Refused("unknown unit", f"{file}: signal {line[-1]} has no gain, so its amplitude is unknown. Write the gain in units per mV.")
    return calibration["unit"] or "mV"  # header(5): mV where no unit is written
