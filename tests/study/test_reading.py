from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, select, update

from generator.strip import as_shown, strip_hash
from storage import audit, judgements
from storage import studies as stored
from storage.database import Database
from storage.errors import StorageError
from storage.tables import AuditEntry, ReadingCase, Round, Truth, now
from study import reading, round_plan
from study.answers import Answer
from study.errors import NotAllowed, StudyError
from study.people import Person
from study.protocol import CUES, REALISM_LAST, Protocol
from study.rounds import open_round
from study.studies import create_study, study
from tests.study.hospital import PLAUSIBLE, Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def open_one(house: Hospital, *, protocol: Protocol | None = None, **plan: Any) -> tuple[int, int]:
    """(study, round) with 12 cases, or as the plan says."""
    add_recordings(house.db, 12)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", protocol or Protocol(), house.reader_ids)
    return study_id, open_round(house.db, house.coordinator, study_id, house.plan(**plan), Drawer(), gate=open_gate)


def read(house: Hospital, reader: Person, round_id: int, n: int) -> list[str]:
    codes = []
    for _ in range(n):
        case = reading.next_case(house.db, reader, round_id)
        assert case is not None
        codes.append(case.code)
        assert reading.submit(house.db, reader, case.code, answer(), just_now())
    return codes


def test_a_reader_reads_every_case_once_in_order(house: Hospital) -> None:
    _study, round_id = open_one(house)
    reader = house.readers[0]
    seen = []
    for position in range(1, 13):
        (progress,) = reading.rounds_to_read(house.db, reader)
        assert (progress.done, progress.total, progress.open) == (position - 1, 12, True)
        case = reading.next_case(house.db, reader, round_id)
        assert case is not None
        assert (case.position, case.total, case.study_title, case.counts.shape) == (position, 12, "Sinus rhythm", (8, 1000))
        assert np.array_equal(case.counts, as_shown(case.counts))  # no arm's end
        again = reading.next_case(house.db, reader, round_id)  # a reload, or another machine
        assert again is not None
        assert again.code == case.code
        assert reading.submit(house.db, reader, case.code, answer(), just_now())
        seen.append(strip_hash(case.counts))
    assert len(set(seen)) == 12
    assert reading.next_case(house.db, reader, round_id) is None
    (progress,) = reading.rounds_to_read(house.db, reader)
    assert (progress.done, progress.open) == (12, False)
    (progress,) = reading.rounds_to_read(house.db, house.readers[1])
    assert progress.done == 0


def test_a_judgement_is_stored_as_given_with_its_times_and_protocol(house: Hospital) -> None:
    study_id, round_id = open_one(house, protocol=Protocol(question_order=REALISM_LAST))
    reader, shown = house.readers[2], just_now()
    case = reading.next_case(house.db, reader, round_id)
    assert case is not None
    assert case.questions == ("rhythm", "morphology", "realism", "cues", "marks")
    given = Answer(6, "AF", {**PLAUSIBLE, "P wave": "implausible"}, [CUES[3], CUES[0]], " too regular ")
    assert reading.submit(house.db, reader, case.code, given, shown)
    with house.db.read() as session:
        (row,) = judgements.of_study(session, study_id)
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert (row.reader_id, row.position, row.revision, row.realism, row.rhythm) == (reader.id, 1, 1, 6, "AF")
    assert (row.morphology, row.cues, row.comment) == (given.morphology, [CUES[0], CUES[3]], "too regular")
    assert row.shown_at == shown <= row.submitted_at <= now()
    assert row.protocol_hash == Protocol(question_order=REALISM_LAST).hash()
    assert entry is not None
    stored_answer = Answer(row.realism, row.rhythm, row.morphology, row.cues, row.comment)
    assert entry.detail == {"round": round_id, "position": 1, "revision": 1, "from": None, "to": stored_answer.sha256()}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"realism": 0}, "realism"),
        ({"realism": 7}, "realism"),
        ({"realism": True}, "realism"),
        ({"realism": 3.0}, "realism"),
        ({"realism": None}, "realism"),
        ({"rhythm": "af"}, "rhythm"),
        ({"morphology": {}}, "morphology: judge P wave, PR interval"),
        ({"morphology": {**PLAUSIBLE, "U wave": "plausible"}}, "morphology: 'U wave'"),
        ({"morphology": {**PLAUSIBLE, "T wave": None}}, "morphology, T wave"),
        ({"cues": ["intuition"]}, "cues: 'intuition'"),
        ({"comment": "x" * 2001}, "comment"),
        ({"comment": "nul\0"}, "comment"),
    ],
)
def test_an_answer_that_will_not_do_names_its_field_and_stores_nothing(house: Hospital, changes: dict[str, Any], named: str) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    case = reading.next_case(house.db, reader, round_id)
    assert case is not None
    with pytest.raises(StudyError, match=named):
        reading.submit(house.db, reader, case.code, replace(answer(), **changes), just_now())
    detail = study(house.db, house.coordinator, study_id)
    assert (sum(one.done for one in detail.readers), detail.frozen_at) == (0, None)


