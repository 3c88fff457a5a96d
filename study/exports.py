"""What leaves the house: the audit trail notes who took which content out, once each."""

from __future__ import annotations

import hashlib
from typing import Any

from storage import audit, export
from storage.database import Database
from study.people import Person

EXPORTED = "study exported"


def note(db: Database, person: Person, study_id: int, content: bytes, **detail: Any) -> str:
    """The content's SHA-256, noted unless this person has taken out the same before."""
    digest = hashlib.sha256(content).hexdigest()
    with db.write() as session:
        before = export.trail(session, f"study {study_id}", EXPORTED)
        if not any(entry.person_id == person.id and entry.detail.get("sha256") == digest for entry in before):
            audit.append(session, person.id, EXPORTED, f"study {study_id}", {"sha256": digest, **detail})
    return digest
