"""A measurement of quality as one HTML page: the targets, every figure beside real against real, and the closest pairs on ECG paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from generator.quality.result import Quality
from generator.strip import Counts
from study.conversion_page import STYLE
from study.ecg_paper import svg
from study.quality import TITLES, figure_rows, number, target_rows

_MORE = "\ntd { font-variant-numeric: tabular-nums; } h3 { margin: 6mm 0 1mm; font-size: 15px; } .pair { margin-top: 5mm; }\n"
_NOTE = (
    "Each figure stands beside the same figure of recordings of other patients, as many as the strips, in their place. n: synthetic / "
    "recordings compared with / recordings beside. Intervals: 95 %, bootstrap over patients. Those of Frechet and Wasserstein distances are "
    "corrected for the bias that few strips bring, so that a value may lie above its interval. Targets are judged by the value."
)


def page(title: str, facts: Mapping[str, str], result: Quality, pairs: Sequence[tuple[str, Counts, str, Counts]]) -> str:
    """A self-contained HTML document: no script, nothing fetched. pairs: caption and (8, 1000) counts of a synthetic and of a training strip."""
    missed = [one for one in result.targets if one.met is False]
    unknown = [one for one in result.targets if one.met is None]
    word = "bad" if missed or unknown else "good"
    verdict = f"{sum(one.met is True for one in result.targets)} of {len(result.targets)} targets met"
    names = "; ".join(
        [f"missed: {one.name} ({one.rhythm}, {number(one.value)})" for one in missed] + [f"undefined: {one.name} ({one.rhythm})" for one in unknown]
    )
    told = "".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    parts = "".join(
        f"<h3>{escape(TITLES[part][0])}</h3><p class=note>{escape(TITLES[part][1])}</p>{_table(figure_rows(result, part))}" for part in result.parts
    )
    sheets = "".join(f"<div class=pair>{_sheet(one, of_one)}{_sheet(other, of_other)}</div>" for one, of_one, other, of_other in pairs)
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}{_MORE}</style></head><body><h1>{escape(title)}</h1>"
        f"<div class='verdict {word}'><strong>{verdict}</strong><p>{escape(names)}</p></div>"
        f"<h2>What was compared</h2><table class=facts><tbody>{told}</tbody></table>"
        f"<h2>Targets</h2>{_table(target_rows(result))}<h2>Figures</h2><p class=note>{escape(_NOTE)}</p>{parts}"
        f"<h2>{'The closest pairs: a synthetic strip, and the training strip with the most similar beat' if pairs else 'No pair was looked for'}</h2>"
        f"{sheets}</body></html>\n"
    )


def _sheet(name: str, counts: Counts) -> str:
    return f"<figure><figcaption>{escape(name)}</figcaption>{svg(counts, title=name)}</figure>"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if any(row.get(name) is not None for row in rows)]
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(row, names) for row in rows)}</tbody></table>"


def _row(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<td{_mark(row.get(name))}>{escape(_words(row.get(name)))}</td>' for name in names)}</tr>"


def _mark(value: Any) -> str:
    return {"pass": " class='mark good'", "MISS": " class='mark bad'", "undefined": " class=mark"}.get(value, "") if isinstance(value, str) else ""


def _words(value: Any) -> str:
    return "-" if value is None else (number(value) or "-") if isinstance(value, float) else str(value)
