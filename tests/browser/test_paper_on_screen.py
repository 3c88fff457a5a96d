"""The strip on the reading page with a ruler on the screen: an inch of millivolts and an inch of time are an inch, also on a calibrated screen."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from generator.strip import Counts
from storage.database import Database
from study.ecg_paper import DEFAULT
from study.screens import CARD_MM
from tests import world
from tests.browser.driving import Server, at_the_desk, on_desk
from tests.browser.test_desk_paper import CSS_PIXELS_PER_MM, HALF_A_PIXEL, level, middle, plateau

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("paper on screen")]

FRAMES = [None, 369]  # CSS pixels that the frame was made as wide as a bank card; None: not calibrated


@pytest.fixture(scope="module")
def reader(server: Server) -> str:
    """A reader's sign-in on a server whose first case is 2.54 mV high and 1.016 s long."""
    patched = pytest.MonkeyPatch()

    def inch(seed: int, _rate: float = 70.0) -> Counts:
        return (plateau() + seed).astype(np.int16)  # no two strips are the same

    patched.setattr(world, "beats", inch)
    db = Database(server.database)
    made = world.make(db)
    db.close()
    patched.undo()
    return made.tokens["reader"]


@pytest.fixture(scope="module", params=[1, 2])
def ratio(request: pytest.FixtureRequest) -> int:
    """Device pixels for one CSS pixel."""
    chosen: int = request.param
    return chosen


@pytest.fixture(scope="module")
def page(server: Server, chrome: Browser, reader: str, ratio: int) -> Iterator[Page]:
    page = at_the_desk(server, chrome, reader, ratio=ratio)
    on_desk(page, "1-1")
    yield page
    page.context.close()


@pytest.mark.parametrize("frame", FRAMES)
def test_an_inch_is_an_inch_both_ways(page: Page, ratio: int, frame: int | None) -> None:
    pixels = CSS_PIXELS_PER_MM * ratio
    if frame:
        page.keyboard.press("g")
        page.get_by_label("Width of the frame").fill(str(frame))
        page.get_by_role("button", name="The frame is as wide as the card").click()
        pixels = frame / CARD_MM * ratio
        expect(page.get_by_role("button", name="Bring to true scale")).to_be_hidden()  # it is painted anew
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    ink = trace(page)
    row, first = DEFAULT.baselines[3], DEFAULT.first
    foot = level(ink, first + 3.6 * 25, row, pixels)
    top = level(ink, first + 4.5 * 25, foot / pixels - 25.4, pixels)
    assert abs(foot - top - 25.4 * pixels) < HALF_A_PIXEL
    half = round((foot + top) / 2)
    starts = [round((first + seconds * 25 - 5) * pixels) for seconds in (4, 5.016)]
    rise, fall = (start + middle(ink[half, start : start + round(10 * pixels)]) for start in starts)
    assert abs(fall - rise - 25.4 * pixels) < HALF_A_PIXEL


def test_the_sheet_keeps_its_size_in_a_narrow_window(server: Server, chrome: Browser, reader: str) -> None:
    page = at_the_desk(server, chrome, reader, viewport={"width": 700, "height": 900})
    on_desk(page, "1-1")
    box = page.locator(".stage canvas").bounding_box()
    assert box
    assert (box["width"], box["height"]) == pytest.approx((DEFAULT.width * CSS_PIXELS_PER_MM, DEFAULT.height * CSS_PIXELS_PER_MM), abs=0.5)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # the paper scrolls in its frame, not the page
    page.context.close()


def trace(page: Page) -> NDArray[np.float64]:
    """How dark what is black is, pixel by pixel; the reds of the paper count nothing."""
    picture = Image.open(io.BytesIO(page.locator(".stage canvas").screenshot(animations="disabled")))
    reddest = np.asarray(picture.convert("RGB"), dtype=np.float64).max(axis=2)
    return np.clip(200 - reddest, 0, None)
