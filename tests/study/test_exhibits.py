"""The pictures of a study's results: drawn where the figures lie, each with a caption, a table and a file that say the same; gaps say why."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import snapshots
from storage.database import Database
from storage.export import StudyData
from study.report import exhibits
from study.report.chart import MOST_ROWS, Axis, Entry, Mark, around, from_zero, intervals_picture
from study.report.exhibit import Exhibit, made, table_of
from study.report.facts import Found
from study.report.parts import Dot, Line, Picture, Word
from study.report.svg import svg
from study.results import Results, records, results_of
from tests.databases import new_url
from tests.study.factory import read_study


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    """Two rounds, made of one, with a mark in some readings of synthetic strips."""
    db = Database(new_url(tmp_path_factory.mktemp("exhibits")))
    db.migrate()
    planted = read_study(db, cases=16, repeats=2)
    with db.read() as session:
        found = snapshots.study_data(session, planted.study_id)
    db.close()
    later = sorted(case.id for case in found.cases if case.role == "scored")[8:]
    cases = [replace(case, round_number=2) if case.id in later else case for case in found.cases]
    marked = [{"lead": "V2", "from_ms": 100, "to_ms": 300}]
    return replace(found, cases=cases, judgements=[replace(one, marks=marked) if one.case_id % 4 == 1 else one for one in found.judgements])


@pytest.fixture(scope="module")
def results(data: StudyData) -> Results:
    return results_of(data)


@pytest.fixture(scope="module")
def shown(results: Results) -> list[Exhibit]:
    return all_of(results)


@pytest.fixture(scope="module")
def unread(data: StudyData) -> list[Exhibit]:
    """Nothing was scored: all cases are controls."""
    return all_of(results_of(replace(data, cases=[replace(case, role="control", repeat_of=None) for case in data.cases])))


def all_of(results: Results) -> list[Exhibit]:
    found = Found(results)
    return [exhibits.accuracy(found), *(one for _heading, of_part in exhibits.sections(found) for one in of_part)]


def named(shown: list[Exhibit], name: str) -> Exhibit:
    [wanted] = [one for one in shown if one.name == name]
    return wanted


def file_of(exhibit: Exhibit) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exhibit.csv)))


# ---- the verdict ----


def test_verdict_and_first_picture_are_those_of_the_results(results: Results, shown: list[Exhibit]) -> None:
    [everybody] = records(results.verdicts, group="all")
    first, more = exhibits.verdict(Found(results))
    assert f"{first} {more}".strip() == everybody["sentence"]
    assert ". " not in first
    picture = named(shown, "accuracy").picture
    assert picture is not None
    assert f"All readers: {everybody['sentence']}" in picture.told
    written = {row["name"]: row for row in file_of(named(shown, "accuracy"))}
    for row in records(results.verdicts):
        assert [float(written[row["name"]][of]) for of in ("value", "low", "high")] == [row[of] for of in ("value", "low", "high")]
    assert len(written) == len(results.verdicts)


# ---- each has what it needs ----


def test_names_and_titles_are_their_own(shown: list[Exhibit]) -> None:
    assert len({one.name for one in shown}) == len({one.title for one in shown}) == len(shown)


def test_each_has_a_picture_with_a_caption_or_a_sentence_why_not(shown: list[Exhibit], unread: list[Exhibit]) -> None:
    for one in (*shown, *unread):
        assert (one.picture is None) == bool(one.instead), one.name
        told = one.picture.caption if one.picture else one.instead
        assert re.search(r"[a-z].*[.]$", told), one.name
        if one.picture:
            assert "n = " in one.picture.caption
            assert one.picture.told
    assert [one.name for one in shown if one.picture is None] == ["controls", "utility", "machine-roc", "against-machine", "suspicion"]
    assert [one.name for one in unread if one.picture] == ["controls"]


def test_no_gap_is_told_as_a_word_of_python(shown: list[Exhibit], unread: list[Exhibit]) -> None:
    for one in (*shown, *unread):
        texts = [one.csv, one.instead, *one.table.notes, *(cell for row in one.table.rows for cell in row.cells)]
        texts += [one.picture.caption, svg(one.picture)] if one.picture else []
        for text in texts:
            assert not re.search(r"\b(nan|None|<NA>|inf)\b", text, re.IGNORECASE), (one.name, text)


@pytest.mark.parametrize("name", ["accuracy", "auc", "arms", "hospitals", "agreement", "repeats", "morphology", "learning", "times", "cues", "marks"])
def test_the_file_says_what_the_table_shows(shown: list[Exhibit], name: str) -> None:
    exhibit = named(shown, name)
    written, rows = file_of(exhibit), exhibit.table.rows
    assert len(written) == len(rows) > 0
    for line, row in zip(written, rows, strict=True):
        *_keys, cell, n = row.cells
        assert n == (line["n"] or "–")
        if not line["value"]:
            assert re.match(r"– \[[a-z]+\]", cell)
            assert line["reason"]
            continue
        scale = 100 if "%" in cell or line["unit"] == "difference of proportions" or line["figure"].startswith("difference of") else 1
        near = 0.5 if cell.split("(")[0].endswith("s ") else 0.05 if scale == 100 else 0.005
        told = [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?", cell.replace("< ", ""))]
        known = [float(line[of]) * scale for of in ("value", "low", "high") if line[of]]
        assert told == pytest.approx(known, abs=near * 1.001), (name, cell, line)


def test_the_curves_file_says_what_its_table_shows(shown: list[Exhibit], results: Results) -> None:
    roc = named(shown, "roc")
    assert len(file_of(roc)) == len(roc.table.rows) == 6 * len(results.curves)
    for line, row in zip(file_of(roc), roc.table.rows, strict=True):
        assert row.cells == (*list(line.values())[:2], *(f"{100 * float(line[of]):.1f} %" for of in ("of real", "of synthetic")))


def test_every_number_that_is_drawn_stands_in_the_table_where_it_lies(shown: list[Exhibit]) -> None:
    """Markers are read back by the axes' own marks, and compared with the rows of the file."""
    for one in shown:
        if one.picture is None or one.name == "roc":
            continue
        drawn = sorted(value for axis in axes(one.picture) for value in axis)
        factor = [100 if row["unit"] in ("proportion", "difference of proportions") and not plain(row) else 1 for row in one.rows]
        known = [row["value"] * by for row, by in zip(one.rows, factor, strict=True) if row["value"] is not None]
        assert drawn, one.name
        for value in drawn:
            assert min(abs(value - other) for other in known) < 1e-6, (one.name, value)


