"""Which strips a round shows, how often, and in which order each reader sees them. Pure functions of their arguments and a seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from storage.truth import RealStrip
from study.errors import StudyError

ARMS = ("real", "synthetic")
RHYTHMS = ("NSR", "AF")
Cell = tuple[str, str]  # (arm, rhythm)

# the purposes that share a round's seed, each with a stream of its own; study.rotation uses the last two
_CHOICE, _REPEATS, _SHUFFLE, _DRAW, _ORDER, _GATE, _CONTROLS, _ANCHORS, _EARLIER, _PRACTICE, ROTATION, LATER = range(12)


@dataclass(frozen=True)
class Composition:
    """What a round is made of, after rounding to whole cases."""

    scored: dict[Cell, int]  # strips of the round: anchors and rotating cases
    repeats: int
    earlier: int = 0  # scored cases of earlier rounds that are shown again
    controls: int = 0  # pairs
    rotating: dict[Cell, int] = field(default_factory=dict)  # those of scored that only some readers read; {}: everybody reads all
    readings: int = 0  # readers of each rotating case
    readers: int = 0  # of the study, where cases rotate

    @property
    def anchors(self) -> int:
        """Scored cases that every reader reads."""
        return sum(self.scored.values()) - sum(self.rotating.values())

    @property
    def shares_of_pool(self) -> tuple[int, int]:
        """The rotating cases of a reader: the fewest and the most; they differ by 1 where the readings cannot be dealt out evenly."""
        slots = sum(self.rotating.values()) * self.readings
        return (slots // self.readers, -(-slots // self.readers)) if slots else (0, 0)

    @property
    def common(self) -> int:
        """Cases that every reader reads: anchors, repeats and controls."""
        return self.anchors + self.repeats + self.earlier + 2 * self.controls

    @property
    def cases(self) -> int:
        """The most that a reader reads."""
        return self.common + self.shares_of_pool[1]

    @property
    def fewest_cases(self) -> int:
        """The fewest that a reader reads: one less, or as many."""
        return self.common + self.shares_of_pool[0]

    @property
    def pool(self) -> int:
        """Cases of the round in all."""
        return self.common + sum(self.rotating.values())

    def number(self, *, arm: str | None = None, rhythm: str | None = None) -> int:
        """Scored strips of an arm and a rhythm."""
        return sum(n for (a, r), n in self.scored.items() if arm in (None, a) and rhythm in (None, r))

    def shares(self) -> dict[str, float]:
        """The shares achieved, to be reported beside those asked for."""
        n = sum(self.scored.values())
        earlier = {"earlier repeat": self.earlier / self.cases} if self.earlier else {}
        found = {"synthetic": self.number(arm="synthetic") / n, "af": self.number(rhythm="AF") / n, "repeat": self.repeats / self.cases}
        return found | earlier


def composition(
    cases: int,
    synthetic_share: float,
    af_share: float,
    repeat_share: float,
    *,
    earlier_share: float = 0.0,
    controls: int = 0,
    anchors: int | None = None,
    readings: int | None = None,
    readers: int = 1,
) -> Composition:
    """Numbers of scored cases by arm and rhythm, of repeats and of controls, that add up to the `cases` that each reader reads.

    synthetic_share, af_share: of the scored cases; repeat_share, earlier_share: of all cases, repeats of this round's and of earlier rounds'
    cases. Both margins are rounded to the nearest whole number and the four cells to the nearest of their product, so that rhythm tells as
    little of the arm as whole numbers allow; a share of repeats above 0 is at least one repeat. controls: pairs.

    anchors: scored cases that all `readers` read; each of the others is read by `readings` of them, so that readers * (scored - anchors) //
    readings rotate. Anchors and rotating cases have the shares each for themselves. None: everybody reads all.
    Raises StudyError for a number out of range, and where a share above 0 would come to no strip.
    """
    _check(cases, synthetic_share, af_share, repeat_share, earlier_share, controls)
    repeats, earlier = _at_least_one(cases * repeat_share), _at_least_one(cases * earlier_share)
    each = cases - repeats - earlier - 2 * controls  # scored cases that a reader reads
    if each < 1:
        raise StudyError(f"{repeats + earlier} repeats and {2 * controls} controls leave none of {cases} cases to score. Ask for more cases.")
    read_by_all, rotating = _check_rotation(each, anchors, readings, readers)
    cells = _cells(read_by_all, synthetic_share, af_share)
    of_pool = _cells(rotating, synthetic_share, af_share) if rotating else {}
    scored = {cell: number + of_pool.get(cell, 0) for cell, number in cells.items()}
    wanted = {"synthetic": synthetic_share, "real": 1 - synthetic_share, "AF": af_share, "NSR": 1 - af_share}
    for cell, number in scored.items():
        if number == 0 and all(wanted[word] > 0 for word in cell):
            raise StudyError(
                f"{cases} cases with these shares leave no {cell[0]} {cell[1]} strip. Ask for more cases, or shares nearer to a half "
                f"(now synthetic {synthetic_share:g}, AF {af_share:g}, repeats {repeat_share:g})."
            )
    if repeats > each:
        raise StudyError(f"{repeats} repeats of {each} scored cases: each case can be repeated once. Lower the share of repeats to 0.5 or less.")
    if repeats > read_by_all:
        raise StudyError(f"anchors: {repeats} repeats are chosen among the cases that everybody reads. Ask for {repeats} anchors or more.")
    return Composition(scored, repeats, earlier, controls, of_pool, (readings or 0) if of_pool else 0, readers if of_pool else 0)


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


def choose_anchors(cells: Sequence[Cell], rotating: Mapping[Cell, int], seed: int) -> list[int]:
    """Which of the scored cases everybody reads: indexes into cells, all but rotating[cell] of each cell, at random."""
    if not rotating:
        return list(range(len(cells)))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ANCHORS,)))
    left = Counter(rotating)
    anchors = []
    for index in rng.permutation(len(cells)):
        if left[cells[index]] > 0:
            left[cells[index]] -= 1
        else:
            anchors.append(int(index))
    return sorted(anchors)


def choose_earlier(rhythms: Sequence[str], number: int, seed: int) -> list[int]:
    """Which cases of earlier rounds are shown again: indexes into rhythms (of each case), each rhythm by its share, else at random.

    Not by arm: the arms of what was shown are not read again before unblinding. Raises StudyError for more than there are.
    """
    if number > len(rhythms):
        raise StudyError(
            f"earlier_repeats: {number} cases of earlier rounds are needed, {len(rhythms)} that every reader was given and none has seen again are "
            "there. Lower the share."
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_EARLIER,)))
    members: dict[str, list[int]] = {}
    for index in rng.permutation(len(rhythms)):
        members.setdefault(rhythms[index], []).append(int(index))
    exact = {rhythm: number * len(indexes) / len(rhythms) for rhythm, indexes in members.items()}
    counts = {rhythm: math.floor(share) for rhythm, share in exact.items()}
    for rhythm in sorted(exact, key=lambda rhythm: counts[rhythm] - exact[rhythm])[: number - sum(counts.values())]:
        counts[rhythm] += 1
    return sorted(index for rhythm, indexes in members.items() for index in indexes[: counts[rhythm]])


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


def control_seed(seed: int, number: int) -> int:
    """The seed of a round's control pair `number`, from 0: of its simulated strips; below 2**31."""
    return int(np.random.SeedSequence(seed, spawn_key=(_CONTROLS, number)).generate_state(1)[0] >> 1)


