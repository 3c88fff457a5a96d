"""A folder of strips while it is written: each strip whole or not there, and a journal from which writing goes on, however it ended."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from generator.errors import GeneratorError
from generator.recordings.strips import WrittenStrip, is_there, opaque_name, write_manifest, write_strip

JOURNAL = "unfinished.jsonl"
SECONDS_BETWEEN_SYNCS = 2.0  # what a power failure may cost; a killed program loses nothing that is in the journal

Progress = Callable[[int, int], None]  # strips looked at, strips to look at


class Journal:
    """Writes the strips of one batch into a folder, and knows which are there. One program at a time; close it, or use it as a context.

    One JSON line a settings, strip or rejection. A strip counts once its line is written, which is after its files; when the folder is opened
    again, half a line or a strip whose files are not what its line says counts no more. What is in memory is a number a strip, not its samples.
    """

    def __init__(self, directory: Path, progress: Progress | None = None) -> None:
        """Raises GeneratorError for a folder that is finished, holds other files, has a damaged journal, or is being written to."""
        others = _holds_more(directory)
        if others and not (directory / JOURNAL).exists():
            raise GeneratorError(f"{directory} holds files already. Name an empty folder, or a new one, with --out.")
        self.directory = directory
        self.settings: dict[str, Any] | None = None  # what `begin` wrote last; None: there is nothing yet
        self.rejected: dict[int, str] = {}  # number to reason
        self._lines: dict[int, int] = {}  # number of a strip to where its line begins in the journal
        self._synced = time.monotonic()
        self._file = (directory / JOURNAL).open("a+b")
        try:
            lock(self._file, directory)
            self._read()
            if self.settings is None and others:
                raise GeneratorError(f"{directory / JOURNAL} is damaged: how its strips were drawn cannot be known. Empty the folder.")
            self._forget_what_is_not_there(progress)
            if not self._lines and not self.rejected and not others:
                self.settings = None  # they bind nobody
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def strips(self) -> int:
        return len(self._lines)

    def numbers(self) -> set[int]:
        """Of the strips that are there and of those that were rejected: the ones not to draw again."""
        return {*self._lines, *self.rejected}

    def begin(self, settings: dict[str, Any]) -> None:
        """Write down what holds for all strips: their "seed", and whatever else the next one who opens the folder should know."""
        self._append({"settings": settings})
        self.settings = settings

    def write(self, strip: WrittenStrip) -> None:
        self._lines[strip.number] = self._append(write_strip(self.directory, strip))

    def reject(self, number: int, reason: str) -> None:
        self._append({"number": number, "reason": reason})
        self.rejected[number] = reason

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest (see `write_manifest`), then do without the journal."""
        if hasattr(os, "sync"):
            os.sync()  # nobody looks again at whether the strips are there
        write_manifest(self.directory, manifest, self._entries())
        self.discard()

    def discard(self) -> None:
        """Forget what was written down. Where no strip was, the folder is empty again."""
        if os.name == "nt":  # an open file cannot go there; elsewhere its lock lasts until it is gone
            self._file.close()
        (self.directory / JOURNAL).unlink()
        self._file.close()

    def close(self) -> None:
        if self._file.closed:
            return
        if not self._lines and not self.rejected and not _holds_more(self.directory):
            self.discard()  # nothing came of it
        else:
            os.fsync(self._file.fileno())
            self._file.close()

    def _append(self, said: dict[str, Any]) -> int:
        at = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(said, allow_nan=False).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced >= SECONDS_BETWEEN_SYNCS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()
        return at

    def _read(self) -> None:
        at = self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(at)  # half a line, or the next one would not begin on its own
                break
            with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):  # a damaged line: its strip is drawn again
                said = json.loads(line)
                if "settings" in said:
                    self.settings = {**said["settings"], "seed": _counted(said["settings"]["seed"])}
                elif "reason" in said:
                    self.rejected[_counted(said["number"])] = str(said["reason"])
                else:
                    self._lines[_counted(said["number"])] = at
            at += len(line)
        if self.settings is None:
            self.rejected.clear()

    def _forget_what_is_not_there(self, progress: Progress | None) -> None:
        numbers = list(self._lines)
        for done, number in enumerate(numbers, start=1):
            said = self._said(number)
            if said.get("record") != self._name(number) or not is_there(self.directory, said["record"], str(said.get("sha256"))):
                del self._lines[number]
            if progress is not None:
                progress(done, len(numbers))

    def _name(self, number: int) -> str:
        return "" if self.settings is None else opaque_name(self.settings["seed"], number)

    def _said(self, number: int) -> dict[str, Any]:
        self._file.seek(self._lines[number])
        said: dict[str, Any] = json.loads(self._file.readline())
        return said

    def _entries(self) -> Iterator[dict[str, Any]]:
        """By record name."""
        for number in sorted(self._lines, key=self._name):
            yield self._said(number)


def _counted(number: object) -> int:
    """ValueError for what is no seed and no number of a strip."""
    whole = int(number)  # type: ignore[call-overload]
    if whole < 0:
        raise ValueError(number)
    return int(whole)


def _holds_more(directory: Path) -> bool:
    return any(file.name != JOURNAL for file in directory.iterdir())


def lock(file: IO[bytes], directory: Path) -> None:
    """Until the file is closed no other program gets the folder's lock; GeneratorError where one has it."""
    try:
        import fcntl
    except ImportError:  # Windows, where nothing keeps two programs apart
        return
    taken = False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the file is closed, by whatever ends this program
    except BlockingIOError:
        taken = True
    except OSError:  # a file system without locks
        pass
    if taken or os.fstat(file.fileno()).st_nlink == 0:
        raise GeneratorError(f"Another program writes into {directory}. Wait until it is done, or name another folder.")
