"""Figures of the results page: rows of figures with intervals in, Plotly dicts out. A figure that is undefined says why in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

INK, QUIET, GRID = "#1b232d", "#55606e", "#e3e7ec"
COLORS = {"real": "#0b4f9e", "synthetic": "#c2410c", "": "#0b4f9e"}  # told apart without colour too: by place and by marker
MARKERS = {"real": "circle", "synthetic": "diamond", "": "circle"}
ROW_PIXELS = 34


@dataclass(frozen=True)
class Point:
    """One figure: where it stands, how sure it is, and what to say where it is undefined."""

    row: str  # the label at the left
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    series: str = ""  # real, synthetic, or one series only
    reason: str = ""  # why value is None


def intervals(
    points: Sequence[Point],
    *,
    x_title: str,
    x_range: tuple[float, float],
    percent: bool = False,
    reference: tuple[float, str] | None = None,
    band: tuple[float, float, str] | None = None,
) -> dict[str, Any]:
    """Figures with intervals, a row each, from above in the order given.

    reference: a value to compare with, and its name (chance); band: a range and its name (margin of equivalence). percent: labels as per cent.
    """
    rows = list(dict.fromkeys(point.row for point in points))
    series = list(dict.fromkeys(point.series for point in points))
    at = {row: i for i, row in enumerate(rows)}
    offset = {name: (i - (len(series) - 1) / 2) * 0.28 for i, name in enumerate(series)}
    layout: dict[str, Any] = {
        "template": {"layout": {}},
        "height": 90 + ROW_PIXELS * max(len(rows), 1) + (24 if len(series) > 1 else 0),
        "margin": {"l": 10, "r": 20, "t": 34 + (24 if len(series) > 1 else 0), "b": 46},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"color": INK, "size": 13, "family": "Source Sans Pro, Source Sans, sans-serif"},
        "hoverlabel": {"bgcolor": "#ffffff", "font": {"color": INK}},
        "showlegend": len(series) > 1,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        "xaxis": {
            "title": {"text": escape(x_title), "font": {"color": QUIET, "size": 12}},
            "range": list(x_range),
            "tickformat": ".0%" if percent else "",
            "gridcolor": GRID,
            "zeroline": False,
            "fixedrange": True,
        },
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": [escape(row) for row in rows],
            "range": [len(rows) - 0.5, -0.5],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        "shapes": [],
        "annotations": [],
    }
    if band is not None:
        layout["shapes"].append(_band(band))
        layout["annotations"].append(_above((band[0] + band[1]) / 2, band[2]))
    if reference is not None:
        layout["shapes"].append(_line(reference[0]))
        if band is None:
            layout["annotations"].append(_above(*reference))
    for point in points:
        if point.value is None:
            y = at[point.row] + offset[point.series]
            layout["annotations"].append(_undefined(point, x_range[0], y))
    return {"data": [_series(name, points, at, offset[name], percent) for name in series], "layout": layout}


def roc(curves: Mapping[str, Sequence[tuple[float, float]]], bold: str) -> dict[str, Any]:
    """ROC curves, (1 - specificity, sensitivity) from corner to corner; `bold` names the one that is drawn over the others."""
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%", "gridcolor": GRID, "zeroline": False, "fixedrange": True}
    title = {"font": {"color": QUIET, "size": 12}}
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers" if name == bold else "lines",
            "name": escape(name),
            "x": [x for x, _ in curve],
            "y": [y for _, y in curve],
            "line": {"color": COLORS[""] if name == bold else "#8a94a1", "width": 3 if name == bold else 1.4},
            "hovertemplate": f"{escape(name)}<br>1 - specificity %{{x:.0%}}, sensitivity %{{y:.0%}}<extra></extra>",
        }
        for name, curve in sorted(curves.items(), key=lambda item: item[0] == bold)
    ]
    return {
        "data": lines,
        "layout": {
            "template": {"layout": {}},
            "height": 420,
            "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "font": {"color": INK, "size": 13, "family": "Source Sans Pro, Source Sans, sans-serif"},
            "showlegend": False,
            "xaxis": {**axis, "title": {"text": "real strips called synthetic (1 - specificity)", **title}},
            "yaxis": {**axis, "title": {"text": "synthetic strips called synthetic (sensitivity)", **title}, "scaleanchor": "x"},
            "shapes": [{"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"color": QUIET, "width": 1, "dash": "dot"}}],
        },
    }


def _series(name: str, points: Sequence[Point], at: dict[str, int], offset: float, percent: bool) -> dict[str, Any]:
    mine = [point for point in points if point.series == name and point.value is not None]
    color = COLORS.get(name, COLORS[""])
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [point.value for point in mine],
        "y": [at[point.row] + offset for point in mine],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [0 if point.high is None else point.high - (point.value or 0) for point in mine],
            "arrayminus": [0 if point.low is None else (point.value or 0) - point.low for point in mine],
            "color": color,
            "thickness": 1.6,
            "width": 5,
        },
        "marker": {"color": color, "size": 9, "symbol": MARKERS.get(name, "circle")},
        "text": [escape(_words(point, percent)) for point in mine],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _words(point: Point, percent: bool) -> str:
    def number(value: float) -> str:
        return f"{value:.1%}" if percent else f"{value:.2f}"

    told = f"{point.row}{', ' + point.series if point.series else ''}: {number(point.value or 0)}"
    if point.low is not None and point.high is not None:
        told += f" ({number(point.low)} to {number(point.high)})"
    return told + (f", n = {point.n}" if point.n is not None else "")


def _line(x: float) -> dict[str, Any]:
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": {"color": QUIET, "width": 1.5, "dash": "dash"}}


def _band(band: tuple[float, float, str]) -> dict[str, Any]:
    place = {"type": "rect", "xref": "x", "yref": "paper", "x0": band[0], "x1": band[1], "y0": 0, "y1": 1, "layer": "below"}
    return {**place, "fillcolor": "#eef1f5", "line": {"width": 0}}


def _above(x: float, text: str) -> dict[str, Any]:
    return {
        "x": x,
        "y": 1,
        "xref": "x",
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "text": escape(text),
        "font": {"size": 12, "color": QUIET},
    }


def _undefined(point: Point, x: float, y: float) -> dict[str, Any]:
    place = {"x": x, "y": y, "xref": "x", "yref": "y", "xanchor": "left", "showarrow": False}
    return {**place, "text": escape(f"undefined: {point.reason}"), "font": {"size": 12, "color": QUIET}}
