"""`blindstrip plan` and `blindstrip simulate`: what they answer, the same again for the same seed, and one sentence where they cannot."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from storage.database import Database
from study import people
from study.commands import simulation
from study.results import records, results
from study.simulation.coverage import Coverage
from tests.study.cli_calls import call, fails, run

SMALL = ("--sites", 1, "--readers", 2, "--cases", 12, "--repeat", 2, "--auc", 0.8, "--bias", 0.2)

pytestmark = pytest.mark.xdist_group("simulate command")


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, str]:
    folder = tmp_path_factory.mktemp("simulate")
    url = f"sqlite:///{folder / 'kept.db'}"
    return run("simulate", *SMALL, "--studies", 3, "--out", folder / "figures.csv", "--database", url), folder / "figures.csv", url


def test_planted_stands_beside_found(answered: tuple[dict[str, Any], Path, str]) -> None:
    told, _file, url = answered
    assert "nobody has seen" in told["simulated"]
    assert told["design"]["readers_in_all"] == 2
    assert told["design"]["cases_shown"] == 14
    assert told["planted"]["new_readers"]["auc"] == 0.8
    assert told["database"] == url
    [auc] = [one for one in told["compared"] if one["figure"] == "AUC"]
    assert (auc["planted"], auc["truth_of"], auc["claimed"]) == (0.8, "new readers", True)
    assert auc["covered"] == (auc["low"] <= 0.8 <= auc["high"])
    assert {one["figure"] for one in told["coverage"]} == {one["figure"] for one in told["compared"]}
    assert set(told["coverage"][0]) == set(Coverage.__dataclass_fields__)
    assert [one["truth"] for one in told["equivalence"]] == ["as planted", "at chance", "edge of the margin"]
    assert all(one["studies"] == 3 for one in told["equivalence"])


def test_the_study_is_kept_where_it_was_asked_for(answered: tuple[dict[str, Any], Path, str]) -> None:
    """The figures that were told are those of `blindstrip results`, which stays there."""
    told, _file, url = answered
    db = Database(url)
    coordinator = people.person_by_username(db, "simulated-cora")
    assert coordinator is not None
    found = results(db, coordinator, 1)
    db.close()
    [row] = records(found.realism, group="all", rhythm="all", figure="AUC")
    [auc] = [one for one in told["compared"] if one["figure"] == "AUC"]
    assert (row["value"], row["low"], row["high"]) == pytest.approx((auc["found"], auc["low"], auc["high"]))
    assert found.verdicts["sentence"][0] == told["verdict"]
    assert found.demo


def test_the_file_has_a_line_for_each_study_and_figure(answered: tuple[dict[str, Any], Path, str]) -> None:
    told, file, _url = answered
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["study"] for row in rows} == {"0", "1", "2"}
    assert len(rows) == 3 * len(told["compared"])
    first = [row for row in rows if row["study"] == "0"]
    assert [float(row["planted"]) for row in first] == [one["planted"] for one in told["compared"]]
    assert [row["covered"] for row in first] == ["" if one["covered"] is None else str(one["covered"]) for one in told["compared"]]


def test_quick_leaves_out_what_is_bootstrapped(answered: tuple[dict[str, Any], Path, str]) -> None:
    told, *_ = answered
    quick = run("simulate", *SMALL, "--quick")
    assert [one for one in told["compared"] if one in quick["compared"]] == quick["compared"]
    left_out = {one["figure"] for one in told["compared"]} - {one["figure"] for one in quick["compared"]}
    assert {"Gwet's AC1, all strips", "accuracy (clustered)"} <= left_out
    assert "AUC" not in left_out
    assert quick["coverage"] == []


def test_the_same_seed_gives_the_same_answer(answered: tuple[dict[str, Any], Path, str]) -> None:
    told, *_ = answered
    again = run("simulate", *SMALL, "--studies", 3)
    assert again == {**told, "database": None}
    assert run("simulate", *SMALL, "--studies", 3, "--seed", 1)["compared"] != told["compared"]


def test_in_words(monkeypatch: pytest.MonkeyPatch, answered: tuple[dict[str, Any], Path, str]) -> None:
    told, *_ = answered
    words = simulation._in_words(told)
    assert {"planted", "found in the first study", "coverage", "equivalence test"} <= set(words)
    status, out, _err = call("plan", "--check", 5)
    assert status == 0
    assert "cases for 80 percent power" in out
    assert "edge of the margin" in out


def test_the_plan(tmp_path: Path) -> None:
    told = run("plan", "--sites", 2, "--readers", 4, "--cases", 60, "--margin", 0.1, "--repeat", 6, "--seconds", 20)
    assert told["design"]["readers_in_all"] == 8
    assert told["minutes"] == pytest.approx(22)
    assert 0.6 < told["equivalent"] < 0.8
    assert told["cases_for_80_percent_power"] > 60
    assert "remark" not in told
    hopeless = run("plan", "--sites", 1, "--readers", 3, "--margin", 0.03)
    assert hopeless["cases_for_80_percent_power"] is None
    assert "more readers" in hopeless["remark"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("plan", "--cases", 61), "cases"),
        (("plan", "--margin", 0.7), "margin"),
        (("plan", "--sites", 1, "--readers", 1), "readers"),
        (("plan", "--seconds", "nan"), "seconds"),
        (("simulate", "--auc", 1.2), "auc"),
        (("simulate", "--margin", 0), "margin"),
        (("simulate", "--studies", 0), "studies"),
        (("simulate", "--seed", 2**31), "seed"),
        (("simulate", "--database", "nonsense"), "database URL"),
    ],
)
def test_what_makes_no_study_is_refused_in_a_sentence(arguments: tuple[object, ...], word: str) -> None:
    assert word in fails(*arguments)


def test_a_database_in_use_is_left_alone(answered: tuple[dict[str, Any], Path, str]) -> None:
    _told, _file, url = answered
    assert "empty" in fails("simulate", *SMALL, "--seed", 4, "--db", url)


def test_without_repeats_nothing_is_said_of_them() -> None:
    told = run("simulate", "--sites", 1, "--readers", 2, "--cases", 12)
    assert not [one for one in told["compared"] if "oneself" in one["figure"]]
    assert all(one["planted"] is not None for one in told["compared"])
