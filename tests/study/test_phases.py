"""Purpose-blind rounds: quality, rhythm and morphology of every case first, and only then whether each is real."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import audit, export, judgements, snapshots, strips, tables
from storage import studies as stored
from storage.database import Database
from study import allocation, reading, signing
from study.amendments import edit_protocol
from study.answers import Answer, Mark
from study.bundle import bundle_files
from study.bundle_files import verify
from study.errors import StudyError
from study.judgements import judgement_table
from study.people import Person
from study.protocol import CUES, MORPHOLOGY_ITEMS, PURPOSE_BLIND, QUALITY_ANSWERS, REALISM_FIRST, Protocol
from study.reading import ReadingCase
from study.results import results
from study.rounds import open_round
from study.studies import add_readers, create_study, study
from tests import ending
from tests.databases import new_url
from tests.study.hospital import PLAUSIBLE, Drawer, Hospital, add_recordings, hospital, just_now, open_gate

CASES = 12
HEART, REALISM = ("quality", "rhythm", "morphology"), ("realism", "cues", "marks")


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def open_one(house: Hospital, *, readers: int = 4, seed: int = 5, washout_days: int = 14, **plan: Any) -> tuple[int, int]:
    """(study, round) of a purpose-blind study."""
    add_recordings(house.db, 12)
    protocol = Protocol(question_order=PURPOSE_BLIND, washout_days=washout_days)
    study_id = create_study(house.db, house.coordinator, f"Purpose-blind {seed}", protocol, house.reader_ids[:readers])
    return study_id, open_round(house.db, house.coordinator, study_id, house.plan(seed=seed, **plan), Drawer(), gate=open_gate)


def heart(rhythm: str = "NSR", quality: str = "good", **values: Any) -> Answer:
    return Answer(rhythm=rhythm, quality=quality, **{"morphology": dict(PLAUSIBLE), **values})


def realism(call: int = 2, **values: Any) -> Answer:
    return Answer(realism=call, **values)


def shown(house: Hospital, reader: Person, round_id: int) -> ReadingCase:
    case = reading.next_case(house.db, reader, round_id)
    assert case is not None
    return case


def read(house: Hospital, reader: Person, round_id: int, n: int, *, call: int = 2) -> list[ReadingCase]:
    """Answers the next n cases, of whichever part."""
    cases = []
    for _ in range(n):
        case = shown(house, reader, round_id)
        said = heart() if case.phase == 1 else realism(call)
        assert reading.submit(house.db, reader, case.code, said, just_now(), phase=case.phase)
        cases.append(case)
    return cases


def end(house: Hospital, study_id: int) -> None:
    ending.end(house.db, house.coordinator, house.researcher, study_id)


def data_of(house: Hospital, study_id: int) -> export.StudyData:
    with house.db.read() as session:
        return export.study_data(session, study_id)


# ---- what is asked when ----


def test_a_reader_goes_through_the_round_twice(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    seen = []
    for position in range(1, 2 * CASES + 1):
        (told,) = reading.rounds_to_read(house.db, reader)
        assert (told.done, told.total, told.open) == (position - 1, 2 * CASES, True)
        case = shown(house, reader, round_id)
        assert (case.position, case.total) == (position, 2 * CASES)
        assert (case.phase, case.questions) == ((1, HEART) if position <= CASES else (2, REALISM))
        seen += read(house, reader, round_id, 1)
    assert reading.next_case(house.db, reader, round_id) is None
    first, second = [case.code for case in seen[:CASES]], [case.code for case in seen[CASES:]]
    assert sorted(first) == sorted(second)
    assert len(set(first)) == CASES
    detail = study(house.db, house.coordinator, study_id)
    assert [(one.done, one.total) for one in detail.readers if one.person_id == reader.id] == [(2 * CASES, 2 * CASES)]
    assert not detail.closed


def test_the_same_case_shows_the_same_strip_in_both_parts(house: Hospital) -> None:
    _study, round_id = open_one(house)
    strips_of: dict[str, list[bytes]] = {}
    for case in read(house, house.readers[0], round_id, 2 * CASES):
        strips_of.setdefault(case.code, []).append(case.counts.tobytes())
    assert all(len(samples) == 2 and samples[0] == samples[1] for samples in strips_of.values())


def test_nothing_of_the_first_part_asks_or_takes_whether_it_is_real(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    for _ in range(CASES):
        case = shown(house, reader, round_id)
        assert not set(case.questions) & {"realism", "cues", "marks"}
        for said in (heart(cues=[CUES[0]]), heart(marks=[Mark("II", 0, 100)]), Answer(2, "NSR", dict(PLAUSIBLE), quality="good")):
            with pytest.raises(StudyError, match="not asked now"):
                reading.submit(house.db, reader, case.code, said, just_now())
        with pytest.raises(StudyError, match="not shown to you yet"):
            reading.submit(house.db, reader, case.code, realism(), just_now(), phase=2)
        read(house, reader, round_id, 1)
    with house.db.read() as session:
        rows = judgements.of_study(session, study_id)
    assert len(rows) == CASES
    assert {(row.phase, row.realism, tuple(row.cues), tuple(row.marks)) for row in rows} == {(1, None, (), ())}
    assert shown(house, reader, round_id).phase == 2


def test_the_second_part_begins_only_after_the_last_case_of_the_first(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    with house.db.read() as session:
        codes = {case.id: case.code for case in stored.cases(session, study_id)}
        second = [codes[one.case_id] for one in stored.placements(session, study_id) if one.reader_id == reader.id and one.phase == 2]
    read(house, reader, round_id, CASES - 1)
    for code in second:
        with pytest.raises(StudyError, match="not shown to you yet"):
            reading.submit(house.db, reader, code, realism(), just_now(), phase=2)
    read(house, reader, round_id, 1)
    assert reading.submit(house.db, reader, second[0], realism(), just_now(), phase=2)
    with pytest.raises(StudyError, match="not shown to you yet"):
        reading.submit(house.db, reader, second[2], realism(), just_now(), phase=2)


@pytest.mark.parametrize("phase", [0, -1, 3, 99])
def test_a_part_that_the_study_does_not_have_is_refused(house: Hospital, phase: int) -> None:
    _study, round_id = open_one(house)
    case = shown(house, house.readers[0], round_id)
    with pytest.raises(StudyError, match="not among yours"):
        reading.submit(house.db, house.readers[0], case.code, heart(), just_now(), phase=phase)


def test_studies_with_one_part_have_no_second(house: Hospital) -> None:
    add_recordings(house.db, 12)
    study_id = create_study(house.db, house.coordinator, "One part", Protocol(question_order=REALISM_FIRST), house.reader_ids)
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    case = shown(house, house.readers[0], round_id)
    assert (case.total, case.phase) == (CASES, 1)
    with pytest.raises(StudyError, match="not among yours"):
        reading.submit(house.db, house.readers[0], case.code, realism(), just_now(), phase=2)


def test_a_second_click_in_the_second_part_stores_nothing(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    read(house, reader, round_id, CASES)
    (case,) = read(house, reader, round_id, 1)
    assert not reading.submit(house.db, reader, case.code, realism(6), just_now(), phase=2)
    with house.db.read() as session:
        assert [(row.phase, row.realism) for row in judgements.of_study(session, study_id, every_revision=True)][CASES:] == [(2, 2)]


def test_an_answer_of_the_second_part_sent_as_of_the_first_is_refused_not_lost(house: Hospital) -> None:
    _study, round_id = open_one(house)
    reader = house.readers[0]
    read(house, reader, round_id, CASES)
    case = shown(house, reader, round_id)
    with pytest.raises(StudyError, match=r"^realism: this is not asked now\. Reload the page"):
        reading.submit(house.db, reader, case.code, realism(), just_now())


# ---- orders ----


def orders(house: Hospital, study_id: int) -> dict[tuple[int, int], list[int]]:
    """(reader, phase) -> the cases as places in the round, in that reader's order."""
    with house.db.read() as session:
        place = {case.id: i for i, case in enumerate(stored.cases(session, study_id))}
        found: dict[tuple[int, int], list[int]] = {}
        for one in stored.placements(session, study_id):
            found.setdefault((one.reader_id, one.phase), []).append(place[one.case_id])
    return found


