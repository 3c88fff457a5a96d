"""Reading: the case a reader sees next, and the judgement of it. Nothing here reads the truth, the origin or the role's meaning of a strip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from generator.strip import as_shown, from_bytes
from storage import audit, closings, commitments, judgements, signatures
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import notices, practice
from study.answers import Answer, checked
from study.errors import StudyError
from study.people import Person
from study.protocol import phases, questions
from study.roles import Action, demand
from study.viewing import Viewing


@dataclass(frozen=True)
class RoundProgress:
    """A round as its reader sees it."""

    round_id: int
    study_title: str
    number: int
    done: int
    total: int
    starts_at: datetime  # for this reader: the wash-out after their last judgement in an earlier round, or at the earliest from now
    open: bool  # there is a case to read now
    signed_at: datetime | None
    practice_first: bool  # the study's practice round has to be gone through before
    notice: str  # of a demo: study.notices
    commitment: str | None  # the hash that binds the round's seeds: study.commitment


@dataclass(frozen=True)
class ReadingCase:
    """What the reading page gets. Every field but the samples has the same kind and length for every case of a round, phase and position."""

    code: str
    round_id: int
    position: int
    total: int
    phase: int
    first: int  # position of the first case of this phase: answers before it stand
    questions: tuple[str, ...]  # study.protocol.questions
    counts: NDArray[np.int16]  # (8, 1000), 5 microvolts a count
    notice: str  # of a demo: study.notices
    study_title: str
    shown_before: bool
    given: Answer | None = None  # the newest answer, where the case is read again for a correction


def rounds_to_read(db: Database, person: Person) -> list[RoundProgress]:
    """The rounds in which this reader has cases, newest first; without practice, rounds that were closed by hand and those of unblinded studies.

    Raises NotAllowed.
    """
    demand(person, Action.READ_CASES)
    found = []
    with db.read() as session:
        progress = {one.round_id: one for one in stored.progress_of_reader(session, person.id)}
        for opened in stored.rounds_of_reader(session, person.id):
            study = stored.study(session, opened.study_id)
            if study.unblinded_at is not None or opened.practice or closings.closed_at(session, opened.id) is not None:
                continue
            own, starts_at = progress[opened.id], _starts_at(session, opened, person)
            practice_first = practice.still_to_pass(session, study.id, person.id)
            found.append(
                RoundProgress(
                    round_id=opened.id,
                    study_title=study.title,
                    number=opened.number,
                    done=own.done,
                    total=own.total,
                    starts_at=starts_at,
                    open=own.done < own.total and starts_at <= now() and not practice_first,
                    signed_at=signatures.signed_at(session, opened.id, person.id),
                    practice_first=practice_first,
                    notice=notices.of_study(study),
                    commitment=commitments.published(session, study.id).get(opened.id),
                )
            )
    return found


def next_case(db: Database, person: Person, round_id: int) -> ReadingCase | None:
    """The case at the lowest position that this reader has not answered; None when the round is read through. `show` it to a reader.

    Raises NotAllowed, or StudyError for a round that is not this reader's, has not started, is closed, or belongs to an unblinded study.
    """
    demand(person, Action.READ_CASES)
    with db.read() as session:
        study, opened, total = _readable(session, person, round_id)
        shown = judgements.next_shown(session, round_id, person.id)
    return _case(shown, opened, total, study) if shown else None


def show(db: Database, person: Person, round_id: int) -> ReadingCase | None:
    """`next_case`, and notes when it was first sent: from then the server counts."""
    case = next_case(db, person, round_id)
    if case is not None and not case.shown_before:
        with db.write() as session:
            judgements.note_shown(session, round_id, person.id)
    return case


def case_again(db: Database, person: Person, round_id: int, position: int) -> ReadingCase | None:
    """An answered case with its newest answer, for a correction by `revise`; None where nothing was answered. Raises as `next_case` does."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        study, opened, total = _readable(session, person, round_id)
        found = judgements.shown_again(session, round_id, person.id, position)
    return replace(_case(found[0], opened, total, study), given=given(found[1])) if found else None


def given(row: judgements.JudgementRow) -> Answer:
    """What a stored judgement says."""
    return Answer.from_dict({name: getattr(row, name) for name in Answer.__dataclass_fields__})


def submit(
    db: Database, person: Person, code: str, answer: Answer, shown_at: datetime | None = None, *, phase: int = 1, viewing: Viewing | None = None
) -> bool:
    """Stores the first judgement of a case: True; False if this reader's judgement of it was there already (a double click, a second window).

    shown_at: when the server sent the strip; None: when `show` first did. The study's first judgement freezes the protocol. Judgement, freeze and
    audit entry are one transaction: once this returns, they are on disk. Raises NotAllowed, or StudyError for an answer that will not do, a code that
    is not in this reader's order, a case that was not shown yet, a round that has not started, or an unblinded study.
    """

    def revision(session: Session, placed: judgements.Placed, _answer: Answer) -> int | None:
        if placed.revisions:
            return None
        if placed.position != judgements.next_position(session, placed.round_id, person.id):
            raise StudyError("This case was not shown to you yet. Reload the page to see the case that comes next.")
        return 1

    return _store(db, person, code, answer, shown_at, phase, viewing, revision)


