"""The ECG paper: which leads stand where on a sheet, and the sheet as one SVG, true to scale when printed.

A sheet has a layout, an order of the limb leads, a speed and a gain; it shows ten seconds, columns continuous in time, with a calibration
pulse of 1 mV and 200 ms before each row. The default, 3x4+1 at 25 mm/s and 10 mm/mV, fits A4 landscape. study/ecg_pdf.py draws the same sheets
for printers, pages/desk/paper.js for browsers (it gets all its numbers from `geometry`), pages/paper.py the default one for Plotly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html import escape
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from generator.leads import LEADS, STORED, twelve_leads
from generator.strip import BAND_HZ, MICROVOLTS_PER_COUNT, RATE, SAMPLES, SECONDS, Counts, millivolts
from study.errors import StudyError


class Rows(NamedTuple):
    """How a layout fills the sheet, in millimetres."""

    columns: int
    rhythm: tuple[str, ...]  # leads below the columns, ten seconds each
    apart: int  # from baseline to baseline
    above: int  # the first baseline
    below: int  # the last baseline


_ROWS = {
    "3x4+1": Rows(4, ("II",), 25, 25, 20),
    "3x4+3": Rows(4, ("V1", "II", "V5"), 20, 25, 20),
    "6x2": Rows(2, (), 20, 25, 20),
    "12x1": Rows(1, (), 15, 20, 15),  # A4 landscape is 210 mm high
}
_LIMB = {"standard": LEADS[:6], "Cabrera": ("aVL", "I", "-aVR", "II", "aVF", "III")}

LAYOUTS, ORDERS = tuple(_ROWS), tuple(_LIMB)
SPEEDS, GAINS = (12.5, 25, 50), (5, 10, 20)  # mm/s, mm/mV

FINE_MM, BOLD_MM = 1, 5  # the squares
PULSE_MV, PULSE_SECONDS = 1, 0.2
PULSE_MM, FOOT_MM = 5, 2  # where the calibration pulse rises, from the left edge; its foot on either side
RIGHT_MM = 5  # from the last sample to the right edge
NAME_MM, NAME_SIZE_MM = 0.5, 3.5  # a lead's name: right of its first sample
FOOTER_MM, FOOTER_SIZE_MM = 2.5, 3.2  # from the lower edge
TICK_MM = (2, 4)  # where leads of a row meet, from the baseline, above and below it
STROKE_MM, FINE_STROKE_MM, BOLD_STROKE_MM = 0.3, 0.12, 0.25
FONT = "Arial, Helvetica, sans-serif"

FINE = 5  # samples drawn for each one stored: a trace is band-limited between its samples, not made of straight lines
LOW_PASS = signal.firwin(20 * FINE + 1, 1 / FINE, window=("kaiser", 5.0))  # what scipy's resample_poly designs itself: flat to 42 Hz

INK, FINE_RED, BOLD_RED, PAPER = "#141414", "#f6c9c9", "#e39a9a", "#fffafa"
COLOURS = {
    "paper": {"ground": PAPER, "fine": FINE_RED, "bold": BOLD_RED, "ink": INK},
    "dark": {"ground": "#161211", "fine": "#3a1f1f", "bold": "#633030", "ink": "#f4efec"},
}

_BAND = f"{BAND_HZ[0]:g}-{BAND_HZ[1]:g} Hz"
_LETTERS = 0.34  # of a size: from the middle of a word down to its letters' feet
_STRAIGHT_MM = 0.05  # between two stored samples a trace that bends less (5 microvolts, a count) is drawn as a line


class Part(NamedTuple):
    """One lead's stretch of a row."""

    row: int
    lead: str
    start: float  # s
    end: float  # s
    x: float  # of its first sample, mm from the left edge


