"""Order diagnostics: the runs test is exact, planted patterns are found, and arms stay out before unblinding."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.sandbox.stats.runs import runstest_1samp

from storage import studies as stored
from storage.database import Database
from study import reading, unblinding
from study.errors import NotAllowed
from study.order_diagnostics import as_plain, order_diagnostics, runs_test
from study.protocol import PURPOSE_BLIND, Protocol
from study.rounds import open_round
from study.studies import create_study
from tests import ending
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate


@given(st.lists(st.booleans(), min_size=2, max_size=8))
def test_the_runs_test_is_what_counting_every_order_gives(labels: list[bool]) -> None:
    found = runs_test(labels)
    if len(set(labels)) == 1:
        assert (found.runs, found.p_value) == (1, None)
        assert found.reason
        return
    runs = Counter(1 + sum(a != b for a, b in pairwise(order)) for order in set(permutations(labels)))
    likely = sum(number for number in runs.values() if number <= runs[found.runs])
    assert found.p_value == pytest.approx(likely / sum(runs.values()))
    assert found.expected == pytest.approx(sum(r * number for r, number in runs.items()) / sum(runs.values()))


@pytest.mark.parametrize("seed", range(5))
def test_for_long_orders_it_is_the_normal_approximation_of_statsmodels(seed: int) -> None:
    labels = np.random.default_rng(seed).random(400) < 0.5
    assert runs_test(labels.tolist()).p_value == pytest.approx(runstest_1samp(labels.astype(int), cutoff=0.5, correction=False)[1], abs=0.06)


def test_blocks_and_alternation_are_found() -> None:
    assert (runs_test([True] * 10 + [False] * 10).p_value or 1) < 0.001
    assert (runs_test([True, False] * 10).p_value or 1) < 0.001
    assert runs_test([]).reason


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def opened(house: Hospital, protocol: Protocol | None = None) -> tuple[int, int]:
    add_recordings(house.db, 20)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", protocol or Protocol(), house.reader_ids)
    return study_id, open_round(house.db, house.coordinator, study_id, house.plan(cases=24, repeat_share=0.1), Drawer(), gate=open_gate)


def test_a_round_s_orders_are_described_as_they_are_stored(house: Hospital) -> None:
    study_id, _round_id = opened(house)
    [found] = order_diagnostics(house.db, house.coordinator, study_id)
    with house.db.read() as session:
        cases = {case.id: case for case in stored.cases(session, study_id)}
        places = stored.placements(session, study_id)
    assert found.round == 1
    assert [(row.reader, row.phase, row.label) for row in found.labels] == [(name, 1, "AF") for name in ("Ada", "Ben", "Cai", "Dot")]
    for reader, row, repeats in zip(house.readers, found.labels, found.repeats, strict=True):
        order = [one.case_id for one in places if one.reader_id == reader.id]
        is_af = [cases[case].rhythm == "AF" for case in order]
        assert row.runs == 1 + sum(a != b for a, b in pairwise(is_af))
        assert (row.cases, row.share) == (24, pytest.approx(np.mean(is_af)))
        assert row.blocks == pytest.approx([np.mean(is_af[i : i + 6]) for i in range(0, 24, 6)])
        apart = [order.index(case) - order.index(cases[case].repeat_of or 0) for case in order if cases[case].repeat_of]
        assert (repeats.repeats, repeats.nearest, repeats.farthest, repeats.asked) == (2, min(apart), max(apart), 10)
    first = Counter(next(one.case_id for one in places if one.reader_id == reader.id) for reader in house.readers)
    lowest = min(cases)
    assert {(row.case + lowest - 1, row.readers) for row in found.first} == set(first.items())
    [correlation] = found.correlation
    assert correlation.pairs == 6
    assert correlation.expected_sd == pytest.approx(1 / np.sqrt(23))
    assert correlation.lowest is not None
    assert correlation.highest is not None
    assert -1 < correlation.lowest <= (correlation.mean or 0) <= correlation.highest < 0.9


def test_arms_are_told_after_unblinding_alone(house: Hospital) -> None:
    study_id, round_id = opened(house)
    before = as_plain(order_diagnostics(house.db, house.coordinator, study_id))
    assert "synthetic" not in json.dumps(before)
    assert {row["arm"] for row in before[0]["first"]} == {None}
    case = reading.next_case(house.db, house.readers[0], round_id)
    assert case is not None
    reading.submit(house.db, house.readers[0], case.code, answer(), just_now())
    ending.ask(house.db, house.coordinator, study_id)
    assert "synthetic" not in json.dumps(as_plain(order_diagnostics(house.db, house.coordinator, study_id)))
    unblinding.confirm(house.db, house.researcher, study_id)
    [after] = order_diagnostics(house.db, house.coordinator, study_id)
    assert Counter(row.label for row in after.labels) == {"AF": 4, "synthetic": 4}
    assert all(0.4 <= row.share <= 0.6 for row in after.labels)
    assert {row.arm for row in after.first} <= {"real", "synthetic"}
    assert [row for row in as_plain([after])[0]["labels"] if row["label"] == "AF"] == before[0]["labels"]


def test_both_parts_of_a_purpose_blind_round_have_orders_of_their_own(house: Hospital) -> None:
    study_id, _round_id = opened(house, Protocol(question_order=PURPOSE_BLIND))
    [found] = order_diagnostics(house.db, house.coordinator, study_id)
    assert Counter(row.phase for row in found.labels) == {1: 4, 2: 4}
    assert all((row.nearest or 0) >= 10 for row in found.repeats)
    assert [one.phase for one in found.correlation] == [1, 2]
    assert {row.of for row in found.first} == {4}


def test_readers_do_not_see_the_orders(house: Hospital) -> None:
    study_id, _round_id = opened(house)
    with pytest.raises(NotAllowed):
        order_diagnostics(house.db, house.readers[0], study_id)
