"""`blindstrip agreement FILE`: every figure from a CSV or an .imrmc file, the same again from the same seed, or one sentence why not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.agreement import analysis, coefficients, proportions
from study.agreement.imrmc import Ratings, to_text
from tests.benchmarks import agreement as benchmark
from tests.study.cli_calls import call, fails, run

KEYS = {"figure", "value", "low", "high", "se", "n", "counted", "reason", "method"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six readers of 40 cases at three sites, some cases unread, some read twice."""
    path = tmp_path_factory.mktemp("readings") / "readings.csv"
    benchmark.write_study(path, 6, 40, seed=3)
    return path


@pytest.fixture(scope="module")
def found(study: Path) -> dict[str, Any]:
    return run("agreement", study, "--seed", 5, "--draws", 200)


def rows(value: Any) -> Iterator[dict[str, Any]]:
    """All figures in an answer, however deep."""
    if isinstance(value, dict):
        if "figure" in value and "value" in value:
            yield value
        for one in value.values():
            yield from rows(one)
    elif isinstance(value, list):
        for one in value:
            yield from rows(one)


def of(table: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    everything = {"arm": "all", "rhythm": "all", "round": "all"} | wanted
    [one] = [row for row in table if all(row[name] == value for name, value in everything.items() if name in row)]
    return one


def test_every_figure_is_a_number_or_has_a_reason(found: dict[str, Any]) -> None:
    every = list(rows(found))
    assert len(every) > 2000
    for row in every:
        assert row.keys() >= KEYS
        for name in ("value", "low", "high", "se"):
            assert row[name] is None or math.isfinite(row[name])
        if row["value"] is None or row["low"] is None:
            assert row["reason"], row
        assert row["method"]


def test_all_groups_and_strata_are_there(found: dict[str, Any]) -> None:
    tables = ("agreement", "between_sites", "real_minus_synthetic", "within_readers", "realism", "calibration", "verdicts")
    assert all(found[name] for name in (*tables, "reader_and_case_means", "site_differences", "site_tests"))
    assert (found["readings"], found["readers"], found["cases"]) == (250, 6, 40)
    assert found["sites"] == ["site 0", "site 1", "site 2"]
    strata = {(row["arm"], row["rhythm"], row["round"]) for row in found["agreement"]}
    only = [
        ("real", "all", "all"),
        ("synthetic", "all", "all"),
        ("all", "NSR", "all"),
        ("all", "AF", "all"),
        ("all", "all", "1"),
        ("all", "all", "2"),
    ]
    assert strata == {("all", "all", "all"), *only}
    assert {row["group"] for row in found["agreement"]} == {"all", "site", "reader"}
    assert {row["name"] for row in found["between_sites"]} == {"within sites", "between sites", "within - between sites"}
    assert {row["group"] for row in found["realism"]} == {"all", "site", "reader"}
    assert {row["outcome"] for row in found["verdicts"]} <= {
        *("equivalent to chance within the margin", "better than chance", "worse than chance", "undecided", None)
    }
    assert {(row["readers"], row["cases"]) for row in found["site_tests"]} == {("random", "random"), ("fixed", "random"), ("random", "fixed")}
    assert {row["figure"] for row in found["real_minus_synthetic"] if row["item"] == "score"} >= {
        "raw agreement",
        "Gwet's AC2",
        "Krippendorff's alpha",
    }
    assert [row["what"] for row in found["left_out"]] == ["readings of a case that the reader had read before"]


def test_figures_are_those_of_the_modules(found: dict[str, Any], study: Path) -> None:
    from study.agreement.cut import Cut, Stratum
    from study.agreement.file import read_csv

    cut = Cut(read_csv(study))
    ratings = cut.ratings(cut.items[0], Stratum())
    expected = coefficients.coefficients(ratings, 2, seed=5, draws=200).estimates["Conger's kappa"]
    row = of(found["agreement"], group="all", item="rating", figure="Conger's kappa")
    assert (row["value"], row["low"], row["high"], row["se"], row["n"]) == pytest.approx(
        (expected.value, expected.low, expected.high, expected.se, expected.n)
    )
    truth = np.array([cut.synthetic[code] == 1 for code in range(40)])
    first = ratings[:, 0] >= 0
    accuracy = proportions.accuracy(truth[first], ratings[first, 0] == 1)
    row = of(found["realism"], group="reader", name=cut.readers[0], figure="accuracy")
    assert (row["value"], row["low"], row["high"], row["n"]) == pytest.approx((accuracy.value, accuracy.low, accuracy.high, accuracy.n))
    difference = of(found["real_minus_synthetic"], group="all", item="rating", figure="Conger's kappa", arm="real - synthetic")
    arms = [of(found["agreement"], group="all", item="rating", figure="Conger's kappa", arm=arm)["value"] for arm in ("real", "synthetic")]
    assert difference["value"] == pytest.approx(arms[0] - arms[1])


def test_the_seed_decides(found: dict[str, Any], study: Path) -> None:
    assert run("agreement", study, "--seed", 5, "--draws", 200) == found
    other = run("agreement", study, "--seed", 6, "--draws", 200)
    one, two = (of(answer["agreement"], group="all", item="rating", figure="Fleiss' kappa") for answer in (found, other))
    assert one["value"] == two["value"]
    assert (one["low"], one["high"]) != (two["low"], two["high"])


def test_the_order_of_lines_does_not_matter(found: dict[str, Any], study: Path, tmp_path: Path) -> None:
    header, *lines = study.read_text().splitlines()
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join([header, *np.random.default_rng(1).permutation(lines)]))
    other = run("agreement", shuffled, "--seed", 5, "--draws", 200)
    for table in ("agreement", "realism", "between_sites", "real_minus_synthetic"):
        values = [
            {
                (row["group"], row["name"], row.get("item"), row["arm"], row["rhythm"], row["round"], row["figure"]): row["value"]
                for row in answer[table]
            }
            for answer in (found, other)
        ]
        assert values[0].keys() == values[1].keys()
        for key, value in values[0].items():
            assert values[1][key] == (value if value is None else pytest.approx(value, abs=1e-9)), key


