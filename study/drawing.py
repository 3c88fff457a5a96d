"""Drawing on Dask: a scheduler and a worker process of our own, or a scheduler at an address. Only the runner and the command line use it."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.cores import cores
from generator.request import GPU_BATCH, DrawRequest
from study.errors import Cancelled, StudyError
from study.turns import Missing, WorkerSlots, is_gpu

if TYPE_CHECKING:
    from distributed import Client, Event, Future

    from generator.sssd.draw import Drawn

SECONDS_A_CHUNK = 2.0  # strips are stored about this often, where a worker can draw one in it
LARGEST_CHUNK = 4 * GPU_BATCH  # strips
ATTEMPTS = 2  # a chunk whose worker dies is sent again: it draws the same strips
_NEWS = "blindstrip strips drawn"  # Dask topic: workers tell how far they are
_SECONDS_BETWEEN_NEWS = 0.25  # from a worker; also how often it asks whether to stop. A network may be evaluated a thousand times a second
_SECONDS_TO_CONNECT = 20
_SECONDS_ALONE = 30  # without any of our own workers, until new ones are started: a worker starts in fewer
_MOST_WORKERS = 8  # of 400 MB each
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chunk:
    """Some of a request's samples, and what to store with them."""

    samples: list[Drawn]
    provenance: dict[str, Any]
    seconds: float  # to draw them, on the worker
    operations: float  # floating-point operations of one evaluation of the network
    workers: int = 1  # that drew at the time


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
        self._places = WorkerSlots()
        self._heard: dict[str, float] = {}  # key of a chunk under way to the strips that its worker has drawn of it
        self._first_size = 1

    def warm_up(self, then: Callable[[], None] = lambda: None) -> None:
        """Connect in the background, so that the first job need not wait for it, and do `then`; what fails will be told to the first job."""

        def connect() -> None:
            try:
                self._connected()
                then()
            except Exception as error:
                _LOG.warning("Dask: %s", error)

        threading.Thread(target=connect, name="dask start", daemon=True).start()

    def draw(
        self,
        request: DrawRequest,
        *,
        first: int = 0,
        skip: Collection[int] = (),
        checkpoint: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        waiting: Callable[[str], None] = lambda words: None,
        told: Callable[[float], None] = lambda drawn: None,
    ) -> Iterator[Chunk]:
        """The samples first ... n - 1 of a request but those in `skip`, chunk by chunk as they are finished (not always in order), each exactly once.

        skip: numbers that are there already; checkpoint: folder on the workers, None: the one that ships; waiting: told while no worker is
        connected; told: the strips of this call that are drawn so far, with fractions of those under way, a few times a second: never fewer than
        before, and the last time all of them (without those in `skip`).
        Raises Cancelled, GeneratorError as drawing does, and StudyError where Dask does not answer or a worker died twice over one chunk (as often
        as it allows, where the scheduler is not ours).
        """
        client = self._connected()
        client.subscribe_topic(_NEWS, self._hear)  # each time: a client that has lost its scheduler and found it again hears nothing any more
        missing = Missing(first, request.n, skip)
        under_way = _UnderWay(client, self._places, self._heard, request, checkpoint)
        size, progress = self._first_size, _Forward(told, len(missing))
        with under_way:
            while missing or under_way:
                if cancelled():
                    raise Cancelled("Cancelled.")
                under_way.send(missing, size, waiting)
                under_way.wait()
                landed = under_way.landed()
                if landed:
                    size = _next_size(landed[-1])
                    self._first_size = GPU_BATCH if is_gpu(str(landed[-1].provenance["device"])) else 1
                    under_way.send(missing, size, waiting)  # before they are taken: the workers need not wait for who stores them
                progress(under_way.drawn)
                if landed:
                    self._places.step_back(under_way)
                    yield from landed

    def places(self) -> int:
        """Strips, or batches of them on GPUs, that workers draw at the same time. Raises StudyError where Dask does not answer."""
        return sum(_threads(self._connected()))

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

    def _hear(self, event: tuple[float, tuple[str, float]]) -> None:
        key, drawn = event[1]
        if key in self._heard:  # other runners draw on the same scheduler
            self._heard[key] = drawn


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


