"""Studies, their readers and rounds, and what stands where in a round. Nothing here knows the arm of a strip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.tables import Judgement, Person, Placement, ReadingCase, Round, Site, Strip, Study, StudyReader


@dataclass(frozen=True)
class StudyRow:
    id: int
    title: str
    demo: bool
    stand_ins: bool
    protocol: dict[str, Any]
    protocol_hash: str
    seed: int
    created_by: int
    created_at: datetime
    frozen_at: datetime | None
    unblinding_asked_by: int | None
    unblinding_asked_at: datetime | None
    unblinded_by: int | None
    unblinded_at: datetime | None


@dataclass(frozen=True)
class ReaderRow:
    id: int
    name: str
    site: str


@dataclass(frozen=True)
class RoundRow:
    id: int
    study_id: int
    number: int
    plan: dict[str, Any]
    leak: dict[str, Any]
    opened_by: int
    opened_at: datetime
    starts_at: datetime
    practice: bool
    protocol_hash: str  # in force when it was opened
    cases: int


@dataclass(frozen=True)
class NewCase:
    """repeat_of: the place in the list of the case that this one shows again; earlier: that case's id, where it is of an earlier round."""

    strip_id: int
    role: str  # scored, repeat, control, practice
    code: str
    repeat_of: int | None = None
    earlier: int | None = None


@dataclass(frozen=True)
class CaseRow:
    id: int
    round_id: int
    round_number: int
    strip_id: int
    role: str
    repeat_of: int | None
    code: str
    rhythm: str


@dataclass(frozen=True)
class PlacementRow:
    round_id: int
    case_id: int
    reader_id: int
    position: int
    phase: int


@dataclass(frozen=True)
class Progress:
    round_id: int
    reader_id: int
    done: int
    total: int


def add_study(
    session: Session,
    *,
    title: str,
    protocol: dict[str, Any],
    protocol_hash: str,
    seed: int,
    created_by: int,
    demo: bool = False,
    stand_ins: bool = False,
) -> int:
    """The new study's id. Raises StorageError if the title is taken."""
    if session.scalar(select(Study.id).where(func.lower(Study.title) == title.lower())) is not None:
        raise StorageError(f"There is a study called {title!r} already. Choose another title.")
    study = Study(title=title, demo=demo, stand_ins=stand_ins, protocol=protocol, protocol_hash=protocol_hash, seed=seed, created_by=created_by)
    session.add(study)
    session.flush()
    return study.id


def study(session: Session, study_id: int, *, lock: bool = False) -> StudyRow:
    """One study; lock=True in a write transaction keeps it as read until the commit. Raises StorageError for an unknown id."""
    query = select(Study).where(Study.id == study_id)
    found = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if found is None:
        raise StorageError(f"no study with id {study_id}. Choose one from the list of studies.")
    return _study_row(found)


def all_studies(session: Session) -> list[StudyRow]:
    """Newest first."""
    return [_study_row(found) for found in session.scalars(select(Study).order_by(Study.id.desc()))]


def utility(session: Session, study_id: int) -> dict[str, Any] | None:
    """Classifier utility as it was stored; None where it has not been computed."""
    stored: dict[str, Any] | None = session.scalar(select(Study.utility).where(Study.id == study_id))
    return stored


def change(session: Session, study_id: int, **values: Any) -> None:
    """Sets columns of the study's row (protocol, protocol_hash, frozen_at, unblinding...)."""
    session.execute(update(Study).where(Study.id == study_id).values(**values))


def add_readers(session: Session, study_id: int, reader_ids: Iterable[int]) -> None:
    session.add_all(StudyReader(study_id=study_id, reader_id=reader_id) for reader_id in reader_ids)
    session.flush()


def readers(session: Session, study_id: int, *, active: bool = False) -> list[ReaderRow]:
    """In order of site, name. active: without those whose account was deleted, who read no more."""
    rows = session.execute(
        select(Person.id, Person.name, Site.name)
        .join(StudyReader, StudyReader.reader_id == Person.id)
        .join(Site, Site.id == Person.site_id)
        .where(StudyReader.study_id == study_id, *([Person.active] if active else []))
        .order_by(Site.name, Person.name, Person.id)
    )
    return [ReaderRow(*row) for row in rows]


def add_round(
    session: Session,
    *,
    study_id: int,
    number: int,
    plan: dict[str, Any],
    leak: dict[str, Any],
    opened_by: int,
    starts_at: datetime,
    practice: bool = False,
) -> int:
    """The new round's id; it keeps the hash of the protocol that is in force."""
    opened = Round(study_id=study_id, number=number, plan=plan, leak=leak, opened_by=opened_by, starts_at=starts_at, practice=practice)
    opened.protocol_hash = study(session, study_id).protocol_hash
    session.add(opened)
    session.flush()
    return opened.id


def add_cases(session: Session, round_id: int, cases: Sequence[NewCase]) -> list[int]:
    """The ids, ascending in the order of the list."""
    rows = []
    for case in cases:  # one by one: ids in this order, which the readers' orders refer to
        row = ReadingCase(round_id=round_id, strip_id=case.strip_id, role=case.role, code=case.code)
        session.add(row)
        session.flush()
        rows.append(row)
    for row, case in zip(rows, cases, strict=True):
        row.repeat_of = case.earlier if case.repeat_of is None else rows[case.repeat_of].id
    session.flush()
    return [row.id for row in rows]


