"""Words of the command line that must be something: types for argparse, each refusing with what it takes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from generator.errors import GeneratorError
from generator.leads import lead_name, limb_weights


def whole(low: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {low} or more")
        return int(text)

    return number


def leads(text: str) -> tuple[str, ...]:
    names = tuple(lead_name(word) or word.strip() for word in text.split(","))
    try:
        limb_weights(names)
    except GeneratorError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return names


def names(text: str) -> tuple[str, ...]:
    found = tuple(word.strip() for word in text.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text!r} are no names with commas between them, each once")
    return found


def numbers(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers with commas between them")
    return found


def places(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} are no positions such as 7,15, counted from 0")
    return tuple(map(int, words))


def minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return found


def fold_range(text: str) -> range:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a fold nor a range such as 1-8")
    return range(int(first), int(last or first) + 1)
