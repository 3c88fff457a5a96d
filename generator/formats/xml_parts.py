"""Elements and numbers of an XML document, whatever its name space; what it says of a patient, by where it stands."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from generator.errors import Refused
from generator.formats.leads import AGAIN

DEEPEST = 64  # levels
Kinds = tuple[tuple[re.Pattern[str], str | None], ...]  # where an element stands, and the kind of field it is; None: it is used, or tells nothing


def local(element: Element) -> str:
    """The tag without its name space."""
    return str(element.tag).rpartition("}")[2]


def below(element: Element, name: str) -> Iterator[Element]:
    """Every element of that name at any depth, itself excepted."""
    return (one for one in element.iter() if one is not element and local(one) == name)


def first(element: Element | None, *names: str) -> Element | None:
    """The first child of the first name, its first child of the second, and so on."""
    for name in names:
        element = next((child for child in element if local(child) == name), None) if element is not None else None
    return element


def text(element: Element | None, *names: str) -> str:
    found = first(element, *names)
    return "" if found is None else (found.text or "").strip()


def number(path: Path, written: str | None, field: str) -> float:
    """Raises Refused for what is no finite number."""
    try:
        value = float(written or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refused("wrong header", f"{path}: {field} is no number. {AGAIN}")
    return value


def base64_bytes(path: Path, written: str, field: str) -> bytes:
    try:
        return base64.b64decode("".join(written.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("unreadable record", f"{path}: {field} is no base64. {AGAIN}") from None


def dropped_kinds(path: Path, root: Element, kinds: Kinds) -> frozenset[str]:
    """The kinds of the fields that hold something. Raises Refused for a document nested too deeply."""
    found: set[str] = set()
    levels: list[tuple[str, Iterator[Element]]] = [("", iter([root]))]
    while levels:
        above, siblings = levels[-1]
        element = next(siblings, None)
        if element is None:
            levels.pop()
            continue
        if len(levels) > DEEPEST:
            raise Refused("unreadable record", f"{path}: nested more than {DEEPEST} levels deep. {AGAIN}")
        where = f"{above}/{local(element)}".lower()
        if (element.text or "").strip() or any(element.get(name) for name in ("value", "extension", "date", "time")):
            kind = next((kind for pattern, kind in kinds if pattern.search(where)), None)
            found |= {kind} if kind else set()
        levels.append((where, iter(element)))
    return frozenset(found)
