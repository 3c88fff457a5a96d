"""The ECG paper as a PDF for printers: landscape, in vectors, true to scale if it is printed at 100 %.

A millimetre of the sheet is a millimetre of the page. Ten seconds that are wider than the page go on over further pages, split at whole seconds;
nothing is scaled down. The bytes follow from the arguments alone: no dates, no host, and no metadata but the title.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reportlab.lib.colors import HexColor, black
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfdoc import PDFDictionary, PDFInfo, PDFString
from reportlab.pdfgen.canvas import Canvas
from reportlab.pdfgen.pathobject import PDFPathObject

from generator.strip import RATE, SECONDS, Counts
from study.ecg_paper import (
    BOLD_MM,
    BOLD_RED,
    BOLD_STROKE_MM,
    DEFAULT,
    FINE,
    FINE_MM,
    FINE_RED,
    FINE_STROKE_MM,
    FOOT_MM,
    FOOTER_MM,
    FOOTER_SIZE_MM,
    NAME_MM,
    NAME_SIZE_MM,
    PULSE_MM,
    PULSE_MV,
    PULSE_SECONDS,
    STROKE_MM,
    TICK_MM,
    Part,
    Sheet,
    letters_mm,
    microvolts,
    samples,
)
from study.errors import StudyError

PAPERS = {"A4": (297.0, 210.0), "Letter": (279.4, 215.9)}  # mm, landscape
MARGIN_MM = 2  # at least, around the grid; pulses and traces keep 3 mm more

_TICKS = (TICK_MM, tuple(-edge for edge in TICK_MM))  # above and below a baseline
_CASE_MM, _CASE_SIZE_MM = 4, 4  # the case's name: from the upper edge, above the first sample


def pdf(counts: Counts, *, case: str, sheet: Sheet = DEFAULT, paper: str = "A4") -> bytes:
    """The sheet of one strip as a PDF of 100 to 400 kB; at 50 mm/s it has two pages.

    counts: (8, 1000) int16 in the canonical form. case: what the sheet is called, after the word Case. paper: A4 or Letter; StudyError for another.
    Each trace has all its 500 samples/s, to 0.001 mm; what lies off the sheet is cut off.
    """
    if paper not in PAPERS:
        raise StudyError(f"PDF: the paper is {paper}. Choose one of {', '.join(PAPERS)}.")
    width, height = PAPERS[paper]
    title = f"Case {_printable(case)}"
    written = BytesIO()
    page = Canvas(written, pagesize=(width * mm, height * mm), pageCompression=1, invariant=1)
    only_title(page, title)
    leads = microvolts(counts)
    shown = _seconds(sheet, width)
    for start in range(0, SECONDS, shown):
        end = min(start + shown, SECONDS)
        wide = sheet.wide(end - start)
        page.translate((width - sheet.wide(shown)) / 2 * mm, (height - sheet.height) / 2 * mm)
        page.scale(mm, mm)  # from here on in millimetres, from the sheet's lower left corner
        _cut(page, wide, sheet.height)
        _grid(page, wide, sheet.height)
        parts = list(sheet.parts(start, end))
        _ink(page, sheet, parts, leads)
        _words(page, sheet, parts, title)
        page.showPage()
    page.save()
    return written.getvalue()


def _seconds(sheet: Sheet, width: float) -> int:
    """How many whole seconds fit the width of a page, in mm."""
    return max(number for number in range(1, SECONDS + 1) if sheet.wide(number) + 2 * MARGIN_MM <= width)


def _printable(case: str) -> str:
    """What Helvetica can write, without control characters."""
    return "".join(letter for letter in case if letter.isprintable()).encode("cp1252", "replace").decode("cp1252")


class _Title(PDFInfo):
    """Metadata without author, producer and dates."""

    def format(self, document: Any) -> bytes:
        return PDFDictionary({"Title": PDFString(self.title)}).format(document)


def only_title(page: Canvas, title: str) -> None:
    document = vars(page)["_doc"]  # reportlab has no public way to leave metadata out
    document.info = _Title()
    document.signature = hashlib.md5(usedforsecurity=False)  # the file's ID: of its pages, without the clock that SOURCE_DATE_EPOCH sets
    page.setTitle(title)


def _cut(page: Canvas, width: float, height: float) -> None:
    edge = page.beginPath()
    edge.rect(0, 0, width, height)
    page.clipPath(edge, stroke=0)


def _grid(page: Canvas, width: int, height: int) -> None:
    for step, stroke, red in ((FINE_MM, FINE_STROKE_MM, FINE_RED), (BOLD_MM, BOLD_STROKE_MM, BOLD_RED)):
        page.setLineWidth(stroke)
        page.setStrokeColor(HexColor(red))
        page.lines([(x, 0, x, height) for x in range(0, width + 1, step)])
        page.lines([(0, y, width, y) for y in range(0, height + 1, step)])


def _ink(page: Canvas, sheet: Sheet, parts: list[Part], leads: NDArray[np.float64]) -> None:
    """Ticks, pulses and traces, in black."""
    page.setLineWidth(STROKE_MM)
    page.setLineJoin(1)
    page.setStrokeColor(black)
    levels = [sheet.height - down for down in sheet.baselines]
    page.lines([(one.x, levels[one.row] + near, one.x, levels[one.row] + far) for one in parts if one.x > sheet.first for near, far in _TICKS])
    high, rise, fall = PULSE_MV * sheet.gain, PULSE_MM, PULSE_MM + PULSE_SECONDS * sheet.speed
    for level in levels:
        corners = [(rise - FOOT_MM, 0), (rise, 0), (rise, high), (fall, high), (fall, 0), (fall + FOOT_MM, 0)]
        _line(page, np.array([(x, level + y) for x, y in corners]))
    for part in parts:
        uv = samples(leads, part)
        along = part.x + sheet.speed * np.arange(uv.size) / (RATE * FINE)
        _line(page, np.column_stack([along, levels[part.row] + uv * (sheet.gain / 1000)]))


def _line(page: Canvas, points: NDArray[np.float64]) -> None:
    """points: (number, 2) mm."""
    first, *others = (f"{x:.3f} {y:.3f}" for x, y in points.tolist())
    page.drawPath(PDFPathObject(["n", f"{first} m", *(f"{other} l" for other in others)]))  # its lineTo drops zeros, and takes its time


def _words(page: Canvas, sheet: Sheet, parts: list[Part], title: str) -> None:
    page.setFillColor(black)
    page.setFont("Helvetica-Bold", NAME_SIZE_MM)
    for part in parts:
        middle = sheet.height - sheet.baselines[part.row] + sheet.name_above
        page.drawString(part.x + NAME_MM, middle - letters_mm(NAME_SIZE_MM), part.lead)
    page.setFont("Helvetica-Bold", _CASE_SIZE_MM)
    page.drawString(sheet.first, sheet.height - _CASE_MM - letters_mm(_CASE_SIZE_MM), title)
    page.setFont("Helvetica", FOOTER_SIZE_MM)
    page.drawString(sheet.first, FOOTER_MM - letters_mm(FOOTER_SIZE_MM), sheet.footer)
