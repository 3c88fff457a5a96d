"""What steps, sampler and guidance buy: `python -m tests.benchmarks.steps PTB-XL` draws with each and prints quality and time as a table.

PTB-XL is the folder as PhysioNet lays it out. Fold 9 is held against, folds 1 to 8 are what the shipped checkpoint learned. Quality is
generator.quality's, of strips before quality control. About a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from generator import quality_control
from generator.cores import cores
from generator.leak import leak
from generator.quality.measure import Reference
from generator.quality.result import RHYTHMS, Quality, Strips
from generator.recordings import Recording, find, read_all
from generator.request import SAMPLERS, DrawRequest
from generator.sssd import draw
from generator.strip import Counts

STOCHASTIC, ORDINARY, ANCESTRAL = SAMPLERS
ROWS: tuple[Mapping[str, Any], ...] = (
    *({"sampler": STOCHASTIC, "steps": steps} for steps in (5, 10, 20, 40)),
    {"sampler": ORDINARY, "steps": 20},
    {"sampler": ANCESTRAL, "steps": 200},
    *({"sampler": STOCHASTIC, "steps": 20, "guidance": guidance} for guidance in (1.5, 2.5)),
)
PARTS = ("worth", "distribution", "heart", "detail", "realness", "repeat")


def recorded(folder: Path, folds: range) -> Strips:
    """Recordings in some folds."""
    listed = [one for one in find(folder).candidates if one.fold in folds]
    read = [(one, result.counts) for one, result in read_all(listed) if isinstance(result, Recording)]
    return Strips.of(np.stack([counts for _, counts in read]), [one.rhythm for one, _ in read], [one.patient for one, _ in read])


def drawn(n: int, row: Mapping[str, Any]) -> tuple[Strips, int, float]:
    """n strips of each rhythm less those that the canonical form refused, how many quality control would reject too, and seconds each took."""
    begun, strips, rhythms = time.perf_counter(), list[Counts](), list[str]()
    model = draw.load()
    for rhythm in RHYTHMS:
        samples = draw.draw(DrawRequest(rhythm, n, 1, **row), checkpoint=model, threads=cores(), quality_control=False)
        strips += [one.counts for one in samples if one.counts is not None]
        rhythms += [rhythm] * (len(strips) - len(rhythms))
    seconds = (time.perf_counter() - begun) / (2 * n)
    rejected = sum(quality_control.check(counts, rhythm, model.reference) is not None for counts, rhythm in zip(strips, rhythms, strict=True))
    return Strips.of(np.stack(strips), rhythms), rejected + 2 * n - len(strips), seconds


def gate(real: Strips, synthetic: Strips) -> float:
    """AUC of the leak gate over as many strips of each rhythm in both arms."""
    arms: list[list[Counts]] = [[], []]
    for rhythm in RHYTHMS:
        places = [arm.places(rhythm) for arm in (real, synthetic)]
        n = min(map(len, places))
        for arm, strips, place in zip(arms, (real, synthetic), places, strict=True):
            arm += list(strips.counts[place[:n]])
    return leak(np.stack(arms[0]), np.stack(arms[1]), 0).auc


def line(measured: Quality) -> dict[str, float]:
    """The figures of the table: of each rhythm, or of both."""
    found = {(figure.name, figure.rhythm): figure for figure in measured.figures}

    def value(name: str, rhythm: str = "both") -> float:
        figure = found[name, rhythm].value
        return float("nan") if figure is None else round(figure, 3)

    return {
        "TSTR": value("TSTR, gradient boosting"),
        "TRTS": value("TRTS, gradient boosting"),
        "coverage": value("coverage"),
        "Frechet": value("frechet"),
        **{f"detail {rhythm}": value("detail ratio", rhythm) for rhythm in RHYTHMS},
        "P coherence AF, distance": value("p_coherence", "AF"),
        "QRS width NSR, distance": value("qrs_width", "NSR"),
        "beat correlation, distance": round(float(np.mean([value("beat_correlation", rhythm) for rhythm in RHYTHMS])), 4),
        "AUC real or synthetic": value("AUC real or synthetic"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ptbxl", type=Path)
    parser.add_argument("--n", type=int, default=100, help="strips of each rhythm (default: 100)")
    given = parser.parse_args()
    real, train = recorded(given.ptbxl, range(9, 10)), recorded(given.ptbxl, range(1, 9))
    reference = Reference(real, train, seed=0)
    made = []
    for row in ROWS:
        strips, rejected, seconds = drawn(given.n, row)
        told = {"sampler": row["sampler"], "steps": row["steps"], "guidance": row.get("guidance", 1.0)}
        told |= {"s a strip": round(seconds, 3), "rejected of 100": round(100 * rejected / (2 * given.n), 1)}
        made.append(told | line(reference.measure(strips, PARTS)) | {"leak gate AUC": round(gate(real, strips), 2)})
        print(made[-1], file=sys.stderr, flush=True)
    print(pd.DataFrame(made).to_string(index=False))


if __name__ == "__main__":
    main()
