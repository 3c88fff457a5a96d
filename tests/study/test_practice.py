from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from typing import Any

import pytest
from sqlalchemy import func, select

from generator.strip import as_shown, from_bytes
from storage import export, judgements, strips, truth
from storage import studies as stored
from storage.database import Database
from storage.errors import StorageError
from storage.tables import Judgement, PracticeAnswer, now
from study import practice, reading, unblinding
from study.errors import NotAllowed, StudyError
from study.notices import STAND_INS
from study.people import Person
from study.practice import PracticeProgress
from study.protocol import PURPOSE_BLIND, Protocol
from study.reading import RoundProgress
from study.results import as_json, results
from study.studies import create_study, study
from tests import ending
from tests.study.hospital import answer, just_now
from tests.study.practising import Practice, open_practice
from tests.world import GOOD_ANSWER, World, make


@pytest.fixture
def world(db: Database) -> World:
    return make(db)


def with_practice(world: World, pass_mark: float | None = None) -> Practice:
    readers = [world.people["reader"], world.people["other"]]
    return open_practice(world.db, world.study_id, world.people["coordinator"], readers, pass_mark=pass_mark)


def progress(world: World, of: Practice, reader: Person) -> PracticeProgress:
    return practice.progress(world.db, reader, of.round_id)


def round_of(world: World, reader: Person) -> RoundProgress:
    (only,) = reading.rounds_to_read(world.db, reader)
    return only


def answers_kept(db: Database) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(PracticeAnswer)) or 0


# ---- before the rounds ----


def test_without_practice_rounds_are_open_at_once(world: World) -> None:
    reader = world.people["reader"]
    assert practice.to_practise(world.db, reader) == []
    assert (round_of(world, reader).open, round_of(world, reader).practice_first) == (True, False)


