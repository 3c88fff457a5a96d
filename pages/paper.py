"""A strip on ECG paper: counts in, a Plotly figure out, true to scale.

25 mm/s and 10 mm/mV on a sheet that fits A4 landscape: three rows of four leads, continuous in time from column to column, and lead II
below them for all ten seconds; a calibration pulse of 1 mV and 200 ms before each row. The figure is a plain dict of typed
arrays (go.Figure costs 100 ms a strip) and a function of the samples alone: nothing in it can differ between the arms but the trace.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from generator.leads import LEADS, STORED
from generator.strip import BAND_HZ, RATE, SAMPLES, SECONDS, Counts, millivolts

MM_PER_SECOND, MM_PER_MV = 25, 10
CSS_PIXELS_PER_MM = 96 / 25.4  # a CSS inch is 96 pixels

SHEET_MM = (270, 120)  # width, height; A4 landscape is 297 x 210
FIRST_SAMPLE_MM = 15  # where a row's first sample stands, from the left edge
BASELINES_MM = (95, 70, 45, 20)  # of the four rows, from the lower edge: on the 5 mm lines
ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",))
FOOTER = f"{MM_PER_SECOND} mm/s   {MM_PER_MV} mm/mV   {BAND_HZ[0]:g}-{BAND_HZ[1]:g} Hz"

FINE = 5  # samples drawn for each one stored: a trace is band-limited between its samples, not made of straight lines
MS_PER_MM, UV_PER_MM = 1000 // MM_PER_SECOND, 1000 // MM_PER_MV  # the figure's axes are milliseconds and microvolts

_INK, _FINE_RED, _BOLD_RED, _PAPER = "#141414", "#f6c9c9", "#e39a9a", "#fffafa"
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
    x_range = [-FIRST_SAMPLE_MM * MS_PER_MM, (width - FIRST_SAMPLE_MM) * MS_PER_MM]
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
            "plot_bgcolor": _PAPER,
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


def microvolts(counts: Counts) -> NDArray[np.float64]:
    """The twelve leads as they are drawn: (12, 5000) microvolts at 500 samples/s, in the order of LEADS.

    Polyphase interpolation with a windowed sinc (scipy's resample_poly, flat to 42 Hz): it goes through every stored sample.
    """
    stored = millivolts(counts) * 1000
    drawn = signal.resample_poly(stored, FINE, 1, axis=-1, padtype="line")
    drawn[..., ::FINE] = stored  # scipy's window alone misses them by 0.07 %
    return drawn


def warm() -> None:
    """The first strip a process draws pays for scipy's imports and filter design; this one is drawn for nobody."""
    figure(np.zeros((len(STORED), SAMPLES), dtype=np.int16))


def _traces(leads: NDArray[np.float64], scale: float) -> list[dict[str, Any]]:
    traces = []
    for row, baseline in zip(ROWS, BASELINES_MM, strict=True):
        length = leads.shape[-1] // len(row)  # 2.5 s a column, 10 s in the rhythm strip
        for column, lead in enumerate(row):
            part = leads[LEADS.index(lead), column * length : (column + 1) * length]
            traces.append(_line(column * length * 1000 / (RATE * FINE), part + baseline * UV_PER_MM, scale))
    return traces


def _line(x0: float, y: NDArray[np.float64], scale: float) -> dict[str, Any]:
    """A trace from x0 ms on; y in microvolts from the lower edge. What lies beyond 16 bits lies far off the sheet."""
    whole = np.clip(np.rint(y), -32768, 32767).astype("<i2")
    return {
        "type": "scatter",
        "mode": "lines",
        "x0": x0,
        "dx": 1000 / (RATE * FINE),
        "y": {"dtype": "i2", "bdata": base64.b64encode(whole.tobytes()).decode()},
        "line": {"color": _INK, "width": 1.15 * max(scale, 0.7), "simplify": False},
        "hoverinfo": "skip",
    }


def _pulses(scale: float) -> list[dict[str, Any]]:
    """1 mV for 200 ms before each row, with a foot on either side."""
    start, end = -(FIRST_SAMPLE_MM - 5) * MS_PER_MM, -(FIRST_SAMPLE_MM - 10) * MS_PER_MM
    x = [start - 2 * MS_PER_MM, start, start, end, end, end + 2 * MS_PER_MM]
    step = [0, 0, 1000, 1000, 0, 0]
    ink = {"type": "scatter", "mode": "lines", "line": {"color": _INK, "width": 1.15 * max(scale, 0.7)}, "hoverinfo": "skip"}
    return [{**ink, "x": x, "y": [baseline * UV_PER_MM + uv for uv in step]} for baseline in BASELINES_MM]


def _lead_names(scale: float) -> list[dict[str, Any]]:
    names = []
    for row, baseline in zip(ROWS, BASELINES_MM, strict=True):
        for column, lead in enumerate(row):
            x = column * SECONDS * 1000 / len(row) + 0.5 * MS_PER_MM
            names.append(_words(f"<b>{lead}</b>", x, (baseline + 10) * UV_PER_MM, 13 * scale, "left"))
    return names


def _footer(scale: float) -> dict[str, Any]:
    return _words(FOOTER, 0, 2.5 * UV_PER_MM, 12 * scale, "left")


def _words(text: str, x: float, y: float, size: float, anchor: str) -> dict[str, Any]:
    font = {"size": max(size, 7), "color": _INK, "family": "Arial, Helvetica, sans-serif"}
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
        "source": PAPER,
        "xref": "x",
        "yref": "y",
        "x": x_range[0],
        "y": y_range[1],
        "sizex": x_range[1] - x_range[0],
        "sizey": y_range[1] - y_range[0],
        "sizing": "stretch",
        "layer": "below",
    }


def _paper() -> str:
    """The paper as a data URI: 1 mm and 5 mm squares, and where the leads of a row meet, the two ticks of a cart's printout."""
    width, height = SHEET_MM

    def ruled(step: int) -> str:
        upright = "".join(f"M{x} 0V{height}" for x in range(0, width + 1, step))
        return upright + "".join(f"M0 {y}H{width}" for y in range(0, height + 1, step))

    ticks = ""
    for row, baseline in zip(ROWS, BASELINES_MM, strict=True):
        for column in range(1, len(row)):
            x, y = FIRST_SAMPLE_MM + column * SECONDS * MM_PER_SECOND / len(row), height - baseline
            ticks += f"M{x:g} {y + 4}v-2M{x:g} {y - 2}v-2"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        f'<rect width="{width}" height="{height}" fill="{_PAPER}"/><g fill="none">'
        f'<path d="{ruled(1)}" stroke="{_FINE_RED}" stroke-width=".12"/><path d="{ruled(5)}" stroke="{_BOLD_RED}" stroke-width=".25"/>'
        f'<path d="{ticks}" stroke="{_INK}" stroke-width=".3"/></g></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


PAPER = _paper()
