"""The tables. What a reader may see (strip, round, reading_case, placement) and the truth about it (truth, recording, drawing) stand apart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.base import Base, UtcDateTime, now
from storage.people_tables import FailedSignIn, Invitation, Person, Screen, SignIn, Site

__all__ = ["Base", "FailedSignIn", "Invitation", "Person", "Screen", "SignIn", "Site", "UtcDateTime", "now"]  # those of other files

# ---- strips ----


class Strip(Base):
    __tablename__ = "strip"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    samples: Mapped[bytes] = mapped_column(LargeBinary)  # int16 little-endian (8, 1000), 5 microvolts a count
    rhythm: Mapped[str] = mapped_column(String(8))  # NSR or AF: as labelled, or as asked of the generator
    created_at: Mapped[datetime] = mapped_column(default=now)


class Truth(Base):
    """The arm of a strip. Read by two functions of storage.truth and by nothing else."""

    __tablename__ = "truth"
    strip_id: Mapped[int] = mapped_column(ForeignKey("strip.id"), primary_key=True)
    arm: Mapped[str] = mapped_column(String(16), index=True)  # real, synthetic
    stand_in: Mapped[bool] = mapped_column(Boolean, default=False)  # a simulator's strip in a recording's place: demo studies only


class Recording(Base):
    """Where a real strip came from (or a stand-in: collection 'simulator')."""

    __tablename__ = "recording"
    strip_id: Mapped[int] = mapped_column(ForeignKey("strip.id"), primary_key=True)
    collection: Mapped[str] = mapped_column(String(120))
    record: Mapped[str] = mapped_column(String(200))
    patient: Mapped[str] = mapped_column(String(64), index=True)  # a hash: same patient, same value; never the identifier in the file
    age: Mapped[float | None]
    sex: Mapped[str | None] = mapped_column(String(8))
    rate: Mapped[float]  # samples/s of the file
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))


class Drawing(Base):
    """How a synthetic strip was drawn: enough to draw it again."""

    __tablename__ = "drawing"
    strip_id: Mapped[int] = mapped_column(ForeignKey("strip.id"), primary_key=True)
    checkpoint: Mapped[str] = mapped_column(String(64))  # SHA-256 of config and weights
    sampler: Mapped[str] = mapped_column(String(32))
    steps: Mapped[int]
    guidance: Mapped[float]
    seed: Mapped[int] = mapped_column(BigInteger)  # of the batch; below 2**63
    number: Mapped[int]  # of the strip in the batch
    conditions: Mapped[dict[str, Any]]  # heart rate and whatever else was chosen
    device: Mapped[str] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(16))  # gallery, round, practice, control
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)


class Rejection(Base):
    """A drawn sample that the canonical form refused: it stays in the denominator."""

    __tablename__ = "rejection"
    id: Mapped[int] = mapped_column(primary_key=True)
    checkpoint: Mapped[str] = mapped_column(String(64))
    rhythm: Mapped[str] = mapped_column(String(8))
    seed: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int]
    reason: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    at: Mapped[datetime] = mapped_column(default=now)


# ---- studies ----


class Study(Base):
    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200), unique=True)
    demo: Mapped[bool] = mapped_column(Boolean, default=False)
    stand_ins: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())  # a demo with a simulator's strips
    protocol: Mapped[dict[str, Any]]
    protocol_hash: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[int] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    frozen_at: Mapped[datetime | None]  # the first judgement
    unblinding_asked_by: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    unblinding_asked_at: Mapped[datetime | None]
    unblinded_by: Mapped[int | None] = mapped_column(ForeignKey("person.id"))  # never the one who asked
    unblinded_at: Mapped[datetime | None]
    utility: Mapped[dict[str, Any] | None]  # classifier utility of this study's strips, computed once after unblinding


class StudyReader(Base):
    __tablename__ = "study_reader"
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True)
    reader_id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)


class Round(Base):
    __tablename__ = "round"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    number: Mapped[int]
    plan: Mapped[dict[str, Any]]  # cases, shares, wash-out, seeds, checkpoint
    leak: Mapped[dict[str, Any]]  # the leak gate's report
    opened_by: Mapped[int] = mapped_column(ForeignKey("person.id"))
    opened_at: Mapped[datetime] = mapped_column(default=now)
    starts_at: Mapped[datetime]  # opened_at, or later where the wash-out asks for it
    practice: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())  # number 0: answers are shown, and never analysed
    protocol_hash: Mapped[str] = mapped_column(String(64), default="", server_default="")  # in force when it was opened
    __table_args__ = (UniqueConstraint("study_id", "number"),)


class RoundClosing(Base):
    """A round that was closed by hand: it takes no more answers. Append-only."""

    __tablename__ = "round_closing"
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    closed_by: Mapped[int] = mapped_column(ForeignKey("person.id"))
    closed_at: Mapped[datetime] = mapped_column(default=now)
    reason: Mapped[str] = mapped_column(Text)


class Commitment(Base):
    """What binds a round's seeds before it is read. The hash is shown to everybody, the nonce after unblinding alone. Append-only."""

    __tablename__ = "commitment"
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))  # study.commitment
    nonce: Mapped[str] = mapped_column(String(64))  # 32 random bytes
    made_at: Mapped[datetime] = mapped_column(default=now)


