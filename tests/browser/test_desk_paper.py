"""pages/desk/paper.js in a real browser: the same numbers as study/ecg_paper.py, and a ruler on what was painted."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page
from scipy.special import erf

from generator.leads import LEADS, STORED
from generator.strip import RATE, SAMPLES, SECONDS, Counts, to_bytes
from study.ecg_paper import DEFAULT, GAINS, LAYOUTS, ORDERS, SPEEDS, Sheet, geometry, microvolts

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("desk paper")]

SCRIPT = Path(__file__).parents[2] / "pages" / "desk" / "paper.js"
SHEETS = [Sheet(*chosen) for chosen in product(LAYOUTS, ORDERS, SPEEDS, GAINS)]
STILL = np.zeros((len(STORED), SAMPLES), dtype=np.int16)
CSS_PIXELS_PER_MM = 96 / 25.4
SCALES = [CSS_PIXELS_PER_MM, 4.31]  # as browsers take it, and as somebody calibrated a screen
HALF_A_PIXEL = 0.5
NO_GRID = {"ground": "#ffffff", "fine": "#ffffff", "bold": "#ffffff", "ink": "#000000"}
COLOURS = geometry()["colours"]


@pytest.fixture(scope="module", params=[1, 2])
def ratio(request: pytest.FixtureRequest) -> int:
    """Device pixels for one CSS pixel."""
    chosen: int = request.param
    return chosen


@pytest.fixture(scope="module")
def page(chrome: Browser, ratio: int) -> Iterator[Page]:
    context = chrome.new_context(viewport={"width": 2400, "height": 1000}, device_scale_factor=ratio)
    page = context.new_page()
    script = f"const PAPER = {json.dumps(geometry())};\n{SCRIPT.read_text()}"
    page.set_content(f'<body style="margin: 0"><canvas style="display: block"></canvas><script>{script}</script>')
    yield page
    context.close()


@pytest.fixture(scope="module")
def plain(chrome: Browser) -> Iterator[Page]:
    """For what is computed, not painted."""
    page = chrome.new_page()
    page.set_content(f"<script>const PAPER = {json.dumps(geometry())};\n{SCRIPT.read_text()}</script>")
    yield page
    page.close()


def words(sheet: Sheet) -> list[str | float]:
    return [sheet.layout, sheet.order, sheet.speed, sheet.gain]


def base64_of(counts: Counts) -> str:
    return base64.b64encode(to_bytes(counts)).decode()


def strip_of(seed: int, largest: int) -> Counts:
    return np.random.default_rng(seed).integers(-largest, largest, (len(STORED), SAMPLES), dtype=np.int16, endpoint=True)


def plateau() -> Counts:
    """2.54 mV in lead II from 4.000 s to 5.016 s, with edges of a few hundredths of a second."""
    t = np.arange(SAMPLES) / RATE
    strip = STILL.copy()
    strip[STORED.index("II")] = np.rint(254 * (erf((t - 4) / 0.03) - erf((t - 5.016) / 0.03)))
    return strip


def paint(page: Page, counts: Counts, sheet: Sheet, scale: float, ratio: int, colours: dict[str, str]) -> NDArray[np.float64]:
    """What the browser painted: (device pixels down, across, 3)."""
    page.evaluate(
        "([strip, sheet, scale, ratio, colours]) => "
        "paint(document.querySelector('canvas'), sheetOf(...sheet), leadsOf(decodeCounts(strip)), scale, ratio, colours)",
        [base64_of(counts), words(sheet), scale, ratio, colours],
    )
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled", full_page=True)))
    width, height = page.evaluate("() => [document.querySelector('canvas').width, document.querySelector('canvas').height]")
    return np.asarray(picture.convert("RGB"), dtype=np.float64)[:height, :width]  # the canvas stands in the corner


def middle(ink: NDArray[np.float64]) -> float:
    """Where a line crosses, in pixels from the beginning of ink: its centre of mass. Raises for none."""
    assert ink.sum() > 100
    return float((ink * (np.arange(len(ink)) + 0.5)).sum() / ink.sum())


def level(ink: NDArray[np.float64], x: float, y: float, pixels: float) -> float:
    """How far down a flat line runs that is near x, y (mm), in pixels."""
    near = slice(round((y - 2) * pixels), round((y + 2) * pixels))
    return near.start + middle(ink[near, round(x * pixels)])


# ---- the same numbers ----


@settings(max_examples=12, deadline=None)
@given(some.integers(0, 2**32), some.sampled_from([1, 30, 700, 32767]))
@example(0, 0)
def test_the_leads_are_those_of_python(plain: Page, seed: int, largest: int) -> None:
    counts = strip_of(seed, largest)
    found = plain.evaluate("strip => Object.entries(leadsOf(decodeCounts(strip))).map(([name, lead]) => [name, [...lead]])", base64_of(counts))
    expected = dict(zip(LEADS, microvolts(counts), strict=True))
    expected["-aVR"] = -expected["aVR"]
    assert sorted(name for name, _ in found) == sorted(expected)
    for name, lead in found:
        assert np.abs(np.array(lead) - expected[name]).max() < 0.001


def test_counts_come_out_as_they_went_in(plain: Page) -> None:
    counts = strip_of(1, 32767)
    counts[0, :2] = -32768, 32767
    assert plain.evaluate("strip => [...decodeCounts(strip)]", base64_of(counts)) == counts.ravel().tolist()


def test_every_sheet_is_that_of_python(plain: Page) -> None:
    found = plain.evaluate("sheets => sheets.map(sheet => sheetOf(...sheet))", [words(sheet) for sheet in SHEETS])
    for told, sheet in zip(found, SHEETS, strict=True):
        assert (told["width"], told["height"], told["first"]) == (sheet.width, sheet.height, sheet.first)
        assert (told["footer"], told["nameAbove"]) == (sheet.footer, sheet.name_above)
        assert [row["baseline"] for row in told["rows"]] == list(sheet.baselines)
        parts = [(number, *(part[key] for key in ("lead", "from", "to", "x"))) for number, row in enumerate(told["rows"]) for part in row["parts"]]
        assert parts == [tuple(part) for part in sheet.parts()]


@settings(max_examples=200, deadline=None)
@given(some.sampled_from(SHEETS), some.floats(0, 1), some.floats(0, 1))
def test_a_point_is_of_the_nearest_row_at_its_time_and_height(plain: Page, sheet: Sheet, right: float, down: float) -> None:
    x, y = right * sheet.width, down * sheet.height
    found = plain.evaluate("([sheet, x, y]) => placeAt(sheetOf(...sheet), x, y)", [words(sheet), x, y])
    seconds = (x - sheet.first) / sheet.speed
    if not 0 <= seconds <= SECONDS:
        assert found is None
        return
    row = int(np.abs(y - np.array(sheet.baselines)).argmin())
    part = min(int(seconds * len(sheet.rows[row]) / SECONDS), len(sheet.rows[row]) - 1)
    assert (found["row"], found["part"], found["lead"]) == (row, part, sheet.rows[row][part])
    assert found["seconds"] == pytest.approx(seconds)
    assert found["millivolts"] == pytest.approx((sheet.baselines[row] - y) / sheet.gain)


@pytest.mark.parametrize("point", [(-1, 50), (14.9, 50), (265.1, 50), (100, -1), (100, 121)])
def test_margins_mean_nothing(plain: Page, point: tuple[float, float]) -> None:
    assert plain.evaluate("([sheet, x, y]) => placeAt(sheetOf(...sheet), x, y)", [words(DEFAULT), *point]) is None


# ---- with a ruler ----


@pytest.mark.parametrize("scale", SCALES)
def test_an_inch_is_an_inch_both_ways(page: Page, ratio: int, scale: float) -> None:
    """2.54 mV and 1.016 s, at 10 mm/mV and 25 mm/s, in device pixels."""
    ink = 255 - paint(page, plateau(), DEFAULT, scale, ratio, NO_GRID)[:, :, 0]
    pixels = scale * ratio
    across = slice(round(100 * pixels), round(160 * pixels))  # of the rhythm strip, mm from the left edge
    half = round((DEFAULT.baselines[3] - 12.7) * pixels)
    rise, fall = np.array_split(ink[half, across], [round((15 + 4.508 * 25) * pixels) - across.start])
    width = len(rise) + middle(fall) - middle(rise)
    assert abs(width - 25.4 * pixels) < HALF_A_PIXEL
    low, high = (level(ink, 15 + seconds * 25, DEFAULT.baselines[3] - up, pixels) for seconds, up in ((3.8, 0), (4.5, 25.4)))
    assert abs(low - high - 25.4 * pixels) < HALF_A_PIXEL
    assert abs(low - DEFAULT.baselines[3] * pixels) < HALF_A_PIXEL


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("sheet", [DEFAULT, Sheet("12x1", speed=12.5), Sheet("3x4+3", speed=50, gain=20)], ids=str)
def test_every_line_of_the_grid_is_in_its_place(page: Page, ratio: int, scale: float, sheet: Sheet) -> None:
    """Over the whole sheet, in both directions, to half a device pixel; and all lines of a kind are equally thick and red."""
    seen = paint(page, STILL, sheet, scale, ratio, COLOURS["paper"])
    pixels = scale * ratio
    top, right = round(4 * pixels), round((sheet.width - 4) * pixels)  # where no ink is
    for side, along in ((sheet.width, np.median(seen[:top], axis=0)), (sheet.height, np.median(seen[:, right:], axis=1))):
        assert abs(len(along) - side * pixels) <= HALF_A_PIXEL * (1 + ratio)  # whole CSS pixels
        for step, colour in ((1, COLOURS["paper"]["fine"]), (5, COLOURS["paper"]["bold"])):
            places = [at for at in range(1, side) if (at % 5 == 0) == (step == 5)]  # without the lines at the edges
            lines = [(start, end) for start, end in runs(np.all(along == rgb(colour), axis=1)) if start > 2 and end < len(along) - 2]
            assert len(lines) == len(places)
            assert len({end - start for start, end in lines}) == 1
            assert all(abs((start + end) / 2 - at * pixels) <= HALF_A_PIXEL for (start, end), at in zip(lines, places, strict=True))


def test_the_canvas_takes_as_many_css_pixels_as_it_has_device_pixels(page: Page, ratio: int) -> None:
    for sheet, scale in product((DEFAULT, Sheet("6x2", speed=50)), SCALES):
        paint(page, STILL, sheet, scale, ratio, NO_GRID)
        box = page.locator("canvas").bounding_box()
        size = page.evaluate("() => [document.querySelector('canvas').width, document.querySelector('canvas').height]")
        assert box
        assert [box["width"] * ratio, box["height"] * ratio] == pytest.approx(size, abs=0.02)  # none is stretched over another
        assert [box["width"], box["height"]] == pytest.approx([sheet.width * scale, sheet.height * scale], abs=1)


@pytest.mark.parametrize("sheet", [Sheet(speed=speed, gain=gain) for speed in SPEEDS for gain in GAINS], ids=str)
def test_the_calibration_pulse_is_1_mv_and_200_ms(page: Page, ratio: int, sheet: Sheet) -> None:
    ink = 255 - paint(page, STILL, sheet, CSS_PIXELS_PER_MM, ratio, NO_GRID)[:, :, 0]
    pixels = CSS_PIXELS_PER_MM * ratio
    rise, fall = 5, 5 + 0.2 * sheet.speed
    half = round((sheet.baselines[0] - sheet.gain / 2) * pixels)
    left, right = (middle(ink[half, round((at - 1) * pixels) : round((at + 1) * pixels)]) + round((at - 1) * pixels) for at in (rise, fall))
    assert abs(right - left - 0.2 * sheet.speed * pixels) < HALF_A_PIXEL
    rows = slice(0, round((sheet.baselines[0] + 2) * pixels))
    top, foot = (middle(ink[rows, round(at * pixels)]) for at in ((rise + fall) / 2, rise - 1))
    assert abs(foot - top - sheet.gain * pixels) < HALF_A_PIXEL


# ---- what is painted ----


@pytest.mark.parametrize("sheet", [Sheet(layout, order) for layout in LAYOUTS for order in ORDERS], ids=str)
def test_each_trace_runs_where_its_lead_belongs(page: Page, ratio: int, sheet: Sheet) -> None:
    """Eight leads at eight levels: each part of each row is at its own lead's level."""
    counts = STILL + np.array([40, 100, -60, 20, 60, 80, 120, -20], dtype=np.int16)[:, None]
    levels = dict(zip(LEADS, microvolts(counts)[:, 0] / 1000, strict=True))
    levels["-aVR"] = -levels["aVR"]
    ink = 255 - paint(page, counts, sheet, CSS_PIXELS_PER_MM, ratio, NO_GRID)[:, :, 0]
    pixels = CSS_PIXELS_PER_MM * ratio
    for part in sheet.parts():
        y = sheet.baselines[part.row] - levels[part.lead] * sheet.gain
        x = part.x + (part.end - part.start) * 0.6 * sheet.speed
        assert abs(level(ink, x, y, pixels) - y * pixels) < HALF_A_PIXEL, part


def test_nothing_stays_of_the_strip_before(page: Page, ratio: int) -> None:
    first = paint(page, strip_of(1, 100), DEFAULT, CSS_PIXELS_PER_MM, ratio, COLOURS["paper"])
    other = paint(page, strip_of(2, 400), Sheet("12x1", speed=50), 4.31, ratio, COLOURS["dark"])
    again = paint(page, strip_of(1, 100), DEFAULT, CSS_PIXELS_PER_MM, ratio, COLOURS["paper"])
    assert other.shape != first.shape
    assert np.array_equal(again, first)


@pytest.mark.parametrize("theme", ["paper", "dark"])
def test_a_sheet_has_the_colours_it_is_given(page: Page, ratio: int, theme: str) -> None:
    seen = paint(page, STILL, DEFAULT, 8.0, ratio, COLOURS[theme]) @ [65536, 256, 1]
    painted, often = np.unique(seen, return_counts=True)
    assert set(painted[np.argsort(often)[-4:]]) == {float(int(colour[1:], 16)) for colour in COLOURS[theme].values()}


def rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], dtype=float)


def runs(true: NDArray[Any]) -> list[tuple[int, int]]:
    """Where a row of booleans is true: from, to (exclusive)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
