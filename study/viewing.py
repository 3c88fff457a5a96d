"""How a strip was read: its scale on the screen, what was changed and measured, and for how long, as the reader's browser counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

LONGEST_MS = 24 * 3600 * 1000  # of one case; what a browser says beyond it is not kept
CHANGES = 200  # of scale or layout, that are kept


@dataclass(frozen=True)
class Viewing:
    """Stored with each judgement. It comes from a browser, so it describes reading and decides nothing; what cannot be is None."""

    reading_ms: int | None = None  # strip in view, reader at work
    away_ms: int | None = None  # paused, in another window, or idle
    pixels_per_mm: float | None = None  # device pixels, that the strip was drawn with at the end
    calibrated: bool = False  # by a bank card on this screen
    screen: str | None = None  # width x height x device pixels for a CSS pixel
    layout: str | None = None  # at the end, as speed and gain
    order: str | None = None
    speed: float | None = None  # mm/s
    gain: float | None = None  # mm/mV
    zoom: float | None = None  # 1: true scale
    pinch: float | None = None  # the browser's own magnification by two fingers
    changes: list[dict[str, Any]] = field(default_factory=list)  # [{at_ms, what, to}]
    calipers: int | None = None  # measurements made
    march_out: int | None = None  # times that an interval was marched out
    magnifier: int | None = None  # times that it was used
    printed: int | None = None  # times that the PDF was asked for

    @staticmethod
    def from_browser(given: Any) -> Viewing:
        """What makes sense of a browser's words: a field that does not is left out, so that it never costs an answer."""
        words = given if isinstance(given, Mapping) else {}
        return Viewing(
            reading_ms=_whole(words.get("reading_ms"), LONGEST_MS),
            away_ms=_whole(words.get("away_ms"), LONGEST_MS),
            pixels_per_mm=_number(words.get("pixels_per_mm"), 100),
            calibrated=words.get("calibrated") is True,
            screen=_word(words.get("screen")),
            layout=_word(words.get("layout")),
            order=_word(words.get("order")),
            speed=_number(words.get("speed"), 100),
            gain=_number(words.get("gain"), 100),
            zoom=_number(words.get("zoom"), 100),
            pinch=_number(words.get("pinch"), 100),
            changes=_changes(words.get("changes")),
            calipers=_whole(words.get("calipers"), 10_000),
            march_out=_whole(words.get("march_out"), 10_000),
            magnifier=_whole(words.get("magnifier"), 10_000),
            printed=_whole(words.get("printed"), 10_000),
        )

    def described(self) -> dict[str, Any]:
        """As it is stored: all but the two times, which have columns of their own."""
        return {name: value for name, value in asdict(self).items() if name not in ("reading_ms", "away_ms")}


def _number(value: Any, highest: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= highest:  # NaN is in no range
        return None
    return float(value)


def _whole(value: Any, highest: int) -> int | None:
    number = _number(value, highest)
    return None if number is None else round(number)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 40 and value.isascii() and value.isprintable() else None


def _changes(given: Any) -> list[dict[str, Any]]:
    kept = []
    for one in (given if isinstance(given, list) else [])[:CHANGES]:
        if isinstance(one, Mapping) and (what := _word(one.get("what"))) and (at_ms := _whole(one.get("at_ms"), LONGEST_MS)) is not None:
            to = one.get("to")
            kept.append({"at_ms": at_ms, "what": what, "to": _word(to) if isinstance(to, str) else _number(to, 1000)})
    return kept
