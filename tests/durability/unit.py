"""What deploy/blindstrip.service says of how the server is started and kept up."""

from __future__ import annotations

import configparser
import shlex
import sys
from pathlib import Path

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "blindstrip.service"


def service() -> dict[str, str]:
    """The unit's [Service], with the last of what it says more than once."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, inline_comment_prefixes=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text(encoding="utf-8"))
    return dict(unit["Service"])


def command() -> list[str]:
    """ExecStart, with the virtual environment that the tests run in."""
    program, *arguments = shlex.split(service()["ExecStart"])
    return [str(Path(sys.executable).with_name(Path(program).name)), *arguments]
