"""The report's page in a browser: nothing is asked for, nothing sticks out, and what is printed says on each page that a demo is one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pypdf
import pytest
from playwright.sync_api import Browser, Page

from storage.database import Database
from study.notices import STAND_INS, banner
from study.report.document import document
from tests.study.factory import read_study

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("report on paper")]


@pytest.fixture(scope="module")
def shown(chrome: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, list[str]]]:
    """A demo's report on a screen of a tablet's width, and the addresses that were asked for."""
    folder = tmp_path_factory.mktemp("report")
    db = Database(f"sqlite:///{folder / 'study.db'}")
    db.migrate()
    demo = read_study(db, demo=True, title="Demo study")
    file = folder / "report.html"
    file.write_bytes(document(db, demo.coordinator, demo.study_id, "html"))
    db.close()
    page = chrome.new_page(viewport={"width": 800, "height": 1000})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(Path(file).as_uri())
    yield page, asked
    page.close()


def test_nothing_but_the_file_is_asked_for(shown: tuple[Page, list[str]]) -> None:
    page, asked = shown
    assert asked == [page.url]


def test_nothing_sticks_out(shown: tuple[Page, list[str]]) -> None:
    page, _asked = shown
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert page.locator("figure > svg").count() == page.locator("figcaption").count() > 2


def test_printed_it_says_on_each_page_that_it_is_a_demo(shown: tuple[Page, list[str]]) -> None:
    page, _asked = shown
    printed = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    assert len(printed.pages) > 5
    for number, one in enumerate(printed.pages, start=1):
        assert banner(STAND_INS) in one.extract_text()
        assert f"{number} / {len(printed.pages)}" in one.extract_text()
