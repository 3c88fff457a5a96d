"""Who reads which case: every case its readers, every reader an even share, and whoever comes later changes nobody's."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study import rotation
from study.allocation import ARMS, RHYTHMS, Cell

seeds = st.integers(0, 2**31 - 1)
CELLS = [(arm, rhythm) for arm in ARMS for rhythm in RHYTHMS]


def spread(dealt: dict[int, list[int]], cells: list[Cell], *words: str) -> int:
    """The most that two readers' numbers of cases with these words differ by."""
    numbers = [sum(set(words) <= set(cells[i]) for i in own) for own in dealt.values()]
    return max(numbers) - min(numbers)


@given(
    seeds,
    st.permutations([cell for cell in CELLS for _ in range(6)]),
    st.integers(0, 24),
    st.lists(st.integers(0, 2), min_size=1, max_size=9),
    st.data(),
)
def test_every_case_has_its_readers_and_every_reader_an_even_share(
    seed: int, all_cells: list[Cell], number: int, of_site: list[int], data: st.DataObject
) -> None:
    cells, sites = all_cells[:number], {10 + i: f"site {place}" for i, place in enumerate(of_site)}
    readings = data.draw(st.integers(1, len(sites)))
    dealt = rotation.deal(cells, sites, readings, seed)
    assert set(dealt) == set(sites)
    assert Counter(i for own in dealt.values() for i in own) == dict.fromkeys(range(len(cells)), readings)
    assert all(own == sorted(set(own)) for own in dealt.values())
    assert spread(dealt, cells) <= 1
    for words in (*CELLS, ("real",), ("synthetic",), ("AF",)):
        assert spread(dealt, cells, *words) <= 1
    assert spread(dealt, cells, "NSR") <= 2
    assert dealt == rotation.deal(cells, sites, readings, seed)


def pairs(dealt: dict[int, list[int]]) -> Counter[tuple[int, int]]:
    return Counter({(a, b): len(set(dealt[a]) & set(dealt[b])) for a, b in combinations(sorted(dealt), 2)})


@given(seeds)
def test_two_readers_of_a_case_come_from_two_sites_and_all_such_pairs_meet(seed: int) -> None:
    sites = {1: "North", 2: "North", 3: "South", 4: "South"}
    met = pairs(rotation.deal([cell for cell in CELLS for _ in range(8)], sites, 2, seed))
    assert met[1, 2] == met[3, 4] == 0
    assert all(6 <= met[a, b] <= 10 for a in (1, 2) for b in (3, 4))


@given(seeds)
def test_where_one_site_is_larger_no_more_of_its_pairs_meet_than_must(seed: int) -> None:
    """Three and two readers, 40 cases with two readings: South has 32 of the 80, so at most 32 cases can have both sites."""
    sites = {1: "North", 2: "North", 3: "North", 4: "South", 5: "South"}
    met = pairs(rotation.deal([cell for cell in CELLS for _ in range(10)], sites, 2, seed))
    assert sum(met[a, b] for a in (1, 2, 3) for b in (4, 5)) == 32
    assert min(met[a, b] for a in (1, 2, 3) for b in (4, 5)) >= 3


def test_seeds_matter() -> None:
    sites = {1: "North", 2: "North", 3: "South", 4: "South"}
    cells = [cell for cell in CELLS for _ in range(4)]
    assert len({str(rotation.deal(cells, sites, 2, seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize("readings", [1, 2, 3, 4])
def test_each_case_is_as_likely_for_each_reader(readings: int) -> None:
    sites = {1: "North", 2: "North", 3: "South", 4: "South"}
    cells = [cell for cell in CELLS for _ in range(3)]
    counts = Counter((reader, i) for seed in range(400) for reader, own in rotation.deal(cells, sites, readings, seed).items() for i in own)
    expected = 400 * readings / 4
    assert all(abs(counts[reader, i] - expected) < 5 * max(expected * (1 - readings / 4), 1) ** 0.5 for reader in sites for i in range(12))


@given(seeds, st.lists(st.lists(st.sampled_from(["North", "South"]), max_size=3), min_size=1, max_size=30), st.integers(0, 30))
def test_who_comes_later_reads_what_fewest_read(seed: int, readers: list[list[str]], number: int) -> None:
    cases = {100 + i: (RHYTHMS[i % 2], sites) for i, sites in enumerate(readers)}
    own = rotation.for_one_more(cases, number, "North", seed, 7)
    assert len(own) == len(set(own)) == min(number, len(cases))
    left = set(cases) - set(own)
    assert not own or not left or max(len(cases[case][1]) for case in own) <= min(len(cases[case][1]) for case in left)
    assert own == rotation.for_one_more(cases, number, "North", seed, 7)


def test_among_equals_rhythm_by_its_share_then_the_other_site() -> None:
    cases = {i: (RHYTHMS[i % 2], ["North"] if i < 10 else ["South"]) for i in range(20)}
    for seed in range(20):
        own = rotation.for_one_more(cases, 10, "North", seed, 7)
        assert sum(cases[case][0] == "AF" for case in own) == 5
        assert all(cases[case][1] == ["South"] for case in own)
