"""What a report is made of, before it is HTML or PDF: headings, paragraphs, tables, pictures. All text is plain; the documents escape it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_TOGETHER = re.compile(r" (?=%)|(?<=\d)(?: to )(?=[+-]?[\d.]+\))")  # a per cent sign and its number, the ends of an interval


def kept_together(text: str) -> str:
    """The text with blanks that no line ends at, between what is not to be torn apart."""
    return _TOGETHER.sub(lambda found: found[0].replace(" ", "\u00a0"), text)


@dataclass(frozen=True)
class Paragraph:
    """lead: words before the text, in bold. kind: plain, verdict, demo, or note (small print)."""

    text: str
    lead: str = ""
    kind: str = "plain"


@dataclass(frozen=True)
class Listed:
    """Sentences, each a point of its own."""

    items: tuple[str, ...]


class Row(NamedTuple):
    """A line end in a cell is one on paper."""

    cells: tuple[str, ...]
    strong: bool = False  # all readers and hospitals, among readers


@dataclass(frozen=True)
class Table:
    """Cells beside their head; `widths` are shares of the page. `notes` stand below: the reasons that cells refer to by letter."""

    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    widths: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row.cells) != len(self.head) for row in self.rows) or len(self.widths) != len(self.head):
            raise ValueError(f"table {self.title!r}: a row or the widths have another number of columns than the head")

    @property
    def again(self) -> tuple[bool, ...]:
        """Of each row, whether its first cell only repeats the one above: it need not be seen twice."""
        firsts = [row.cells[0] for row in self.rows]
        return tuple(i > 0 and first == firsts[i - 1] for i, first in enumerate(firsts))


class Line(NamedTuple):
    """From (x1, y1) to (x2, y2)."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    stroke: float
    dashed: bool = False


class Box(NamedTuple):
    """Filled, with a border where `line` is a colour."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    line: str = ""


class Dot(NamedTuple):
    """A marker about (x, y): round, or square."""

    x: float
    y: float
    size: float
    colour: str
    square: bool = False


class Word(NamedTuple):
    """Text whose letters stand on y; anchor: start, middle, end."""

    x: float
    y: float
    text: str
    size: float
    anchor: str = "start"
    bold: bool = False
    colour: str = "#141414"


Shape = Line | Box | Dot | Word


@dataclass(frozen=True)
class Picture:
    """Shapes in millimetres from the upper left corner; `told` says in words what is seen, for those who cannot see it."""

    caption: str
    told: str
    width: float
    height: float
    shapes: tuple[Shape, ...]


Part = Paragraph | Listed | Table | Picture


@dataclass(frozen=True)
class Section:
    heading: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Report:
    """A whole report. `foot` stands on every page, `banner` too where there is one."""

    title: str
    subtitle: str
    banner: str  # of a demo; empty otherwise
    foot: str
    opening: tuple[Part, ...]  # before the first heading
    sections: tuple[Section, ...]
