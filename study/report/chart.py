"""The report's two pictures, as shapes: accuracy against the margin, and the flow of strips and readings. The documents draw them alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reportlab.pdfbase.pdfmetrics import stringWidth

from study.report.facts import Facts, Figure, interval, shown
from study.report.parts import Box, Dot, Line, Picture, Shape, Word

INK, QUIET, RULE, BAND, LINE = "#141414", "#5a5a5a", "#c8c8c8", "#dfeadf", "#8aa88a"
WIDTH = 180.0  # mm, of the page within its margins
_LEFT, _RIGHT = 62.0, 130.0  # the axis, from 0 to 100 %
_ROW, _GAP, _TOP = 7.0, 2.0, 9.0
_HIGHEST, _SMALLEST_ROW, _MOST_ROWS = 190.0, 3.2, 56  # the rows of a picture fill a page at most
_SIZE, _SMALL = 3.0, 2.6  # of letters
_FONTS = {False: "Helvetica", True: "Helvetica-Bold"}


def accuracy_picture(facts: Facts) -> Picture:
    """Each group's accuracy with the interval that its verdict rests on, against the protocol's margin."""
    margin = facts.found.protocol.margin
    groups = facts.groups()
    left_out = "" if len(groups) <= _MOST_ROWS else " Single readers, too many to draw, are in the tables."
    groups = facts.groups(readers=not left_out)
    row = max(min(_ROW, _HIGHEST / len(groups)), _SMALLEST_ROW)
    shapes: list[Shape] = []
    told, y = [], _TOP
    for group, name, called in groups:
        verdict = facts.one("verdicts", group=group, name=name)
        y += _GAP if group == "site" else 0
        shapes += _interval_row(y + row / 2, called, verdict, group, outcome=row > 0.9 * _ROW)
        told.append(f"{called}: {_in_words(verdict)}")
        y += row
    return Picture(
        caption="Accuracy with the 90 % interval that the verdict rests on (squares: readers together; dots: single readers). Green: the margin. An "
        f"interval wholly within it shows equivalence to chance; one that merely crosses 50 % shows nothing.{left_out}",
        told="; ".join(told),
        width=WIDTH,
        height=y + 10,
        shapes=(*_axis(margin, y), *shapes),
    )


def _axis(margin: float, bottom: float) -> list[Shape]:
    low, high = _x(0.5 - margin), _x(0.5 + margin)
    shapes: list[Shape] = [
        Box(low, _TOP, high - low, bottom - _TOP, BAND),
        Line(low, _TOP, low, bottom, LINE, 0.25),
        Line(high, _TOP, high, bottom, LINE, 0.25),
        Line(_x(0.5), _TOP, _x(0.5), bottom, QUIET, 0.25, dashed=True),
        Word(_x(0.5), _TOP - 5.2, f"margin: 50 % ± {100 * margin:g}", _SMALL, "middle", colour="#3f6b3f"),
        Word(_x(0.5), _TOP - 1.6, "chance", _SMALL, "middle", colour=QUIET),
        Line(_LEFT, bottom, _RIGHT, bottom, INK, 0.25),
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        shapes += [Line(_x(share), bottom, _x(share), bottom + 1.2, INK, 0.25), Word(_x(share), bottom + 4.4, f"{100 * share:g}", _SMALL, "middle")]
    shapes.append(Word(_x(0.5), bottom + 8.4, "accuracy, %", _SMALL, "middle"))
    return shapes


def _interval_row(y: float, called: str, verdict: Figure | None, group: str, *, outcome: bool) -> list[Shape]:
    bold, indent = group == "all", 4.0 if group == "reader" else 0.0
    foot = y + 1.05  # where letters stand, for them to be level with the marker
    shapes: list[Shape] = [Word(indent, foot, fitting(called, _LEFT - indent - 3, bold), _SIZE, bold=bold)]
    if verdict is None or verdict["value"] is None:
        reason = "no verdict was computed" if verdict is None else f"no figure: {verdict['reason']}"
        return [*shapes, Word(_LEFT + 1, foot, fitting(reason, WIDTH - _LEFT - 1, size=_SMALL), _SMALL, colour=QUIET)]
    known = verdict["low"] is not None and verdict["high"] is not None
    if known:
        shapes.append(Line(_x(verdict["low"]), y, _x(verdict["high"]), y, INK, 0.7 if group != "reader" else 0.45))
        shapes += [Line(_x(end), y - 0.9, _x(end), y + 0.9, INK, 0.3) for end in (verdict["low"], verdict["high"])]
    shapes.append(Dot(_x(verdict["value"]), y, 2.3 if group != "reader" else 1.8, INK, square=group != "reader"))
    ends = f" ({interval(verdict['low'], verdict['high'], 'percent')})" if known else " (no interval)"
    shapes.append(Word(_RIGHT + 3, foot - 0.9 * outcome, shown(verdict["value"], "percent") + ends, _SMALL, bold=bold))
    said = fitting(verdict.get("outcome") or "no verdict", WIDTH - _RIGHT - 3, size=2.4)
    return [*shapes, Word(_RIGHT + 3, foot + 1.9, said, 2.4, colour=QUIET)] if outcome else shapes


def _in_words(verdict: Figure | None) -> str:
    return "no verdict" if verdict is None else str(verdict.get("sentence") or verdict["reason"])


def _x(share: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * share


def fitting(words: str, width: float, bold: bool = False, *, size: float = _SIZE) -> str:
    """As much of a text as fits, with dots where it was cut; browsers without Helvetica take a wider font."""
    width /= 1.15
    if stringWidth(words, _FONTS[bold], size) <= width:
        return words
    while words and stringWidth(words + "...", _FONTS[bold], size) > width:
        words = words[:-1]
    return words.rstrip() + "..."


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
