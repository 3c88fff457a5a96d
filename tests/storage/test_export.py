"""What results and bundles are made from: complete, in order, and closed while the study is blind."""

from __future__ import annotations

import pytest

from storage import export
from storage.database import Database
from storage.errors import StorageError
from tests.study.factory import read_study


def test_study_data_has_everything_in_order(db: Database) -> None:
    planted = read_study(db)
    read_study(db, seed=2, title="Another study")
    with db.read() as session:
        data = export.study_data(session, planted.study_id)
    assert len(data.cases) == 28
    assert len(data.placements) == 4 * 28
    assert len(data.judgements) == 4 * (28 + 2)
    order = [(row.round_id, row.reader_id, row.position, row.revision) for row in data.judgements]
    assert order == sorted(order)
    assert {case.strip_id for case in data.cases} == set(data.arms) == set(data.sha256)
    assert [reader.site for reader in data.readers] == ["Heidelberg", "Heidelberg", "Mannheim", "Mannheim"]
    assert data.utility is None


def test_provenance_is_of_this_study_alone(db: Database) -> None:
    planted = read_study(db)
    read_study(db, seed=2, title="Another study")
    with db.read() as session:
        data, origin = export.study_data(session, planted.study_id), export.provenance(session, planted.study_id)
    by_arm = {arm: {strip_id for strip_id, found in data.arms.items() if found.arm == arm} for arm in ("real", "synthetic")}
    assert {row.strip_id for row in origin.recordings} == by_arm["real"]
    assert {row.strip_id for row in origin.drawings} == by_arm["synthetic"]
    assert [(row.seed, row.number, row.reason) for row in origin.rejections] == [(1, 24, "flat")]
    assert [entry.id for entry in origin.audit] == list(range(1, len(origin.audit) + 1))


@pytest.mark.parametrize("read", [export.study_data, export.provenance])
def test_a_blind_study_stays_closed(db: Database, read: object) -> None:
    blind = read_study(db, unblinded=False)
    assert callable(read)
    with db.read() as session, pytest.raises(StorageError, match="blind"):
        read(session, blind.study_id)
    with db.read() as session, pytest.raises(StorageError, match="no study with id 99"):
        read(session, 99)
