"""WFDB files as tests need them: a stand-in heart at any rate, in any lead order, with any fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from generator.leads import LEADS
from generator.simulate import stand_in
from generator.strip import millivolts

UNITS_PER_MV = 200.0  # 5 microvolts, as hospital carts write


def signals(seed: int = 1, rhythm: str = "NSR", rate: int = 100, seconds: float = 10) -> NDArray[np.float64]:
    """Twelve leads in mV, (12, samples), in the order of LEADS; longer than 10 s by going round."""
    twelve = millivolts(stand_in(rhythm, seed))
    at = np.arange(round(seconds * rate)) / rate
    return np.stack([np.interp(at % 10, np.arange(1000) / 100, lead) for lead in twelve])


def write_record(
    directory: Path,
    name: str,
    mv: NDArray[np.float64],
    *,
    rate: int = 100,
    leads: tuple[str, ...] = LEADS,
    unit: str = "mV",
    gain: float = UNITS_PER_MV,
) -> Path:
    """A record of format 16 from (leads, samples) mV; gain in units per `unit`. Returns its path without extension."""
    directory.mkdir(parents=True, exist_ok=True)
    per_mv = {"mV": 1.0, "uV": 1e3, "nV": 1e6, "V": 1e-3}.get(unit, 1.0)
    digital = np.rint(mv.T * per_mv * gain).astype(np.int64)
    n = len(leads)
    wfdb.wrsamp(
        name, fs=rate, units=[unit] * n, sig_name=list(leads), d_signal=digital, fmt=["16"] * n,
        adc_gain=[gain] * n, baseline=[0] * n, write_dir=str(directory),
    )  # fmt: skip
    return directory / name


def edit_header(record: Path, old: str, new: str) -> None:
    """Replace every `old` in a record's header, as a person with an editor would."""
    file = record.with_name(record.name + ".hea")
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
