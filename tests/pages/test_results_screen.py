"""The results screen of an unblinded study: verdict and picture first, every figure with caption, table and files, what had to be rejected."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import Any

import pytest
import streamlit as st

from pages import results
from storage import studies
from storage.database import Database
from storage.tables import Round, now
from study.report import exhibits
from study.report.facts import Found
from study.results import Results, records
from tests.pages.visiting import Visit, shown
from tests.study.factory import Planted, read_study

HOSTILE = "Pilot <img src=//evil.example/p.png> </style> ![x](http://evil.example)"


def computed(visit: Visit, planted: Planted) -> Results:
    """The figures before the screen is drawn, whose own time is limited."""
    results._results.clear()
    results._shown.clear()
    return results._results(visit.world.people["coordinator"], planted.study_id)


def _screen(visit: Visit, db: Database, drawn: dict[str, Any] | None) -> Any:
    planted = read_study(db, demo=True, cases=8, repeats=2, unblinded=False)  # the world's people are of the demo
    with db.write() as session:
        if drawn is not None:
            opened = session.query(Round).filter_by(study_id=planted.study_id).one()
            opened.plan = {**opened.plan, "drawn": drawn, "quality_control": ["1, copies not checked"]}
        studies.change(session, planted.study_id, unblinded_by=planted.coordinator.id, unblinded_at=now())
    computed(visit, planted)
    test = visit.as_("coordinator", "results")
    assert not test.exception
    return test


def _drawn(rejected: int) -> dict[str, Any]:
    return {"AF": {"accepted": 20, "rejected": rejected, "reasons": {"AF with P waves": rejected} if rejected else {}}}


def test_the_share_rejected_stands_with_its_interval(visit: Visit, db: Database) -> None:
    test = _screen(visit, db, _drawn(1))
    assert "1 of 21 samples were rejected (4.8 %): AF with P waves: 1. 95 % interval of the share: 0.8 % to 22.7 %." in shown(test)
    assert "copies of training strips were not looked for" in shown(test).lower()
    assert not [one for one in test.warning if "10 %" in one.value]


def test_more_than_a_tenth_rejected_is_a_warning(visit: Visit, db: Database) -> None:
    test = _screen(visit, db, _drawn(5))
    [warning] = [one for one in test.warning if "10 %" in one.value]
    assert "5 of 25 samples were rejected" in warning.value.replace("\\", "")


@pytest.mark.parametrize("drawn", [None, {}])
def test_where_nothing_is_known_nothing_is_said(visit: Visit, db: Database, drawn: dict[str, Any] | None) -> None:
    assert "had to be rejected" not in shown(_screen(visit, db, drawn))


# ---- figures ----


def test_every_figure_has_number_caption_table_and_files(visit: Visit, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks all figures of the screen: one without its table or a file fails here, and so does a file that says other than its table."""
    files: dict[str, Any] = {}
    monkeypatch.setattr(st, "download_button", lambda _label, content, name, *_more, **_how: files.__setitem__(name, content))
    planted = read_study(db, demo=True, cases=8, repeats=2, title=HOSTILE)
    found = Found(computed(visit, planted))
    test = visit.as_("coordinator", "results")
    assert not test.exception
    blocks = [one.proto.body for one in test.get("html")]
    wanted = [exhibits.accuracy(found), *(one for _heading, of_part in exhibits.sections(found) for one in of_part)]
    number = 0
    for exhibit in wanted:
        if exhibit.picture is None:
            [told] = [block for block in blocks if f"<h4>{exhibit.title}</h4>" in block]
            assert html.escape(exhibit.instead) in told
            continue
        number += 1
        at = next(i for i, block in enumerate(blocks) if f"<h4>Figure {number}. {exhibit.title}</h4>" in block)
        assert re.search(r'<img alt="[^"]{20,}" src="data:image/svg', blocks[at])
        assert re.search(r"<figcaption>[^<]{40,}[.]</figcaption>", blocks[at])
        assert f"The table behind figure {number}" in blocks[at + 1]
        table, svg = (files.pop(f"figure-{number}-{exhibit.name}.{ending}") for ending in ("csv", "svg"))
        assert svg.startswith("<svg xmlns=")
        assert_same(list(csv.DictReader(io.StringIO(table.decode("utf-8-sig")))), blocks[at + 1])
    assert number > 10
    assert files == {}
    assert not re.search(r"\b(nan|None|<NA>)\b", shown(test))


def assert_same(file: list[dict[str, str]], block: str) -> None:
    """The figures of a file are those of the table on the page, line by line, as far as the table writes them out."""
    lines = [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", block.partition("<tbody>")[2].partition("</tbody>")[0])
    ]
    assert len(lines) == len(file) > 0
    for cells, row in zip(lines, file, strict=True):
        names = ("value", "low", "high") if "value" in row else ("of real", "of synthetic")
        told = [float(number) for cell in (cells[-2:-1] if "value" in row else cells[-2:]) for number in re.findall(r"[-+]?\d+(?:[.]\d+)?", cell)]
        known = [float(row[name]) for name in names if row[name]]
        percent = bool(told) and (abs(known[0] * 100 - told[0]) < 0.06)
        assert told == pytest.approx([100 * one for one in known] if percent else known, abs=0.51 if row.get("unit") == "seconds" else 0.06), row


def test_the_verdict_comes_first_and_its_picture_next(visit: Visit, db: Database) -> None:
    planted = read_study(db, demo=True, cases=8, repeats=2, title=HOSTILE)
    [everybody] = records(computed(visit, planted).verdicts, group="all")
    test = visit.as_("coordinator", "results")
    head, verdict, picture, *_rest = [one.proto.body for one in test.get("html")]
    first, more = (html.unescape(re.sub("<[^>]+>", "", verdict)), next(one.value for one in test.caption))
    assert everybody["sentence"].startswith(first)
    assert more.replace("\\", "").startswith(everybody["sentence"].removeprefix(first).strip())
    assert "Figure 1. Accuracy against the margin" in picture
    assert "protocol " in head
    assert html.escape(HOSTILE) in head  # a title is words, on screen as on paper
    assert not any("evil.example" in block for block in (verdict, picture))
