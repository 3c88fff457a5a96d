"""The PDF of the ECG paper, read by another library and measured as a printout would be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray
from pypdf import PageObject, PdfReader
from scipy.special import erf

from generator.leads import STORED
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES, SECONDS, Counts
from study.ecg_paper import GAINS, LAYOUTS, ORDERS, SPEEDS, Sheet, microvolts, samples
from study.ecg_pdf import PAPERS, pdf
from study.errors import StudyError

STILL = np.zeros((len(STORED), SAMPLES), dtype=np.int16)
SHEETS = [Sheet(*chosen) for chosen in product(LAYOUTS, ORDERS, SPEEDS, GAINS)]
MM = 72 / 25.4  # points


@dataclass
class Drawn:
    """What a page shows, in millimetres of paper from its lower left corner."""

    size: tuple[float, float]
    cut: tuple[float, float, float, float] = (0, 0, 0, 0)  # x, y, width, height
    lines: list[NDArray[np.float64]] = field(default_factory=list)  # in black: (points, 2)
    red: list[NDArray[np.float64]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def pages(document: bytes) -> list[Drawn]:
    return [drawn(page) for page in PdfReader(BytesIO(document), strict=True).pages]


def drawn(page: PageObject) -> Drawn:
    """Follows the operators that study/ecg_pdf.py makes reportlab write; another fails."""
    found = Drawn((float(page.mediabox.width) / MM, float(page.mediabox.height) / MM))
    scale, corner = 1.0, np.zeros(2)
    paths: list[list[list[str]]] = []
    operands: list[str] = []
    red = False
    for token in _TOKENS.findall(contents(page).decode("latin-1")):
        match token:
            case "cm":
                wide, tilt, skew, high, right, up = map(float, operands)
                assert (tilt, skew, wide) == (0, 0, high)
                corner, scale = corner + scale * np.array([right, up]), scale * wide
            case "n":
                paths = []
            case "m":
                paths.append([operands])
            case "l":
                paths[-1].append(operands)
            case "re":
                x, y, width, height = scale / MM * np.array(operands, dtype=float)
                found.cut = (corner[0] / MM + x, corner[1] / MM + y, width, height)
            case "RG":
                red = any(map(float, operands))
            case "S":
                (found.red if red else found.lines).extend((np.array(path, dtype=float) * scale + corner) / MM for path in paths)
            case "Tj":
                found.words.append(text(operands[0]))
            case _ if re.fullmatch(r"\(.*\)|/\w+|-?[\d.]+", token, re.DOTALL):
                operands.append(token)
                continue
            case _:
                assert token in ("BT", "ET", "Tf", "TL", "Tm", "T*", "w", "j", "W*", "rg"), token
        operands = []
    return found


_TOKENS = re.compile(r"\((?:\\.|[^\\)])*\)|[^\s()]+", re.DOTALL)


def contents(page: PageObject) -> bytes:
    found = page.get_contents()
    assert found is not None
    return found.get_data()


def text(written: str) -> str:
    """A string in parentheses, with its escapes, in the encoding of the page's fonts."""
    plain = re.sub(r"\\(\d{3}|.)", lambda found: chr(int(found[1], 8)) if found[1].isdigit() else found[1], written[1:-1], flags=re.DOTALL)
    return plain.encode("latin-1").decode("cp1252")


def pulses(page: Drawn) -> list[NDArray[np.float64]]:
    return [line for line in page.lines if len(line) == 6]


def traces(page: Drawn) -> list[NDArray[np.float64]]:
    return [line for line in page.lines if len(line) > 6]


def strip_of(seed: int, largest: int) -> Counts:
    return np.random.default_rng(seed).integers(-largest, largest, (len(STORED), SAMPLES), dtype=np.int16, endpoint=True)


def plateau() -> Counts:
    """2.54 mV in lead II from 2.000 s to 3.016 s, with edges of a few hundredths of a second."""
    t = np.arange(SAMPLES) / RATE
    strip = STILL.copy()
    strip[STORED.index("II")] = np.rint(254 * (erf((t - 2) / 0.03) - erf((t - 3.016) / 0.03)))
    return strip


