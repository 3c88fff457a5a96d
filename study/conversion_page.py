"""What a conversion brought about, as one HTML page: whether the checkpoint draws plausible leads, why, and its first strips on ECG paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from generator.plausible import Finding, Plausibility
from generator.strip import Counts
from study.ecg_paper import svg

STYLE = """
:root { color-scheme: light; --ink: #141414; --quiet: #5a5a5a; --rule: #dcdcdc; --good: #0f6b3a; --bad: #a8201a; }
body { margin: 0 auto; padding: 8mm 6mm 12mm; max-width: 274mm; color: var(--ink); background: #fff; font: 15px/1.5 Arial, Helvetica, sans-serif; }
h1 { margin: 0 0 4mm; font-size: 17px; font-weight: normal; color: var(--quiet); overflow-wrap: anywhere; }
h2 { margin: 9mm 0 2mm; font-size: 18px; }
.verdict { padding: 5mm 6mm; border-left: 2.5mm solid; }
.verdict strong { display: block; font-size: 30px; line-height: 1.2; }
.verdict p { margin: 2mm 0 0; color: var(--ink); }
.good { color: var(--good); } .bad { color: var(--bad); }
.verdict.good { background: #eaf5ee; } .verdict.bad { background: #fbebea; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 2mm 3mm 2mm 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { color: var(--quiet); font-size: 13px; font-weight: normal; }
.facts th { width: 48mm; font-weight: normal; color: var(--quiet); }
.findings th, .findings .mark { white-space: nowrap; overflow-wrap: normal; }
.findings th::first-letter { text-transform: uppercase; } .mark { font-weight: bold; }
ul { margin: 0; padding: 0; list-style: none; font-size: 13px; } li { display: inline-block; margin-right: 4mm; white-space: nowrap; }
.values { width: 100mm; } .values small { color: var(--quiet); }
.note { color: var(--quiet); font-size: 13px; }
figure { margin: 0 0 7mm; break-inside: avoid; } figure svg { display: block; max-width: 100%; height: auto; }
figcaption { margin: 0 0 1.5mm; overflow-wrap: anywhere; }
@page { size: A4 landscape; margin: 12mm 13mm; }
@media print { body { padding: 0; max-width: none; font-size: 11pt; } figure svg { width: 270mm; max-width: none; height: 120mm; }
  tr, .verdict { break-inside: avoid; } h2 { break-after: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

_COLUMNS = ("Passed", "Looked at", "Found", "Measured (and what real ECGs measure)")
_NOTE = (
    "The check holds the leads' order, polarity and size against recordings of PTB-XL. It cannot tell II from aVF or I from II, "
    "and it does not say whether a strip passes for a patient's."
)


def page(title: str, facts: Mapping[str, str], plausibility: Plausibility, strips: Sequence[tuple[str, Counts]]) -> str:
    """A self-contained HTML document: no script, nothing fetched.

    title: what was converted; facts: name to value, shown in their order; strips: (caption, (8, 1000) canonical counts). All text is escaped.
    Printed on A4 landscape the sheets are true to scale, one a row.
    """
    word, verdict = ("good", "draws") if plausibility.plausible else ("bad", "does not draw")
    rows = "".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    sheets = "".join(f"<figure><figcaption>{escape(caption)}</figcaption>{svg(counts, title=caption)}</figure>" for caption, counts in strips)
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<div class='verdict {word}'><strong>This checkpoint {verdict} plausible leads</strong><p>{escape(_summary(plausibility))}</p></div>"
        f"<h2>What was converted</h2><table class=facts><tbody>{rows}</tbody></table>"
        f"<h2>What the check found</h2><table class=findings><thead><tr>{''.join(f'<th scope=col>{name}</th>' for name in _COLUMNS)}</tr></thead>"
        f"<tbody>{''.join(map(_row, plausibility.findings))}</tbody></table>{_orders(plausibility)}<p class=note>{_NOTE}</p>"
        f"<h2>{'Its first strips' if strips else 'It drew no strip to show'}</h2>{sheets}</body></html>\n"
    )


def _summary(plausibility: Plausibility) -> str:
    failed = [finding.name for finding in plausibility.findings if not finding.passed]
    looked_at = f"{plausibility.strips} strips were looked at"
    if not failed:
        return f"{looked_at}, and nothing found amiss."
    return f"{looked_at}. Not passed: {', '.join(failed)}. {' '.join(plausibility.remedies)}"


def _row(finding: Finding) -> str:
    word, mark = ("good", "✓ passed") if finding.passed else ("bad", "✗ failed")
    values = "".join(_value(finding, name) for name in finding.measured)
    return (
        f"<tr><td class='mark {word}'>{mark}</td><th scope=row>{escape(finding.name)}</th><td>{escape(finding.found)}</td>"
        f"<td class=values><ul>{values}</ul><small>{escape(finding.unit)}</small></td></tr>"
    )


def _value(finding: Finding, name: str) -> str:
    least, greatest = finding.expected[name]
    inside = least <= finding.measured[name] <= greatest
    told = f"{escape(name)} {_number(finding.measured[name])}"
    return f"<li>{told if inside else f'<b class=bad>{told}</b>'} <small>({_number(least)} to {_number(greatest)})</small></li>"


def _orders(plausibility: Plausibility) -> str:
    if math.isnan(plausibility.distance):
        return ""
    said = f"Order stated: {', '.join(plausibility.order)}; distance from real ECGs {plausibility.distance:.2f}. "
    if plausibility.best_order == plausibility.order:
        said += "No published order is nearer."
    else:
        said += f"Nearest published order: {', '.join(plausibility.best_order)}; distance {plausibility.best_distance:.2f}."
    return f"<p>{escape(said)}</p>"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "undefined"
