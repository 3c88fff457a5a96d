"""Reading: the case a reader sees next, and the judgement of it. Nothing here reads the truth, the origin or the role's meaning of a strip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from generator.strip import from_bytes
from storage import audit, judgements
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study.errors import StudyError
from study.people import Person
from study.protocol import CUES, MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, RHYTHM_ANSWERS, SCALE
from study.roles import Action, demand

COMMENT_LENGTH = 2000


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
    demo: bool


@dataclass(frozen=True)
class ReadingCase:
    """What the reading page gets. Every field but the samples has the same kind and length for every case of a round and position."""

    code: str
    position: int
    total: int
    counts: NDArray[np.int16]  # (8, 1000), 5 microvolts a count
    question_order: str
    demo: bool
    study_title: str


@dataclass(frozen=True)
class Answer:
    """One judgement's content; checked when it is submitted."""

    realism: int  # 1 definitely real ... 6 definitely synthetic: a place in SCALE
    rhythm: str  # of RHYTHM_ANSWERS
    morphology: dict[str, str]  # each of MORPHOLOGY_ITEMS: one of MORPHOLOGY_ANSWERS
    cues: list[str] = field(default_factory=list)  # of CUES
    comment: str = ""


def rounds_to_read(db: Database, person: Person) -> list[RoundProgress]:
    """The rounds in which this reader has cases, newest first; those of unblinded studies are closed and not among them. Raises NotAllowed."""
    demand(person, Action.READ_CASES)
    found = []
    with db.read() as session:
        progress = {one.round_id: one for one in stored.progress_of_reader(session, person.id)}
        for opened in stored.rounds_of_reader(session, person.id):
            study = stored.study(session, opened.study_id)
            if study.unblinded_at is not None:
                continue
            own, starts_at = progress[opened.id], _starts_at(session, opened, person)
            is_open = own.done < own.total and starts_at <= now()
            found.append(RoundProgress(opened.id, study.title, opened.number, own.done, own.total, starts_at, is_open, study.demo))
    return found


def next_case(db: Database, person: Person, round_id: int) -> ReadingCase | None:
    """The case at the lowest position that this reader has not answered; None when the round is read through.

    Raises NotAllowed, or StudyError for a round that is not this reader's, has not started, or belongs to an unblinded study.
    """
    demand(person, Action.READ_CASES)
    with db.read() as session:
        study, total = _readable(session, person, round_id)
        shown = judgements.next_shown(session, round_id, person.id)
    return _case(shown, total, study) if shown else None


def last_case(db: Database, person: Person, round_id: int) -> tuple[ReadingCase, Answer] | None:
    """The case this reader answered last in the round, with the newest answer, for a correction by `revise`; None before the first."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        study, total = _readable(session, person, round_id)
        found = judgements.last_shown(session, round_id, person.id)
    if found is None:
        return None
    shown, given = found
    return _case(shown, total, study), Answer(given.realism, given.rhythm, dict(given.morphology), list(given.cues), given.comment)


def submit(db: Database, person: Person, code: str, answer: Answer, shown_at: datetime) -> bool:
    """Stores the first judgement of a case: True; False if this reader's judgement of it was there already (a double click, a second window).

    shown_at: when the server sent the strip. The first judgement of a scored case freezes the protocol. Judgement, freeze and audit entry are one
    transaction: once this returns, they are on disk. Raises NotAllowed, or StudyError for an answer that will not do, a code that is not in this
    reader's order, a case that was not shown yet, a round that has not started, or an unblinded study.
    """
    demand(person, Action.READ_CASES)
    checked = _checked(answer, shown_at)

    def revision(session: Session, placed: judgements.Placed) -> int | None:
        if placed.revisions:
            return None
        if placed.position != judgements.next_position(session, placed.round_id, person.id):
            raise StudyError("This case was not shown to you yet. Reload the page to see the case that comes next.")
        return 1

    return _store(db, person, code, checked, shown_at, revision)


def revise(db: Database, person: Person, code: str, answer: Answer, shown_at: datetime) -> bool:
    """Appends a correction of a judgement as a new revision, as long as the study is blind: True; False if it says what the newest revision says.

    Raises as `submit` does, and for a case that has no judgement yet.
    """
    demand(person, Action.READ_CASES)
    checked = _checked(answer, shown_at)

    def revision(session: Session, placed: judgements.Placed) -> int | None:
        if not placed.revisions:
            raise StudyError("This case has no answer to correct yet. Submit one first.")
        newest = judgements.newest(session, placed.case_id, person.id)
        given = Answer(newest.realism, newest.rhythm, newest.morphology, newest.cues, newest.comment)
        return None if given == checked else placed.revisions + 1

    return _store(db, person, code, checked, shown_at, revision)


def _store(
    db: Database, person: Person, code: str, answer: Answer, shown_at: datetime, revision: Callable[[Session, judgements.Placed], int | None]
) -> bool:
    try:
        with db.write() as session:
            placed = judgements.placed(session, code, person.id)
            if placed is None:
                raise StudyError("This case is not among yours. Go back to your list of rounds.")
            study, _total = _readable(session, person, placed.round_id, lock=True)
            number = revision(session, placed)
            if number is None:
                return False
            if study.frozen_at is None and placed.role == "scored":
                stored.change(session, study.id, frozen_at=now())
                audit.append(session, person.id, "protocol frozen", f"study {study.id}", {"protocol_hash": study.protocol_hash})
            judgements.add(
                session,
                case_id=placed.case_id,
                reader_id=person.id,
                revision=number,
                shown_at=shown_at,
                submitted_at=now(),
                protocol_hash=study.protocol_hash,
                **asdict(answer),
            )
            audit.append(
                session,
                person.id,
                "judgement submitted" if number == 1 else "judgement revised",
                f"case {code}",
                {"round": placed.round_id, "position": placed.position, "revision": number, "sha256": answer_hash(answer)},
            )
    except IntegrityError:  # a second window was first
        with db.read() as session:
            if (placed := judgements.placed(session, code, person.id)) is None or not placed.revisions:
                raise
        return False
    return True


def answer_hash(answer: Answer) -> str:
    """SHA-256 of an answer (JSON, sorted keys): binds the judgement to the audit trail without repeating it there."""
    return hashlib.sha256(json.dumps(asdict(answer), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _readable(session: Session, person: Person, round_id: int, *, lock: bool = False) -> tuple[stored.StudyRow, int]:
    """The round's study and its number of cases, if this reader may read in it now."""
    opened = stored.round_by_id(session, round_id)
    study = stored.study(session, opened.study_id, lock=lock)
    if not judgements.has_place(session, round_id, person.id):
        raise StudyError("This round is not among yours. Go back to your list of rounds.")
    if study.unblinded_at is not None:
        raise StudyError(f"{study.title!r} was unblinded: no more judgements are taken.")
    starts_at = _starts_at(session, opened, person)
    if starts_at > now():
        raise StudyError(
            f"Round {opened.number} of {study.title!r} starts for you on {starts_at:%Y-%m-%d %H:%M} UTC, if you have read the earlier rounds by now. "
            "Come back then."
        )
    return study, opened.cases


