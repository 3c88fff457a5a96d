"""Which strips a round shows, how often, and in which order each reader sees them. Pure functions of their arguments and a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storage.truth import RealStrip
from study.errors import StudyError

ARMS = ("real", "synthetic")
RHYTHMS = ("NSR", "AF")
Cell = tuple[str, str]  # (arm, rhythm)

_CHOICE, _REPEATS, _SHUFFLE, _DRAW, _ORDER, _GATE = range(6)  # the purposes that share a round's seed, each with a stream of its own


@dataclass(frozen=True)
class Composition:
    """What a round is made of, after rounding to whole cases."""

    scored: dict[Cell, int]
    repeats: int

    @property
    def cases(self) -> int:
        """What each reader reads: scored cases and repeats."""
        return sum(self.scored.values()) + self.repeats

    def number(self, *, arm: str | None = None, rhythm: str | None = None) -> int:
        return sum(n for (a, r), n in self.scored.items() if arm in (None, a) and rhythm in (None, r))

    def shares(self) -> dict[str, float]:
        """The shares achieved, to be reported beside those asked for."""
        n = sum(self.scored.values())
        return {"synthetic": self.number(arm="synthetic") / n, "af": self.number(rhythm="AF") / n, "repeat": self.repeats / self.cases}


def composition(cases: int, synthetic_share: float, af_share: float, repeat_share: float) -> Composition:
    """Numbers of scored cases by arm and rhythm, and of repeats, that add up to `cases`.

    synthetic_share, af_share: of the scored cases; repeat_share: of all cases. Both margins are rounded to the nearest whole number and
    the four cells to the nearest of their product, so that rhythm tells as little of the arm as whole numbers allow; a share of repeats
    above 0 is at least one repeat. Raises StudyError for a number out of range, and where a share above 0 would come to no strip.
    """
    _check(cases, synthetic_share, af_share, repeat_share)
    repeats = math.ceil(cases * repeat_share - 1e-9) if cases * repeat_share < 1 else _nearest(cases * repeat_share)
    scored = cases - repeats
    synthetic, af = _nearest(scored * synthetic_share), _nearest(scored * af_share)
    both = _nearest(synthetic * af / scored) if scored else 0
    cells = {
        ("synthetic", "AF"): both,
        ("synthetic", "NSR"): synthetic - both,
        ("real", "AF"): af - both,
        ("real", "NSR"): scored - synthetic - af + both,
    }
    wanted = {"synthetic": synthetic_share, "real": 1 - synthetic_share, "AF": af_share, "NSR": 1 - af_share}
    for cell, number in cells.items():
        if number == 0 and all(wanted[word] > 0 for word in cell):
            raise StudyError(
                f"{cases} cases with these shares leave no {cell[0]} {cell[1]} strip. Ask for more cases, or shares nearer to a half "
                f"(now synthetic {synthetic_share:g}, AF {af_share:g}, repeats {repeat_share:g})."
            )
    if repeats > scored:
        raise StudyError(f"{repeats} repeats of {scored} scored cases: each case can be repeated once. Lower the share of repeats to 0.5 or less.")
    return Composition(cells, repeats)


def choose_real(available: Sequence[RealStrip], wanted: Mapping[str, int], seed: int) -> list[RealStrip]:
    """The real strips of a round: wanted[rhythm] of each rhythm, no two of one patient, patients not shown before first.

    Where ages are known, each NSR strip is the one nearest in age to an AF strip of the round: otherwise age alone tells much of the rhythm.
    Raises StudyError with the numbers needed and there.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_CHOICE,)))
    shuffled = [available[i] for i in rng.permutation(len(available))]
    chosen: list[RealStrip] = []
    patients: set[str] = set()
    for rhythm in ("AF", "NSR"):
        ages = [strip.age for strip in chosen if strip.age is not None] if rhythm == "NSR" else []
        for i in range(wanted.get(rhythm, 0)):
            left = [strip for strip in shuffled if strip.rhythm == rhythm and strip.patient not in patients]
            if not left:
                there = len({strip.patient for strip in available if strip.rhythm == rhythm})
                raise StudyError(
                    f"{rhythm}: {wanted[rhythm]} recordings of different patients are needed, {there} not yet shown in this study are there. "
                    "Import more recordings, or ask for fewer cases or a larger share of synthetic ones."
                )
            target = ages[i % len(ages)] if ages else None
            best = min(left, key=lambda strip: (strip.patient_used, _apart(strip.age, target)))  # the first of equals: left is shuffled
            chosen.append(best)
            patients.add(best.patient)
    return chosen


