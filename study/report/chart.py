"""Pictures as shapes, which page, PDF and results page draw alike: figures with their intervals, ROC curves, the flow of strips and readings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from reportlab.pdfbase.pdfmetrics import stringWidth

from study.report.facts import Cells, Figure, shown
from study.report.parts import Box, Dot, Line, Picture, Shape, Word

INK, QUIET, RULE, BAND, LINE, GREEN = "#141414", "#5a5a5a", "#c8c8c8", "#dfeadf", "#8aa88a", "#3f6b3f"
COLOURS = {"real": "#0b4f9e", "synthetic": "#b8400b"}  # told apart without colour too: real strips are round, synthetic ones square
WIDTH = 180.0  # mm, of the page within its margins
MOST_ROWS = 56  # that fill a page
_PLACES = {1: ((62.0, 130.0),), 2: ((56.0, 113.0), (122.0, 177.0))}  # where axes begin and end
_ROW, _LANE, _GAP, _TOP = 7.0, 2.6, 2.0, 9.0  # above a picture with a band stand two lines of words
_HIGHEST, _SMALLEST_ROW = 190.0, 3.2
_SIZE, _SMALL = 3.0, 2.6  # of letters
_MOST_TOLD = 15  # readers beside a curve
_READERS = ("#141414", "#8a6100", "#00705a", "#9c1f66", "#5b3fa8", "#6b6b6b", "#94341f", "#3f6b3f")  # dark enough on white
_FONTS = {False: "Helvetica", True: "Helvetica-Bold"}


@dataclass(frozen=True)
class Axis:
    """What lies along a picture. unit: of study.report.facts.shown. reference: where a line is drawn, and its name; band: from, to, its name."""

    title: str
    low: float = 0.0
    high: float = 1.0
    unit: str = "percent"
    reference: tuple[float, str] | None = None
    band: tuple[float, float, str] | None = None


class Mark(NamedTuple):
    """A figure where it lies; one without a value is a letter, whose reason stands in the caption. series: real, synthetic, or neither."""

    figure: Figure
    series: str = ""


class Entry(NamedTuple):
    """A row: its name, and for each axis what is drawn there; a heading of rows below it where there is nothing.

    level: all, site or reader, as in study.result_tables; item: whatever else. said: quiet words below the figure.
    """

    called: str
    marks: tuple[tuple[Mark, ...], ...] = ()
    level: str = "item"
    said: str = ""


def intervals_picture(caption: str, axes: Sequence[Axis], entries: Sequence[Entry]) -> Picture:
    """Figures with their intervals, a row each, on one axis with the numbers beside it, or on two. Reasons of gaps follow the caption."""
    places = _PLACES[len(axes)]
    series = list(dict.fromkeys(mark.series for entry in entries for marks in entry.marks for mark in marks if mark.series))
    top = max((_TOP if axis.band else 5.5 if axis.reference else 1.0) for axis in axes) + (5 if series else 0)
    row = max(min(_ROW + (_LANE if len(series) > 1 else 0), _HIGHEST / max(len(entries), 1)), _SMALLEST_ROW)
    cells, shapes, told, y = Cells(), [*_legend(series, places[0][0])], [], top
    for number, entry in enumerate(entries):
        y += _GAP if entry.level == "site" or (number and not entry.marks) else 0
        indent = 4.0 if entry.level == "reader" else 0.0
        middle, bold = y + row / 2, entry.level == "all" or not entry.marks
        if not entry.marks:
            shapes.append(Box(places[0][0], y, places[-1][1] - places[0][0], row * 0.8, "#ffffff"))  # no line runs through a heading
        shapes.append(_label(entry.called, indent, middle, WIDTH if not entry.marks else places[0][0] - 3, bold))
        said = fitting(entry.said, WIDTH - places[0][1] - 3, size=2.4) if row > 0.9 * _ROW else ""
        for axis, place, marks in zip(axes, places, entry.marks, strict=False):
            for lane, mark in enumerate(marks):
                at = middle + (lane - (len(marks) - 1) / 2) * min(_LANE, row / 2.4)
                shapes += _mark(axis, place, at, mark, entry.level, cells, beside=len(axes) == 1, raised=bool(said))
                named = ", ".join(filter(None, (entry.called, mark.series, axis.title if len(axes) > 1 else "")))
                told.append(f"{named}: {_in_words(mark.figure, axis.unit)}")
        if said:
            shapes.append(Word(places[0][1] + 3, middle + 2.95, said, 2.4, colour=QUIET))
        y += row * (1 if entry.marks else 0.8)
    reasons = "".join(f" {note}." for note in cells.notes)
    grounds = [shape for axis, place in zip(axes, places, strict=True) for shape in _ground(axis, place, top, y)]
    return Picture(caption + reasons, "; ".join(told), WIDTH, y + 10, (*grounds, *shapes))


def _label(words: str, indent: float, y: float, end: float, bold: bool) -> Word:
    """In smaller letters before it is cut."""
    size = next((size for size in (_SIZE, _SMALL, 2.3) if fitting(words, end - indent, bold, size=size) == words), _SMALL)
    return Word(indent, y + 1.05, fitting(words, end - indent, bold, size=size), size, bold=bold)


def _mark(axis: Axis, place: tuple[float, float], y: float, mark: Mark, level: str, cells: Cells, *, beside: bool, raised: bool) -> list[Shape]:
    """beside: its number stands right of the axis; raised: with words below it."""
    figure, colour, together = mark.figure, COLOURS.get(mark.series, INK), level in ("all", "site")
    foot = y + (0.15 if raised else 0.9)  # where letters stand, for them to be level with the marker
    shapes: list[Shape] = []
    if beside:
        words = cells.cell(figure, axis.unit)
        shapes.append(Word(place[1] + 3, foot, words, 2.4 if mark.series else _SMALL, bold=level == "all", colour=colour))
    if figure["value"] is None:
        return shapes or [Word(place[0] + 1, foot, cells.cell(figure), 2.4, colour=colour)]
    if figure["low"] is not None and figure["high"] is not None:
        ends = [_x(axis, place, end) for end in (figure["low"], figure["high"])]
        shapes.append(Line(ends[0], y, ends[1], y, colour, 0.7 if together else 0.45))
        shapes += [Line(x, y - 0.9, x, y + 0.9, colour, 0.3) for x in ends]
    elif not beside:
        letter = cells.letter(figure["reason"] or "no reason given")
        shapes.append(Word(_x(axis, place, figure["value"]) + 2, foot, f"[{letter}]", 2.4, colour=colour))
    square = mark.series == "synthetic" if mark.series else together
    shapes.append(Dot(_x(axis, place, figure["value"]), y, 2.3 if together else 1.8, colour, square=square))
    return shapes


def _ground(axis: Axis, place: tuple[float, float], top: float, bottom: float) -> list[Shape]:
    """Band, reference and the axis itself."""
    shapes: list[Shape] = []
    if axis.band is not None:
        low, high = (_x(axis, place, end) for end in axis.band[:2])
        shapes += [Box(low, top, high - low, bottom - top, BAND), *(Line(x, top, x, bottom, LINE, 0.25) for x in (low, high))]
        shapes.append(Word((low + high) / 2, top - 5.2, axis.band[2], _SMALL, "middle", colour=GREEN))
    if axis.reference is not None:
        x = _x(axis, place, axis.reference[0])
        shapes += [Line(x, top, x, bottom, QUIET, 0.25, dashed=True), Word(x, top - 1.6, axis.reference[1], _SMALL, "middle", colour=QUIET)]
    shapes.append(Line(*(place[0], bottom), *(place[1], bottom), INK, 0.25))
    for number in range(5):
        value = axis.low + (axis.high - axis.low) * number / 4
        x = _x(axis, place, value)
        shapes += [Line(x, bottom, x, bottom + 1.2, INK, 0.25), Word(x, bottom + 4.4, _tick(value, axis.unit), _SMALL, "middle")]
    shapes.append(Word(sum(place) / 2, bottom + 8.4, fitting(axis.title, place[1] - place[0] + 6, size=_SMALL), _SMALL, "middle"))
    return shapes


def _tick(value: float, unit: str) -> str:
    value *= 100 if unit in ("percent", "points") else 1
    return f"{value:g}" if unit not in ("points", "difference") or not value else f"{value:+g}"


def _legend(series: Sequence[str], x: float) -> list[Shape]:
    shapes: list[Shape] = []
    for name in series:
        shapes += [Dot(x + 1, 2.2, 1.8, COLOURS[name], square=name == "synthetic"), Word(x + 3, 3.2, name, _SMALL, colour=COLOURS[name])]
        x += 16
    return shapes


def _in_words(figure: Figure, unit: str) -> str:
    """For those who cannot see it."""
    told = figure.get("sentence")
    if told or figure["value"] is None:
        return str(told or f"undefined, because {figure['reason']}")
    value = shown(figure["value"], unit)
    if figure["low"] is None or figure["high"] is None:
        return f"{value}, without an interval: {figure['reason']}"
    return f"{value} ({shown(figure['low'], unit)} to {shown(figure['high'], unit)})"


def _x(axis: Axis, place: tuple[float, float], value: float) -> float:
    return place[0] + (place[1] - place[0]) * (value - axis.low) / (axis.high - axis.low)


def around(middle: float, figures: Sequence[Figure]) -> tuple[float, float]:
    """Ends of an axis about a value, round numbers, that hold all figures and intervals."""
    most = max((abs(value - middle) for figure in figures for value in _held(figure)), default=0.0)
    reach = next((reach for reach in (0.1, 0.2, 0.4, 0.6, 1.0, 2.0) if reach >= most), most)
    return middle - reach, middle + reach


def from_zero(figures: Sequence[Figure]) -> float:
    """The end of an axis from 0, four times a round number, that holds all figures and intervals."""
    most = max((value for figure in figures for value in _held(figure)), default=0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(most / 4))
    return 4 * next(step * power for step in (1, 2, 2.5, 5, 10) if 4 * step * power >= most)


def _held(figure: Figure) -> list[float]:
    return [figure[name] for name in ("value", "low", "high") if figure[name] is not None]


def fitting(words: str, width: float, bold: bool = False, *, size: float = _SIZE) -> str:
    """As much of a text as fits, with dots where it was cut; browsers without Helvetica take a wider font."""
    width /= 1.15
    if stringWidth(words, _FONTS[bold], size) <= width:
        return words
    while words and stringWidth(words + "...", _FONTS[bold], size) > width:
        words = words[:-1]
    return words.rstrip() + "..."


# ---- ROC ----

Curve = Sequence[tuple[float, float]]


def roc_picture(caption: str, curves: Mapping[str, Curve], everybody: str, sites: Mapping[str, Sequence[str]]) -> Picture:
    """(1 - specificity, sensitivity) from corner to corner: a panel of all readers with the curve `everybody` in bold, and one for each hospital."""
    panels: list[tuple[str, Sequence[str]]] = [("All readers", ()), *(sites.items() if len(sites) > 1 else ())]
    across = max(2, min(len(panels), 3))
    side, step = (WIDTH - 6) / across - 14, (WIDTH - 6) / across + 2
    shapes: list[Shape] = []
    for number, (called, own) in enumerate(panels):
        x, y = 12 + number % across * step, 9 + number // across * (side + 23)
        lines = [fitting(line, side, True, size=_SMALL) for line in _wrapped(called, side / 1.25)[:2]]
        shapes += [*_square(x, y, side), *(Word(x, y - 2 - 3.2 * i, line, _SMALL, bold=True) for i, line in enumerate(reversed(lines)))]
        for name, curve in sorted(curves.items(), key=lambda item: (item[0] == everybody, item[0] in own)):
            if name != everybody or not own:
                shapes += _curve(curve, (x, y, side), bold=name == everybody, quiet=bool(own) and name not in own)
    told = "; ".join(f"{name}: " + ", ".join(f"{100 * a:.0f} % and {100 * b:.0f} %" for a, b in curve[1:-1]) for name, curve in curves.items())
    told = f"Share of real and of synthetic strips called synthetic, from the strictest use of the scale to the laxest. {told}"
    return Picture(caption, told, WIDTH, ((len(panels) - 1) // across + 1) * (side + 23), tuple(shapes))


def roc_beside(caption: str, curves: Mapping[str, Curve], one: str, told: Sequence[tuple[str, str]]) -> Picture:
    """One panel: the curve `one` in bold, the others thin, the first eight in colours of their own; beside it names with what is told of each."""
    side, lines = 78.0, [*told[:_MOST_TOLD], *([("", f"and {len(told) - _MOST_TOLD} more: see the table")] if len(told) > _MOST_TOLD else [])]
    others = [name for name, _ in told if name != one]
    colours = dict(zip(others, _READERS, strict=False)) | {one: COLOURS["real"]}
    shapes = _square(12, 4, side)
    for name, curve in sorted(curves.items(), key=lambda item: item[0] == one):
        corners = [(12 + a * side, 4 + side - b * side) for a, b in curve]
        stroke = 0.7 if name == one else 0.3
        shapes += [Line(*start, *end, colours.get(name, INK), stroke) for start, end in pairwise(corners) if start != end]
    for number, (name, words) in enumerate(lines):
        y, bold, colour = 8 + 5 * number, name == one, colours.get(name, INK)
        shapes += [Line(98, y - 1, 104, y - 1, colour, 0.7 if bold else 0.3)] if name in curves else []
        shapes += [Word(106, y, fitting(name, 22, bold, size=_SMALL), _SMALL, bold=bold, colour=colour), Word(128, y, words, _SMALL, colour=colour)]
    said = "; ".join(f"{name}: {words}" for name, words in told)
    return Picture(caption, f"ROC curves of readers and machine on the same strips. {said}", WIDTH, side + 20, tuple(shapes))


def _square(x: float, y: float, side: float) -> list[Shape]:
    foot = y + side
    shapes: list[Shape] = [Box(x, y, side, side, "#ffffff", RULE), Line(x, foot, x + side, y, QUIET, 0.25, dashed=True)]
    for share in (0, 0.5, 1):
        at = x + share * side, foot - share * side
        shapes += [Word(at[0], foot + 4, f"{100 * share:g}", _SMALL, "middle"), Word(x - 1.5, at[1] + 0.9, f"{100 * share:g}", _SMALL, "end")]
    shapes.append(Word(x, foot + 8, "across: real called synthetic, %", _SMALL))
    return [*shapes, Word(x, foot + 11.5, "up: synthetic called synthetic, %", _SMALL)]


def _curve(curve: Curve, place: tuple[float, float, float], *, bold: bool, quiet: bool) -> list[Shape]:
    x, y, side = place
    points = [(x + a * side, y + side - b * side) for a, b in curve]
    colour, stroke = (COLOURS["real"], 0.7) if bold else (RULE if quiet else INK, 0.3)
    shapes: list[Shape] = [Line(*one, *two, colour, stroke) for one, two in pairwise(points) if one != two]
    return [*shapes, *(Dot(*at, 1.8, colour) for at in points[1:-1])] if bold else shapes


# ---- one value against another ----


class Cloud(NamedTuple):
    """A panel: values across and up, and of each the arm. across, up: the axes; up may have names in the place of numbers, from 1 on."""

    title: str
    across: Axis
    up: Axis
    points: Sequence[tuple[float, float, str]]


def clouds_picture(caption: str, told: str, panels: Sequence[Cloud], steps: Sequence[str]) -> Picture:
    """Two panels side by side that share what lies upwards: `steps`, words for 1, 2, ..."""
    side, shapes = 66.0, [*_legend(tuple(COLOURS), 30)]
    for number, panel in enumerate(panels):
        x, y = 30 + number * (side + 10), 13.0
        shapes += [Box(x, y, side, side, "#ffffff", RULE), Word(x, y - 2, panel.title, _SMALL, bold=True)]
        place, upwards = (x, x + side), (y + side, y)
        for tick in range(5):
            value = panel.across.low + (panel.across.high - panel.across.low) * tick / 4
            at = _x(panel.across, place, value)
            shapes += [Line(at, y + side, at, y + side + 1.2, INK, 0.25), Word(at, y + side + 4.4, f"{value:.2g}", _SMALL, "middle")]
        for step, words in enumerate(steps, start=1):
            at = _x(panel.up, upwards, step)
            shapes.append(Line(x, at, x + side, at, RULE, 0.15))
            shapes += [Word(x - 1.5, at + 0.9, words, 2.3, "end")] if number == 0 else []
        shapes.append(Word(x + side / 2, y + side + 8.4, panel.across.title, _SMALL, "middle"))
        shapes += [
            Dot(_x(panel.across, place, a), _x(panel.up, upwards, b), 1.6, COLOURS[arm], square=arm == "synthetic") for a, b, arm in panel.points
        ]
    return Picture(caption, told, WIDTH, 13 + side + 11, tuple(shapes))


# ---- one strip among others ----


class Spread(NamedTuple):
    """A strip's value among those of others. ends: the lowest and highest of these; middle: their quartiles; told: what stands beside."""

    called: str
    value: float
    median: float
    ends: tuple[float, float]
    middle: tuple[float, float]
    told: str


