"""What steps buy: `python -m tests.benchmarks.steps PTB-XL` draws with few and many steps and prints quality and time as a table.

PTB-XL is the folder as PhysioNet lays it out. About 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from generator.cores import cores
from generator.leak import leak
from generator.recordings import Recording, find, read_all
from generator.request import DrawRequest
from generator.sssd import draw
from generator.strip import Counts
from generator.utility import labelled, utility

STEPS = (4, 6, 8, 10, 15, 20, 30, 50)
ANCESTRAL = "ancestral, 200"


def recorded(folder: Path, folds: range) -> tuple[Counts, list[str], list[str]]:
    """Counts (n, 8, 1000), rhythms and patients of the recordings in some folds."""
    listed = [one for one in find(folder).candidates if one.fold in folds]
    read = [(one, result.counts) for one, result in read_all(listed) if isinstance(result, Recording)]
    return np.stack([counts for _, counts in read]), [one.rhythm for one, _ in read], [one.patient for one, _ in read]


def drawn(rhythm: str, n: int, steps: int | None) -> tuple[list[Counts], float]:
    """Strips, and seconds each took; steps None: the ancestral sampler."""
    request = DrawRequest(rhythm, n, 1, sampler="ancestral") if steps is None else DrawRequest(rhythm, n, 1, steps=steps)
    begun = time.perf_counter()
    samples = draw.draw(request, threads=cores(), quality_control=False)  # what a number of steps draws, not what passes
    return [one.counts for one in samples if one.counts is not None], (time.perf_counter() - begun) / n


def detail(strips: Counts) -> float:
    """Median absolute second difference: what QRS notches, f waves and noise are made of."""
    return float(np.median(np.abs(np.diff(strips.astype(float), n=2, axis=-1)).mean(axis=(1, 2))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ptbxl", type=Path)
    parser.add_argument("--n", type=int, default=100, help="strips of each rhythm (default: 100)")
    given = parser.parse_args()
    train, test = recorded(given.ptbxl, range(1, 9)), recorded(given.ptbxl, range(9, 10))
    train_table, test_table = labelled(*train), labelled(*test)
    of_rhythm = {rhythm: test[0][np.array(test[1]) == rhythm] for rhythm in ("NSR", "AF")}
    rows = []
    for steps in (*STEPS, None):
        both = {rhythm: drawn(rhythm, given.n, steps) for rhythm in of_rhythm}
        strips = [counts for of_one, _ in both.values() for counts in of_one]
        table = labelled(np.stack(strips), [rhythm for rhythm, (of_one, _) in both.items() for _ in of_one])
        figures = utility(train_table, test_table, table, seed=0)
        balanced = np.concatenate([of_one[: min(len(of_one), 28)] for of_one in of_rhythm.values()])
        gate = leak(balanced, np.concatenate([of_one[:28] for of_one, _ in both.values()]), 0)
        p_wave = table.loc[table["rhythm"] == "NSR", "p_amplitude"].median() / test_table.loc[test_table["rhythm"] == "NSR", "p_amplitude"].median()
        rows.append(
            {
                "steps": ANCESTRAL if steps is None else f"{steps}",
                "s a strip": round(float(np.mean([seconds for _, seconds in both.values()])), 3),
                "rejected": 2 * given.n - len(strips),
                "TSTR": round(figures["TSTR"]["gradient boosting"]["macro_f1"], 3),
                "TRTS": round(figures["TRTS"]["gradient boosting"]["macro_f1"], 3),
                **{
                    f"detail {rhythm}, of real": round(detail(np.stack(of_one)) / detail(of_rhythm[rhythm]), 2)
                    for rhythm, (of_one, _) in both.items()
                },
                "P wave NSR, of real": round(float(p_wave), 2),
                "leak gate AUC": round(gate.auc, 2),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
