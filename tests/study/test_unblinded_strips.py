"""The page of one strip after unblinding: provenance without identifiers, what lies nearest, features against the real ones, every judgement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest

from generator.simulate import stand_in
from generator.strip import from_bytes, to_bytes
from storage import snapshots, strips, studies
from storage.database import Database
from storage.export import StudyData
from storage.studies import CaseRow, NewCase
from storage.tables import now
from study import utility
from study.errors import NotAllowed, Problems, StudyError
from study.people import Person
from study.protocol import Protocol
from study.roles import Role
from study.unblinded_strips import CLOSED, measured, on_paper, strip_page
from tests.databases import new_url
from tests.study.factory import CHECKPOINT, Planted, PlantedReader, read_study

READERS = [PlantedReader("Heidelberg", 0.8), PlantedReader("Mannheim", 0.4)]


@dataclass
class Read:
    """A study of simulated strips, with a machine that was planted, and a recording beside that no study shows."""

    db: Database
    planted: Planted
    data: StudyData
    beside: str  # SHA-256

    def case(self, arm: str, role: str = "scored") -> CaseRow:
        return next(case for case in self.data.cases if self.data.arms[case.strip_id].arm == arm and case.role == role)

    def plant(self, case: CaseRow, **values: Any) -> None:
        """What machines say of a case's strip, in the place of what they said."""
        with self.db.write() as session:
            stored = json.loads(json.dumps(studies.utility(session, self.planted.study_id)))
            stored["machine"]["of"][self.data.sha256[case.strip_id]].update(values)
            studies.change(session, self.planted.study_id, utility=stored)

    def training(self, recording: str | None) -> dict[str, Any]:
        return {"training": {"distance": 0.031, "number": 7, "recording": recording, "checkpoint": CHECKPOINT, "copy": 0.02}}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    db = Database(new_url(tmp_path_factory.mktemp("strips")))
    db.migrate()
    planted = read_study(db, READERS, cases=16, repeats=2, draw=stand_in)
    new = strips.NewRecording(to_bytes(stand_in("NSR", 9001)), "NSR", "ward", "secret-record", "secret-patient", 500.0)
    with db.write() as session:
        strip_id = strips.add_recording(session, new)
        assert strip_id is not None
        [beside] = strips.hashes(session, [strip_id]).values()
        data = snapshots.study_data(session, planted.study_id)
        real = next(case for case in data.cases if data.arms[case.strip_id].arm == "real" and case.rhythm == "NSR")
        one = {"synthetic": 0.25, "distance": 1.5, "nearest": data.sha256[real.strip_id], "af": {"planted": 0.125}, "training": None}
        of = {data.sha256[case.strip_id]: dict(one) for case in data.cases if case.role == "scored"}
        stored = {"machine": {"of": of, "reasons": {"training": "no list"}}, "basis": utility.basis(data)}
        studies.change(session, planted.study_id, utility=stored)
    yield Read(db, planted, data, beside)
    db.close()


def person(read: Read, role: Role) -> Person:
    return replace(read.planted.coordinator, role=role)


def test_a_drawn_strip_says_how_it_was_drawn_and_a_recording_whence_without_identifiers(read: Read) -> None:
    drawn = strip_page(read.db, read.planted.coordinator, read.planted.study_id, read.case("synthetic").code)
    told = {row.cells[0]: row.cells[1] for row in drawn.provenance.rows}
    assert (told["Checkpoint (SHA-256)"], told["Sampler"], told["Steps"], told["Seed"]) == (CHECKPOINT, "dpm++2m", "20", "1")
    assert told["Heart rate"] == "71.5"
    real = strip_page(read.db, read.planted.coordinator, read.planted.study_id, read.case("real").code)
    words = {row.cells[0]: row.cells[1] for row in real.provenance.rows}
    assert (words["Origin"], words["Collection"], words["Age"], words["Sex"]) == ("recorded from a patient", "ptbxl", "61", "female")
    everything = json.dumps([asdict(real.provenance), real.machine, [one.told for one in real.beside], real.judgements], default=str)
    assert "_hr" not in everything
    assert "p000" not in everything
    assert "Number0" not in everything


def test_every_showing_and_revision_is_there_under_the_readers_codes(read: Read) -> None:
    case = read.case("synthetic")
    found = strip_page(read.db, read.planted.coordinator, read.planted.study_id, case.code)
    cases = {one.id for one in read.data.cases if one.strip_id == case.strip_id}
    stored = [one for one in read.data.judgements if one.case_id in cases]
    assert len(found.judgements) == len(stored) > len(READERS)
    assert {row["reader"] for row in found.judgements} == {"R01", "R02"}
    assert {row["shown as"] for row in found.judgements} == {"scored", "repeat"}
    for row in found.judgements:
        assert row["right"] == ("yes" if row["answer"].endswith("synthetic") else "no")


