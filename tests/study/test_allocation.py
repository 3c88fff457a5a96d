from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storage.truth import RealStrip
from study import allocation
from study.errors import StudyError

seeds = st.integers(0, 2**31 - 1)
CELLS = [(arm, rhythm) for arm in allocation.ARMS for rhythm in allocation.RHYTHMS]


# ---- composition ----


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_a_composition_adds_up_keeps_its_shares_and_drops_nothing(cases: int, synthetic: float, af: float, repeat: float) -> None:
    try:
        made = allocation.composition(cases, synthetic, af, repeat)
    except StudyError:
        assume(False)
    scored = cases - made.repeats
    assert made.cases == cases
    assert abs(made.number(arm="synthetic") - scored * synthetic) <= 0.5 + 1e-6
    assert abs(made.number(rhythm="AF") - scored * af) <= 0.5 + 1e-6
    assert (made.repeats == 0) == (repeat < 1e-11)
    for (arm, rhythm), number in made.scored.items():
        exact = scored * (synthetic if arm == "synthetic" else 1 - synthetic) * (af if rhythm == "AF" else 1 - af)
        assert abs(number - exact) < 2
        asked = (synthetic if arm == "synthetic" else 1 - synthetic) > 0 and (af if rhythm == "AF" else 1 - af) > 0
        assert (number > 0) == asked


def test_the_default_round_has_22_scored_cases_and_2_repeats() -> None:
    made = allocation.composition(24, 0.5, 0.5, 0.1)
    assert (made.repeats, made.number(arm="synthetic"), made.number(rhythm="AF")) == (2, 11, 11)
    assert made.shares() == {"synthetic": 0.5, "af": 0.5, "repeat": pytest.approx(2 / 24)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0.5, 0.5, 0.0), "cases"),
        ((2.5, 0.5, 0.5, 0.0), "cases"),
        ((24, 1.2, 0.5, 0.0), "synthetic_share"),
        ((24, 0.5, float("nan"), 0.0), "af_share"),
        ((24, 0.5, 0.5, 0.6), "repeat_share"),
        ((10, 0.01, 0.5, 0.0), "no synthetic NSR strip|no synthetic AF strip"),
    ],
)
def test_what_cannot_be_composed_is_refused_by_name(values: tuple[int, float, float, float], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        allocation.composition(*values)


@given(
    st.integers(4, 120),
    st.floats(0, 0.5),
    st.floats(0, 0.3),
    st.integers(0, 4),
    st.integers(0, 60),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_with_anchors_every_reader_reads_as_many_cases_and_the_pool_is_what_that_leaves(
    cases: int, repeat: float, earlier: float, controls: int, anchors: int, readings: int, readers: int
) -> None:
    assume(readings <= readers)
    try:
        made = allocation.composition(
            cases, 0.5, 0.5, repeat, earlier_share=earlier, controls=controls, anchors=anchors, readings=readings, readers=readers
        )
    except StudyError:
        assume(False)
    each = cases - made.repeats - made.earlier - 2 * controls
    rotating = sum(made.rotating.values())
    assert made.anchors == anchors
    assert rotating == readers * (each - anchors) // readings
    assert cases - 1 <= made.fewest_cases <= made.cases <= cases
    assert made.fewest_cases == cases or rotating * readings % readers
    assert made.pool == cases - each + anchors + rotating
    for cells, n in ((made.rotating, rotating), ({cell: made.scored[cell] - made.rotating.get(cell, 0) for cell in made.scored}, anchors)):
        for i, words in enumerate((allocation.ARMS, allocation.RHYTHMS)):
            assert all(abs(sum(number for cell, number in cells.items() if cell[i] == word) - n / 2) <= 0.5 for word in words)
        assert all(abs(number - n / 4) <= 1 for number in cells.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"controls": -1}, "controls"),
        ({"controls": 12}, "leave none of 24 cases to score"),
        ({"controls": True}, "controls"),
        ({"earlier_share": 0.6}, "earlier_repeats"),
        ({"readings": 2}, "readings: this counts where"),
        ({"anchors": 8}, "readings: None is out of range: the study has 4 readers"),
        ({"anchors": 8, "readings": 5}, "Choose a whole number from 1 to 4"),
        ({"anchors": 8, "readings": 0}, "readings"),
        ({"anchors": 23, "readings": 2}, "a reader scores 22 cases"),
        ({"anchors": -1, "readings": 2}, "anchors"),
        ({"anchors": 1, "readings": 2}, "Ask for 2 anchors or more"),
    ],
)
def test_what_cannot_rotate_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        allocation.composition(24, 0.5, 0.5, 0.1, **{"readers": 4, **values})