def test_text_for_people(study: Path) -> None:
    status, out, err = call("agreement", study, "--draws", 200)
    assert (status, err) == (0, "")
    for words in (
        "verdict:",
        "all readers, accuracy:",
        "Krippendorff's alpha",
        "real - synthetic",
        "95 % interval",
        "readers one by one:",
        "left out:",
    ):
        assert words in out
    assert not re.search(r"\bnan\b|\bNone\b", out)
    assert max(map(len, out.splitlines())) < 1000


def test_the_least_that_a_file_may_hold(tmp_path: Path) -> None:
    """Two readers, two cases, no arm: agreement alone, and the reason why there is no more."""
    path = tmp_path / "least.csv"
    path.write_text("reader,case,rating\nann,a,yes\nbob,a,yes\nann,b,no\nbob,b,yes\n")
    found = run("agreement", path, "--answers", "yes,no,unsure")
    assert "realism" not in found
    assert found["items"] == [{"item": "rating", "answers": ["yes", "no", "unsure"], "weights": "nominal"}]
    assert of(found["agreement"], group="all", figure="raw agreement")["value"] == 0.5
    assert of(found["agreement"], group="all", figure="Brennan-Prediger coefficient")["value"] == pytest.approx(0.25)
    assert of(found["agreement"], group="all", figure="Cohen's kappa")["value"] == 0
    assert found["left_out"][-1]["why"].startswith("the file does not say which strips are synthetic (column arm)")
    assert found["real_minus_synthetic"] == found["between_sites"] == []
    assert {row["reason"] for row in found["within_readers"]} == {"no case was answered twice"}
    status, out, err = call("agreement", path)
    assert (status, err) == (0, "")
    assert "agreement between readers" in out


def test_one_reader_and_readers_of_one_arm(tmp_path: Path) -> None:
    path = tmp_path / "alone.csv"
    path.write_text("reader,case,rating,arm,score\nann,a,real,real,1\nann,b,real,real,2\nann,c,synthetic,real,6\n")
    found = run("agreement", path)
    reasons = {row["reason"] for row in found["agreement"] if row["arm"] == "all" and row["figure"] != "z of Fleiss' kappa"}
    assert reasons == {"there is one reader: agreement needs two"}
    assert of(found["realism"], group="reader", figure="specificity")["value"] == pytest.approx(2 / 3)
    assert of(found["realism"], group="reader", figure="AUC")["reason"] == "no synthetic strip was read"
    assert {row["outcome"] for row in found["verdicts"]} == {None}
    undefined = of(found["real_minus_synthetic"], group="all", item="rating", figure="raw agreement", arm="real - synthetic")
    assert undefined["reason"].startswith("undefined on real strips: there is one reader")


def test_answers_that_are_not_calls_are_held_against_the_truth_by_score_alone(tmp_path: Path) -> None:
    path = tmp_path / "rhythm.csv"
    lines = [f"{reader},c{i},{('AF', 'NSR')[i % 2]},{('real', 'synthetic')[i % 2]},{1 + i % 3}" for reader in ("ann", "bob") for i in range(8)]
    path.write_text("\n".join(["reader,case,rating,arm,score", *lines]))
    found = run("agreement", path)
    assert {row["figure"] for row in found["realism"]} == {"AUC", "mean AUC"}
    assert "the rating is not real or synthetic: the arms are held against the score alone" in {row["why"] for row in found["left_out"]}
    without = tmp_path / "without.csv"
    without.write_text("\n".join(line.rsplit(",", 1)[0] for line in path.read_text().splitlines()))
    assert run("agreement", without)["left_out"][-1]["why"].startswith("the answers (AF, NSR) are not real and synthetic, and there is no score")


@pytest.fixture
def two_modalities(tmp_path: Path) -> Path:
    chance = np.random.default_rng(2)
    truth = np.arange(20) % 2 == 0
    scores = chance.integers(1, 4, size=(2, 20, 3)) + 2.0 * truth[None, :, None]
    scores[0, 3, 1] = np.nan
    names = (("r1", "r2", "r3"), tuple(f"c{i}" for i in range(20)), ("old", "new"))
    path = tmp_path / "ratings.imrmc"
    path.write_text(to_text(Ratings(names[0], names[1], names[2], truth, scores, "three readers")))
    return path