def test_practice_without_a_pass_mark_has_to_be_gone_through_before_rounds_open(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    case = world_case(world)
    for done in range(4):
        assert (progress(world, of, reader).done, progress(world, of, reader).passed) == (done, False)
        assert (round_of(world, reader).open, round_of(world, reader).practice_first) == (False, True)
        with pytest.raises(StudyError, match=r"begins with a short practice\. Go through it first"):
            reading.next_case(world.db, reader, world.round_id)
        with pytest.raises(StudyError, match="begins with a short practice"):
            reading.submit(world.db, reader, case, answer(), just_now())
        of.answer(reader, 1, right=False)
    assert (progress(world, of, reader).finished, progress(world, of, reader).passed, progress(world, of, reader).rhythm_right) == (True, True, 0)
    assert (round_of(world, reader).open, round_of(world, reader).practice_first) == (True, False)
    assert reading.next_case(world.db, reader, world.round_id) is not None
    other = world.people["other"]  # has not
    assert round_of(world, other).practice_first
    with pytest.raises(StudyError, match="practice"):
        reading.next_case(world.db, other, world.round_id)


def world_case(world: World) -> str:
    """The code that the reader will see first."""
    with world.db.read() as session:
        shown = judgements.next_shown(session, world.round_id, world.people["reader"].id)
    assert shown is not None
    return shown.code


@pytest.mark.parametrize(
    ("pass_mark", "right", "passed"), [(0.75, 2, False), (0.75, 3, True), (1.0, 3, False), (1.0, 4, True), (0.7, 3, True), (0.0, 0, True)]
)
def test_a_pass_mark_is_the_share_of_rhythms_named_right(world: World, pass_mark: float, right: int, passed: bool) -> None:
    reader, of = world.people["reader"], with_practice(world, pass_mark)
    of.go_through(reader, right=right)
    told = progress(world, of, reader)
    assert (told.rhythm_right, told.realism_right, told.pass_mark, told.finished, told.passed) == (right, 4, pass_mark, True, passed)
    assert round_of(world, reader).open is passed


def test_nobody_passes_before_the_last_case(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world, 0.25)
    for _ in range(3):
        of.answer(reader, 1, right=True)
    assert not progress(world, of, reader).passed
    assert round_of(world, reader).practice_first


def test_a_failed_attempt_is_repeated_and_the_answers_of_every_attempt_are_kept(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world, 0.75)
    of.go_through(reader, 1, right=1)
    assert practice.next_case(world.db, reader, of.round_id, 1) is None
    with pytest.raises(StudyError, match="Attempt 1 of this practice comes first"):
        practice.next_case(world.db, reader, of.round_id, 3)
    assert practice.next_case(world.db, reader, of.round_id, 2) is not None  # looking does not begin it
    assert progress(world, of, reader).attempt == 1
    of.answer(reader, 2, right=True)
    assert (progress(world, of, reader).attempt, progress(world, of, reader).done, progress(world, of, reader).passed) == (2, 1, False)
    with pytest.raises(StudyError, match="Attempt 2 of this practice"):
        practice.next_case(world.db, reader, of.round_id, 1)
    assert round_of(world, reader).practice_first
    for _ in range(3):
        of.answer(reader, 2, right=True)
    assert progress(world, of, reader).passed
    assert round_of(world, reader).open
    with world.db.read() as session:
        rows = session.execute(select(PracticeAnswer.attempt, PracticeAnswer.answer).order_by(PracticeAnswer.id)).all()
    assert [row.attempt for row in rows] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert [row.answer["rhythm"] == "unsure" for row in rows] == [False, True, True, True, False, False, False, False]


def test_who_has_passed_may_practise_again_and_stays_passed(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world, 1.0)
    of.go_through(reader, 1, right=4)
    of.go_through(reader, 2, right=0)
    assert not progress(world, of, reader).passed
    assert round_of(world, reader).open
    assert reading.next_case(world.db, reader, world.round_id) is not None


def test_every_reader_practises_for_themselves(world: World) -> None:
    of = with_practice(world)
    reader, other = world.people["reader"], world.people["other"]
    first = practice.next_case(world.db, other, of.round_id, 1)
    of.go_through(reader)
    assert (progress(world, of, other).done, progress(world, of, reader).done) == (0, 4)
    assert practice.next_case(world.db, other, of.round_id, 1).code == first.code  # type: ignore[union-attr]
    assert practice.last_lesson(world.db, other, of.round_id, 1) is None


def test_readers_find_their_practice_in_the_list(world: World) -> None:
    of = with_practice(world, 0.5)
    (found,) = practice.to_practise(world.db, world.people["reader"])
    assert found == PracticeProgress(of.round_id, "Sinus rhythm and AF", 1, 0, 4, 0, 0, 0.5, STAND_INS)
    assert [one.round_id for one in reading.rounds_to_read(world.db, world.people["reader"])] == [world.round_id]


# ---- lessons ----


def test_the_truth_is_told_only_after_the_answer(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    assert practice.last_lesson(world.db, reader, of.round_id, 1) is None
    for position in range(1, 5):
        case = practice.next_case(world.db, reader, of.round_id, 1)
        assert case is not None
        assert (case.position, case.total, case.attempt, case.notice, case.study_title) == (position, 4, 1, STAND_INS, "Sinus rhythm and AF")
        before = practice.last_lesson(world.db, reader, of.round_id, 1)
        assert before is None or before.case.code != case.code
        assert not {"arm", "rhythm", "role"} & set(asdict(case))
        said = answer(3 + position % 2, comment=f"case {position}")
        assert practice.submit(world.db, reader, case.code, of.round_id, 1, said)
        lesson = practice.last_lesson(world.db, reader, of.round_id, 1)
        assert lesson is not None
        assert (lesson.case.code, lesson.case.position, lesson.answer) == (case.code, position, said)
        assert (lesson.arm, lesson.rhythm) == of.truth[case.code]
        assert (lesson.case.counts == case.counts).all()


def test_a_lesson_names_the_strip_that_was_shown(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    case = of.answer(reader, 1, right=True)
    with world.db.read() as session:
        by_code = {row.code: row.strip_id for row in stored.cases(session, world.study_id, practice=True)}
        samples = strips.samples(session, [by_code[case.code]])[by_code[case.code]]
    assert (case.counts == as_shown(from_bytes(samples))).all()


def test_cases_look_alike_but_for_their_samples(world: World) -> None:
    """Nothing that the page gets for one case differs from another's in kind or length, whatever its arm."""
    reader, of = world.people["reader"], with_practice(world)
    shapes = set()
    for _ in range(4):
        case = of.answer(reader, 1, right=True)
        shapes.add((len(case.code), case.round_id, case.total, case.attempt, case.counts.shape, case.counts.dtype, case.notice, case.study_title))
    assert len(shapes) == 1


# ---- answers ----


def test_a_second_click_stores_once(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    for done in range(1, 5):
        case = of.answer(reader, 1, right=True)
        assert not practice.submit(world.db, reader, case.code, of.round_id, 1, answer(6))
        assert answers_kept(world.db) == done
    lesson = practice.last_lesson(world.db, reader, of.round_id, 1)
    assert lesson is not None
    assert lesson.answer.realism != 6
    assert progress(world, of, reader).attempt == 1  # the second click on the last case began no new attempt


def test_four_clicks_at_once_store_one_answer(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    case = practice.next_case(world.db, reader, of.round_id, 1)
    assert case is not None
    code, stored_ones, start = case.code, [], threading.Barrier(4)

    def click() -> None:
        start.wait()
        stored_ones.append(practice.submit(world.db, reader, code, of.round_id, 1, answer()))

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored_ones) == [False, False, False, True]
    assert answers_kept(world.db) == 1


def test_only_the_case_that_is_shown_can_be_answered(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    case = practice.next_case(world.db, reader, of.round_id, 1)
    assert case is not None
    (later, *_rest) = set(of.truth) - {case.code}
    for code in (later, world_case(world), "no code at all"):
        with pytest.raises(StudyError, match="Reload the page"):
            practice.submit(world.db, reader, code, of.round_id, 1, answer())
    assert answers_kept(world.db) == 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"realism": None}, "realism"),
        ({"rhythm": "VT"}, "rhythm"),
        ({"morphology": {}}, "morphology"),
        ({"quality": "good"}, "quality"),
        ({"cues": ["x"]}, "cues"),
    ],
)
def test_an_answer_that_will_not_do_names_its_field_and_stores_nothing(world: World, changes: dict[str, Any], named: str) -> None:
    reader, of = world.people["reader"], with_practice(world)
    case = practice.next_case(world.db, reader, of.round_id, 1)
    assert case is not None
    with pytest.raises(StudyError, match=f"^{named}"):
        practice.submit(world.db, reader, case.code, of.round_id, 1, replace(answer(), **changes))
    assert answers_kept(world.db) == 0


@pytest.mark.parametrize("attempt", [-1, 0, 2, 99])
def test_an_attempt_out_of_turn_is_refused(world: World, attempt: int) -> None:
    reader, of = world.people["reader"], with_practice(world)
    with pytest.raises(StudyError, match="Attempt 1 of this practice comes first"):
        practice.next_case(world.db, reader, of.round_id, attempt)
    with pytest.raises(StudyError, match="Attempt 1"):
        practice.submit(world.db, reader, next(iter(of.truth)), of.round_id, attempt, answer())
    assert answers_kept(world.db) == 0


def test_the_practice_of_a_purpose_blind_study_does_not_tell_its_purpose(db: Database) -> None:
    world = make(db, question_order=PURPOSE_BLIND)
    reader, of = world.people["reader"], with_practice(world)
    case = practice.next_case(db, reader, of.round_id, 1)
    assert case is not None
    assert case.questions == ("quality", "rhythm", "morphology")
    with pytest.raises(StudyError, match="realism: this is not asked now"):
        practice.submit(db, reader, case.code, of.round_id, 1, GOOD_ANSWER)
    heart = replace(GOOD_ANSWER, realism=None, quality="good")
    while (case := practice.next_case(db, reader, of.round_id, 1)) is not None:
        practice.submit(db, reader, case.code, of.round_id, 1, heart)
        lesson = practice.last_lesson(db, reader, of.round_id, 1)
        assert lesson is not None
        assert (lesson.arm, lesson.rhythm in ("NSR", "AF")) == (None, True)
    assert practice.progress(db, reader, of.round_id).realism_right is None
    assert round_of(world, reader).open


# ---- who may ----


def test_who_has_no_place_in_a_practice_gets_nothing_of_it(world: World) -> None:
    of = open_practice(world.db, world.study_id, world.people["coordinator"], [world.people["reader"]])
    stranger = world.people["other"]
    code = next(iter(of.truth))
    assert practice.to_practise(world.db, stranger) == []
    for ask in (
        lambda: practice.progress(world.db, stranger, of.round_id),
        lambda: practice.next_case(world.db, stranger, of.round_id, 1),
        lambda: practice.last_lesson(world.db, stranger, of.round_id, 1),
        lambda: practice.submit(world.db, stranger, code, of.round_id, 1, answer()),
    ):
        with pytest.raises(StudyError, match=r"not among yours\. Go back to your list of rounds"):
            ask()
    assert not round_of(world, stranger).practice_first  # nobody is kept out by a practice that is not theirs
    for role in ("coordinator", "researcher"):
        person = world.people[role]
        with pytest.raises(NotAllowed):
            practice.to_practise(world.db, person)
        with pytest.raises(NotAllowed):
            practice.last_lesson(world.db, person, of.round_id, 1)
        with pytest.raises(NotAllowed):
            practice.submit(world.db, person, code, of.round_id, 1, answer())
    with pytest.raises(StorageError, match="no round"):
        practice.progress(world.db, stranger, 999)


def test_a_round_is_no_practice_and_a_practice_no_round(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    with pytest.raises(StudyError, match="This practice is not among yours"):
        practice.next_case(world.db, reader, world.round_id, 1)
    with pytest.raises(StudyError, match="This practice is not among yours"):
        practice.last_lesson(world.db, reader, world.round_id, 1)
    of.go_through(reader)
    with pytest.raises(StudyError, match="This round is not among yours"):
        reading.next_case(world.db, reader, of.round_id)
    with pytest.raises(StudyError, match="This round is not among yours"):
        reading.case_again(world.db, reader, of.round_id, 1)
    for send in (reading.submit, reading.revise):
        with pytest.raises(StudyError, match="This round is not among yours"):
            send(world.db, reader, next(iter(of.truth)), answer(), just_now())
    with world.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Judgement)) == 0


