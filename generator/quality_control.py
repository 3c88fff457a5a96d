"""Quality control of a draw: what a drawn strip must be to count as one of the rhythm that was asked for. docs/quality-control.md.

What no recording may be either (a flat or clipped lead, NaN, 20 mV) the canonical form refuses (generator.strip), and `refuse_plateaus` where
it is true but for a network's last digits. The rules are for drawn strips alone: they ask what the label of a recording answers. Each limit on
a rhythm was set on PTB-XL's folds 1 to 8 so that at most 1 % of the recordings of that rhythm are beyond it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generator.copies import Reference
from generator.errors import Refused
from generator.features import features
from generator.leads import STORED
from generator.request import HEART_RATE_LIMITS, RHYTHMS
from generator.strip import MICROVOLTS_PER_COUNT, RATE, unfiltered

VERSION = "1"  # of the rules: another one may accept other strips
COPY = "copy of a training strip"
FLAT_SPAN_MV, FLAT_SECONDS = 0.05, 2.0  # a lead that stays within 50 microvolts for so long; in 1,856 recordings none within 69
TOLERATED = 0.10  # more rejected samples than that: the checkpoint or its settings are not fit for a study


@dataclass(frozen=True)
class Rule:
    """A strip drawn as one of `rhythms` whose figure (a column of generator.features) is below `least` or above `most` is rejected for `reason`."""

    reason: str
    rhythms: tuple[str, ...]
    figure: str
    least: float
    most: float

    def broken(self, value: float) -> bool:
        """Also where the figure is undefined: what cannot be measured was not drawn well."""
        return not self.least <= value <= self.most


# In this order: the first that is broken is the reason. Shares of recordings that break each: docs/quality-control.md.
RULES = (
    Rule("fewer than 4 QRS complexes", RHYTHMS, "beats", 4, math.inf),
    Rule("heart rate out of range", RHYTHMS, "heart_rate", 0.9 * HEART_RATE_LIMITS[0], 1.1 * HEART_RATE_LIMITS[1]),  # 1/min
    Rule("NSR without P waves", ("NSR",), "p_coherence", 0.65, math.inf),
    Rule("NSR with irregular RR intervals", ("NSR",), "rr_cv", -math.inf, 0.23),
    Rule("AF with regular RR intervals", ("AF",), "rr_cv", 0.055, math.inf),
    Rule("AF with P waves", ("AF",), "p_coherence", -math.inf, 0.88),
)


def refuse_plateaus(mv: NDArray[np.floating]) -> None:
    """Raises Refused, with the canonical form's reasons, where a lead of a sample is flat or clipped but for noise below the resolution of a strip.

    mv: (8, 1000) mV in the order of STORED, before the band-pass. A network hardly ever draws the same number twice, which is what the
    canonical form looks for: here the sample is first rounded to counts. Of 1,856 recordings none is refused.
    """
    step = MICROVOLTS_PER_COUNT / 1000
    unfiltered(np.rint(mv / step) * step, RATE, STORED, name="sample")
    windows = np.lib.stride_tricks.sliding_window_view(mv, round(FLAT_SECONDS * RATE), axis=-1)[:, :: RATE // 10]
    flat = np.ptp(windows, axis=-1).min(axis=-1) < FLAT_SPAN_MV
    if flat.any():
        raise Refused("flat lead", f"sample: lead {STORED[int(np.argmax(flat))]} stays within {1000 * FLAT_SPAN_MV:.0f} uV for {FLAT_SECONDS:g} s.")


def check(counts: NDArray[np.integer], rhythm: str, reference: Reference | None) -> str | None:
    """Why a strip drawn as `rhythm` is rejected, or None where it is accepted.

    counts: (8, 1000) canonical counts; rhythm: NSR or AF, ValueError otherwise; reference: of the checkpoint's training strips, None where it
    has none: then nobody looks for copies, as `checks` says. The same strip always gets the same answer. About 4 ms.
    """
    if rhythm not in RHYTHMS:
        raise ValueError(f"rhythm {rhythm!r}: rules are known for {', '.join(RHYTHMS)}.")
    strip = np.asarray(counts)[None]
    measured = features(strip).iloc[0]
    for rule in RULES:
        if rhythm in rule.rhythms and rule.broken(float(measured[rule.figure])):
            return rule.reason
    if reference is not None and reference.is_copy(strip, rhythm)[0]:
        return COPY
    return None


def checks(rhythm: str, reference: Reference | None) -> str:
    """What provenance says was checked: the rules' version, and whether copies of training strips were looked for."""
    return f"{VERSION}, copies {'checked' if reference is not None and reference.covers(rhythm) else 'not checked'}"


def copies_checked(made: object) -> bool:
    """What `checks` said of a strip, read from its provenance; False for strips of versions that did not look."""
    return str(made).endswith(", copies checked")
