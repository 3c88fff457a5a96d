"""What is left to draw, and whose turn it is to have it drawn."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Protocol

from generator.request import GPU_BATCH


def is_gpu(device: str) -> bool:
    """Of a device as provenance names it: a GPU's own name, or a processor's and "CPU"."""
    return not device.endswith(" CPU")


class WaitingDrawing(Protocol):
    """Who waits for a place: `news` is set when they should ask again."""

    news: threading.Event


class Missing:
    """The numbers first ... n - 1 without those to skip, handed out from the lowest on in runs of neighbours."""

    def __init__(self, first: int, n: int, skip: Collection[int]) -> None:
        there = frozenset(skip)
        self._numbers = [number for number in range(first, n) if number not in there]
        self._taken = 0

    def __len__(self) -> int:
        return len(self._numbers) - self._taken

    def take(self, size: int) -> tuple[int, int]:
        """(first, count) of the next run, at most `size` long; one as long as a GPU's batch ends where a batch does,
        or work is done twice."""
        first = self._numbers[self._taken]
        end = (first + size) // GPU_BATCH * GPU_BATCH if size >= GPU_BATCH else first + size
        count = 1
        while count < len(self) and first + count < end and self._numbers[self._taken + count] == first + count:
            count += 1
        self._taken += count
        return first, count


class WorkerSlots:
    """The workers' places, handed out in turn: to the drawing that holds fewest, among those to the one that has waited longest.

    No more chunks are sent than are drawn at once. Of chunks that wait on a worker, Dask would count its death against all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[WaitingDrawing, set[str]] = {}
        self._waiting: dict[WaitingDrawing, None] = {}  # in the order in which they came

    def take(self, asking: WaitingDrawing, key: str, places: int) -> bool:
        """Whether it is the turn of who asks, who then holds a place under this key; otherwise they are woken when they should ask again."""
        with self._lock:
            self._waiting[asking] = None
            taken = sum(len(keys) for keys in self._held.values())
            if taken >= places or self._next() is not asking:
                return False
            del self._waiting[asking]
            self._held.setdefault(asking, set()).add(key)
            return True

    def give_back(self, holder: WaitingDrawing, key: str) -> None:
        with self._lock:
            self._held.get(holder, set()).discard(key)
            self._wake()

    def step_back(self, asking: WaitingDrawing) -> None:
        """They are busy with something else: others need not wait for them."""
        with self._lock:
            self._waiting.pop(asking, None)
            self._wake()

    def leave(self, holder: WaitingDrawing) -> None:
        with self._lock:
            self._held.pop(holder, None)
            self._waiting.pop(holder, None)
            self._wake()

    def _next(self) -> WaitingDrawing:
        return min(self._waiting, key=lambda one: len(self._held.get(one, ())))

    def _wake(self) -> None:
        if self._waiting:
            self._next().news.set()