def choose_repeats(cells: Sequence[Cell], repeats: int, seed: int) -> list[int]:
    """Which of the scored cases are shown twice: indexes into cells (the cell of each case), as many of each cell as its share allows."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_REPEATS,)))
    members: dict[Cell, list[int]] = {}
    for index in rng.permutation(len(cells)):
        members.setdefault(cells[index], []).append(int(index))
    exact = {cell: repeats * len(indexes) / len(cells) for cell, indexes in members.items()}
    number = {cell: math.floor(share) for cell, share in exact.items()}
    while sum(number.values()) < repeats:
        # what rounding leaves goes where its arm, then its rhythm, then the cell itself lacks most: a repeat must not speak for an arm
        lacks = {cell: exact[cell] - number[cell] for cell in members}
        arm = {a: sum(share for cell, share in lacks.items() if cell[0] == a) for a in ARMS}
        rhythm = {r: sum(share for cell, share in lacks.items() if cell[1] == r) for r in RHYTHMS}
        cell = max((c for c in members if number[c] < len(members[c])), key=lambda c: (round(arm[c[0]], 9), round(rhythm[c[1]], 9), lacks[c]))
        number[cell] += 1
    return sorted(index for cell, indexes in members.items() for index in indexes[: number[cell]])


def shuffled(n: int, seed: int) -> list[int]:
    """A random order of n things: in which a round's cases are numbered, so that their ids tell nothing."""
    return [int(i) for i in np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SHUFFLE,))).permutation(n)]


def draw_seed(seed: int, rhythm: str) -> int:
    """The seed of a round's synthetic strips of one rhythm, below 2**31."""
    return int(np.random.SeedSequence(seed, spawn_key=(_DRAW, RHYTHMS.index(rhythm))).generate_state(1)[0] >> 1)


def gate_seed(seed: int) -> int:
    """The seed of the leak gate's permutations, below 2**31: its report is seen while the round is blind, so it must not hold the round's seed."""
    return int(np.random.SeedSequence(seed, spawn_key=(_GATE,)).generate_state(1)[0] >> 1)


def order(n: int, repeat_of: Mapping[int, int], distance: int, seed: int, reader_id: int) -> list[int]:
    """The order in which one reader sees the cases 0..n-1, each repeat at least `distance` positions after its original.

    repeat_of: {repeat: original}. A random permutation from a stream that belongs to (seed, reader_id) alone: who else reads changes
    nothing. Starts from a valid order, its cases named at random, and makes random swaps that keep it valid (a symmetric Metropolis walk:
    uniform over the valid orders that it can reach). Raises StudyError if no order keeps the distance.
    """
    check_distance(n, len(repeat_of), distance)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ORDER, reader_id)))
    if not repeat_of:
        return [int(i) for i in rng.permutation(n)]
    repeats = [int(i) for i in rng.permutation(sorted(repeat_of))]
    originals = [repeat_of[repeat] for repeat in repeats]
    others = [int(i) for i in rng.permutation(sorted(set(range(n)) - set(repeats) - set(originals)))]
    cases = [*originals, *others, *repeats]  # each repeat n - len(repeats) after its original: the widest that all can have at once
    position = {case: at for at, case in enumerate(cases)}
    pair = {case: (original, repeat) for repeat, original in repeat_of.items() for case in (original, repeat)}
    for a, b in rng.integers(0, n, size=(100 * n, 2)).tolist():
        first, second = cases[a], cases[b]
        cases[a], cases[b] = second, first
        position[first], position[second] = b, a
        moved = [pair[case] for case in (first, second) if case in pair]
        if any(position[repeat] - position[original] < distance for original, repeat in moved):
            cases[a], cases[b] = first, second
            position[first], position[second] = a, b
    return cases


def check_distance(n: int, repeats: int, distance: int) -> None:
    """Raises StudyError unless `repeats` of n cases can all stand `distance` after their originals: possible exactly if n - repeats >= distance."""
    if repeats and n - repeats < max(distance, repeats):
        raise StudyError(
            f"{repeats} repeats among {n} cases cannot all stand {distance} positions after their originals: "
            f"{max(distance, repeats) + repeats} cases are needed. Ask for more cases, fewer repeats, or a smaller distance in the protocol."
        )


def _check(cases: int, synthetic_share: float, af_share: float, repeat_share: float) -> None:
    if isinstance(cases, bool) or not isinstance(cases, int) or not 1 <= cases <= 1000:
        raise StudyError(f"cases: {cases!r} is out of range. Choose a whole number from 1 to 1000.")
    for name, share, highest in (("synthetic_share", synthetic_share, 1.0), ("af_share", af_share, 1.0), ("repeat_share", repeat_share, 0.5)):
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= highest:
            raise StudyError(f"{name}: {share!r} is out of range. Choose a number from 0 to {highest:g}.")


def _nearest(value: float) -> int:
    return math.floor(value + 0.5 + 1e-9)  # halves up; 1e-9: 0.1 * 3 must count as 0.3


def _apart(age: float | None, target: float | None) -> float:
    if target is None:
        return 0.0
    return math.inf if age is None else abs(age - target)
