from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from sqlalchemy import func, select

from storage import audit, judgements, truth
from storage import studies as stored
from storage.database import Database
from storage.people import NewPerson
from storage.people import add as add_person
from storage.tables import AuditEntry, Base, Judgement, ReadingCase, Recording, Round, Truth
from study import demo, fetch, notices
from study.answers import checked
from study.demo import PLANTED, SITES, make_demo, simulated_answer
from study.errors import Cancelled, StudyError
from study.people import demo_people, person_by_username
from study.protocol import REALISM_FIRST, Protocol, questions
from study.reading import next_case, rounds_to_read
from study.results import results
from study.roles import Role
from study.studies import create_study, studies, study
from tests.databases import new_url
from tests.physionet_server import lay_out_ptbxl
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
    database = Database(new_url(tmp_path_factory.mktemp("demo")))
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
    assert (to_read.done, to_read.total, to_read.open, to_read.notice) == (0, 16, True, notices.STAND_INS)
    case = next_case(db, reader, to_read.round_id)
    assert case is not None
    assert case.notice == notices.STAND_INS
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
    planted_rates(made.db, demo.ALREADY_READ)


def planted_rates(db: Database, title: str) -> None:
    with db.read() as session:
        study_id = next(study.id for study in stored.all_studies(session) if study.title == title)
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
    skill, n = PLANTED[username], 500
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


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """PTB-XL's layout with 28 patients of each rhythm, one of them flat, where `blindstrip fetch` puts it."""
    here = tmp_path_factory.mktemp("fetched")
    root = lay_out_ptbxl(here, records=56)
    (root / "records100" / "00000" / "00001_lr.dat").write_bytes(bytes(2 * 12 * 1000))
    root.rename(here / "recordings")
    (here / "ptb-xl").rmdir()
    (here / "recordings").rename(here / "ptb-xl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "RECORDINGS", str(here))
        yield here


def test_after_a_fetch_the_demo_shows_recordings_and_says_that_its_readers_are_simulated(db: Database, fetched: Path) -> None:
    assert make_demo(db, Drawer(), gate=shut_gate, collection="ptb-xl")
    coordinator, reader = person_by_username(db, "demo-cora"), person_by_username(db, "demo-ada")
    assert coordinator is not None
    assert reader is not None
    with db.read() as session:
        assert set(session.execute(select(Truth.arm, Truth.stand_in)).all()) == {("real", False), ("synthetic", False)}
        assert session.scalars(select(Recording.collection).distinct()).all() == ["PTB-XL"]
        (noted,) = session.scalars(select(AuditEntry.detail).where(AuditEntry.action == "demo recordings read"))
        assert (noted["new"], sum(noted["refused"].values())) == (55, 1)
    found = studies(db, coordinator)
    assert all(study.demo and study.notice == notices.RECORDINGS and study.title.endswith("PTB-XL") for study in found)
    (to_read,) = rounds_to_read(db, reader)
    assert to_read.notice == notices.of_the_demo(db) == notices.RECORDINGS
    pilot = next(study for study in found if study.state == "unblinded")
    planted_rates(db, pilot.title)
    told = results(db, coordinator, pilot.id)
    assert "its real strips are recordings" in told.notes[0]
    assert not any("drawn by a simulator" in note for note in told.notes)
    assert notices.made_with(db, "ptb-xl")
    assert not make_demo(db, Drawer(), gate=open_gate, collection="ptb-xl")
    own = create_study(db, coordinator, "One more", Protocol(), [reader.id])
    assert study(db, coordinator, own).notice == notices.RECORDINGS

    assert make_demo(db, Drawer(), gate=open_gate)  # one with stand-ins, beside it
    assert Counter(study.notice for study in studies(db, coordinator)) == {notices.RECORDINGS: 3, notices.STAND_INS: 2}
    assert notices.of_the_demo(db) == notices.STAND_INS
    with db.read() as session:
        for one in stored.all_studies(session):
            shown = session.scalars(
                select(Truth.stand_in)
                .join(ReadingCase, ReadingCase.strip_id == Truth.strip_id)
                .join(Round, Round.id == ReadingCase.round_id)
                .where(Round.study_id == one.id, Truth.arm == "real")
            )
            assert set(shown) <= {one.stand_ins}


def test_what_was_not_fetched_or_is_too_little_makes_no_demo(db: Database, fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudyError, match=r"mimic-iv-ecg: no recordings .*`blindstrip fetch mimic-iv-ecg"):
        make_demo(db, Drawer(), gate=open_gate, collection="mimic-iv-ecg")
    assert demo_people(db) == []
    monkeypatch.setattr(demo, "FEWEST", 28)  # one of them is flat
    with pytest.raises(StudyError, match="27 patients with NSR"):
        make_demo(db, Drawer(), gate=open_gate, collection="ptb-xl")
    with db.read() as session:
        assert stored.all_studies(session) == []


def test_a_database_with_real_people_has_no_demo(db: Database) -> None:
    with db.write() as session:
        add_person(session, NewPerson("real", "Real", "admin", None), password_hash="x")
    before = rows(db)
    with pytest.raises(StudyError, match="empty database"):
        make_demo(db, Drawer(), gate=open_gate)
    assert rows(db) == before
