"""`blindstrip utility`: what strips of folders are worth to a classifier, beside the ceiling that recordings set."""

from __future__ import annotations

import argparse
from typing import Any

from study.commands import types
from study.commands.strips import keep_patients_apart, listed_in, read_counts
from study.progress_bar import ProgressBar
from study.worth import EXPERIMENTS, PUBLISHED


def arguments(one: argparse.ArgumentParser) -> None:
    """What the command takes beside its folders and its seed."""
    one.add_argument("--seeds", type=types.whole(1), default=3, help="trainings of each classifier (default: 3)")
    one.add_argument("--quick", action="store_true", help="without the residual network, which takes minutes a seed")


def utility(given: argparse.Namespace) -> dict[str, Any]:
    """All figures as JSON, or as tables to read."""
    from generator.utility import as_table, labelled
    from generator.utility import utility as utility_of

    sources = {
        "--train-real": ([given.train_real], given.train_folds),
        "--test-real": ([given.test_real], given.test_folds),
        "--synthetic": (given.synthetic, None),
    }
    listed = {option: listed_in(folders, folds) for option, (folders, folds) in sources.items()}  # all of them before any is read
    keep_patients_apart(listed, "name folds with --train-folds and --test-folds, or other folders.")
    read = [read_counts(candidates) for candidates in listed.values()]
    tables = [labelled(counts, [one.rhythm for one in kept], [str(one.patient) for one in kept]) for kept, counts in read]
    train, test, synthetic = (counts for _, counts in read)
    counts = None if given.quick else (train, test, synthetic)
    with ProgressBar("%") as bar:
        result = utility_of(*tables, seed=given.seed, seeds=given.seeds, counts=counts, told=lambda share: bar(round(100 * share), 100, "trained"))
    facts = {option.strip("-").replace("-", "_"): [str(folder) for folder in folders] for option, (folders, _) in sources.items()}
    if given.json:
        return {**result, "experiments": EXPERIMENTS, "published": PUBLISHED, "compared": facts}
    headline = []
    for classifier, one in result["headline"].items():
        low, high = one["ci"] or (None, None)
        headline.append({"classifier": classifier, "TSTR/TRTR": one["value"], "low": low, "high": high, "reason": one["reason"]})
    figures = as_table(result).astype(object)
    rows = figures.where(figures.notna(), None).to_dict("records")
    return {"headline": headline, "figures": rows, "experiments": EXPERIMENTS, "published": PUBLISHED, "seed": given.seed, "seeds": given.seeds}