@dataclass(frozen=True)
class Sheet:
    """A sheet of ECG paper. StudyError for a value that is not among LAYOUTS, ORDERS, SPEEDS, GAINS."""

    layout: str = "3x4+1"
    order: str = "standard"
    speed: float = 25  # mm/s
    gain: float = 10  # mm/mV

    def __post_init__(self) -> None:
        for field, choices in {"layout": LAYOUTS, "order": ORDERS, "speed": SPEEDS, "gain": GAINS}.items():
            value = getattr(self, field)
            if value not in choices:
                raise StudyError(f"ECG paper: the {field} is {value}. Choose one of {', '.join(map(str, choices))}.")

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The leads of each row, from the top; -aVR is aVR inverted."""
        twelve = (*_LIMB[self.order], *LEADS[6:])
        number = len(twelve) // _ROWS[self.layout].columns
        return *(twelve[row::number] for row in range(number)), *((lead,) for lead in _ROWS[self.layout].rhythm)

    @property
    def baselines(self) -> tuple[int, ...]:
        """Of the rows, in millimetres from the upper edge: on bold lines."""
        rows = _ROWS[self.layout]
        return tuple(rows.above + row * rows.apart for row in range(len(self.rows)))

    @property
    def height(self) -> int:
        """In millimetres."""
        return self.baselines[-1] + _ROWS[self.layout].below

    @property
    def first(self) -> int:
        """Where a row's first sample stands, in millimetres from the left edge: on a bold line, clear of the pulse."""
        return BOLD_MM * ceil((PULSE_MM + PULSE_SECONDS * self.speed + FOOT_MM + 3) / BOLD_MM)

    @property
    def width(self) -> int:
        """In millimetres."""
        return self.wide(SECONDS)

    def wide(self, seconds: float) -> int:
        """The width of a sheet that shows so many seconds."""
        return self.first + ceil(seconds * self.speed) + RIGHT_MM

    @property
    def name_above(self) -> int:
        """The middle of a lead's name, in millimetres above its baseline: nearer to it than to the row above."""
        return 2 * _ROWS[self.layout].apart // 5

    @property
    def footer(self) -> str:
        """The scale and what was done to the signal."""
        return f"{self.speed:g} mm/s   {self.gain:g} mm/mV   {_BAND}"

    def parts(self, start: float = 0.0, end: float = SECONDS) -> Iterator[Part]:
        """What the sheet shows, row by row; of a sheet that shows the seconds from start to end only, those."""
        for row, names in enumerate(self.rows):
            length = SECONDS / len(names)
            for column, lead in enumerate(names):
                begins, ends = max(start, column * length), min(end, (column + 1) * length)
                if begins < ends:
                    yield Part(row, lead, begins, ends, self.first + self.speed * (begins - start))


DEFAULT = Sheet()


def microvolts(counts: Counts) -> NDArray[np.float64]:
    """The twelve leads as they are drawn: (12, 5000) microvolts at 500 samples/s, in the order of LEADS.

    Polyphase interpolation with a windowed sinc: it goes through every stored sample.
    """
    stored = millivolts(counts) * 1000
    drawn = signal.resample_poly(stored, FINE, 1, axis=-1, window=LOW_PASS, padtype="line")  # type: ignore[call-overload]  # the stubs know no arrays
    drawn[..., ::FINE] = stored  # the window alone misses them by 0.07 %
    return drawn


def samples(leads: NDArray[np.float64], part: Part) -> NDArray[np.float64]:
    """What a part shows of the leads: (12, samples) in the order of LEADS, ten seconds."""
    rate = leads.shape[-1] / SECONDS
    lead = leads[LEADS.index(part.lead.removeprefix("-")), round(part.start * rate) : round(part.end * rate)]
    return -lead if part.lead.startswith("-") else lead


def grid(sheet: Sheet = DEFAULT) -> str:
    """The sheet without a strip, as SVG elements in millimetres: 1 mm and 5 mm squares, and where leads of a row meet, a cart's two ticks."""

    def ruled(step: int) -> str:
        upright = "".join(f"M{x} 0V{sheet.height}" for x in range(0, sheet.width + 1, step))
        return upright + "".join(f"M0 {y}H{sheet.width}" for y in range(0, sheet.height + 1, step))

    near, far = TICK_MM
    ticks = ""
    for part in sheet.parts():
        if part.start > 0:
            y = sheet.baselines[part.row]
            ticks += f"M{part.x:g} {y + far}v{near - far}M{part.x:g} {y - near}v{near - far}"
    return (
        f'<rect width="{sheet.width}" height="{sheet.height}" fill="{PAPER}"/><g fill="none">'
        f'<path d="{ruled(FINE_MM)}" stroke="{FINE_RED}" stroke-width="{_short(FINE_STROKE_MM)}"/>'
        f'<path d="{ruled(BOLD_MM)}" stroke="{BOLD_RED}" stroke-width="{_short(BOLD_STROKE_MM)}"/>'
        f'<path d="{ticks}" stroke="{INK}" stroke-width="{_short(STROKE_MM)}"/></g>'
    )


def svg(counts: Counts, *, title: str = "", sheet: Sheet = DEFAULT) -> str:
    """The sheet of one strip as an SVG document, some 65 kB; it needs nothing else, inline in a page or as a file.

    counts: (8, 1000) int16 in the canonical form. title: any text, for screen readers and the browser's tooltip. Coordinates are millimetres from the
    upper left corner, to 0.01 mm; what lies off the sheet is cut off.
    """
    width, height = sheet.width, sheet.height
    name = escape("".join(letter for letter in title if letter.isprintable()))
    leads = microvolts(counts)
    traces = "".join(_trace(sheet, part, samples(leads, part)) for part in sheet.parts())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}" role="img">'
        f"{f'<title>{name}</title>' if name else ''}{grid(sheet)}"
        f'<g fill="none" stroke="{INK}" stroke-width="{STROKE_MM}" stroke-linejoin="round">{_pulses(sheet)}{traces}</g>'
        f'<g fill="{INK}" font-family="{FONT}">{_words(sheet)}</g></svg>\n'
    )


