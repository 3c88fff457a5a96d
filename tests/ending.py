"""How tests end a study: rounds that are not read through are closed, one person asks for unblinding, another confirms."""

from __future__ import annotations

from storage import studies as stored
from storage.database import Database
from study import closing, unblinding
from study.people import Person

REASON = "only a test"


def close_rounds(db: Database, by: Person, study_id: int) -> None:
    with db.read() as session:
        open_now = closing.still_open(session, study_id)
        numbers = [one.number for one in stored.rounds(session, study_id) if one.id in open_now]
    for number in numbers:
        closing.close_round(db, by, study_id, number, REASON)


def ask(db: Database, by: Person, study_id: int) -> None:
    close_rounds(db, by, study_id)
    unblinding.ask(db, by, study_id, REASON)


def end(db: Database, asks: Person, confirms: Person, study_id: int) -> None:
    ask(db, asks, study_id)
    unblinding.confirm(db, confirms, study_id)
