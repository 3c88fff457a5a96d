"""Accuracy and Fleiss' kappa of the call real or synthetic, from judgements.csv alone: `python recompute.py [folder of the bundle]`. Needs pandas.

Compare with results/realism.csv and results/agreement.csv.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd


def recompute(folder: Path) -> dict[str, Any]:
    as_text = {"case": str, "reader": str, "site": str}  # a hospital called T or NA is no missing value
    table = pd.read_csv(folder / "judgements.csv", dtype=as_text, keep_default_na=False, na_values=[""])
    scored = table[(table["role"] == "scored") & table["latest"]]  # repeats do not count; a corrected answer counts once, as corrected
    right = scored["called_synthetic"] == (scored["arm"] == "synthetic")
    return {
        "readings": len(scored),
        "accuracy": right.mean(),
        "accuracy by site": right.groupby(scored["site"]).mean().to_dict(),
        "accuracy by reader": right.groupby(scored["reader"]).mean().to_dict(),
        "Fleiss' kappa": fleiss_kappa(pd.crosstab(scored["case"], scored["called_synthetic"])),
    }


def fleiss_kappa(counts: pd.DataFrame) -> float | None:
    """counts: a row a case, a column an answer, how many readers gave it. None where chance agreement is 1 or no case has two readings."""
    read = counts.sum(axis=1)
    twice = counts[read >= 2]
    if twice.empty:
        return None
    pairs = read[read >= 2] * (read[read >= 2] - 1)
    observed = ((twice * (twice - 1)).sum(axis=1) / pairs).mean()
    chance = (counts.div(read, axis=0).mean() ** 2).sum()
    return None if chance > 1 - 1e-12 else (observed - chance) / (1 - chance)


if __name__ == "__main__":
    print(json.dumps(recompute(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)), indent=1))
