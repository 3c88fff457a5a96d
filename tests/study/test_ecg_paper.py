"""The SVG of the ECG paper, measured as a printout would be. The same sheet in a browser: tests/pages/test_paper.py."""

from __future__ import annotations

import json
import re
from itertools import pairwise, product
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray
from scipy import signal

from generator.leads import LEADS, STORED
from generator.strip import BAND_HZ, RATE, SAMPLES, SECONDS, Counts, millivolts
from study import ecg_paper
from study.ecg_paper import DEFAULT, GAINS, LAYOUTS, ORDERS, SPEEDS, Sheet, geometry, microvolts, samples, svg
from study.errors import StudyError

SVG = "{http://www.w3.org/2000/svg}"
STILL = np.zeros((len(STORED), SAMPLES), dtype=np.int16)
SHORTHAND = {"h": (1, 0), "v": (0, 1)}


def points(path: str) -> NDArray[np.float64]:
    """(points, 2) millimetres from the upper left corner, of a path of M, then h, v and l."""
    at, found = np.zeros(2), []
    for command, written in re.findall(r"([Mhvl])([^Mhvl]*)", path):
        numbers = [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", written)]
        if command == "M":
            at = np.array(numbers)
            found.append(at)
            continue
        steps = np.outer(numbers, SHORTHAND[command]) if command in SHORTHAND else np.array(numbers).reshape(-1, 2)
        for step in steps:
            at = at + step
            found.append(at)
    return np.array(found)


SHEETS = [Sheet(*chosen) for chosen in product(LAYOUTS, ORDERS, SPEEDS, GAINS)]
some_sheets = some.sampled_from(SHEETS)


def paths(document: str) -> list[NDArray[np.float64]]:
    """The pulses and the traces: what is drawn in ink."""
    ink = [group for group in ElementTree.fromstring(document).iter(f"{SVG}g") if group.get("stroke") == ecg_paper.INK]
    return [points(path.get("d", "")) for group in ink for path in group]


def pulses(document: str, sheet: Sheet = DEFAULT) -> list[NDArray[np.float64]]:
    return paths(document)[: len(sheet.rows)]


def traces(document: str, sheet: Sheet = DEFAULT) -> list[NDArray[np.float64]]:
    return paths(document)[len(sheet.rows) :]


def strip_of(seed: int, largest: int) -> Counts:
    return np.random.default_rng(seed).integers(-largest, largest, (len(STORED), SAMPLES), dtype=np.int16, endpoint=True)


# ---- what stands where ----


def test_the_default_sheet_is_270_by_120_mm_with_rows_25_mm_apart() -> None:
    root = ElementTree.fromstring(svg(STILL))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("270mm", "120mm", "0 0 270 120")
    assert Sheet() == Sheet("3x4+1", "standard", 25, 10) == DEFAULT
    assert DEFAULT.baselines == (25, 50, 75, 100)
    assert DEFAULT.first == 15


@pytest.mark.parametrize(
    ("layout", "order", "rows"),
    [
        ("3x4+1", "standard", "I aVR V1 V4 | II aVL V2 V5 | III aVF V3 V6 | II"),
        ("3x4+1", "Cabrera", "aVL II V1 V4 | I aVF V2 V5 | -aVR III V3 V6 | II"),
        ("3x4+3", "standard", "I aVR V1 V4 | II aVL V2 V5 | III aVF V3 V6 | V1 | II | V5"),
        ("3x4+3", "Cabrera", "aVL II V1 V4 | I aVF V2 V5 | -aVR III V3 V6 | V1 | II | V5"),
        ("6x2", "standard", "I V1 | II V2 | III V3 | aVR V4 | aVL V5 | aVF V6"),
        ("6x2", "Cabrera", "aVL V1 | I V2 | -aVR V3 | II V4 | aVF V5 | III V6"),
        ("12x1", "standard", "I | II | III | aVR | aVL | aVF | V1 | V2 | V3 | V4 | V5 | V6"),
        ("12x1", "Cabrera", "aVL | I | -aVR | II | aVF | III | V1 | V2 | V3 | V4 | V5 | V6"),
    ],
)
def test_the_leads_of_each_layout(layout: str, order: str, rows: str) -> None:
    assert " | ".join(" ".join(names) for names in Sheet(layout, order).rows) == rows


@pytest.mark.parametrize(("field", "wrong"), [("layout", "4x3"), ("order", "cabrera"), ("speed", 30), ("gain", 0)])
def test_what_the_paper_does_not_know_is_refused_with_the_choices(field: str, wrong: str | float) -> None:
    choices = {"layout": LAYOUTS, "order": ORDERS, "speed": SPEEDS, "gain": GAINS}[field]
    with pytest.raises(StudyError) as refused:
        Sheet(**{field: wrong})  # type: ignore[arg-type]
    assert all(str(word) in str(refused.value) for word in (field, wrong, *choices))


@pytest.mark.parametrize("sheet", SHEETS, ids=str)
def test_ten_seconds_fit_and_rows_stand_on_bold_lines(sheet: Sheet) -> None:
    assert sheet.width - sheet.first == 10 * sheet.speed + 5
    assert all(at % 5 == 0 for at in (*sheet.baselines, sheet.first, sheet.width, sheet.height))
    assert {below - above for above, below in pairwise(sheet.baselines)} <= {15, 20, 25}
    assert sheet.baselines[0] >= 20  # 1 mV at 20 mm/mV
    document = svg(STILL, sheet=sheet)
    assert f'viewBox="0 0 {sheet.width} {sheet.height}"' in document


@pytest.mark.parametrize("sheet", SHEETS, ids=str)
def test_columns_are_continuous_in_time(sheet: Sheet) -> None:
    for number, names in enumerate(sheet.rows):
        row = [part for part in sheet.parts() if part.row == number]
        assert [part.lead for part in row] == list(names)
        assert row[0].start == 0
        assert row[-1].end == SECONDS
        assert all(before.end == after.start for before, after in pairwise(row))
        assert all(part.x == pytest.approx(sheet.first + part.start * sheet.speed) for part in row)


@given(some_sheets, some.integers(0, 9), some.integers(1, 10))
def test_a_page_of_some_seconds_shows_those(sheet: Sheet, start: int, length: int) -> None:
    end = min(start + length, SECONDS)
    parts = list(sheet.parts(start, end))
    assert {part.row for part in parts} == set(range(len(sheet.rows)))
    assert sum(part.end - part.start for part in parts) == pytest.approx((end - start) * len(sheet.rows))
    assert all(sheet.first <= part.x == sheet.first + sheet.speed * (part.start - start) for part in parts)


# ---- with a ruler ----


@pytest.mark.parametrize("sheet", SHEETS, ids=str)
def test_a_pulse_is_1_mv_high_and_200_ms_wide(sheet: Sheet) -> None:
    found = pulses(svg(STILL, sheet=sheet), sheet)
    for pulse, baseline in zip(found, sheet.baselines, strict=True):
        x, down = pulse.T
        assert np.ptp(down) == 1 * sheet.gain
        assert np.ptp(x[down == down.min()]) == pytest.approx(0.2 * sheet.speed)
        assert down.max() == baseline  # its foot is the row's baseline
        assert x.max() < sheet.first


def test_a_pulse_in_the_strip_is_as_large_as_the_calibration_pulse() -> None:
    strip = STILL.copy()
    strip[STORED.index("II"), 300:320] = 200  # counts of 5 microvolts for 20 samples: 1 mV, 200 ms
    x, down = traces(svg(strip))[-1].T
    top = x[np.abs(down - (DEFAULT.baselines[3] - 10)) < 1.1]  # with what a band-limited edge overshoots
    half = x[down < DEFAULT.baselines[3] - 5]
    assert np.ptp(half) == pytest.approx(5, abs=0.3)
    assert top.min() == pytest.approx(DEFAULT.first + 3 * DEFAULT.speed, abs=0.3)


@pytest.mark.parametrize("hertz", [1.0, 7.0, 30.0])
def test_a_sine_has_its_height_and_period_in_millimetres(hertz: float) -> None:
    strip = STILL.copy()
    strip[STORED.index("II")] = np.rint(120 * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE))  # 0.6 mV
    x, down = traces(svg(strip))[-1].T
    inside = (x > 30) & (x < 250)
    assert np.ptp(down[inside]) == pytest.approx(2 * 0.6 * DEFAULT.gain, abs=0.15)
    above = down[inside] < DEFAULT.baselines[3]
    rising = np.flatnonzero(~above[:-1] & above[1:])
    assert np.diff(x[inside][rising]).mean() == pytest.approx(DEFAULT.speed / hertz, rel=0.02)