class Amendment(Base):
    """A change of the protocol after it froze; numbers count from 1 in each study. Append-only."""

    __tablename__ = "amendment"
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    amended_by: Mapped[int] = mapped_column(ForeignKey("person.id"))
    amended_at: Mapped[datetime] = mapped_column(default=now)
    before: Mapped[dict[str, Any]]  # the whole protocol
    after: Mapped[dict[str, Any]]
    hash_before: Mapped[str] = mapped_column(String(64))
    hash_after: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    done: Mapped[int]  # answers that were in at that moment, of `total` asked for
    total: Mapped[int]
    closed: Mapped[bool] = mapped_column(Boolean)  # every round was: unblinding could have been asked for


class Snapshot(Base):
    """A study as it was unblinded: what its results are computed from. Append-only."""

    __tablename__ = "snapshot"
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))  # of the content before compression
    content: Mapped[bytes] = mapped_column(LargeBinary)  # JSON, gzip: storage.snapshots
    taken_at: Mapped[datetime] = mapped_column(default=now)


class ReadingCase(Base):
    __tablename__ = "reading_case"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), index=True)
    strip_id: Mapped[int] = mapped_column(ForeignKey("strip.id"), index=True)
    role: Mapped[str] = mapped_column(String(16))  # scored, repeat, control, practice
    repeat_of: Mapped[int | None] = mapped_column(ForeignKey("reading_case.id"))
    code: Mapped[str] = mapped_column(String(32), unique=True)  # random: the only name of a case that leaves the server


class Placement(Base):
    """Where a case stands in one reader's order. A purpose-blind round shows each case twice: phase 2 asks whether it is real."""

    __tablename__ = "placement"
    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("reading_case.id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    position: Mapped[int]  # from 1
    phase: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    shown_at: Mapped[datetime | None]  # when the server first sent the strip
    __table_args__ = (UniqueConstraint("round_id", "reader_id", "position"), UniqueConstraint("case_id", "reader_id", "phase"))


class Judgement(Base):
    """One reader's answer to one case in one phase; what was not asked in it is empty. Append-only: a change is a new revision.

    The database refuses judgements of practice cases: their answers are PracticeAnswer, which no analysis reads.
    """

    __tablename__ = "judgement"
    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("reading_case.id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    phase: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    revision: Mapped[int] = mapped_column(default=1)
    realism: Mapped[int | None]  # 1 definitely real ... 6 definitely synthetic
    quality: Mapped[str | None] = mapped_column(String(16))  # good, adequate, poor
    rhythm: Mapped[str | None] = mapped_column(String(8))  # NSR, AF, other, unsure
    morphology: Mapped[dict[str, Any]]  # {item: plausible | implausible | cannot judge}
    cues: Mapped[list[Any]]
    marks: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'"))  # [{lead, from_ms, to_ms}]: where the cue is
    comment: Mapped[str] = mapped_column(Text)
    reading_ms: Mapped[int | None]  # with the strip in view and the reader at work, as their browser counted
    away_ms: Mapped[int | None]  # paused, in another window, or idle
    viewing: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))  # scale, its changes, calipers: study.viewing
    shown_at: Mapped[datetime]  # when the server sent the strip
    submitted_at: Mapped[datetime] = mapped_column(default=now)
    protocol_hash: Mapped[str] = mapped_column(String(64))
    __table_args__ = (UniqueConstraint("case_id", "reader_id", "phase", "revision"),)


class Signature(Base):
    """A reader has signed a round: its judgements stand. Append-only."""

    __tablename__ = "signature"
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    reader_id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    signed_at: Mapped[datetime] = mapped_column(default=now)
    judgements_sha256: Mapped[str] = mapped_column(String(64))  # of the answers that were signed: study.signing


class PracticeCase(Base):
    """The arm of a practice case, written when its round opens: it is shown to readers, and its strip appears in no other round."""

    __tablename__ = "practice_case"
    case_id: Mapped[int] = mapped_column(ForeignKey("reading_case.id"), primary_key=True)
    arm: Mapped[str] = mapped_column(String(16))


class PracticeAnswer(Base):
    """What a reader answered in practice. Append-only; an attempt goes through the whole practice round."""

    __tablename__ = "practice_answer"
    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("practice_case.case_id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    attempt: Mapped[int] = mapped_column(default=1)
    answer: Mapped[dict[str, Any]]  # as study.answers.Answer
    submitted_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (UniqueConstraint("case_id", "reader_id", "attempt"),)


# ---- work and trail ----


class Job(Base):
    __tablename__ = "job"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # study.jobs.KINDS
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    asked: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16), default="queued")  # queued, running, cancelling, cancelled, done, failed
    done: Mapped[float] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(
        default=0, server_default=text("0")
    )  # times that a runner took it up; one that stopped in order takes its own back
    __table_args__ = (
        Index(  # one job of a kind for a person at a time: a double click asks once
            "uq_job_active",
            "person_id",
            "kind",
            unique=True,
            sqlite_where=text("status IN ('queued', 'running', 'cancelling')"),
            postgresql_where=text("status IN ('queued', 'running', 'cancelling')"),
        ),
    )


class Speed(Base):
    """How fast a checkpoint was drawn from on a device: what the time of the next drawing is estimated from."""

    __tablename__ = "speed"
    checkpoint: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256 of config and weights
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    seconds: Mapped[float]  # of one worker for one strip and one evaluation of the network
    operations: Mapped[float]  # floating-point operations of such an evaluation: other networks' times follow from them
    workers: Mapped[int]  # at the time
    measured_at: Mapped[datetime]


class AuditEntry(Base):
    """The trail: each entry's hash covers its content and the entry before."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(120))
    detail: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
