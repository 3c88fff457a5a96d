"""Recordings come in: `find` lists those that are NSR or AF, `read` turns one into a strip or says why not.

Layouts: PTB-XL, MIMIC-IV-ECG, any folder of recordings (WFDB, or a file each: generator.formats) with a table, and folders of strips that
`write_folder` or a `Journal` wrote.
The kind is told by the table's columns. Label rules: generator.recordings.labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from generator import formats
from generator.errors import GeneratorError, Refused
from generator.formats.synthetic import says_synthetic
from generator.recordings import folder, mimic, ptbxl, strips, table
from generator.recordings.candidate import Candidate, Listing, Recording
from generator.recordings.folder import is_other_file
from generator.recordings.journal import JOURNAL, Journal
from generator.recordings.strips import WrittenStrip, read_manifest, write_folder
from generator.recordings.wfdb_record import read_leads
from generator.strip import MICROVOLTS_PER_COUNT, RATE, canonical_from_unfiltered, unfiltered

__all__ = [
    "Candidate",
    "Journal",
    "Listing",
    "Recording",
    "WrittenStrip",
    "find",
    "read",
    "read_all",
    "read_manifest",
    "read_recorded",
    "write_folder",
]

TABLES = ("ptbxl_database.csv", mimic.MEASUREMENTS, mimic.RECORDS, strips.MANIFEST, "labels.csv")  # looked for in this order

REASONS_TOLD = 50  # why rows were left out; beyond, they are counted together

Progress = Callable[[int, int], None]  # done, total


def find(directory: Path, labels: Path | None = None, *, collection: str | None = None) -> Listing:
    """The NSR and AF recordings of a folder; no signal is read.

    labels: the table (or manifest.json); paths in it are relative to `directory`. None: the one found in the folder or, if there is none, below it,
    paths then relative to where it lies. collection: for a plain folder, what its recordings are filed under (default: the folder's name).
    Raises GeneratorError for a missing folder, a missing or broken table, and columns of no known kind.
    """
    if not directory.is_dir():
        raise GeneratorError(f"{directory}: no such folder. Name the folder of recordings.")
    if labels is None:
        labels = _table_in(directory)
        directory = labels.parent
    return _each_once(_listing(directory, labels, collection), labels)


def read(candidate: Candidate) -> Recording:
    """The strip of a recording. Raises Refused, with a reason to count and a message that names the file; nothing else."""
    if candidate.sha256 is not None:
        counts = strips.read_exactly(candidate.path, candidate.sha256)
        return Recording(counts, RATE, (counts * (MICROVOLTS_PER_COUNT / 1000)).astype(np.float32))
    leads = formats.read(candidate.path, candidate.stated) if is_other_file(candidate.path) else read_leads(candidate.path)
    before = unfiltered(leads.millivolts, leads.rate, leads.names, name=str(candidate.path))
    return Recording(canonical_from_unfiltered(before), leads.rate, before.astype(np.float32), leads.dropped)


def read_recorded(candidate: Candidate) -> Recording:
    """As `read`, for what is to count as recorded from a patient: Refused, too, for a file that says itself that it is synthetic."""
    if says_synthetic(candidate.path):
        raise Refused("synthetic", f"{candidate.path}: says that it is SYNTHETIC, not recorded from a patient. Import recordings only.")
    return read(candidate)


def read_all(
    candidates: Iterable[Candidate], progress: Progress | None = None, *, recorded: bool = False
) -> Iterator[tuple[Candidate, Recording | Refused]]:
    """Each candidate with its recording or its refusal, in order; `progress(done, total)` after each. recorded: as `read_recorded`."""
    listed = list(candidates)
    for done, candidate in enumerate(listed, start=1):
        try:
            result: Recording | Refused = read_recorded(candidate) if recorded else read(candidate)
        except Refused as refused:
            result = refused
        yield candidate, result
        if progress is not None:
            progress(done, len(listed))


def _listing(directory: Path, labels: Path, collection: str | None) -> Listing:
    if labels.suffix.lower() == ".json":
        return strips.listing(directory, labels)
    names = set(table.columns(labels))
    if {"scp_codes", "filename_lr"} <= names:
        return ptbxl.listing(directory, labels)
    if "study_id" in names and names & {"report_0", "path"}:
        return mimic.listing(directory, labels)
    if {"record", "rhythm"} <= names:
        return folder.listing(directory, labels, collection or directory.resolve().name)
    raise GeneratorError(
        f"{labels}: columns {', '.join(sorted(names)[:12])} are of no known kind. "
        "Known: PTB-XL (scp_codes, filename_lr), MIMIC-IV-ECG (study_id, report_0 or path), or record,rhythm[,patient]."
    )


def _each_once(listing: Listing, labels: Path) -> Listing:
    """A table of a million rows that name one record must not have it read a million times, nor one of a million rhythms have each told.

    GeneratorError for a record with two rhythms.
    """
    kept: dict[Path, Candidate] = {}
    for candidate in listing.candidates:
        first = kept.setdefault(candidate.path, candidate)
        if first.rhythm != candidate.rhythm:
            raise GeneratorError(f"{labels}: record {candidate.record!r} is both {first.rhythm} and {candidate.rhythm}. Keep one row for it.")
    more = len(listing.candidates) - len(kept)
    left_out = Counter(dict(listing.left_out.most_common(REASONS_TOLD)))
    other = listing.left_out.total() - left_out.total()
    return Listing(listing.kind, list(kept.values()), left_out + Counter({"in the table once more": more, "other reasons": other}))


def _table_in(directory: Path) -> Path:
    for name in TABLES:
        if (directory / name).is_file():
            return directory / name
    below = [file for name in TABLES for file in sorted(directory.rglob(name))]
    folders = {file.parent for file in below}
    if len(folders) == 1:
        return below[0]
    if not below:
        for unfinished in directory.rglob(JOURNAL):
            raise GeneratorError(f"{unfinished.parent}: drawing these strips was not finished. The same `blindstrip sample` command goes on.")
        raise GeneratorError(f"{directory}: no table of labels ({', '.join(TABLES)}). Name it, or write labels.csv: record,rhythm,patient.")
    raise GeneratorError(f"{directory}: {len(folders)} folders with a table of labels. Import them one by one, or name the table with --labels.")
