"""The twelve leads: their order, their names in files, and the four that follow from I and II."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")  # the other four are always computed

_BY_LOWER_NAME = {name.lower(): name for name in LEADS}


def lead_name(written: str) -> str | None:
    """The standard name of a lead as a file writes it (`AVR`, `avr `, `Lead II`, `MDC_ECG_LEAD_V1`), or None."""
    word = written.strip().lower().replace("mdc_ecg_lead_", "").removeprefix("lead").strip(" _-")
    return _BY_LOWER_NAME.get(word)


def twelve_leads(stored: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """Twelve leads from the eight that are stored.

    stored: (..., 8, samples) in the order of STORED. Returns (..., 12, samples) in the order of LEADS, same unit.
    Einthoven 1912: III = II - I. Goldberger 1942: aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2.
    """
    eight = np.asarray(stored, dtype=np.float64)
    one, two = eight[..., 0, :], eight[..., 1, :]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=-2)
    return np.concatenate([limb, eight[..., 2:, :]], axis=-2)
