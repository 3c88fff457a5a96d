"""The twelve leads: their order, their names in files, and the four that follow from I and II."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generator.errors import GeneratorError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")  # the other four are always computed

_OF_I_AND_II = {"I": (1, 0), "II": (0, 1), "III": (-1, 1), "aVR": (-0.5, -0.5), "aVL": (1, -0.5), "aVF": (-0.5, 1)}  # shares of I and of II
_BY_LOWER_NAME = {name.lower(): name for name in LEADS}


def lead_name(written: str) -> str | None:
    """The standard name of a lead as a file writes it (`AVR`, `avr `, `Lead II`, `MDC_ECG_LEAD_V1`), or None."""
    word = written.strip().lower().replace("mdc_ecg_lead_", "").removeprefix("lead").strip(" _-")
    return _BY_LOWER_NAME.get(word)


def limb_weights(names: Sequence[str]) -> NDArray[np.float64]:
    """What makes the eight stored leads of eight others: (8, 8), stored = weights @ others.

    names: V1 to V6 and any two limb leads, in any order; the two fix I and II, as each limb lead is a mixture of those (Einthoven, Goldberger).
    GeneratorError for other leads.
    """
    limb = [name for name in names if name in _OF_I_AND_II]
    if len(names) != len(STORED) or len(set(limb)) != 2 or sorted(set(names) - set(limb)) != sorted(STORED[2:]):
        raise GeneratorError(f"The leads are {', '.join(map(str, names))}. Eight are needed: V1 to V6 and two limb leads, each once.")
    from_limb = np.linalg.inv(np.array([_OF_I_AND_II[name] for name in limb]))
    weights = np.zeros((len(STORED), len(names)))
    for row, lead in enumerate(STORED):
        if lead in ("I", "II"):
            weights[row, [names.index(name) for name in limb]] = from_limb[row]
        else:
            weights[row, names.index(lead)] = 1
    return weights


def twelve_leads(stored: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """Twelve leads from the eight that are stored.

    stored: (..., 8, samples) in the order of STORED. Returns (..., 12, samples) in the order of LEADS, same unit.
    Einthoven 1912: III = II - I. Goldberger 1942: aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2.
    """
    eight = np.asarray(stored, dtype=np.float64)
    one, two = eight[..., 0, :], eight[..., 1, :]
    limb = np.stack([of_one * one + of_two * two for of_one, of_two in _OF_I_AND_II.values()], axis=-2)
    return np.concatenate([limb, eight[..., 2:, :]], axis=-2)
