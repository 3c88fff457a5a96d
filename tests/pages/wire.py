"""What crossed the wire for a case, taken apart into single values, and how two cases differ in them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from study.protocol import SCALE

# Random or content hashes: the only texts but the position that may differ. By the field's name, so that a hash anywhere else is found.
_OPAQUE_FIELDS = re.compile(r"(\.hash|_hash|\.id|_id|\.key|\.draft)$")
_OPAQUE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")
_SAMPLES = ".counts"
# Of the desk, and which scripts a browser may run: the same for every case, which `differences` sees to.
_SCRIPT = re.compile(r"\.((js|css|html)_content|content-security-policy)$")
_FORM = ("Recorded from a patient, or synthetic?", *SCALE)  # the form's own words, the same for every case


@dataclass(frozen=True)
class Place:
    """Where a case stands for its reader: what a message may say of it."""

    round_id: int
    position: int
    total: int
    practice: bool = False


def decoded(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Streamlit's messages as dictionaries, fields with default values included, and JSON in them (Plotly's figure) taken apart as well."""
    as_fields = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return [_with_json(json_format.MessageToDict(message, **as_fields)) for message in messages]


def differences(one: Sequence[Any], other: Sequence[Any], place: Place, other_place: Place) -> list[str]:
    """What a reader could tell two cases apart by, other than the samples' values, opaque ids and the position: empty, or a line for each."""
    mine, theirs = _neutral(one, place), _neutral(other, other_place)
    found = [f"{path}: only in one" for path in sorted(mine.keys() ^ theirs.keys())]
    found += [f"{path}: {mine[path]} and {theirs[path]}" for path in mine if path in theirs and mine[path] != theirs[path]]
    if not found and list(mine) != list(theirs):
        found.append("the same fields in another order")
    return found


def told(sent: Any, secrets: Mapping[str, str]) -> list[str]:
    """Which secrets stand in what was sent: in a value or in a field's name. secrets: what it is -> the word or number itself.

    Letters and digits on either side make another word of it: `real` is not in `realism`.
    """
    text = json.dumps([[path, value] for path, value in leaves(sent) if not _SCRIPT.search(path)], ensure_ascii=False).lower()
    for words in _FORM:
        text = text.replace(json.dumps(words)[1:-1].lower(), "")
    return [what for what, word in secrets.items() if re.search(rf"(?<![a-z0-9]){re.escape(word.lower())}(?![a-z0-9])", text)]


def element(sent: Sequence[Any]) -> dict[str, Any]:
    """The desk, as Streamlit is told to draw it."""
    drawn = [message["delta"].get("new_element", {}) for message in sent if "delta" in message]
    [found] = [one["bidi_component"] for one in drawn if "bidi_component" in one]
    one: dict[str, Any] = found
    return one


def data(sent: Sequence[Any]) -> dict[str, Any]:
    """What the desk is given of a case."""
    one = element(sent)
    found: dict[str, Any] = one["json"] if isinstance(one.get("json"), dict) else one["mixed"]["json"]
    return found


def leaves(sent: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value with its path."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            yield from leaves(value, f"{path}.{name}")
    elif isinstance(sent, list):
        yield f"{path}[]", len(sent)
        for i, value in enumerate(sent):
            yield from leaves(value, f"{path}[{i}]")
    else:
        yield path, sent


def _neutral(sent: Sequence[Any], place: Place) -> dict[str, tuple[str, Any]]:
    """path -> (kind, value), without what may differ."""
    return {path: (type(value).__name__, _without(path, value, place)) for path, value in leaves(list(sent))}


def _without(path: str, value: Any, place: Place) -> Any:
    if path.endswith(_SAMPLES):
        return f"{len(base64.b64decode(value, validate=True))} bytes"
    for name, of_position in {
        "done": place.position - 1,
        "before": place.position > 1 and not place.practice,
        "pdf.case": place.position,
    }.items():
        if path.endswith((f".json.{name}", f".case.{name}")) and value == of_position and type(value) is type(of_position):
            return "as the position says"
    if not isinstance(value, str):
        return value
    if _OPAQUE_FIELDS.search(path):
        value = _OPAQUE.sub("<opaque>", value)
    if path.endswith((".json.place", ".case.place")):
        value = re.sub(rf"^(practice-)?{place.round_id}-(1-)?{place.position}(-again)?$", r"\1ROUND-\2POSITION\3", value)
    return re.sub(rf"\b([Cc])ase {place.position} of {place.total}\b", r"\1ase POSITION of TOTAL", value)


def _with_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_json(inner) for inner in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
