"""What people are shown of a study: how far it is, who reads, its rounds and amendments. Never arms, answers or seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage import amendments, audit, closings, commitments, signatures, snapshots
from storage import people as stored_people
from storage import practice as stored_practice
from storage import studies as stored
from study import leak_gate, notices, practice
from study.people import Person
from study.protocol import Protocol, changes_in_words
from study.roles import Role

TELLING = ("seed", "seeds")  # a seed and the list of recordings would tell the arms: seeds leave with the export, after unblinding


@dataclass(frozen=True)
class StudySummary:
    id: int
    title: str
    demo: bool
    notice: str  # of a demo: study.notices
    state: str  # set up, reading, read through, unblinding asked, unblinded
    sites: list[str]
    readers: int
    rounds: int
    done: int  # judgements
    total: int  # placements
    created_at: datetime


@dataclass(frozen=True)
class ReaderProgress:
    person_id: int
    name: str
    site: str
    done: int  # answers: a case of a purpose-blind round takes two
    total: int
    rounds: int  # in which the reader has cases
    signed: int  # of these
    signed_at: datetime | None  # the last signature


@dataclass(frozen=True)
class ReaderPractice:
    person_id: int
    name: str
    site: str
    attempt: int  # from 1; 0 before the first answer
    done: int  # cases of this attempt
    total: int
    passed: bool  # in any attempt


@dataclass(frozen=True)
class PracticeSummary:
    id: int
    cases: int
    opened_at: datetime
    opened_by: str
    plan: dict[str, Any]  # without the seeds
    readers: list[ReaderPractice]


@dataclass(frozen=True)
class RoundSummary:
    id: int
    number: int
    cases: int  # of all readers together
    opened_at: datetime
    starts_at: datetime
    opened_by: str
    plan: dict[str, Any]  # as asked and as achieved; without the seeds
    leak: dict[str, Any]  # the leak gate's report; which arm is which, only once the study is unblinded
    readers: list[ReaderProgress]  # those whom the person sees who asked
    closed: bool  # by hand, or because every reader has read and signed
    protocol_hash: str  # in force when it was opened
    commitment: str | None  # the hash that binds its seeds: study.commitment; None: opened before there were commitments
    closed_at: datetime | None  # by hand, before everybody had read and signed
    closed_by: str | None
    closed_because: str | None


@dataclass(frozen=True)
class AmendmentSummary:
    number: int
    at: datetime
    by: str
    change: str  # from -> to
    reason: str
    done: int  # judgements that were in, of `total`
    total: int


@dataclass(frozen=True)
class StudyDetail:
    id: int
    title: str
    demo: bool
    notice: str  # of a demo: study.notices
    state: str
    protocol: Protocol
    protocol_hash: str
    frozen_at: datetime | None
    created_by: str
    created_at: datetime
    readers: list[ReaderProgress]  # over all rounds; those whom the person sees who asked
    unseen: int  # readers of other sites
    done: int  # answers of all readers
    total: int
    practice: PracticeSummary | None
    rounds: list[RoundSummary]
    refused_openings: int  # how often the leak gate kept a round of this study shut
    unblinding_asked_by: str | None
    unblinding_asked_by_id: int | None  # this person may not confirm
    unblinding_asked_at: datetime | None
    unblinded_by: str | None
    unblinded_at: datetime | None
    amendments: list[AmendmentSummary]
    snapshot: str | None  # SHA-256

    @property
    def closed(self) -> bool:
        """Whether every round is."""
        return bool(self.rounds) and all(one.closed for one in self.rounds)


def summary(session: Session, study: stored.StudyRow) -> StudySummary:
    """For the list of studies."""
    readers = stored.readers(session, study.id)
    rounds = stored.rounds(session, study.id)
    progress = stored.progress(session, study.id)
    done, total = sum(one.done for one in progress), sum(one.total for one in progress)
    return StudySummary(
        id=study.id,
        title=study.title,
        demo=study.demo,
        notice=notices.of_study(study),
        state=_state(study, done, total),
        sites=list(dict.fromkeys(reader.site for reader in readers)),
        readers=len(readers),
        rounds=len(rounds),
        done=done,
        total=total,
        created_at=study.created_at,
    )


def sees_all(person: Person, study: stored.StudyRow) -> bool:
    """Whether this person sees the readers of every site: admins, and the coordinator who leads the study, having set it up."""
    return person.role is Role.ADMIN or person.id == study.created_by


def sees(person: Person, study: stored.StudyRow, reader: stored.ReaderRow) -> bool:
    """Whether this person sees who the reader is and how far: of other sites' readers only what all of them together have done."""
    return sees_all(person, study) or (person.site is not None and reader.site == person.site)


