"""What an importer lists, and what reading one of them gives."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.formats.leads import Stated
from generator.recordings.paths import inside
from generator.strip import Counts


@dataclass(frozen=True)
class Candidate:
    """A recording whose labels say NSR or AF; nothing of its signal has been read yet."""

    path: Path  # of the WFDB record, without extension; of any other file as it is
    record: str  # its name in the collection
    collection: str
    rhythm: str  # NSR or AF
    patient: str  # a pseudonym, see `pseudonym`; never the identifier in the file
    age: float | None = None  # years; 90 stands for "over 89"
    sex: str | None = None  # female, male
    fold: int | None = None  # as the collection splits itself (PTB-XL: 1 to 10, by patient)
    sha256: str | None = None  # of the strip, where the folder was written by `write_folder`: then the counts are taken as they are
    stated: Stated | None = None  # what the table says of a file that cannot say it


@dataclass(frozen=True, slots=True)
class Row:
    """What a collection's table says of one recording, wherever the recording lies: light, as a table may have a million."""

    place: str  # its path in the collection, without extension
    record: str  # its name in the collection
    rhythm: str | None  # None: neither NSR nor AF, and `reason` says why
    reason: str
    patient: str  # a pseudonym
    age: float | None = None
    sex: str | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Listing:
    """kind: 'PTB-XL', 'MIMIC-IV-ECG', 'folder' or 'strips'; left_out: rows of the table that carry neither rhythm, by reason."""

    kind: str
    candidates: list[Candidate]
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Recording:
    """counts: the strip. rate: samples/s of the file. unfiltered: (8, 1000) mV at 100 samples/s, cropped and resampled, before the band-pass.

    dropped: kinds of fields that the file holds and nobody reads (generator.formats.dropped).
    """

    counts: Counts
    rate: float
    unfiltered: NDArray[np.float32]
    dropped: frozenset[str] = frozenset()


def located(rows: Iterable[Row], collection: str, directory: Path, labels: Path) -> Listing:
    """The NSR and AF rows of a table as candidates below a folder. Raises GeneratorError for a path that leads out of it."""
    candidates: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for row in rows:
        if row.rhythm is None:
            left_out[row.reason] += 1
            continue
        path = inside(directory, row.place, labels)
        candidates.append(Candidate(path, row.record, collection, row.rhythm, row.patient, row.age, row.sex, row.fold))
    return Listing(collection, candidates, left_out)


def pseudonym(collection: str, patient: str) -> str:
    """The same patient of a collection always has the same 64 hex digits (SHA-256 of both). It links recordings; it does not anonymise."""
    return hashlib.sha256(f"{collection}\0{patient}".encode()).hexdigest()
