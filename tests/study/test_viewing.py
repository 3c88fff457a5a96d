from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage import judgements
from storage.database import Database
from study import reading
from study.ecg_paper import GAINS, LAYOUTS, ORDERS, SPEEDS
from study.viewing import CHANGES, LONGEST_MS, Viewing
from tests.study.hospital import answer, just_now
from tests.world import make

FIELDS = list(Viewing.__dataclass_fields__)
SMALL = 64 * 1024  # bytes of JSON, at the very most
WHOLE = {
    "reading_ms": 41_250,
    "away_ms": 3_000,
    "pixels_per_mm": 7.87,
    "calibrated": True,
    "screen": "1920x1080x1.5",
    "layout": "3x4+1",
    "order": "Cabrera",
    "speed": 25.0,
    "gain": 10.0,
    "zoom": 1.0,
    "pinch": 1.0,
    "changes": [{"at_ms": 900, "what": "gain", "to": 20.0}, {"at_ms": 1_200, "what": "layout", "to": "6x2"}],
    "calipers": 3,
    "march_out": 1,
    "magnifier": 0,
    "printed": 0,
}

numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 10**30, 2**31, -1, 0, True, -0.0])
leaves = st.none() | st.booleans() | numbers | st.text() | st.text(min_size=30, max_size=50)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*FIELDS, "at_ms", "what", "to"]), inner),
    max_leaves=20,
)
changes = st.lists(st.fixed_dictionaries({}, optional={"at_ms": anything, "what": anything, "to": anything}))
browsers = anything | st.dictionaries(st.sampled_from(FIELDS), anything) | st.fixed_dictionaries({}, optional={"changes": changes})


def makes_sense(viewing: Viewing) -> bool:
    """By an independent route: what each field may be."""
    whole = [viewing.reading_ms, viewing.away_ms, viewing.calipers, viewing.march_out, viewing.magnifier, viewing.printed]
    broken = [viewing.pixels_per_mm, viewing.speed, viewing.gain, viewing.zoom, viewing.pinch]
    words = [viewing.screen, viewing.layout, viewing.order]
    return (
        all(one is None or (type(one) is int and 0 <= one <= LONGEST_MS) for one in whole)
        and all(one is None or (type(one) is float and math.isfinite(one) and 0 <= one <= 100) for one in broken)
        and all(one is None or (type(one) is str and 0 < len(one) <= 40 and "\0" not in one) for one in words)
        and type(viewing.calibrated) is bool
        and len(viewing.changes) <= CHANGES
        and all(
            set(one) == {"at_ms", "what", "to"}
            and type(one["at_ms"]) is int
            and type(one["what"]) is str
            and type(one["to"]) in (str, float, type(None))
            for one in viewing.changes
        )
    )


@given(browsers)
@example({"reading_ms": 10**400, "changes": [{"at_ms": 10**400, "what": "zoom", "to": 10**400}]})
@example({"pixels_per_mm": -(10**400)})
@example({"screen": "nul\0", "layout": "half a pair \ud83d", "order": "two\nlines"})
def test_whatever_a_browser_says_is_taken_as_far_as_it_makes_sense(said: Any) -> None:
    viewing = Viewing.from_browser(said)
    assert makes_sense(viewing)
    text = json.dumps(viewing.described(), allow_nan=False)
    assert json.loads(text) == viewing.described()
    assert len(text) < SMALL
    text.encode()
    assert Viewing.from_browser(asdict(viewing)) == viewing


@given(st.dictionaries(st.sampled_from(FIELDS), anything))
def test_one_bad_field_costs_no_other(said: dict[str, Any]) -> None:
    viewing = asdict(Viewing.from_browser({**WHOLE, **said}))
    assert {name: viewing[name] for name in WHOLE if name not in said} == {name: WHOLE[name] for name in WHOLE if name not in said}


