"""Commitments: before a round is read, everybody can see a hash that its seeds have to fit when they are told after unblinding."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from storage import audit, commitments
from storage import studies as stored
from storage.database import Database
from study.people import Person
from study.roles import Action, demand
from study.studies import study_to_see

COMMITTED = "seeds committed to"  # in the audit trail
NONCE_BYTES = 32  # or a seed below 2**31 could be found by trying them all


def digest(round_id: int, protocol_hash: str, nonce: str, plan: Mapping[str, Any]) -> str:
    """SHA-256 of the JSON list [words, round id, protocol hash, nonce, seed, seeds]; study/bundle_files/verify.py computes it again."""
    bound = ["blindstrip: seeds of a round", round_id, protocol_hash, nonce, plan["seed"], plan["seeds"]]
    return hashlib.sha256(json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def commit(session: Session, by: Person, round_id: int) -> str:
    """Binds the seeds of a round that is being opened, in its transaction; returns the hash."""
    opened = stored.round_by_id(session, round_id)
    nonce = secrets.token_hex(NONCE_BYTES)
    sha256 = digest(round_id, opened.protocol_hash, nonce, opened.plan)
    commitments.add(session, round_id, sha256, nonce)
    audit.append(session, by.id, COMMITTED, f"round {round_id}", {"to": sha256, "protocol_hash": opened.protocol_hash})
    return sha256


def published(db: Database, person: Person, study_id: int) -> dict[str, Any]:
    """What can be deposited before a round is read: the hash of each round, and of the audit trail so far. Raises NotAllowed."""
    demand(person, Action.SEE_STUDIES)
    with db.read() as session:
        study = study_to_see(session, person, study_id)
        there = commitments.published(session, study_id)
        rounds = [
            {"round": one.number, "id": one.id, "opened_at": one.opened_at, "protocol_hash": one.protocol_hash, "commitment": there.get(one.id)}
            for one in stored.rounds(session, study_id)
        ]
        trail = {"entries": audit.count(session), "last_hash": audit.last_hash(session)}
        return {"study": study.title, "demo": study.demo, "rounds": rounds, "audit_trail": trail}
