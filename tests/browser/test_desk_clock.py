"""Reading time and time away, with a clock that the test turns: pages/desk/clock.js."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("desk paper")]

SCRIPT = Path(__file__).parents[2] / "pages" / "desk" / "clock.js"
MINUTE = 60_000
# What happens to a reader, step by step: [milliseconds that pass, then what]; a sign of life, or one of the others.
RUN = """steps => {
  let now = 1000, hidden = false;
  performance.now = () => now;
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  const clock = new Clock();
  for (const [ms, what] of steps) {
    now += ms;
    if (what === "hide" || what === "show") hidden = what === "hide";
    if (what === "pause" || what === "go on") clock.pause(what === "pause");
    else clock.tick();
  }
  return clock.times();
}"""


@pytest.fixture(scope="module")
def page(chrome: Browser) -> Iterator[Page]:
    page = chrome.new_page()
    page.set_content(f"<script>{SCRIPT.read_text()}</script>")
    yield page
    page.close()


@pytest.mark.parametrize(
    ("steps", "reading", "away"),
    [
        ([[4000, "life"]], 4000, 0),
        ([[4000, "pause"], [9000, "go on"], [1000, "life"]], 5000, 9000),
        ([[4000, "hide"], [30_000, "show"], [500, "life"]], 4500, 30_000),
        ([[4000, "life"], [10 * MINUTE, "life"], [2000, "life"]], 6000 + MINUTE, 9 * MINUTE),  # after a minute without a sign, elsewhere
        ([[4000, "pause"], [1000, "hide"], [5000, "show"], [1000, "go on"], [1000, "life"]], 5000, 7000),
        ([[2 * MINUTE, "hide"], [MINUTE, "show"]], MINUTE, 2 * MINUTE),
    ],
)
def test_reading_is_with_the_strip_in_view_and_a_sign_of_life(page: Page, steps: list[list[object]], reading: int, away: int) -> None:
    assert page.evaluate(RUN, steps) == {"reading_ms": reading, "away_ms": away}


@settings(max_examples=60, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 5 * MINUTE), some.sampled_from(["life", "hide", "show", "pause", "go on"])), max_size=12))
def test_no_time_is_lost_or_counted_twice(page: Page, steps: list[tuple[int, str]]) -> None:
    times = page.evaluate(RUN, [list(step) for step in steps])
    assert times["reading_ms"] + times["away_ms"] == sum(ms for ms, _ in steps)
    assert times["reading_ms"] >= 0
    assert times["away_ms"] >= 0
