from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as some

from study.turns import GPU_BATCH, Missing, WorkerSlots


@given(n=some.integers(1, 300), first=some.integers(0, 40), skip=some.sets(some.integers(0, 320)), size=some.integers(1, 256))
def test_each_missing_number_is_handed_out_once(n: int, first: int, skip: set[int], size: int) -> None:
    missing = Missing(first, n, skip)
    taken: list[int] = []
    while missing:
        start, count = missing.take(size)
        assert 1 <= count <= size
        taken += range(start, start + count)
    assert taken == [number for number in range(first, n) if number not in skip]


def test_large_runs_end_where_a_gpus_batches_do() -> None:
    missing = Missing(3, 300, ())
    ends = []
    while missing:
        start, count = missing.take(100)
        ends.append(start + count)
    assert ends[-1] == 300
    assert all(end % GPU_BATCH == 0 for end in ends[:-1])


class _Drawing:
    """Asks for places until it is refused, as a drawing does that has much to draw."""

    def __init__(self, places: WorkerSlots, among: int) -> None:
        self.news = threading.Event()
        self.held: list[str] = []
        self._places, self._among, self._asked = places, among, 0

    def ask(self) -> None:
        self.news.clear()
        while self._places.take(self, str(self._asked), self._among):
            self.held.append(str(self._asked))
            self._asked += 1

    def give_back(self) -> None:
        self._places.give_back(self, self.held.pop(0))


def test_a_drawing_that_comes_late_takes_turns_with_one_that_is_under_way() -> None:
    places = WorkerSlots()
    long, short = _Drawing(places, 1), _Drawing(places, 1)
    long.ask()
    short.ask()
    order = []
    for _ in range(6):
        (long if long.held else short).give_back()
        for one in (long, short):
            if one.news.is_set():
                one.ask()
        for one in (long, short):  # whoever else looks in finds nothing
            one.ask()
        order.append("long" if long.held else "short")
    assert order[1:] in (["long", "short"] * 2 + ["long"], ["short", "long"] * 2 + ["short"])


def test_the_workers_are_shared_evenly() -> None:
    places = WorkerSlots()
    first, second, third = (_Drawing(places, 6) for _ in range(3))
    first.ask()
    assert len(first.held) == 6
    for _ in range(12):  # chunks that are finished, one after another, wherever most are
        for late in (second, third):
            late.ask()
        max((first, second, third), key=lambda one: len(one.held)).give_back()
        for one in (first, second, third):
            if one.news.is_set():
                one.ask()
    assert [len(one.held) for one in (first, second, third)] == [2, 2, 2]


def test_nobody_waits_for_who_is_busy_or_gone() -> None:
    places = WorkerSlots()
    gone, busy, here = (_Drawing(places, 1) for _ in range(3))
    for one in (gone, busy, here):
        one.ask()
    places.leave(gone)
    places.step_back(busy)
    assert here.news.is_set()
    here.ask()
    assert here.held
    gone.give_back()  # news of a chunk that it left behind
    busy.ask()
    assert not busy.held
