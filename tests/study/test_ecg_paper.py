"""The SVG of the ECG paper, measured as a printout would be. The same sheet in a browser: tests/pages/test_paper.py."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from generator.leads import LEADS, STORED
from generator.strip import RATE, SAMPLES, SECONDS, Counts, millivolts
from study import ecg_paper
from study.ecg_paper import BASELINES_MM, FIRST_SAMPLE_MM, FOOTER, MM_PER_MV, MM_PER_SECOND, ROWS, SHEET_MM, svg

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


def paths(document: str) -> list[NDArray[np.float64]]:
    """The pulses and the traces: what is drawn in ink."""
    ink = [group for group in ElementTree.fromstring(document).iter(f"{SVG}g") if group.get("stroke") == ecg_paper.INK]
    return [points(path.get("d", "")) for group in ink for path in group]


def pulses(document: str) -> list[NDArray[np.float64]]:
    return paths(document)[: len(ROWS)]


def traces(document: str) -> list[NDArray[np.float64]]:
    return paths(document)[len(ROWS) :]


def strip_of(seed: int, largest: int) -> Counts:
    return np.random.default_rng(seed).integers(-largest, largest, (len(STORED), SAMPLES), dtype=np.int16, endpoint=True)


def test_the_sheet_is_in_millimetres() -> None:
    root = ElementTree.fromstring(svg(STILL))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("270mm", "120mm", "0 0 270 120")


def test_a_pulse_of_1_mv_and_200_ms_is_10_mm_high_and_5_mm_wide() -> None:
    found = pulses(svg(STILL))
    assert len(found) == len(ROWS)
    for pulse, baseline in zip(found, BASELINES_MM, strict=True):
        x, down = pulse.T
        assert np.ptp(down) == 1 * MM_PER_MV == 10
        assert np.ptp(x[down == down.min()]) == 0.2 * MM_PER_SECOND == 5
        assert down.max() == SHEET_MM[1] - baseline  # its foot is the row's baseline
        assert x.max() < FIRST_SAMPLE_MM


def test_a_pulse_in_the_strip_is_as_large_as_the_calibration_pulse() -> None:
    strip = STILL.copy()
    strip[STORED.index("II"), 300:320] = 200  # counts of 5 microvolts for 20 samples: 1 mV, 200 ms
    x, down = traces(svg(strip))[-1].T
    top = x[np.abs(down - (SHEET_MM[1] - BASELINES_MM[3] - 10)) < 1.1]  # with what a band-limited edge overshoots
    half = x[down < SHEET_MM[1] - BASELINES_MM[3] - 5]
    assert np.ptp(half) == pytest.approx(5, abs=0.3)
    assert top.min() == pytest.approx(FIRST_SAMPLE_MM + 3 * MM_PER_SECOND, abs=0.3)


@pytest.mark.parametrize("hertz", [1.0, 7.0, 30.0])
def test_a_sine_has_its_height_and_period_in_millimetres(hertz: float) -> None:
    strip = STILL.copy()
    strip[STORED.index("II")] = np.rint(120 * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE))  # 0.6 mV
    x, down = traces(svg(strip))[-1].T
    inside = (x > 30) & (x < 250)
    assert np.ptp(down[inside]) == pytest.approx(2 * 0.6 * MM_PER_MV, abs=0.15)
    above = down[inside] < SHEET_MM[1] - BASELINES_MM[3]
    rising = np.flatnonzero(~above[:-1] & above[1:])
    assert np.diff(x[inside][rising]).mean() == pytest.approx(MM_PER_SECOND / hertz, rel=0.02)


@settings(max_examples=15, deadline=None)
@given(some.integers(0, 2**32), some.sampled_from([1, 40, 1500, 32767]))
def test_each_lead_goes_through_its_stored_samples(seed: int, largest: int) -> None:
    strip = strip_of(seed, largest)
    drawn, mv = traces(svg(strip)), millivolts(strip)
    leads = [(row, column, lead) for row, names in enumerate(ROWS) for column, lead in enumerate(names)]
    for path, (row, column, lead) in zip(drawn, leads, strict=True):
        number = SAMPLES // len(ROWS[row])
        x = FIRST_SAMPLE_MM + MM_PER_SECOND * (column * number + np.arange(number)) / RATE
        down = SHEET_MM[1] - BASELINES_MM[row] - MM_PER_MV * mv[LEADS.index(lead), column * number : (column + 1) * number]
        along = {round(at * 100): height for at, height in path}
        assert max(abs(along[round(at * 100)] - height) for at, height in zip(x, down, strict=True)) < 0.0051


def test_what_is_left_out_between_samples_would_not_show() -> None:
    strip = strip_of(3, 200)
    uv = ecg_paper.microvolts(strip)[LEADS.index("II")]
    x, down = traces(svg(strip))[-1].T
    every = FIRST_SAMPLE_MM + MM_PER_SECOND * np.arange(uv.size) / 500
    line = np.interp(every, x, SHEET_MM[1] - BASELINES_MM[3] - down)
    assert np.abs(line - uv * MM_PER_MV / 1000).max() < 0.06  # mm: a sixth of a stroke


def test_columns_are_continuous_in_time() -> None:
    *rows, rhythm = traces(svg(strip_of(1, 100)))
    for first in range(0, len(rows), 4):
        for before, after in pairwise(rows[first : first + 4]):
            assert 0 < after[0, 0] - before[-1, 0] < 0.06
    assert rhythm[-1, 0] == pytest.approx(FIRST_SAMPLE_MM + SECONDS * MM_PER_SECOND, abs=0.06)


def test_each_name_stands_above_the_beginning_of_its_trace() -> None:
    document = svg(STILL)
    words = list(ElementTree.fromstring(document).iter(f"{SVG}text"))
    assert [word.text for word in words] == [*(lead for names in ROWS for lead in names), FOOTER]
    for word, trace in zip(words[:-1], traces(document), strict=True):
        assert 0 < float(word.get("x", "0")) - trace[0, 0] < 2
        assert 5 < trace[0, 1] - float(word.get("y", "0")) < 12


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
