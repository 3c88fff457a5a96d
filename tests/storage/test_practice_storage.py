"""Practice, signatures and screens in the database, on SQLite and PostgreSQL alike; and what the database itself refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from storage import judgements, practice, screens, signatures, strips
from storage import studies as stored
from storage.database import Database
from storage.people import NewPerson
from storage.people import add as add_person
from storage.tables import Judgement, PracticeAnswer, PracticeCase, ReadingCase, Signature, now

ARMS = ("real", "synthetic", "real")


@dataclass
class Ward:
    db: Database
    study: int
    practice: int  # round of three cases, in the order 2, 3, 1
    round: int  # of two
    reader: int
    practice_cases: list[int]
    cases: list[int]


@pytest.fixture
def ward(any_url: str) -> Iterator[Ward]:
    db = Database(any_url)
    db.migrate()
    with db.write() as session:
        reader = add_person(session, NewPerson("ada", "Ada", "reader", "North"), password_hash=None)
        study = stored.add_study(session, title="S", demo=False, protocol={}, protocol_hash="h", seed=1, created_by=reader)
        stored.add_readers(session, study, [reader])
        new = [strips.NewRecording(bytes([i]) * 16000, ("NSR", "AF")[i % 2], "t", f"r{i}", f"p{i}", 100.0) for i in range(5)]
        ids = [strips.add_recording(session, one) or 0 for one in new]
        first = add_round(session, study, reader, 0, practising=True)
        practice_cases = stored.add_cases(session, first, [stored.NewCase(strip, "practice", f"learn{i}") for i, strip in enumerate(ids[:3])])
        practice.add_cases(session, dict(zip(practice_cases, ARMS, strict=True)))
        stored.add_placements(session, first, reader, [practice_cases[1], practice_cases[2], practice_cases[0]])
        second = add_round(session, study, reader, 1)
        cases = stored.add_cases(session, second, [stored.NewCase(strip, "scored", f"code{i}") for i, strip in enumerate(ids[3:])])
        stored.add_placements(session, second, reader, cases)
    yield Ward(db, study, first, second, reader, practice_cases, cases)
    db.close()


def add_round(session: Session, study: int, by: int, number: int, *, practising: bool = False) -> int:
    return stored.add_round(session, study_id=study, number=number, plan={}, leak={}, opened_by=by, starts_at=now(), practice=practising)


def judge(session: Session, case_id: int, reader_id: int) -> None:
    values = {"case_id": case_id, "reader_id": reader_id, "realism": 3, "rhythm": "NSR", "morphology": {}, "cues": [], "comment": ""}
    judgements.add(session, **values, shown_at=now() - timedelta(seconds=9), protocol_hash="h")


# ---- practice ----


def test_practice_goes_from_case_to_case_and_tells_what_was_answered(ward: Ward) -> None:
    seen = []
    for number in range(3):
        with ward.db.write() as session:
            shown = practice.next_shown(session, ward.practice, ward.reader, 1)
            assert shown is not None
            assert len(practice.told(session, ward.practice, ward.reader, 1)) == number
            seen.append((shown.code, shown.position, shown.phase, shown.samples[0]))
            practice.add_answer(session, shown.code, ward.reader, 1, {"rhythm": "AF", "number": number})
    assert seen == [("learn1", 1, 1, 1), ("learn2", 2, 1, 2), ("learn0", 3, 1, 0)]
    with ward.db.read() as session:
        assert practice.next_shown(session, ward.practice, ward.reader, 1) is None
        told = practice.told(session, ward.practice, ward.reader, 1)
    assert [(one.shown.code, one.arm, one.rhythm, one.answer["number"]) for one in told] == [
        ("learn1", "synthetic", "AF", 0),
        ("learn2", "real", "NSR", 1),
        ("learn0", "real", "NSR", 2),
    ]


def test_attempts_stand_beside_each_other(ward: Ward) -> None:
    with ward.db.write() as session:
        assert practice.attempt(session, ward.practice, ward.reader) == 1
        for attempt in (1, 2):
            practice.add_answer(session, "learn1", ward.reader, attempt, {"attempt": attempt})
    with ward.db.read() as session:
        assert practice.attempt(session, ward.practice, ward.reader) == 2
        assert [practice.told(session, ward.practice, ward.reader, attempt)[0].answer for attempt in (1, 2)] == [{"attempt": 1}, {"attempt": 2}]
        assert practice.told(session, ward.practice, ward.reader, 3) == []
        assert practice.attempt(session, ward.practice, ward.reader + 1) == 1


def test_a_practice_case_is_answered_once_an_attempt(ward: Ward) -> None:
    with ward.db.write() as session:
        practice.add_answer(session, "learn1", ward.reader, 1, {})
    with pytest.raises(IntegrityError), ward.db.write() as session:
        practice.add_answer(session, "learn1", ward.reader, 1, {})


@pytest.mark.parametrize("code", ["code0", "nobody knows"])
def test_only_practice_cases_have_practice_answers(ward: Ward, code: str) -> None:
    with pytest.raises(IntegrityError), ward.db.write() as session:
        practice.add_answer(session, code, ward.reader, 1, {})


def test_practice_has_no_progress_and_no_judgement(ward: Ward) -> None:
    with ward.db.write() as session:
        for code in ("learn1", "learn2"):
            practice.add_answer(session, code, ward.reader, 1, {})
        judge(session, ward.cases[0], ward.reader)
    with ward.db.read() as session:
        only = [stored.Progress(ward.round, ward.reader, 1, 2)]
        assert stored.progress(session, ward.study) == only
        assert stored.progress_of_reader(session, ward.reader) == only
        assert [one.number for one in stored.rounds(session, ward.study)] == [1]
        assert [one.case_id for one in judgements.of_study(session, ward.study)] == ward.cases[:1]
        assert [one.case_id for one in stored.placements(session, ward.study)] == ward.cases
        assert [one.id for one in stored.cases(session, ward.study)] == ward.cases
        assert [one.id for one in stored.cases(session, ward.study, practice=True)] == ward.practice_cases
        found = stored.practice_round(session, ward.study)
        assert found is not None
        assert (found.id, found.practice, found.cases) == (ward.practice, True, 3)
        assert not judgements.unfinished_before(session, ward.study, 1, ward.reader)  # practice left undone is no round left undone
        assert judgements.last_before(session, ward.study, 1, ward.reader) is None


# ---- what the database itself refuses ----


def test_the_database_refuses_a_judgement_of_a_practice_case(ward: Ward) -> None:
    for case_id in ward.practice_cases:
        with pytest.raises(DatabaseError, match="practice cases are not judged"), ward.db.write() as session:
            judge(session, case_id, ward.reader)
    with ward.db.write() as session:
        judge(session, ward.cases[0], ward.reader)
    with ward.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Judgement)) == 1


def test_a_judgement_of_a_practice_case_is_refused_to_plain_sql_too(ward: Ward) -> None:
    columns = "case_id, reader_id, revision, morphology, cues, comment, shown_at, submitted_at, protocol_hash"
    statement = text(f"INSERT INTO judgement ({columns}) SELECT id, :reader, 1, '{{}}', '[]', '', :at, :at, 'h' FROM reading_case WHERE code = :code")
    with pytest.raises(DatabaseError, match="practice cases are not judged"), ward.db.engine.begin() as connection:
        connection.execute(statement, {"reader": ward.reader, "at": "2026-01-02 03:04:05+00:00", "code": "learn0"})


@pytest.mark.parametrize(("practising", "role"), [(True, "scored"), (True, "repeat"), (True, "control"), (False, "practice")])
def test_the_database_refuses_a_mixed_round(ward: Ward, practising: bool, role: str) -> None:
    with pytest.raises(DatabaseError, match="a practice round has practice cases, and no other round has"), ward.db.write() as session:
        stored.add_cases(session, ward.practice if practising else ward.round, [stored.NewCase(1, role, "more")])


@pytest.mark.parametrize("role", ["scored", "repeat", "control"])
def test_every_other_role_has_a_place_in_a_round(ward: Ward, role: str) -> None:
    with ward.db.write() as session:
        (case_id,) = stored.add_cases(session, ward.round, [stored.NewCase(1, role, "more")])
        judge(session, case_id, ward.reader)


def test_what_was_answered_signed_and_judged_is_never_changed_or_removed(ward: Ward) -> None:
    with ward.db.write() as session:
        practice.add_answer(session, "learn1", ward.reader, 1, {"rhythm": "AF"})
        signatures.add(session, ward.round, ward.reader, "a" * 64)
        judge(session, ward.cases[0], ward.reader)
    for table, values in ((PracticeAnswer, {"answer": {}}), (Signature, {"judgements_sha256": "b" * 64}), (Judgement, {"realism": 1})):
        for change in (update(table).values(**values), delete(table)):
            with pytest.raises(DatabaseError, match=f"{table.__tablename__} is append-only"), ward.db.write() as session:
                session.execute(change)
        with ward.db.read() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 1


def test_a_case_belongs_to_practice_once(ward: Ward) -> None:
    with pytest.raises(IntegrityError), ward.db.write() as session:
        practice.add_cases(session, {ward.practice_cases[0]: "synthetic"})
    with ward.db.read() as session:
        kept = {row.case_id: row.arm for row in session.execute(select(PracticeCase.case_id, PracticeCase.arm))}
        assert kept == dict(zip(ward.practice_cases, ARMS, strict=True))
        assert session.scalar(select(func.count()).select_from(ReadingCase)) == 5


# ---- two phases ----


def test_a_case_with_two_phases_is_read_twice_in_two_orders(ward: Ward) -> None:
    with ward.db.write() as session:
        another = add_round(session, ward.study, ward.reader, 2)
        a, b = stored.add_cases(session, another, [stored.NewCase(1, "scored", "a"), stored.NewCase(2, "scored", "b")])
        stored.add_placements(session, another, ward.reader, [a, b], [b, a])
    seen = []
    for case_id, phase, reached in ((a, 1, 1), (b, 1, 1), (b, 2, 2), (a, 2, 2)):
        with ward.db.write() as session:
            shown = judgements.next_shown(session, another, ward.reader)
            assert shown is not None
            assert shown.position == judgements.next_position(session, another, ward.reader)
            assert judgements.phase_reached(session, another, ward.reader) == reached
            seen.append((shown.code, shown.position, shown.phase))
            values = {"realism": 3} if phase == 2 else {"rhythm": "AF", "quality": "good"}
            judgements.add(
                session,
                case_id=case_id,
                reader_id=ward.reader,
                phase=phase,
                **values,
                morphology={},
                cues=[],
                comment="",
                shown_at=now(),
                protocol_hash="h",
            )
            told = {one.round_id: (one.done, one.total) for one in stored.progress(session, ward.study)}
            assert told[another] == (len(seen), 4)
    assert seen == [("a", 1, 1), ("b", 2, 1), ("b", 3, 2), ("a", 4, 2)]
    with ward.db.read() as session:
        assert judgements.next_shown(session, another, ward.reader) is None
        assert judgements.places(session, another, ward.reader) == 4
        rows = judgements.of_round(session, another, ward.reader)
        assert [(row.position, row.phase, row.realism, row.quality) for row in rows] == [
            (1, 1, None, "good"),
            (2, 1, None, "good"),
            (3, 2, 3, None),
            (4, 2, 3, None),
        ]
        assert [(judgements.newest(session, a, ward.reader, phase).position) for phase in (1, 2)] == [1, 4]
        assert judgements.placed(session, "a", ward.reader, 2) == judgements.Placed(a, another, 4, 2, None, 1)
        assert judgements.placed(session, "a", ward.reader, 3) is None
        again = judgements.shown_again(session, another, ward.reader, 3)
        assert again is not None
        assert (again[0].code, again[0].phase, again[1].realism) == ("b", 2, 3)


def test_a_case_stands_once_a_phase_in_an_order(ward: Ward) -> None:
    with ward.db.write() as session:
        another = add_round(session, ward.study, ward.reader, 2)
        (a,) = stored.add_cases(session, another, [stored.NewCase(1, "scored", "a")])
    with pytest.raises(IntegrityError), ward.db.write() as session:
        stored.add_placements(session, another, ward.reader, [a, a])


# ---- signatures and screens ----


def test_a_reader_signs_a_round_once(ward: Ward) -> None:
    with ward.db.write() as session:
        assert signatures.signed_at(session, ward.round, ward.reader) is None
        signatures.add(session, ward.round, ward.reader, "a" * 64)
    with pytest.raises(IntegrityError), ward.db.write() as session:
        signatures.add(session, ward.round, ward.reader, "b" * 64)
    with ward.db.read() as session:
        at = signatures.signed_at(session, ward.round, ward.reader)
        assert at is not None
        assert at.tzinfo is not None
        assert signatures.of_study(session, ward.study) == {(ward.round, ward.reader): (at, "a" * 64)}
        assert signatures.of_study(session, ward.study + 1) == {}


def test_the_newest_scale_of_a_screen_replaces_the_one_before(ward: Ward) -> None:
    with ward.db.write() as session:
        ben = add_person(session, NewPerson("ben", "Ben", "reader", "North"), password_hash=None)
        for person, name, scale in ((ward.reader, "small", 3.5), (ward.reader, "large", 8.25), (ben, "small", 9.0), (ward.reader, "small", 4.1)):
            screens.set_scale(session, person, name, scale)
    with ward.db.read() as session:
        assert screens.of_person(session, ward.reader) == {"large": 8.25, "small": 4.1}
        assert screens.of_person(session, ben) == {"small": 9.0}
        assert screens.of_person(session, ben + 1) == {}