def test_each_part_has_an_order_of_its_own_and_both_follow_from_the_seed(house: Hospital) -> None:
    study_id, round_id = open_one(house, cases=24, repeat_share=0.1)
    found = orders(house, study_id)
    assert set(found) == {(reader_id, phase) for reader_id in house.reader_ids for phase in (1, 2)}
    assert len({tuple(order) for order in found.values()}) == 8
    with house.db.read() as session:
        (opened,) = stored.rounds(session, study_id)
        cases = stored.cases(session, study_id)
    index = {case.id: i for i, case in enumerate(cases)}
    repeat_of = {index[case.id]: index[case.repeat_of] for case in cases if case.repeat_of is not None}
    assert repeat_of
    for (reader_id, phase), order in found.items():
        assert order == allocation.order(24, repeat_of, opened.plan["min_repeat_distance"], opened.plan["seed"], reader_id, phase=phase)
        assert all(order.index(repeat) - order.index(original) >= opened.plan["min_repeat_distance"] for repeat, original in repeat_of.items())
    assert opened.plan["phases"] == 2
    assert round_id == opened.id


def test_who_joins_later_gets_both_orders_as_if_there_from_the_start(house: Hospital) -> None:
    study_id, round_id = open_one(house, readers=3)
    add_readers(house.db, house.coordinator, study_id, house.reader_ids[3:])
    late = house.readers[3]
    (told,) = reading.rounds_to_read(house.db, late)
    assert told.total == 2 * CASES
    for phase in (1, 2):
        assert orders(house, study_id)[late.id, phase] == allocation.order(CASES, {}, 10, 5, late.id, phase=phase)
    assert [case.phase for case in read(house, late, round_id, 2 * CASES)] == [1] * CASES + [2] * CASES


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 10_000), st.integers(2, 40))
def test_the_order_of_the_first_part_is_the_one_there_was_before_there_were_two(seed: int, reader_id: int, n: int) -> None:
    assert allocation.order(n, {}, 0, seed, reader_id) == allocation.order(n, {}, 0, seed, reader_id, phase=1)
    assert sorted(allocation.order(n, {}, 0, seed, reader_id, phase=2)) == list(range(n))
    assert allocation.order(n, {}, 0, seed, reader_id, phase=2) == allocation.order(n, {}, 0, seed, reader_id, phase=2)


