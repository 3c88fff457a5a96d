"""The command that trains a checkpoint, alone or as one of the processes that a launcher starts."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from generator.recordings import Candidate, find
from study.commands.common import check_device, own_folder
from study.commands.strips import in_folds
from study.errors import StudyError


def train(given: argparse.Namespace) -> dict[str, Any]:
    from generator.request import checkpoint_sha256
    from generator.sssd import checkpoint
    from generator.sssd import train as training
    from generator.sssd.training_set import TrainingSet
    from study.training_report import PAGE, TrainingReport

    check_device(given.device)
    out, main = own_folder(given.out), training.is_main_process()
    if not main:
        logging.getLogger("generator").setLevel(logging.ERROR)  # one process tells which recordings were refused
    learned, validated = _split(find(given.records, given.labels).candidates, given.folds, given.validate_folds, given.records)
    strips = TrainingSet.from_candidates(learned, quiet=not main)
    held_out = TrainingSet.from_candidates(validated, quiet=not main) if validated else None
    report = TrainingReport(strips, held_out, _facts(given), device=given.device) if main else None
    training.train(
        strips,
        out,
        given.minutes,
        iterations=given.iterations,
        held_out=held_out,
        device=given.device,
        precision=given.precision,
        seed=given.seed,
        settings=training.Settings(only_strips=given.only_strips),
        start=given.start,
        training_beats=not given.no_training_beats,
        on_interval=report,
        interval_seconds=given.report_every * 60,
    )
    if not main:
        sys.exit(0)  # one process answers
    answer = {"out": str(out), "report": str(out / PAGE), "checkpoint": checkpoint_sha256(out), "recordings": len(learned)}
    return answer | {name: value for name, value in checkpoint.read_config(out).trained.items() if name != "settings"}


def _split(listed: list[Candidate], folds: range | None, validate: range | None, folder: Path) -> tuple[list[Candidate], list[Candidate]]:
    """To learn and to hold out. StudyError where a fold or a patient would be in both."""
    if validate is None:
        return in_folds(listed, folds, folder), []
    if folds is not None and set(folds) & set(validate):
        raise StudyError(
            f"Folds {', '.join(map(str, sorted(set(folds) & set(validate))))} are in --folds and in --validate-folds. Leave them out of one."
        )
    held_out = in_folds(listed, validate, folder)
    learned = [one for one in in_folds(listed, folds, folder) if one.fold not in validate]
    shared = {one.patient for one in learned} & {one.patient for one in held_out}
    if shared:
        raise StudyError(f"{folder}: {len(shared)} patients have recordings in both sets of folds. Choose folds that are split by patient.")
    return learned, held_out


def _facts(given: argparse.Namespace) -> dict[str, str]:
    def told(folds: range | None) -> str:
        return "" if folds is None else f"{folds[0]} to {folds[-1]}" if len(folds) > 1 else str(folds[0])

    facts = {
        "Recordings": str(given.records),
        "Folds": told(given.folds),
        "Folds held out": told(given.validate_folds),
        "Trained further": "" if given.start is None else str(given.start),
        "To train": f"{given.minutes:g} min" if given.minutes is not None else f"{given.iterations} iterations of each network",
        "Seed": str(given.seed),
    }
    return {name: value for name, value in facts.items() if value}
