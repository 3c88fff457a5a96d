"""The pictures in docs/images: `python -m tests.browser.screenshots`. Every strip in them is drawn by the shipped checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from generator.request import DrawRequest
from generator.sssd import draw as sssd
from generator.strip import Counts
from storage.database import Database
from study import cli, sign_in
from study.ecg_paper import Sheet
from tests import world
from tests.browser.conftest import _FLAGS as FLAGS
from tests.browser.driving import ROOT, at_the_desk, on_desk, press, settled, start_server
from tests.browser.test_desk_paper import CSS_PIXELS_PER_MM
from tests.conftest import chromium

IMAGES = ROOT / "docs" / "images"
SHEET = Sheet()


def reading() -> None:
    """The reading page, at a desk and on a tablet."""
    checkpoint = sssd.load(device="cpu")
    made = {rhythm: sssd.draw(DrawRequest(rhythm=rhythm, n=6, seed=20), checkpoint=checkpoint) for rhythm in ("NSR", "AF")}
    drawn = {rhythm: [one.counts for one in of if one.counts is not None] for rhythm, of in made.items()}

    def strip(seed: int, rate: float = 70.0) -> Counts:
        of = drawn["NSR" if seed % 4 < 2 else "AF"]
        return of[seed % len(of)]

    world.beats = strip
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        server = start_server(Path(name))
        db = Database(server.database)
        token = world.make(db, cases=6).tokens["reader"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = at_the_desk(server, browser, token)
            on_desk(page, "1-1")
            press(page, "4nyt")
            _measure(page)
            page.screenshot(path=IMAGES / "reading.png")
            page.context.close()
            page = at_the_desk(server, browser, token, viewport={"width": 834, "height": 1194}, theme="dark", touch=True)
            on_desk(page, "1-1")
            page.screenshot(path=IMAGES / "reading-tablet.png")
            page.context.close()
        finally:
            browser.close()
            server.stop()
            db.close()


def results() -> None:
    """The results of the demo's finished study."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        assert cli.main(["demo", "--db", f"sqlite:///{Path(name) / 'study.db'}"]) == 0
        server = start_server(Path(name))
        db = Database(server.database)
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = at_the_desk(server, browser, sign_in.sign_in_demo(db, "demo-cora"), viewport={"width": 1240, "height": 1180}, path="/findings")
            page.get_by_role("heading", name="All tables").wait_for(timeout=120_000)
            settled(page)
            page.screenshot(path=IMAGES / "results.png")
        finally:
            browser.close()
            server.stop()
            db.close()


def _measure(page: Page) -> None:
    """An interval of the rhythm strip, marched out."""
    page.keyboard.press("c")
    box = page.locator("svg.overlay").bounding_box()
    assert box
    for x, y in ((SHEET.first + 25, SHEET.baselines[3]), (SHEET.first + 46, SHEET.baselines[3] - 4)):
        page.mouse.click(box["x"] + x * CSS_PIXELS_PER_MM, box["y"] + y * CSS_PIXELS_PER_MM)
    page.keyboard.press("m")
    page.mouse.move(5, 5)


if __name__ == "__main__":
    reading()
    results()