def detail(session: Session, study: stored.StudyRow, person: Person) -> StudyDetail:
    """Everything but the arms, the answers and the seeds; of the readers, those whom this person sees."""
    readers = stored.readers(session, study.id)
    progress = stored.progress(session, study.id)
    signed = signatures.of_study(session, study.id)
    names = _Names(session)
    gate = dict if study.unblinded_at else leak_gate.blinded
    closed = {one.round_id: one for one in closings.of_study(session, study.id)}
    committed = commitments.published(session, study.id)
    seen = [reader for reader in readers if sees(person, study, reader)]

    def of(reader: stored.ReaderRow, round_id: int | None) -> ReaderProgress:
        own = [one for one in progress if one.reader_id == reader.id and round_id in (None, one.round_id)]
        moments = [signed[one.round_id, reader.id][0] for one in own if (one.round_id, reader.id) in signed]
        done, total = sum(one.done for one in own), sum(one.total for one in own)
        return ReaderProgress(reader.id, reader.name, reader.site, done, total, len(own), len(moments), max(moments, default=None))

    def round_(opened: stored.RoundRow) -> RoundSummary:
        by_hand = closed.get(opened.id)
        everybody = [of(reader, opened.id) for reader in readers]
        return RoundSummary(
            opened.id,
            opened.number,
            opened.cases,
            opened.opened_at,
            opened.starts_at,
            names[opened.opened_by] or "",
            {key: value for key, value in opened.plan.items() if key not in TELLING},
            {key: value for key, value in gate(opened.leak).items() if key not in TELLING},
            [one for one, reader in zip(everybody, readers, strict=True) if reader in seen],
            by_hand is not None or all(one.done == one.total and one.signed == one.rounds for one in everybody),
            opened.protocol_hash,
            committed.get(opened.id),
            by_hand.closed_at if by_hand else None,
            names[by_hand.closed_by] if by_hand else None,
            by_hand.reason if by_hand else None,
        )

    return StudyDetail(
        id=study.id,
        title=study.title,
        demo=study.demo,
        notice=notices.of_study(study),
        state=_state(study, sum(one.done for one in progress), sum(one.total for one in progress)),
        protocol=Protocol.from_dict(study.protocol),
        protocol_hash=study.protocol_hash,
        frozen_at=study.frozen_at,
        created_by=names[study.created_by] or "",
        created_at=study.created_at,
        readers=[of(reader, None) for reader in seen],
        unseen=len(readers) - len(seen),
        done=sum(one.done for one in progress),
        total=sum(one.total for one in progress),
        practice=_practice(session, study, seen, names),
        rounds=[round_(opened) for opened in stored.rounds(session, study.id)],
        refused_openings=audit.count(session, action=leak_gate.REFUSED_BY_THE_GATE, subject=f"study {study.id}"),
        unblinding_asked_by=names[study.unblinding_asked_by],
        unblinding_asked_by_id=study.unblinding_asked_by,
        unblinding_asked_at=study.unblinding_asked_at,
        unblinded_by=names[study.unblinded_by],
        unblinded_at=study.unblinded_at,
        amendments=[
            AmendmentSummary(
                one.number, one.amended_at, names[one.amended_by] or "", changes_in_words(one.before, one.after), one.reason, one.done, one.total
            )
            for one in amendments.of_study(session, study.id)
        ],
        snapshot=snapshots.sha256(session, study.id),
    )


def _practice(session: Session, study: stored.StudyRow, readers: Sequence[stored.ReaderRow], names: _Names) -> PracticeSummary | None:
    opened = stored.practice_round(session, study.id)
    if opened is None:
        return None
    found = []
    for reader in readers:
        attempt = stored_practice.attempt(session, opened.id, reader.id)
        done = sum(number == attempt for number, _, _ in stored_practice.given(session, opened.id, reader.id))
        passed = not practice.still_to_pass(session, study.id, reader.id)
        found.append(ReaderPractice(reader.id, reader.name, reader.site, attempt if done else 0, done, opened.cases, passed))
    plan = {key: value for key, value in opened.plan.items() if key not in TELLING}
    return PracticeSummary(opened.id, opened.cases, opened.opened_at, names[opened.opened_by] or "", plan, found)


def _state(study: stored.StudyRow, done: int, total: int) -> str:
    if study.unblinded_at is not None:
        return "unblinded"
    if study.unblinding_asked_at is not None:
        return "unblinding asked"
    if total == 0:
        return "set up"
    return "read through" if done == total else "reading"


class _Names:
    """The names of people by id, looked up when asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, person_id: int | None) -> str | None:
        person = stored_people.by_id(self._session, person_id) if person_id is not None else None
        return person.name if person else None
