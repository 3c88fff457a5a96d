"""The results screen of an unblinded study tells what had to be rejected, beside the figures."""

from __future__ import annotations

from typing import Any

import pytest

from pages import results
from storage.database import Database
from storage.tables import Round
from tests.pages.visiting import Visit, shown
from tests.study.factory import read_study


def _screen(visit: Visit, db: Database, drawn: dict[str, Any] | None) -> Any:
    planted = read_study(db, demo=True, cases=8, repeats=2)  # the world's people are of the demo
    if drawn is not None:
        with db.write() as session:
            opened = session.query(Round).filter_by(study_id=planted.study_id).one()
            opened.plan = {**opened.plan, "drawn": drawn, "quality_control": ["1, copies not checked"]}
    results._results.clear()
    test = visit.as_("coordinator", "results")
    assert not test.exception
    return test


def _drawn(rejected: int) -> dict[str, Any]:
    return {"AF": {"accepted": 20, "rejected": rejected, "reasons": {"AF with P waves": rejected} if rejected else {}}}


def test_the_share_rejected_stands_with_its_interval(visit: Visit, db: Database) -> None:
    test = _screen(visit, db, _drawn(1))
    assert "1 of 21 samples were rejected (4.8 %): AF with P waves: 1. 95 % interval of the share: 0.8% to 22.7%." in shown(test)
    assert "copies of training strips were not looked for" in shown(test).lower()
    assert not [one for one in test.warning if "10 %" in one.value]


def test_more_than_a_tenth_rejected_is_a_warning(visit: Visit, db: Database) -> None:
    test = _screen(visit, db, _drawn(5))
    [warning] = [one for one in test.warning if "10 %" in one.value]
    assert "5 of 25 samples were rejected" in warning.value.replace("\\", "")


@pytest.mark.parametrize("drawn", [None, {}])
def test_where_nothing_is_known_nothing_is_said(visit: Visit, db: Database, drawn: dict[str, Any] | None) -> None:
    assert "had to be rejected" not in shown(_screen(visit, db, drawn))
