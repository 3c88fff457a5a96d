"""Spoiled copies of good files: bytes turned, tokens replaced by what no writer meant, lines moved, files cut, spliced and blown up."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from random import Random

NUMBERS = (
    "0", "1", "-1", "-0", "nan", "inf", "-inf", "1e308", "1e-308", "1e999", "0x10", "1_000", "²", "٣", "32767", "-32768", "65536", "2147483647",
    "2147483648", "4294967296", "9223372036854775808", "999999999999999999999999", "9" * 5000, "0.1", "360", "100", "12", "1000",
)  # fmt: skip
FORMATS = ("8", "16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524", "16x5", "16x99999999", "212x0", "16:500",
           "16:99999999999", "16+24", "16+99999999999", "516:3", "80-1", "0", "99")  # fmt: skip
PATHS = ("", ".", "..", "../../../etc/passwd", "/etc/passwd", "/dev/zero", "C:\\windows", "a\\b", "a\0b", "~", "-", "CON", "http://127.0.0.1:9/a.dat",
         "s3://bucket/a", "a" * 300, "x/" * 2000 + "y", "\u202eeh.a", "é", "r.hea", "r")  # fmt: skip
WORDS = ("NSR", "AF", "{'AFIB': 100.0}", "[" * 3000, "(" * 300, "{" * 100_000, "-" * 5000 + "1", "{'a': {}}", "{(): 1}", "'", '"', '""', "null",
         "true", "{}", "[]", "\\u0000", "\\ud800", "\ufeff", "\0", "\x1a", "I", "V6", "µV", "200(0)/mV", "1e308(0)/mV", "0.0001(99999999999)/mV",
         "(5)/mV", "-200(-5)/furlong")  # fmt: skip
EXTREMES = NUMBERS + FORMATS + PATHS + WORDS

_VALUE = re.compile(rb"(?<=>)[^<>]+(?=</)|(?<==\")[^\"<>]*(?=\")")
_TOKEN = re.compile(rb"[^\s,;:\"{}\[\]/()]+")


def spoiled(content: bytes, rng: Random, other: bytes, *, text: bool) -> bytes:
    """One to four faults, one after the other. other: a file to splice in; text: whether the content has tokens and lines."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        fault = rng.choice(_OF_TEXT if text and rng.random() < 0.8 else _OF_BYTES)
        content = fault(content, rng, other)
    return content


def spoiled_zip(content: bytes, rng: Random) -> bytes:
    """One field of one entry's headers changed: sizes, offsets, method, flags, names, attributes, counts."""
    data = bytearray(content)
    sizes = {b"PK\x03\x04": 30, b"PK\x01\x02": 46, b"PK\x05\x06": 22}
    found = [match for signature in sizes for match in re.finditer(re.escape(signature), content)]
    if not found:
        return content
    match = rng.choice(found)
    at = match.start() + rng.randrange(4, sizes[match[0]])
    width, code = rng.choice(((1, "<B"), (2, "<H"), (4, "<I")))
    value = rng.choice((0, 1, 8, 12, 14, 93, 99, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(32), at)) % 256**width
    data[at : at + width] = struct.pack(code, value)
    return bytes(data)


# ---- faults ----


def _turn(content: bytes, rng: Random, other: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 32)) if data else 0):
        at = rng.randrange(len(data))
        data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255))
    return bytes(data)


def _cut(content: bytes, rng: Random, other: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _remove(content: bytes, rng: Random, other: bytes) -> bytes:
    first, last = _stretch(content, rng)
    return content[:first] + content[last:]


def _repeat(content: bytes, rng: Random, other: bytes) -> bytes:
    first, last = _stretch(content, rng)
    return content[:last] + content[first:last] * rng.choice((1, 2, 10)) + content[last:]


def _splice(content: bytes, rng: Random, other: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    first, last = _stretch(other, rng)
    return content[:at] + other[first:last] + content[rng.choice((at, min(len(content), at + last - first))) :]


def _insert(content: bytes, rng: Random, other: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice((rng.randbytes(rng.randrange(1, 40)), bytes(rng.randrange(1, 5000)), b"\n" * 200)) + content[at:]


def _replace_token(content: bytes, rng: Random, other: bytes) -> bytes:
    tokens = list(_TOKEN.finditer(content))
    if not tokens:
        return content
    token = rng.choice(tokens[:60] if rng.random() < 0.7 else tokens)
    return content[: token.start()] + rng.choice(EXTREMES).encode("utf-8", "surrogatepass") + content[token.end() :]


def _overwrite_token(content: bytes, rng: Random, other: bytes) -> bytes:
    """In as many bytes, as fields of fixed width need it."""
    tokens = list(_TOKEN.finditer(content[:20_000]))
    if not tokens:
        return content
    token, new = rng.choice(tokens), rng.choice(NUMBERS).encode()
    width = len(token[0])
    return content[: token.start()] + new[:width].ljust(width) + content[token.end() :]


def _replace_value(content: bytes, rng: Random, other: bytes) -> bytes:
    """Of an XML document, the text of an element or the value of an attribute; of others nothing."""
    values = list(_VALUE.finditer(content)) if content.lstrip().startswith(b"<") else []
    if not values:
        return content
    value, new = rng.choice(values), rng.choice((*NUMBERS, *WORDS, "", "XLI", "uV"))
    return content[: value.start()] + new.replace("<", "").replace("&", "").replace('"', "").encode("utf-8", "replace") + content[value.end() :]


def _append_to_token(content: bytes, rng: Random, other: bytes) -> bytes:
    tokens = list(_TOKEN.finditer(content))
    if not tokens:
        return content
    at = rng.choice(tokens).end()
    return content[:at] + rng.choice((*EXTREMES, "/", "(", ")", "x", ",", ";", " ", "\n", "\t", "\r")).encode() + content[at:]


def _swap_tokens(content: bytes, rng: Random, other: bytes) -> bytes:
    tokens = list(_TOKEN.finditer(content))
    if len(tokens) < 2:
        return content
    one, two = sorted(rng.sample(tokens, 2), key=lambda token: token.start())
    return content[: one.start()] + two[0] + content[one.end() : two.start()] + one[0] + content[two.end() :]


def _move_lines(content: bytes, rng: Random, other: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        case 2:
            lines[at : at + 1] = lines[at : at + 1] * (300 if len(lines[at]) < 10_000 else 3)  # XML may be one line
        case _:
            rng.shuffle(lines)
    return b"".join(lines)


def _stretch(content: bytes, rng: Random) -> tuple[int, int]:
    first = rng.randrange(len(content) + 1)
    return first, min(len(content), first + rng.choice((1, 2, 8, 64, 1000, len(content))))


Fault = Callable[[bytes, Random, bytes], bytes]
_OF_BYTES: tuple[Fault, ...] = (_turn, _cut, _remove, _repeat, _splice, _insert, _overwrite_token)
_OF_TEXT: tuple[Fault, ...] = (_replace_token, _replace_token, _replace_token, _append_to_token, _swap_tokens, _move_lines,
                                _replace_value, _replace_value)  # fmt: skip
