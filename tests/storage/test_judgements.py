from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from storage import judgements, strips
from storage import studies as stored
from storage.database import Database
from storage.people import NewPerson
from storage.people import add as add_person
from storage.tables import Judgement, now


@pytest.fixture
def world(any_url: str) -> Any:
    """A database (SQLite, then PostgreSQL) with one study, one round of three cases in the order 2, 3, 1, and its reader."""
    db = Database(any_url)
    db.migrate()
    with db.write() as session:
        reader = add_person(session, NewPerson("ada", "Ada", "reader", "North"), password_hash=None)
        study = stored.add_study(session, title="S", demo=False, protocol={}, protocol_hash="h", seed=1, created_by=reader)
        stored.add_readers(session, study, [reader])
        round_id = stored.add_round(session, study_id=study, number=1, plan={}, leak={}, opened_by=reader, starts_at=now())
        new = [strips.NewRecording(bytes([i]) * 16000, "NSR", "t", f"r{i}", f"p{i}", 100.0) for i in range(3)]
        ids = [strips.add_recording(session, one) for one in new]
        cases = stored.add_cases(session, round_id, [stored.NewCase(i or 0, "scored", f"code{k}") for k, i in enumerate(ids)])
        stored.add_placements(session, round_id, reader, [cases[1], cases[2], cases[0]])
    yield db, study, round_id, reader, cases
    db.close()


def judge(session: Session, case_id: int, reader_id: int, revision: int = 1, realism: int = 3) -> int:
    return judgements.add(
        session,
        case_id=case_id,
        reader_id=reader_id,
        revision=revision,
        realism=realism,
        rhythm="NSR",
        morphology={"P wave": "plausible"},
        cues=[],
        comment="",
        shown_at=now() - timedelta(seconds=9),
        submitted_at=now(),
        protocol_hash="h",
    )


def test_the_next_case_is_the_lowest_position_without_a_judgement(world: Any) -> None:
    db, study, round_id, reader, cases = world
    seen = []
    for case_id in (cases[1], cases[2], cases[0]):
        with db.write() as session:
            shown = judgements.next_shown(session, round_id, reader)
            assert shown is not None
            assert shown.position == judgements.next_position(session, round_id, reader)
            seen.append((shown.code, shown.position, shown.samples[0]))
            judge(session, case_id, reader)
    assert seen == [("code1", 1, 1), ("code2", 2, 2), ("code0", 3, 0)]
    with db.read() as session:
        assert judgements.next_shown(session, round_id, reader) is None
        assert judgements.next_position(session, round_id, reader) is None
        assert stored.progress(session, study) == [stored.Progress(round_id, reader, 3, 3)]


def test_a_reader_judges_a_case_once_a_revision(world: Any) -> None:
    db, study, round_id, reader, cases = world
    with db.write() as session:
        judge(session, cases[1], reader)
    with pytest.raises(IntegrityError), db.write() as session:
        judge(session, cases[1], reader)
    with db.write() as session:
        judge(session, cases[1], reader, revision=2, realism=6)
    with db.read() as session:
        assert [(row.revision, row.realism) for row in judgements.of_study(session, study, every_revision=True)] == [(1, 3), (2, 6)]
        assert [(row.revision, row.realism) for row in judgements.of_study(session, study)] == [(2, 6)]
        assert judgements.newest(session, cases[1], reader, 1).realism == 6
        last = judgements.shown_again(session, round_id, reader, 1)
        assert last is not None
        assert (last[0].code, last[1].revision) == ("code1", 2)
        placed = judgements.placed(session, "code1", reader, 1)
        assert placed == judgements.Placed(cases[1], round_id, 1, 1, None, 2)
        assert judgements.placed(session, "code1", reader + 1, 1) is None
        assert stored.progress_of_reader(session, reader) == [stored.Progress(round_id, reader, 1, 3)]


def test_a_judgement_is_never_overwritten(world: Any) -> None:
    db, _study, _round, reader, cases = world
    with db.write() as session:
        judge(session, cases[1], reader)
    with pytest.raises(DatabaseError), db.write() as session:
        session.execute(update(Judgement).values(realism=1))


def test_when_a_reader_was_last_there(world: Any) -> None:
    db, study, _round, reader, cases = world
    with db.write() as session:
        assert judgements.last_in_study(session, study) is None
        judge(session, cases[1], reader)
    with db.read() as session:
        last = judgements.last_in_study(session, study)
        assert last is not None
        assert judgements.last_before(session, study, 2, reader) == last
        assert judgements.last_before(session, study, 1, reader) is None
