"""Recordings come in: from a folder, or from a zip that somebody uploads. What cannot be used is counted by reason and named; the rest goes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from generator.errors import Refused
from generator.recordings import Candidate, Recording, find, read_all
from generator.strip import strip_hash, to_bytes
from storage import audit, strips
from storage.database import Database
from study.errors import Cancelled, StudyError
from study.parsing import Asked, Found, Read, read_apart
from study.people import Person
from study.roles import Action, demand

BATCH = 100  # recordings in one transaction: the write lock is held while they are stored, not while they are read
OTHER_RHYTHM = "in the database with the other rhythm"

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Intake:
    """What became of the recordings of a folder."""

    imported: int = 0
    already_present: int = 0
    refused: dict[str, list[str]] = field(default_factory=dict)  # by reason: a message for each, that begins with the file's name
    left_out: dict[str, int] = field(default_factory=dict)  # rows of the table that are neither NSR nor AF, by reason
    dropped: dict[str, int] = field(default_factory=dict)  # files by the kind of field that was left in them (generator.formats.dropped)

    def counts(self) -> dict[str, int | dict[str, int]]:
        """As the command answers under --json."""
        return {
            "imported": self.imported,
            "already_present": self.already_present,
            "refused": {reason: len(messages) for reason, messages in self.refused.items()},
            "left_out": self.left_out,
            "dropped": self.dropped,
        }


def import_recordings(
    db: Database,
    person: Person | None,
    directory: Path,
    labels: Path | None = None,
    progress: Progress | None = None,
    *,
    collection: str | None = None,
    archive: Path | None = None,
    cancelled: Callable[[], bool] | None = None,
    job_id: int | None = None,
    apart: bool = False,
) -> Intake:
    """Bring in every NSR and AF recording of a folder (layouts: generator.recordings.find); a recording that is there already is not stored twice.

    person: who asks, None for the command line. collection: what a plain folder's recordings are filed under, by default the folder's name.
    archive: an uploaded zip, to be unpacked into the directory first. apart: the files are read by a process of their own, with limits
    (study.parsing); always so for an archive.
    Raises NotAllowed; GeneratorError or StudyError for a missing folder, a broken table, a zip that is none, a folder of drawn strips;
    Cancelled between two batches, the batches before it stay.
    """
    if person is not None:
        demand(person, Action.IMPORT_RECORDINGS)
    asked = Asked(directory, labels, collection, archive)
    with read_apart(asked, cancelled) if apart or archive else _read_here(asked) as found:
        if found.kind == "strips":
            raise StudyError(f"{directory}: these strips were drawn by blindstrip, not recorded from patients. Import recordings only.")
        who = None if person is None else person.id
        with db.write() as session:
            audit.append(session, who, "import began", found.kind, {"folder": directory.name, "recordings": found.total})
        intake = Intake(left_out=dict(found.left_out))
        results = _told(found, progress)
        while batch := list(islice(results, BATCH)):
            if cancelled is not None and cancelled():
                raise Cancelled(f"Import cancelled: {intake.imported} recordings had come in and stay.")
            intake = _store(db, batch, intake, str(directory.resolve()), job_id)
        with db.write() as session:
            audit.append(session, who, "import ended", found.kind, {"folder": directory.name, **intake.counts()})
    return intake


@contextmanager
def _read_here(asked: Asked) -> Iterator[Found]:
    """The recordings of a folder, read by this process and without a limit."""
    listing = find(asked.directory, asked.labels, collection=asked.collection)
    results = (
        (candidate, Read(result.counts, result.rate, result.dropped) if isinstance(result, Recording) else result)
        for candidate, result in read_all(listing.candidates, recorded=True)
    )
    yield Found(listing.kind, len(listing.candidates), dict(listing.left_out), results)


def _told(found: Found, progress: Progress | None) -> Iterator[tuple[Candidate, Read | Refused]]:
    for done, one in enumerate(found.results, start=1):
        yield one
        if progress is not None:
            progress(done, found.total)


def _store(db: Database, batch: list[tuple[Candidate, Read | Refused]], before: Intake, directory: str, job_id: int | None) -> Intake:
    """One transaction: the recordings of a batch that are not there yet."""
    imported, already_present = before.imported, before.already_present
    refused = {reason: list(messages) for reason, messages in before.refused.items()}
    read = [(candidate, result) for candidate, result in batch if isinstance(result, Read)]
    dropped = Counter(before.dropped) + Counter(kind for _, recording in read for kind in recording.dropped)
    for _, result in batch:
        if isinstance(result, Refused):
            refused.setdefault(result.reason, []).append(str(result).replace(directory + "/", ""))
    with db.write() as session:
        rhythms = strips.rhythms(session, [strip_hash(recording.counts) for _, recording in read])
        for candidate, recording in read:
            digest = strip_hash(recording.counts)
            if digest not in rhythms:
                strips.add_recording(session, new_recording(candidate, recording, job_id))
                rhythms[digest] = candidate.rhythm
                imported += 1
            elif rhythms[digest] == candidate.rhythm:
                already_present += 1
            else:
                message = f"{candidate.record}: labelled {candidate.rhythm} here, stored as {rhythms[digest]}. Correct the table or leave it out."
                refused.setdefault(OTHER_RHYTHM, []).append(message)
    return Intake(imported, already_present, refused, before.left_out, dict(dropped))


def new_recording(candidate: Candidate, recording: Read | Recording, job_id: int | None = None) -> strips.NewRecording:
    """As it is stored."""
    return strips.NewRecording(
        samples=to_bytes(recording.counts),
        rhythm=candidate.rhythm,
        collection=candidate.collection,
        record=candidate.record,
        patient=candidate.patient,
        rate=recording.rate,
        age=candidate.age,
        sex=candidate.sex,
        job_id=job_id,
    )
