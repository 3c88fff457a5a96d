"""The ECG paper of pages/paper.py, as a cardiologist with a ruler checks it, and as somebody who looks for a difference between the arms."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from generator.leads import LEADS, STORED
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES, Counts, canonical_from_stored, millivolts
from pages import paper

ROWS = 4
STILL = np.zeros((len(STORED), SAMPLES), dtype=np.int16)


def strip(lead: str, counts: NDArray[np.integer[Any]]) -> Counts:
    """A strip with something in one lead only."""
    made = STILL.copy()
    made[STORED.index(lead)] = counts
    return made


def strip_of(seed: int, largest: int) -> Counts:
    """Counts between -largest and largest: nothing of an ECG, as a figure must not care."""
    return np.random.default_rng(seed).integers(-largest, largest, (len(STORED), SAMPLES), dtype=np.int16, endpoint=True)


def traces(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in figure["data"] if isinstance(one["y"], dict)]


def pulses(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in figure["data"] if not isinstance(one["y"], dict)]


def values(trace: dict[str, Any]) -> NDArray[np.int16]:
    return np.frombuffer(base64.b64decode(trace["y"]["bdata"]), dtype="<i2")


def mm_per_unit(figure: dict[str, Any]) -> tuple[float, float]:
    """CSS millimetres on the screen for one unit of x and of y, as Plotly lays the figure out: scaleanchor, no margins."""
    layout = figure["layout"]
    across, up = (abs(np.subtract(*layout[axis]["range"])) for axis in ("xaxis", "yaxis"))
    ratio = layout["yaxis"]["scaleratio"]  # pixels a unit of y for one pixel a unit of x
    pixels = min(layout["width"] / across, layout["height"] / (up * ratio))
    return pixels / paper.CSS_PIXELS_PER_MM, pixels * ratio / paper.CSS_PIXELS_PER_MM


# ---- with a ruler ----


def test_254_centimillivolts_and_1016_milliseconds_are_an_inch() -> None:
    ms, uv = mm_per_unit(paper.figure(STILL))
    assert 1016 * ms == pytest.approx(25.4, rel=1e-3)  # 25 mm/s; the sheet is a whole number of pixels wide
    assert 2540 * uv == pytest.approx(25.4, rel=1e-3)  # 10 mm/mV
    assert 40 * ms == pytest.approx(100 * uv, rel=1e-12)  # a millimetre is one in both directions


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0])
def test_a_smaller_sheet_is_the_same_sheet_smaller(scale: float) -> None:
    ms, uv = mm_per_unit(paper.figure(STILL, scale=scale))
    assert 40 * ms == pytest.approx(scale, rel=3e-3)
    assert 40 * ms == pytest.approx(100 * uv, rel=1e-12)


def test_a_wave_in_the_strip_is_a_wave_of_its_size_on_the_sheet() -> None:
    """1.5 mV from 1.00 s to 1.20 s in lead I: 15 mm high, 5 mm wide, in the row and column of lead I."""
    wave = np.zeros(SAMPLES, dtype=np.int16)
    wave[100:120] = 300  # counts of 5 microvolts
    lead_i = rows(paper.figure(strip("I", wave)))[0][0]
    y, x = values(lead_i), lead_i["x0"] + lead_i["dx"] * np.arange(len(values(lead_i)))
    ms, uv = mm_per_unit(paper.figure(STILL))
    stored = (x >= 1000) & (x <= 1190) & (x % 10 == 0)
    assert np.all(y[stored].astype(int) - y[0] == 1500)
    assert 1500 * uv == pytest.approx(15, rel=1e-3)
    middle = x[y.astype(int) - y[0] > 750]
    assert (middle.max() - middle.min()) * ms == pytest.approx(5, abs=0.3)


def test_a_calibration_pulse_of_1_mv_and_200_ms_stands_before_each_row() -> None:
    figure = paper.figure(STILL)
    found = pulses(figure)
    assert len(found) == ROWS
    for pulse, row in zip(found, rows(figure), strict=True):
        x, y = np.array(pulse["x"]), np.array(pulse["y"])
        top = x[y == y.max()]
        assert np.ptp(y) == 1000
        assert np.ptp(top) == 200
        assert x.max() < min(one["x0"] for one in row)
        assert {int(values(one)[0]) for one in row} == {int(y.min())}  # its foot is the row's baseline


def test_the_grid_has_squares_of_1_and_of_5_millimetres_and_fills_the_sheet() -> None:
    layout = paper.figure(STILL)["layout"]
    [image] = layout["images"]
    assert [image["x"], image["x"] + image["sizex"]] == layout["xaxis"]["range"]
    assert [image["y"] - image["sizey"], image["y"]] == layout["yaxis"]["range"]
    svg = base64.b64decode(image["source"].removeprefix("data:image/svg+xml;base64,")).decode()
    size = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert size
    assert [int(side) for side in size.groups()] == list(paper.SHEET_MM)
    fine, bold = (path for path in re.findall(r'<path d="([^"]+)" stroke="#[ef]', svg))
    for path, step in ((fine, 1), (bold, 5)):
        upright, across = ([int(at) for at in re.findall(pattern, path)] for pattern in (r"M(\d+) 0V", r"M0 (\d+)H"))
        assert upright == list(range(0, paper.SHEET_MM[0] + 1, step))
        assert across == list(range(0, paper.SHEET_MM[1] + 1, step))
    assert all(values(one)[0] % 500 == 0 for one in traces(paper.figure(STILL)))  # baselines lie on bold lines


# ---- leads ----


def rows(figure: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The traces by row, from the top."""
    drawn = traces(figure)
    assert [one["x0"] for one in drawn] == [0, 2500, 5000, 7500] * 3 + [0]
    return [drawn[0:4], drawn[4:8], drawn[8:12], drawn[12:]]


