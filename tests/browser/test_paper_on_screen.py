"""The strip on the reading page, measured in what the browser painted."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from pages.access import COOKIE
from pages.paper import CSS_PIXELS_PER_MM, SHEET_MM
from storage.database import Database
from tests import world
from tests.browser.driving import VIEWPORT, Server, settled

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("paper on screen")]

HALF_A_PIXEL = 0.5


@pytest.fixture(scope="module")
def reader(server: Server) -> str:
    """A reader's sign-in on a server with a round to read."""
    db = Database(server.database)
    made = world.make(db)
    db.close()
    return made.tokens["reader"]


@pytest.fixture(scope="module", params=[1, 2])
def ratio(request: pytest.FixtureRequest) -> int:
    """Device pixels for one CSS pixel."""
    chosen: int = request.param
    return chosen


@pytest.fixture(scope="module")
def page(server: Server, chrome: Browser, reader: str, ratio: int) -> Iterator[Page]:
    context = chrome.new_context(viewport=VIEWPORT, device_scale_factor=ratio)
    context.add_cookies([{"name": COOKIE, "value": reader, "url": server.url}])
    page = context.new_page()
    page.goto(server.url + "/read?round=1")
    page.wait_for_selector(".st-key-sheet .js-plotly-plot .trace path")
    settled(page)
    yield page
    context.close()


def test_a_millimetre_is_the_same_in_both_directions(page: Page, ratio: int) -> None:
    """The bold lines of the grid stand 5 mm apart: over the whole sheet, both directions agree with each other to half a pixel."""
    ink = screenshot(page, ".st-key-sheet .js-plotly-plot .main-svg >> nth=0")
    across, up = (pixels_per_mm(np.median(ink, axis=axis), SHEET_MM[axis]) for axis in (0, 1))
    assert abs(across - up) * SHEET_MM[1] < HALF_A_PIXEL
    assert across == pytest.approx(CSS_PIXELS_PER_MM * ratio, rel=1e-3)  # the sheet is a whole number of CSS pixels wide


def test_the_calibration_pulse_is_10_by_5_millimetres(page: Page) -> None:
    """As Plotly placed it: the box of its path, in CSS pixels; 2 mm of foot on either side."""
    boxes = page.evaluate(
        "[...document.querySelectorAll('.st-key-sheet .trace path.js-line')].slice(0, 4).map(path => [path.getBBox().width, path.getBBox().height])"
    )
    assert len(boxes) == 4
    for width, height in boxes:
        assert abs(width - 9 * CSS_PIXELS_PER_MM) < HALF_A_PIXEL
        assert abs(height - 10 * CSS_PIXELS_PER_MM) < HALF_A_PIXEL


def test_the_sheet_keeps_its_size_in_a_narrow_window(page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 900})
    box = page.locator(".st-key-sheet .js-plotly-plot .main-svg").first.bounding_box()
    assert box
    assert abs(box["width"] - SHEET_MM[0] * CSS_PIXELS_PER_MM) <= HALF_A_PIXEL
    assert abs(box["height"] - SHEET_MM[1] * CSS_PIXELS_PER_MM) <= HALF_A_PIXEL
    page.set_viewport_size(VIEWPORT)


def screenshot(page: Page, selector: str) -> NDArray[np.float64]:
    """How little green there is, pixel by pixel: the red lines on the paper, and the trace."""
    picture = Image.open(io.BytesIO(page.locator(selector).screenshot(animations="disabled")))
    return 255 - np.asarray(picture.convert("RGB"), dtype=np.float64)[:, :, 1]


def pixels_per_mm(ink: NDArray[np.float64], side_mm: int) -> float:
    """ink: along one direction, the median over the other, so that the trace does not count. The slope through the centres of the bold lines."""
    roughly = len(ink) / side_mm
    places = np.arange(5, side_mm, 5)  # the lines at the edges are half cut off
    centres = []
    for place in places:
        near = np.arange(round((place - 0.5) * roughly), round((place + 0.5) * roughly) + 1)
        dark = ink[near] - ink[near].min()
        assert dark.sum() > 0, f"no line at {place} mm"
        centres.append((near * dark).sum() / dark.sum())
    return float(np.polyfit(places, centres, 1)[0])
