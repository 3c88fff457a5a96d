"""The main table (accuracy, sensitivity, specificity, AUC by reader and site) and Fleiss' kappa, from judgements.csv alone. Needs pandas.

`python recompute.py [folder of the bundle]` prints them as JSON; compare with results/realism.csv and results/agreement.csv.
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
    scored = scored.assign(synthetic=scored["arm"] == "synthetic", called=scored["called_synthetic"].astype(bool))
    return {
        "readings": len(scored),
        "main table": {
            "all": {"all": main_row(scored)},
            "site": {site: main_row(part) for site, part in scored.groupby("site")},
            "reader": {reader: main_row(part) for reader, part in scored.groupby("reader")},
        },
        "Fleiss' kappa": fleiss_kappa(pd.crosstab(scored["case"], scored["called"])),
    }


def main_row(part: pd.DataFrame) -> dict[str, Any]:
    """Of the readings of one reader, one site, or all; None where there is nothing to divide by."""
    return {
        "readings": len(part),
        "accuracy": mean(part["called"] == part["synthetic"]),
        "sensitivity": mean(part.loc[part["synthetic"], "called"]),  # of the synthetic strips, called synthetic
        "specificity": mean(~part.loc[~part["synthetic"], "called"]),  # of the real strips, called real
        "AUC": mean_auc(part),
    }


def mean_auc(part: pd.DataFrame) -> float | None:
    """Mean of the readers' own AUCs: answers of different readers are never put on one scale. None where a reader has none."""
    own = [auc(of_reader) for _, of_reader in part.groupby("reader")]
    known = [area for area in own if area is not None]
    return sum(known) / len(known) if known and len(known) == len(own) else None


def auc(part: pd.DataFrame) -> float | None:
    """The chance that a synthetic strip was given a higher answer than a real one, ties counting half (Mann and Whitney 1947)."""
    synthetic, real = (part.loc[part["synthetic"] == arm, "realism"].to_numpy() for arm in (True, False))
    if not len(synthetic) or not len(real):
        return None
    difference = synthetic[:, None] - real[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def mean(values: pd.Series) -> float | None:
    return float(values.mean()) if len(values) else None


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
