"""From the results to the page of a single strip and back: after unblinding, for those who may see results."""

from __future__ import annotations

from typing import Any

import pytest

from pages import results
from storage import snapshots, studies
from storage.database import Database
from study import utility
from tests.pages.visiting import Visit, by_label, shown
from tests.study.factory import Planted, PlantedReader, read_study

ALWAYS_WRONG = [PlantedReader("Heidelberg", 0.0), PlantedReader("Mannheim", 0.0)]


@pytest.fixture
def planted(visit: Visit, db: Database) -> Planted:
    """Two readers who are always wrong, a machine that is always right."""
    made = read_study(db, ALWAYS_WRONG, demo=True, cases=12, repeats=0, revise=0)
    with db.write() as session:
        data = snapshots.study_data(session, made.study_id)
        of = {}
        for strip_id, sha256 in data.sha256.items():
            score = 0.9 if data.arms[strip_id].arm == "synthetic" else 0.1
            of[sha256] = {"synthetic": score, "distance": 1 + score, "nearest": None, "af": {"planted": 0.5}, "training": None}
        figures = {
            "macro_f1": None,
            "ci": None,
            "f1": {"AF": None},
            "f1_ci": None,
            "auroc": None,
            "auroc_ci": None,
            "reason": "planted",
            "method": "",
        }
        experiments = {name: {"planted": figures | {"n": {"test": {"AF": 3}}}} for name in utility.EXPERIMENTS}
        stored = {"machine": {"of": of, "reasons": {}}, "basis": utility.basis(data), **experiments}
        studies.change(session, made.study_id, utility=stored)
    results._results.clear()
    results._shown.clear()
    return made


def at(visit: Visit, who: str, planted: Planted, **query: Any) -> Any:
    test = visit.as_(who, "results", study=planted.study_id, **query)
    assert not test.exception
    return test


def test_the_results_show_who_was_fooled_and_lead_to_the_strip_and_back(visit: Visit, planted: Planted) -> None:
    test = at(visit, "coordinator", planted)
    blocks = "".join(one.proto.body for one in test.get("html"))
    for title in ("Readers and machine on the same strips", "Readers less machine", "What readers suspect", "Does a synthetic AF read as AF?"):
        assert f". {title}" in blocks, title
    assert "Compute classifier utility" not in [one.label for one in test.button], "nothing is missing or stale"
    kinds = test.radio(key=f"fooled-{planted.study_id}")
    assert kinds.options == [
        "Synthetic, taken for real by every reader (6)",
        "Real, taken for synthetic by every reader (6)",
        "Synthetic, recognised by every reader (0)",
        "Real, recognised by every reader (0)",
    ]
    assert len(test.get("plotly_chart")) == 2
    assert "2 of 2 readers wrong" in shown(test)
    first = next(one for one in test.button if one.label == "This strip's page")
    code = first.key.removeprefix("open-")
    page = first.click().run()
    assert not page.exception
    assert page.query_params["strip"] == code
    said = shown(page)
    assert f"case {code}" in said
    for heading in ("Where it came from", "What machines say", "What everybody said", "What lies nearest", "Its features"):
        assert heading in said
    assert "Probability of synthetic, by a classifier that never saw this patient: 0.90." in said
    assert [set(table.value["reader"]) for table in page.dataframe] == [{"R01", "R02"}]
    assert "Demo" in said
    back = by_label(page, "Back to the results").click().run()
    assert not back.exception
    assert "Which strips fooled everybody, and which nobody?" in shown(back)


def test_figures_of_other_strips_are_called_stale_and_can_be_computed_again(visit: Visit, planted: Planted, db: Database) -> None:
    with db.write() as session:
        stored = studies.utility(session, planted.study_id)
        assert stored is not None
        studies.change(session, planted.study_id, utility=stored | {"basis": stored["basis"] | {"strips": "0" * 64}})
    test = at(visit, "researcher", planted)
    [warning] = [one.value.replace("\\", "") for one in test.warning if "stale" in one.value]
    assert "computed of other strips" in warning
    assert by_label(test, "Compute classifier utility")
    assert "AUC 1.00" not in shown(test)


def test_neither_a_reader_nor_a_blind_study_shows_a_strip_s_page(visit: Visit, planted: Planted, db: Database) -> None:
    with db.read() as session:
        code = next(case.code for case in studies.cases(session, planted.study_id))
    refused = visit.as_("reader", "results", study=planted.study_id, strip=code)
    assert len(refused.error) == 1
    assert "may not see results" in refused.error[0].value
    assert not refused.get("plotly_chart")
    blind = visit.as_("coordinator", "results", study=visit.world.study_id, strip=next(iter(visit.world.arm_of_code)))
    assert "still blind" in shown(blind)
    assert not blind.get("plotly_chart")
    unknown = at(visit, "coordinator", planted, strip="nothing")
    assert "has no case" in shown(unknown)
