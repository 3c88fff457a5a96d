"""Rejected samples are counted once, beside what was accepted, and those of rounds apart."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy.orm import Session

from storage import rejections, strips
from storage.database import Database
from storage.strips import NewDrawing, NewRejection
from storage.tables import Job

ONE, OTHER = "1" * 64, "2" * 64


def _job(session: Session, kind: str = "draw", **settings: Any) -> int:
    job = Job(kind=kind, asked={"request": {"rhythm": "AF", "n": 4, "seed": 7, "steps": 20, **settings}, "checkpoint": None})
    session.add(job)
    session.flush()
    return job.id


def _accept(session: Session, number: int, job_id: int, checkpoint: str = ONE, purpose: str = "gallery") -> None:
    samples = bytes([number, int(checkpoint[0]), len(purpose)]).ljust(strips.STRIP_BYTES, b"\0")
    strips.add_drawing(session, NewDrawing(samples, "AF", checkpoint, "dpm++2m", 20, 1.0, 7, number, "CPU", purpose, {}, job_id))


def _reject(session: Session, number: int, reason: str, job_id: int | None, checkpoint: str = ONE) -> None:
    strips.add_rejections(session, [NewRejection(checkpoint, "AF", 7, number, reason, job_id)])


def test_each_sample_counts_once_however_often_it_was_drawn(db: Database) -> None:
    with db.write() as session:
        first, again, more_steps = _job(session), _job(session, n=5), _job(session, steps=40)
        _accept(session, 0, first)
        for job_id in (first, again, more_steps):
            _reject(session, 1, "flat lead", job_id)
        _reject(session, 2, "AF with P waves", first)
        _reject(session, 0, "AF with P waves", first, OTHER)
        assert rejections.of_job(session, first) == Counter({"flat lead": 1, "AF with P waves": 2})
        assert rejections.of_job(session, again) == Counter({"flat lead": 1})
        one, other = rejections.of_gallery(session)
    assert (one.checkpoint, one.rhythm, one.accepted, one.rejected) == (ONE, "AF", 1, Counter({"flat lead": 2, "AF with P waves": 1}))
    assert (other.checkpoint, other.accepted, other.rejected) == (OTHER, 0, Counter({"AF with P waves": 1}))


def test_what_a_round_drew_is_not_told_with_the_gallery(db: Database) -> None:
    with db.write() as session:
        opening = _job(session, kind="round")
        _accept(session, 0, opening, purpose="round")
        _reject(session, 1, "flat lead", opening)
        _reject(session, 2, "flat lead", None)  # a round that a command opened
        assert rejections.of_gallery(session) == []