def add_placements(session: Session, round_id: int, reader_id: int, *phases: Sequence[int]) -> None:
    """Case ids in the reader's order, phase by phase; positions count from 1 and go on from phase to phase."""
    placed = [(phase, case_id) for phase, case_ids in enumerate(phases, start=1) for case_id in case_ids]
    session.add_all(
        Placement(round_id=round_id, case_id=case_id, reader_id=reader_id, position=position, phase=phase)
        for position, (phase, case_id) in enumerate(placed, start=1)
    )
    session.flush()


def rounds(session: Session, study_id: int) -> list[RoundRow]:
    """In order of number; without practice."""
    query = _rounds().where(Round.study_id == study_id, Round.practice.is_(False)).order_by(Round.number)
    return [_round_row(found, cases) for found, cases in session.execute(query)]


def practice_round(session: Session, study_id: int) -> RoundRow | None:
    row = session.execute(_rounds().where(Round.study_id == study_id, Round.practice)).one_or_none()
    return _round_row(row[0], row[1]) if row else None


def rounds_of_reader(session: Session, reader_id: int) -> list[RoundRow]:
    """The rounds in which the reader has a place, practice among them, newest first."""
    placed = select(Placement.round_id).where(Placement.reader_id == reader_id)
    query = _rounds().where(Round.id.in_(placed)).order_by(Round.id.desc())
    return [_round_row(found, cases) for found, cases in session.execute(query)]


def round_by_id(session: Session, round_id: int) -> RoundRow:
    """Raises StorageError for an unknown id."""
    row = session.execute(_rounds().where(Round.id == round_id)).one_or_none()
    if row is None:
        raise StorageError(f"no round with id {round_id}. Choose one from the list of rounds.")
    return _round_row(row[0], row[1])


def cases(session: Session, study_id: int, *, practice: bool = False) -> list[CaseRow]:
    """Every case of every round, or of practice, in order of id. For allocation, analysis and export; the reading page never asks for it."""
    rows = session.execute(
        select(
            ReadingCase.id,
            ReadingCase.round_id,
            Round.number,
            ReadingCase.strip_id,
            ReadingCase.role,
            ReadingCase.repeat_of,
            ReadingCase.code,
            Strip.rhythm,
        )
        .join(Round, Round.id == ReadingCase.round_id)
        .join(Strip, Strip.id == ReadingCase.strip_id)
        .where(Round.study_id == study_id, Round.practice.is_(practice))
        .order_by(ReadingCase.id)
    )
    return [CaseRow(*row) for row in rows]


def still_blind(session: Session, strip_id: int) -> bool:
    """Whether a study that is not unblinded shows this strip."""
    shown = select(ReadingCase.id).join(Round, Round.id == ReadingCase.round_id).join(Study, Study.id == Round.study_id)
    return session.scalar(shown.where(ReadingCase.strip_id == strip_id, Study.unblinded_at.is_(None)).limit(1)) is not None


def placements(session: Session, study_id: int) -> list[PlacementRow]:
    rows = session.execute(
        select(Placement.round_id, Placement.case_id, Placement.reader_id, Placement.position, Placement.phase)
        .join(Round, Round.id == Placement.round_id)
        .where(Round.study_id == study_id, Round.practice.is_(False))
        .order_by(Placement.round_id, Placement.reader_id, Placement.position)
    )
    return [PlacementRow(*row) for row in rows]


def progress(session: Session, study_id: int) -> list[Progress]:
    """Cases answered and placed, for each reader in each round; a case with two phases counts twice. Practice is not among them."""
    return _progress(session, Round.study_id == study_id)


def progress_of_reader(session: Session, reader_id: int) -> list[Progress]:
    return _progress(session, Placement.reader_id == reader_id)


def _progress(session: Session, condition: Any) -> list[Progress]:
    answered = select(Judgement.id).where(
        Judgement.case_id == Placement.case_id,
        Judgement.reader_id == Placement.reader_id,
        Judgement.phase == Placement.phase,
        Judgement.revision == 1,
    )
    rows = session.execute(
        select(Placement.round_id, Placement.reader_id, func.count(answered.scalar_subquery()), func.count())
        .join(Round, Round.id == Placement.round_id)
        .where(condition, Round.practice.is_(False))
        .group_by(Placement.round_id, Placement.reader_id)
        .order_by(Placement.round_id, Placement.reader_id)
    )
    return [Progress(*row) for row in rows]


def _rounds() -> Any:
    counted = select(func.count()).where(ReadingCase.round_id == Round.id).scalar_subquery()
    return select(Round, counted)


def _study_row(found: Study) -> StudyRow:
    return StudyRow(**{name: getattr(found, name) for name in StudyRow.__dataclass_fields__})


def _round_row(found: Round, cases: int) -> RoundRow:
    return RoundRow(**{name: getattr(found, name) for name in RoundRow.__dataclass_fields__ if name != "cases"}, cases=cases)
