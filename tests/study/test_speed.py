from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from generator.request import DrawRequest, shipped_checkpoint
from storage import speeds
from storage.database import Database
from study import checkpoints, sign_in, speed
from study.drawing import Chunk, Drawer
from study.errors import NotAllowed
from study.people import Person
from study.roles import Role
from tests.joining import joined

REQUEST = DrawRequest("NSR", 8, 1)
SHIPPED = shipped_checkpoint()


@pytest.fixture
def rosa(db: Database) -> Person:
    person = sign_in.person_for(db, sign_in.set_up(db, "rosa", "Rosa", "correct horse", None))
    assert person
    return person


def _chunk(strips: int, seconds: float, steps: int = 10, device: str = "x86_64 CPU", workers: int = 1) -> Chunk:
    made = {"checkpoint": checkpoints.sha256(SHIPPED), "device": device, "steps": steps}
    samples: list[Any] = [None] * strips
    return Chunk(samples, made, seconds, operations=1e6, workers=workers)


def _noted(db: Database, *chunks: Chunk, request: DrawRequest = REQUEST) -> speeds.SpeedRow:
    with db.write() as session:
        for chunk in chunks:
            speed.note(session, chunk, request)
        row = speeds.newest(session)
    assert row
    return row


def test_a_chunk_tells_what_one_evaluation_takes(db: Database) -> None:
    row = _noted(db, _chunk(strips=4, seconds=2, workers=3))
    assert (row.seconds, row.device, row.workers, row.operations) == (pytest.approx(0.05), "x86_64 CPU", 3, 1e6)
    assert _noted(db, _chunk(2, 2, device="a GPU")).seconds == pytest.approx(2 / 64 / 10)  # it computed a whole batch


def test_guidance_is_not_taken_for_a_slow_machine(db: Database) -> None:
    row = _noted(db, _chunk(strips=1, seconds=1.6), request=DrawRequest("NSR", 8, 1, guidance=2))
    assert row.seconds == pytest.approx(0.1)


def test_a_short_chunk_changes_little_and_a_long_one_all(db: Database) -> None:
    first = _noted(db, _chunk(strips=1, seconds=1.0)).seconds
    after_a_hiccup = _noted(db, _chunk(strips=1, seconds=0.05)).seconds
    assert first > after_a_hiccup > 0.95 * first
    assert _noted(db, _chunk(strips=1, seconds=60)).seconds == pytest.approx(6, rel=0.01)


def test_nothing_measured_is_no_estimate(db: Database, rosa: Person) -> None:
    assert speed.estimate(db, rosa, REQUEST, SHIPPED) is None


def test_only_who_may_draw_is_told(db: Database, rosa: Person) -> None:
    reader = joined(db, rosa, "ben", "Ben", Role.READER, "North", "correct horse")
    with pytest.raises(NotAllowed):
        speed.estimate(db, reader, REQUEST, SHIPPED)


def test_the_device_that_drew_last_is_the_one_told(db: Database, rosa: Person) -> None:
    _noted(db, _chunk(1, 1), _chunk(64, 1, device="a GPU"))
    expected = speed.estimate(db, rosa, REQUEST, SHIPPED)
    assert expected
    assert (expected.device, expected.on_gpu, expected.measured) == ("a GPU", True, True)


class _Fake(Drawer):
    """Draws nothing, in given times."""

    def __init__(self, *seconds: float) -> None:
        super().__init__()
        self.seconds, self.asked = seconds, 0

    def places(self) -> int:
        return 2

    def draw(self, request: DrawRequest, **_: Any) -> Iterator[Chunk]:
        self.asked += 1
        yield from (_chunk(1, seconds, request.steps) for seconds in self.seconds)


def test_a_new_machine_is_measured_once_by_its_best_strip(db: Database, rosa: Person) -> None:
    drawer = _Fake(3.0, 0.4, 0.9)
    for _ in range(2):
        speed.measure(db, drawer, lambda: False)
    assert drawer.asked == 1
    expected = speed.estimate(db, rosa, DrawRequest("NSR", 1, 1, steps=8), SHIPPED)
    assert expected
    assert expected.seconds == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "less than 10 s"),
        (12.3, "about 12 s"),
        (43, "about 45 s"),
        (89, "about 90 s"),
        (170, "about 3 min"),
        (5300, "about 88 min"),
        (5500, "about 1.5 h"),
        (30_000, "about 8.5 h"),
        (7 * 86400, "about 7 days"),
    ],
)
def test_times_are_told_as_roughly_as_they_are_known(seconds: float, words: str) -> None:
    assert speed.in_words(seconds) == words


def _pace() -> tuple[speed.Pace, Callable[[float], None]]:
    at = [0.0]

    def wait(seconds: float) -> None:
        at[0] += seconds

    return speed.Pace(lambda: at[0]), wait


def test_the_time_left_follows_the_pace_of_the_last_minute() -> None:
    pace, wait = _pace()
    assert pace.seconds_left(40, 1000) is None  # 40 that were there already tell nothing
    wait(10)
    assert pace.seconds_left(50, 1000) == pytest.approx(950)
    for done in range(51, 171):  # somebody else began to draw: half as fast
        wait(2)
        left = pace.seconds_left(done, 1000)
    assert left == pytest.approx(2 * 830, rel=0.02)


def test_a_pace_that_nobody_has_seen_yet_is_not_told() -> None:
    pace, wait = _pace()
    pace.seconds_left(0, 10)
    wait(1)
    assert pace.seconds_left(1, 10) is None
    wait(5)
    assert pace.seconds_left(1, 10) == pytest.approx(54)
