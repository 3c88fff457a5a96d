"""A strip on ECG paper: counts in, a Plotly figure out, true to scale.

The sheet is that of study/ecg_paper.py. The figure is a plain dict of typed arrays (go.Figure costs 100 ms a strip) and a function of
the samples alone: nothing in it can differ between the arms but the trace.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.leads import STORED
from generator.strip import RATE, SAMPLES, Counts
from study.ecg_paper import DEFAULT as SHEET
from study.ecg_paper import FINE, FOOT_MM, FOOTER_MM, INK, NAME_MM, PAPER, PULSE_MM, PULSE_MV, PULSE_SECONDS, grid, microvolts, samples

CSS_PIXELS_PER_MM = 96 / 25.4  # a CSS inch is 96 pixels

SHEET_MM = (SHEET.width, SHEET.height)
BASELINES_MM = tuple(SHEET.height - down for down in SHEET.baselines)  # from the lower edge
MS_PER_MM, UV_PER_MM = int(1000 / SHEET.speed), int(1000 / SHEET.gain)  # the figure's axes are milliseconds and microvolts

_CALIPER = "#0b4f9e"

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "scrollZoom": False,
    "doubleClick": "reset",
    "modeBarButtons": [["drawrect", "eraseshape"], ["pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
}


def figure(counts: Counts, *, scale: float = 1.0) -> dict[str, Any]:
    """The Plotly figure of one strip.

    counts: (8, 1000) int16 in the canonical form. scale: 1 is true to scale in CSS millimetres, less is a smaller picture of the same sheet.
    The x axis is milliseconds from the strip's first sample, the y axis microvolts from the sheet's lower edge; 1 mm is 40 ms and 100 uV.
    Draw it with theme=None and config=CONFIG: dragging measures milliseconds and microvolts.
    """
    pixels = CSS_PIXELS_PER_MM * scale
    width, height = SHEET_MM
    x_range = [-SHEET.first * MS_PER_MM, (width - SHEET.first) * MS_PER_MM]
    y_range = [0, height * UV_PER_MM]
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain"}
    return {
        "data": [*_pulses(scale), *_traces(microvolts(counts), scale)],
        "layout": {
            "template": {"layout": {}},
            "width": round(width * pixels),
            "height": round(height * pixels),
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0, "autoexpand": False},
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": PAPER,
            "showlegend": False,
            "hovermode": False,
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#a06a6a", "activecolor": _CALIPER},
            "dragmode": "drawrect",
            "newshape": _caliper(),
            "images": [_grid(x_range, y_range)],
            "annotations": [*_lead_names(scale), _footer(scale)],
            "xaxis": {**axis, "range": x_range},
            "yaxis": {**axis, "range": y_range, "scaleanchor": "x", "scaleratio": MS_PER_MM / UV_PER_MM},
        },
    }


def warm() -> None:
    """The first strip a process draws pays for scipy's imports and filter design; this one is drawn for nobody."""
    figure(np.zeros((len(STORED), SAMPLES), dtype=np.int16))


def _traces(leads: NDArray[np.float64], scale: float) -> list[dict[str, Any]]:
    return [_line(part.start * 1000, samples(leads, part) + BASELINES_MM[part.row] * UV_PER_MM, scale) for part in SHEET.parts()]


def _line(x0: float, y: NDArray[np.float64], scale: float) -> dict[str, Any]:
    """A trace from x0 ms on; y in microvolts from the lower edge. What lies beyond 16 bits lies far off the sheet."""
    whole = np.clip(np.rint(y), -32768, 32767).astype("<i2")
    return {
        "type": "scatter",
        "mode": "lines",
        "x0": x0,
        "dx": 1000 / (RATE * FINE),
        "y": {"dtype": "i2", "bdata": base64.b64encode(whole.tobytes()).decode()},
        "line": {"color": INK, "width": 1.15 * max(scale, 0.7), "simplify": False},
        "hoverinfo": "skip",
    }


def _pulses(scale: float) -> list[dict[str, Any]]:
    """1 mV for 200 ms before each row, with a foot on either side."""
    start = (PULSE_MM - SHEET.first) * MS_PER_MM
    end = start + round(PULSE_SECONDS * 1000)
    x = [start - FOOT_MM * MS_PER_MM, start, start, end, end, end + FOOT_MM * MS_PER_MM]
    step = [0, 0, PULSE_MV * 1000, PULSE_MV * 1000, 0, 0]
    ink = {"type": "scatter", "mode": "lines", "line": {"color": INK, "width": 1.15 * max(scale, 0.7)}, "hoverinfo": "skip"}
    return [{**ink, "x": x, "y": [baseline * UV_PER_MM + uv for uv in step]} for baseline in BASELINES_MM]


def _lead_names(scale: float) -> list[dict[str, Any]]:
    names = []
    for part in SHEET.parts():
        x, y = part.start * 1000 + NAME_MM * MS_PER_MM, (BASELINES_MM[part.row] + SHEET.name_above) * UV_PER_MM
        names.append(_words(f"<b>{part.lead}</b>", x, y, 13 * scale, "left"))
    return names


def _footer(scale: float) -> dict[str, Any]:
    return _words(SHEET.footer, 0, FOOTER_MM * UV_PER_MM, 12 * scale, "left")


def _words(text: str, x: float, y: float, size: float, anchor: str) -> dict[str, Any]:
    font = {"size": max(size, 7), "color": INK, "family": "Arial, Helvetica, sans-serif"}
    return {"text": text, "x": x, "y": y, "xanchor": anchor, "yanchor": "middle", "showarrow": False, "font": font}


def _caliper() -> dict[str, Any]:
    label = {
        "texttemplate": "%{width:.0f} ms  %{height:.0f} µV",
        "font": {"size": 13, "color": _CALIPER},
        "textposition": "top center",
    }
    return {"line": {"color": _CALIPER, "width": 1.5}, "fillcolor": "rgba(11,79,158,0.10)", "label": label}


def _grid(x_range: list[int], y_range: list[int]) -> dict[str, Any]:
    return {
        "source": _PICTURE,
        "xref": "x",
        "yref": "y",
        "x": x_range[0],
        "y": y_range[1],
        "sizex": x_range[1] - x_range[0],
        "sizey": y_range[1] - y_range[0],
        "sizing": "stretch",
        "layer": "below",
    }


def _picture() -> str:
    """The paper as a data URI, so that it is one image to the browser."""
    width, height = SHEET_MM
    size = f'width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
    return "data:image/svg+xml;base64," + base64.b64encode(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{grid()}</svg>'.encode()).decode()


_PICTURE = _picture()
