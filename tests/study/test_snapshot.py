"""Unblinding takes a snapshot, and what results are computed from afterwards is it, whatever becomes of the tables."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from storage import export, snapshots
from storage.base import Base
from storage.database import Database
from storage.errors import StorageError
from storage.tables import Judgement, Person, Snapshot, Strip, Study, Truth
from study.bundle import bundle
from study.errors import StudyError
from study.result_record import NO_SNAPSHOT
from study.results import TABLES, Results, results, unblinded
from tests.databases import ON_POSTGRESQL
from tests.study.factory import Planted, PlantedReader, read_study

FEW = (PlantedReader("Heidelberg", 0.8), PlantedReader("Mannheim", 0.6))


@pytest.fixture
def planted(db: Database) -> Planted:
    return read_study(db)


def same(one: Results, other: Results) -> None:
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))
    assert (one.notes, one.protocol_hash, one.snapshot, one.curves) == (other.notes, other.protocol_hash, other.snapshot, other.curves)


def unlocked(db: Database) -> None:
    """Somebody who owns the database takes the triggers away."""
    with db.write() as session:
        if ON_POSTGRESQL:
            for table in Base.metadata.tables:
                session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            return
        for name in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            session.execute(text(f"DROP TRIGGER {name}"))


def test_what_comes_out_of_a_snapshot_is_what_went_in(db: Database, planted: Planted) -> None:
    with db.read() as session:
        live = export.study_data(session, planted.study_id)
        data = snapshots.study_data(session, planted.study_id)
        content = session.scalar(select(Snapshot.content))
    assert content is not None
    assert data.snapshot == hashlib.sha256(gzip.decompress(content)).hexdigest()
    by_id = {one.id: one for one in live.readers}
    assert data.readers == [by_id[reader_id] for reader_id in sorted(by_id)]
    assert replace(data, readers=[], snapshot=None) == replace(live, readers=[])


CHANGES: dict[str, Callable[[Session], object]] = {
    "judgements": lambda session: session.execute(update(Judgement).values(realism=1)),
    "a judgement more": lambda session: session.add(another(session)),
    "arms": lambda session: session.execute(update(Truth).values(arm="real")),
    "labels": lambda session: session.execute(update(Strip).values(rhythm="AF")),
    "protocol": lambda session: session.execute(update(Study).values(protocol={"margin": 0.4}, protocol_hash="0" * 64)),
    "orders": lambda session: session.execute(text("UPDATE placement SET position = position + 1000")),
    "rounds": lambda session: session.execute(text("UPDATE round SET number = 9, plan = '{}', leak = '{}'")),
}


def another(session: Session) -> Judgement:
    row = session.scalars(select(Judgement)).first()
    assert row is not None
    columns = {column.name: getattr(row, column.name) for column in Judgement.__table__.columns}
    return Judgement(**{**columns, "id": None, "revision": 7})


@pytest.mark.parametrize("change", CHANGES)
def test_what_results_are_computed_from_does_not_follow_the_tables(db: Database, planted: Planted, change: str) -> None:
    before = unblinded(db, planted.coordinator, planted.study_id)
    unlocked(db)
    with db.write() as session:
        CHANGES[change](session)
    with db.read() as session:
        assert snapshots.content(export.study_data(session, planted.study_id)) != snapshots.content(before)
    assert unblinded(db, planted.coordinator, planted.study_id) == before


def test_results_report_and_bundle_are_the_same_whatever_becomes_of_the_tables(db: Database) -> None:
    planted = read_study(db, FEW, cases=10, repeats=2)
    found = results(db, planted.coordinator, planted.study_id)
    _name, content = bundle(db, planted.coordinator, planted.study_id)
    unlocked(db)
    with db.write() as session:
        for change in CHANGES.values():
            change(session)
    same(results(db, planted.coordinator, planted.study_id), found)
    _name, again = bundle(db, planted.coordinator, planted.study_id)
    assert again == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert hashlib.sha256(archive.read("snapshot.json")).hexdigest() == found.snapshot
        for name in ("README.txt", "protocol.json", "report.html"):
            assert (found.snapshot or "?") in archive.read(name).decode(), name
    assert any((found.snapshot or "?") in note for note in found.notes)


def test_another_snapshot_than_the_trail_names_is_refused(db: Database, planted: Planted) -> None:
    unlocked(db)
    with db.write() as session:
        row = session.scalars(select(Snapshot)).one()
        content = gzip.decompress(row.content).replace(b'"realism":6', b'"realism":1')
        row.content, row.sha256 = gzip.compress(content), hashlib.sha256(content).hexdigest()
    for ask in (unblinded, results, bundle):
        with pytest.raises(StorageError, match="not the one that was taken when it was unblinded"):
            ask(db, planted.coordinator, planted.study_id)
    with db.write() as session:
        session.execute(text("DELETE FROM snapshot"))
    with pytest.raises(StorageError, match="not the one that was taken"):
        unblinded(db, planted.coordinator, planted.study_id)


def test_a_damaged_snapshot_is_refused_in_words(db: Database, planted: Planted) -> None:
    unlocked(db)
    with db.write() as session:
        row = session.scalars(select(Snapshot)).one()
        row.content = row.content[:20] + bytes(64) + row.content[84:]
    with pytest.raises(StorageError, match="not the one that was taken"):
        unblinded(db, planted.coordinator, planted.study_id)


def test_a_snapshot_says_which_version_it_is_of(db: Database, planted: Planted) -> None:
    with db.read() as session:
        assert json.loads(snapshots.stored(session, planted.study_id) or b"{}")["version"] == 1


def test_tables_are_compared_with_what_a_snapshot_holds_and_no_more(db: Database, planted: Planted) -> None:
    """A later version keeps columns that this one does not know."""
    with db.read() as session:
        live = export.study_data(session, planted.study_id)
    whole = json.loads(snapshots.content(live))
    del whole["version"]
    for row in whole["rounds"]:
        del row["leak"]
    earlier = json.dumps(whole, indent=2).encode()
    assert snapshots.differs(earlier, live) is None
    assert snapshots.differs(earlier, replace(live, rounds=[replace(one, leak={}) for one in live.rounds])) is None
    assert snapshots.differs(earlier, replace(live, rounds=[replace(one, number=2) for one in live.rounds])) == "rounds"
    assert snapshots.differs(earlier, replace(live, judgements=live.judgements[1:])) == "judgements"
    assert snapshots.differs(earlier, replace(live, judgements=[*live.judgements, live.judgements[0]])) == "judgements"
    assert snapshots.differs(earlier, replace(live, study=replace(live.study, title="x"))) == "study"


def test_names_are_not_in_it_and_stay_changeable(db: Database, planted: Planted) -> None:
    with db.write() as session:
        session.execute(update(Person).where(Person.id == planted.reader_ids[0]).values(name="Married Name"))
        text_of = snapshots.stored(session, planted.study_id)
    assert text_of is not None
    assert b"Reader Number" not in text_of
    assert "Married Name" in {one.name for one in unblinded(db, planted.coordinator, planted.study_id).readers}


def test_a_study_unblinded_before_there_were_snapshots_says_so(db: Database) -> None:
    old = read_study(db, FEW, cases=10, repeats=0, unblinded=False)
    with pytest.raises(StudyError, match="still blind"):
        unblinded(db, old.coordinator, old.study_id)
    with db.write() as session:
        session.execute(update(Study).values(unblinded_by=old.coordinator.id, unblinded_at=select(Study.created_at).scalar_subquery()))
    found = results(db, old.coordinator, old.study_id)
    assert found.snapshot is None
    assert NO_SNAPSHOT in found.notes
