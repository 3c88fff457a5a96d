"""A report's picture as SVG: in its HTML file, on the results page, and as a file of its own."""

from __future__ import annotations

from html import escape

from study.ecg_paper import FONT
from study.report.parts import Box, Dot, Line, Picture, Shape

_ANCHORS = {"start": "", "middle": ' text-anchor="middle"', "end": ' text-anchor="end"'}


def svg(picture: Picture) -> str:
    """All text is escaped; the same picture gives the same bytes."""
    size = f'width="{picture.width:g}mm" height="{picture.height:g}mm" viewBox="0 0 {picture.width:g} {picture.height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">'
        f"<title>{escape(picture.told)}</title>{''.join(map(_shape, picture.shapes))}</svg>"
    )


def _shape(shape: Shape) -> str:
    if isinstance(shape, Line):
        dashes = ' stroke-dasharray="1 0.8"' if shape.dashed else ""
        ends = f'x1="{shape.x1:.2f}" y1="{shape.y1:.2f}" x2="{shape.x2:.2f}" y2="{shape.y2:.2f}"'
        return f'<line {ends} stroke="{shape.colour}" stroke-width="{shape.stroke:g}"{dashes}/>'
    if isinstance(shape, Box):
        border = f' stroke="{shape.line}" stroke-width="0.25"' if shape.line else ""
        return f'<rect x="{shape.x:.2f}" y="{shape.y:.2f}" width="{shape.width:.2f}" height="{shape.height:.2f}" fill="{shape.fill}"{border}/>'
    if isinstance(shape, Dot):
        half = shape.size / 2
        if shape.square:
            return f'<rect x="{shape.x - half:.2f}" y="{shape.y - half:.2f}" width="{shape.size:g}" height="{shape.size:g}" fill="{shape.colour}"/>'
        return f'<circle cx="{shape.x:.2f}" cy="{shape.y:.2f}" r="{half:g}" fill="{shape.colour}"/>'
    weight = ' font-weight="bold"' if shape.bold else ""
    place = f'x="{shape.x:.2f}" y="{shape.y:.2f}" font-size="{shape.size:g}"'
    return f'<text {place}{_ANCHORS[shape.anchor]}{weight} fill="{shape.colour}">{escape(shape.text)}</text>'
