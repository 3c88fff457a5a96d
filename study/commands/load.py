"""The command `bench load`: many readers at once on a server of its own."""

from __future__ import annotations

import argparse
from typing import Any

from study.commands import types
from study.progress_bar import say


def arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--readers", type=types.whole(1), default=50, help="simulated, each thinking for 5 to 15 s (default: 50)")
    one.add_argument("--minutes", type=types.minutes, default=10.0, help="(default: 10)")
    one.add_argument("--drawing", type=types.whole(0), default=0, metavar="N", help="strips to draw meanwhile, from the middle on (default: none)")


def run(given: argparse.Namespace) -> dict[str, Any]:
    from study.load.measure import load

    return load(readers=given.readers, minutes=given.minutes, drawing=given.drawing, database=given.db, say=say)