def spreads_picture(caption: str, rows: Sequence[Spread]) -> Picture:
    """A row each, every one on a scale of its own from the lowest to the highest of the others."""
    left, right, row = 62.0, 130.0, max(min(5.0, _HIGHEST / max(len(rows), 1)), _SMALLEST_ROW)
    shapes: list[Shape] = []
    for number, one in enumerate(rows):
        y, wide = 2 + row * (number + 0.5), one.ends[1] - one.ends[0]

        def x(value: float, one: Spread = one, wide: float = wide) -> float:
            share = (value - one.ends[0]) / wide if wide > 0 else 0.5 + (value > one.ends[0]) - (value < one.ends[0])
            return left + (right - left) * min(max(share, -0.06), 1.06)

        outside = not one.ends[0] <= one.value <= one.ends[1]
        shapes += [_label(one.called, 0, y, left - 6, False), Line(left, y, right, y, QUIET, 0.25)]
        shapes.append(Box(x(one.middle[0]), y - 0.9, max(x(one.middle[1]) - x(one.middle[0]), 0.2), 1.8, "#e4e4e4", RULE))
        shapes.append(Line(x(one.median), y - 1.3, x(one.median), y + 1.3, QUIET, 0.4))
        shapes.append(Dot(x(one.value), y, 2.0, COLOURS["synthetic" if outside else "real"], square=outside))
        words = f"{one.value:.3g} (median {one.median:.3g})"
        shapes += [Word(right + 7, y + 0.9, words, 2.4), Word(WIDTH, y + 0.9, one.told, 2.4, "end")]
    told = "; ".join(f"{one.called} {one.value:.3g}, of the others {one.ends[0]:.3g} to {one.ends[1]:.3g}" for one in rows)
    return Picture(caption, told, WIDTH, 4 + row * len(rows), tuple(shapes))


