"""Snapshots: a study as it was unblinded, kept as one text with a hash that the audit trail names. Later results are computed from it alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args, get_type_hints

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import export, studies
from storage.amendments import AmendmentRow
from storage.closings import ClosingRow
from storage.commitments import CommitmentRow
from storage.errors import StorageError
from storage.export import StudyData
from storage.judgements import JudgementRow
from storage.studies import CaseRow, PlacementRow, ReaderRow, RoundRow, StudyRow
from storage.tables import AuditEntry, Person, Snapshot
from storage.truth import Arm

VERSION = 1  # of the text; those without one are older, and read the same
UNBLINDED = "unblinded"  # the action of the audit entry whose detail names the snapshot
_ROWS: dict[str, Any] = {
    "rounds": RoundRow,
    "cases": CaseRow,
    "placements": PlacementRow,
    "judgements": JudgementRow,
    "amendments": AmendmentRow,
    "closings": ClosingRow,
    "commitments": CommitmentRow,
}

Row = TypeVar("Row")


def take(session: Session, study_id: int) -> str:
    """Stores the snapshot of a study, once, in the transaction that unblinds it; returns its SHA-256."""
    text = content(export.study_data(session, study_id))
    digest = hashlib.sha256(text).hexdigest()
    session.add(Snapshot(study_id=study_id, sha256=digest, content=gzip.compress(text, mtime=0)))
    session.flush()
    return digest


def study_data(session: Session, study_id: int) -> StudyData:
    """What the snapshot holds, with readers' names and classifier utility as they are now; of a study that was unblinded before there were
    snapshots, what the tables hold.

    Raises StorageError for an unknown study, before the study is unblinded, and for a snapshot that is not the one that the audit trail names.
    """
    if studies.study(session, study_id).unblinded_at is None or (text := stored(session, study_id)) is None:
        return export.study_data(session, study_id)
    data = _data(json.loads(text))
    names = {row.id: row.name for row in session.execute(select(Person.id, Person.name).where(Person.id.in_([one.id for one in data.readers])))}
    readers = [replace(one, name=names[one.id]) for one in data.readers]
    return replace(data, readers=readers, utility=studies.utility(session, study_id), snapshot=hashlib.sha256(text).hexdigest())


def sha256(session: Session, study_id: int) -> str | None:
    """Of the snapshot, where one was taken."""
    return session.scalar(select(Snapshot.sha256).where(Snapshot.study_id == study_id))


def stored(session: Session, study_id: int) -> bytes | None:
    """The snapshot's text, as it was hashed; None where none was taken. Raises StorageError if it is not the one that the audit trail names."""
    row = session.get(Snapshot, study_id)
    query = select(AuditEntry).where(AuditEntry.subject == f"study {study_id}", AuditEntry.action == UNBLINDED).order_by(AuditEntry.id)
    entry = session.scalars(query.limit(1)).first()
    named = entry.detail.get("snapshot") if entry else None
    if row is None and named is None:
        return None
    try:
        text = gzip.decompress(row.content) if row else b""
    except (OSError, EOFError, zlib.error):
        text = b""
    if hashlib.sha256(text).hexdigest() != named:
        raise StorageError(
            f"Study {study_id}: its snapshot is not the one that was taken when it was unblinded (the audit trail names SHA-256 {named}). "
            "Nothing is computed from it. Restore the database from a backup."
        )
    return text


def content(data: StudyData) -> bytes:
    """A study as one text: JSON with sorted keys, rows in order of id. Without what may change after unblinding: names of people, utility."""
    whole = {
        "version": VERSION,
        "study": asdict(data.study),
        "readers": [{"id": one.id, "site": one.site} for one in sorted(data.readers, key=lambda one: one.id)],
        "arms": [{"strip_id": strip_id, **asdict(arm), "sha256": data.sha256[strip_id]} for strip_id, arm in sorted(data.arms.items())],
        **{name: [asdict(row) for row in getattr(data, name)] for name in _ROWS},
    }
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_moment).encode()


def differs(text: bytes, data: StudyData) -> str | None:
    """The first part (rounds, cases, ...) in which a study is not as its snapshot has it; None: it is.

    What the snapshot does not hold is not compared: one of an earlier version may know fewer columns.
    """
    then, now = json.loads(text), json.loads(content(data))
    return next((name for name, part in then.items() if name != "version" and not _holds(now.get(name), part)), None)


def _holds(now: Any, then: Any) -> bool:
    """Whether a row, or each of a list of rows, has every column as it was."""
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(_holds, now, then))
    return all(name in now and now[name] == value for name, value in then.items())


def _data(whole: Mapping[str, Any]) -> StudyData:
    """The inverse of `content`."""
    lists: dict[str, Any] = {name: _rows(kind, whole[name]) for name, kind in _ROWS.items()}
    return StudyData(
        study=_rows(StudyRow, [{"stand_ins": whole["study"]["demo"], **whole["study"]}])[0],  # a demo of before had stand-ins
        utility=None,
        readers=[ReaderRow(one["id"], "", one["site"]) for one in whole["readers"]],
        arms={one["strip_id"]: Arm(one["arm"], one["stand_in"]) for one in whole["arms"]},
        sha256={one["strip_id"]: one["sha256"] for one in whole["arms"]},
        **lists,
    )


def _rows(kind: type[Row], found: Iterable[Mapping[str, Any]]) -> list[Row]:
    moments = {name for name, hint in get_type_hints(kind).items() if datetime in (hint, *get_args(hint))}
    return [
        kind(**{name: datetime.fromisoformat(value) if name in moments and value is not None else value for name, value in one.items()})
        for one in found
    ]


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} in a snapshot")
