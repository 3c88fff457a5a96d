"""A report as a PDF: the same content as the page, on A4, the same bytes each time. No dates but the study's own."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Flowable, Frame, KeepTogether, PageTemplate, Spacer
from reportlab.platypus import Paragraph as Words
from reportlab.platypus import Table as Grid

from study.ecg_pdf import only_title
from study.report.parts import Box, Dot, Line, Listed, Paragraph, Part, Picture, Report, Row, Section, Shape, Table, kept_together

_SIDE, _ABOVE, _BELOW = 15 * mm, 19 * mm, 17 * mm
_WIDTH = A4[0] - 2 * _SIDE
_START = 45 * mm  # what is left of a page must be as high for a long table or a section to begin on it
_INK, _QUIET, _RULE, _DEMO = HexColor("#141414"), HexColor("#5a5a5a"), HexColor("#d8d8d8"), HexColor("#8a4b00")
_STANDARD = ("Helvetica", "Helvetica-Bold")
_WIDE = ("DejaVuSans", "DejaVuSans-Bold")  # for letters that Helvetica's encoding lacks; embedded


def pdf(report: Report) -> bytes:
    """Raises nothing for any text: letters that no font here has are printed as boxes."""
    plain, bold = _fonts(report)
    styles = _styles(plain, bold)
    story: list[Flowable] = [Words(escape(report.title), styles["title"]), Words(escape(report.subtitle), styles["subtitle"])]
    story += [flowable for part in report.opening for flowable in _part(part, styles)]
    for section in report.sections:
        story += _section(section, styles)
    written = BytesIO()
    document = _Document(written, pagesize=A4, invariant=1, title=report.title, pageCompression=1)
    frame = Frame(_SIDE, _BELOW, _WIDTH, A4[1] - _ABOVE - _BELOW, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[frame]))
    document.build(story, canvasmaker=_paged(report, plain, bold))
    return written.getvalue()


def _section(section: Section, styles: dict[str, ParagraphStyle]) -> list[Flowable]:
    """The heading stays with what comes first below it, or with as much of it as makes a start."""
    heading = _Heading(escape(section.heading), styles["heading"])
    head, *rest = [flowable for part in section.parts for flowable in _part(part, styles)]
    if isinstance(head, CondPageBreak):
        return [CondPageBreak(_START + 15 * mm), heading, *rest]
    together = head.members if isinstance(head, _Together) else [head]
    return [CondPageBreak(_START), KeepTogether([heading, *together]), *rest]


# ---- parts ----


def _part(part: Part, styles: dict[str, ParagraphStyle]) -> list[Flowable]:
    if isinstance(part, Paragraph):
        lead = f"<b>{escape(part.lead)}</b> " if part.lead else ""
        words = Words(lead + _text(part.text), styles[part.kind])
        return [Spacer(1, 4 * mm), words, Spacer(1, 4 * mm)] if part.kind in ("verdict", "demo") else [words]
    if isinstance(part, Listed):
        return [Words(_text(item), styles["point"], bulletText="•") for item in part.items]
    if isinstance(part, Table):
        return _table(part, styles)
    return [_Together([_Drawn(part, styles), Words(_text(part.caption), styles["note"]), Spacer(1, 3 * mm)])]


def _table(table: Table, styles: dict[str, ParagraphStyle]) -> list[Flowable]:
    title = Words(escape(table.title), styles["caption"])
    head = [Words(escape(name), styles["head"]) for name in table.head]
    rows = [_cells(row, again, styles) for row, again in zip(table.rows, table.again, strict=True)]
    whole = sum(table.widths)
    rules: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("LINEABOVE", (0, 0), (-1, 0), 0.8, _INK),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, _INK),
        ("LINEBELOW", (0, 1), (-1, -2), 0.3, _RULE),
        ("LINEBELOW", (0, -1), (-1, -1), 0.8, _INK),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 5),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]
    widths = [_WIDTH * width / whole for width in table.widths]
    grid = Grid([head, *rows], colWidths=widths, repeatRows=1, style=rules, hAlign="LEFT", spaceBefore=0, spaceAfter=0)
    notes = [Words(_text(note), styles["foot"]) for note in table.notes]
    if len(rows) <= 12:
        return [_Together([title, grid, *notes]), Spacer(1, 4 * mm)]
    return [CondPageBreak(_START), title, grid, *notes, Spacer(1, 4 * mm)]


def _cells(row: Row, again: bool, styles: dict[str, ParagraphStyle]) -> list[Flowable]:
    first, *others = row.cells
    named = Words("" if again else escape(first), styles["strong" if row.strong else "cell"])
    return [named, *(Words(_text(cell).replace("\n", "<br/>"), styles["cell"]) for cell in others)]


def _text(words: str) -> str:
    return escape(kept_together(words))


class _Together(KeepTogether):
    """On one page, if it fits one."""

    def __init__(self, members: list[Flowable]) -> None:
        super().__init__(members)
        self.members = members


class _Heading(Words):
    """Named in the outline."""


class _Document(BaseDocTemplate):
    def afterFlowable(self, flowable: Flowable) -> None:
        if isinstance(flowable, _Heading):
            place = f"s{self.page}-{self.canv.getPageNumber()}-{flowable.getPlainText()}"
            self.canv.bookmarkPage(place)
            self.canv.addOutlineEntry(flowable.getPlainText(), place, 0)


class _Drawn(Flowable):
    """A picture's shapes, in millimetres."""

    def __init__(self, picture: Picture, styles: dict[str, ParagraphStyle]) -> None:
        super().__init__()
        self.picture, self.fonts = picture, (styles["plain"].fontName, styles["title"].fontName)
        self.scale = min(_WIDTH / picture.width, (A4[1] - _ABOVE - _BELOW - 25 * mm) / picture.height)  # with its caption on one page
        self.width, self.height = _WIDTH, picture.height * self.scale

    def wrap(self, *_available: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        self.canv.saveState()
        self.canv.scale(self.scale, self.scale)
        for shape in self.picture.shapes:
            _shape(self.canv, shape, self.picture.height, self.fonts)
        self.canv.restoreState()


def _shape(page: Canvas, shape: Shape, height: float, fonts: tuple[str, str]) -> None:
    """Shapes are measured from the top, a canvas from the bottom."""
    if isinstance(shape, Line):
        page.setStrokeColor(HexColor(shape.colour))
        page.setLineWidth(shape.stroke)
        page.setDash(*([1, 0.8],) if shape.dashed else ([],))
        page.line(shape.x1, height - shape.y1, shape.x2, height - shape.y2)
        page.setDash([])
    elif isinstance(shape, Box):
        page.setFillColor(HexColor(shape.fill))
        page.setStrokeColor(HexColor(shape.line or shape.fill))
        page.setLineWidth(0.25)
        page.rect(shape.x, height - shape.y - shape.height, shape.width, shape.height, stroke=bool(shape.line), fill=1)
    elif isinstance(shape, Dot):
        page.setFillColor(HexColor(shape.colour))
        half = shape.size / 2
        if shape.square:
            page.rect(shape.x - half, height - shape.y - half, shape.size, shape.size, stroke=0, fill=1)
        else:
            page.circle(shape.x, height - shape.y, half, stroke=0, fill=1)
    else:
        page.setFillColor(HexColor(shape.colour))
        page.setFont(fonts[shape.bold], shape.size)
        write = {"start": page.drawString, "middle": page.drawCentredString, "end": page.drawRightString}[shape.anchor]
        write(shape.x, height - shape.y, shape.text)


# ---- pages ----


def _paged(report: Report, plain: str, bold: str) -> Callable[..., Canvas]:
    """A canvas that writes banner, foot and "page of pages" when the number of pages is known."""

    class Paged(Canvas):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            only_title(self, report.title)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._pages.append(dict(self.__dict__))
            self._startPage()  # type: ignore[attr-defined]  # as reportlab's own manual does to count pages first

        def save(self) -> None:
            for number, state in enumerate(self._pages, start=1):
                self.__dict__.update(state)
                self.setFillColor(_QUIET)
                self.setFont(plain, 7)
                self.drawString(_SIDE, 9 * mm, report.foot[:150])
                self.drawRightString(A4[0] - _SIDE, 9 * mm, f"{number} / {len(self._pages)}")
                if report.banner:
                    self.setFillColor(_DEMO)
                    self.setFont(bold, 8)
                    self.drawString(_SIDE, A4[1] - 11 * mm, report.banner)
                super().showPage()
            super().save()

    return Paged


def _styles(plain: str, bold: str) -> dict[str, ParagraphStyle]:
    def style(name: str, size: float, *, font: str = plain, **more: Any) -> ParagraphStyle:
        return ParagraphStyle(name, **{"fontName": font, "fontSize": size, "leading": 1.35 * size, "textColor": _INK, **more})

    box: dict[str, Any] = {"borderPadding": (7, 8, 7, 8), "leftIndent": 8, "rightIndent": 8}
    made = {
        "title": style("title", 17, font=bold, leading=21, splitLongWords=1),
        "subtitle": style("subtitle", 9, textColor=_QUIET, spaceAfter=4),
        "heading": style("heading", 13, font=bold, spaceBefore=14, spaceAfter=5),
        "plain": style("plain", 9.2, spaceAfter=5),
        "verdict": style("verdict", 12, backColor=HexColor("#f1f1f1"), **box),
        "demo": style("demo", 9.5, font=bold, textColor=_DEMO, borderColor=_DEMO, borderWidth=0.8, **box),
        "note": style("note", 7.8, textColor=_QUIET, spaceAfter=4),
        "point": style("point", 9.2, leftIndent=10, bulletIndent=0, spaceAfter=3),
        "caption": style("caption", 9.2, font=bold, spaceBefore=4, spaceAfter=3),
        "head": style("head", 7, textColor=_QUIET, leading=8.6),
        "cell": style("cell", 7.2, leading=9.2, splitLongWords=1),
        "strong": style("strong", 7.2, font=bold, leading=9.2, splitLongWords=1),
        "foot": style("foot", 7, textColor=_QUIET, leading=9, spaceBefore=1.5),
    }
    pdfmetrics.registerFontFamily(plain, normal=plain, bold=bold, italic=plain, boldItalic=bold)
    return made


def _fonts(report: Report) -> tuple[str, str]:
    """Helvetica, which every reader of PDFs has; where a text has other letters, a font that has them, if it is installed."""
    try:
        repr(report).encode("cp1252")
        return _STANDARD
    except UnicodeEncodeError:
        pass
    try:
        import matplotlib  # comes with wfdb, and brings the font

        for name in _WIDE:
            if name not in pdfmetrics.getRegisteredFontNames():
                pdfmetrics.registerFont(TTFont(name, str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf")))
    except (ImportError, OSError):
        return _STANDARD
    return _WIDE