def test_each_of_the_twelve_leads_is_named_once_and_ii_again() -> None:
    layout = paper.figure(STILL)["layout"]
    names = [re.sub("<.*?>", "", one["text"]) for one in layout["annotations"] if one["text"] != paper.SHEET.footer]
    assert sorted(names) == sorted([*LEADS, "II"])


@settings(max_examples=25, deadline=None)
@given(some.integers(0, 2**32), some.integers(1, 1500))
def test_a_name_stands_above_its_own_lead(seed: int, largest: int) -> None:
    """Each trace is compared with the lead whose name stands at its beginning: 3 rows of 4, and II for all ten seconds."""
    counts = strip_of(seed, largest)
    figure = paper.figure(counts)
    drawn = [one for row in rows(figure) for one in row]
    names = [one for one in figure["layout"]["annotations"] if one["text"] != paper.SHEET.footer]
    mv = millivolts(counts)
    assert len(names) == len(drawn) == 13
    for trace, row in zip(drawn, [row for row in range(ROWS) for _ in range(4)][:13], strict=True):
        baseline = paper.BASELINES_MM[row] * 100
        [name] = [one for one in names if 0 <= one["x"] - trace["x0"] < 100 and 0 < one["y"] - baseline < 2500]
        lead = mv[LEADS.index(re.sub("<.*?>", "", name["text"]))]
        first = int(trace["x0"]) // 10  # sample at 100/s
        stored = values(trace)[:: paper.FINE].astype(float) - baseline
        assert np.abs(stored - 1000 * lead[first : first + len(stored)]).max() < 0.501  # through every stored sample, to the microvolt


def test_columns_are_continuous_in_time_and_a_row_is_ten_seconds() -> None:
    for row in rows(paper.figure(STILL)):
        ends = [one["x0"] + one["dx"] * len(values(one)) for one in row]
        assert ends[-1] == 10_000
        assert [one["x0"] for one in row[1:]] == ends[:-1]


def test_a_trace_is_band_limited_between_its_samples() -> None:
    """A sine of 30 Hz, sampled at 100/s, is drawn as a sine, not as a zigzag with its peaks cut off."""
    t = np.arange(SAMPLES) / RATE
    sine = np.rint(200 * np.sin(2 * np.pi * 30 * t)).astype(np.int16)
    [rhythm_strip] = rows(paper.figure(strip("II", sine)))[3]
    y = values(rhythm_strip).astype(float)[500:-500]
    fine = np.arange(SAMPLES * paper.FINE)[500:-500] / (RATE * paper.FINE)
    baseline = paper.BASELINES_MM[3] * 100
    assert np.abs(y - baseline - 1000 * np.sin(2 * np.pi * 30 * fine)).max() < 25  # of 1000 microvolts


# ---- what is said ----


def test_the_footer_says_what_was_done_to_the_signal() -> None:
    layout = paper.figure(STILL)["layout"]
    assert layout["annotations"][-1]["text"] == paper.SHEET.footer == "25 mm/s   10 mm/mV   0.5-40 Hz"
    low, high = (float(edge) for edge in re.findall(r"([\d.]+)-([\d.]+) Hz", paper.SHEET.footer)[0])
    inside, outside = (2.0, 10.0, high - 5), (low / 5, high + 5)
    t = np.arange(SAMPLES) / RATE
    waves = sum(np.sin(2 * np.pi * hertz * t) for hertz in (*inside, *outside))  # of 1 mV each
    passed = canonical_from_stored(np.tile(waves, (len(STORED), 1)))[0] * MICROVOLTS_PER_COUNT / 1000
    spectrum = np.abs(np.fft.rfft(passed)) / (SAMPLES / 2)
    assert all(spectrum[round(hertz * 10)] > 0.7 for hertz in inside)
    assert all(spectrum[round(hertz * 10)] < 0.3 for hertz in outside)


# ---- nothing but the trace differs ----


@settings(max_examples=25, deadline=None)
@given(some.builds(strip_of, some.integers(0, 2**32), some.integers(1, 32767)))
@example(np.full((len(STORED), SAMPLES), 32767, dtype=np.int16))
@example(np.full((len(STORED), SAMPLES), -32768, dtype=np.int16))
def test_a_figure_is_of_the_same_size_and_kinds_for_any_strip(counts: Counts) -> None:
    still, other = (json.dumps(blanked(paper.figure(one))) for one in (STILL, counts))
    assert other == still
    assert len(json.dumps(paper.figure(counts))) == len(json.dumps(paper.figure(STILL)))


def blanked(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure with its samples replaced by how many there are; json.dumps refuses whatever is not a plain value."""
    assert all(one["y"].keys() == {"dtype", "bdata"} and one["y"]["dtype"] == "i2" for one in traces(figure))
    return {**figure, "data": [{**one, "y": len(values(one))} if isinstance(one["y"], dict) else one for one in figure["data"]]}


def test_a_figure_is_the_same_for_the_same_strip_and_leaves_the_strip_alone() -> None:
    counts = strip_of(1, 300)
    before = counts.copy()
    assert paper.figure(counts) == paper.figure(counts.copy())
    assert np.array_equal(counts, before)
