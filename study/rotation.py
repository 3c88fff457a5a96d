"""Which of a round's rotating cases each reader reads, where readers cannot read everything: anchors for all, the others in shares.

Pure functions of their arguments and a seed. Shares are balanced incomplete blocks as far as whole numbers allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from study.allocation import LATER, ROTATION, Cell

# neighbours share an arm or a rhythm, so that slots dealt in this order are even in each cell, each arm and AF
_IN_TURN: tuple[Cell, ...] = (("real", "NSR"), ("real", "AF"), ("synthetic", "AF"), ("synthetic", "NSR"))


def deal(cells: Sequence[Cell], sites: Mapping[int, str], readings: int, seed: int) -> dict[int, list[int]]:
    """Reader id -> the rotating cases (indexes into cells, ascending) that this reader reads; each case goes to `readings` readers.

    sites: of each reader. Any two readers' numbers differ by at most 1: of all cases, of each cell (arm, rhythm), of each arm and of AF. The
    readers of a case come from as many sites as there are, as far as the sites' readers suffice, and pairs of readers meet about equally often.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(ROTATION,)))
    readers = [int(reader) for reader in rng.permutation(sorted(sites))]
    met: Counter[tuple[int, int]] = Counter()
    dealt: dict[int, list[int]] = {reader: [] for reader in readers}
    first = 0  # slot
    for cell in _IN_TURN:
        cases = [int(i) for i in rng.permutation([i for i, of in enumerate(cells) if of == cell])]
        slots = range(first, first + len(cases) * readings)
        left = Counter(
            {reader: len(range(slots.start + (at - slots.start) % len(readers), slots.stop, len(readers))) for at, reader in enumerate(readers)}
        )
        for done, case in enumerate(cases):
            for reader in _readers_of_a_case(left, len(cases) - done, readings, sites, met, rng):
                dealt[reader].append(case)
        first = slots.stop
    return {reader: sorted(cases) for reader, cases in dealt.items()}


def for_one_more(cases: Mapping[int, tuple[str, Sequence[str]]], number: int, site: str, seed: int, reader_id: int) -> list[int]:
    """The rotating cases (ids, ascending) of a reader who comes later: those given to the fewest readers.

    cases: {id: (rhythm, the sites of its readers)}. Among equals each rhythm by its share of the pool, then cases that nobody of this reader's
    site reads, then at random. Arms are left to chance: they are not read again before unblinding.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LATER, reader_id)))
    left = [int(case) for case in rng.permutation(sorted(cases))]
    size = Counter(rhythm for rhythm, _sites in cases.values())
    chosen: list[int] = []
    taken: Counter[str] = Counter()
    for _ in range(min(number, len(left))):
        # the first of equals: left is shuffled
        best = min(
            left, key=lambda case: (len(cases[case][1]), (taken[cases[case][0]] + 0.5) / size[cases[case][0]], list(cases[case][1]).count(site))
        )
        left.remove(best)
        chosen.append(best)
        taken[cases[best][0]] += 1
    return sorted(chosen)


def _readers_of_a_case(
    left: Counter[int], cases_left: int, readings: int, sites: Mapping[int, str], met: Counter[tuple[int, int]], rng: np.random.Generator
) -> list[int]:
    """Takes the readers of one case out of what each has `left` to read in this cell.

    Nobody can have more left than there are cases; who has as many must read this one. So what is left can always be dealt out.
    """
    must = [reader for reader in left if left[reader] == cases_left]
    chosen: list[int] = []
    order = {reader: at for at, reader in enumerate(rng.permutation(sorted(left)).tolist())}
    while len(chosen) < readings:
        of_site, taken = Counter[str](), Counter(sites[reader] for reader in chosen)
        for reader, number in left.items():
            of_site[sites[reader]] += number
        free = [reader for reader in left if reader not in chosen and left[reader] > 0]
        among = [reader for reader in free if reader in must] or free

        def key(reader: int, of_site: Counter[str] = of_site, taken: Counter[str] = taken) -> tuple[int, ...]:
            together = sum(met[min(reader, other), max(reader, other)] for other in chosen)
            return taken[sites[reader]], -of_site[sites[reader]], -left[reader], together, order[reader]

        chosen.append(min(among, key=key))
    for reader in chosen:
        left[reader] -= 1
    for pair in combinations(sorted(chosen), 2):
        met[pair] += 1
    return chosen
