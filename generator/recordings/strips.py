"""Folders of strips: WFDB records under names that say nothing, and a manifest.json that says everything. Counts survive exactly."""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import GeneratorError, Refused
from generator.leads import LEADS, STORED, twelve_leads
from generator.recordings.candidate import Candidate, Listing, pseudonym
from generator.recordings.labels import rhythm_from_word
from generator.recordings.paths import inside
from generator.recordings.wfdb_record import read_digital
from generator.strip import MICROVOLTS_PER_COUNT, RATE, SAMPLES, Counts, strip_hash

MANIFEST = "manifest.json"
COLLECTION = "drawn"
HALVES = 2  # aVR, aVL and aVF are half-counts: every lead is written in half-counts, 2.5 microvolts
GAIN = HALVES * 1000 / MICROVOLTS_PER_COUNT  # units per mV in the header
LARGEST = 32767 // HALVES  # -32768 means "no sample" in format 16


@dataclass(frozen=True)
class WrittenStrip:
    """A strip and what the manifest says of it."""

    counts: Counts  # (8, 1000)
    rhythm: str  # NSR or AF
    seed: int  # of the batch
    number: int  # in the batch
    details: dict[str, Any] = field(default_factory=dict)  # conditions and the like


def write_folder(directory: Path, strips: list[WrittenStrip], manifest: dict[str, Any]) -> list[str]:
    """Write strips as 12-lead WFDB records (format 16) with a manifest; returns their names in the order given.

    Names are 16 hex digits drawn from the strips' seeds, and records are listed by name: neither tells the order they were drawn in.
    manifest: what holds for all of them (checkpoint, sampler, steps, guidance, ...). Raises GeneratorError if the folder holds a manifest already.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / MANIFEST).exists():
        raise GeneratorError(f"{directory}: holds a {MANIFEST} already. Name an empty folder.")
    names = [opaque_name(strip.seed, strip.number) for strip in strips]
    if len(set(names)) != len(names):
        raise GeneratorError("Two strips have the same seed and number. Number the strips of a batch.")
    entries = [write_strip(directory, strip) for strip in strips]
    write_manifest(directory, manifest, sorted(entries, key=lambda entry: entry["record"]))
    return names


def write_strip(directory: Path, strip: WrittenStrip) -> dict[str, Any]:
    """Write one record and return its entry of the manifest. Whenever this is interrupted, a file is there whole or not at all."""
    name = opaque_name(strip.seed, strip.number)
    for file, content in record_files(name, strip.counts).items():
        _write_whole(directory / file, content)
    return {
        "record": name, "rhythm": strip.rhythm, "seed": strip.seed, "number": strip.number, "sha256": strip_hash(strip.counts), **strip.details,
    }  # fmt: skip


def write_manifest(directory: Path, manifest: dict[str, Any], entries: Iterable[dict[str, Any]]) -> None:
    """Write the manifest, last of all: a folder without it is not finished. entries: of `write_strip`, by record; they may be many."""
    part = _part(directory / MANIFEST)
    with part.open("w", encoding="utf-8") as text:
        text.write(json.dumps({**manifest, "strips": []}, indent=1, allow_nan=False).removesuffix("]\n}"))
        between = "\n"
        for entry in entries:
            text.write(between + textwrap.indent(json.dumps(entry, indent=1, allow_nan=False), "  "))
            between = ",\n"
        text.write("]\n}\n" if between == "\n" else "\n ]\n}\n")
        text.flush()
        os.fsync(text.fileno())
    part.replace(directory / MANIFEST)


def is_there(directory: Path, name: str, sha256: str) -> bool:
    """Whether both files of a strip are what `write_strip` wrote, to the byte."""
    try:
        samples = np.frombuffer((directory / f"{name}.dat").read_bytes(), dtype="<i2").reshape(SAMPLES, len(LEADS))
        counts = _counts(samples.T)
        written = record_files(name, counts)
        return strip_hash(counts) == sha256 and all((directory / file).read_bytes() == content for file, content in written.items())
    except (OSError, ValueError, GeneratorError):
        return False


def read_manifest(file: Path) -> dict[str, Any]:
    """The manifest of a folder that `write_folder` wrote. Raises GeneratorError if it is not one."""
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise GeneratorError(f"{file}: no readable manifest ({error}). Draw the folder again.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("strips"), list):
        raise GeneratorError(f"{file}: no list of strips in it. Name the folder that `blindstrip sample` wrote.")
    return manifest


def listing(directory: Path, file: Path) -> Listing:
    """The strips of a manifest as candidates whose counts are read exactly. Raises GeneratorError for a manifest that is not one of ours."""
    candidates = []
    for entry in read_manifest(file)["strips"]:
        try:
            record, word, digest = str(entry["record"]), str(entry["rhythm"]), str(entry["sha256"])
            origin = f"{entry['seed']}/{entry['number']}"
        except (KeyError, TypeError) as error:
            raise GeneratorError(f"{file}: a strip without {error}. Draw the folder again.") from error
        rhythm, reason = rhythm_from_word(word)
        if rhythm is None:
            raise GeneratorError(f"{file}: strip {record}: {reason}. Draw the folder again.")
        candidates.append(Candidate(inside(directory, record, file), record, COLLECTION, rhythm, pseudonym(COLLECTION, origin), sha256=digest))
    return Listing("strips", candidates, Counter())


def read_exactly(path: Path, sha256: str) -> Counts:
    """The counts of a strip as they were written: no second filter. Raises Refused if the file is not the strip that the manifest names."""
    digital, names, gains = read_digital(path)
    if names != list(LEADS) or set(gains) != {GAIN} or digital.shape != (len(LEADS), SAMPLES):
        raise Refused("wrong header", f"{path}: not a strip as blindstrip writes it. Draw the folder again, or list its records in labels.csv.")
    counts = _counts(digital)
    if strip_hash(counts) != sha256 or not np.array_equal(digital, half_counts(counts)):
        raise Refused("changed samples", f"{path}: samples differ from the manifest's sha256. Draw the folder again.")
    return counts


def opaque_name(seed: int, number: int) -> str:
    """16 hex digits: the name of a batch's strip says neither its number nor its rhythm."""
    return np.random.default_rng([seed, number]).bytes(8).hex()