def plain(row: dict[str, Any]) -> bool:
    return row["figure"] in ("AUC", "AUROC", "macro F1")


def axes(picture: Picture) -> list[list[float]]:
    """The values of each axis' markers."""
    low = max(shape.y1 for shape in picture.shapes if isinstance(shape, Line) and shape.y1 == shape.y2 and shape.stroke == 0.25)
    found = []
    for line in picture.shapes:
        if isinstance(line, Line) and line.y1 == line.y2 == low:
            marks = [word for word in picture.shapes if isinstance(word, Word) and word.y == low + 4.4 and line.x1 <= word.x <= line.x2]
            first, last = (float(word.text) for word in (marks[0], marks[-1]))
            dots = [shape for shape in picture.shapes if isinstance(shape, Dot) and line.x1 <= shape.x <= line.x2 and shape.y > 3]
            found.append([first + (last - first) * (dot.x - line.x1) / (line.x2 - line.x1) for dot in dots])
    return found


# ---- gaps ----


def test_a_gap_in_a_picture_is_a_letter_whose_reason_ends_the_caption() -> None:
    known = {"value": 0.5, "low": 0.4, "high": 0.6, "reason": None}
    gap = {"value": None, "low": None, "high": None, "reason": "nobody read a strip"}
    bare = {"value": 0.7, "low": None, "high": None, "reason": "one reading"}
    for number in (1, 2):
        rows = [Entry(called, ((Mark(figure),),) * number, "reader") for called, figure in (("A", known), ("B", gap), ("C", bare))]
        picture = intervals_picture("Shares.", [Axis("share")] * number, rows)
        words = [shape.text for shape in picture.shapes if isinstance(shape, Word)]
        assert "– [a]" in words
        assert picture.caption == "Shares. [a] nobody read a strip. [b] one reading."
        assert "B" in picture.told
        assert "undefined, because nobody read a strip" in picture.told
        assert "without an interval: one reading" in picture.told


def test_too_many_readers_for_a_page_are_left_to_the_table(results: Results) -> None:
    readers = results.readers
    many = readers.loc[readers.index.repeat(20)].assign(reader=[f"R{i:02d}" for i in range(20 * len(readers))])
    one = exhibits.accuracy(Found(replace(results, readers=many)))
    assert one.picture is not None
    assert "too many to draw" in one.picture.caption
    assert one.picture.height < 230
    assert len(one.table.rows) == len(one.rows) == len(many) + 3


# ---- axes ----


@given(st.lists(st.floats(-3, 3), min_size=1))
def test_an_axis_about_a_value_holds_all_figures(values: list[float]) -> None:
    low, high = around(0, [{"value": value, "low": None, "high": None} for value in values])
    assert low == -high
    assert low <= min(values) <= max(values) <= high


@given(st.lists(st.floats(1e-6, 1e6), min_size=1))
def test_an_axis_from_zero_holds_all_figures_and_is_no_more_than_needed(values: list[float]) -> None:
    end = from_zero([{"value": value, "low": None, "high": None} for value in values])
    assert max(values) <= end * (1 + 1e-9)
    assert end <= 2.5 * max(values) * (1 + 1e-9)
    step = end / 4 / 10 ** math.floor(math.log10(end / 4) + 1e-9)
    assert min(abs(step - wanted) for wanted in (1, 2, 2.5, 5)) < 1e-6


def test_a_picture_is_never_without_a_mark() -> None:
    """Six hospitals make fifteen pairs: where their intervals are too many to draw, words say so and the table has them."""
    row = {"group": "pair", "name": "A - B", "figure": "difference of AUC", "value": 0.1, "low": 0.0, "high": 0.2, "n": 9, "unit": "proportion"}
    row |= {"counted": "readers", "method": "m", "reason": None}
    entries = [Entry(f"pair {number}", ((Mark(row),),), "part") for number in range(MOST_ROWS + 1)]
    drawn = made("hospitals", "Differences", "How much.", [Axis("points")], entries, {"Hospitals": "name"})
    assert (drawn.picture, drawn.instead) == (
        None,
        f"No figure: {MOST_ROWS + 1} intervals are too many to draw. They are in the tables and in the export.",
    )
    assert len(drawn.table.rows) == MOST_ROWS + 1


def test_a_hospital_s_name_is_no_formula_of_a_spreadsheet() -> None:
    row = {"name": '=HYPERLINK("http://x")', "value": -0.5, "low": None, "method": "+1"}
    [read] = csv.DictReader(io.StringIO(Exhibit("x", "X", None, "", table_of("X", {"Readers": "name"}, []), (row,)).csv))
    assert read == {"name": '\'=HYPERLINK("http://x")', "value": "-0.5", "low": "", "method": "'+1"}