@pytest.mark.parametrize("shown", [now() + timedelta(hours=1), datetime(2026, 1, 1)])
def test_a_time_that_cannot_be_is_refused(house: Hospital, shown: datetime) -> None:
    _study, round_id = open_one(house)
    case = reading.next_case(house.db, house.readers[0], round_id)
    assert case is not None
    with pytest.raises(StudyError, match="shown_at"):
        reading.submit(house.db, house.readers[0], case.code, answer(), shown)


def test_a_second_click_stores_nothing(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    (code,) = read(house, reader, round_id, 1)
    assert not reading.submit(house.db, reader, code, answer(5), just_now())
    with house.db.read() as session:
        assert [row.realism for row in judgements.of_study(session, study_id, every_revision=True)] == [2]


def test_four_clicks_at_once_store_one_judgement(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    case = reading.next_case(house.db, reader, round_id)
    assert case is not None
    code, stored_ones, start = case.code, [], threading.Barrier(4)

    def click() -> None:
        start.wait()
        stored_ones.append(reading.submit(house.db, reader, code, answer(), just_now()))

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored_ones) == [False, False, False, True]
    with house.db.read() as session:
        assert len(judgements.of_study(session, study_id, every_revision=True)) == 1
        audit.verify(session)


def test_only_the_next_case_can_be_answered(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader, other = house.readers[:2]
    with house.db.read() as session:
        codes = {case.id: case.code for case in stored.cases(session, study_id)}
        order = [codes[one.case_id] for one in stored.placements(session, study_id) if one.reader_id == reader.id]
    with pytest.raises(StudyError, match="not shown to you yet"):
        reading.submit(house.db, reader, order[1], answer(), just_now())
    with pytest.raises(StudyError, match="not among yours"):
        reading.submit(house.db, reader, "0123456789abcdef", answer(), just_now())
    assert reading.submit(house.db, reader, order[0], answer(), just_now())
    assert reading.submit(house.db, reader, order[1], answer(), just_now())
    assert reading.next_case(house.db, other, round_id) is not None


def test_who_does_not_read_the_round_gets_nothing_of_it(house: Hospital) -> None:
    add_recordings(house.db, 12)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:1])
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    stranger = house.readers[1]
    assert reading.rounds_to_read(house.db, stranger) == []
    case = reading.next_case(house.db, house.readers[0], round_id)
    assert case is not None
    with pytest.raises(StudyError, match="not among yours"):
        reading.next_case(house.db, stranger, round_id)
    with pytest.raises(StudyError, match="not among yours"):
        reading.submit(house.db, stranger, case.code, answer(), just_now())
    with pytest.raises(StorageError, match="no round"):
        reading.next_case(house.db, stranger, 999)
    for person in (house.coordinator, house.researcher, house.admin):
        with pytest.raises(NotAllowed):
            reading.next_case(house.db, person, round_id)
        with pytest.raises(NotAllowed):
            reading.submit(house.db, person, case.code, answer(), just_now())


