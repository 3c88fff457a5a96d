"""The log: one JSON object a line on standard error, without anything that people answered, typed, imported or were shown.

An exception is written down by its type and where it arose, never by its message, which may quote the value that was wrong. Of a library's line only
the words of its author are kept, not the values put into them. What blindstrip's own lines say is said in its own files.
"""

from __future__ import annotations

import json
import logging
import secrets
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any

from study.errors import Unavailable

_OURS = ("blindstrip", "app", "pages", "study", "generator", "storage")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without those that are read for another
_FRAMES = 30  # of an exception's way, the last ones
_LOG = logging.getLogger("blindstrip")


def start(program: str) -> None:
    """From now on this process writes its log so; program: what it calls itself. Libraries are heard from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(program))
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or _is_ours(record))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = lambda _type, error, _trace: _unless_stopped(error)
    threading.excepthook = lambda told: _unless_stopped(told.exc_value)


def fault(error: BaseException, doing: str = "Something went wrong that a person was told of.") -> str:
    """Writes an error down; returns the short id that the person is told and the log has."""
    number = "".join(secrets.choice(_LETTERS) for _ in range(6))
    reason = {"reason": str(error)} if isinstance(error, Unavailable) else {}  # in our own words, without a password
    _LOG.error(doing, extra={"more": {"error": number, **reason, **arisen(error)}})
    return number


def arisen(error: BaseException) -> dict[str, Any]:
    """Type of an exception, where it arose (file:line function, the last first), and the same of what caused it."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    found: dict[str, Any] = {"type": type(error).__name__, "at": [f"{one.filename}:{one.lineno} {one.name}" for one in reversed(frames)]}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found | ({"cause": arisen(cause)} if cause is not None else {})


class Lines(logging.Formatter):
    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "program": self._program,
            "from": record.name,
            "message": record.getMessage() if _is_ours(record) else _template(record),
            **getattr(record, "more", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            said |= arisen(record.exc_info[1])
        return json.dumps(said, ensure_ascii=False, default=str)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _OURS


def _template(record: logging.LogRecord) -> str:
    """The first line of a library's words before values were put in; of a Python warning, where it arose and its kind."""
    if record.name == "py.warnings":
        return ": ".join(record.getMessage().split(": ")[:2])
    return str(record.msg).partition("\n")[0][:200]


def _unless_stopped(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        fault(error, "Something went wrong that nothing caught.")