def test_an_imrmc_file_has_the_figures_of_its_scores(two_modalities: Path) -> None:
    found = run("agreement", two_modalities, "--draws", 200)
    assert set(found["by_modality"]) == {"old", "new"}
    assert {(row["readers"], row["cases"]) for row in found["modality_tests"]} == {("random", "random"), ("fixed", "random"), ("random", "fixed")}
    old = found["by_modality"]["old"]
    assert (old["readings"], old["readers"], old["cases"]) == (59, 3, 20)
    assert of(old["realism"], group="all", figure="mean AUC")["value"] > 0.8
    assert of(old["agreement"], group="all", item="score", figure="Krippendorff's alpha")["value"] > 0
    for row in rows(found):
        assert row["value"] is not None or row["reason"]
    single = two_modalities.with_name("single.imrmc")
    kept = [line for line in two_modalities.read_text().splitlines() if ",new," not in line and not line.startswith("NM")]
    single.write_text("\n".join(kept))
    assert run("agreement", single, "--draws", 200) == {**old, "file": str(single)}
    status, out, err = call("agreement", two_modalities, "--draws", 200)
    assert (status, err) == (0, "")
    assert "modality old:" in out


def test_scores_on_no_scale_keep_their_auc(tmp_path: Path) -> None:
    chance, truth = np.random.default_rng(4), np.arange(60) % 2 == 0
    path = tmp_path / "ratings.imrmc"
    path.write_text(to_text(Ratings(("r1", "r2"), tuple(f"c{i}" for i in range(60)), ("only",), truth, chance.normal(size=(1, 60, 2)))))
    found = run("agreement", path, "--draws", 200)
    assert (found["items"], found["agreement"], found["calibration"]) == ([], [], [])
    assert of(found["realism"], group="all", figure="mean AUC")["low"] is not None
    told = [row["what"] for row in found["left_out"]]
    assert told == [
        "agreement on the score, which has 120 different values",
        "accuracy, sensitivity, specificity, d' and criterion",
        "calibration of the score",
    ]
    assert call("agreement", path, "--draws", 200)[0] == 0


@pytest.mark.parametrize(
    ("name", "text", "arguments", "words"),
    [
        ("a.csv", "reader,case\nann,a\n", [], "line 1, rating: is not among the columns"),
        ("a.csv", "reader,case,rating\nann,a\n", [], "line 2: has 2 fields, fewer than"),
        ("a.csv", "reader,case,rating\nann,a,1\nann,a,2\n", [], "line 3, case: stands twice"),
        ("a.csv", "reader,case,rating,arm\nann,a,1,wrong\n", [], "line 2, arm: is 'wrong'"),
        ("a.csv", "reader,case,rating,score\nann,a,1,high\n", [], "line 2, score: is 'high'"),
        ("a.csv", "reader,case,rating\nann,a,maybe\n", ["--answers", "yes,no"], "line 2, rating: is 'maybe'"),
        ("a.csv", "", [], "line 1: no header"),
        ("a.txt", "reader,case,rating\nann,a,1\n", [], "ends in .csv or .imrmc"),
        ("a.imrmc", "BEGIN DATA:\n-1,c1,truth,2\n", [], "line 2, score: the truth of case 'c1' is 2"),
        ("a.imrmc", "no data\n", [], "no line 'BEGIN DATA:'"),
        ("a.imrmc", "BEGIN DATA:\n", ["--answers", "yes,no"], "has scores and no answers"),
        ("a.csv", "reader,case,rating\nann,a,1\n", ["--margin", "0.7"], "--margin: a margin of 0.7"),
        ("a.csv", "reader,case,rating\nann,a,1\n", ["--draws", "20"], "--draws: 20 bootstrap samples give no 95 % interval"),
        ("a.csv", "reader,case,rating\nann,a,1\n", ["--draws", "0"], "no whole number of 1 or more"),
        ("a.csv", "reader,case,rating\nann,a,1\n", ["--answers", "yes,yes"], "no names with commas between them, each once"),
        ("a.csv", "reader,case,rating\nann,a,1\n", ["--seed", "-1"], "no whole number of 0 or more"),
    ],
)
def test_wrong_files_and_arguments_are_one_sentence(tmp_path: Path, name: str, text: str, arguments: list[str], words: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert words in fails("agreement", path, *arguments)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in fails("agreement", tmp_path / "nothing.csv")
    assert "Is a directory" in fails("agreement", tmp_path.rename(tmp_path.with_name("folder.csv")))


def test_the_benchmark_measures_what_it_says(study: Path) -> None:
    told = benchmark.measure_one(study)
    assert told["readings"] > 200
    assert 0 < told["seconds"]["coefficients"] < told["seconds"]["command"]
    assert told["GB"] > 0


def test_the_answer_is_plain_json(study: Path) -> None:
    found = analysis.of_file(study, draws=100)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
