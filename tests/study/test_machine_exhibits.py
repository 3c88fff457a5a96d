"""The pictures of readers and machine: what is drawn lies where the tables say, and captions say what n and by what method."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from storage import snapshots
from storage.database import Database
from study import machine, utility
from study.report import exhibits, machine_exhibits
from study.report.chart import Spread, spreads_picture
from study.report.exhibit import Exhibit
from study.report.facts import Found, shown
from study.report.parts import Dot, Line, Word
from study.report.svg import svg
from study.results import Results, records, results_of
from tests.databases import new_url
from tests.study.factory import PlantedReader, read_study


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two readers, a machine with a score of its own for every strip, and one strip without a distance."""
    db = Database(new_url(tmp_path_factory.mktemp("pictures")))
    db.migrate()
    planted = read_study(db, [PlantedReader("Heidelberg", 0.8), PlantedReader("Mannheim", 0.5)], cases=24, repeats=0)
    with db.read() as session:
        data = snapshots.study_data(session, planted.study_id)
    db.close()
    rng = np.random.default_rng(3)
    of = {}
    for number, (strip_id, sha256) in enumerate(data.sha256.items()):
        drawn = data.arms[strip_id].arm == "synthetic"
        apart = None if number == 0 else float(rng.uniform(0.5, 2))
        af = {"gradient boosting": float(rng.uniform()), "logistic regression": float(rng.uniform())}
        of[sha256] = {"synthetic": float(rng.uniform(0.2, 0.8) + 0.1 * drawn), "distance": apart, "nearest": None, "af": af, "training": None}
    none = dict.fromkeys(("macro_f1", "ci", "f1_ci", "auroc", "auroc_ci"))
    figures = {**none, "f1": {"AF": None}, "reason": "planted", "method": "", "n": {"test": {"AF": 3}}}
    experiments = {name: {"planted": figures} for name in utility.EXPERIMENTS}
    headline = {"headline": {"planted": {"value": 1.07, "ci": [0.9, 1.15], "reason": None}}}
    stored = {"machine": {"of": of, "reasons": {}}, "basis": utility.basis(data), **experiments, **headline}
    return results_of(replace(data, utility=stored))


def file_of(exhibit: Exhibit) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exhibit.csv)))


ALL = (machine_exhibits.roc, machine_exhibits.against_machine, machine_exhibits.suspicion, machine_exhibits.rhythm_calls, machine_exhibits.fooled)


def test_each_is_drawn_with_n_a_method_and_a_table(results: Results) -> None:
    for of in ALL:
        exhibit = of(Found(results))
        assert exhibit.picture is not None, exhibit.name
        assert "n = " in exhibit.picture.caption
        assert "interval" in exhibit.picture.caption or "95 %" in exhibit.picture.caption
        assert exhibit.picture.told
        assert len(exhibit.table.rows) == len(exhibit.rows) == len(file_of(exhibit)) > 0
        for text in (exhibit.csv, svg(exhibit.picture), exhibit.picture.caption):
            assert not re.search(r"\b(nan|None|<NA>|inf)\b", text), exhibit.name


def test_the_curves_of_readers_and_machine_are_drawn_from_corner_to_corner(results: Results) -> None:
    exhibit = machine_exhibits.roc(Found(results))
    assert exhibit.picture is not None
    bold = [shape for shape in exhibit.picture.shapes if isinstance(shape, Line) and shape.stroke == 0.7 and shape.y2 <= 82 and shape.x2 <= 90]
    corners = machine.curve(results.strips)
    assert len(bold) == len(corners) - 1
    for line, (start, end) in zip(bold, pairwise(corners), strict=True):
        assert (line.x1, line.y1) == pytest.approx((12 + 78 * start[0], 82 - 78 * start[1]))
        assert (line.x2, line.y2) == pytest.approx((12 + 78 * end[0], 82 - 78 * end[1]))
    words = [shape.text for shape in exhibit.picture.shapes if isinstance(shape, Word)]
    [own] = records(results.machine, group="machine")
    assert {"machine", "R01", "R02", f"AUC {own['value']:.2f} ({own['low']:.2f} to {own['high']:.2f})"} <= set(words)
    assert [row["name"] for row in file_of(exhibit)].count("machine") == len(corners) - 1


def test_every_strip_is_a_mark_where_its_values_say(results: Results) -> None:
    exhibit = machine_exhibits.suspicion(Found(results))
    assert exhibit.picture is not None
    strips = records(results.strips)
    marks = [shape for shape in exhibit.picture.shapes if isinstance(shape, Dot) and shape.size == 1.6]
    left, right = ([mark for mark in marks if low <= mark.x <= low + 66] for low in (30, 106))
    assert (len(left), len(right)) == (24, 23)
    wanted = sorted((30 + 66 * row["machine"], 79 - 66 * (row["suspicion"] - 0.5) / 6, row["arm"] == "synthetic") for row in strips)
    for mark, (x, y, square) in zip(sorted(left), wanted, strict=True):
        assert (mark.x, mark.y) == pytest.approx((x, y))
        assert mark.square == square
    [row] = records(results.suspicion, group="all", beside=machine.SCORE, arm="synthetic")
    assert shown(row["value"], "difference") in exhibit.picture.caption


def test_a_ratio_above_one_lies_on_its_axis_and_stands_first(results: Results) -> None:
    exhibit = exhibits.utility(Found(results))
    assert exhibit.picture is not None
    assert exhibit.table.rows[0].cells[0] == utility.RATIO
    ticks = [shape for shape in exhibit.picture.shapes if isinstance(shape, Word) and shape.text in ("0", "1.2")]
    dots = [shape for shape in exhibit.picture.shapes if isinstance(shape, Dot)]
    assert len(ticks) == 2
    assert ticks[0].x + (ticks[1].x - ticks[0].x) * 1.07 / 1.2 == pytest.approx(dots[0].x)


def test_a_strip_outside_the_others_is_drawn_outside_their_line() -> None:
    rows = [
        Spread("inside", 5, 4, (0, 10), (2, 6), "60 %"),
        Spread("above", 99, 4, (0, 10), (2, 6), "100 %"),
        Spread("alike", 3, 3, (3, 3), (3, 3), "–"),
    ]
    dots = [shape for shape in spreads_picture("Features.", rows).shapes if isinstance(shape, Dot)]
    assert [dot.x for dot in dots] == pytest.approx([96, 130 + 0.06 * 68, 96])
    assert [dot.square for dot in dots] == [False, True, False]
