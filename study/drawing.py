"""Drawing on Dask: a scheduler and a worker process of our own, or a scheduler at an address. Only the runner imports this."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.request import DrawRequest
from study.errors import Cancelled, StudyError

if TYPE_CHECKING:
    from distributed import Client, Future

    from generator.sssd.draw import Drawn

SECONDS_A_CHUNK = 2.0  # progress moves about this often, where the machine can draw four strips in it
_BATCHES = (64, 4)  # what draw() computes at a time on a GPU and on a CPU: chunks end where batches do, or work is done twice
_LARGEST_CHUNK = 256
ATTEMPTS = 3  # a chunk whose worker dies is sent again: it draws the same strips
_SECONDS_TO_CONNECT = 20
_MOST_WORKERS = 8  # of 400 MB each
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chunk:
    """Some of a request's samples, and what to store with them."""

    samples: list[Drawn]
    provenance: dict[str, Any]
    seconds: float  # to draw them, on the worker


class Drawer:
    """Sends drawing to Dask and takes chunks back. Safe to use from several threads: their chunks take turns on the workers.

    scheduler: address of a Dask scheduler whose workers have blindstrip installed (tcp://HOST:PORT); None: a scheduler and worker
    processes on this machine, reached with certificates made for this run, so that no other user of the machine can send it work.
    """

    def __init__(self, scheduler: str | None = None) -> None:
        self._scheduler = scheduler
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._closed = False

    def warm_up(self) -> None:
        """Connect in the background, so that the first job need not wait for it; what fails will be told to the first job."""

        def connect() -> None:
            try:
                self._connected()
            except Exception as error:
                _LOG.warning("Dask: %s", error)

        threading.Thread(target=connect, name="dask start", daemon=True).start()

    def draw(
        self,
        request: DrawRequest,
        *,
        first: int = 0,
        checkpoint: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        waiting: Callable[[str], None] = lambda words: None,
    ) -> Iterator[Chunk]:
        """The samples first ... n - 1 of a request, chunk by chunk as they are finished (not always in order), each exactly once.

        checkpoint: folder on the workers, None: the one that ships; waiting: told while no worker is connected.
        Raises Cancelled, GeneratorError as drawing does, and StudyError where Dask does not answer or a worker died three times over one chunk.
        """
        client = self._connected()
        yield from _rounds(client, request, first, checkpoint, cancelled, waiting)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._client is not None:
                _shut(self._client)
                self._client = None

    def _connected(self) -> Client:
        with self._lock:
            if self._closed:
                raise Cancelled("blindstrip is stopping.")
            if self._client is not None and self._client.status != "running":
                _shut(self._client)
                self._client = None
            if self._client is None:
                self._client = _connect(self._scheduler)
            return self._client


def _connect(scheduler: str | None) -> Client:
    import dask
    from distributed import Client, LocalCluster

    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
            "distributed.comm.timeouts.connect": f"{_SECONDS_TO_CONNECT}s",
            "distributed.scheduler.http.routes": [],  # nothing to see for other users of the machine
            "distributed.worker.http.routes": [],
        }
    )
    if scheduler:
        try:
            return Client(scheduler, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise StudyError(f"No Dask scheduler answers at {scheduler}. Start it (dask scheduler), or unset BLINDSTRIP_SCHEDULER.") from error
    cluster = LocalCluster(
        n_workers=_workers(),
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        protocol="tls://",
        security=True,
        dashboard_address=None,
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        memory_limit=0,
        silence_logs=logging.ERROR,
    )
    return Client(cluster, set_as_default=False)


def _shut(client: Client) -> None:
    cluster = client.cluster
    for closing in (client, cluster):
        if closing is not None:
            try:
                closing.close(timeout=5)
            except Exception:
                _LOG.debug("closing Dask", exc_info=True)


def _rounds(
    client: Client, request: DrawRequest, first: int, checkpoint: str | None, cancelled: Callable[[], bool], waiting: Callable[[str], None]
) -> Iterator[Chunk]:
    from distributed import Event

    following, size, flying = first, _BATCHES[-1], set[Any]()
    stop, news = Event(f"stop-{uuid.uuid4()}", client=client), threading.Event()
    with _cancelled_at_the_end(flying, stop):
        while following < request.n or flying:
            if cancelled():
                raise Cancelled("Cancelled.")
            threads = sum(_threads(client, waiting))
            while following < request.n and len(flying) < max(threads, 1):
                until = _end_of_chunk(following, size, request.n)
                future = client.submit(draw_chunk, request.as_dict(), following, until - following, checkpoint, stop.name, pure=False)
                future.add_done_callback(lambda _: news.set())
                flying.add(future)
                following = until
            news.wait(0.5)
            news.clear()
            for future in [future for future in flying if future.done()]:
                flying.discard(future)
                chunk = _result(future)
                size = _next_size(chunk)
                yield chunk


def _threads(client: Client, waiting: Callable[[str], None]) -> list[int]:
    try:
        threads = list(client.nthreads().values())
    except (OSError, TimeoutError) as error:
        raise StudyError("The Dask scheduler stopped answering. Check that it runs, then ask again.") from error
    if not threads:
        waiting("Waiting for a Dask worker to connect")
    return threads


def _result(future: Future) -> Chunk:
    from distributed import CancelledError
    from distributed.scheduler import KilledWorker

    try:
        chunk: Chunk = future.result()
    except KilledWorker as error:
        raise StudyError(
            f"The drawing process died {ATTEMPTS} times over the same strips, most likely for want of memory. Ask for fewer, or use another machine."
        ) from error
    except CancelledError as error:
        raise StudyError("The Dask scheduler went away while it drew. Check that it runs, then ask again.") from error
    return chunk


@contextmanager
def _cancelled_at_the_end(flying: set[Any], stop: Any) -> Iterator[None]:
    try:
        yield
    finally:
        if flying:  # a chunk that is being drawn asks for this event after each network evaluation
            with suppress(Exception):
                stop.set()
                for future in flying:
                    future.cancel()


def _next_size(chunk: Chunk) -> int:
    each = max(chunk.seconds / max(len(chunk.samples), 1), 1e-3)
    return max(1, min(round(SECONDS_A_CHUNK / each), _LARGEST_CHUNK))


def _end_of_chunk(first: int, size: int, n: int) -> int:
    batch = next((batch for batch in _BATCHES if size >= batch), _BATCHES[-1])
    return min(max((first + size) // batch, first // batch + 1) * batch, n)


# ---- on the worker ----


def draw_chunk(request: dict[str, Any], first: int, count: int, checkpoint: str | None, stop: str) -> Chunk:
    """What a worker does: `count` samples of a request from number `first`, until the event named `stop` is set."""
    from distributed import Event

    from generator.sssd import draw

    asked, stopped = DrawRequest.from_dict(request), Event(stop)
    model = draw.load(Path(checkpoint) if checkpoint else None)
    begun = time.perf_counter()
    samples = draw.draw(asked, first=first, count=count, checkpoint=model, cancelled=stopped.is_set)
    return Chunk(samples, draw.provenance(asked, model), time.perf_counter() - begun)


def _workers() -> int:
    """Half of the cores, each process with one thread: readers keep the other half, and OpenMP threads on busy cores only wait for each other."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // 2, 1), _MOST_WORKERS)
