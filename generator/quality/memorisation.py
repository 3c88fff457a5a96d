"""Are synthetic strips nearer to training strips than recordings of other patients are? By the average beat over eight leads, whatever the gain.

A distance is 1 - the correlation of two average beats (generator.copies). What this cannot find: a repeated rhythm or noise around another beat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from generator.copies import beats, nearest
from generator.quality.resample import percentile, weights
from generator.quality.result import RHYTHMS, Figure, Pair, Strips

SHARE, DISTANCE = "share closer than 1st percentile", "distance to nearest training strip"
PERCENTILE = 1.0  # of the held-out recordings' distances
CLOSEST = 5
ENOUGH = 99  # held-out recordings, of which the least is the 1st percentile
FEWEST = 5

Array = NDArray[np.float64]


def figures(real: Strips, synthetic: Strips, train_beats: NDArray[np.float32], seed: np.random.SeedSequence) -> tuple[list[Figure], list[Pair]]:
    """The share of synthetic strips nearer to the training strips than the nearest 1 % of held-out recordings are, and the closest pairs.

    train_beats: generator.copies.beats of all training strips. Beside the share stands what chance gives, 1 % or, of fewer
    than 99 held-out recordings, more. Beside the median distance
    of synthetic strips stands that of held-out recordings.
    """
    found = {arm: nearest(beats(strips.counts), train_beats) for arm, strips in (("real", real), ("synthetic", synthetic))}
    made: list[Figure] = []
    for rhythm in RHYTHMS:
        rng = np.random.default_rng(seed)
        distance, drawn = {}, {}
        for arm, strips in (("real", real), ("synthetic", synthetic)):
            member = (strips.rhythm == rhythm) & np.isfinite(found[arm][0])
            distance[arm] = 1 - found[arm][0][member]
            drawn[arm] = weights(strips.patient[member], rng) if member.any() else np.zeros((0, 0))
        sizes = {"n": distance["synthetic"].size, "n_real": distance["real"].size, "n_beside": distance["real"].size}
        few = min(sizes.values())
        if few < FEWEST:
            why = f"{sizes['n_real']} held-out recordings and {sizes['n']} synthetic strips with a beat; {FEWEST} of each are needed"
            made += [Figure("memorisation", name, rhythm, None, **sizes, reason=why, beside_reason=why) for name in (SHARE, DISTANCE)]
            continue
        limit = float(_percentile(distance["real"], np.ones(distance["real"].size)))
        closer = distance["synthetic"] < limit
        limits = np.array([_percentile(distance["real"], times) for times in drawn["real"]])
        each = ((distance["synthetic"][None, :] < limits[:, None]) * drawn["synthetic"]).sum(axis=1) / drawn["synthetic"].sum(axis=1)
        value = float(closer.mean())
        own = max(PERCENTILE / 100, 1 / (distance["real"].size + 1))
        made.append(Figure("memorisation", SHARE, rhythm, value, own, percentile(each), **sizes))
        apart, other = (float(np.median(distance[arm])) for arm in ("synthetic", "real"))
        ends = [percentile(_medians(distance[arm], drawn[arm])) for arm in ("synthetic", "real")]
        made.append(Figure("memorisation", DISTANCE, rhythm, apart, other, ends[0], ends[1], **sizes, median=apart, median_real=other))
    return made, _closest(synthetic, *found["synthetic"])


def _closest(synthetic: Strips, correlation: Array, index: NDArray[np.int64]) -> list[Pair]:
    """The closest of each rhythm, so that one rhythm's alikeness does not hide the other's; nearest first."""
    pairs = []
    for rhythm in RHYTHMS:
        there = [i for i in synthetic.places(rhythm) if np.isfinite(correlation[i])]
        there.sort(key=lambda i: -correlation[i])
        pairs += [Pair(rhythm, float(max(1 - correlation[i], 0.0)), int(i), int(index[i])) for i in there[:CLOSEST]]
    return pairs


def _percentile(values: Array, times: Array) -> float:
    """Weibull's plotting position: another strip of the same source falls below it with a probability of 1 % exactly. From fewer than 99 strips
    nobody can tell that percentile: it is their least, below which another falls with a probability of 1 / (n + 1)."""
    return float(np.percentile(np.repeat(values, times.astype(int)), PERCENTILE, method="weibull")) if times.sum() else np.nan


def _medians(values: Array, drawn: Array) -> Array:
    return np.array([np.median(np.repeat(values, times.astype(int))) if times.sum() else np.nan for times in drawn])