def letters_mm(size: float) -> float:
    """From the middle of a word down to its letters' feet, to 0.1 mm."""
    return round(_LETTERS * size, 1)


def geometry() -> dict[str, Any]:
    """The paper as JSON values, so that pages/desk/paper.js repeats no number: mm from the upper left corner, tables by layout or by speed."""
    layouts = {layout: Sheet(layout) for layout in LAYOUTS}
    speeds = {f"{speed:g}": Sheet(speed=speed) for speed in SPEEDS}
    weights = twelve_leads(np.eye(len(STORED)))
    return {
        "layouts": list(LAYOUTS),
        "orders": list(ORDERS),
        "speeds": list(SPEEDS),
        "gains": list(GAINS),
        "default": asdict(DEFAULT),
        "rows": {layout: {order: [list(names) for names in Sheet(layout, order).rows] for order in ORDERS} for layout in LAYOUTS},
        "baselines": {layout: list(sheet.baselines) for layout, sheet in layouts.items()},
        "height": {layout: sheet.height for layout, sheet in layouts.items()},
        "nameAbove": {layout: sheet.name_above for layout, sheet in layouts.items()},
        "first": {speed: sheet.first for speed, sheet in speeds.items()},
        "width": {speed: sheet.width for speed, sheet in speeds.items()},
        "footers": {f"{speed:g}": {f"{gain:g}": Sheet(speed=speed, gain=gain).footer for gain in GAINS} for speed in SPEEDS},
        "band": _BAND,
        "squares": {"fine": FINE_MM, "bold": BOLD_MM},
        "pulse": {"x": PULSE_MM, "foot": FOOT_MM, "millivolts": PULSE_MV, "seconds": PULSE_SECONDS},
        "name": {"right": NAME_MM, "size": NAME_SIZE_MM, "letters": letters_mm(NAME_SIZE_MM)},
        "footer": {"up": FOOTER_MM, "size": FOOTER_SIZE_MM, "letters": letters_mm(FOOTER_SIZE_MM)},
        "tick": list(TICK_MM),
        "stroke": {"trace": STROKE_MM, "fine": FINE_STROKE_MM, "bold": BOLD_STROKE_MM},
        "font": FONT,
        "colours": COLOURS,
        "rate": RATE,
        "seconds": SECONDS,
        "samples": SAMPLES,
        "microvoltsPerCount": MICROVOLTS_PER_COUNT,
        "stored": list(STORED),
        "weights": {  # of the stored leads, for each lead that a sheet can show
            **{lead: weights[row].tolist() for row, lead in enumerate(LEADS)},
            "-aVR": (-weights[LEADS.index("aVR")]).tolist(),
        },
        "fine": FINE,
        "taps": (LOW_PASS * FINE).tolist(),
    }


def _trace(sheet: Sheet, part: Part, uv: NDArray[np.float64]) -> str:
    """One path. In whole 0.01 mm, so that rounding does not add up from step to step."""
    along = part.x + sheet.speed * np.arange(uv.size) / (RATE * FINE)
    down = sheet.baselines[part.row] - uv * (sheet.gain / 1000)
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


def _pulses(sheet: Sheet) -> str:
    """1 mV for 200 ms before each row, with a foot on either side."""
    high, wide = PULSE_MV * sheet.gain, PULSE_SECONDS * sheet.speed
    step = f"h{FOOT_MM}v{-high:g}h{wide:g}v{high:g}h{FOOT_MM}"
    return "".join(f'<path d="M{PULSE_MM - FOOT_MM} {baseline}{step}"/>' for baseline in sheet.baselines)


def _words(sheet: Sheet) -> str:
    words = ""
    for part in sheet.parts():
        y = sheet.baselines[part.row] - sheet.name_above + letters_mm(NAME_SIZE_MM)
        words += f'<text x="{part.x + NAME_MM:g}" y="{y:g}" font-size="{NAME_SIZE_MM}" font-weight="bold">{part.lead}</text>'
    y = sheet.height - FOOTER_MM + letters_mm(FOOTER_SIZE_MM)
    return f'{words}<text x="{sheet.first}" y="{y:g}" font-size="{FOOTER_SIZE_MM}" xml:space="preserve">{sheet.footer}</text>'


def _short(number: float) -> str:
    return f"{number:g}".removeprefix("0")
