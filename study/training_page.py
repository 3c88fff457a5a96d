"""A training's report as one HTML document: losses over time, what strips measure, strips on ECG paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from generator.request import RHYTHMS
from generator.strip import Counts
from study.ecg_paper import svg

NETWORKS = {"beat": "Network of average beats", "strip": "Network of strips"}
_FIGURES: dict[str, tuple[str, str]] = {  # column: (heading, format)
    "n": ("strips", "d"),
    "p_amplitude": ("P wave, mV", ".3f"),
    "p_coherence": ("P waves repeat (coherence)", ".2f"),
    "rr_cv": ("RR variation, SD / mean", ".3f"),
    "r_variation": ("R height within a strip, SD / mean", ".3f"),
    "beat_spread": ("average beats differ between strips, 1 - correlation", ".2f"),
    "detail": ("detail, share of recordings'", ".2f"),
    "rejected": ("would be rejected", ".0%"),
}
_NOTE = (
    "Medians over strips drawn without quality control, each time with the same seeds. Detail: mean absolute second difference. Would be rejected: "
    "docs/quality-control.md. Figures are undefined (–) where no strip has enough beats. A few dozen strips a row: small differences between rows "
    "are chance."
)
_STYLE = """
:root { color-scheme: light; --ink: #141414; --quiet: #5a5a5a; --rule: #dcdcdc; }
body { margin: 0 auto; padding: 8mm 6mm 12mm; max-width: 274mm; color: var(--ink); background: #fff; font: 15px/1.5 Arial, Helvetica, sans-serif; }
h1 { margin: 0 0 4mm; font-size: 22px; overflow-wrap: anywhere; }
h2 { margin: 9mm 0 2mm; font-size: 18px; } h3 { margin: 5mm 0 1mm; font-size: 15px; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 1.5mm 3mm 1.5mm 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
thead th { color: var(--quiet); font-size: 13px; font-weight: normal; } tbody th { font-weight: normal; white-space: nowrap; }
.facts td { overflow-wrap: anywhere; } .facts th { width: 64mm; color: var(--quiet); white-space: normal; } .real { background: #f4f4f4; }
td { font-variant-numeric: tabular-nums; }
.note, figcaption { color: var(--quiet); font-size: 13px; } .scroll { overflow-x: auto; }
figure { margin: 0 0 7mm; break-inside: avoid; } figure svg { display: block; max-width: 100%; height: auto; }
@page { size: A4 landscape; margin: 12mm 13mm; }
@media print { body { padding: 0; max-width: none; font-size: 11pt; } tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

Losses = Sequence[Mapping[str, Any]]


def page(
    title: str,
    facts: Mapping[str, str],
    losses: Losses,
    rows: Sequence[Mapping[str, Any]],
    beside: Mapping[str, Mapping[str, Mapping[str, Any]]],
    shown: Sequence[tuple[float, Sequence[tuple[str, Counts]]]],
) -> str:
    """A self-contained HTML document: no script, nothing fetched.

    losses: lines of loss.jsonl. rows: seconds, figures by rhythm and utility. beside: figures of recordings, by name and rhythm. shown: seconds and
    (caption, (8, 1000) canonical counts), in the order of the page. All text is escaped.
    """
    told = "".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    charts = "".join(_chart(name, [line for line in losses if line.get("network") == name]) for name in NETWORKS)
    tables = "".join(_table(rhythm, rows, beside) for rhythm in RHYTHMS) + _utility(rows)
    sheets = "".join(
        f"<h3>After {_minutes(seconds)}</h3>"
        + "".join(f"<figure><figcaption>{escape(what)}</figcaption>{svg(one, title=what)}</figure>" for what, one in strips)
        for seconds, strips in shown
    )
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<table class=facts><tbody>{told}</tbody></table><h2>Loss</h2>{charts or '<p>None yet.</p>'}"
        f"<h2>What strips measure</h2>{tables if rows else '<p>No strip was drawn yet: average beats are learned first.</p>'}"
        f"<p class=note>{_NOTE}</p><h2>Strips at the same seeds, latest first</h2>{sheets or '<p>None yet.</p>'}</body></html>\n"
    )


# ---- tables ----


def _table(rhythm: str, rows: Sequence[Mapping[str, Any]], beside: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    heads = "".join(f"<th scope=col>{escape(heading)}</th>" for heading, _ in _FIGURES.values())
    body = "".join(_row(name, of[rhythm], "real") for name, of in beside.items())
    body += "".join(_row(f"after {_minutes(row['seconds'])}", row["figures"][rhythm], "") for row in rows)
    return f"<h3>{rhythm}</h3><div class=scroll><table><thead><tr><th scope=col></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _row(name: str, figures: Mapping[str, Any], kind: str) -> str:
    cells = "".join(f"<td>{_number(figures.get(column), how)}</td>" for column, (_, how) in _FIGURES.items())
    return f"<tr class='{kind}'><th scope=row>{escape(name)}</th>{cells}</tr>"


def _utility(rows: Sequence[Mapping[str, Any]]) -> str:
    measured = [row for row in rows if row.get("utility")]
    if not measured:
        return ""
    names = {
        "TSTR": "TSTR: learned from drawn strips, tested on held-out recordings",
        "TRTS": "TRTS: learned from recordings, tested on drawn strips",
        "TRTR": "TRTR: recordings both times, the ceiling",
    }
    heads = "".join(f"<th scope=col>{escape(what)}</th>" for what in names.values())
    body = ""
    for row in measured:
        cells = "".join(f"<td>{_figure(row['utility'][name])}</td>" for name in names)
        body += f"<tr><th scope=row>after {_minutes(row['seconds'])}</th>{cells}</tr>"
    return (
        "<h3>What they are worth to a classifier (gradient boosting, macro F1 of AF against NSR, 95 % by bootstrap)</h3><div class=scroll>"
        f"<table><thead><tr><th scope=col></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _figure(found: Mapping[str, Any]) -> str:
    interval = "" if found["ci"] is None else f" ({found['ci'][0]:.2f} to {found['ci'][1]:.2f})"
    reason = f"; {escape(found['reason'])}" if found["reason"] else ""
    n = f", n = {sum(found['n']['train'].values())} and {sum(found['n']['test'].values())}"
    return f"{_number(found['macro_f1'], '.2f')}{interval}{n}{reason}"


def _number(value: float | None, how: str) -> str:
    return "–" if value is None else format(value, how)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


# ---- the chart ----

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _LOSS_HEIGHT, _RATE_HEIGHT = 960, 330, 56, 230, 14, 220, 46
_MOST_POINTS = 500
_CURVES: dict[tuple[str, str], tuple[str, str, str]] = {  # of a line's keys: (colour, dashes, name)
    ("learned", "NSR"): ("#2b6cb0", "5 4", "NSR, learned strips"),
    ("held_out", "NSR"): ("#2b6cb0", "", "NSR, held-out strips"),
    ("learned", "AF"): ("#b0452b", "5 4", "AF, learned strips"),
    ("held_out", "AF"): ("#b0452b", "", "AF, held-out strips"),
}


def _chart(network: str, lines: Losses) -> str:
    """Loss (logarithmic) and learning rate against minutes, an SVG with its legend. Nothing where there are no lines."""
    if not lines:
        return ""
    curves = [("#9a9a9a", "", "training batches", [(line["seconds"], line["loss"]) for line in lines])]
    for (where, rhythm), (colour, dashes, name) in _CURVES.items():
        points = [(line["seconds"], line[where][rhythm]) for line in lines if rhythm in line.get(where, {})]
        if points:
            curves.append((colour, dashes, name, points))
    values = [value for *_, points in curves for _, value in points if value > 0]
    low, high = min([0.5, *values]) / 1.05, max([1.0, *values]) * 1.05  # 1 is the loss of a network that knows nothing
    end = max(max(line["seconds"] for line in lines), 1e-9)
    wide, base = _WIDTH - _LEFT - _RIGHT, _TOP + _LOSS_HEIGHT

    def x(seconds: float) -> float:
        return _LEFT + wide * seconds / end

    def y(loss: float) -> float:
        return base - _LOSS_HEIGHT * math.log(max(loss, low) / low) / math.log(high / low)

    drawn, legend = "", ""
    for place, (colour, dashes, name, points) in enumerate(curves):
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        path = _path([(x(at), y(value)) for at, value in _thinned(points)])
        drawn += f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashed}/>'
        down, right = _TOP + 10 + 18 * place, _WIDTH - _RIGHT + 12
        legend += (
            f'<path d="M{right} {down}h24" stroke="{colour}" stroke-width="2"{dashed}/><text x="{right + 30}" y="{down + 4}">{escape(name)}</text>'
        )
    ticks = "".join(
        f'<path d="M{_LEFT} {y(value):.1f}h{wide}" stroke="#e4e4e4"/><text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in _logarithmic(low, high)
    )
    floor = base + 26 + _RATE_HEIGHT
    greatest = max(max(line["learning_rate"] for line in lines), 1e-12)
    rate = _path(
        [(x(at), floor - _RATE_HEIGHT * value / greatest) for at, value in _thinned([(line["seconds"], line["learning_rate"]) for line in lines])]
    )
    across = "".join(
        f'<text x="{x(share * end):.0f}" y="{floor + 16}" text-anchor="middle">{share * end / 60:.3g}</text>' for share in (0, 0.25, 0.5, 0.75, 1)
    )
    title = f"{NETWORKS[network]}: loss and learning rate over {end / 60:.3g} minutes"
    return (
        f'<figure><figcaption>{NETWORKS[network]}: mean squared error of what it predicts</figcaption><svg xmlns="http://www.w3.org/2000/svg" '
        f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="Arial, Helvetica, sans-serif" font-size="12">'
        f'<title>{escape(title)}</title>{ticks}{drawn}{legend}<path d="{rate}" fill="none" stroke="#4a7d3c" stroke-width="1.6"/>'
        f'<text x="{_WIDTH - _RIGHT + 12}" y="{floor - 16}">learning rate, at most {greatest:.2g}</text>{across}'
        f'<path d="M{_LEFT} {_TOP}V{base}h{wide}M{_LEFT} {floor}h{wide}" fill="none" stroke="#8a8a8a"/>'
        f'<text x="{_WIDTH - _RIGHT + 36}" y="{floor + 16}">minutes</text></svg></figure>'
    )


def _logarithmic(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for decade in decades for step in (1, 2, 5) if low <= (value := step * 10.0**decade) <= high]


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Means of neighbours where there are more than can be seen."""
    if len(points) <= _MOST_POINTS:
        return points
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in np.array_split(np.array(points), _MOST_POINTS)]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in points)
