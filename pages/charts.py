"""The colours of Plotly figures. Pictures of results are drawn by study/report/chart.py, for page and report alike."""

from __future__ import annotations

INK, QUIET, GRID = "#1b232d", "#55606e", "#e3e7ec"
COLORS = {"real": "#0b4f9e", "synthetic": "#c2410c", "": "#0b4f9e"}
