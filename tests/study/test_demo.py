from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom
from sqlalchemy import func, select

from storage import audit, judgements, truth
from storage import studies as stored
from storage.database import Database
from storage.people import NewPerson
from storage.people import add as add_person
from storage.tables import Base, Judgement, Recording, Round, Truth
from study import demo
from study.answers import checked
from study.demo import PLANTED, SITES, make_demo, simulated_answer
from study.errors import Cancelled, StudyError
from study.people import demo_people, person_by_username
from study.protocol import REALISM_FIRST, questions
from study.reading import next_case, rounds_to_read
from study.roles import Role
from study.studies import studies
from tests.study.hospital import Drawer, open_gate, shut_gate


def rows(db: Database) -> dict[str, int]:
    with db.read() as session:
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in Base.metadata.sorted_tables}


@dataclass
class Made:
    db: Database
    drawer: Drawer
    told: list[tuple[int, int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A finished demo, whose rounds opened although the gate said no; tests only look at it."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('demo') / 'demo.db'}")
    database.migrate()
    one = Made(database, Drawer(), [])
    assert make_demo(database, one.drawer, lambda *news: one.told.append(news), gate=shut_gate)
    yield one
    database.close()


def test_the_demo_has_everything_to_look_at(made: Made) -> None:
    db, drawer, told = made.db, made.drawer, made.told
    people = demo_people(db)
    assert Counter(person.role for person in people) == {Role.READER: 4, Role.COORDINATOR: 1, Role.RESEARCHER: 1}
    assert {person.site for person in people if person.role is Role.READER} == set(SITES)
    coordinator, reader = person_by_username(db, "demo-cora"), person_by_username(db, "demo-ada")
    assert coordinator is not None
    assert reader is not None
    found = {study.title: study for study in studies(db, coordinator)}
    assert all(study.demo and "demo" in study.title for study in found.values())
    assert {study.state for study in found.values()} == {"reading", "unblinded"}
    (to_read,) = rounds_to_read(db, reader)
    assert (to_read.done, to_read.total, to_read.open, to_read.demo) == (0, 16, True, True)
    case = next_case(db, reader, to_read.round_id)
    assert case is not None
    assert case.demo
    assert 30 <= sum(request.n - first for request, first in drawer.asked) <= 45
    dones = [done for done, _total, _doing in told]
    assert dones == sorted(dones)
    assert told[-1][:2] == (100, 100)
    with db.read() as session:
        audit.verify(session)
        assert {leak["verdict"] for leak in session.scalars(select(Round.leak))} == {"refuse"}  # told, not hidden
        assert session.scalar(select(func.count()).select_from(Judgement)) == 4 * 54
        assert session.scalars(select(Recording.collection).distinct()).all() == [demo.COLLECTION]
        assert set(session.execute(select(Truth.arm, Truth.stand_in)).all()) == {("real", True), ("synthetic", False)}


def test_the_pilot_s_answers_have_the_planted_rates(made: Made) -> None:
    with made.db.read() as session:
        study_id = next(study.id for study in stored.all_studies(session) if study.title == demo.ALREADY_READ)
        arms = truth.arms_after_unblinding(session, study_id)
        cases = {case.id: case for case in stored.cases(session, study_id)}
        given = judgements.of_study(session, study_id)
        readers = {reader.id: reader.name for reader in stored.readers(session, study_id)}
        assert stored.study(session, study_id).frozen_at is not None
    names = {name: username for username, name, *_rest in demo.PEOPLE}
    for reader_id, name in readers.items():
        skill = PLANTED[names[name]]
        for arm, right in (("synthetic", skill.sensitivity), ("real", skill.specificity)):
            own = [one for one in given if one.reader_id == reader_id and arms[cases[one.case_id].strip_id].arm == arm]
            n_right = sum(((one.realism or 0) >= 4) == (arm == "synthetic") for one in own)
            assert binom.ppf(0.0005, len(own), right) <= n_right <= binom.ppf(0.9995, len(own), right)
    assert all(1 < (one.submitted_at - one.shown_at).total_seconds() < 300 for one in given)


@pytest.mark.parametrize("username", sorted(PLANTED))
def test_a_simulated_reader_has_the_planted_skill(username: str) -> None:
    skill, n = PLANTED[username], 2000
    answers = {
        (arm, rhythm): [simulated_answer(f"{i * 7919:08x}", arm, rhythm, username, skill, 0) for i in range(n)]
        for arm in ("real", "synthetic")
        for rhythm in ("NSR", "AF")
    }
    for (arm, rhythm), given in answers.items():
        called = np.mean([(answer.realism or 0) >= 4 for answer in given])
        assert called == pytest.approx(skill.sensitivity if arm == "synthetic" else 1 - skill.specificity, abs=5 * np.sqrt(0.25 / n))
        assert np.mean([answer.rhythm == rhythm for answer in given]) == pytest.approx(skill.rhythm, abs=5 * np.sqrt(0.25 / n))
        assert {answer.realism for answer in given} == {1, 2, 3, 4, 5, 6}
        assert all(checked(answer, questions(REALISM_FIRST, 1)).realism == answer.realism for answer in given[:50])


def test_simulated_readers_agree_more_with_themselves_than_with_others_and_with_both_more_than_chance() -> None:
    skill, n = PLANTED["demo-dev"], 2000  # at chance: agreement comes from the strips alone

    def calls(username: str, showing: int) -> np.ndarray:
        return np.array([(simulated_answer(f"{i * 7919:08x}", "real", "AF", username, skill, showing).realism or 0) >= 4 for i in range(n)])

    first, repeat, other = calls("demo-dev", 0), calls("demo-dev", 1), calls("demo-ada", 0)
    with_itself, with_other = float(np.mean(first == repeat)), float(np.mean(first == other))
    assert 0.5 + 5 * np.sqrt(0.25 / n) < with_other < with_itself - 5 * np.sqrt(0.25 / n) < 1


def test_a_second_call_changes_nothing(made: Made) -> None:
    before, drawer = rows(made.db), Drawer()
    assert not make_demo(made.db, drawer, gate=open_gate)
    assert rows(made.db) == before
    assert drawer.asked == []


def test_a_demo_that_was_interrupted_is_finished_by_the_next_call(db: Database, made: Made) -> None:
    for moment in ("Simulating", "Drawing", "Dr. Chiara", "Training"):

        def stop(done: int, total: int, doing: str, moment: str = moment) -> None:
            if doing.startswith(moment):
                raise Cancelled("Cancelled.")

        with pytest.raises(Cancelled):
            make_demo(db, Drawer(), stop, gate=open_gate)
    assert make_demo(db, Drawer(), gate=open_gate)
    found, expected = rows(db), rows(made.db)
    del found["audit"], expected["audit"]  # it says how often it was tried
    assert found == expected


def test_a_database_with_real_people_has_no_demo(db: Database) -> None:
    with db.write() as session:
        add_person(session, NewPerson("real", "Real", "admin", None), password_hash="x")
    before = rows(db)
    with pytest.raises(StudyError, match="empty database"):
        make_demo(db, Drawer(), gate=open_gate)
    assert rows(db) == before
