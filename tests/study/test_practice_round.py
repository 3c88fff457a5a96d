"""Opening a study's practice: what it shows, that nothing else ever shows it, and what it refuses."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from generator.errors import GeneratorError
from storage import export, truth
from storage import jobs as stored_jobs
from storage import studies as stored
from storage.database import Database
from storage.tables import AuditEntry, Drawing, PracticeCase, ReadingCase, Rejection, Round, Strip
from study import jobs, practice, reading, work
from study.errors import NotAllowed, StudyError
from study.practice_round import NO_GATE, PracticePlan, check_practice, open_practice
from study.protocol import PURPOSE_BLIND, Protocol
from study.rounds import open_round
from study.studies import add_readers, create_study, study
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate


@pytest.fixture
def house(db: Database) -> Hospital:
    house = hospital(db)
    add_recordings(db, 20)
    return house


def new_study(house: Hospital, title: str = "Sinus rhythm", **protocol: Any) -> int:
    return create_study(house.db, house.coordinator, title, Protocol(**protocol), house.reader_ids)


def practise(house: Hospital, round_id: int, reader: int = 0) -> None:
    while case := practice.next_case(house.db, house.readers[reader], round_id, 1):
        practice.submit(house.db, house.readers[reader], case.code, round_id, 1, answer())


def shown(house: Hospital, round_id: int) -> set[int]:
    with house.db.read() as session:
        return set(session.scalars(select(ReadingCase.strip_id).where(ReadingCase.round_id == round_id)))


def test_half_is_real_and_both_rhythms_are_there(house: Hospital) -> None:
    study_id, drawer = new_study(house, question_order=PURPOSE_BLIND), Drawer(reject=frozenset({0}))
    round_id = open_practice(house.db, house.coordinator, study_id, PracticePlan(cases=8, pass_mark=0.75, seed=5), drawer)
    with house.db.read() as session:
        rows = session.execute(
            select(ReadingCase.role, PracticeCase.arm, Strip.rhythm)
            .join(PracticeCase, PracticeCase.case_id == ReadingCase.id)
            .join(Strip, Strip.id == ReadingCase.strip_id)
        ).all()
        opened = stored.practice_round(session, study_id)
        arms = {arm.strip_id: "real" for arm in truth.arms_for_opening(session, study_id, stand_ins=False)}
        drawn = session.scalars(select(Drawing.purpose)).all()
        rejected = session.scalars(select(Rejection.id)).all()
        audit = session.scalars(select(AuditEntry).where(AuditEntry.action == "practice opened")).one()
        assert stored.rounds(session, study_id) == []
    assert Counter(rows) == {("practice", arm, rhythm): 2 for arm in ("real", "synthetic") for rhythm in ("NSR", "AF")}
    assert not shown(house, round_id) & set(arms)
    assert set(drawn) == {"practice"}
    assert rejected
    assert opened is not None
    assert (opened.number, opened.practice, opened.plan["pass_mark"], opened.leak) == (0, True, 0.75, {"verdict": "not asked", "reason": NO_GATE})
    assert (audit.subject, audit.detail["round"]) == (f"study {study_id}", round_id)
    assert "seed" not in str(audit.detail)
    for reader in house.readers:
        found = practice.progress(house.db, reader, round_id)
        assert (found.done, found.total) == (0, 8)  # once, also in a study of two parts


def test_the_arm_told_is_the_arm_of_the_strip(house: Hospital) -> None:
    study_id = new_study(house)
    open_practice(house.db, house.coordinator, study_id, PracticePlan(seed=5), Drawer())
    with house.db.read() as session:
        told = dict(session.execute(select(ReadingCase.strip_id, PracticeCase.arm).join(PracticeCase, PracticeCase.case_id == ReadingCase.id)).all())
        drawn = set(session.scalars(select(Drawing.strip_id)))
    assert {strip_id for strip_id, arm in told.items() if arm == "synthetic"} == drawn
    assert Counter(told.values()) == {"real": 3, "synthetic": 3}


def test_what_practice_showed_no_round_shows_and_the_other_way_round(house: Hospital) -> None:
    first, second = new_study(house), new_study(house, "Another")
    read = open_round(house.db, house.coordinator, first, house.plan(cases=20, seed=5), Drawer(), gate=open_gate)
    practised = open_practice(house.db, house.coordinator, second, PracticePlan(cases=8, seed=5), Drawer())  # the round's seed, other strips
    assert not shown(house, read) & shown(house, practised)
    with house.db.read() as session:
        for study_id in (first, second):
            left = {strip.strip_id for strip in truth.arms_for_opening(session, study_id, stand_ins=False)}
            assert not left & shown(house, practised)
        everywhere = {strip.strip_id for strip in truth.arms_for_opening(session, second, stand_ins=False, nowhere_shown=True)}
    assert not everywhere & (shown(house, practised) | shown(house, read))
    later = open_round(house.db, house.coordinator, second, house.plan(cases=24, seed=6), Drawer(), gate=open_gate)
    assert not shown(house, later) & shown(house, practised)


def test_rounds_open_to_readers_who_have_practised_and_to_those_added_later_likewise(house: Hospital) -> None:
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:2])
    practised = open_practice(house.db, house.coordinator, study_id, PracticePlan(seed=5), Drawer())
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(seed=6), Drawer(), gate=open_gate)
    add_readers(house.db, house.coordinator, study_id, house.reader_ids)
    for reader in (0, 3):
        with pytest.raises(StudyError, match="practice"):
            reading.next_case(house.db, house.readers[reader], round_id)
        practise(house, practised, reader)
        assert reading.next_case(house.db, house.readers[reader], round_id) is not None
    detail = study(house.db, house.coordinator, study_id)
    assert detail.practice is not None
    assert [(one.name, one.attempt, one.done, one.total, one.passed) for one in detail.practice.readers] == [
        ("Ada", 1, 6, 6, True),
        ("Ben", 0, 0, 6, False),
        ("Cai", 0, 0, 6, False),
        ("Dot", 1, 6, 6, True),
    ]
    assert not {"seed", "seeds"} & set(detail.practice.plan)
    assert [opened.number for opened in detail.rounds] == [1]


def test_the_export_has_nothing_of_practice(house: Hospital) -> None:
    study_id = new_study(house)
    practised = open_practice(house.db, house.coordinator, study_id, PracticePlan(seed=5), Drawer())
    with house.db.write() as session:
        stored.change(session, study_id, unblinded_at=just_now())
    with house.db.read() as session:
        data, origin = export.study_data(session, study_id), export.provenance(session, study_id)
    assert (data.rounds, data.cases, data.placements, data.sha256) == ([], [], [], {})
    assert (origin.recordings, origin.drawings) == ([], [])
    assert shown(house, practised)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"cases": 5}, "cases: 5 will not do"),
        ({"cases": 2}, "cases"),
        ({"cases": 42}, "from 4 to 40"),
        ({"cases": True}, "cases"),
        ({"pass_mark": 0}, "pass_mark"),
        ({"pass_mark": 75}, "pass_mark: 75 is out of range"),
        ({"pass_mark": True}, "pass_mark"),
        ({"seed": -1}, "seed"),
        ({"steps": 0}, "steps"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(house: Hospital, plan: dict[str, Any], message: str) -> None:
    study_id, drawer = new_study(house), Drawer()
    with pytest.raises((StudyError, GeneratorError), match=message):
        check_practice(house.db, house.coordinator, study_id, PracticePlan(**plan))
    with pytest.raises((StudyError, GeneratorError), match=message):
        open_practice(house.db, house.coordinator, study_id, PracticePlan(**plan), drawer)
    assert drawer.asked == []


def test_one_practice_before_the_first_scored_judgement_by_whoever_opens_rounds(house: Hospital) -> None:
    study_id, other = new_study(house), new_study(house, "Another")
    for person in (house.readers[0], house.researcher):
        with pytest.raises(NotAllowed):
            open_practice(house.db, person, study_id, PracticePlan(), Drawer())
    assert check_practice(house.db, house.coordinator, study_id, PracticePlan()).number() == 6
    open_practice(house.db, house.admin, study_id, PracticePlan(), Drawer())
    with pytest.raises(StudyError, match="one a study"):
        check_practice(house.db, house.coordinator, study_id, PracticePlan())
    round_id = open_round(house.db, house.coordinator, other, house.plan(), Drawer(), gate=open_gate)
    case = reading.next_case(house.db, house.readers[0], round_id)
    assert case is not None
    reading.submit(house.db, house.readers[0], case.code, answer(), just_now())
    with pytest.raises(StudyError, match="before the first judgement"):
        open_practice(house.db, house.coordinator, other, PracticePlan(), Drawer())


def test_too_few_recordings_are_counted(db: Database) -> None:
    house = hospital(db)
    add_recordings(db, 1)
    study_id = new_study(house)
    with pytest.raises(StudyError, match="4 NSR needed, 1 there"):
        check_practice(db, house.coordinator, study_id, PracticePlan(cases=16))


def test_an_unknown_field_of_a_plan_is_refused() -> None:
    with pytest.raises(StudyError, match="gate"):
        PracticePlan.from_dict({"cases": 6, "gate": True})


def test_what_changed_meanwhile_is_noticed(house: Hospital) -> None:
    study_id = new_study(house)

    class Meanwhile(Drawer):
        def __call__(self, request: Any, *, first: int = 0) -> Any:
            if not self.asked:
                open_practice(house.db, house.coordinator, study_id, PracticePlan(seed=8), Drawer())
            return super().__call__(request, first=first)

    with pytest.raises(StudyError, match="one a study"):
        open_practice(house.db, house.coordinator, study_id, PracticePlan(seed=5), Meanwhile())
    with house.db.read() as session:
        assert len(session.scalars(select(Round.id)).all()) == 1
        assert len(session.scalars(select(Drawing.strip_id)).all()) == 3


def test_asked_for_as_work_it_is_opened_by_the_runner(house: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = new_study(house)
    job_id = jobs.ask(house.db, house.coordinator, "practice", {"study_id": study_id, "plan": PracticePlan(cases=4, seed=5).as_dict()})
    with pytest.raises(StudyError, match="cases"):
        jobs.ask(house.db, house.coordinator, "practice", {"study_id": study_id, "plan": {"cases": 5}})
    drawer = Drawer()
    monkeypatch.setattr(work, "_collected", lambda *_given: drawer)
    with house.db.write() as session:
        assert stored_jobs.claim(session, ["practice"]) is not None
    result = work.do(house.db, jobs.job(house.db, house.coordinator, job_id), work.Progress(house.db, job_id), None)  # type: ignore[arg-type]
    with house.db.read() as session:
        opened = stored.practice_round(session, study_id)
    assert opened is not None
    assert (result, opened.cases) == ({"round_id": opened.id}, 4)
