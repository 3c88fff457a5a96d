"""Rejected samples are said in words, warned of above 10 %, and part of the results of a study."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage import export
from storage.database import Database
from study import rejections, result_tables, sign_in
from study.errors import NotAllowed
from study.people import Person
from study.rejections import COPIES_NOT_CHECKED, Rejected
from study.results import results_of
from study.roles import Role
from tests.joining import joined
from tests.study.factory import read_study

REASONS = {"AF with P waves": 2, "flat lead": 3}


def test_a_sentence_counts_and_names() -> None:
    assert Rejected(200, REASONS).sentence == "5 of 200 samples were rejected (2.5 %): flat lead: 3, AF with P waves: 2."
    assert Rejected(200).sentence == "0 of 200 samples were rejected (0.0 %)."
    assert Rejected(5, REASONS).sentence.startswith("5 of 5 samples were rejected (100.0 %)")


def test_more_than_a_tenth_is_warned_of() -> None:
    assert Rejected(0).warning is None
    assert Rejected(50, REASONS).warning is None
    warning = Rejected(49, REASONS).warning
    assert warning
    assert "More than 10 % had to be rejected. 5 of 49 samples" in warning
    assert "flat lead: 3" in warning


def test_readers_are_told_nothing(db: Database) -> None:
    admin = sign_in.person_for(db, sign_in.set_up(db, "rosa", "Rosa", "correct horse", None))
    assert isinstance(admin, Person)
    reader = joined(db, admin, "ben", "Ben", Role.READER, "North", "correct horse")
    for ask in (lambda: rejections.of_gallery(db, reader), lambda: rejections.of_job(db, reader, 1)):
        with pytest.raises(NotAllowed):
            ask()
    assert rejections.of_gallery(db, admin) == []


# ---- in results ----


def plan(accepted: int, reasons: dict[str, int], **more: Any) -> dict[str, Any]:
    drawn = {"NSR": {"accepted": accepted, "rejected": 0, "reasons": {}}}
    drawn["AF"] = {"accepted": accepted, "rejected": sum(reasons.values()), "reasons": reasons}
    return {"drawn": drawn, **more}


def test_shares_are_of_all_samples_drawn() -> None:
    table = result_tables.rejected({1: plan(10, {}), 2: plan(20, REASONS)})

    def row(**wanted: str) -> Any:
        [found] = [one for _, one in table.iterrows() if all(one[name] == value for name, value in wanted.items())]
        return found

    whole = row(round="all", rhythm="all", figure="rejected")
    assert (whole["n"], whole["value"]) == (65, pytest.approx(5 / 65))
    assert whole["low"] < 5 / 65 < whole["high"]
    assert row(round="2", rhythm="AF", figure="rejected")["n"] == 25
    assert row(round="2", rhythm="AF", figure="rejected: flat lead")["value"] == pytest.approx(3 / 25)
    assert row(round="1", rhythm="NSR", figure="rejected")["value"] == 0


def test_what_is_not_known_says_why() -> None:
    for plans, reason in (({}, "no sample was drawn"), ({1: {}}, "does not say"), ({1: {"drawn": {}}}, "no sample was drawn")):
        table = result_tables.rejected(plans)
        assert len(table) >= 3
        assert table["value"].isna().all()
        assert table["reason"].str.contains(reason).all()


@pytest.mark.parametrize(
    ("record", "said", "unsaid"),
    [
        (plan(50, REASONS, quality_control=["1, copies checked"]), "Round 1: 5 of 105 samples were rejected", COPIES_NOT_CHECKED),
        (plan(20, REASONS, quality_control=["1, copies checked"]), "Round 1: More than 10 % had to be rejected", COPIES_NOT_CHECKED),
        (plan(20, {}, quality_control=["1, copies checked", "1, copies not checked"]), f"Round 1: {COPIES_NOT_CHECKED}", "rejected"),
        (plan(20, {}), f"Round 1: {COPIES_NOT_CHECKED}", "rejected"),
        ({}, "real and", "Round 1"),
    ],
)
def test_the_notes_under_the_figures_tell_it(db: Database, record: dict[str, Any], said: str, unsaid: str) -> None:
    planted = read_study(db, cases=8, repeats=2)
    with db.read() as session:
        data = export.study_data(session, planted.study_id)
    [opened] = data.rounds
    notes = " ".join(results_of(replace(data, rounds=[replace(opened, plan={**opened.plan, **record})])).notes)
    assert said in notes
    assert unsaid not in notes
