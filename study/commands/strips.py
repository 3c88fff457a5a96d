"""Commands on strips: bring them in, draw, measure. Heavy libraries are imported by the commands that need them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.cores import cores
from generator.errors import Refused
from generator.quality_control import copies_checked
from generator.recordings import Candidate, Journal, find, read_all
from generator.request import RHYTHMS, DrawRequest
from generator.strip import Counts
from study import intake, sampling
from study.commands.common import check_device, checkpoint_folder, database, own_folder
from study.errors import StudyError
from study.progress_bar import ProgressBar, say
from study.rejections import COPIES_NOT_CHECKED, Rejected

if TYPE_CHECKING:
    from generator.leak_features import Signals


def import_recordings(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db, ProgressBar("recordings") as bar:
        done = intake.import_recordings(db, None, given.directory, given.labels, bar, apart=True)
    for message in (message for messages in done.refused.values() for message in messages):
        say(f"refused: {message}")
    for reason, number in done.left_out.items():
        say(f"left out: {number} rows of the table, {reason}")
    for kind, number in sorted(done.dropped.items()):
        say(f"not stored: {kind} ({number} files)")
    return {
        "imported": done.imported,
        "already_present": done.already_present,
        "refused": {reason: len(messages) for reason, messages in done.refused.items()},
        "dropped": done.dropped,
    }


def sample(given: argparse.Namespace) -> dict[str, Any]:
    settings = ("rhythm", "n", "seed", "steps", "sampler", "guidance", "heart_rate")
    request = DrawRequest(**{name: getattr(given, name) for name in settings})
    out = own_folder(given.out)
    try:
        with ProgressBar("strips found") as bar:
            journal = Journal(out, bar)
        with journal, _draw(given) as draw, ProgressBar(f"{request.rhythm} strips") as bar:
            done = sampling.sample(request, journal, draw, bar)
    except KeyboardInterrupt:
        raise StudyError(f"Stopped. What was drawn is in {out}; the same command goes on.") from None
    rejected = Rejected(request.n, done.rejected)
    if done.rejected:
        say(f"rejected: {rejected.warning or rejected.sentence} The manifest lists them.")
    if not copies_checked(done.quality_control):
        say(COPIES_NOT_CHECKED)
    return {
        "out": str(out),
        "drawn": done.drawn,
        "rejected": done.rejected.total(),
        "rejected_share": round(rejected.share, 4),
        "rejected_reasons": dict(done.rejected),
        "quality_control": done.quality_control,
        "checkpoint": done.checkpoint,
        "seed": request.seed,
        "continued_from": done.continued_from,
    }


def leak(given: argparse.Namespace) -> dict[str, Any]:
    from generator.leak import leak as canonical
    from generator.leak import leak_as_is

    if given.report is not None:
        own_folder(given.report.parent)
    lists = _files_in if given.as_is else listed_in
    listed = [lists(folders) for folders in (given.real, given.synthetic)]
    chosen = listed if given.n is None else [_chosen(candidates, given.n, given.seed) for candidates in listed]
    real, synthetic = chosen
    if given.as_is:
        found = leak_as_is(_read_files(real), _read_files(synthetic), given.seed)
    else:
        found = canonical(read_counts(real)[1], read_counts(synthetic)[1], given.seed)
    report = found.as_dict()
    if given.report is not None:
        _write_leak_page(given, report)
    return report


# ---- where strips are drawn ----


@contextmanager
def _draw(given: argparse.Namespace) -> Iterator[sampling.Draw]:
    """On the workers of --scheduler, else in this process."""
    if given.scheduler is None:
        check_device(given.device)
        yield sampling.in_this_process(checkpoint_folder(given), given.device, cores())
        return
    if given.device != "auto":
        raise StudyError("With --scheduler, its workers draw on the devices that they have. Leave --device out.")
    from study.drawing import Drawer

    logging.getLogger("distributed").setLevel(logging.ERROR)
    told: set[str] = set()

    def waiting(words: str) -> None:
        if words not in told:
            told.add(words)
            say(f"{words} ...")

    drawer = Drawer(given.scheduler)
    try:
        yield sampling.on_dask(drawer, checkpoint_folder(given), waiting)
    finally:
        drawer.close()


# ---- folders of strips ----


def listed_in(folders: Sequence[Path], folds: range | None = None) -> list[Candidate]:
    """The NSR and AF strips of folders; each drawn one is a patient of its own."""
    listed: list[Candidate] = []
    for folder in folders:
        found = find(folder)
        drawn = found.kind == "strips"
        listed += [replace(one, patient=str(one.path)) if drawn else one for one in in_folds(found.candidates, folds, folder)]
    return listed


def keep_patients_apart(listed: Mapping[str, list[Candidate]], remedy: str) -> None:
    """StudyError where two sets share a patient, before hundreds of files are read. listed: by the option that names them."""
    for (one, of_one), (other, of_other) in combinations(listed.items(), 2):
        shared = sorted({str(strip.patient) for strip in of_one} & {str(strip.patient) for strip in of_other})
        if shared:
            some = ", ".join(name[:12] for name in shared[:3])
            raise StudyError(f"{len(shared)} patients are in both {one} and {other} ({some} ...). Split them by patient: {remedy}")


def in_folds(candidates: list[Candidate], folds: range | None, folder: Path) -> list[Candidate]:
    """Those of a folder that lie in the folds (None: all). StudyError where none does."""
    if folds is None:
        return candidates
    chosen = [one for one in candidates if one.fold in folds]
    if not chosen:
        there = ", ".join(map(str, sorted({one.fold for one in candidates if one.fold is not None}))) or "none"
        raise StudyError(f"{folder}: no recording is in the folds asked for; its table has {there}. Name others, or leave the folds out.")
    return chosen


def _chosen(candidates: list[Candidate], n: int, seed: int) -> list[Candidate]:
    """n of them by seed, half of each rhythm (NSR has the odd one); where no table names rhythms, n of all."""
    rng = np.random.default_rng(seed)
    if not all(one.rhythm for one in candidates):
        if len(candidates) < n:
            raise StudyError(f"{n} files were asked for in each arm, {len(candidates)} are there. Ask for fewer with --n.")
        return [candidates[i] for i in rng.permutation(len(candidates))[:n]]
    chosen: list[Candidate] = []
    for rhythm, wanted in zip(RHYTHMS, (n - n // 2, n // 2), strict=True):
        there = [one for one in candidates if one.rhythm == rhythm]
        if len(there) < wanted:
            raise StudyError(f"{wanted} {rhythm} strips were asked for in each arm, {len(there)} are there. Ask for fewer with --n.")
        chosen += [there[i] for i in rng.permutation(len(there))[:wanted]]
    return chosen


def _files_in(folders: Sequence[Path]) -> list[Candidate]:
    from generator.leak_files import files_in

    return [one for folder in folders for one in files_in(folder)]


def _read_files(candidates: list[Candidate]) -> list[Signals]:
    """Those that can be read; those refused are told."""
    from generator.leak_files import read_files

    with ProgressBar("files read") as bar:
        read, refused = read_files(candidates, bar)
    for one in refused:
        say(f"refused: {one}")
    return read


def _write_leak_page(given: argparse.Namespace, report: dict[str, Any]) -> None:
    from study.leak_page import page

    form = "files as they are" if given.as_is else "in the canonical form"
    facts = {f"{arm}, {report[arm]} strips": ", ".join(map(str, getattr(given, arm))) for arm in ("real", "synthetic")}
    part = given.report.with_name(given.report.name + ".part")
    part.write_text(page(report, facts | {"looked at": form, "seed": str(given.seed)}), encoding="utf-8")
    part.replace(given.report)


def read_counts(candidates: list[Candidate]) -> tuple[list[Candidate], Counts]:
    """Those that can be read, with their counts (n, 8, 1000); those refused are told."""
    kept: list[Candidate] = []
    counts: list[Counts] = []
    with ProgressBar("strips read") as bar:
        for candidate, recording in read_all(candidates, bar):
            if isinstance(recording, Refused):
                say(f"refused: {recording}")
            else:
                kept.append(candidate)
                counts.append(recording.counts)
    if not kept:
        raise StudyError(f"None of {len(candidates)} strips of NSR or AF could be read. Check the folders and their tables of labels.")
    return kept, np.stack(counts)
