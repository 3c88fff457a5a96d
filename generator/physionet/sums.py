"""The list of SHA-256 sums that PhysioNet publishes with each version of a collection: `SUM PATH`, a line a file."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

from generator.errors import GeneratorError

_SUM = re.compile(r"[0-9a-fA-F]{64}")


def published(file: Path, wanted: Set[str]) -> dict[str, str]:
    """The sums of the wanted paths; those that it does not list are not in the answer. A list of millions is read a line at a time.

    Raises GeneratorError for a file that is no such list, which is removed: the next try asks for it again.
    """
    found: dict[str, str] = {}
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            digest, _, path = line.strip().partition(" ")
            if not _SUM.fullmatch(digest):
                file.unlink()
                raise GeneratorError(f"{file}: line {number} holds no SHA-256 sum, so this is no list of sums. Fetch again, or name another mirror.")
            name = path.lstrip(" *").removeprefix("./")
            if name in wanted:
                found[name] = digest.lower()
    return found
