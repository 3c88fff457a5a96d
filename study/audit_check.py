"""Checks a database, or an export bundle, against its audit trail: whether what is there now is what was written down when it happened."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from storage import amendments, audit, commitments, export, judgements, signatures, snapshots
from storage import studies as stored
from storage.database import Database
from storage.errors import StorageError
from study import allocation
from study.amendments import AMENDED
from study.bundle_files import verify
from study.commitment import COMMITTED
from study.errors import StudyError
from study.reading import given

_RESTORE = "Restore the database from a backup."


def database(db: Database) -> dict[str, Any]:
    """How many of what was checked. Raises StorageError that names the first entry, judgement or round that does not hold; writes nothing.

    The chain first; then that every judgement, signature, amendment, commitment and snapshot is there with the hash that the trail has for it,
    that unblinded studies are as their snapshots have them, and that the database itself refuses to change what was said.
    """
    if not db.is_current():
        raise StorageError("The database is of an earlier version of blindstrip. Start this version with it once, which brings it up to date.")
    with db.read() as session:
        entries = audit.verify(session)
        if bare := audit.unguarded(session):
            raise StorageError(f"Table {bare[0]} can be changed: the triggers that refuse it are missing. {_RESTORE}")
        found: dict[str, Any] = {"audit_entries": entries, "last_hash": audit.last_hash(session), "judgements": 0, "signatures": 0, "amendments": 0}
        found |= {"commitments": 0, "snapshots": 0}
        for study in stored.all_studies(session):
            found["judgements"] += _judgements(session, study.id)
            found["signatures"] += _signatures(session, study.id)
            found["amendments"] += _amendments(session, study.id)
            found["commitments"] += _commitments(session, study.id)
            found["snapshots"] += _snapshot(session, study)
    return found


def bundle(path: Path, db: Database | None = None) -> dict[str, Any]:
    """What was checked of a bundle: all that its own verify.py checks, that each reader's order follows from the seeds, and, where a database is
    given, that its audit trail is the bundle's. Raises StudyError that names the first thing that does not hold.
    """
    try:
        files = verify.read(path)
        found = verify.verify(files)
    except verify.Broken as problem:
        raise StudyError(f"{path.name}: {problem}") from problem
    except (KeyError, ValueError, TypeError) as error:
        raise StudyError(f"{path.name}: a file of the bundle is not as blindstrip writes it ({type(error).__name__}: {error}).") from error
    found["orders"] = _orders(files)
    if db is not None:
        with db.read() as session:
            there = audit.hash_of(session, found["audit_entries"])
        if there != found["last_hash"]:
            raise StudyError(f"{path.name}: its audit trail is not that of the database, whose entry {found['audit_entries']} has hash {there}.")
        found["database"] = "its audit trail is the bundle's up to there"
    return found


# ---- of a database ----


def _judgements(session: Session, study_id: int) -> int:
    codes = {case.id: case.code for case in stored.cases(session, study_id)}
    rows, own = judgements.of_study(session, study_id, every_revision=True), {f"case {code}" for code in codes.values()}
    noted = {
        (entry.subject, entry.person_id, entry.detail["position"], entry.detail["revision"]): entry.detail.get("to") or entry.detail["sha256"]
        for entry in export.entries(session, "judgement submitted", "judgement revised")
        if entry.subject in own
    }
    for row in rows:
        what = f"Revision {row.revision} of the judgement of case {codes[row.case_id]} by person {row.reader_id}"
        there = noted.pop((f"case {codes[row.case_id]}", row.reader_id, row.position, row.revision), None)
        if there is None:
            raise StorageError(f"{what} has no entry in the audit trail. {_RESTORE}")
        if there != given(row).sha256():
            raise StorageError(f"{what} was changed after it was given. {_RESTORE}")
    if noted:
        subject, person, _position, revision = next(iter(noted))
        raise StorageError(f"Revision {revision} of the judgement of {subject} by person {person} is in the audit trail alone. {_RESTORE}")
    return len(rows)


def _signatures(session: Session, study_id: int) -> int:
    rows = signatures.of_study(session, study_id)
    noted = {(entry.subject, entry.person_id): entry.detail["judgements_sha256"] for entry in export.entries(session, "round signed")}
    for (round_id, reader_id), (_at, sha256) in rows.items():
        if noted.get((f"round {round_id}", reader_id)) != sha256:
            raise StorageError(f"The signature of round {round_id} by person {reader_id} is not the one in the audit trail. {_RESTORE}")
    return len(rows)


def _amendments(session: Session, study_id: int) -> int:
    rows = amendments.of_study(session, study_id)
    noted = [entry.detail for entry in export.trail(session, f"study {study_id}", AMENDED)]
    told = [(one["number"], one["from"], one["to"], one["why"]) for one in noted]
    if told != [(row.number, row.before, row.after, row.reason) for row in rows]:
        raise StorageError(f"The amendments of study {study_id} are not those in the audit trail. {_RESTORE}")
    return len(rows)


def _commitments(session: Session, study_id: int) -> int:
    rows = commitments.published(session, study_id)
    noted = {entry.subject: entry.detail["to"] for entry in export.entries(session, COMMITTED)}
    for round_id, sha256 in rows.items():
        if noted.get(f"round {round_id}") != sha256:
            raise StorageError(f"The commitment of round {round_id} is not the one in the audit trail. {_RESTORE}")
    return len(rows)


def _snapshot(session: Session, study: stored.StudyRow) -> int:
    if study.unblinded_at is None or (text := snapshots.stored(session, study.id)) is None:
        return 0
    if hashlib.sha256(snapshots.content(export.study_data(session, study.id))).digest() != hashlib.sha256(text).digest():
        raise StorageError(
            f"Study {study.id} ({study.title!r}) is not in the tables as its snapshot has it: something was changed after it was unblinded. Its "
            f"results are computed from the snapshot. {_RESTORE}"
        )
    return 1


# ---- of a bundle ----


def _orders(files: Mapping[str, bytes]) -> str:
    """Draws each reader's order of each round again from the seed that the round's commitment binds."""
    persons = {row["reader"]: int(row["person"]) for row in verify.rows(files, "readers.csv")}
    cases = {(row["round"], row["case"]): row for row in verify.rows(files, "cases.csv")}
    placed: dict[tuple[int, str, int], list[tuple[int, str]]] = {}
    for row in verify.rows(files, "placements.csv"):
        placed.setdefault((int(row["round"]), row["reader"], int(row["phase"])), []).append((int(row["position"]), row["case"]))
    plans = {opened["round"]: opened["plan"] for opened in verify.seeds(files)["rounds"] if opened["commitment"] is not None}
    checked = 0
    for (number, reader, phase), order in placed.items():
        if number not in plans:
            continue
        own = sorted((code for _position, code in order), key=lambda code: int(cases[str(number), code]["number"]))
        place = {code: i for i, code in enumerate(own)}
        repeats = {i: place[original] for i, code in enumerate(own) if (original := cases[str(number), code]["repeat_of"]) in place}
        plan = plans[number]
        drawn = allocation.order(len(own), repeats, plan["min_repeat_distance"], plan["seed"], persons[reader], phase=phase)
        if [own[i] for i in drawn] != [code for _position, code in sorted(order)]:
            raise StudyError(f"placements.csv: the order of {reader} in round {number} does not follow from the round's seed.")
        checked += 1
    return f"{checked} orders follow from the seeds" if checked else "no commitment to check orders against"