# ---- with a ruler ----


@pytest.mark.parametrize("paper", PAPERS)
def test_an_inch_is_an_inch_both_ways(paper: str) -> None:
    [page] = pages(pdf(plateau(), case="7", paper=paper))
    x, y = traces(page)[-1].T  # the rhythm strip
    low = np.median(y)
    above = y > low + 12.7
    assert np.median(y[above]) - low == pytest.approx(25.4, abs=0.01)
    at = np.flatnonzero(above[:-1] != above[1:])
    start, end = x[at] + (low + 12.7 - y[at]) * (x[at + 1] - x[at]) / (y[at + 1] - y[at])
    assert end - start == pytest.approx(25.4, abs=0.01)


@pytest.mark.parametrize(("paper", "size"), [("A4", (297, 210)), ("Letter", (279.4, 215.9))])
@pytest.mark.parametrize("sheet", [Sheet(layout, speed=speed) for layout in LAYOUTS for speed in SPEEDS], ids=str)
def test_each_sheet_fits_the_page(paper: str, size: tuple[float, float], sheet: Sheet) -> None:
    for page in pages(pdf(STILL, case="7", sheet=sheet, paper=paper)):
        assert page.size == pytest.approx(size, abs=1e-4)
        x, y, width, height = page.cut
        assert height == pytest.approx(sheet.height, abs=1e-3)  # never scaled down
        assert min(x, y, size[0] - x - width, size[1] - y - height) >= 2 - 1e-3
        assert np.concatenate(page.lines)[:, 0].min() > x
        assert np.concatenate(page.lines)[:, 0].max() < x + width


def test_squares_are_1_and_5_mm() -> None:
    [page] = pages(pdf(STILL, case="7"))
    x, y, *_ = page.cut
    upright = sorted(line[0, 0] - x for line in page.red if np.ptp(line[:, 0]) == 0)
    across = sorted(line[0, 1] - y for line in page.red if np.ptp(line[:, 1]) == 0)
    assert upright == pytest.approx(sorted([*range(271), *range(0, 271, 5)]), abs=1e-3)
    assert across == pytest.approx(sorted([*range(121), *range(0, 121, 5)]), abs=1e-3)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("gain", GAINS)
def test_each_row_of_each_page_has_its_pulse(speed: float, gain: float) -> None:
    sheet = Sheet("6x2", speed=speed, gain=gain)
    for page in pages(pdf(STILL, case="7", sheet=sheet)):
        assert len(pulses(page)) == len(sheet.rows)
        for pulse, baseline in zip(pulses(page), sheet.baselines, strict=True):
            x, y = pulse.T
            assert np.ptp(y) == pytest.approx(gain, abs=1e-3)
            assert np.ptp(x[y > y.min() + gain / 2]) == pytest.approx(0.2 * speed, abs=1e-3)
            assert page.cut[1] + page.cut[3] - y.min() == pytest.approx(baseline, abs=1e-3)


# ---- the whole strip ----


@given(some.integers(0, 2**32), some.sampled_from(SHEETS), some.sampled_from(list(PAPERS)))
@settings(max_examples=12, deadline=None)
def test_every_sample_is_on_paper_once(seed: int, sheet: Sheet, paper: str) -> None:
    strip = strip_of(seed, 300)
    leads, drawn = microvolts(strip), pages(pdf(strip, case="7", sheet=sheet, paper=paper))
    rows: dict[int, list[NDArray[np.float64]]] = {row: [] for row in range(len(sheet.rows))}
    for page in drawn:
        for trace in traces(page):
            middle = page.cut[1] + page.cut[3] - np.array(sheet.baselines)
            rows[int(np.abs(middle - np.median(trace[:, 1])).argmin())].append(trace[:, 1] - page.cut[1])
    for row, pieces in rows.items():
        uv = np.concatenate([samples(leads, part) for part in sheet.parts() if part.row == row])
        on_paper = (np.concatenate(pieces) - sheet.height + sheet.baselines[row]) * 1000 / sheet.gain
        assert len(on_paper) == SECONDS * 500
        assert np.abs(on_paper - uv).max() < 0.3 * MICROVOLTS_PER_COUNT