def _starts_at(session: Session, opened: stored.RoundRow, person: Person) -> datetime:
    """For this reader: the wash-out after their last judgement in an earlier round; where cases of one are left, at the earliest from now."""
    washout = timedelta(days=opened.plan["washout_days"])
    if washout and judgements.unfinished_before(session, opened.study_id, opened.number, person.id):
        return max(opened.starts_at, now() + washout)
    last = judgements.last_before(session, opened.study_id, opened.number, person.id)
    return max(opened.starts_at, last + washout) if last else opened.starts_at


def _case(shown: judgements.Shown, total: int, study: stored.StudyRow) -> ReadingCase:
    return ReadingCase(shown.code, shown.position, total, from_bytes(shown.samples), study.protocol["question_order"], study.demo, study.title)


def _checked(answer: Answer, shown_at: datetime) -> Answer:
    """The answer with plain types and its cues in the form's order; raises StudyError that names the field."""
    if isinstance(answer.realism, bool) or not isinstance(answer.realism, int) or not 1 <= answer.realism <= len(SCALE):
        raise StudyError(f"realism: {answer.realism!r} is no answer. Choose one of the six, from {SCALE[0]!r} (1) to {SCALE[-1]!r} (6).")
    if answer.rhythm not in RHYTHM_ANSWERS:
        raise StudyError(f"rhythm: {answer.rhythm!r} is no answer. Choose {', '.join(RHYTHM_ANSWERS)}.")
    if set(answer.morphology) != set(MORPHOLOGY_ITEMS):
        missing = [item for item in MORPHOLOGY_ITEMS if item not in answer.morphology]
        unknown = [item for item in answer.morphology if item not in MORPHOLOGY_ITEMS]
        raise StudyError(f"morphology: judge {', '.join(missing)}." if missing else f"morphology: {', '.join(map(repr, unknown))} is not asked for.")
    for item, judged in answer.morphology.items():
        if judged not in MORPHOLOGY_ANSWERS:
            raise StudyError(f"morphology, {item}: {judged!r} is no answer. Choose {', '.join(MORPHOLOGY_ANSWERS)}.")
    unknown_cues = [cue for cue in answer.cues if cue not in CUES]
    if unknown_cues:
        raise StudyError(f"cues: {unknown_cues[0]!r} is not in the list. Write it into the comment.")
    if not isinstance(answer.comment, str) or len(answer.comment) > COMMENT_LENGTH or "\0" in answer.comment:
        raise StudyError(f"comment: write at most {COMMENT_LENGTH} characters.")
    if shown_at.tzinfo is None or shown_at > now():
        raise StudyError(f"shown_at: {shown_at} is no moment in the past with a time zone. Reload the page.")
    return Answer(
        int(answer.realism),
        answer.rhythm,
        {item: answer.morphology[item] for item in MORPHOLOGY_ITEMS},
        [cue for cue in CUES if cue in answer.cues],
        answer.comment.strip(),
    )