def test_machines_and_the_nearest_real_strip_are_told_and_drawn(read: Read) -> None:
    case = read.case("synthetic")
    found = strip_page(read.db, read.planted.coordinator, read.planted.study_id, case.code)
    assert "0.25" in found.machine[0]
    assert "AF by planted" in found.machine[2]
    _training, nearest = found.beside
    assert nearest.counts is not None
    [code] = [one.code for one in read.data.cases if one.code in nearest.told and one.role == "scored"]
    strip = next(one for one in read.data.cases if one.code == code)
    with read.db.read() as session:
        assert np.array_equal(nearest.counts, from_bytes(strips.samples(session, [strip.strip_id])[strip.strip_id]))


# ---- the training strip: drawn where it is here, and by whom it may be seen ----


def test_a_training_strip_that_is_not_here_is_told_and_not_drawn(read: Read) -> None:
    case = read.case("synthetic")
    study_id, coordinator = read.planted.study_id, read.planted.coordinator
    read.plant(case, training=None)
    assert strip_page(read.db, coordinator, study_id, case.code).beside[0].told == "Not known: no list."
    read.plant(case, **read.training(None))
    closed = strip_page(read.db, coordinator, study_id, case.code).beside[0]
    assert closed.counts is None
    assert closed.told.endswith(CLOSED)
    assert "Number 7" in closed.told
    assert "0.031" in closed.told
    assert "0.020 would have been rejected" in closed.told


def test_a_recording_beside_is_drawn_for_those_who_may_see_recordings_unless_it_is_read_blind(read: Read) -> None:
    case, study_id = read.case("synthetic"), read.planted.study_id
    read.plant(case, **read.training(read.beside))
    coordinator = strip_page(read.db, read.planted.coordinator, study_id, case.code).beside[0]
    assert (coordinator.counts, "researchers and admins may see" in coordinator.told) == (None, True)
    researcher = strip_page(read.db, person(read, Role.RESEARCHER), study_id, case.code).beside[0]
    assert researcher.counts is not None
    assert np.array_equal(researcher.counts, stand_in("NSR", 9001))
    assert "ward" in researcher.told
    assert "secret" not in researcher.told
    with read.db.write() as session:
        rules = Protocol()
        blind = studies.add_study(
            session, title="Blind", protocol=rules.as_dict(), protocol_hash=rules.hash(), seed=1, created_by=read.planted.coordinator.id
        )
        by = read.planted.coordinator.id
        round_id = studies.add_round(session, study_id=blind, number=1, plan={}, leak={}, opened_by=by, starts_at=now())
        strip = strips.recorded_strip(session, read.beside)
        assert strip is not None
        studies.add_cases(session, round_id, [NewCase(strip.strip_id, "scored", "blindcase")])
    hidden = strip_page(read.db, person(read, Role.ADMIN), study_id, case.code).beside[0]
    assert (hidden.counts, "still blind" in hidden.told) == (None, True)
    with pytest.raises(StudyError, match="still blind"):
        strip_page(read.db, read.planted.coordinator, blind, "blindcase")


# ---- features ----


def test_a_strip_s_place_among_the_real_ones_is_the_share_below_it() -> None:
    real = [stand_in("NSR", seed) for seed in range(6)]
    table = {row["feature"]: row for row in measured(stand_in("NSR", 50), real, "NSR").rows}
    for row in table.values():
        if row["value"] is not None and row["n"]:
            assert row["lowest"] <= row["median"] <= row["highest"]
            assert (row["share_below"] == 0) <= (row["value"] <= row["lowest"])
            assert (row["share_below"] == 1) <= (row["value"] >= row["highest"])
    rate = table["heart_rate"]
    rates = [next(row["value"] for row in measured(one, [], "NSR").rows if row["feature"] == "heart_rate") for one in real]
    assert rate["share_below"] == pytest.approx(np.mean(np.array(rates) < rate["value"]))
    assert (rate["lowest"], rate["highest"], rate["n"]) == (min(rates), max(rates), 6)


def test_without_real_strips_the_reason_is_told() -> None:
    alone = measured(stand_in("AF", 1), [], "AF")
    assert alone.picture is None
    assert "no other real strip of this rhythm" in alone.instead
    assert "nan" not in alone.csv.lower()


# ---- who may, and when ----


def test_readers_and_the_blind_get_nothing(read: Read) -> None:
    case, study_id = read.case("real"), read.planted.study_id
    for reach in (strip_page, lambda db, who, study, code: on_paper(db, who, study, [code])):
        with pytest.raises(NotAllowed):
            reach(read.db, person(read, Role.READER), study_id, case.code)
        with pytest.raises(NotAllowed):
            reach(read.db, None, study_id, case.code)  # type: ignore[arg-type]
        with pytest.raises(StudyError, match="has no case 'nothing'"):
            reach(read.db, read.planted.coordinator, study_id, "nothing")
    with pytest.raises(Problems):
        strip_page(read.db, replace(read.planted.coordinator, demo=True), study_id, case.code)
    [shown] = on_paper(read.db, read.planted.coordinator, study_id, [case.code])
    assert shown.origin == {"case": case.code}
