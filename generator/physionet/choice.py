"""Which recordings of a collection are wanted: a sample by seed, stratified by rhythm, age and sex, patients before recordings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from generator.errors import GeneratorError
from generator.physionet import Choice
from generator.recordings.candidate import Row

AGES = (40, 55, 70, 85)  # years at which a stratum ends and the next begins


def choose(rows: Iterable[Row], choice: Choice) -> list[Row]:
    """As many of each rhythm, and in each rhythm as the collection has ages and sexes; the same seed gives the same recordings.

    A patient's second recording is taken only where a stratum has no other patient left for its share. Raises GeneratorError where there are
    too few, or none.
    """
    kept = [row for row in rows if row.rhythm in choice.rhythms and (choice.folds is None or row.fold in choice.folds)]
    if not kept:
        raise GeneratorError(f"The collection has no {' or '.join(choice.rhythms)} recording{_where(choice)}. Ask for other folds or rhythms.")
    kept.sort(key=lambda row: row.place)
    if choice.n is None:
        return kept
    rng = np.random.default_rng(choice.seed)
    in_order = _patients_first([kept[i] for i in rng.permutation(len(kept))])
    each, odd = divmod(choice.n, len(choice.rhythms))
    chosen: list[Row] = []
    for number, rhythm in enumerate(choice.rhythms):
        wanted = each + (number < odd)
        there = [row for row in in_order if row.rhythm == rhythm]
        if len(there) < wanted:
            raise GeneratorError(f"{wanted} {rhythm} recordings were asked for, {len(there)} are there{_where(choice)}. Ask for fewer.")
        chosen += _stratified(there, wanted)
    return sorted(chosen, key=lambda row: row.place)


def stratum(row: Row) -> tuple[str, str]:
    """Age and sex, where the table has them: ("55 to 69", "female")."""
    if row.age is None:
        return "", row.sex or ""
    band = sum(row.age >= border for border in AGES)
    return f"{(0, *AGES)[band]} to {AGES[band] - 1}" if band < len(AGES) else f"{AGES[-1]} and more", row.sex or ""


def _patients_first(shuffled: Sequence[Row]) -> list[Row]:
    """Each patient's first recording, then the second ones ..."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, int]] = []
    for position, row in enumerate(shuffled):
        ranked.append((seen[row.patient], position))
        seen[row.patient] += 1
    return [shuffled[position] for _, position in sorted(ranked)]


def _stratified(in_order: Sequence[Row], wanted: int) -> list[Row]:
    """The first of each stratum, as many as is its share of all (largest remainders)."""
    strata: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in in_order:
        strata[stratum(row)].append(row)
    exact = {key: wanted * len(members) / len(in_order) for key, members in strata.items()}
    shares = {key: int(share) for key, share in exact.items()}
    by_remainder = sorted(strata, key=lambda key: (shares[key] - exact[key], key))
    for key in by_remainder[: wanted - sum(shares.values())]:
        shares[key] += 1
    return [row for key, members in strata.items() for row in members[: shares[key]]]


def _where(choice: Choice) -> str:
    return "" if choice.folds is None else f" in folds {', '.join(map(str, sorted(choice.folds)))}"