def test_a_correction_is_a_new_revision(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    assert reading.case_again(house.db, reader, round_id, 1) is None
    case = reading.next_case(house.db, reader, round_id)
    assert case is not None
    with pytest.raises(StudyError, match="no answer to correct"):
        reading.revise(house.db, reader, case.code, answer(5), just_now())
    read(house, reader, round_id, 2)
    last = reading.case_again(house.db, reader, round_id, 2)
    assert last is not None
    assert (last.position, last.given) == (2, answer())
    assert reading.revise(house.db, reader, last.code, answer(5), just_now())
    assert not reading.revise(house.db, reader, last.code, answer(5), just_now())
    with house.db.read() as session:
        every = judgements.of_study(session, study_id, every_revision=True)
        newest = judgements.of_study(session, study_id)
    assert [(row.position, row.revision, row.realism) for row in every] == [(1, 1, 2), (2, 1, 2), (2, 2, 5)]
    assert [(row.position, row.revision, row.realism) for row in newest] == [(1, 1, 2), (2, 2, 5)]
    assert reading.next_case(house.db, reader, round_id).position == 3  # type: ignore[union-attr]
    (progress,) = reading.rounds_to_read(house.db, reader)
    assert progress.done == 2


def test_a_round_that_has_not_started_cannot_be_read(house: Hospital) -> None:
    _study, round_id = open_one(house)
    with house.db.write() as session:
        session.execute(update(Round).values(starts_at=now() + timedelta(days=1)))
    (progress,) = reading.rounds_to_read(house.db, house.readers[0])
    assert not progress.open
    with pytest.raises(StudyError, match="starts for you on"):
        reading.next_case(house.db, house.readers[0], round_id)


def test_the_washout_runs_from_a_reader_s_own_last_judgement(house: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id, first = open_one(house)
    early, late = house.readers[:2]
    read(house, early, first, 12)
    read(house, late, first, 11)
    later = now() + timedelta(days=21)
    for module in (reading, round_plan):
        monkeypatch.setattr(module, "now", lambda: later)
    second = open_round(house.db, house.coordinator, study_id, house.plan(seed=6), Drawer(), gate=open_gate)
    assert reading.next_case(house.db, early, second) is not None
    with pytest.raises(StudyError, match="if you have read the earlier rounds"):
        reading.next_case(house.db, late, second)
    read(house, late, first, 1)  # three weeks after the others
    with pytest.raises(StudyError, match="starts for you on"):
        reading.next_case(house.db, late, second)
    starts_at = {one.round_id: one.starts_at for one in reading.rounds_to_read(house.db, late)}[second]
    assert starts_at == later + timedelta(days=14)


# ---- blinding ----


@contextmanager
def statements(db: Database) -> Iterator[list[tuple[str, int]]]:
    """Every statement sent to the database, and how many values went with it."""
    sent: list[tuple[str, int]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        sent.append((statement, len(parameters)))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def test_both_arms_take_the_same_path(house: Hospital) -> None:
    """For every case: the same statements with as many values, none of them on truth or origin; the same kinds and lengths handed to the page."""
    _study, round_id = open_one(house, cases=24, repeat_share=0.1)
    reader = house.readers[0]
    read(house, reader, round_id, 1)  # the first judgement freezes the protocol
    arms, paths, shapes = set(), set(), set()
    with house.db.read() as session:
        rows = session.execute(select(ReadingCase.code, Truth.arm).join(Truth, Truth.strip_id == ReadingCase.strip_id))
        arm_of = {row.code: row.arm for row in rows}
    for _ in range(23):
        with statements(house.db) as sent:
            case = reading.next_case(house.db, reader, round_id)
            assert case is not None
            reading.submit(house.db, reader, case.code, answer(), just_now())
        arms.add(arm_of[case.code])
        paths.add(tuple(sent))
        fields = asdict(case)
        fields.pop("position")
        counts = fields.pop("counts")
        code = fields.pop("code")
        assert set(code) <= set("0123456789abcdef")
        shapes.add((*((key, value) for key, value in fields.items()), len(code), counts.shape, counts.dtype))
    assert arms == {"real", "synthetic"}
    assert len(paths) == len(shapes) == 1
    text = " ".join(statement for path in paths for statement, _n in path).lower()
    assert not any(table in text for table in ("truth", "recording", "drawing", "rejection"))


def test_codes_and_ids_tell_nothing(house: Hospital) -> None:
    """Over many rounds, neither the order of ids nor the order of codes goes with the arm or the role."""
    add_recordings(house.db, 60)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(washout_days=0), house.reader_ids[:1])
    for seed in range(10):
        open_round(house.db, house.coordinator, study_id, house.plan(cases=24, repeat_share=0.1, seed=seed), Drawer(), gate=open_gate)
    with house.db.read() as session:
        columns = (ReadingCase.round_id, ReadingCase.id, ReadingCase.code, ReadingCase.role, Truth.arm)
        rows = session.execute(select(*columns).join(Truth, Truth.strip_id == ReadingCase.strip_id)).all()
    synthetic = np.array([row.arm == "synthetic" for row in rows])
    again = np.array([row.role == "repeat" for row in rows])
    first_of_round = {row.round_id: min(one.id for one in rows if one.round_id == row.round_id) for row in rows}
    place = np.array([row.id - first_of_round[row.round_id] for row in rows])
    code = np.array([int(row.code, 16) / 16**16 for row in rows])
    for told in (synthetic, again):
        for by in (place, code):
            assert abs(np.corrcoef(told, by)[0, 1]) < 4 / np.sqrt(len(rows))
    assert len({row.code for row in rows}) == len(rows)
