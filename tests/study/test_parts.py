"""One person has one part in a study: who conducts it or made its strips does not read in it, and who reads in it does nothing else."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from storage.database import Database
from storage.tables import Job, ReadingCase, Recording, Strip
from study import people, studies
from study.errors import NotAllowed, StudyError
from study.order_diagnostics import order_diagnostics
from study.people import Person
from study.protocol import Protocol
from study.roles import Role
from study.round_plan import RoundPlan
from study.rounds import open_round
from tests.joining import joined
from tests.study.hospital import Drawer, Hospital, add_recordings, hospital, open_gate

PLAN = RoundPlan(cases=12, repeat_share=0.0, seed=5)


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def test_a_reader_of_a_blind_study_keeps_role_and_hospital(house: Hospital) -> None:
    db, reader = house.db, house.readers[0]
    studies.create_study(db, house.coordinator, "Sinus rhythm", Protocol(), [reader.id])
    for role, site in ((Role.RESEARCHER, None), (Role.COORDINATOR, None), (Role.READER, "Elsewhere")):
        with pytest.raises(StudyError, match="'Sinus rhythm': one person holds one role"):
            people.change_role(db, house.admin, reader.id, role, site)
    other = house.readers[1]
    people.change_role(db, house.admin, other.id, Role.RESEARCHER)
    assert people.person_by_id(db, other.id).role is Role.RESEARCHER  # type: ignore[union-attr]
    for by in (house.coordinator, house.researcher, reader):
        with pytest.raises(NotAllowed):
            people.change_role(db, by, other.id, Role.READER)


def test_who_has_conducted_a_study_does_not_read_in_it(house: Hospital) -> None:
    db = house.db
    study_id = studies.create_study(db, house.coordinator, "Sinus rhythm", Protocol(), [])
    people.change_role(db, house.admin, house.coordinator.id, Role.READER, "North")
    with pytest.raises(StudyError, match="has conducted this study"):
        studies.add_readers(db, house.admin, study_id, [house.coordinator.id])
    assert house.coordinator.id not in {one.id for one in studies.readers_to_add(db, house.admin, study_id)}
    studies.create_study(db, house.admin, "Another", Protocol(), [house.coordinator.id])


def test_what_a_reader_has_imported_is_not_shown_in_their_study(house: Hospital) -> None:
    """The researcher imported half of the recordings, and has become a reader since."""
    db = house.db
    add_recordings(db, 24)
    with db.write() as session:
        job = Job(kind="import", person_id=house.researcher.id, asked={}, status="done")
        session.add(job)
        session.flush()
        everything = session.scalars(select(Recording.strip_id).join(Strip).order_by(Strip.rhythm, Strip.id)).all()
        half = everything[::2]
        session.execute(update(Recording).where(Recording.strip_id.in_(half)).values(job_id=job.id))
    people.change_role(db, house.admin, house.researcher.id, Role.READER, "North")
    study_id = studies.create_study(db, house.coordinator, "Sinus rhythm", Protocol(), [house.researcher.id, house.readers[0].id])
    open_round(db, house.coordinator, study_id, PLAN, Drawer(), gate=open_gate)
    with db.read() as session:
        shown = set(session.scalars(select(ReadingCase.strip_id)))
    assert shown
    assert not shown & set(half)

    other = studies.create_study(db, house.admin, "Another", Protocol(), [house.readers[0].id])
    open_round(db, house.admin, other, RoundPlan(cases=24, repeat_share=0.0, seed=6), Drawer(), gate=open_gate)
    with pytest.raises(StudyError, match="has imported or drawn strips of this study"):
        studies.add_readers(db, house.admin, other, [house.researcher.id])


def test_a_coordinator_sees_their_own_site_s_readers_unless_they_lead_the_study(house: Hospital) -> None:
    db = house.db
    add_recordings(db, 24)
    far = joined(db, house.admin, "cleo", "Cleo", Role.COORDINATOR, "South")
    nowhere = joined(db, house.admin, "nils", "Nils", Role.COORDINATOR, None)
    readers = [joined(db, house.admin, "nora", "Nora", Role.READER, "North"), joined(db, house.admin, "sven", "Sven", Role.READER, "South")]
    study_id = studies.create_study(db, house.coordinator, "Sinus rhythm", Protocol(), [one.id for one in readers])
    open_round(db, house.coordinator, study_id, PLAN, Drawer(), gate=open_gate)

    def seen(person: Person) -> tuple[list[str], int]:
        found = studies.study(db, person, study_id)
        names = [one.name for one in found.readers]
        assert [one.name for one in found.rounds[0].readers] == names
        assert {row.reader for one in order_diagnostics(db, person, study_id) for row in one.labels} == set(names)
        assert (found.done, found.total) == (0, 24)
        assert not found.closed
        return names, found.unseen

    assert seen(house.coordinator) == seen(house.admin) == (["Nora", "Sven"], 0)
    assert seen(far) == (["Sven"], 1)
    assert seen(nowhere) == ([], 2)
    lena = joined(db, house.admin, "lena", "Lena", Role.READER, "North")
    with pytest.raises(StudyError, match="no active person"):
        studies.add_readers(db, far, study_id, [lena.id])
    studies.add_readers(db, far, study_id, [joined(db, house.admin, "sara", "Sara", Role.READER, "South").id])
    assert lena in studies.readers_to_add(db, house.coordinator, study_id)
    assert lena not in studies.readers_to_add(db, far, study_id)
