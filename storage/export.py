"""Everything that is known of one unblinded study, read at once from one consistent state: for results and for the export bundle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from storage import amendments, closings, commitments, judgements, signatures, studies, truth
from storage.amendments import AmendmentRow
from storage.closings import ClosingRow
from storage.commitments import CommitmentRow
from storage.errors import StorageError
from storage.judgements import JudgementRow
from storage.studies import CaseRow, PlacementRow, ReaderRow, RoundRow, StudyRow
from storage.tables import AuditEntry, Drawing, ReadingCase, Recording, Rejection, Round, Strip, Study
from storage.truth import Arm


@dataclass(frozen=True)
class RecordingRow:
    """Where a strip of the real arm came from; `patient` is a hash, and the record's name in its collection is left out."""

    strip_id: int
    collection: str
    patient: str
    age: float | None
    sex: str | None
    rate: float  # samples/s of the file


@dataclass(frozen=True)
class DrawingRow:
    strip_id: int
    checkpoint: str
    sampler: str
    steps: int
    guidance: float
    seed: int
    number: int
    conditions: dict[str, Any]
    device: str


@dataclass(frozen=True)
class RejectionRow:
    checkpoint: str
    rhythm: str
    seed: int
    number: int
    reason: str


@dataclass(frozen=True)
class AuditRow:
    id: int
    at: datetime
    person_id: int | None
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class StudyData:
    """What results need: judgements are all revisions, in order of round, reader, position, revision; `sha256` and `arms` go by strip id."""

    study: StudyRow
    utility: dict[str, Any] | None
    readers: list[ReaderRow]
    rounds: list[RoundRow]
    cases: list[CaseRow]
    placements: list[PlacementRow]
    judgements: list[JudgementRow]
    arms: dict[int, Arm]
    sha256: dict[int, str]
    amendments: list[AmendmentRow]
    closings: list[ClosingRow]
    commitments: list[CommitmentRow]
    snapshot: str | None = None  # SHA-256 of the snapshot that this came from; None: read from the tables (storage.snapshots)


@dataclass(frozen=True)
class Provenance:
    """What the bundle adds: where the strips came from, what was drawn and refused beside them, and the whole audit trail."""

    recordings: list[RecordingRow]
    drawings: list[DrawingRow]
    rejections: list[RejectionRow]
    signatures: dict[tuple[int, int], tuple[datetime, str]]  # of signatures.of_study
    practice: RoundRow | None  # no part of the results
    audit: list[AuditRow]


def study_data(session: Session, study_id: int) -> StudyData:
    """As the tables have it now; results are made from `snapshots.study_data`.

    Raises StorageError for an unknown study and before the study is unblinded.
    """
    shown = select(Strip.id, Strip.sha256).where(Strip.id.in_(_shown(study_id)))
    return StudyData(
        study=studies.study(session, study_id),
        utility=session.scalar(select(Study.utility).where(Study.id == study_id)),
        readers=studies.readers(session, study_id),
        rounds=studies.rounds(session, study_id),
        cases=studies.cases(session, study_id),
        placements=studies.placements(session, study_id),
        judgements=judgements.of_study(session, study_id, every_revision=True),
        arms=truth.arms_after_unblinding(session, study_id),
        sha256={row.id: row.sha256 for row in session.execute(shown)},
        amendments=amendments.of_study(session, study_id),
        closings=closings.of_study(session, study_id),
        commitments=commitments.revealed(session, study_id),
    )


def provenance(session: Session, study_id: int) -> Provenance:
    """Raises StorageError for an unknown study and before the study is unblinded: where a strip came from tells its arm."""
    truth.arms_after_unblinding(session, study_id)
    recorded = session.scalars(select(Recording).where(Recording.strip_id.in_(_shown(study_id))).order_by(Recording.strip_id))
    recordings = [_recording(row) for row in recorded]
    drawn = session.scalars(select(Drawing).where(Drawing.strip_id.in_(_shown(study_id))).order_by(Drawing.strip_id))
    drawings = [_drawing(row) for row in drawn]
    batches = sorted({(row.checkpoint, row.seed) for row in drawings})
    refused = session.scalars(
        select(Rejection).where(tuple_(Rejection.checkpoint, Rejection.seed).in_(batches)).order_by(Rejection.seed, Rejection.number, Rejection.id)
    )
    rejections = [RejectionRow(row.checkpoint, row.rhythm, row.seed, row.number, row.reason) for row in refused]
    audit = [_audit_row(entry) for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    return Provenance(recordings, drawings, rejections, signatures.of_study(session, study_id), studies.practice_round(session, study_id), audit)


def origin(session: Session, study_id: int, strip_id: int) -> RecordingRow | DrawingRow:
    """Where one strip of the study came from. Raises StorageError before the study is unblinded, and for a strip that it has not shown."""
    if strip_id not in truth.arms_after_unblinding(session, study_id):
        raise StorageError("That strip is none of this study's. Choose a case of the study.")
    recorded = session.get(Recording, strip_id)
    if recorded is not None:
        return _recording(recorded)
    drawn = session.get(Drawing, strip_id)
    if drawn is None:
        raise StorageError("The database does not say where that strip came from. Restore a backup.")
    return _drawing(drawn)


def trail(session: Session, subject: str, action: str) -> list[AuditRow]:
    """The audit entries of one kind about one thing, oldest first."""
    entries = select(AuditEntry).where(AuditEntry.subject == subject, AuditEntry.action == action).order_by(AuditEntry.id)
    return [_audit_row(entry) for entry in session.scalars(entries)]


def entries(session: Session, *actions: str) -> list[AuditRow]:
    """The audit entries of some kinds, oldest first."""
    return [_audit_row(entry) for entry in session.scalars(select(AuditEntry).where(AuditEntry.action.in_(actions)).order_by(AuditEntry.id))]


def _recording(row: Recording) -> RecordingRow:
    return RecordingRow(row.strip_id, row.collection, row.patient, row.age, row.sex, row.rate)


def _drawing(row: Drawing) -> DrawingRow:
    return DrawingRow(**{name: getattr(row, name) for name in DrawingRow.__dataclass_fields__})


def _audit_row(entry: AuditEntry) -> AuditRow:
    return AuditRow(**{name: getattr(entry, name) for name in AuditRow.__dataclass_fields__})


def _shown(study_id: int) -> Any:
    """Practice aside: it is no part of a study's results."""
    of_study = (Round.study_id == study_id) & Round.practice.is_(False)
    return select(ReadingCase.strip_id).join(Round, Round.id == ReadingCase.round_id).where(of_study)
