"""An answer to a case: what the form asks in which phase, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from generator.leads import LEADS
from generator.strip import SECONDS
from study.errors import StudyError
from study.protocol import CUES, MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, QUALITY_ANSWERS, RHYTHM_ANSWERS, SCALE

COMMENT_LENGTH = 2000
MARKS = 50  # regions at most, of one case
STRIP_MS = 1000 * SECONDS
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # NUL and half a surrogate pair: no database takes them


@dataclass(frozen=True)
class Mark:
    """A region of a lead that a reader pointed at ("this P wave")."""

    lead: str  # of LEADS
    from_ms: int  # from the strip's first sample
    to_ms: int


@dataclass(frozen=True)
class Answer:
    """One judgement's content; checked when it is submitted. What a phase does not ask stays None or empty."""

    realism: int | None = None  # 1 definitely real ... 6 definitely synthetic: a place in SCALE
    rhythm: str | None = None  # of RHYTHM_ANSWERS
    morphology: dict[str, str] = field(default_factory=dict)  # each of MORPHOLOGY_ITEMS: one of MORPHOLOGY_ANSWERS
    cues: list[str] = field(default_factory=list)  # of CUES
    comment: str = ""
    quality: str | None = None  # of QUALITY_ANSWERS
    marks: list[Mark] = field(default_factory=list)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Answer:
        """From JSON, as `as_dict` or a browser makes it; unknown keys are ignored. Raises StudyError for marks that are none."""
        known = {name: values[name] for name in Answer.__dataclass_fields__ if name in values}
        return Answer(**{**known, "marks": [_mark(one) for one in _list("marks", values.get("marks") or [])]})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sha256(self) -> str:
        """Of its JSON with sorted keys: binds the judgement to the audit trail without repeating it there. Later fields count once they are used."""
        later: dict[str, Any] = {"quality": None, "marks": []}
        said = {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}
        return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def checked(answer: Answer, questions: tuple[str, ...]) -> Answer:
    """The answer with plain types and its cues in the form's order; raises StudyError that names the field.

    questions: of study.protocol.questions; what is not among them must be empty, except comment, cues and marks where they are asked.
    """
    for name in ("realism", "rhythm", "quality", "morphology", "cues", "marks"):
        if name not in questions and getattr(answer, name) != getattr(Answer(), name):
            raise StudyError(f"{name}: this is not asked now. Reload the page.")
    if "realism" in questions and (isinstance(answer.realism, bool) or not isinstance(answer.realism, int) or not 1 <= answer.realism <= len(SCALE)):
        raise StudyError(f"realism: {answer.realism!r} is no answer. Choose one of the six, from {SCALE[0]!r} (1) to {SCALE[-1]!r} (6).")
    if "rhythm" in questions and answer.rhythm not in RHYTHM_ANSWERS:
        raise StudyError(f"rhythm: {answer.rhythm!r} is no answer. Choose {', '.join(RHYTHM_ANSWERS)}.")
    if "quality" in questions and answer.quality not in QUALITY_ANSWERS:
        raise StudyError(f"quality: {answer.quality!r} is no answer. Choose {', '.join(QUALITY_ANSWERS)}.")
    if "morphology" in questions:
        _check_morphology(answer.morphology)
    unknown_cues = [cue for cue in _list("cues", answer.cues) if cue not in CUES]
    if unknown_cues:
        raise StudyError(f"cues: {unknown_cues[0]!r} is not in the list. Write it into the comment.")
    if not isinstance(answer.comment, str) or len(answer.comment) > COMMENT_LENGTH:
        raise StudyError(f"comment: write at most {COMMENT_LENGTH} characters.")
    if _NO_TEXT.search(answer.comment):
        raise StudyError("comment: it has a character that cannot be stored. Type it again instead of pasting it.")
    if CUES[-1] in answer.cues and not answer.comment.strip():
        raise StudyError("comment: one of your cues refers to it. Write what gave the strip away.")
    if len(_list("marks", answer.marks)) > MARKS:
        raise StudyError(f"marks: {len(answer.marks)} regions are marked. Keep the {MARKS} that matter most.")
    return Answer(
        answer.realism,
        answer.rhythm,
        {item: answer.morphology[item] for item in MORPHOLOGY_ITEMS if item in answer.morphology},
        [cue for cue in CUES if cue in answer.cues],
        answer.comment.strip(),
        answer.quality,
        [_mark(asdict(mark)) for mark in answer.marks],
    )


def _list(name: str, given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise StudyError(f"{name}: {given!r} is no list. Reload the page and answer again.")
    return given


def _check_morphology(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise StudyError(f"morphology: judge {', '.join(MORPHOLOGY_ITEMS)}.")
    if set(given) != set(MORPHOLOGY_ITEMS):
        missing = [item for item in MORPHOLOGY_ITEMS if item not in given]
        unknown = [item for item in given if item not in MORPHOLOGY_ITEMS]
        raise StudyError(f"morphology: judge {', '.join(missing)}." if missing else f"morphology: {', '.join(map(repr, unknown))} is not asked for.")
    for item, judged in given.items():
        if judged not in MORPHOLOGY_ANSWERS:
            raise StudyError(f"morphology, {item}: {judged!r} is no answer. Choose {', '.join(MORPHOLOGY_ANSWERS)}.")


def _mark(given: Any) -> Mark:
    try:
        mark = Mark(str(given["lead"]), round(given["from_ms"]), round(given["to_ms"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise StudyError("marks: a region has a lead, a beginning and an end. Remove it and mark it again.") from error
    if mark.lead not in LEADS or not 0 <= mark.from_ms < mark.to_ms <= STRIP_MS:
        raise StudyError(f"marks: {mark.lead} from {mark.from_ms} to {mark.to_ms} ms is no region of the strip. Remove it and mark it again.")
    return mark
