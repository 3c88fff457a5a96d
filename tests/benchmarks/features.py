"""How long the features of 1,000 strips take: `blindstrip bench features`, or `python -m tests.benchmarks.features`.

Stand-ins, half of each rhythm, measured by one process and by two with half each; beside, as a ratio, the canonical form of as many recordings of
500 samples/s, which each strip has passed before. Where others use the cores too, the processor's seconds say more.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from generator.features import features
from generator.leads import STORED
from generator.simulate import stand_in
from generator.strip import MICROVOLTS_PER_COUNT, Counts, canonical

TARGET_SECONDS = 20.0
_FEW = 40  # strips that the canonical form is measured on


def taken(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock and of this process's processor."""
    begun, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begun, time.process_time() - busy


def measure(n: int) -> dict[str, Any]:
    different = [stand_in(rhythm, seed) for rhythm in ("NSR", "AF") for seed in range(50)]
    strips: Counts = np.stack([different[i % len(different)] for i in range(n)])
    raw = [np.repeat(counts * MICROVOLTS_PER_COUNT / 1000, 5, axis=-1) for counts in different[:_FEW]]
    features(strips[:2])  # imports and plans
    form, _ = taken(lambda: [canonical(mv, 500, STORED) for mv in raw])
    one, processor = taken(lambda: features(strips))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as two:
        list(two.map(features, [strips[:2], strips[:2]]))
        both, _ = taken(lambda: list(two.map(features, np.array_split(strips, 2))))
    seconds = {"one process": round(one, 2), "one process, of the processor": round(processor, 2), "two processes": round(both, 2)}
    told = {"strips": n, "seconds": seconds, "times the canonical form": round(one / n / (form / _FEW), 2)}
    return told | {"target": {"seconds, two cores, 1,000 strips": TARGET_SECONDS}, "reached": both * 1000 / n < TARGET_SECONDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="strips (default: 1000)")
    print(json.dumps(measure(parser.parse_args().n), indent=1))


if __name__ == "__main__":
    main()
