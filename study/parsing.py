"""Recordings that are read by a process of their own, with limits on time and memory. What breaks a limit is refused, and the others go on.

One child (study.parsing_child) unpacks, lists and reads a whole import; one that is too slow or dies is replaced, and the next goes on after the
recording that did it. The child knows no database, and what it says is plain JSON, looked at before it is believed.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from generator.errors import Cancelled, Refused
from generator.formats.dropped import KINDS
from generator.recordings.candidate import Candidate
from generator.recordings.labels import RHYTHMS
from generator.strip import Counts, from_bytes
from study.errors import StudyError

SECONDS_TO_START = 120.0
SECONDS_TO_LIST = 300.0, 1800.0  # to unpack and list an upload; to list a folder, which may be MIMIC-IV-ECG with its 800,000 rows
SECONDS_A_RECORDING = 5.0  # of processor time, where the system keeps it
SECONDS_OF_SILENCE = 30.0  # by the clock: on a busy server 5 s of work take longer
SECONDS_IN_ALL, SECONDS_MORE_A_RECORDING = 600.0, 0.25  # of all recordings: so many, and so many more for each
COMMAND = (sys.executable, "-P", "-m", "study.parsing_child")  # -P: no module of the folder that is imported
LONGEST_LINE = 16 << 20  # bytes
TOO_SLOW, DIED = f"took longer than {SECONDS_OF_SILENCE:g} s to read", "ended the process that read it"
DAMAGED = "made the process that read it answer in no sense"

T = TypeVar("T")
_LOG = logging.getLogger("blindstrip.import")
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_END = 1.0
_LINES_AHEAD = 32  # that the child may be ahead of who stores what it reads
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE")


@dataclass(frozen=True)
class Read:
    """counts: the strip. rate: samples/s of the file. dropped: kinds of fields that stay in the file (generator.formats.dropped)."""

    counts: Counts
    rate: float
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """What a folder holds, and its recordings one after the other: each with its strip, or with why it cannot be one."""

    kind: str  # as generator.recordings.Listing has it
    total: int
    left_out: dict[str, int]
    results: Iterator[tuple[Candidate, Read | Refused]]


@dataclass(frozen=True)
class Asked:
    """What a child is to read. archive: a zip, to be unpacked into the directory first. start: recordings that are done already."""

    directory: Path
    labels: Path | None = None
    collection: str | None = None
    archive: Path | None = None
    start: int = 0

    @property
    def seconds_to_list(self) -> float:
        return SECONDS_TO_LIST[self.archive is None]

    def to_json(self) -> str:
        return json.dumps({name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()})

    @classmethod
    def from_json(cls, text: str) -> Asked:
        told = json.loads(text)
        return cls(**{**told, **{name: Path(told[name]) for name in ("directory", "labels", "archive") if told[name] is not None}})


@contextmanager
def read_apart(asked: Asked, cancelled: Callable[[], bool] | None = None) -> Iterator[Found]:
    """The recordings of a folder or of an upload. Raises StudyError for what is wrong with all of it, Cancelled once `cancelled` says so."""
    reading = _Reading(asked, cancelled)
    try:
        yield reading.found()
    finally:
        reading.child.end()


class _Reading:
    """One import: the child that reads now, and when all must be done."""

    def __init__(self, asked: Asked, cancelled: Callable[[], bool] | None) -> None:
        self.asked, self.cancelled = asked, cancelled
        self.ends = math.inf
        self.child = _Child(asked)

    def found(self) -> Found:
        listed = self._listed()
        kind, total, left_out = str(listed["kind"]), int(listed["total"]), dict(listed["left_out"])
        self.ends = time.monotonic() + SECONDS_IN_ALL + total * SECONDS_MORE_A_RECORDING
        return Found(kind, total, {str(reason): int(number) for reason, number in left_out.items()}, self._results(total))

    def _results(self, total: int) -> Iterator[tuple[Candidate, Read | Refused]]:
        for number in range(self.asked.start, total):
            candidate = self._candidate(number)
            try:
                told = _result(self._hear(SECONDS_OF_SILENCE))
            except _Broken as broken:
                yield candidate, Refused(broken.reason, f"{candidate.path}: {broken.reason}{broken.how}. Export the record again, or leave it out.")
                if number + 1 < total:
                    self._replace(number + 1)
            else:
                yield candidate, told

    def _candidate(self, number: int) -> Candidate:
        """Whom the child reads next. One that ends between two recordings is replaced, once."""
        try:
            return _candidate(self._hear(SECONDS_OF_SILENCE))
        except _Broken:
            self._replace(number)
        try:
            return _candidate(self._hear(SECONDS_OF_SILENCE))
        except _Broken as broken:
            raise StudyError(f"{self.asked.directory.name}: recording {number + 1} {broken.reason}{broken.how}. Import it in parts.") from None

    def _replace(self, start: int) -> None:
        self.child.end()
        self.child = _Child(replace(self.asked, archive=None, start=start))
        self._listed()

    def _listed(self) -> dict[str, Any]:
        """Waits until the child has unpacked and listed what it is to read."""
        try:
            self._hear(SECONDS_TO_START)
        except _Broken as broken:
            how = "does not start" if broken.reason == TOO_SLOW else f"ends at once{broken.how}"
            raise StudyError(f"The process that reads recordings {how}. Ask whoever runs the server: its log says more.") from None
        try:
            return self._hear(self.asked.seconds_to_list)
        except _Broken as broken:
            what = f"takes longer than {self.asked.seconds_to_list:g} s" if broken.reason == TOO_SLOW else f"{broken.reason}{broken.how}"
            raise StudyError(f"{self.asked.directory.name}: listing its recordings {what}. Import it in parts.") from None

    def _hear(self, seconds: float) -> dict[str, Any]:
        """The next line of the child. Raises _Broken after so many seconds of silence and at its end; StudyError for what it calls a problem."""
        ends = time.monotonic() + seconds
        while (line := self.child.line()) is None:
            if self.cancelled is not None and self.cancelled():
                raise Cancelled("Import cancelled.")
            if time.monotonic() > self.ends:
                raise StudyError(f"{self.asked.directory.name}: the import took too long and was stopped. What came in by then stays.")
            if time.monotonic() > ends:
                raise _Broken(TOO_SLOW)
        if not line.endswith(b"\n"):  # at the end of all, or cut short
            raise _Broken(DIED, f" ({self.child.end()})")
        told = _sound(lambda: dict(json.loads(line)))
        if "fault" in told:
            _LOG.error("A file could not be read, for a reason that its reader did not foresee.", extra={"more": told["fault"]})
        if "problem" in told:
            raise StudyError(str(told["problem"]))
        return told


class _Broken(Exception):
    """A child that is too slow, or no more."""

    def __init__(self, reason: str, how: str = "") -> None:
        super().__init__(reason)
        self.reason, self.how = reason, how


class _Child:
    """The process, and the lines it has said that nobody has heard yet."""

    def __init__(self, asked: Asked) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}  # no database, no password
        found = [str(Path(__file__).resolve().parents[1]), *filter(None, sys.path)]  # it imports what this process does
        environment |= {"PYTHONPATH": os.pathsep.join(found), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*COMMAND, asked.to_json()], env=environment, stdin=pipe, stdout=pipe, start_new_session=True)
        self._said: queue.Queue[bytes] = queue.Queue(_LINES_AHEAD)
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def line(self) -> bytes | None:
        """The next line, b"" at the end of all, None where there is none yet."""
        try:
            return self._said.get(timeout=_SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            return None

    def end(self) -> str:
        """Ends it, if it has not ended by itself; how it did."""
        self._ended.set()
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        status = self.process.returncode
        return f"signal {-status}" if status < 0 else f"status {status}"

    def _listen(self) -> None:
        assert self.process.stdout is not None
        line = b"-"
        while line and not self._ended.is_set():
            line = self.process.stdout.readline(LONGEST_LINE)
            while not self._ended.is_set():
                try:
                    self._said.put(line, timeout=_SECONDS_BETWEEN_LOOKS)
                    break
                except queue.Full:
                    continue


def _sound(made: Callable[[], T]) -> T:
    """What is made of a line. Raises _Broken for one that the child cannot have meant: whatever it read has changed it."""
    try:
        return made()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _Broken(DAMAGED) from error


def _candidate(told: dict[str, Any]) -> Candidate:
    return _sound(lambda: _named(told))


def _result(told: dict[str, Any]) -> Read | Refused:
    return _sound(lambda: _read(told))


def _named(told: dict[str, Any]) -> Candidate:
    one = dict(told["candidate"])
    if one["rhythm"] not in RHYTHMS:
        raise ValueError(f"the process that reads recordings names rhythm {one['rhythm']!r}")
    age, fold = one["age"], one["fold"]
    return Candidate(
        path=Path(one["path"]),
        record=str(one["record"]),
        collection=str(one["collection"]),
        rhythm=one["rhythm"],
        patient=str(one["patient"]),
        age=None if age is None else float(age),
        sex=None if one["sex"] is None else str(one["sex"]),
        fold=None if fold is None else int(fold),
    )


def _read(told: dict[str, Any]) -> Read | Refused:
    if "refused" in told:
        reason, message = told["refused"]
        return Refused(str(reason), str(message))
    return Read(from_bytes(base64.b64decode(told["counts"], validate=True)), float(told["rate"]), KINDS & set(map(str, told["dropped"])))