@settings(max_examples=25, deadline=None)
@given(some.integers(0, 2**32), some.sampled_from([1, 40, 1500, 32767]), some_sheets)
def test_each_lead_goes_through_its_stored_samples(seed: int, largest: int, sheet: Sheet) -> None:
    strip = strip_of(seed, largest)
    drawn, mv = traces(svg(strip, sheet=sheet), sheet), dict(zip(LEADS, millivolts(strip), strict=True))
    mv["-aVR"] = -mv["aVR"]
    leads = [(row, column, lead) for row, names in enumerate(sheet.rows) for column, lead in enumerate(names)]
    for path, (row, column, lead) in zip(drawn, leads, strict=True):
        number = SAMPLES // len(sheet.rows[row])
        x = sheet.first + sheet.speed * (column * number + np.arange(number)) / RATE
        down = sheet.baselines[row] - sheet.gain * mv[lead][column * number : (column + 1) * number]
        along = {round(at * 100): height for at, height in path}
        assert max(abs(along[round(at * 100)] - height) for at, height in zip(x, down, strict=True)) < 0.0051


@given(some.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_cabreras_avr_is_avr_upside_down(seed: int) -> None:
    leads = microvolts(strip_of(seed, 500))
    [upside_down] = [part for part in Sheet("12x1", "Cabrera").parts() if part.lead == "-aVR"]
    [upright] = [part for part in Sheet("12x1").parts() if part.lead == "aVR"]
    assert np.array_equal(samples(leads, upside_down), -samples(leads, upright))
    assert np.allclose(samples(leads, upside_down), (leads[0] + leads[1]) / 2, atol=0.01)  # between I and II


def test_what_is_left_out_between_samples_would_not_show() -> None:
    strip = strip_of(3, 200)
    uv = microvolts(strip)[LEADS.index("II")]
    x, down = traces(svg(strip))[-1].T
    every = DEFAULT.first + DEFAULT.speed * np.arange(uv.size) / 500
    line = np.interp(every, x, DEFAULT.baselines[3] - down)
    assert np.abs(line - uv * DEFAULT.gain / 1000).max() < 0.06  # mm: a sixth of a stroke


def test_a_row_is_drawn_without_gaps() -> None:
    *rows, rhythm = traces(svg(strip_of(1, 100)))
    for first in range(0, len(rows), 4):
        for before, after in pairwise(rows[first : first + 4]):
            assert 0 < after[0, 0] - before[-1, 0] < 0.06
    assert rhythm[-1, 0] == pytest.approx(DEFAULT.first + SECONDS * DEFAULT.speed, abs=0.06)


# ---- words ----


@pytest.mark.parametrize("sheet", SHEETS, ids=str)
def test_each_name_stands_above_the_beginning_of_its_trace(sheet: Sheet) -> None:
    document = svg(STILL, sheet=sheet)
    words = list(ElementTree.fromstring(document).iter(f"{SVG}text"))
    assert [word.text for word in words] == [*(lead for names in sheet.rows for lead in names), sheet.footer]
    for word, trace in zip(words[:-1], traces(document, sheet), strict=True):
        assert 0 < float(word.get("x", "0")) - trace[0, 0] < 2
        assert 3 < trace[0, 1] - float(word.get("y", "0")) < 12
        assert trace[0, 1] - float(word.get("y", "0")) < sheet.baselines[1] - sheet.baselines[0] - 8  # nearer than to the row above


@pytest.mark.parametrize(
    ("speed", "gain", "said"), [(25, 10, "25 mm/s   10 mm/mV"), (12.5, 20, "12.5 mm/s   20 mm/mV"), (50, 5, "50 mm/s   5 mm/mV")]
)
def test_the_footer_says_speed_gain_and_band(speed: float, gain: float, said: str) -> None:
    assert Sheet(speed=speed, gain=gain).footer == f"{said}   {BAND_HZ[0]:g}-{BAND_HZ[1]:g} Hz"


def test_a_drawn_strip_is_a_small_file_with_coordinates_of_two_decimals() -> None:
    t = np.arange(SAMPLES) / RATE
    beats = np.exp(-0.5 * (((t - 0.4) % 0.8 - 0.4) / 0.02) ** 2)  # 1 mV, 0.8 s apart
    strip = np.rint(np.linspace(-200, 300, len(STORED))[:, None] * beats).astype(np.int16)
    document = svg(strip)
    assert len(document) < 80_000
    assert len(traces(document)) == 13
    assert not re.findall(r"\.\d{3}", document)


@given(some.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_title_is_escaped(title: str) -> None:
    root = ElementTree.fromstring(svg(STILL, title=title))
    assert (root.findtext(f"{SVG}title") or "") == "".join(letter for letter in title if letter.isprintable())


def test_a_title_cannot_bring_in_elements() -> None:
    title = '</title><script>alert("1")</script>&'
    root = ElementTree.fromstring(svg(STILL, title=title))
    assert root.findtext(f"{SVG}title") == title
    assert not list(root.iter(f"{SVG}script"))
    assert root.find(f"{SVG}title") is not None
    assert ElementTree.fromstring(svg(STILL)).find(f"{SVG}title") is None


def test_nothing_is_fetched() -> None:
    document = svg(strip_of(1, 100), title="AF")
    assert re.findall(r"https?://[^\"]+", document) == ["http://www.w3.org/2000/svg"]
    assert "href" not in document


# ---- for browsers ----


def test_the_geometry_is_plain_json() -> None:
    assert json.loads(json.dumps(geometry(), allow_nan=False)) == geometry()


def test_the_geometry_is_that_of_the_sheets() -> None:
    told = geometry()
    for sheet in SHEETS:
        speed, gain = f"{sheet.speed:g}", f"{sheet.gain:g}"  # as JavaScript writes numbers
        assert told["rows"][sheet.layout][sheet.order] == [list(names) for names in sheet.rows]
        assert told["baselines"][sheet.layout] == list(sheet.baselines)
        assert (told["width"][speed], told["height"][sheet.layout]) == (sheet.width, sheet.height)
        assert told["first"][speed] == sheet.first
        assert told["footers"][speed][gain] == sheet.footer


@given(some.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_the_weights_make_every_lead_from_those_stored(seed: int) -> None:
    strip = strip_of(seed, 500)
    told = geometry()
    leads = {lead: told["microvoltsPerCount"] / 1000 * np.array(weights) @ strip for lead, weights in told["weights"].items()}
    assert set(leads) == {*LEADS, "-aVR"}
    assert np.allclose([leads[lead] for lead in LEADS], millivolts(strip))
    assert np.allclose(leads["-aVR"], -leads["aVR"])


def test_the_taps_are_those_that_scipy_designs_by_itself() -> None:
    taps, fine = geometry()["taps"], geometry()["fine"]
    impulse = np.zeros(41)
    impulse[20] = 1
    response = signal.resample_poly(impulse, fine, 1)
    assert len(taps) == 2 * 10 * fine + 1
    assert np.allclose(response[20 * fine - 10 * fine : 20 * fine + 10 * fine + 1], taps, atol=1e-12)