# ---- flow ----


class Stage(NamedTuple):
    """A row of boxes, one an arm, with what left the flow beside each."""

    boxes: tuple[str, str]
    aside: tuple[str, str] = ("", "")


def flow_picture(caption: str, heads: tuple[str, str], stages: Sequence[Stage]) -> Picture:
    """Two columns of boxes with arrows between, and to the right of each what went no further."""
    columns, box, aside, step = (0.0, 92.0), 44.0, 40.0, 17.0
    shapes: list[Shape] = [Word(x + box / 2, 4, head, _SIZE, "middle", bold=True) for x, head in zip(columns, heads, strict=True)]
    for number, stage in enumerate(stages):
        top = 6 + number * step
        for x, words, out in zip(columns, stage.boxes, stage.aside, strict=True):
            lines = _wrapped(words, box - 4)
            shapes.append(Box(x, top, box, 11, "#ffffff", INK))
            first = top + 5.5 + 1.0 - 1.75 * (len(lines) - 1)
            shapes += [Word(x + box / 2, first + 3.5 * i, line, _SMALL, "middle") for i, line in enumerate(lines)]
            if out:
                shapes.append(Line(x + box, top + 5.5, x + box + 3, top + 5.5, INK, 0.25))
                beside = _wrapped(out, aside - 4)
                start = top + 5.5 + 1.0 - 1.6 * (len(beside) - 1)
                shapes += [Word(x + box + 4, start + 3.2 * i, line, 2.4, colour=QUIET) for i, line in enumerate(beside)]
            if number + 1 < len(stages):
                middle = x + box / 2
                shapes.append(Line(middle, top + 11, middle, top + step, INK, 0.25))
                shapes += [Line(middle + side, top + step - 1.4, middle, top + step, INK, 0.25) for side in (-0.9, 0.9)]
    told = "; ".join(f"{head}: {', '.join(filter(None, (stage.boxes[i], stage.aside[i])))}" for i, head in enumerate(heads) for stage in stages)
    return Picture(caption, told, WIDTH, 6 + (len(stages) - 1) * step + 12, tuple(shapes))


def _wrapped(words: str, width: float) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and stringWidth(longer, "Helvetica", _SMALL) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