def test_the_planner_s_arithmetic() -> None:
    """24 cases: 2 repeats, 1 pair of controls, 20 scored: 8 anchors, 12 of a pool of 4 * 12 / 2."""
    made = allocation.composition(24, 0.5, 0.5, 0.1, controls=1, anchors=8, readings=2, readers=4)
    assert (made.repeats, made.anchors, made.rotating) == (2, 8, dict.fromkeys(made.rotating, 6))
    assert (made.fewest_cases, made.cases, made.pool) == (24, 24, 2 + 2 + 8 + 24)
    assert made.number() == 32
    everybody = allocation.composition(24, 0.5, 0.5, 0.1, anchors=22, readers=4)
    assert everybody == allocation.composition(24, 0.5, 0.5, 0.1)


# ---- which recordings ----


def real(n: int, *, used: frozenset[int] = frozenset(), patients: int | None = None) -> list[RealStrip]:
    """n recordings of each rhythm, of as many patients, ages 40 and up; AF twenty years older."""
    return [
        RealStrip(i + n * k, rhythm, f"p{(i + n * k) % (patients or 2 * n)}", 40.0 + i + 20 * k, False, i in used)
        for k, rhythm in enumerate(("NSR", "AF"))
        for i in range(n)
    ]


@given(seeds, st.integers(0, 10), st.integers(0, 10))
def test_a_choice_has_what_was_wanted_one_recording_a_patient(seed: int, nsr: int, af: int) -> None:
    chosen = allocation.choose_real(real(30, patients=40), {"NSR": nsr, "AF": af}, seed)
    assert [sum(strip.rhythm == rhythm for strip in chosen) for rhythm in ("NSR", "AF")] == [nsr, af]
    assert len({strip.patient for strip in chosen}) == nsr + af == len({strip.strip_id for strip in chosen})
    assert chosen == allocation.choose_real(real(30, patients=40), {"NSR": nsr, "AF": af}, seed)


def test_another_seed_chooses_others() -> None:
    chosen = {tuple(strip.strip_id for strip in allocation.choose_real(real(30), {"NSR": 5, "AF": 5}, seed)) for seed in range(20)}
    assert len(chosen) == 20


def test_every_af_recording_is_as_likely_as_another() -> None:
    counts = np.zeros(20)
    for seed in range(2000):
        for strip in allocation.choose_real(real(20), {"AF": 5}, seed):
            counts[strip.strip_id - 20] += 1
    assert abs(counts - 500).max() < 6 * np.sqrt(500 * 0.75)


@given(seeds)
def test_patients_not_shown_before_come_first(seed: int) -> None:
    chosen = allocation.choose_real(real(10, used=frozenset(range(6))), {"NSR": 5}, seed)
    assert sum(strip.patient_used for strip in chosen) == 1


def test_nsr_strips_are_of_the_af_strips_age_where_ages_are_known() -> None:
    differences = []
    for seed in range(50):
        chosen = allocation.choose_real(real(60), {"NSR": 8, "AF": 8}, seed)
        ages = {rhythm: [strip.age for strip in chosen if strip.rhythm == rhythm and strip.age is not None] for rhythm in ("NSR", "AF")}
        differences.append(float(np.mean(ages["AF"]) - np.mean(ages["NSR"])))
    assert np.mean(differences) < 8  # 20 without matching


