"""Progress and messages of the command line, on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm


class ProgressBar:
    """A bar from the first call on: bar(done, total, what is being done). In a log file it writes a line every few seconds."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, done: float, total: float, doing: str = "") -> None:
        if self._bar is None and not done:  # what is refused at the start is told without a bar
            return
        bar = self._bar or self._begin(done, total)
        bar.total = total
        bar.set_description(doing, refresh=False)
        bar.update(done - bar.n)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def _begin(self, done: float, total: float) -> tqdm[NoReturn]:
        shown = "{desc}{percentage:3.0f}%|{bar:30}| {n:.0f}/{total:.0f} " + self._unit + " [{elapsed}<{remaining}]"
        # what was done before the first call took none of the time from which the rest is guessed
        self._bar = tqdm(total=total, initial=done, file=sys.stderr, bar_format=shown, mininterval=0.1 if sys.stderr.isatty() else 5)
        return self._bar


def say(message: str) -> None:
    """A line beside the bar, not through it."""
    tqdm.write(message, file=sys.stderr)