def revise(
    db: Database, person: Person, code: str, answer: Answer, shown_at: datetime | None = None, *, phase: int = 1, viewing: Viewing | None = None
) -> bool:
    """Appends a correction as a new revision, until the reader signs the round: True; False if it says what the newest revision says.

    shown_at: None: so long ago as the viewing says that the strip was looked at. Raises as `submit` does, and for a case that has no judgement yet, a
    signed round, and for a case of a first phase once the second has come into view: what the reader knows by then must not colour it.
    """

    def revision(session: Session, placed: judgements.Placed, answer: Answer) -> int | None:
        if not placed.revisions:
            raise StudyError("This case has no answer to correct yet. Submit one first.")
        if signatures.signed_at(session, placed.round_id, person.id) is not None:
            raise StudyError("You have signed this round: its answers stand.")
        if placed.phase < judgements.phase_reached(session, placed.round_id, person.id):
            raise StudyError("The second part of the round has begun: answers of the first part stand.")
        return None if given(judgements.newest(session, placed.case_id, person.id, phase)) == answer else placed.revisions + 1

    return _store(db, person, code, answer, shown_at, phase, viewing, revision)


def _store(
    db: Database,
    person: Person,
    code: str,
    answer: Answer,
    shown_at: datetime | None,
    phase: int,
    viewing: Viewing | None,
    revision: Callable[[Session, judgements.Placed, Answer], int | None],
) -> bool:
    demand(person, Action.READ_CASES)
    if shown_at is not None and (shown_at.tzinfo is None or shown_at > now()):
        raise StudyError(f"shown_at: {shown_at} is no moment in the past with a time zone. Reload the page.")
    viewed = viewing or Viewing()
    try:
        with db.write() as session:
            placed = judgements.placed(session, code, person.id, phase)
            if placed is None:
                raise StudyError("This case is not among yours. Go back to your list of rounds.")
            study, _opened, _total = _readable(session, person, placed.round_id, lock=True)
            answer = checked(answer, questions(study.protocol["question_order"], phase))
            number = revision(session, placed, answer)
            if number is None:
                return False
            at = now()
            looked = timedelta(milliseconds=(viewed.reading_ms or 0) + (viewed.away_ms or 0))
            first_sent = placed.shown_at if number == 1 else None
            if study.frozen_at is None:  # whatever the case's role: none may take another way
                stored.change(session, study.id, frozen_at=now())
                frozen = {"from": "changeable", "to": "frozen", "protocol_hash": study.protocol_hash}
                audit.append(session, person.id, "protocol frozen", f"study {study.id}", frozen)
            before = given(judgements.newest(session, placed.case_id, person.id, phase)).sha256() if number > 1 else None
            judgements.add(
                session,
                case_id=placed.case_id,
                reader_id=person.id,
                phase=phase,
                revision=number,
                shown_at=min(shown_at or first_sent or at - looked, at),  # a clock may have been set back
                submitted_at=at,
                protocol_hash=study.protocol_hash,
                reading_ms=viewed.reading_ms,
                away_ms=viewed.away_ms,
                viewing=viewed.described(),
                **answer.as_dict(),
            )
            audit.append(
                session,
                person.id,
                "judgement submitted" if number == 1 else "judgement revised",
                f"case {code}",
                {"round": placed.round_id, "position": placed.position, "revision": number, "from": before, "to": answer.sha256()},
            )
            judgements.note_shown(session, placed.round_id, person.id)  # its receipt brings the next case
    except IntegrityError:  # a second window was first
        with db.read() as session:
            if (placed := judgements.placed(session, code, person.id, phase)) is None or not placed.revisions:
                raise
        return False
    return True


def _readable(session: Session, person: Person, round_id: int, *, lock: bool = False) -> tuple[stored.StudyRow, stored.RoundRow, int]:
    """The round, its study and how many cases this reader reads in it, if they may now."""
    opened = stored.round_by_id(session, round_id)
    study = stored.study(session, opened.study_id, lock=lock)
    total = judgements.places(session, round_id, person.id)
    if not total or opened.practice:
        raise StudyError("This round is not among yours. Go back to your list of rounds.")
    if study.unblinded_at is not None:
        raise StudyError(f"{study.title!r} was unblinded: no more judgements are taken.")
    if (closed_at := closings.closed_at(session, round_id)) is not None:
        raise StudyError(f"Round {opened.number} of {study.title!r} was closed on {closed_at:%Y-%m-%d %H:%M} UTC: no more judgements are taken.")
    if practice.still_to_pass(session, study.id, person.id):
        raise StudyError(f"{study.title!r} begins with a short practice. Go through it first: it is in your list of rounds.")
    starts_at = _starts_at(session, opened, person)
    if starts_at > now():
        raise StudyError(
            f"Round {opened.number} of {study.title!r} starts for you on {starts_at:%Y-%m-%d %H:%M} UTC, if you have read the earlier rounds by now. "
            "Come back then."
        )
    return study, opened, total


def _starts_at(session: Session, opened: stored.RoundRow, person: Person) -> datetime:
    """For this reader: the wash-out after their last judgement in an earlier round; where cases of one are left, at the earliest from now."""
    washout = timedelta(days=opened.plan["washout_days"])
    if washout and judgements.unfinished_before(session, opened.study_id, opened.number, person.id):
        return max(opened.starts_at, now() + washout)
    last = judgements.last_before(session, opened.study_id, opened.number, person.id)
    return max(opened.starts_at, last + washout) if last else opened.starts_at


def _case(shown: judgements.Shown, opened: stored.RoundRow, total: int, study: stored.StudyRow) -> ReadingCase:
    order = study.protocol["question_order"]
    return ReadingCase(
        code=shown.code,
        round_id=opened.id,
        position=shown.position,
        total=total,
        phase=shown.phase,
        first=(shown.phase - 1) * total // phases(order) + 1,
        questions=questions(order, shown.phase),
        counts=as_shown(from_bytes(shown.samples)),
        notice=notices.of_study(study),
        study_title=study.title,
        shown_before=shown.shown_at is not None,
    )
