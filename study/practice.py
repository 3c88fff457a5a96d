"""Practice: a short round whose answers are told after each case. It comes before a study's rounds and is no part of what they show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from generator.strip import Counts, as_shown, from_bytes
from storage import audit, judgements
from storage import practice as stored_practice
from storage import studies as stored
from storage.database import Database
from study import notices
from study.answers import Answer, checked
from study.errors import StudyError
from study.people import Person
from study.protocol import questions
from study.roles import Action, demand


@dataclass(frozen=True)
class PracticeProgress:
    """A study's practice as its reader sees it."""

    round_id: int
    study_title: str
    attempt: int
    done: int
    total: int
    rhythm_right: int  # of those done
    realism_right: int | None  # None where the study does not ask it at first
    pass_mark: float | None  # share of rhythms to name right; None: going through is enough
    notice: str  # of a demo: study.notices

    @property
    def finished(self) -> bool:
        return self.done >= self.total

    @property
    def passed(self) -> bool:
        return _passed(self.done, self.rhythm_right, self.total, self.pass_mark)


@dataclass(frozen=True)
class PracticeCase:
    code: str
    round_id: int
    position: int
    total: int
    attempt: int
    questions: tuple[str, ...]  # what the study asks first: of a purpose-blind one, nothing that tells its purpose
    counts: Counts
    notice: str  # of a demo: study.notices
    study_title: str


@dataclass(frozen=True)
class Lesson:
    """An answered practice case with the truth."""

    case: PracticeCase
    arm: str | None  # None where the study does not ask for it at first
    rhythm: str
    answer: Answer


def to_practise(db: Database, person: Person) -> list[PracticeProgress]:
    """The practice of each blind study that has one and this reader in it, newest first. Raises NotAllowed."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        rounds = [one for one in stored.rounds_of_reader(session, person.id) if one.practice]
        return [_progress(session, one, person.id) for one in rounds if stored.study(session, one.study_id).unblinded_at is None]


def still_to_pass(session: Session, study_id: int, reader_id: int) -> bool:
    """Whether the study has a practice that this reader has not passed in any attempt."""
    opened = stored.practice_round(session, study_id)
    if opened is None or not judgements.has_place(session, opened.id, reader_id):
        return False
    total, mark = judgements.places(session, opened.id, reader_id), opened.plan.get("pass_mark")
    done, right = Counter[int](), Counter[int]()
    for attempt, rhythm, answer in stored_practice.given(session, opened.id, reader_id):
        done[attempt] += 1
        right[attempt] += answer["rhythm"] == rhythm
    return not any(_passed(done[attempt], right[attempt], total, mark) for attempt in done)


def progress(db: Database, person: Person, round_id: int) -> PracticeProgress:
    """How far the newest attempt is. Raises NotAllowed, StudyError for a round that is not this reader's practice."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        return _progress(session, _mine(session, person, round_id), person.id)


def next_case(db: Database, person: Person, round_id: int, attempt: int) -> PracticeCase | None:
    """The next case of an attempt; None where it is gone through. attempt: the newest, or one more where that is finished. Raises as `progress`."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        opened = _mine(session, person, round_id)
        _check_attempt(session, opened, person, attempt)
        shown = stored_practice.next_shown(session, round_id, person.id, attempt)
        return _case(session, shown, opened, attempt) if shown else None


def submit(db: Database, person: Person, code: str, round_id: int, attempt: int, answer: Answer) -> bool:
    """Stores a practice answer: True; False if it was there already.

    Raises NotAllowed, or StudyError for an answer that will not do and a case that was not shown yet.
    """
    demand(person, Action.READ_CASES)
    try:
        with db.write() as session:
            opened = _mine(session, person, round_id)
            answer = checked(answer, _questions(session, opened))
            _check_attempt(session, opened, person, attempt)
            shown = stored_practice.next_shown(session, round_id, person.id, attempt)
            if shown is None or shown.code != code:
                if code in {one.shown.code for one in stored_practice.told(session, round_id, person.id, attempt)}:
                    return False
                raise StudyError("This case was not shown to you yet. Reload the page to see the case that comes next.")
            stored_practice.add_answer(session, code, person.id, attempt, answer.as_dict())
            audit.append(session, person.id, "practice answered", f"practice case {code}", {"attempt": attempt, "from": None, "to": answer.sha256()})
    except IntegrityError:  # a second window was first
        return False
    return True


def last_lesson(db: Database, person: Person, round_id: int, attempt: int) -> Lesson | None:
    """The case answered last in an attempt, with what it was; None before the first. Raises as `progress`."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        opened = _mine(session, person, round_id)
        told = stored_practice.told(session, round_id, person.id, attempt)
        if not told:
            return None
        case = _case(session, told[-1].shown, opened, attempt)
        return Lesson(case, told[-1].arm if "realism" in case.questions else None, told[-1].rhythm, Answer.from_dict(told[-1].answer))


def _passed(done: int, rhythm_right: int, total: int, pass_mark: float | None) -> bool:
    return done >= total and (pass_mark is None or rhythm_right >= pass_mark * total - 1e-9)


def _questions(session: Session, opened: stored.RoundRow) -> tuple[str, ...]:
    return questions(stored.study(session, opened.study_id).protocol["question_order"], 1)


def _mine(session: Session, person: Person, round_id: int) -> stored.RoundRow:
    opened = stored.round_by_id(session, round_id)
    if not opened.practice or not judgements.has_place(session, round_id, person.id):
        raise StudyError("This practice is not among yours. Go back to your list of rounds.")
    study = stored.study(session, opened.study_id)
    if study.unblinded_at is not None:
        raise StudyError(f"{study.title!r} was unblinded: its practice is closed.")
    return opened


def _check_attempt(session: Session, opened: stored.RoundRow, person: Person, attempt: int) -> None:
    newest = _progress(session, opened, person.id)
    if attempt != newest.attempt and not (newest.finished and attempt == newest.attempt + 1):
        raise StudyError(f"Attempt {newest.attempt} of this practice comes first. Go back to your list of rounds.")


def _progress(session: Session, opened: stored.RoundRow, reader_id: int, attempt: int | None = None) -> PracticeProgress:
    study = stored.study(session, opened.study_id)
    number = attempt or stored_practice.attempt(session, opened.id, reader_id)
    told = stored_practice.told(session, opened.id, reader_id, number)
    return PracticeProgress(
        round_id=opened.id,
        study_title=study.title,
        attempt=number,
        done=len(told),
        total=judgements.places(session, opened.id, reader_id),
        rhythm_right=sum(one.answer["rhythm"] == one.rhythm for one in told),
        realism_right=sum((one.answer["realism"] > 3) == (one.arm == "synthetic") for one in told)
        if "realism" in _questions(session, opened)
        else None,
        pass_mark=opened.plan.get("pass_mark"),
        notice=notices.of_study(study),
    )


def _case(session: Session, shown: judgements.Shown, opened: stored.RoundRow, attempt: int) -> PracticeCase:
    study = stored.study(session, opened.study_id)
    return PracticeCase(
        code=shown.code,
        round_id=opened.id,
        position=shown.position,
        total=opened.cases,
        attempt=attempt,
        questions=_questions(session, opened),
        counts=as_shown(from_bytes(shown.samples)),
        notice=notices.of_study(study),
        study_title=study.title,
    )
