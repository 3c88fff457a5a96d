"""Files for the leak gate, before the canonical form: what a reader who opens them, or a classifier, could tell arms apart by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from generator.errors import GeneratorError, Refused
from generator.leads import lead_name
from generator.leak_features import FEWEST_SECONDS, Signals
from generator.recordings import TABLES, Candidate, find
from generator.recordings.folder import is_other_file
from generator.recordings.wfdb_record import read_as_is

Progress = Callable[[int, int], None]  # done, total


def files_in(folder: Path) -> list[Candidate]:
    """The NSR and AF recordings of a folder by its table; without any table, all WFDB records in it, of which no rhythm is known.

    Raises GeneratorError for a missing folder, one without records, and a broken table.
    """
    if not folder.is_dir() or any(next(folder.rglob(name), None) for name in TABLES):
        return find(folder).candidates
    headers = sorted(folder.rglob("*.hea"))
    if not headers:
        raise GeneratorError(f"{folder}: neither a table of labels ({', '.join(TABLES)}) nor a WFDB record (.hea). Name the folder of the files.")
    records = [header.with_suffix("") for header in headers]
    return [Candidate(record, record.name, folder.name, "", str(record)) for record in records]


def read_files(candidates: Sequence[Candidate], progress: Progress | None = None) -> tuple[list[Signals], list[Refused]]:
    """What could be read, in order, and why the others could not; progress(done, total) after each."""
    read: list[Signals] = []
    refused: list[Refused] = []
    for done, candidate in enumerate(candidates, start=1):
        try:
            read.append(_signals(candidate.path))
        except Refused as error:
            refused.append(error)
        if progress is not None:
            progress(done, len(candidates))
    return read, refused


def _signals(path: Path) -> Signals:
    if is_other_file(path):
        raise Refused("unknown format", f"{path}: formats are compared between WFDB files only. Leave it out, or convert it to WFDB.")
    found = read_as_is(path)
    leads = tuple(lead_name(name) or "" for name in found.names)
    if not any(leads):
        raise Refused("missing lead", f"{path}: none of {', '.join(found.names)} is a lead of a 12-lead ECG. Correct the names in its header.")
    if found.microvolts.shape[1] < FEWEST_SECONDS * found.rate:
        seconds = found.microvolts.shape[1] / found.rate
        raise Refused("too short", f"{path}: {seconds:.1f} s. The leak gate needs {FEWEST_SECONDS:g} s. Leave it out.")
    return Signals(found.microvolts, found.stored, leads, found.rate, found.samples)
