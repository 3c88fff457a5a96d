"""Files over HTTP that are whole or not there: resumed by Range, checked by SHA-256, tried again where the network gives way."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import httpx

from generator.errors import Cancelled, GeneratorError

Progress = Callable[[float, float, str], None]  # done, total, what is being done

AT_ONCE = 4  # files
TRIES = 5  # in a row without a byte of news
TRIES_AT_FIRST = 2  # to reach a host of which nothing came yet
SECONDS_BEFORE_NEXT_TRY = 1.0  # doubled each time
TIMEOUT = httpx.Timeout(30.0, connect=20.0)
LOCAL = {"localhost", "127.0.0.1", "::1"}
_AGAIN = "The same command goes on where it stopped."
_PASSES = {408, 429, 500, 502, 503, 504}  # of the server's faults


class Missing(GeneratorError):
    """One file that cannot be had, whatever becomes of the others."""


class Downloads:
    """Files below one address. Raises GeneratorError for an address that is neither https nor on this machine, first of all."""

    def __init__(self, address: str, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None) -> None:
        try:
            _refuse_open(httpx.URL(address))
        except httpx.InvalidURL as error:
            raise GeneratorError(f"{address}: no address ({error}). Name one that begins with https://.") from error
        self.address = address
        self.bytes_read = 0
        self._progress = progress
        self._cancelled = cancelled or (lambda: False)
        self._stop = threading.Event()
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=True, event_hooks={"request": [lambda request: _refuse_open(request.url)]})
        self._lock = threading.Lock()

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def say(self, doing: str) -> None:
        if self._progress is not None:
            self._progress(0, 1, doing)

    def one(self, name: str, target: Path, sha256: str | None) -> None:
        """A file that is needed, told a megabyte at a time. sha256: None for one that nobody publishes a sum of."""
        megabyte = 1 << 20

        def told(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(done / megabyte, max(total, done) / megabyte, f"{name}, MB")

        self._whole(name, target, sha256, told)

    def many(self, files: Mapping[str, tuple[Path, str | None]]) -> dict[str, str]:
        """Files that can be missed: those that could not be had, with the reason. Each name: where to, and its published sum."""
        missing: dict[str, str] = {}
        with ThreadPoolExecutor(AT_ONCE) as threads:
            asked = {threads.submit(self._listed, name, target, sha256): name for name, (target, sha256) in files.items()}
            try:
                for done, future in enumerate(as_completed(asked), start=1):
                    try:
                        future.result()
                    except Missing as error:
                        missing[asked[future]] = str(error)
                    if self._progress is not None:
                        self._progress(done, len(files), "Fetching files")
            except BaseException:
                self._stop.set()
                threads.shutdown(cancel_futures=True)
                raise
        return missing

    # ---- one file ----

    def _listed(self, name: str, target: Path, sha256: str | None) -> None:
        if sha256 is None:
            raise Missing(f"{name}: not in the published list of sums, so nobody can check it.")
        self._whole(name, target, sha256, lambda done, total: None)

    def _whole(self, name: str, target: Path, sha256: str | None, told: Callable[[int, int], None]) -> None:
        """The file under its name, or not at all. One whose sum is wrong is asked for once more from its first byte."""
        if target.is_file() and (sha256 is None or _sum(target) == sha256):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        for _ in range(2):
            self._complete(name, part, told)
            if sha256 is None or _sum(part) == sha256:
                part.replace(target)
                return
            part.unlink()
        raise Missing(f"{self.address}{name}: its SHA-256 is not the published one, twice. Try later, or another mirror.")

    def _complete(self, name: str, part: Path, told: Callable[[int, int], None]) -> None:
        """Ask until the server has sent the last byte. Raises Missing, GeneratorError where the network is gone, Cancelled."""
        url, tries, most = self.address + quote(name), 0, _size(part)
        while True:
            size = _size(part)
            try:
                self._rest(name, url, part, size, told)
                return
            except (httpx.HTTPError, _Busy) as error:
                tries = 1 if _size(part) > most else tries + 1
                most = max(most, _size(part))
                unreachable = isinstance(error, httpx.ConnectError) and not self.bytes_read
                if tries >= (TRIES_AT_FIRST if unreachable else TRIES):
                    raise GeneratorError(_no_network(url, error)) from error
                self._wait(SECONDS_BEFORE_NEXT_TRY * 2 ** (tries - 1))

    def _rest(self, name: str, url: str, part: Path, size: int, told: Callable[[int, int], None]) -> None:
        with self._client.stream("GET", url, headers={"Accept-Encoding": "identity", **({"Range": f"bytes={size}-"} if size else {})}) as answer:
            if answer.status_code == 416:  # nothing after these bytes
                if answer.headers.get("Content-Range") == f"bytes */{size}":
                    return
                part.unlink()
                raise _Busy("the file is shorter than what came before")
            if answer.status_code in _PASSES:
                raise _Busy(f"the server answers {answer.status_code}")
            if answer.status_code not in (200, 206):
                raise Missing(f"{url}: the server answers {answer.status_code} {answer.reason_phrase}. Try later, or another mirror.")
            resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {size}-")
            if answer.status_code == 206 and not resumed:
                part.unlink()
                raise _Busy("the server sends another part than asked for")
            done = size if resumed else 0
            total = done + int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_raw():
                    file.write(chunk)
                    done += len(chunk)
                    with self._lock:
                        self.bytes_read += len(chunk)
                    self._go_on()
                    told(done, total)
                file.flush()
                os.fsync(file.fileno())

    def _go_on(self) -> None:
        if self._stop.is_set() or self._cancelled():
            raise Cancelled("Fetching cancelled. What was fetched stays, and the next try goes on from there.")

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._go_on()
            self._stop.wait(min(0.2, seconds))


class _Busy(Exception):
    """An answer that another try may better."""


def _refuse_open(url: httpx.URL) -> None:
    """Raises GeneratorError: what comes over plain http can be read and changed on the way, its sums with it."""
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOCAL):
        raise GeneratorError(f"{url}: recordings come over https only (http from this machine itself). Name an address that begins with https://.")


def _no_network(url: str, error: Exception) -> str:
    what = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return f"No network: {httpx.URL(url).host} cannot be reached ({what}). Fetch on a machine that can, and import the folder here. {_AGAIN}"
    return f"{url}: {TRIES} tries failed, the last with: {what}. Try later. {_AGAIN}"


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _sum(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
