"""The results page printed by a browser: figures whole, tables open, nothing that can only be clicked; and its files and axe on the screen."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator

import pypdf
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from pages.access import COOKIE
from storage.database import Database
from study import sign_in
from study.notices import STAND_INS, banner
from tests.browser.driving import Server, settled
from tests.study.factory import read_study

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("results on paper")]

TITLE = "Demo study"


@pytest.fixture(scope="module")
def page(server: Server, chrome: Browser) -> Iterator[Page]:
    """The results of a demo's study, as its coordinator sees them in the dark theme."""
    db = Database(server.database)
    db.migrate()
    planted = read_study(db, demo=True, title=TITLE, cases=8, repeats=2)
    token = sign_in.sign_in_demo(db, planted.coordinator.username)
    db.close()
    context = chrome.new_context(viewport={"width": 1366, "height": 768}, color_scheme="dark")
    server.watch(context)
    context.add_cookies([{"name": COOKIE, "value": token, "url": server.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{server.url}/findings")
    page.get_by_role("heading", name="All tables").wait_for()
    settled(page)
    yield page
    context.close()


@pytest.fixture(scope="module")
def printed(page: Page) -> list[str]:
    """The words of each sheet of paper, without blanks."""
    reader = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))
    assert {round(float(one.mediabox.width)) for one in reader.pages} <= {595, 596}  # A4
    return [bare(one.extract_text()) for one in reader.pages]


def bare(text: str) -> str:
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))  # without ligatures


def figures(page: Page) -> list[tuple[str, str]]:
    """Title and caption of each."""
    found = page.locator("figure.bs-figure")
    return [(one.locator("h4").inner_text(), one.locator("figcaption").inner_text()) for one in found.all()]


def test_a_figure_s_title_picture_and_caption_are_on_one_sheet(page: Page, printed: list[str]) -> None:
    shown = figures(page)
    assert len(shown) > 10
    for title, caption in shown:
        [sheet] = [text for text in printed if bare(title) in text]
        assert bare(caption) in sheet, title


def test_all_tables_are_open_on_paper_and_closed_on_the_screen(page: Page, printed: list[str]) -> None:
    tables = page.locator("details.bs-table")
    assert tables.count() == len(figures(page))
    assert not any(one.is_visible() for one in page.locator("details.bs-table table").all())
    told = "".join(printed)
    for cells in page.locator("details.bs-table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].slice(1).map(one => one.textContent))"
    ):
        assert bare("".join(cells)) in told


def test_nothing_that_can_only_be_clicked_is_printed(printed: list[str]) -> None:
    told = "".join(printed)
    for words in ("Table (CSV)", "Picture (SVG)", "All tables", "Prepare the export", "The table behind", "Account", "People"):
        assert bare(words) not in told, words


def test_every_sheet_says_whose_it_is(page: Page, printed: list[str]) -> None:
    assert bare(TITLE) in printed[0]
    protocol = re.search(r"protocol ([0-9a-f]{64})", page.locator(".bs-paper-head").text_content() or "")
    assert protocol
    assert protocol[1] in printed[0]
    for number, text in enumerate(printed, start=1):
        assert bare(banner(STAND_INS)) in text
        assert bare(f"protocol {protocol[1][:12]}") in text
        assert bare(f"{number} / {len(printed)}") in text


def test_pictures_are_seen_and_nothing_is_asked_of_other_hosts(page: Page, server: Server) -> None:
    sizes = page.locator("figure.bs-figure img").evaluate_all("images => images.map(one => one.complete && one.naturalWidth)")
    assert len(sizes) == len(figures(page))
    assert all(sizes)
    assert server.elsewhere == []


def test_a_file_is_what_its_button_says(page: Page) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Table (CSV)").first.click()
    assert download.value.suggested_filename == "figure-1-accuracy.csv"
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture (SVG)").first.click()
    assert download.value.path().read_text().startswith("<svg")


def test_the_screen_has_no_serious_finding(page: Page) -> None:
    page.locator("details.bs-table summary").first.click()
    found = Axe().run(page, context=".stMainBlockContainer").response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found if one["impact"] in ("serious", "critical")] == []