def record_files(name: str, counts: Counts, comments: Sequence[str] = ()) -> dict[str, bytes]:
    """The files of a record, byte for byte as wfdb.wrsamp writes them in 20 ms: a GPU draws a strip in that time.

    comments: lines of the header, none of them empty. GeneratorError for a strip whose leads do not fit 16 bits.
    """
    digital = half_counts(counts)
    if np.abs(digital).max() > HALVES * LARGEST:
        raise GeneratorError(f"Strip {name} exceeds {LARGEST * MICROVOLTS_PER_COUNT / 1000:.0f} mV and cannot be written as 16 bit.")
    lines = [f"{name} {len(LEADS)} {RATE} {SAMPLES}"]
    lines += [
        f"{name}.dat 16 {GAIN}(0)/mV 16 0 {first} {checksum} 0 {lead}"
        for lead, first, checksum in zip(LEADS, digital[:, 0], digital.sum(axis=1) % 65536, strict=True)
    ]
    told = [f"# {comment}" for comment in comments]
    header = "".join(f"{line}\n" for line in (*lines, *told))
    return {f"{name}.dat": digital.T.astype("<i2").tobytes(), f"{name}.hea": header.encode()}


def half_counts(counts: Counts) -> NDArray[np.int64]:
    """(12, 1000) half-counts in the order of LEADS, as written to files."""
    return np.rint(twelve_leads(counts) * HALVES).astype(np.int64)


def _counts(digital: NDArray[np.integer]) -> Counts:
    """(8, 1000) counts of (12, 1000) half-counts."""
    return (digital[[LEADS.index(lead) for lead in STORED]] // HALVES).astype(np.int16)


def _write_whole(file: Path, content: bytes) -> None:
    part = _part(file)
    part.write_bytes(content)
    part.replace(file)


def _part(file: Path) -> Path:
    return file.with_name(file.name + ".part")
