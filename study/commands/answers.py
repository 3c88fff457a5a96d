"""What a command answers, as text for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def plain(value: Any) -> str:
    """What JSON has no word for: moments, as ISO 8601 in UTC. TypeError for anything else."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    raise TypeError(f"{type(value).__name__} in a command's answer")


def in_words(value: dict[str, Any] | list[Any], indent: str = "") -> str:
    """For people: a line a fact, what belongs together indented, records of one kind as a table."""
    if isinstance(value, dict):
        return "\n".join(_fact(name.replace("_", " "), one, indent) for name, one in value.items())
    if isinstance(value, list) and all(isinstance(one, dict) and not any(isinstance(cell, dict) for cell in one.values()) for one in value):
        return "\n".join(indent + line for line in _table(value))
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return f"\n{indent}--\n".join(in_words(one, indent) for one in value)
    return "\n".join(f"{indent}- {_shown(one)}" for one in value)


def _fact(name: str, value: Any, indent: str) -> str:
    if value and (isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], (dict, str)))):
        return f"{indent}{name}:\n{in_words(value, indent + '  ')}"
    return f"{indent}{name}: {_shown(value)}"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[name.replace("_", " ") for name in names], *([_shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, (dict, list)) and not value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
