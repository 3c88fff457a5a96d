"""Which protocol was in force: for each row that is exported, the SHA-256 of the rules and words that it was made under."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from storage.export import AuditRow, StudyData


def frozen_hash(data: StudyData) -> str:
    """As the protocol froze, before any amendment."""
    return data.amendments[0].hash_before if data.amendments else data.study.protocol_hash


def hash_at(data: StudyData, moment: datetime) -> str:
    """After the protocol froze."""
    return next((one.hash_after for one in reversed(data.amendments) if one.amended_at <= moment), frozen_hash(data))


def hashes_of_entries(data: StudyData, entries: Iterable[AuditRow]) -> Iterator[str]:
    """Of each entry of the audit trail, oldest first; a change of the protocol counts from its own entry on, and its first hash before that."""
    changes = {"study set up", "protocol changed", "protocol amended"}
    told = {
        entry.id: str(entry.detail.get("protocol_hash") or entry.detail.get("to") or frozen_hash(data))  # an earlier version called it "to"
        for entry in entries
        if entry.subject == f"study {data.study.id}" and entry.action in changes
    }
    current = next(iter(told.values()), frozen_hash(data))
    for entry in entries:
        current = told.get(entry.id, current)
        yield current