def some_candidates(n: int, most: int, seed: int) -> list[int]:
    """At most `most` of n recordings, at random: those among which the noisiest is sought."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_CONTROLS,)))
    return sorted(int(i) for i in rng.permutation(n)[:most])


def practice_seed(seed: int) -> int:
    """The seed that takes a round's place in practice, below 2**31: a practice and a round of the same seed share no strip."""
    return int(np.random.SeedSequence(seed, spawn_key=(_PRACTICE,)).generate_state(1)[0] >> 1)


def order(n: int, repeat_of: Mapping[int, int], distance: int, seed: int, reader_id: int, *, phase: int = 1) -> list[int]:
    """The order in which one reader sees the cases 0..n-1, each repeat at least `distance` positions after its original.

    repeat_of: {repeat: original}. A random permutation from a stream that belongs to (seed, reader_id, phase) alone: who else reads changes
    nothing. Starts from a valid order, its cases named at random, and makes random swaps that keep it valid (a symmetric Metropolis walk:
    uniform over the valid orders that it can reach). Raises StudyError if no order keeps the distance.
    """
    check_distance(n, len(repeat_of), distance)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ORDER, reader_id) if phase == 1 else (_ORDER, reader_id, phase)))
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


def _check(cases: int, synthetic_share: float, af_share: float, repeat_share: float, earlier_share: float, controls: int) -> None:
    if not _whole(cases) or not 1 <= cases <= 1000:
        raise StudyError(f"cases: {cases!r} is out of range. Choose a whole number from 1 to 1000.")
    if not _whole(controls) or not 0 <= controls <= 20:
        raise StudyError(f"controls: {controls!r} is out of range. Choose a whole number of pairs from 0 to 20.")
    shares = {
        "synthetic_share": (synthetic_share, 1.0),
        "af_share": (af_share, 1.0),
        "repeat_share": (repeat_share, 0.5),
        "earlier_repeats": (earlier_share, 0.5),
    }
    for name, (share, highest) in shares.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= highest:
            raise StudyError(f"{name}: {share!r} is out of range. Choose a number from 0 to {highest:g}.")


def _check_rotation(each: int, anchors: int | None, readings: int | None, readers: int) -> tuple[int, int]:
    """Scored cases that everybody reads, and how many rotate."""
    if anchors is None:
        if readings is not None:
            raise StudyError("readings: this counts where not everybody reads all. Say how many anchors everybody reads, or leave it out.")
        return each, 0
    if not _whole(anchors) or not 0 <= anchors <= each:
        raise StudyError(f"anchors: {anchors!r} is out of range: a reader scores {each} cases. Choose 0 to {each}, or leave it out.")
    if anchors == each:
        return each, 0
    if readings is None or not _whole(readings) or not 1 <= readings <= readers:
        raise StudyError(f"readings: {readings!r} is out of range: the study has {readers} readers. Choose a whole number from 1 to {readers}.")
    return anchors, readers * (each - anchors) // readings


def _cells(n: int, synthetic_share: float, af_share: float) -> dict[Cell, int]:
    synthetic, af = _nearest(n * synthetic_share), _nearest(n * af_share)
    both = _nearest(synthetic * af / n) if n else 0
    return {
        ("synthetic", "AF"): both,
        ("synthetic", "NSR"): synthetic - both,
        ("real", "AF"): af - both,
        ("real", "NSR"): n - synthetic - af + both,
    }


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at_least_one(exact: float) -> int:
    """The nearest whole number, and 1 for whatever lies between 0 and 1."""
    return math.ceil(exact - 1e-9) if exact < 1 else _nearest(exact)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5 + 1e-9)  # halves up; 1e-9: 0.1 * 3 must count as 0.3


def _apart(age: float | None, target: float | None) -> float:
    if target is None:
        return 0.0
    return math.inf if age is None else abs(age - target)
