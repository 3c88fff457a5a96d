from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.database import Database
from study import screens
from study.errors import NotAllowed, StudyError
from study.screens import HIGHEST, LOWEST, calibrate, scales
from tests.study.hospital import Hospital, hospital


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def test_a_screen_that_was_never_calibrated_has_no_scale(house: Hospital) -> None:
    assert scales(house.db, house.readers[0]) == {}


def test_scales_are_kept_for_each_screen_of_each_reader(house: Hospital) -> None:
    ada, ben = house.readers[:2]
    calibrate(house.db, ada, "1920x1080x1", 3.78)
    calibrate(house.db, ada, "2560x1440x1.5", 5.67)
    calibrate(house.db, ben, "1920x1080x1", 4.5)
    assert scales(house.db, ada) == {"1920x1080x1": 3.78, "2560x1440x1.5": 5.67}
    assert scales(house.db, ben) == {"1920x1080x1": 4.5}
    assert scales(house.db, house.readers[2]) == {}


def test_the_newest_calibration_of_a_screen_counts(house: Hospital) -> None:
    ada = house.readers[0]
    for scale in (3.0, 9.5, 4.25):
        calibrate(house.db, ada, "1920x1080x1", scale)
    calibrate(house.db, ada, "another", 7)
    assert scales(house.db, ada) == {"1920x1080x1": 4.25, "another": 7.0}
    assert all(type(scale) is float for scale in scales(house.db, ada).values())


@pytest.mark.parametrize("scale", [LOWEST, HIGHEST, 8])
def test_every_screen_from_a_projector_to_a_telephone_will_do(house: Hospital, scale: float) -> None:
    calibrate(house.db, house.readers[0], "x", scale)
    assert scales(house.db, house.readers[0]) == {"x": float(scale)}


@pytest.mark.parametrize("scale", [0, -3.78, 1.49, 40.01, 1e300])
def test_a_scale_out_of_range_is_refused_with_the_remedy(house: Hospital, scale: float) -> None:
    with pytest.raises(StudyError, match=r"pixels for a millimetre cannot be\. Make the frame as wide as the card, 85\.6 mm") as refused:
        calibrate(house.db, house.readers[0], "x", scale)
    assert len(str(refused.value)) < 250
    assert scales(house.db, house.readers[0]) == {}


@pytest.mark.parametrize("scale", [None, "3.78", True, [3.78], {}, float("nan"), float("inf"), float("-inf"), 3j, pytest.param(10**400, id="huge")])
def test_a_scale_that_is_no_number_is_refused_with_the_remedy(house: Hospital, scale: Any) -> None:
    with pytest.raises(StudyError, match=r"scale.*Reload the page and calibrate again"):
        calibrate(house.db, house.readers[0], "x", scale)
    assert scales(house.db, house.readers[0]) == {}


@pytest.mark.parametrize("name", ["", "x" * 65, "1920 x 1080", "écran", "x\n", "a'b", "<b>", None, 7, "nul\0"])
def test_a_screen_that_no_browser_names_is_refused_with_the_remedy(house: Hospital, name: Any) -> None:
    with pytest.raises(StudyError, match=r"name for this screen.*Reload the page and calibrate again"):
        calibrate(house.db, house.readers[0], name, 3.78)
    assert scales(house.db, house.readers[0]) == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.text(max_size=70) | st.none() | st.integers(), st.floats() | st.integers() | st.none() | st.text(max_size=3))
@example("x", 10**400)
@example("x", -(10**400))
def test_whatever_comes_is_kept_or_refused_in_words(house: Hospital, name: Any, scale: Any) -> None:
    before = scales(house.db, house.readers[0])
    try:
        calibrate(house.db, house.readers[0], name, scale)
    except StudyError:
        assert scales(house.db, house.readers[0]) == before
    else:
        assert scales(house.db, house.readers[0])[name] == scale
        assert LOWEST <= scale <= HIGHEST


def test_only_readers_calibrate(house: Hospital) -> None:
    for person in (house.coordinator, house.researcher, house.admin):
        with pytest.raises(NotAllowed):
            calibrate(house.db, person, "x", 3.78)
        with pytest.raises(NotAllowed):
            scales(house.db, person)


def test_the_card_is_an_id_1_card() -> None:
    assert screens.CARD_MM == 85.60
