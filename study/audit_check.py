"""Checks a database, or an export bundle, against its audit trail: whether what is there now is what was written down when it happened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from storage import amendments, audit, closings, commitments, export, judgements, signatures, snapshots
from storage import studies as stored
from storage.database import Database
from storage.errors import StorageError
from study import allocation
from study.amendments import AMENDED
from study.bundle_files import verify
from study.commitment import COMMITTED, digest
from study.errors import StudyError
from study.reading import given

_RESTORE = "Restore the database from a backup."


def database(db: Database) -> dict[str, Any]:
    """How many of what was checked. Raises StorageError that names the first entry, judgement or round that does not hold; writes nothing.

    The chain first, and that the database itself refuses to change what was said; then, both ways, that everything the trail has is there as it was
    written down, and that nothing is there beside it; then that each round's seeds are those committed to, and unblinded studies as their
    snapshots have them.
    """
    if not db.is_current():
        raise StorageError("The database is of an earlier version of blindstrip. Start this version with it once, which brings it up to date.")
    with db.read() as session:
        entries = audit.verify(session)
        if bare := audit.unguarded(session):
            raise StorageError(f"Table {bare[0]} can be changed: the triggers that refuse it are missing or say something else. {_RESTORE}")
        studies = stored.all_studies(session)
        found: dict[str, Any] = {"audit_entries": entries, "last_hash": audit.last_hash(session), "judgements": _judgements(session, studies)}
        for what, (rows, noted) in _written_down(session, studies).items():
            _both_ways(what, rows, noted)
            found[f"{what}s"] = len(rows)
        _seeds(session, studies)
        return found | {"snapshots": sum(_snapshot(session, study) for study in studies)}


def bundle(path: Path, db: Database | None = None) -> dict[str, Any]:
    """What was checked of a bundle: all that its own verify.py checks, that each reader's order follows from the seeds, and, where a database is
    given, that its audit trail is the bundle's. Raises StudyError that names the first thing that does not hold.
    """
    try:
        files = verify.read(path)
        found = verify.verify(files)
        found["orders"] = _orders(files)
    except verify.Broken as problem:
        raise StudyError(f"{path.name}: {problem}") from problem
    except verify.MALFORMED as error:
        raise StudyError(f"{path.name}: a file of the bundle is not as blindstrip writes it ({type(error).__name__}: {error}).") from error
    if db is not None:
        with db.read() as session:
            there = audit.hash_of(session, found["audit_entries"])
        if there != found["last_hash"]:
            raise StudyError(f"{path.name}: its audit trail is not that of the database, whose entry {found['audit_entries']} has hash {there}.")
        found["database"] = "its audit trail is the bundle's up to there"
    return found


# ---- of a database ----

Told = dict[str, Any]  # whose or which -> what is kept of it


def _judgements(session: Session, studies: list[stored.StudyRow]) -> int:
    noted = {
        (entry.subject, entry.person_id, entry.detail["position"], entry.detail["revision"]): entry.detail.get("to") or entry.detail["sha256"]
        for entry in export.entries(session, "judgement submitted", "judgement revised")
    }
    counted = len(noted)
    for study in studies:
        codes = {case.id: case.code for case in stored.cases(session, study.id)}
        for row in judgements.of_study(session, study.id, every_revision=True):
            code = codes.get(row.case_id, f"with id {row.case_id}, which was removed,")
            what = f"Revision {row.revision} of the judgement of case {code} by person {row.reader_id}"
            there = noted.pop((f"case {code}", row.reader_id, row.position, row.revision), None)
            if there is None:
                raise StorageError(f"{what} has no entry in the audit trail. {_RESTORE}")
            if there != given(row).sha256():
                raise StorageError(f"{what} was changed after it was given. {_RESTORE}")
    if noted:
        subject, person, _position, revision = next(iter(noted))
        raise StorageError(f"Revision {revision} of the judgement of {subject} by person {person} is in the audit trail alone. {_RESTORE}")
    return counted


def _written_down(session: Session, studies: list[stored.StudyRow]) -> dict[str, tuple[Told, Told]]:
    """What -> (as the tables have it, as the trail has it)."""
    rounds = [one for study in studies for one in stored.rounds(session, study.id)]
    plans = {entry.subject: entry.detail.get("plan", {}) for entry in export.entries(session, "round opened")}  # without the seeds
    bound = {round_id: sha256 for study in studies for round_id, sha256 in commitments.published(session, study.id).items()}
    under = {one.id: one.protocol_hash for one in rounds}
    amended = [(study.id, one) for study in studies for one in amendments.of_study(session, study.id)]
    return {
        "protocol": ({f"study {one.id}": [one.protocol, one.protocol_hash] for one in studies}, _protocols(session)),
        "freeze": (
            {f"study {one.id}": True for one in studies if one.frozen_at is not None},
            {entry.subject: True for entry in export.entries(session, "protocol frozen")},
        ),
        "amendment": (
            {f"study {study_id}, number {one.number}": [one.amended_by, one.before, one.after, one.reason] for study_id, one in amended},
            {
                f"{entry.subject}, number {entry.detail['number']}": [entry.person_id, *(entry.detail[name] for name in ("from", "to", "why"))]
                for entry in export.entries(session, AMENDED)
            },
        ),
        "opening": (
            {
                f"round {one.id}": {name: one.plan.get(name) for name in plans.get(f"round {one.id}", {})} if f"round {one.id}" in plans else None
                for one in rounds
            },
            plans,
        ),
        "commitment": (
            {f"round {round_id}": [sha256, under.get(round_id)] for round_id, sha256 in bound.items()},
            {entry.subject: [entry.detail["to"], entry.detail["protocol_hash"]] for entry in export.entries(session, COMMITTED)},
        ),
        "signature": (
            {f"round {key[0]} by person {key[1]}": told[1] for study in studies for key, told in signatures.of_study(session, study.id).items()},
            {f"{entry.subject} by person {entry.person_id}": entry.detail["judgements_sha256"] for entry in export.entries(session, "round signed")},
        ),
        "closing": (
            {f"round {one.round_id}": [one.closed_by, one.reason] for study in studies for one in closings.of_study(session, study.id)},
            {entry.subject: [entry.person_id, entry.detail["why"]] for entry in export.entries(session, "round closed")},
        ),
        "unblinding": (
            {f"study {one.id}": one.unblinded_by for one in studies if one.unblinded_at is not None},
            {entry.subject: entry.person_id for entry in export.entries(session, snapshots.UNBLINDED)},
        ),
    }


def _protocols(session: Session) -> Told:
    """Of each study that was set up: the rules that the trail has last, and their hash."""
    found: Told = {}
    for entry in export.entries(session, "study set up", "protocol changed", AMENDED):
        told = entry.detail  # an earlier version called the hash of a change "to", and the rules "protocol"
        found[entry.subject] = [told.get("protocol") or told.get("to"), told.get("protocol_hash") or told.get("to")]
    return found


def _both_ways(what: str, rows: Told, noted: Told) -> None:
    for which in {**noted, **rows}:
        if which not in rows:
            raise StorageError(f"The {what} of {which} is in the audit trail alone: the database has it no more. {_RESTORE}")
        if which not in noted or rows[which] != noted[which]:
            raise StorageError(f"The {what} of {which} is not the one in the audit trail. {_RESTORE}")


def _seeds(session: Session, studies: list[stored.StudyRow]) -> None:
    for study in studies:
        nonces = {row.round_id: row for row in commitments.to_check(session, study.id)}
        for one in stored.rounds(session, study.id):
            told = {"seed": None, "seeds": None, **one.plan}
            if one.id in nonces and digest(one.id, one.protocol_hash, nonces[one.id].nonce, told) != nonces[one.id].sha256:
                raise StorageError(f"The seeds of round {one.id} are not those that were committed to when it was opened. {_RESTORE}")


def _snapshot(session: Session, study: stored.StudyRow) -> int:
    if study.unblinded_at is None or (text := snapshots.stored(session, study.id)) is None:
        return 0
    if part := snapshots.differs(text, export.study_data(session, study.id)):
        raise StorageError(
            f"Study {study.id} ({study.title!r}) is not in the tables as its snapshot has it ({part}): something was changed after it was unblinded. "
            f"Its results are computed from the snapshot. {_RESTORE}"
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
    plans = {opened["round"]: opened["plan"] for opened in verify.document(files, "seeds.json")["rounds"] if opened["commitment"] is not None}
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
