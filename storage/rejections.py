"""Samples that were drawn and rejected: how many, why, and beside how many that were not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.tables import Drawing, Job, Rejection, Strip


@dataclass
class Drawn:
    """What a checkpoint drew for the gallery of one rhythm, each sample once however often it was asked for."""

    checkpoint: str  # SHA-256
    rhythm: str  # NSR or AF
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by reason


def of_job(session: Session, job_id: int) -> Counter[str]:
    """The samples of a job that were rejected, by reason."""
    rows = session.execute(select(Rejection.reason, func.count()).where(Rejection.job_id == job_id).group_by(Rejection.reason))
    return Counter({row[0]: row[1] for row in rows})


def of_gallery(session: Session) -> list[Drawn]:
    """By checkpoint and rhythm, in alphabetical order. What was drawn for rounds is not in it: it would tell how many synthetic strips they hold."""
    found: dict[tuple[str, str], Drawn] = {}
    accepted = select(Drawing.checkpoint, Strip.rhythm, func.count()).join(Strip, Strip.id == Drawing.strip_id).where(Drawing.purpose == "gallery")
    for checkpoint, rhythm, number in session.execute(accepted.group_by(Drawing.checkpoint, Strip.rhythm)):
        found[checkpoint, rhythm] = Drawn(checkpoint, rhythm, number)
    rejected = select(Rejection.checkpoint, Rejection.rhythm, Rejection.number, Rejection.reason, Job.asked).join(Job, Job.id == Rejection.job_id)
    seen = set()
    for checkpoint, rhythm, sample, reason, asked in session.execute(rejected.where(Job.kind == "draw").order_by(Rejection.id)):
        settings = {name: value for name, value in asked.get("request", {}).items() if name != "n"}
        key = (checkpoint, rhythm, sample, json.dumps(settings, sort_keys=True))
        if key not in seen:  # the same request draws the same samples again: accepted strips are stored once too
            seen.add(key)
            found.setdefault((checkpoint, rhythm), Drawn(checkpoint, rhythm)).rejected[reason] += 1
    return [found[key] for key in sorted(found)]
