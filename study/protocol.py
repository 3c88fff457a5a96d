"""What a study asks and how: the form, and the rules that freeze with the first judgement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from study.errors import StudyError

SCALE = ("definitely real", "probably real", "possibly real", "possibly synthetic", "probably synthetic", "definitely synthetic")  # answers 1 to 6
RHYTHM_ANSWERS = ("NSR", "AF", "other", "unsure")
MORPHOLOGY_ITEMS = ("P wave", "PR interval", "QRS complex", "ST segment", "T wave", "QT interval")
MORPHOLOGY_ANSWERS = ("plausible", "implausible", "cannot judge")
CUES = (
    "noise or baseline too clean",
    "noise or artefact looks artificial",
    "beats too much alike",
    "beats vary implausibly",
    "RR intervals implausible",
    "P waves or f-waves implausible",
    "QRS shape or width implausible",
    "ST segment or T wave implausible",
    "amplitudes implausible",
    "R progression V1 to V6 implausible",
    "leads disagree with each other",
    "other (see comment)",
)
RHYTHM_WORDS = {"NSR": "sinus rhythm", "AF": "atrial fibrillation"}  # what the form says for an answer that is an abbreviation
QUALITY_ANSWERS = ("good", "adequate", "poor")
REALISM_FIRST = "realism first"
REALISM_LAST = "rhythm and morphology first"  # on one form: the reader judges the ECG before saying whether it is real
PURPOSE_BLIND = "purpose-blind"  # quality, rhythm and morphology of every case; only then, in a second phase, whether each is real
QUESTION_ORDERS = (REALISM_FIRST, REALISM_LAST, PURPOSE_BLIND)
_QUESTIONS = {
    REALISM_FIRST: (("realism", "rhythm", "morphology", "cues", "marks"),),
    REALISM_LAST: (("rhythm", "morphology", "realism", "cues", "marks"),),
    PURPOSE_BLIND: (("quality", "rhythm", "morphology"), ("realism", "cues", "marks")),
}


def phases(question_order: str) -> int:
    """How often a reader goes through a round."""
    return len(_QUESTIONS[question_order])


def questions(question_order: str, phase: int) -> tuple[str, ...]:
    """What the form asks in a phase, in its order; a comment can always be written. phase: from 1."""
    return _QUESTIONS[question_order][phase - 1]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Rule -> (from, to), of the rules that differ between two protocols as dictionaries."""
    return {name: (before.get(name), after.get(name)) for name in {**before, **after} if before.get(name) != after.get(name)}


def changes_in_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """For example "margin 0.1 -> 0.15"."""
    return "; ".join(f"{name.replace('_', ' ')} {was} -> {becomes}" for name, (was, becomes) in changes(before, after).items())


@dataclass(frozen=True)
class Protocol:
    """A study's rules. Raises StudyError, naming the field, for a value out of range."""

    margin: float = 0.1  # equivalence to chance: accuracy within 0.5 +- margin; above 0, below 0.5
    question_order: str = REALISM_FIRST
    min_repeat_distance: int = 10  # a repeat stands at least so many positions after its first showing
    washout_days: int = 14  # between a reader's last judgement in one round and the first in the next

    def __post_init__(self) -> None:
        if isinstance(self.margin, bool) or not isinstance(self.margin, (int, float)) or not 0 < self.margin < 0.5:
            raise StudyError(f"margin: {self.margin!r} is out of range. Choose a number above 0 and below 0.5, for example 0.1.")
        if self.question_order not in QUESTION_ORDERS:
            raise StudyError(f"question_order: {self.question_order!r} is unknown. Choose {' or '.join(map(repr, QUESTION_ORDERS))}.")
        for name, highest in (("min_repeat_distance", 1000), ("washout_days", 3650)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
                raise StudyError(f"{name}: {value!r} is out of range. Choose a whole number from 0 to {highest}.")

    def hash(self) -> str:
        """SHA-256 of the rules and of the form's words, in JSON with sorted keys: changes if and only if what readers are asked changes."""
        words = {"scale": SCALE, "rhythm": RHYTHM_ANSWERS, "morphology": MORPHOLOGY_ITEMS, "morphology answers": MORPHOLOGY_ANSWERS, "cues": CUES}
        if self.question_order == PURPOSE_BLIND:  # asked there alone
            words["quality"] = QUALITY_ANSWERS
        text = json.dumps({"rules": self.as_dict(), "form": words}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "margin": float(self.margin)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Protocol:
        """The inverse of as_dict. Raises StudyError for a key that no protocol has."""
        unknown = sorted(set(values) - {field.name for field in fields(Protocol)})
        if unknown:
            raise StudyError(f"protocol: unknown field {', '.join(unknown)}. This study was set up by a newer version of blindstrip: update it.")
        return Protocol(**values)
