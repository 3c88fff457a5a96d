"""The ECG paper: where leads, pulses and grid lie on the sheet, and the sheet as one SVG, true to scale when printed.

25 mm/s and 10 mm/mV on a sheet that fits A4 landscape: three rows of four leads, continuous in time from column to column, and lead II
below them for all ten seconds; a calibration pulse of 1 mV and 200 ms before each row. pages/paper.py draws the same sheet for a browser.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from generator.leads import LEADS
from generator.strip import BAND_HZ, RATE, SECONDS, Counts, millivolts

MM_PER_SECOND, MM_PER_MV = 25, 10

SHEET_MM = (270, 120)  # width, height; A4 landscape is 297 x 210
FIRST_SAMPLE_MM = 15  # where a row's first sample stands, from the left edge
BASELINES_MM = (95, 70, 45, 20)  # of the four rows, from the lower edge: on the 5 mm lines
ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",))
NAME_MM = (0.5, 10)  # a lead's name: right of its first sample, above its baseline
PULSE_MM, FOOT_MM = (5, 10), 2  # where the calibration pulse rises and falls, from the left edge; its foot on either side
FOOTER = f"{MM_PER_SECOND} mm/s   {MM_PER_MV} mm/mV   {BAND_HZ[0]:g}-{BAND_HZ[1]:g} Hz"
FOOTER_MM = 2.5  # from the lower edge

FINE = 5  # samples drawn for each one stored: a trace is band-limited between its samples, not made of straight lines

INK, FINE_RED, BOLD_RED, PAPER = "#141414", "#f6c9c9", "#e39a9a", "#fffafa"

_STROKE_MM = 0.3
_STRAIGHT_MM = 0.05  # between two stored samples a trace that bends less (5 microvolts, a count) is drawn as a line
_FONT = "Arial, Helvetica, sans-serif"


def microvolts(counts: Counts) -> NDArray[np.float64]:
    """The twelve leads as they are drawn: (12, 5000) microvolts at 500 samples/s, in the order of LEADS.

    Polyphase interpolation with a windowed sinc (scipy's resample_poly, flat to 42 Hz): it goes through every stored sample.
    """
    stored = millivolts(counts) * 1000
    drawn = signal.resample_poly(stored, FINE, 1, axis=-1, padtype="line")
    drawn[..., ::FINE] = stored  # scipy's window alone misses them by 0.07 %
    return drawn


def pieces(leads: NDArray[np.float64]) -> Iterator[tuple[int, float, str, NDArray[np.float64]]]:
    """What a sheet shows of the leads, row by row: its row, its first sample in seconds, the lead's name, its samples.

    leads: (12, samples) in the order of LEADS, ten seconds. A column takes 2.5 s, the rhythm strip 10 s.
    """
    for row, names in enumerate(ROWS):
        length = leads.shape[-1] // len(names)
        for column, lead in enumerate(names):
            yield row, column * length * SECONDS / leads.shape[-1], lead, leads[LEADS.index(lead), column * length : (column + 1) * length]


def grid() -> str:
    """The sheet without a strip, as SVG elements in millimetres: 1 mm and 5 mm squares, and where leads of a row meet, a cart's two ticks."""
    width, height = SHEET_MM

    def ruled(step: int) -> str:
        upright = "".join(f"M{x} 0V{height}" for x in range(0, width + 1, step))
        return upright + "".join(f"M0 {y}H{width}" for y in range(0, height + 1, step))

    ticks = ""
    for row, baseline in zip(ROWS, BASELINES_MM, strict=True):
        for column in range(1, len(row)):
            x, y = FIRST_SAMPLE_MM + column * SECONDS * MM_PER_SECOND / len(row), height - baseline
            ticks += f"M{x:g} {y + 4}v-2M{x:g} {y - 2}v-2"
    return (
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/><g fill="none">'
        f'<path d="{ruled(1)}" stroke="{FINE_RED}" stroke-width=".12"/><path d="{ruled(5)}" stroke="{BOLD_RED}" stroke-width=".25"/>'
        f'<path d="{ticks}" stroke="{INK}" stroke-width=".3"/></g>'
    )


def svg(counts: Counts, *, title: str = "") -> str:
    """The sheet of one strip as an SVG document of 270 x 120 mm, some 65 kB; it needs nothing else, inline in a page or as a file.

    counts: (8, 1000) int16 in the canonical form. title: any text, for screen readers and the browser's tooltip. Coordinates are millimetres from the
    upper left corner, to 0.01 mm; what lies off the sheet is cut off.
    """
    width, height = SHEET_MM
    name = escape("".join(letter for letter in title if letter.isprintable()))
    traces = "".join(_trace(row, start, uv) for row, start, _, uv in pieces(microvolts(counts)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}" role="img">'
        f"{f'<title>{name}</title>' if name else ''}{grid()}"
        f'<g fill="none" stroke="{INK}" stroke-width="{_STROKE_MM}" stroke-linejoin="round">{_pulses()}{traces}</g>'
        f'<g fill="{INK}" font-family="{_FONT}">{_words()}</g></svg>\n'
    )


def _trace(row: int, start: float, uv: NDArray[np.float64]) -> str:
    """One path: a lead from `start` seconds after the first sample on. In whole 0.01 mm, so that rounding does not add up from step to step."""
    along = FIRST_SAMPLE_MM + MM_PER_SECOND * (start + np.arange(uv.size) / (RATE * FINE))
    down = SHEET_MM[1] - BASELINES_MM[row] - uv * (MM_PER_MV / 1000)
    x, y = (np.rint(100 * axis[_bends(down)]).astype(int) for axis in (along, down))
    steps = " ".join(f"{across / 100:g} {by / 100:g}" for across, by in zip(np.diff(x), np.diff(y), strict=True))
    return f'<path d="M{x[0] / 100:g} {y[0] / 100:g}l{steps}"/>'.replace(" -", "-").replace(" 0.", " .")


def _bends(mm: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which samples a trace needs: all that are stored and the last, and those between where the trace leaves the straight line."""
    cells = mm[: (mm.size - 1) // FINE * FINE].reshape(-1, FINE)
    ends = mm[FINE::FINE][: len(cells)]
    line = cells[:, :1] + (ends - cells[:, 0])[:, None] * np.arange(FINE) / FINE
    needed = np.ones(mm.size, dtype=bool)
    needed[: cells.size] = np.repeat(np.abs(cells - line).max(axis=1) > _STRAIGHT_MM, FINE)
    needed[::FINE] = True
    return np.flatnonzero(needed)


def _pulses() -> str:
    """1 mV for 200 ms before each row, with a foot on either side."""
    rise, fall = PULSE_MM
    step = f"h{FOOT_MM}v{-MM_PER_MV}h{fall - rise}v{MM_PER_MV}h{FOOT_MM}"
    return "".join(f'<path d="M{rise - FOOT_MM} {SHEET_MM[1] - baseline}{step}"/>' for baseline in BASELINES_MM)


def _words() -> str:
    right, above = NAME_MM
    words = ""
    for row, names in enumerate(ROWS):
        for column, lead in enumerate(names):
            x = FIRST_SAMPLE_MM + column * SECONDS * MM_PER_SECOND / len(names) + right
            words += f'<text x="{x:g}" y="{SHEET_MM[1] - BASELINES_MM[row] - above + 1.2:g}" font-size="3.5" font-weight="bold">{lead}</text>'
    return f'{words}<text x="{FIRST_SAMPLE_MM}" y="{SHEET_MM[1] - FOOTER_MM + 1.1:g}" font-size="3.2" xml:space="preserve">{FOOTER}</text>'
