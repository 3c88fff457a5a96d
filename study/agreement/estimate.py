"""One figure: its value, its interval, how many observations it rests on, and why it is undefined where it is."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval (or the level that `method` names).

    `value` is None where the figure is undefined; `low` and `high` are None where no interval can be given. Either way `reason` says
    why, in words. No field is ever NaN or infinite.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int  # observations: readings, cases or readers, as the table that holds the figure says
    reason: str | None
    method: str
    se: float | None = None  # standard error, where the method has one that the interval does not already say

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "se"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} of an Estimate is {number}: an undefined figure is None with a reason")
        if (self.value is None or self.low is None or self.high is None) and not self.reason:
            raise ValueError("an undefined value or interval needs a reason")
        if self.value is None and (self.low is not None or self.high is not None):
            raise ValueError("an undefined value has no interval")


def undefined(reason: str, n: int = 0, method: str = "") -> Estimate:
    return Estimate(None, None, None, n, reason, method)


def rng(seed: int, *labels: str | int) -> np.random.Generator:
    """A generator of its own for every purpose: `seed` is the study's stored seed, the labels say what is drawn."""
    words = np.frombuffer(hashlib.sha256("\x1f".join(str(label) for label in labels).encode()).digest(), dtype="<u4")
    return np.random.default_rng(np.random.SeedSequence([seed, *words.tolist()]))
