from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study import protocol
from study.errors import StudyError
from study.protocol import PURPOSE_BLIND, QUESTION_ORDERS, Protocol

protocols = st.builds(
    Protocol,
    margin=st.floats(0.01, 0.49),
    question_order=st.sampled_from(QUESTION_ORDERS),
    min_repeat_distance=st.integers(0, 1000),
    washout_days=st.integers(0, 3650),
)


@given(protocols)
def test_a_protocol_comes_back_from_its_dictionary_with_the_same_hash(one: Protocol) -> None:
    assert Protocol.from_dict(one.as_dict()) == one
    assert Protocol.from_dict(one.as_dict()).hash() == one.hash()


@given(protocols, protocols)
def test_two_protocols_share_a_hash_exactly_if_they_are_the_same(one: Protocol, other: Protocol) -> None:
    assert (one.hash() == other.hash()) == (one == other)


def test_the_hash_covers_the_words_of_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Protocol().hash()
    monkeypatch.setattr(protocol, "SCALE", ("real", "synthetic"))
    assert Protocol().hash() != before


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"margin": 0.0}, "margin"),
        ({"margin": 0.5}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"margin": "a tenth"}, "margin"),
        ({"question_order": "rhythm first"}, PURPOSE_BLIND),
        ({"min_repeat_distance": -1}, "min_repeat_distance"),
        ({"min_repeat_distance": 2.5}, "min_repeat_distance"),
        ({"washout_days": True}, "washout_days"),
    ],
)
def test_a_value_out_of_range_is_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(StudyError, match=named):
        Protocol(**values)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(StudyError, match="staircase"):
        Protocol.from_dict({"staircase": 1})
