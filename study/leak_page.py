"""The leak gate's report to look at: the worst feature's two distributions as a picture, and the whole of it as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from generator.leak_features import AMPLITUDE, AMPLITUDE_MEANS, FEATURES
from study.conversion_page import STYLE
from study.ecg_paper import FONT
from study.leak_gate import ARMS, sentence

_VERDICTS = {"open": ("good", "open"), "warn": ("bad", "open, with a warning"), "refuse": ("bad", "shut")}
_COLOURS, _INK = ("#0b4f9e", "#c2410c"), "#141414"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 580, 250, 46, 32, 40, 200  # pixels: the picture, and the axes in it


def picture(distribution: Mapping[str, Any]) -> str:
    """The two distributions as SVG: in each bin a bar for each arm, as high as the arm's share. Solid and hatched, so that no colour is needed."""
    edges = distribution["edges"]
    most = max(max(distribution[arm]) for arm in ARMS)
    width = (_WIDTH - _LEFT - _RIGHT) / (len(edges) - 1)
    drawn = []
    for number, (arm, colour) in enumerate(zip(ARMS, _COLOURS, strict=True)):
        fill = colour if number == 0 else "url(#hatched)"
        drawn.append(f'<rect x="{_LEFT + number * 170}" y="10" width="12" height="12" fill="{fill}" stroke="{colour}"/>')
        drawn.append(_word(_LEFT + 18 + number * 170, 20, arm))
        for i, share in enumerate(distribution[arm]):
            high, left = share / most * (_BOTTOM - _TOP), _LEFT + (i + 0.08 + 0.42 * number) * width
            box = f'x="{left:.1f}" y="{_BOTTOM - high:.1f}" width="{0.42 * width:.1f}" height="{high:.1f}"'
            drawn.append(f'<rect {box} fill="{fill}" stroke="{colour}"/>' if share else "")
    drawn += [_word(_LEFT + i * width, _BOTTOM + 16, f"{edge:.3g}", "middle", 11) for i, edge in enumerate(edges)]
    drawn += [_word(_LEFT - 6, y, text, "end", 11) for y, text in ((_TOP + 4, f"{most:.0%}"), (_BOTTOM, "0"))]
    drawn.append(_word((_LEFT + _WIDTH) / 2, _BOTTOM + 38, distribution["feature"], "middle"))
    hatch = (
        '<defs><pattern id="hatched" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="5" height="5" fill="#fff"/><rect width="2" height="5" fill="{_COLOURS[1]}"/></pattern></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="{FONT}"><title>{escape(in_words(distribution))}</title><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>{hatch}'
        f'{"".join(drawn)}<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="{_INK}"/></svg>'
    )


def in_words(distribution: Mapping[str, Any]) -> str:
    """What the picture shows, for those who cannot see it."""
    edges = distribution["edges"]
    told = []
    for arm in ARMS:
        bins = zip(distribution[arm], edges, edges[1:], strict=False)
        told.append(f"{arm}: " + ", ".join(f"{share:.0%} from {low:g} to {high:g}" for share, low, high in bins if share))
    return f"Distribution of {distribution['feature']}. " + "; ".join(told)


def page(report: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """A self-contained HTML document: no script, nothing fetched. report: LeakReport.as_dict(); facts: what was compared. All text is escaped."""
    word, verdict = _VERDICTS[report["verdict"]]
    low, high = report["auc_ci"]
    found = f"Permutation p = {report['p_value']:.3f}; 95 % interval of the AUC {low:.2f} to {high:.2f}."
    said = f"Format features do not tell the arms apart: AUC {report['auc']:.2f}." if report["verdict"] == "open" else sentence(report)
    told = "".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    worst = report["worst_feature"]
    amplitude = report["amplitude"]
    sizes = ", ".join(f"{arm} {value:g}" for arm, value in amplitude["microvolts"].items())
    rows = "".join(_row(name, auc, FEATURES[name]) for name, auc in sorted(report["features"].items(), key=lambda one: -one[1]))
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Leak gate: {verdict}</title><style>{STYLE}</style></head><body><h1>Leak gate</h1>"
        f"<div class='verdict {word}'><strong>The gate is {verdict}</strong><p>{escape(said)} {escape(found)}</p></div>"
        f"<h2>What was compared</h2><table class=facts><tbody>{told}</tbody></table>"
        f"<h2>The worst feature: {escape(worst)}</h2><figure>{picture(report['distribution'])}<figcaption>{escape(_meaning(worst))}. "
        f"Share of each arm's strips.</figcaption></figure>"
        f"<h2>Each feature alone</h2><table><thead><tr><th>Feature</th><th>AUC</th><th>What it is</th></tr></thead><tbody>{rows}</tbody></table>"
        f"<h2>Amplitude, apart</h2><p>AUC {amplitude['auc']:.2f}, p = {amplitude['p_value']:.3f}; median of the {escape(AMPLITUDE_MEANS)}: "
        f"{escape(sizes)}. It warns and never refuses, as it may be the heart's own.</p></body></html>\n"
    )


def _row(name: str, auc: float, meaning: str) -> str:
    return f"<tr><th scope=row>{escape(name)}</th><td>{auc:.2f}</td><td>{escape(meaning)}</td></tr>"


def _meaning(name: str) -> str:
    told = AMPLITUDE_MEANS if name == AMPLITUDE else FEATURES[name]
    return told[0].upper() + told[1:]


def _word(x: float, y: float, text: str, anchor: str = "start", size: int = 13) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{_INK}">{escape(text)}</text>'