def test_too_few_patients_are_counted_in_the_message() -> None:
    with pytest.raises(StudyError, match="6 recordings of different patients are needed, 5 "):
        allocation.choose_real(real(5), {"AF": 6}, 1)


# ---- repeats and orders ----


@given(seeds, st.lists(st.integers(1, 20), min_size=4, max_size=4), st.floats(0, 1))
def test_repeats_take_each_cell_by_its_share(seed: int, sizes: list[int], share: float) -> None:
    cells = [cell for cell, size in zip(CELLS, sizes, strict=True) for _ in range(size)]
    repeats = int(share * len(cells))
    chosen = allocation.choose_repeats(cells, repeats, seed)
    assert len(set(chosen)) == repeats == len(chosen)
    for arm in allocation.ARMS:
        of_arm = sum(cells[i][0] == arm for i in chosen)
        assert abs(of_arm - repeats * sum(cell[0] == arm for cell in cells) / len(cells)) <= 1 + 1e-9


@given(seeds, st.integers(1, 40), st.integers(0, 8), st.integers(0, 15), st.integers(1, 10**6))
@settings(deadline=None)
def test_an_order_is_a_permutation_that_keeps_the_distance(seed: int, n: int, repeats: int, distance: int, reader: int) -> None:
    assume(2 * repeats <= n)
    repeat_of = {n - 1 - i: i for i in range(repeats)}
    if repeats and n - repeats < distance:
        with pytest.raises(StudyError, match="cannot all stand"):
            allocation.order(n, repeat_of, distance, seed, reader)
        return
    order = allocation.order(n, repeat_of, distance, seed, reader)
    assert sorted(order) == list(range(n))
    assert all(order.index(repeat) - order.index(original) >= max(distance, 1) for repeat, original in repeat_of.items())
    assert order == allocation.order(n, repeat_of, distance, seed, reader)


def test_24_cases_with_2_repeats_keep_a_distance_of_10() -> None:
    assert len(allocation.order(24, {22: 0, 23: 1}, 10, 3, 1)) == 24


@pytest.mark.parametrize("repeat_of", [{}, {22: 0, 23: 1}])
def test_readers_orders_are_independent_and_seeds_matter(repeat_of: dict[int, int]) -> None:
    orders = {(seed, reader): tuple(allocation.order(24, repeat_of, 10, seed, reader)) for seed in range(10) for reader in range(1, 11)}
    assert len(set(orders.values())) == 100
    positions = np.array([np.argsort(order) for order in orders.values()])[:, 2:22]
    correlation = np.corrcoef(positions)[np.triu_indices(100, 1)]
    assert abs(correlation.mean()) < 0.02
    assert correlation.std() == pytest.approx(1 / np.sqrt(19), rel=0.1)


