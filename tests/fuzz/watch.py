"""One file taken in under watch: by a clock, and by an audit hook that notes what is written elsewhere, connected to or started."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study.confinement import breach
from tests.fuzz.targets import REFUSALS, Target

SECONDS = 5.0


class _Hang(BaseException):
    """Not an Exception: nobody on the way may take it for a damaged file."""


@dataclass
class Outcome:
    """kind: taken, refused or defect; what: of a refusal its kind, of a defect what happened."""

    kind: str
    what: str
    seconds: float


@dataclass
class Watch:
    """folder: the one that may be written to while a file is taken in; None between two files. seconds: that a file may take."""

    folder: str | None = None
    seconds: float = SECONDS
    breaches: list[str] = field(default_factory=list)
    _hooked: bool = False

    def take_in(self, target: Target, folder: Path) -> Outcome:
        began = time.monotonic()
        self.breaches.clear()
        try:
            with _alarm(self.seconds):
                self._look_at(folder)
                try:
                    target.take_in(folder)
                finally:
                    self.folder = None
            kind, what = "taken", ""
        except REFUSALS as refusal:
            kind, what = "refused", getattr(refusal, "reason", type(refusal).__name__)
            if not str(refusal).strip() or "\n" in what:
                kind, what = "defect", f"a refusal that says nothing: {refusal!r}"
        except _Hang:
            kind, what = "defect", f"more than {self.seconds:g} s\n{traceback.format_exc(limit=-4)}"
        except Exception:
            kind, what = "defect", traceback.format_exc(limit=-4)
        if self.breaches:
            kind, what = "defect", "; ".join(self.breaches)
        return Outcome(kind, what, time.monotonic() - began)

    def _look_at(self, folder: Path) -> None:
        if not self._hooked:
            sys.addaudithook(self._hook)  # it stays for as long as the process does, and does nothing between two files
            self._hooked = True
        self.folder = str(folder.resolve())

    def _hook(self, event: str, told: tuple[Any, ...]) -> None:
        if self.folder is not None and (wrong := breach(event, told, self.folder)):
            self.breaches.append(wrong)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """_Hang after so many seconds, where the system has alarms (not on Windows)."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