def _workers() -> int:
    """Half of the cores, each process with one thread: readers keep the other half, and OpenMP threads on busy cores only wait for each other.

    One where there is a GPU: each process would fill its memory with a network of its own.
    """
    if any(Path("/proc/driver/nvidia/gpus").glob("*")):
        return 1
    return min(max(cores() // 2, 1), _MOST_WORKERS)


# ---- one drawing ----


class _UnderWay:
    """The chunks of one drawing that workers are at; leaving its context stops them."""

    def __init__(self, client: Client, places: WorkerSlots, heard: dict[str, float], request: DrawRequest, checkpoint: str | None) -> None:
        from distributed import Event

        self.news = threading.Event()
        self._client, self._places, self._heard = client, places, heard
        self._request, self._checkpoint = request.as_dict(), checkpoint
        self._stop: Event = Event(f"stop-{uuid.uuid4()}", client=client)
        self._flying: dict[str, Future] = {}
        self._landed = 0  # strips
        self._threads, self._counted = 0, 0.0
        self._alone: float | None = None  # since when there has been no worker

    def __enter__(self) -> _UnderWay:
        return self

    def __exit__(self, *_: object) -> None:
        self._places.leave(self)
        for key in self._flying:
            self._heard.pop(key, None)
        if self._flying:  # a chunk that is being drawn asks for this event
            with suppress(Exception):
                self._stop.set()
                for future in self._flying.values():
                    future.cancel()

    def __len__(self) -> int:
        return len(self._flying)

    @property
    def drawn(self) -> float:
        """Strips drawn so far, fractions included."""
        return self._landed + sum(self._heard.get(key, 0.0) for key in self._flying)

    def send(self, missing: Missing, size: int, waiting: Callable[[str], None]) -> None:
        """Send chunks for the places that are this drawing's."""
        if time.monotonic() - self._counted > _SECONDS_BETWEEN_NEWS:
            self._threads, self._counted = sum(_threads(self._client, waiting)), time.monotonic()
            self._start_workers_anew()
        while missing:
            key = f"draw-{uuid.uuid4()}"
            if not self._places.take(self, key, max(self._threads, 1)):
                return
            first, count = missing.take(size)
            self._heard[key] = 0.0
            future = self._client.submit(draw_chunk, self._request, first, count, self._checkpoint, self._stop.name, key=key, pure=False)
            self._flying[key] = future
            future.add_done_callback(lambda _, key=key: self._done(key))

    def _start_workers_anew(self) -> None:
        """Where a worker of our own died and Dask's nanny has not started it again, which happens on a busy machine. What was sent waits for them."""
        if self._threads or self._client.cluster is None:
            self._alone = None
        elif self._alone is None:
            self._alone = self._counted
        elif self._counted - self._alone > _SECONDS_ALONE:
            self._alone = self._counted
            self._client.cluster.scale(0)  # the nannies of the dead
            self._client.cluster.scale(_workers())

    def wait(self) -> None:
        """Until there may be something to do."""
        self.news.wait(_SECONDS_BETWEEN_NEWS)
        self.news.clear()

    def landed(self) -> list[Chunk]:
        """The chunks that were finished since. Raises what kept one from it."""
        chunks = []
        for key in [key for key, future in self._flying.items() if future.done()]:
            chunks.append(replace(_result(self._flying[key]), workers=max(self._threads, 1)))
            del self._flying[key], self._heard[key]
            self._landed += len(chunks[-1].samples)
        return chunks

    def _done(self, key: str) -> None:
        self._places.give_back(self, key)
        self.news.set()


class _Forward:
    """Tells how many strips are drawn: a few times a second, and never fewer than before, though a chunk may have to begin again."""

    def __init__(self, told: Callable[[float], None], all_of_them: int) -> None:
        self._told, self._all = told, all_of_them
        self._last, self._at = 0.0, 0.0

    def __call__(self, drawn: float) -> None:
        end = drawn >= self._all
        if drawn > self._last and (end or time.monotonic() - self._at >= _SECONDS_BETWEEN_NEWS):
            self._last, self._at = drawn, time.monotonic()
            self._told(float(self._all) if end else drawn)


def _threads(client: Client, waiting: Callable[[str], None] = lambda words: None) -> list[int]:
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
        times = {1: "once", 2: "twice"}.get(error.allowed_failures + 1, f"{error.allowed_failures + 1} times")
        raise StudyError(
            f"The drawing process died {times} over the same strips, most likely for want of memory. Ask for fewer, or use another machine."
        ) from error
    except CancelledError as error:
        raise StudyError("The Dask scheduler went away while it drew. Check that it runs, then ask again.") from error
    return chunk


def _next_size(chunk: Chunk) -> int:
    at_once = GPU_BATCH if is_gpu(str(chunk.provenance["device"])) else 1
    batches = -(-len(chunk.samples) // at_once)
    each = max(chunk.seconds / max(batches, 1), 1e-3)
    return min(max(round(SECONDS_A_CHUNK / each), 1) * at_once, LARGEST_CHUNK)


# ---- on the worker ----


def draw_chunk(request: dict[str, Any], first: int, count: int, checkpoint: str | None, stop: str) -> Chunk:
    """What a worker does: `count` samples of a request from number `first`, until the event named `stop` is set. Tells how far it is under _NEWS."""
    from distributed import Event, get_worker

    from generator.sssd import draw

    worker = get_worker()
    asked, stopped, key = DrawRequest.from_dict(request), Event(stop), worker.get_current_task()
    model = draw.load(Path(checkpoint) if checkpoint else None)
    tell, stopping = _Seldom(), _Seldom()
    begun = time.perf_counter()
    samples = draw.draw(
        asked,
        first=first,
        count=count,
        checkpoint=model,
        progress=lambda drawn, _: worker.log_event(_NEWS, (key, drawn)) if tell() else None,
        cancelled=lambda: stopping() and stopped.is_set(),
    )
    return Chunk(samples, draw.provenance(asked, model), time.perf_counter() - begun, model.config.network.operations())


class _Seldom:
    """True when called for the first time in a quarter of a second."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        due = now - self._at >= _SECONDS_BETWEEN_NEWS
        if due:
            self._at = now
        return due
