from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from sqlalchemy import select

from storage import audit
from storage import people as stored_people
from storage import studies as stored
from storage.database import Database
from storage.errors import StorageError
from storage.tables import AuditEntry
from study import reading
from study.allocation import RHYTHMS, draw_seed, gate_seed
from study.amendments import edit_protocol
from study.answers import Answer
from study.errors import NotAllowed, StudyError
from study.people import person_by_id
from study.protocol import PURPOSE_BLIND, REALISM_LAST, Protocol
from study.rounds import open_round
from study.studies import add_readers, create_study, studies, study
from tests.study.hospital import PLAUSIBLE, Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def test_a_study_is_as_it_was_set_up(house: Hospital) -> None:
    protocol = Protocol(margin=0.15, question_order=PURPOSE_BLIND)
    study_id = create_study(house.db, house.coordinator, "  Sinus rhythm   and AF ", protocol, house.reader_ids)
    detail = study(house.db, house.admin, study_id)
    assert (detail.title, detail.protocol, detail.protocol_hash) == ("Sinus rhythm and AF", protocol, protocol.hash())
    assert (detail.state, detail.demo, detail.frozen_at, detail.created_by, detail.rounds) == ("set up", False, None, "Cora", [])
    assert [(reader.name, reader.site, reader.total) for reader in detail.readers] == [
        ("Ada", "North", 0),
        ("Ben", "North", 0),
        ("Cai", "South", 0),
        ("Dot", "South", 0),
    ]
    (summary,) = studies(house.db, house.admin)
    assert (summary.id, summary.state, summary.sites, summary.readers) == (study_id, "set up", ["North", "South"], 4)
    with house.db.read() as session:
        assert audit.verify(session) >= 1


def test_readers_and_researchers_may_not_set_up_a_study(house: Hospital) -> None:
    for person in (house.readers[0], house.researcher):
        with pytest.raises(NotAllowed):
            create_study(house.db, person, "Mine", Protocol(), [])
    with pytest.raises(NotAllowed):
        studies(house.db, house.readers[0])


@pytest.mark.parametrize("title", ["", "   ", "x" * 201, "two\0lines"])
def test_a_title_that_will_not_do_is_refused(house: Hospital, title: str) -> None:
    with pytest.raises(StudyError, match="title"):
        create_study(house.db, house.coordinator, title, Protocol(), [])


def test_a_title_is_taken_once(house: Hospital) -> None:
    create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), [])
    with pytest.raises(StorageError, match="another title"):
        create_study(house.db, house.coordinator, "sinus RHYTHM", Protocol(), [])


def test_only_readers_can_be_readers(house: Hospital) -> None:
    for stranger in (house.coordinator.id, house.researcher.id, 999):
        with pytest.raises(StudyError, match="readers"):
            create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), [house.readers[0].id, stranger])
    assert studies(house.db, house.coordinator) == []


def test_the_protocol_changes_until_the_first_scored_judgement(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids)
    edit_protocol(house.db, house.coordinator, study_id, Protocol(margin=0.2))
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    edit_protocol(house.db, house.coordinator, study_id, Protocol(margin=0.12))
    reader = house.readers[0]
    case = reading.next_case(house.db, reader, round_id)
    assert case is not None
    assert reading.submit(house.db, reader, case.code, answer(), just_now())
    assert study(house.db, house.coordinator, study_id).frozen_at is not None
    with pytest.raises(StudyError, match="froze"):
        edit_protocol(house.db, house.coordinator, study_id, Protocol())
    assert study(house.db, house.coordinator, study_id).protocol == Protocol(margin=0.12)