# ---- corrections ----


def test_an_answer_of_the_first_part_can_be_corrected_until_the_second_begins(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    reader = house.readers[0]
    first = read(house, reader, round_id, CASES - 1)[3]
    assert reading.revise(house.db, reader, first.code, heart("AF", "poor"), just_now())
    again = reading.case_again(house.db, reader, round_id, 4)
    assert again is not None
    assert (again.phase, again.questions, again.given) == (1, HEART, heart("AF", "poor"))
    read(house, reader, round_id, 1)  # the last of the first part: from now on the next strip is of the second, and comes with its question
    with pytest.raises(StudyError, match="second part of the round has begun: answers of the first part stand"):
        reading.revise(house.db, reader, first.code, heart("other"), just_now())
    with house.db.read() as session:
        newest = next(row for row in judgements.of_study(session, study_id) if row.position == 4)
    assert (newest.revision, newest.rhythm, newest.quality) == (2, "AF", "poor")


def test_an_answer_of_the_second_part_can_be_corrected(house: Hospital) -> None:
    _study, round_id = open_one(house)
    reader = house.readers[0]
    case = read(house, reader, round_id, CASES + 2)[-1]
    said = realism(6, cues=[CUES[1]], marks=[Mark("V1", 10, 90)], comment="so")
    assert reading.revise(house.db, reader, case.code, said, just_now(), phase=2)
    assert not reading.revise(house.db, reader, case.code, said, just_now(), phase=2)
    again = reading.case_again(house.db, reader, round_id, CASES + 2)
    assert again is not None
    assert (again.code, again.phase, again.given) == (case.code, 2, said)
    with pytest.raises(StudyError, match="not asked now"):
        reading.revise(house.db, reader, case.code, heart(), just_now(), phase=2)
    later = shown(house, reader, round_id)
    with pytest.raises(StudyError, match="no answer to correct yet"):
        reading.revise(house.db, reader, later.code, realism(), just_now(), phase=2)


def test_one_reader_s_second_part_closes_nobody_else_s_first(house: Hospital) -> None:
    _study, round_id = open_one(house)
    fast, slow = house.readers[:2]
    read(house, fast, round_id, CASES + 1)
    (case,) = read(house, slow, round_id, 1)
    assert reading.revise(house.db, slow, case.code, heart("AF"), just_now())


# ---- the protocol and the wash-out ----


def test_the_protocol_freezes_at_the_first_answer_of_the_first_part(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    assert study(house.db, house.coordinator, study_id).frozen_at is None
    (case,) = read(house, house.readers[0], round_id, 1)
    frozen = study(house.db, house.coordinator, study_id)
    assert case.phase == 1
    assert frozen.frozen_at is not None
    with pytest.raises(StudyError, match="froze at the first judgement"):
        edit_protocol(house.db, house.coordinator, study_id, Protocol(question_order=PURPOSE_BLIND, margin=0.2))
    read(house, house.readers[0], round_id, 2 * CASES - 1)
    assert study(house.db, house.coordinator, study_id).frozen_at == frozen.frozen_at
    with house.db.read() as session:
        assert {row.protocol_hash for row in judgements.of_study(session, study_id)} == {frozen.protocol_hash}
        assert frozen.protocol_hash == Protocol(question_order=PURPOSE_BLIND).hash()
        assert audit.count(session, action="protocol frozen", subject=f"study {study_id}") == 1
        audit.verify(session)


def test_the_number_of_parts_cannot_change_once_a_round_is_open(house: Hospital) -> None:
    study_id, _round = open_one(house)
    with pytest.raises(StudyError, match="question_order: rounds are open already"):
        edit_protocol(house.db, house.coordinator, study_id, Protocol(question_order=REALISM_FIRST))


def test_the_washout_counts_both_parts(house: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id, first = open_one(house)
    done, halfway = house.readers[:2]
    read(house, done, first, 2 * CASES)
    read(house, halfway, first, CASES)
    with house.db.read() as session:
        at = judgements.last_in_study(session, study_id)
    assert at is not None
    later = at + timedelta(days=21)
    for name, module in list(sys.modules.items()):  # every module of the study room that asks for the time
        if name.startswith("study.") and getattr(module, "now", None) is tables.now:
            monkeypatch.setattr(module, "now", lambda: later)
    second = open_round(house.db, house.coordinator, study_id, house.plan(seed=6), Drawer(), gate=open_gate)
    assert shown(house, done, second).phase == 1
    with pytest.raises(StudyError, match="if you have read the earlier rounds"):  # the first part alone is not the round
        reading.next_case(house.db, halfway, second)
    read(house, halfway, first, CASES)
    starts_at = {one.round_id: one.starts_at for one in reading.rounds_to_read(house.db, halfway)}[second]
    assert starts_at == later + timedelta(days=14)
    with pytest.raises(StudyError, match="starts for you on"):
        reading.next_case(house.db, halfway, second)


# ---- what is made of it ----


@pytest.fixture(scope="module")
def read_through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hospital, int]]:
    """A study that four readers have read: their qualities, rhythms and calls differ from case to case, and some were corrected."""
    database = Database(new_url(tmp_path_factory.mktemp("phases")))
    database.migrate()
    house = hospital(database)
    study_id, round_id = open_one(house)
    for number, reader in enumerate(house.readers):
        for i in range(CASES):
            case = shown(house, reader, round_id)
            reading.submit(house.db, reader, case.code, heart(("NSR", "AF")[i % 2], QUALITY_ANSWERS[i % 3]), just_now())
            if i == 2:
                reading.revise(house.db, reader, case.code, heart("unsure", "poor"), just_now())
        for i in range(CASES):
            case = shown(house, reader, round_id)
            reading.submit(house.db, reader, case.code, realism(1 + (i + number) % 6, cues=[CUES[i % 3]]), just_now(), phase=2)
            if i == 4:
                reading.revise(house.db, reader, case.code, realism(6, marks=[Mark("II", 0, 400)]), just_now(), phase=2)
    end(house, study_id)
    yield house, study_id
    database.close()


def test_latest_rows_hold_a_whole_answer(read_through: tuple[Hospital, int]) -> None:
    house, study_id = read_through
    data = data_of(house, study_id)
    table = judgement_table(data)
    assert len(table) == len(data.judgements) == 4 * (2 * CASES + 2)
    latest = table[table["latest"]]
    assert len(latest) == 4 * CASES
    assert set(latest["phase"]) == {2}
    assert not latest.duplicated(["reader", "case"]).any()
    for _, row in latest.iterrows():
        assert row["realism"] in range(1, 7)
        assert row["called_synthetic"] is (row["realism"] > 3)
        assert row["quality"] in QUALITY_ANSWERS
        assert row["rhythm"] in ("NSR", "AF", "unsure")
        assert all(row[item] == "plausible" for item in MORPHOLOGY_ITEMS)
    newest = {(row.case_id, row.reader_id): row for row in data.judgements if row.phase == 1}  # the last revision wins
    codes = {case.id: case.code for case in data.cases}
    said = sorted((codes[case_id], row.rhythm, row.quality) for (case_id, _reader), row in newest.items())
    assert sorted(zip(latest["case"], latest["rhythm"], latest["quality"], strict=True)) == said


def test_rows_of_the_first_part_are_never_latest_and_say_nothing_of_realism(read_through: tuple[Hospital, int]) -> None:
    house, study_id = read_through
    table = judgement_table(data_of(house, study_id))
    first = table[table["phase"] == 1]
    assert len(first) == 4 * (CASES + 1)
    assert not first["latest"].any()
    assert first["realism"].isna().all()
    assert first["called_synthetic"].isna().all()
    assert all(cues == [] and marks == [] for cues, marks in zip(first["cues"], first["marks"], strict=True))
    assert {(revision, rhythm) for revision, rhythm in zip(first["revision"], first["rhythm"], strict=True)} == {(1, "NSR"), (1, "AF"), (2, "unsure")}


def test_corrections_of_the_second_part_count_once(read_through: tuple[Hospital, int]) -> None:
    house, study_id = read_through
    table = judgement_table(data_of(house, study_id))
    corrected = table[(table["phase"] == 2) & (table["position"] == CASES + 5)]
    assert list(corrected["revision"]) == [1, 2] * 4
    assert list(corrected["latest"]) == [False, True] * 4
    assert {row["realism"] for _, row in corrected[corrected["latest"]].iterrows()} == {6}
    assert all(marks == [{"lead": "II", "from_ms": 0, "to_ms": 400}] for marks in corrected[corrected["latest"]]["marks"])


def test_results_count_each_case_once(read_through: tuple[Hospital, int]) -> None:
    house, study_id = read_through
    found = results(house.db, house.coordinator, study_id)
    assert list(found.readers["readings"]) == [CASES] * 4
    everybody = found.realism[(found.realism["group"] == "all") & (found.realism["rhythm"] == "all") & (found.realism["figure"] == "accuracy")]
    table = judgement_table(data_of(house, study_id))
    latest = table[table["latest"]]
    right = (latest["called_synthetic"].astype(bool) == (latest["arm"] == "synthetic")).mean()
    assert everybody["value"].iloc[0] == pytest.approx(right)
    assert everybody["n"].iloc[0] == 4 * CASES


def test_a_round_read_through_is_not_said_to_have_ended_early(read_through: tuple[Hospital, int]) -> None:
    house, study_id = read_through
    assert not any("ended early" in note for note in results(house.db, house.coordinator, study_id).notes)


def test_the_bundle_tells_both_parts_and_answers_as_they_were_given(read_through: tuple[Hospital, int]) -> None:
    house, study_id = read_through
    with house.db.read() as session:
        data, snapshot = snapshots.study_data(session, study_id), snapshots.stored(session, study_id)
        files = bundle_files(data, export.provenance(session, study_id), strips.samples(session, data.sha256), snapshot)
    assert verify.verify(files)["judgements"] == 4 * (2 * CASES + 2)
    rows = list(csv.DictReader(io.StringIO(files["judgements.csv"].decode())))
    assert len(rows) == 4 * (2 * CASES + 2)
    assert {(row["phase"], row["realism"] == "") for row in rows} == {("1", True), ("2", False)}
    assert {row["realism"] for row in rows if row["phase"] == "2"} == {"1", "2", "3", "4", "5", "6"}
    assert len(list(csv.DictReader(io.StringIO(files["placements.csv"].decode())))) == 4 * 2 * CASES


# ---- ended early ----


@pytest.mark.parametrize("read_of_each", [(5, 5, 5, 5), (CASES, CASES, 3, 0), (1, 0, 0, 0)])
def test_a_study_ended_in_the_first_part_has_no_latest_rows(house: Hospital, read_of_each: tuple[int, ...]) -> None:
    study_id, round_id = open_one(house)
    for reader, n in zip(house.readers, read_of_each, strict=True):
        read(house, reader, round_id, n)
    end(house, study_id)
    table = judgement_table(data_of(house, study_id))
    assert len(table) == sum(read_of_each)
    assert not table["latest"].any()


def test_a_study_ended_halfway_has_latest_rows_for_the_cases_of_the_second_part_alone(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    wholly, partly, hardly, never = house.readers
    read(house, wholly, round_id, 2 * CASES)
    second = {case.code for case in read(house, partly, round_id, CASES + 4) if case.phase == 2}
    read(house, hardly, round_id, 7)
    end(house, study_id)
    table = judgement_table(data_of(house, study_id))
    latest = table[table["latest"]]
    assert sorted(latest.groupby("reader").size()) == [4, CASES]
    few = latest.groupby("reader").filter(lambda rows: len(rows) == 4)
    assert set(few["case"]) == second
    found = results(house.db, house.coordinator, study_id)
    assert sorted(found.readers["readings"]) == [0, 0, 4, CASES]
    assert never.id in house.reader_ids


def test_results_of_a_study_ended_in_the_first_part_say_that_nothing_was_scored(house: Hospital) -> None:
    study_id, round_id = open_one(house)
    read(house, house.readers[0], round_id, 5)
    end(house, study_id)
    found = results(house.db, house.coordinator, study_id)
    assert list(found.readers["readings"]) == [0, 0, 0, 0]
    assert any("ended early" in note for note in found.notes)


# ---- signing ----


def test_a_round_is_signed_after_both_parts(house: Hospital) -> None:
    _study, round_id = open_one(house)
    reader = Person(**{**asdict(house.readers[0]), "demo": True})  # signs without a password
    read(house, reader, round_id, CASES)
    with pytest.raises(StudyError, match="cases without your answer"):
        signing.sign(house.db, reader, round_id, "")
    read(house, reader, round_id, CASES)
    assert signing.sign(house.db, reader, round_id, "")
    given_answers = signing.answers_of_round(house.db, reader, round_id)
    assert [(one.position, one.phase) for one in given_answers] == [(i, 1 if i <= CASES else 2) for i in range(1, 2 * CASES + 1)]
    assert given_answers[0].answer == heart()
    assert given_answers[-1].answer == realism()