def test_what_makes_sense_is_kept_as_it_was_said() -> None:
    assert asdict(Viewing.from_browser(WHOLE)) == WHOLE
    assert set(WHOLE) == set(FIELDS)


def test_the_paper_s_own_words_and_numbers_are_kept() -> None:
    for layout in LAYOUTS:
        assert Viewing.from_browser({"layout": layout}).layout == layout
    for order in ORDERS:
        assert Viewing.from_browser({"order": order}).order == order
    for speed in SPEEDS:
        assert Viewing.from_browser({"speed": speed}).speed == speed
    for gain in GAINS:
        assert Viewing.from_browser({"gain": gain}).gain == gain


@pytest.mark.parametrize("value", [True, "7", -1, float("nan"), float("inf"), LONGEST_MS + 1, pytest.param(10**400, id="huge"), [7], None])
def test_a_time_that_cannot_be_is_not_kept(value: Any) -> None:
    assert Viewing.from_browser({"reading_ms": value, "away_ms": 5}) == Viewing(away_ms=5)


@pytest.mark.parametrize("value", [1, "true", "yes", [True], None])
def test_only_true_says_that_a_screen_was_calibrated(value: Any) -> None:
    assert not Viewing.from_browser({"calibrated": value}).calibrated


def test_the_longest_that_a_browser_can_say_is_still_small() -> None:
    loud = {"at_ms": LONGEST_MS, "what": '"' * 40, "to": '"' * 40}
    for name, change in (('"' * 40, loud), ("\U0001f600" * 40, {**loud, "what": "\U0001f600" * 40})):
        viewing = Viewing.from_browser({**dict.fromkeys(("screen", "layout", "order"), name), "changes": [change] * 5_000})
        assert len(viewing.changes) <= CHANGES
        assert len(json.dumps(viewing.described())) < SMALL
    assert len(Viewing.from_browser({"changes": [loud] * 5_000}).changes) == CHANGES


def test_the_two_times_are_not_told_twice() -> None:
    described = Viewing.from_browser(WHOLE).described()
    assert set(FIELDS) - set(described) == {"reading_ms", "away_ms"}


@pytest.mark.parametrize(
    "said",
    [None, [], 7, "rubbish", {"reading_ms": 10**400}, {"screen": "nul\0", "changes": [None, {"at_ms": float("nan")}]}, {name: {} for name in FIELDS}],
)
def test_an_answer_is_stored_whatever_the_browser_says_of_viewing(db: Database, said: Any) -> None:
    world = make(db, cases=2)
    reader = world.people["reader"]
    case = reading.next_case(db, reader, world.round_id)
    assert case is not None
    assert reading.submit(db, reader, case.code, answer(), just_now(), viewing=Viewing.from_browser(said))
    with db.read() as session:
        (row,) = judgements.of_study(session, world.study_id)
    assert (row.realism, row.reading_ms, row.viewing) == (2, None, Viewing().described())


def test_how_a_strip_was_read_is_stored_with_its_answer(db: Database) -> None:
    world = make(db, cases=2)
    reader = world.people["reader"]
    for viewing in (Viewing.from_browser(WHOLE), None):
        case = reading.next_case(db, reader, world.round_id)
        assert case is not None
        assert reading.submit(db, reader, case.code, answer(), just_now(), viewing=viewing)
    assert case is not None
    assert reading.revise(db, reader, case.code, answer(5), just_now(), viewing=Viewing(reading_ms=9, calipers=2))
    with db.read() as session:
        first, plain, again = judgements.of_study(session, world.study_id, every_revision=True)
    assert (first.reading_ms, first.away_ms) == (41_250, 3_000)
    assert first.viewing == {name: value for name, value in WHOLE.items() if name not in ("reading_ms", "away_ms")}
    assert (plain.reading_ms, plain.away_ms, plain.viewing) == (None, None, Viewing().described())
    assert (again.revision, again.reading_ms, again.viewing["calipers"]) == (2, 9, 2)