def test_a_reader_who_comes_later_reads_the_same_cases_in_an_order_of_their_own(house: Hospital) -> None:
    add_recordings(house.db, 12)
    early, late = house.readers[:2], house.readers[2:]
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), [reader.id for reader in early])
    open_round(house.db, house.coordinator, study_id, house.plan(cases=24, repeat_share=0.1), Drawer(), gate=open_gate)
    with house.db.read() as session:
        before = stored.placements(session, study_id)
    add_readers(house.db, house.coordinator, study_id, house.reader_ids)
    with house.db.read() as session:
        after = stored.placements(session, study_id)
    assert [one for one in after if one.reader_id in {reader.id for reader in early}] == before
    orders = [[one.case_id for one in after if one.reader_id == reader.id] for reader in [*early, *late]]
    assert len({tuple(order) for order in orders}) == 4
    assert len({frozenset(order) for order in orders}) == 1


def test_progress_counts_both_parts_of_a_purpose_blind_round(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(question_order=PURPOSE_BLIND), house.reader_ids[:1])
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    (reader,) = study(house.db, house.coordinator, study_id).readers
    assert (reader.done, reader.total, reader.rounds, reader.signed) == (0, 24, 1, 0)
    case = reading.next_case(house.db, house.readers[0], round_id)
    assert case is not None
    assert reading.submit(house.db, house.readers[0], case.code, Answer(rhythm="NSR", morphology=PLAUSIBLE, quality="good"), just_now())
    detail = study(house.db, house.coordinator, study_id)
    assert (detail.readers[0].done, detail.rounds[0].readers[0].done, detail.closed) == (1, 1, False)


def test_the_number_of_parts_stands_once_a_round_is_open(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(question_order=REALISM_LAST), house.reader_ids)
    edit_protocol(house.db, house.coordinator, study_id, Protocol(question_order=PURPOSE_BLIND))
    open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=open_gate)
    with pytest.raises(StudyError, match="question_order: rounds are open already"):
        edit_protocol(house.db, house.coordinator, study_id, Protocol())


def test_what_coordinators_see_tells_neither_seeds_nor_arms(house: Hospital) -> None:
    add_recordings(house.db, 6)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids)
    gate = lambda real, synthetic, seed: {**open_gate(real, synthetic, seed), "seed": seed, "seeds": [seed]}  # noqa: E731
    open_round(house.db, house.coordinator, study_id, house.plan(seed=760_713_662), Drawer(), gate=gate)
    seen = study(house.db, house.coordinator, study_id)
    told = json.dumps(asdict(seen), default=str)
    for telling in (760_713_662, *(draw_seed(760_713_662, rhythm) for rhythm in RHYTHMS), gate_seed(760_713_662)):
        assert str(telling) not in told
    (opened,) = seen.rounds
    assert not {"seed", "seeds"} & {*opened.plan, *opened.leak}
    assert opened.plan["achieved"]["scored"] == {"real NSR": 3, "real AF": 3, "synthetic NSR": 3, "synthetic AF": 3}
    assert (opened.cases, opened.number, opened.opened_by) == (12, 1, "Cora")
    with house.db.read() as session:
        details = json.dumps(list(session.scalars(select(AuditEntry.detail))))
    for name in ('"seed"', '"seeds"', "760713662", *(str(draw_seed(760_713_662, rhythm)) for rhythm in RHYTHMS)):
        assert name not in details


def test_the_demo_and_the_real_world_stay_apart(db: Database) -> None:
    demo = hospital(db, demo=True)
    study_id = create_study(db, demo.coordinator, "Demo", Protocol(), demo.reader_ids)
    with db.write() as session:
        real_id = stored_people.add(session, stored_people.NewPerson("real", "Real", "admin", None), password_hash=None)
    real = person_by_id(db, real_id)
    assert real is not None
    own = create_study(db, real, "Own", Protocol(), [])
    assert study(db, demo.coordinator, study_id).demo
    assert study(db, real, study_id).demo
    assert [one.title for one in studies(db, demo.coordinator)] == ["Demo"]
    with pytest.raises(NotAllowed, match="demo"):
        study(db, demo.coordinator, own)
    with pytest.raises(NotAllowed, match="demo"):
        edit_protocol(db, real, study_id, Protocol(margin=0.2))
    with pytest.raises(StudyError, match="readers"):
        add_readers(db, real, own, demo.reader_ids)
