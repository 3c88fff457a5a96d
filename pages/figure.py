"""A figure as every screen of results shows it: number and title, picture, caption, the table behind it, and both to take away. It prints."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import streamlit as st

from study.report.exhibit import Exhibit
from study.report.page import paper, table
from study.report.parts import Picture
from study.report.svg import svg

OFF_PAPER = "off-paper"  # what the key of a container begins with that is not printed
_STYLE = """<style>
.bs-figure { margin: 0; max-width: 880px; } .bs-figure h4 { padding: 0 0 .4rem; font-size: 1.05rem; }
.bs-figure img { display: block; width: 100%; height: auto; background: #fff; border-radius: .4rem; padding: .4rem; box-sizing: border-box; }
.bs-figure figcaption { margin-top: .5rem; font-size: .875rem; line-height: 1.5; opacity: .8; }
.bs-table { max-width: 880px; font-size: .875rem; } .bs-table summary { cursor: pointer; } .bs-table .scroll { overflow-x: auto; }
.bs-table table { width: 100%; min-width: 34rem; margin: .5rem 0 0; border-collapse: collapse; table-layout: fixed; font-size: .8rem; }
.bs-table caption { display: none; }
.bs-table th, .bs-table td { padding: .25rem .6rem .25rem 0; border: 0; border-bottom: 1px solid #8884; text-align: left; vertical-align: top;
  font-weight: normal; font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
.bs-table thead th { font-weight: 600; vertical-align: bottom; } .bs-table tr.strong > th { font-weight: 600; }
.bs-table th.again { color: transparent; font-size: 1px; } .bs-table tfoot td { border: 0; opacity: .8; }
.bs-verdict { max-width: 880px; margin: 0; padding: .8rem 1rem; border-left: .4rem solid currentColor; font-size: 1.35rem; line-height: 1.4; }
.bs-contents { max-width: 880px; font-size: .875rem; line-height: 1.9; } .bs-paper-head { display: none; }
@media print {
  :root { color-scheme: light; } .stApp, .stApp * { color: #141414 !important; background: transparent !important; }
  .stApp, body { background: #fff !important; }
  [data-testid=stHeader], [data-testid=stToolbar], [data-testid=stSidebar], [data-testid=stSelectbox], [data-testid=stDownloadButton],
    [data-testid=stButton], [class*=st-key-off-paper], [data-testid=stHeaderActionElements] { display: none !important; }
  .stMainBlockContainer { padding: 0 !important; max-width: none !important; }
  .bs-paper-head { display: block; } .bs-paper-head h1 { padding: 0; font-size: 17pt; overflow-wrap: anywhere; }
  .bs-paper-head p { margin: 1mm 0 0; font-size: 8.5pt; overflow-wrap: anywhere; }
  .bs-figure, .bs-table, .bs-verdict { max-width: none; } .bs-figure, .bs-verdict, [data-testid=stMetric] { break-inside: avoid; }
  .bs-figure h4 { font-size: 11pt; } .bs-figure img { padding: 0; } .bs-figure figcaption { font-size: 8.5pt; opacity: 1; }
  .bs-table summary { display: none; } .bs-table::details-content { display: block; content-visibility: visible; block-size: auto; }
  .bs-table .scroll { overflow: visible; } .bs-table table { min-width: 0; font-size: 7.5pt; } .bs-table tr { break-inside: avoid; }
  .bs-table table.short { break-inside: avoid; } .bs-table tfoot { display: table-row-group; } .bs-table tfoot td { opacity: 1; }
  .bs-table th.again { color: transparent !important; } .bs-table th, .bs-table td { padding: .6mm 2mm .6mm 0; line-height: 1.3; }
  h2, .stMarkdownBadge { display: none !important; } [data-testid=stCaptionContainer] { opacity: 1 !important; }
  h3 { break-after: avoid; padding-bottom: 0 !important; font-size: 13pt !important; }
  .stMarkdown p, .stMarkdown li { font-size: 9pt !important; line-height: 1.4; } [data-testid=stVerticalBlock] { gap: 2mm !important; }
  [data-testid=stMetric] { padding: 1mm 2mm; } [data-testid=stMetricValue] { font-size: 13pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
PAPER</style>"""


def page_style(banner: str, foot: str) -> None:
    """Once on a screen with figures. On paper `banner` and `foot` stand on each page; nothing does that can only be clicked."""
    st.html(_STYLE.replace("PAPER", paper(banner, foot)))


def contents(headings: Sequence[str]) -> None:
    """Ways to the parts of a long screen, whose headings have the anchors part-1, part-2, ..."""
    links = " · ".join(f"<a href='#part-{number}' target=_self>{escape(heading)}</a>" for number, heading in enumerate(headings, start=1))
    with st.container(key=f"{OFF_PAPER}-contents"):
        st.html(f"<nav aria-label=Contents class=bs-contents>{links}</nav>")


def show(number: int | None, exhibit: Exhibit) -> None:
    """A figure with its number, or, without a number, why there is none."""
    with st.container(key=f"figure-{exhibit.name}"):
        if exhibit.picture is None:
            st.html(f"<div class=bs-figure><h4>{escape(exhibit.title)}</h4><figcaption>{escape(exhibit.instead)}</figcaption></div>")
            return
        st.html(
            f"<figure class=bs-figure><h4>Figure {number}. {escape(exhibit.title)}</h4>{_image(exhibit.picture)}"
            f"<figcaption>{escape(exhibit.picture.caption)}</figcaption></figure>"
        )
        st.html(f"<details class=bs-table><summary>The table behind figure {number}</summary>{table(exhibit.table)}</details>")
        file = f"figure-{number}-{exhibit.name}"
        with st.container(horizontal=True, key=f"{OFF_PAPER}-{exhibit.name}"):
            for label, content, ending, kind in (
                ("Table (CSV)", exhibit.csv.encode("utf-8-sig"), "csv", "text/csv"),  # so marked, spreadsheets read it as UTF-8
                ("Picture (SVG)", svg(exhibit.picture), "svg", "image/svg+xml"),
            ):
                st.download_button(
                    label, content, f"{file}.{ending}", kind, key=f"{exhibit.name}-{ending}", icon=":material/download:", on_click="ignore"
                )


def picture(drawn: Picture) -> None:
    """A picture with its caption, where the table stands beside it anyway."""
    st.html(f"<figure class=bs-figure>{_image(drawn)}<figcaption>{escape(drawn.caption)}</figcaption></figure>")


def _image(drawn: Picture) -> str:
    """As an image: st.html lets no SVG element through."""
    data = base64.b64encode(svg(drawn).encode()).decode()
    return f'<img alt="{escape(drawn.told)}" src="data:image/svg+xml;base64,{data}">'