def test_after_unblinding_practice_is_closed(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    of.go_through(reader)
    read_one_and_unblind(world)
    assert practice.to_practise(world.db, reader) == []
    with pytest.raises(StudyError, match="was unblinded: its practice is closed"):
        practice.next_case(world.db, reader, of.round_id, 2)
    with pytest.raises(StudyError, match="unblinded"):
        practice.submit(world.db, reader, next(iter(of.truth)), of.round_id, 2, answer())


def read_one_and_unblind(world: World) -> None:
    reader = world.people["reader"]
    case = reading.next_case(world.db, reader, world.round_id)
    assert case is not None
    assert reading.submit(world.db, reader, case.code, answer(), just_now())
    ending.end(world.db, world.people["coordinator"], world.people["researcher"], world.study_id)


# ---- apart from the study ----


def test_practice_is_no_progress_and_freezes_nothing(world: World) -> None:
    coordinator = world.people["coordinator"]
    before = study(world.db, coordinator, world.study_id)
    reader, of = world.people["reader"], with_practice(world)
    of.go_through(reader)
    after = study(world.db, coordinator, world.study_id)
    assert (after.state, after.rounds, after.readers) == (before.state, before.rounds, before.readers)
    assert (after.frozen_at, [one.done for one in after.readers], [one.total for one in after.readers]) == (None, [0, 0], [6, 6])
    with world.db.read() as session:
        for told in (stored.progress(session, world.study_id), stored.progress_of_reader(session, reader.id)):
            assert of.round_id not in {one.round_id for one in told}
        assert judgements.last_in_study(session, world.study_id) is None
        assert [one.number for one in stored.rounds(session, world.study_id)] == [1]
    with pytest.raises(StudyError, match="no judgement yet"):
        unblinding.ask(world.db, coordinator, world.study_id, "only a test")


def test_practice_left_undone_or_just_done_starts_no_washout(world: World) -> None:
    reader, of = world.people["reader"], with_practice(world)
    waiting = round_of(world, reader).starts_at
    of.go_through(reader)
    assert round_of(world, reader).starts_at == waiting <= now()


def practice_left_out(world: World, of: Practice) -> export.StudyData:
    of.go_through(world.people["reader"], right=0)
    read_one_and_unblind(world)
    with world.db.read() as session:
        return export.study_data(session, world.study_id)


def test_no_practice_case_place_or_answer_is_in_a_study_s_data(world: World) -> None:
    of = with_practice(world)
    data = practice_left_out(world, of)
    assert [opened.number for opened in data.rounds] == [1]
    assert len(data.cases) == 6
    assert {case.role for case in data.cases} == {"scored"}
    assert not set(of.strip_ids) & {case.strip_id for case in data.cases}
    assert len(data.placements) == 12
    assert len(data.judgements) == 1


def test_no_practice_strip_is_in_a_study_s_data(world: World) -> None:
    of = with_practice(world)
    data = practice_left_out(world, of)
    assert not set(of.strip_ids) & set(data.sha256)
    with world.db.read() as session:
        origin = export.provenance(session, world.study_id)
    assert not set(of.strip_ids) & ({row.strip_id for row in origin.recordings} | {row.strip_id for row in origin.drawings})


def test_the_arms_of_a_study_are_those_of_its_rounds(world: World) -> None:
    of = with_practice(world)
    data = practice_left_out(world, of)
    assert set(data.arms) == set(data.sha256) == {case.strip_id for case in data.cases}


def test_nothing_of_practice_is_in_results(world: World) -> None:
    of = with_practice(world)
    practice_left_out(world, of)
    with_it = results(world.db, world.people["coordinator"], world.study_id)
    assert sorted(with_it.readers["readings"]) == [0, 1]
    assert "11 of 12 cases" in " ".join(with_it.notes)
    text = json.dumps(as_json(with_it))
    assert not any(code in text for code in of.truth)


def test_the_strips_of_a_practice_are_offered_to_no_study(world: World) -> None:
    coordinator = world.people["coordinator"]
    another = create_study(world.db, coordinator, "Another", Protocol(), [])
    with world.db.write() as session:
        new = strips.NewRecording(b"\1\0" * 8000, "NSR", "simulator", "same patient", "patient of practice 900", 100.0, stand_in=True)
        of_same_patient = strips.add_recording(session, new)
    of = with_practice(world)
    for study_id in (world.study_id, another):
        with world.db.read() as session:
            offered = {one.strip_id: one for one in truth.arms_for_opening(session, study_id, stand_ins=True)}
        assert not set(of.strip_ids) & set(offered)
        assert offered[of_same_patient].patient_used  # type: ignore[index]
    with world.db.read() as session:
        assert len(truth.arms_for_opening(session, another, stand_ins=True)) == 3 + 1  # what the other study's round shows may be shown again
