"""What the desk gets and sends, as plain data: one case when the screen opens, and from then on by POST /answer, each answer for the next case."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any

from generator.strip import to_bytes
from storage.database import Database
from study import notices, practice, reading, screens
from study.answers import Answer, checked
from study.errors import Problems, StudyError, Unavailable
from study.people import Person
from study.practice import PracticeCase
from study.protocol import RHYTHM_WORDS, SCALE
from study.reading import ReadingCase
from study.roles import Action, demand
from study.viewing import Viewing

ELSEWHERE = "The last case had been answered in another window. That answer stands; this one was not stored."
OTHERS = "This window shows a case of another reader or another database. Nothing was stored. Reload the page."
LATER = "This case was not shown to you yet. Reload the page to see the case that comes next."
_PLACE = re.compile(r"(?P<practice>practice-)?(?P<round>\d{1,9})-(?:(?P<attempt>\d{1,4})-)?(?P<position>\d{1,5})(?P<again>-again)?")


class NotYours(StudyError):
    """An answer to a case that is not the reader's."""


def of_round(db: Database, person: Person, round_id: int, again: int | None = None) -> dict[str, Any] | None:
    """The case to correct at position `again`, if it was answered, or the next to read; None where the round is read through.

    Raises what study.reading.next_case raises.
    """
    case = None if again is None else reading.case_again(db, person, round_id, again)
    case = case or reading.show(db, person, round_id)
    if case is None:
        return None
    part = f", part {case.phase}" if case.phase > 1 or "realism" not in case.questions else ""
    return _data(db, person, case, again="-again" if case.given else "") | {
        "round": str(round_id),
        "place": f"{round_id}-{case.position}" + ("-again" if case.given else ""),
        "title": f"{'Correcting case' if case.given else 'Case'} {case.position} of {case.total}{part}",
        "given": case.given.as_dict() if case.given else None,
        "before": case.position > case.first,
        "pdf": {"round": round_id, "case": case.position},
    }


def of_practice(db: Database, person: Person, round_id: int, attempt: int) -> dict[str, Any] | None:
    """The next case of an attempt at a practice; None where it is gone through. Raises what study.practice.next_case raises."""
    case = practice.next_case(db, person, round_id, attempt)
    return None if case is None else _practice_data(db, person, case)


def answered(db: Database, person: Person, sent: Any) -> dict[str, Any]:
    """Stores what the desk sent ({place, key, answer, viewing}) and gives what comes next: {case} or {done: True}, with a notice that may be None.

    Sent twice, an answer is stored once. {problem: words} where nothing was stored and another answer is needed. Raises NotYours, and
    Unavailable where the same answer may be sent again.
    """
    try:
        demand(person, Action.READ_CASES)
        found = _PLACE.fullmatch(str(sent.get("place"))) if isinstance(sent, dict) else None
        if found is None or not isinstance(sent.get("answer"), dict):
            raise StudyError("The answer came damaged. Submit it again.")
        answer, round_id, position, key = Answer.from_dict(sent["answer"]), int(found["round"]), int(found["position"]), str(sent.get("key"))
        if found["practice"]:
            return {"case": _practised(db, person, round_id, int(found["attempt"] or 1), position, key, answer), "notice": None}
        store = _corrected if found["again"] else _read
        notice = store(db, person, round_id, position, key, answer, Viewing.from_browser(sent.get("viewing")))
        coming = of_round(db, person, round_id)
    except (NotYours, Unavailable):
        raise
    except Problems as error:
        return {"problem": str(error)}
    return {"case": coming, "notice": notice} if coming else {"done": True, "notice": notice}


def _read(db: Database, person: Person, round_id: int, position: int, key: str, answer: Answer, viewing: Viewing) -> str | None:
    case = reading.next_case(db, person, round_id)
    if case is not None and case.position == position:
        _check(key, person, case)
        if reading.submit(db, person, case.code, answer, phase=case.phase, viewing=viewing):
            return None
    there = reading.case_again(db, person, round_id, position)
    if there is None:
        raise StudyError(LATER)
    _check(key, person, there)
    return None if there.given == checked(answer, there.questions) else ELSEWHERE  # the same answer, sent again


def _corrected(db: Database, person: Person, round_id: int, position: int, key: str, answer: Answer, viewing: Viewing) -> None:
    case = reading.case_again(db, person, round_id, position)
    if case is None:
        raise StudyError("This case has no answer to correct yet. Go back to your list of rounds.")
    _check(key, person, case)
    reading.revise(db, person, case.code, answer, phase=case.phase, viewing=viewing)


def _practised(db: Database, person: Person, round_id: int, attempt: int, position: int, key: str, answer: Answer) -> dict[str, Any]:
    """The same case with what it was."""
    case = practice.next_case(db, person, round_id, attempt)
    if case is not None and case.position == position:
        _check(key, person, case)
        practice.submit(db, person, case.code, round_id, attempt, answer)
    lesson = practice.last_lesson(db, person, round_id, attempt)
    if lesson is None:
        raise StudyError(LATER)
    last = lesson.case.position == lesson.case.total
    data = _practice_data(db, person, lesson.case)
    return data | {"place": data["place"] + "-told", "lesson": {"lines": _told(lesson), "next": "To the end" if last else "Next case"}}


def _told(lesson: practice.Lesson) -> list[str]:
    rhythm, named = RHYTHM_WORDS[lesson.rhythm], RHYTHM_WORDS.get(lesson.answer.rhythm or "", lesson.answer.rhythm or "")
    if lesson.arm is None:
        return [f"This strip shows {rhythm}.", f"You said: {named}."]
    was = "drawn by the generator" if lesson.arm == "synthetic" else "recorded from a patient"
    if lesson.case.notice == notices.STAND_INS and lesson.arm == "real":
        was = "a simulator's stand-in for a recording (this is a demo)"
    return [f"This strip was {was}: {rhythm}.", f"You said: {SCALE[(lesson.answer.realism or 1) - 1]}, {named}."]


# ---- a case as data ----


def _practice_data(db: Database, person: Person, case: PracticeCase) -> dict[str, Any]:
    attempt = f"practice-{case.round_id}-{case.attempt}"
    return _data(db, person, case, again=f"-{case.attempt}") | {
        "round": attempt,
        "place": f"{attempt}-{case.position}",
        "title": f"Practice, case {case.position} of {case.total}",
        "given": None,
        "before": False,
        "pdf": None,
    }


def _data(db: Database, person: Person, case: ReadingCase | PracticeCase, *, again: str) -> dict[str, Any]:
    """What the desk is told of every case; no code, no id, no moment."""
    key = _key(person, case)
    return {
        "key": key,
        "draft": key + again,  # what the browser keeps a draft under
        "done": case.position - 1,
        "total": case.total,
        "study": case.study_title,
        "notice": case.notice,
        "questions": case.questions,
        "scales": screens.scales(db, person),
        "counts": base64.b64encode(to_bytes(case.counts)).decode(),
        "lesson": None,
    }


def _key(person: Person, case: ReadingCase | PracticeCase) -> str:
    """Binds a window, its draft and its answer to this case, phase and reader of this database: a hash of the case's random code."""
    phase = case.phase if isinstance(case, ReadingCase) else 0
    return hashlib.sha256(f"{case.code} {phase} {person.id} {person.username}".encode()).hexdigest()[:32]


def _check(key: str, person: Person, case: ReadingCase | PracticeCase) -> None:
    if not hmac.compare_digest(key.encode(), _key(person, case).encode()):
        raise NotYours(OTHERS)