@pytest.mark.parametrize("distance", [0, 10, 20])
def test_arm_and_rhythm_cannot_be_told_from_the_position(distance: int) -> None:
    """A round of 24 with 2 repeats: over many readers each arm and rhythm is as frequent at every position as in the round."""
    cells = [cell for cell, size in zip(CELLS, (6, 5, 5, 6), strict=True) for _ in range(size)]
    readers = 900
    synthetic, af = np.zeros(24), np.zeros(24)
    for seed in range(readers // 30):
        again = allocation.choose_repeats(cells, 2, seed)
        all_cells = [*cells, *(cells[i] for i in again)]
        for reader in range(30):
            order = allocation.order(24, {22: again[0], 23: again[1]}, distance, seed, reader)
            synthetic += [all_cells[i][0] == "synthetic" for i in order]
            af += [all_cells[i][1] == "AF" for i in order]
    spread = np.sqrt(readers * 0.25)
    assert abs(synthetic - readers / 2).max() < 5 * spread
    assert abs(af - readers / 2).max() < 5 * spread


def test_the_walk_reaches_every_valid_order_alike() -> None:
    """Three cases and a repeat at distance 2: the 6 valid orders (of 24) come equally often."""
    counts: dict[tuple[int, ...], int] = {}
    for reader in range(3000):
        order = tuple(allocation.order(4, {3: 0}, 2, 1, reader))
        counts[order] = counts.get(order, 0) + 1
    valid = 6  # (original, repeat) at (1,3), (2,4) or (1,4), times two orders of the others
    assert len(counts) == valid
    assert max(abs(n - 3000 / valid) for n in counts.values()) < 5 * np.sqrt(3000 / valid)


@given(seeds, st.lists(st.integers(1, 8), min_size=4, max_size=4))
def test_anchors_leave_what_rotates_of_each_cell(seed: int, sizes: list[int]) -> None:
    cells = [cell for cell, size in zip(CELLS, sizes, strict=True) for _ in range(size)]
    rotating = {cell: size // 2 for cell, size in zip(CELLS, sizes, strict=True)}
    anchors = allocation.choose_anchors(cells, rotating, seed)
    assert [sum(cells[i] == cell for i in anchors) for cell in CELLS] == [size - size // 2 for size in sizes]
    assert anchors == allocation.choose_anchors(cells, rotating, seed)
    assert allocation.choose_anchors(cells, {}, seed) == list(range(len(cells)))


@given(seeds, st.integers(0, 15), st.integers(0, 15), st.integers(0, 30))
def test_earlier_cases_are_chosen_once_each_and_by_rhythm(seed: int, nsr: int, af: int, number: int) -> None:
    rhythms = ["NSR"] * nsr + ["AF"] * af
    if number > nsr + af:
        with pytest.raises(StudyError, match=f"earlier_repeats: {number} cases"):
            allocation.choose_earlier(rhythms, number, seed)
        return
    chosen = allocation.choose_earlier(rhythms, number, seed)
    assert len(chosen) == len(set(chosen)) == number
    assert abs(sum(rhythms[i] == "AF" for i in chosen) - number * af / max(nsr + af, 1)) < 1


def test_the_streams_of_rounds_opened_before_give_what_they_gave() -> None:
    """Values of the first release: a stored seed must give its round again."""
    assert allocation.order(8, {7: 0}, 3, 5, 2) == [6, 0, 5, 2, 7, 1, 3, 4]
    assert allocation.shuffled(8, 5) == [5, 7, 1, 4, 6, 2, 0, 3]
    assert (allocation.draw_seed(5, "NSR"), allocation.draw_seed(5, "AF"), allocation.gate_seed(5)) == (1171109835, 55676206, 2085364174)
    assert allocation.choose_repeats([cell for cell in CELLS for _ in range(3)], 4, 5) == [1, 3, 8, 9]


@given(seeds)
def test_the_purposes_of_a_seed_do_not_share_strips(seed: int) -> None:
    base = allocation.practice_seed(seed)
    made = [allocation.draw_seed(one, rhythm) for one in (seed, base) for rhythm in allocation.RHYTHMS]
    made += [allocation.gate_seed(seed), base, *(allocation.control_seed(seed, number) for number in range(3))]
    assert len(set(made)) == len(made)
    assert all(0 <= one < 2**31 for one in made)
    assert set(allocation.some_candidates(30, 12, seed)) <= set(range(30))
    assert len(allocation.some_candidates(30, 12, seed)) == 12


@given(seeds)
def test_a_round_s_streams_differ(seed: int) -> None:
    assert allocation.draw_seed(seed, "AF") != allocation.draw_seed(seed, "NSR")
    assert 0 <= allocation.draw_seed(seed, "AF") < 2**31
    assert sorted(allocation.shuffled(30, seed)) == list(range(30))
