"""What the desk gets and sends, as plain data: one case when the screen opens, and from then on by POST /answer, each answer for the next case.

Of this the server keeps nothing but the database and when it sent which strip first.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pages import desk
from pages.front_door import DEMO_NOTICE
from storage.database import Database
from study import practice, reading, screens
from study.answers import Answer, checked
from study.errors import Problems, StudyError
from study.people import Person
from study.practice import PracticeCase
from study.protocol import SCALE
from study.reading import ReadingCase
from study.viewing import Viewing

ELSEWHERE = "The last case had been answered in another window. That answer stands; this one was not stored."
_SENT_AT_MOST = 10_000  # cases whose first sending is remembered
_PLACE = re.compile(r"(?P<practice>practice-)?(?P<round>\d{1,9})-(?:(?P<attempt>\d{1,4})-)?(?P<position>\d{1,5})(?P<again>-again)?")


@dataclass(frozen=True)
class _Sent:
    """A case as this server first sent it to a reader."""

    code: str
    phase: int
    at: datetime


_sent: OrderedDict[tuple[int, str], _Sent] = OrderedDict()  # by person and place


def forget_what_was_sent() -> None:
    """As a restart does; for tests, whose databases follow each other in one process."""
    _sent.clear()


def of_round(db: Database, person: Person, round_id: int, again: int | None = None) -> dict[str, Any] | None:
    """The case to correct at position `again`, if it was answered, or the next to read; None where the round is read through.

    Raises what study.reading.next_case raises.
    """
    case = None if again is None else reading.case_again(db, person, round_id, again)
    case = case or reading.next_case(db, person, round_id)
    if case is None:
        return None
    place = f"{round_id}-{case.position}" + ("-again" if case.given else "")
    return _data(db, person, place, case) | {
        "title": _title(case),
        "questions": case.questions,
        "given": case.given.as_dict() if case.given else None,
        "before": case.position > 1,
        "stored": {"prefix": f"{round_id}-", "before": case.position},
        "pdf": {"round": round_id, "case": case.position},
        "lesson": None,
    }


def of_practice(db: Database, person: Person, round_id: int, attempt: int) -> dict[str, Any] | None:
    """The next case of an attempt at a practice; None where it is gone through. Raises what study.practice.next_case raises."""
    case = practice.next_case(db, person, round_id, attempt)
    return None if case is None else _practice_data(db, person, case)


def answered(db: Database, person: Person, sent: Any) -> dict[str, Any]:
    """Stores what the desk sent ({place, answer, viewing}) and gives what comes next: {case} or {done: True}, either with a notice that may be None.

    Sent twice, an answer is stored once. {problem: words} where nothing was stored.
    """
    try:
        found = _PLACE.fullmatch(str(sent.get("place"))) if isinstance(sent, dict) else None
        if found is None or not isinstance(sent.get("answer"), dict):
            raise StudyError("The answer came damaged. Submit it again.")
        answer, round_id, position = Answer.from_dict(sent["answer"]), int(found["round"]), int(found["position"])
        if found["practice"]:
            return {"case": _practised(db, person, round_id, int(found["attempt"] or 1), position, answer)}
        viewing = Viewing.from_browser(sent.get("viewing"))
        store = _corrected if found["again"] else _read
        notice = store(db, person, round_id, position, answer, viewing)
        coming = of_round(db, person, round_id)
    except Problems as error:
        return {"problem": str(error)}
    return {"case": coming, "notice": notice} if coming else {"done": True, "notice": notice}


def _read(db: Database, person: Person, round_id: int, position: int, answer: Answer, viewing: Viewing) -> str | None:
    sent = _sent.get((person.id, f"{round_id}-{position}"))
    if sent is None:  # by another server, or before a restart
        case = reading.next_case(db, person, round_id)
        sent = _remember(person, f"{round_id}-{position}", case.code, case.phase) if case and case.position == position else None
    if sent and reading.submit(db, person, sent.code, answer, sent.at, phase=sent.phase, viewing=viewing):
        return None
    there = reading.case_again(db, person, round_id, position)
    if there is None:
        raise StudyError("This case was not shown to you yet. Reload the page to see the case that comes next.")
    return None if there.given == checked(answer, there.questions) else ELSEWHERE  # the same answer, sent again


def _corrected(db: Database, person: Person, round_id: int, position: int, answer: Answer, viewing: Viewing) -> None:
    case = reading.case_again(db, person, round_id, position)
    if case is None:
        raise StudyError("This case has no answer to correct yet. Go back to your list of rounds.")
    sent = _remember(person, f"{round_id}-{position}-again", case.code, case.phase)
    reading.revise(db, person, case.code, answer, sent.at, phase=case.phase, viewing=viewing)


def _practised(db: Database, person: Person, round_id: int, attempt: int, position: int, answer: Answer) -> dict[str, Any]:
    """The same case with what it was."""
    case = practice.next_case(db, person, round_id, attempt)
    if case is not None and case.position == position:
        practice.submit(db, person, case.code, round_id, attempt, answer)
    lesson = practice.last_lesson(db, person, round_id, attempt)
    if lesson is None:
        raise StudyError("This case was not shown to you yet. Reload the page to see the case that comes next.")
    last = lesson.case.position == lesson.case.total
    data = _practice_data(db, person, lesson.case)
    return data | {"place": data["place"] + "-told", "lesson": {"lines": _told(lesson), "next": "To the end" if last else "Next case"}}


def _told(lesson: practice.Lesson) -> list[str]:
    was = "drawn by the generator" if lesson.arm == "synthetic" else "recorded from a patient"
    if lesson.case.demo and lesson.arm == "real":
        was = "a simulator's stand-in for a recording (this is a demo)"
    said = SCALE[(lesson.answer.realism or 1) - 1]
    named = desk.RHYTHM_WORDS.get(lesson.answer.rhythm or "", lesson.answer.rhythm or "")
    return [f"This strip was {was}: {desk.RHYTHM_WORDS[lesson.rhythm]}.", f"You said: {said}, {named}."]


# ---- a case as data ----


def _title(case: ReadingCase) -> str:
    part = f", part {case.phase}" if case.phase > 1 or "realism" not in case.questions else ""
    return f"{'Correcting case' if case.given else 'Case'} {case.position} of {case.total}{part}"


def _practice_data(db: Database, person: Person, case: PracticeCase) -> dict[str, Any]:
    start = f"practice-{case.round_id}-{case.attempt}-"
    return _data(db, person, f"{start}{case.position}", case) | {
        "title": f"Practice, case {case.position} of {case.total}",
        "questions": practice.QUESTIONS,
        "given": None,
        "before": False,
        "stored": {"prefix": start, "before": case.position},
        "pdf": None,
        "lesson": None,
    }


def _data(db: Database, person: Person, place: str, case: ReadingCase | PracticeCase) -> dict[str, Any]:
    """What the desk is told of every case. place names it to this reader alone; no code, no id, no moment."""
    _remember(person, place, case.code, case.phase if isinstance(case, ReadingCase) else 1)
    return {
        "place": place,
        "reader": str(person.id),
        "done": case.position - 1,
        "total": case.total,
        "study": case.study_title,
        "demo": DEMO_NOTICE if case.demo else None,
        "scales": screens.scales(db, person),
        "counts": desk.samples(case.counts),
    }


def _remember(person: Person, place: str, code: str, phase: int) -> _Sent:
    """When this server first sent a case to this reader: from there its own clock counts. Now, if it never did."""
    sent = _sent.setdefault((person.id, place), _Sent(code, phase, datetime.now(UTC)))
    while len(_sent) > _SENT_AT_MOST:
        _sent.popitem(last=False)
    return sent
