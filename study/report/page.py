"""A report as one HTML file: no script, nothing fetched, made to be read on a screen and to be printed."""

from __future__ import annotations

from html import escape

from study.report.parts import Listed, Paragraph, Part, Picture, Report, Row, Section, Table, kept_together
from study.report.svg import svg

_PAPER = """@page { size: A4; margin: 17mm 15mm 16mm; @top-left { content: BANNER; color: #8a4b00; font: bold 8pt Arial, Helvetica, sans-serif; }
  @bottom-left { content: FOOT; color: #5a5a5a; font: 7.5pt Arial, Helvetica, sans-serif; }
  @bottom-right { content: counter(page) " / " counter(pages); color: #5a5a5a; font: 7.5pt Arial, Helvetica, sans-serif; } }
"""
_STYLE = """
:root { color-scheme: light; --ink: #141414; --quiet: #5a5a5a; --rule: #d8d8d8; --demo: #8a4b00; }
body { margin: 0 auto; padding: 8mm 8mm 14mm; max-width: 186mm; color: var(--ink); background: #fff; font: 14px/1.5 Arial, Helvetica, sans-serif; }
h1 { margin: 0; font-size: 24px; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 11mm 0 2mm; padding-top: 2mm; border-top: 1.5px solid var(--ink); font-size: 18px; }
p { margin: 0 0 2.2mm; max-width: 170mm; } .subtitle { color: var(--quiet); }
.verdict { margin: 5mm 0; padding: 4mm 5mm; border-left: 2mm solid var(--ink); background: #f4f4f4; font-size: 19px; line-height: 1.4;
  max-width: none; }
.demo { margin: 4mm 0; padding: 2mm 4mm; border: 1.5px solid var(--demo); color: var(--demo); font-weight: bold; max-width: none; }
.note { color: var(--quiet); font-size: 12.5px; } .lead { font-weight: bold; }
figure { margin: 4mm 0 6mm; break-inside: avoid; } figure svg { display: block; width: 100%; height: auto; }
figcaption { margin-top: 1mm; color: var(--quiet); font-size: 12.5px; }
.scroll { overflow-x: auto; margin: 4mm 0 6mm; }
table { width: 100%; min-width: 150mm; border-collapse: collapse; table-layout: fixed; font-size: 12px; line-height: 1.35; }
caption { padding: 0 0 1.5mm; text-align: left; font-size: 14px; font-weight: bold; }
th, td { padding: 1.1mm 2mm 1.1mm 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; overflow-wrap: break-word;
  font-variant-numeric: tabular-nums; font-weight: normal; }
thead th { border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink); color: var(--quiet); font-size: 11.5px; vertical-align: bottom; }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); } tr.strong > th { font-weight: bold; }
th.again { color: transparent; font-size: 1px; }
tfoot td { padding-top: 1.5mm; border: 0; color: var(--quiet); font-size: 11.5px; }
ul { margin: 0; padding-left: 5mm; max-width: 170mm; } li { margin-bottom: 1.2mm; }
nav { margin: 4mm 0; font-size: 12.5px; } nav a { color: inherit; } nav li { display: inline; } nav li + li::before { content: " · "; }
nav ul { padding: 0; list-style: none; max-width: none; }
footer { margin-top: 12mm; color: var(--quiet); font-size: 11.5px; overflow-wrap: anywhere; }
@media print { body { padding: 0; max-width: none; font-size: 10pt; } p, ul { max-width: none; } table { min-width: 0; font-size: 8pt; }
  thead th, tfoot td { font-size: 7.5pt; } .note, figcaption { font-size: 8.5pt; } caption { font-size: 9.5pt; } .verdict { font-size: 13pt; }
  h2 { font-size: 13pt; break-after: avoid; } tr, .verdict, .demo { break-inside: avoid; } caption { break-after: avoid; }
  tfoot { display: table-row-group; }
  .scroll { overflow: visible; } table.short { break-inside: avoid; } nav, footer { display: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def page(report: Report) -> str:
    """A self-contained HTML document. All text is escaped; the same report gives the same bytes."""
    style = _STYLE + paper(report.banner, report.foot)
    contents = "".join(f"<li><a href='#s{number}'>{escape(one.heading)}</a></li>" for number, one in enumerate(report.sections, start=1))
    sections = "".join(_section(number, one) for number, one in enumerate(report.sections, start=1))
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{escape(report.title)}</title><style>{style}</style></head><body><main><h1>{escape(report.title)}</h1>"
        f"<p class=subtitle>{escape(report.subtitle)}</p>{''.join(map(_part, report.opening))}"
        f"<nav aria-label=Contents><ul>{contents}</ul></nav>{sections}</main><footer>{escape(report.foot)}</footer></body></html>\n"
    )


def paper(banner: str, foot: str) -> str:
    """CSS for A4 with banner, foot and number on each page."""
    return _PAPER.replace("BANNER", _css(banner)).replace("FOOT", _css(foot))


def table(part: Table) -> str:
    """HTML; all text is escaped."""
    whole = sum(part.widths)
    columns = "".join(f"<col style='width:{100 * width / whole:.2f}%'>" for width in part.widths)
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in part.head)
    foot = "".join(f"<tr><td colspan={len(part.head)}>{_text(note)}</td></tr>" for note in part.notes)
    return (
        f"<div class=scroll tabindex=0 role=region aria-label='{escape(part.title)}'>"
        f"<table{' class=short' if len(part.rows) <= 12 else ''}><caption>{escape(part.title)}</caption>"
        f"<colgroup>{columns}</colgroup><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, part.rows, part.again))}</tbody>"
        f"{f'<tfoot>{foot}</tfoot>' if foot else ''}</table></div>"
    )


def _section(number: int, section: Section) -> str:
    return f"<section id=s{number}><h2>{escape(section.heading)}</h2>{''.join(map(_part, section.parts))}</section>"


def _part(part: Part) -> str:
    if isinstance(part, Paragraph):
        lead = f"<span class=lead>{escape(part.lead)}</span> " if part.lead else ""
        return f"<p{'' if part.kind == 'plain' else f' class={part.kind}'}>{lead}{_text(part.text)}</p>"
    if isinstance(part, Listed):
        return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in part.items)}</ul>"
    return table(part) if isinstance(part, Table) else _picture(part)


def _row(row: Row, again: bool) -> str:
    first, *others = (_text(cell).replace("\n", "<br>") for cell in row.cells)
    cells = "".join(f"<td>{cell}</td>" for cell in others)
    return f"<tr{' class=strong' if row.strong else ''}><th scope=row{' class=again' if again else ''}>{first}</th>{cells}</tr>"


def _picture(picture: Picture) -> str:
    return f"<figure>{svg(picture)}<figcaption>{_text(picture.caption)}</figcaption></figure>"


def _text(words: str) -> str:
    return escape(kept_together(words))


def _css(words: str) -> str:
    """A string of CSS that can end neither itself nor the style element."""
    return '"' + "".join(letter if letter.isalnum() or letter in " .,:'()-/·" else f"\\{ord(letter):x} " for letter in words) + '"'