@pytest.mark.parametrize("paper", PAPERS)
def test_50_mm_a_second_goes_on_over_a_second_page_after_whole_seconds(paper: str) -> None:
    first, second = pages(pdf(strip_of(1, 100), case="7", sheet=Sheet(speed=50), paper=paper))
    assert first.words == ["I", "aVR", "II", "aVL", "III", "aVF", "II", "Case 7", "50 mm/s   10 mm/mV   0.5-40 Hz"]
    assert second.words == ["V1", "V4", "V2", "V5", "V3", "V6", "II", "Case 7", "50 mm/s   10 mm/mV   0.5-40 Hz"]
    assert all(page.cut[2] == pytest.approx(20 + 5 * 50 + 5, abs=1e-3) for page in (first, second))
    assert first.cut == second.cut


def test_what_lies_off_the_sheet_is_cut_off() -> None:
    strip = STILL.copy()
    strip[:, 300:400] = 20_000  # 100 mV
    [page] = pages(pdf(strip, case="7"))
    assert np.concatenate(page.lines)[:, 1].max() > page.cut[1] + page.cut[3]
    assert page.cut[2:] == pytest.approx((270, 120), abs=1e-3)


# ---- what is said, and what is not ----


@given(some.text(max_size=30), some.sampled_from(SHEETS))
@settings(max_examples=25, deadline=None)
def test_the_words_are_the_leads_the_footer_and_the_case(case: str, sheet: Sheet) -> None:
    document = pdf(STILL, case=case, sheet=sheet)
    said = [page.words for page in pages(document)]
    for words in said:
        *leads, title, footer = words
        assert set(leads) <= {lead for row in sheet.rows for lead in row}
        assert title.startswith("Case ")
        assert footer == sheet.footer
    assert {word for words in said for word in words[:-2]} == {lead for row in sheet.rows for lead in row}
    metadata = PdfReader(BytesIO(document)).metadata
    assert dict(metadata or {}) == {"/Title": said[0][-2]}


@pytest.mark.parametrize(("case", "said"), [("7", "Case 7"), ("B-12 (repeat)", "Case B-12 (repeat)"), ("Å\n7", "Case Å7"), ("七", "Case ?")])
def test_a_case_is_written_as_far_as_the_font_goes(case: str, said: str) -> None:
    [page] = pages(pdf(STILL, case=case))
    assert page.words[-2] == said


def test_the_same_strip_gives_the_same_bytes_whenever_and_wherever() -> None:
    code = (
        "import hashlib, numpy; from study.ecg_pdf import pdf; "
        "strip = numpy.arange(8000).reshape(8, 1000).astype('int16'); print(hashlib.sha256(pdf(strip, case='7')).hexdigest())"
    )
    elsewhere = {"SOURCE_DATE_EPOCH": "1", "TZ": "Asia/Tokyo", "USER": "somebody", "PYTHONHASHSEED": "5"}
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parents[2], env={**os.environ, **more}, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, elsewhere)
    }
    assert len(hashes) == 1


@given(some.integers(0, 2**32), some.integers(1, 32767))
@settings(max_examples=10, deadline=None)
def test_nothing_differs_between_strips_but_their_traces(seed: int, largest: int) -> None:
    [still], [other] = (pages(pdf(strip, case="7")) for strip in (STILL, strip_of(seed, largest)))
    assert (other.words, other.cut, other.size) == (still.words, still.cut, still.size)
    assert [len(line) for line in other.lines] == [len(line) for line in still.lines]
    assert all(np.array_equal(one[:, 0], another[:, 0]) for one, another in zip(still.lines, other.lines, strict=True))
    assert all(np.array_equal(one, another) for one, another in zip(pulses(still), pulses(other), strict=True))


def test_another_paper_is_refused() -> None:
    with pytest.raises(StudyError, match=r"A3.*A4, Letter"):
        pdf(STILL, case="7", paper="A3")
