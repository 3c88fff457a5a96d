"""What a coordinator sees of the leak gate: words while a round is blind, the picture afterwards, and why the last opening was refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from storage import audit
from storage.database import Database
from storage.tables import Round, Study, now
from study import leak_gate
from tests.pages.visiting import Visit, shown
from tests.study.test_leak_command import REPORT, swapped
from tests.world import World


def of_round(db: Database, world: World, report: dict[str, Any]) -> None:
    with db.write() as session:
        session.execute(update(Round).where(Round.id == world.round_id).values(leak=report))


def refused(db: Database, world: World, report: dict[str, Any]) -> None:
    with db.write() as session:
        audit.append(session, world.people["coordinator"].id, leak_gate.REFUSED_BY_THE_GATE, f"study {world.study_id}", leak_gate.noted(report))


def pictures(test: AppTest) -> list[str]:
    assert not test.exception
    return [str(element.proto) for element in test.get("image")]


def test_a_warning_is_shown_with_its_remedy_and_pictured_after_unblinding(visit: Visit, db: Database) -> None:
    of_round(db, visit.world, REPORT)
    test = visit.as_("coordinator", "studies", study=visit.world.study_id)
    assert "noise floor most of all. Train longer." in shown(test)
    assert not pictures(test)
    assert "shown once the study is unblinded" in shown(test)
    with db.write() as session:
        session.execute(
            update(Study).where(Study.id == visit.world.study_id).values(unblinded_by=visit.world.people["researcher"].id, unblinded_at=now())
        )
    [picture] = pictures(visit.as_("coordinator", "studies", study=visit.world.study_id))
    assert "Distribution of noise floor. real: 25% from 0 to 1, 75% from 1 to 2; synthetic: 75% from 0 to 1" in picture


@pytest.mark.parametrize("who", ["coordinator", "researcher"])
def test_while_a_round_is_blind_its_screen_is_the_same_whichever_arm_is_which(visit: Visit, db: Database, who: str) -> None:
    seen = []
    for report in (REPORT, swapped()):
        of_round(db, visit.world, report)
        test = visit.as_(who, "studies", study=visit.world.study_id)
        tables = [frame.value.to_csv() for frame in test.dataframe]
        drawn = [re.sub(r"[0-9a-f]{32,}", "HASH", picture) for picture in pictures(test)]
        seen.append((shown(test), tables, drawn))
        assert not any("900" in table or "1300" in table for table in tables)
    assert seen[0] == seen[1]


def test_why_the_last_opening_was_refused_is_shown_to_who_opens(visit: Visit, db: Database) -> None:
    """Its strips were not stored and nobody reads them: here the arms have their names, as one of them has to be mended."""
    refused(db, visit.world, REPORT | {"verdict": "refuse", "worst_feature": "offset", "remedy": "First."})
    refused(db, visit.world, REPORT | {"verdict": "refuse"})
    test = visit.as_("coordinator", "studies", study=visit.world.study_id)
    assert "AUC 0.71; the strips' noise floor told the arms apart most of all. Train longer." in shown(test)
    [picture] = pictures(test)
    assert "real: 25% from 0 to 1, 75% from 1 to 2; synthetic: 75% from 0 to 1" in picture
    assert not pictures(visit.as_("researcher", "studies", study=visit.world.study_id))


def test_a_refusal_from_before_there_were_pictures_is_shown_in_words(visit: Visit, db: Database) -> None:
    refused(db, visit.world, {name: REPORT[name] for name in ("auc", "p_value", "worst_feature")} | {"verdict": "refuse"})
    test = visit.as_("coordinator", "studies", study=visit.world.study_id)
    assert "the strips' noise floor told the arms apart" in shown(test)
    assert not pictures(test)


def test_a_reader_sees_nothing_of_the_gate(visit: Visit, db: Database) -> None:
    of_round(db, visit.world, REPORT)
    refused(db, visit.world, REPORT | {"verdict": "refuse"})
    for query in ({}, {"round": visit.world.round_id}):
        test = visit.as_("reader", "reading", **query)
        assert not pictures(test)
        assert "noise floor" not in shown(test)
