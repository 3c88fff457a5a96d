"""`blindstrip quality`: how good the strips of folders are, beside recordings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from generator.quality.result import CHEAP, PARTS, RHYTHMS, Quality, Strips
from study import quality as of_strips
from study.commands.common import own_folder
from study.commands.strips import keep_patients_apart, listed_in, read_counts
from study.progress_bar import ProgressBar, say
from study.quality_page import page


def arguments(one: argparse.ArgumentParser) -> None:
    """What the command takes beside its folders and its seed."""
    one.add_argument("--quick", action="store_true", help=f"only what trains no network: {', '.join(CHEAP)}")
    one.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page too, with the closest pairs on ECG paper")


def quality(given: argparse.Namespace) -> dict[str, Any]:
    """The measurement as JSON, or as tables to read."""
    if given.report is not None:
        own_folder(given.report.parent)
    sources = (("real", [given.real], given.real_folds), ("synthetic", given.synthetic, None), ("train", [given.train], given.train_folds))
    listed = [(name, listed_in(folders, folds)) for name, folders, folds in sources]  # all of them before any is read
    held, _, learned = (candidates for _, candidates in listed)
    remedy = "name folds with --real-folds and --train-folds, or other folders."
    keep_patients_apart({"--real": held, "--train": learned}, remedy)
    read = {name: read_counts(candidates) for name, candidates in listed}
    arms = {name: Strips.of(counts, [one.rhythm for one in kept], [str(one.patient) for one in kept]) for name, (kept, counts) in read.items()}
    with ProgressBar("%") as bar:
        parts = CHEAP if given.quick else PARTS
        progress = lambda done, total, doing: bar(100 * done / total, 100, doing)  # noqa: E731
        result = of_strips.measure(arms["real"], arms["synthetic"], arms["train"], given.seed, progress, parts)
    named = {name: [str(one.path) for one in kept] for name, (kept, _) in read.items()}
    facts = {name: ", ".join(map(str, folders)) + (f" (folds {_folds(folds)})" if folds else "") for name, folders, folds in sources}
    if given.report is not None:
        _write(given.report, facts, result, {name: counts for name, (_, counts) in read.items()}, named)
        say(f"report: {given.report}")
    if given.json:
        pairs = [
            {**row, "synthetic_strip": named["synthetic"][row["synthetic"]], "train_strip": named["train"][row["train"]]} for row in _pairs(result)
        ]
        return {**result.as_dict(), "compared": facts, "pairs": pairs}
    return _to_read(result, facts, named)


def _pairs(result: Quality) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result.as_dict()["pairs"]
    return rows


def _to_read(result: Quality, facts: dict[str, str], named: dict[str, list[str]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"compared": facts, "strips": [{"set": name, **sizes} for name, sizes in result.sizes.items()]}
    answer["targets"] = of_strips.target_rows(result)
    for part in result.parts:
        answer[of_strips.TITLES[part][0]] = of_strips.figure_rows(result, part)
    if result.pairs:
        answer["closest pairs"] = [
            {"rhythm": one.rhythm, "distance": one.distance, "synthetic": named["synthetic"][one.synthetic], "train": named["train"][one.train]}
            for one in result.pairs
        ]
    left_out = [part for part in PARTS if part not in result.parts]
    return answer | {"not measured": left_out, "seed": result.seed, "n": "synthetic / real / real beside", "seconds": sum(result.seconds.values())}


def _write(file: Path, facts: dict[str, str], result: Quality, counts: dict[str, Any], named: dict[str, list[str]]) -> None:
    sizes = {f"{name}, strips": ", ".join(f"{of_one[rhythm]} {rhythm}" for rhythm in RHYTHMS) for name, of_one in result.sizes.items()}
    left_out = ", ".join(part for part in PARTS if part not in result.parts) or "nothing"
    facts = {**facts, **sizes, "not measured": left_out, "seed": str(result.seed)}
    facts |= {"versions": ", ".join(f"{name} {number}" for name, number in result.versions.items())}
    pairs = []
    for one in result.pairs:
        synthetic = f"{one.rhythm}, distance {one.distance:.3f}. Synthetic: {named['synthetic'][one.synthetic]}"
        pairs.append((synthetic, counts["synthetic"][one.synthetic], f"Training strip: {named['train'][one.train]}", counts["train"][one.train]))
    part = file.with_name(file.name + ".part")
    part.write_text(page("Quality of synthetic strips", facts, result, pairs), encoding="utf-8")
    part.replace(file)


def _folds(folds: Sequence[int]) -> str:
    return f"{folds[0]}" if len(folds) == 1 else f"{folds[0]}-{folds[-1]}"
