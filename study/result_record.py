"""What the record says under the figures of an unblinded study: the snapshot, amendments, rounds closed by hand, seeds that somebody named."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from storage.export import StudyData
from study import amendments, result_tables
from study.protocol import Protocol, changes_in_words

AMENDMENTS = ("number", "at", "by", "change", "why", "judgements", "of", "standing", "hash_before", "hash_after")
NO_SNAPSHOT = (
    "This study was unblinded before blindstrip took snapshots: its figures are computed from the database as it is now, and no hash says that it "
    "is as it was then."
)
NO_COMMITMENT = "Round {}: opened before blindstrip committed to seeds; nothing published before it was read binds its allocation."


def amended(data: StudyData) -> pd.DataFrame:
    """The amendments of a frozen protocol, a row each: number, at (UTC), by (person id, as in audit.csv), change (from -> to), why, the judgements
    that were in at that moment, of how many, and how far the study stood, in words; the protocol's hash before and after.
    """
    rows = [
        (
            *(row.number, _moment(row.amended_at), f"person {row.amended_by}", changes_in_words(row.before, row.after), row.reason),
            *(row.done, row.total, amendments.standing(row), row.hash_before, row.hash_after),
        )
        for row in data.amendments
    ]
    return pd.DataFrame(rows, columns=list(AMENDMENTS))


def notes(data: StudyData, scored: pd.DataFrame) -> list[str]:
    """Sentences that belong under the figures."""
    said = [f"Computed from the snapshot taken at unblinding, SHA-256 {data.snapshot}." if data.snapshot else NO_SNAPSHOT]
    for row in data.amendments:
        said.append(
            f"Protocol amendment {row.number} of {_day(row.amended_at)} by person {row.amended_by}, {amendments.standing(row)}: "
            f"{changes_in_words(row.before, row.after)}. Reason: {row.reason}"
        )
    said += _original_verdict(data, scored)
    numbers = {opened.id: opened.number for opened in data.rounds}
    for closing in data.closings:
        said.append(f"Round {numbers[closing.round_id]} was closed by hand on {_day(closing.closed_at)}. Reason: {closing.reason}")
    committed = {row.round_id for row in data.commitments}
    for opened in data.rounds:
        if opened.id not in committed:
            said.append(NO_COMMITMENT.format(opened.number))
        if opened.plan.get("seed named by hand"):
            said.append(f"Round {opened.number}: its seed was named by whoever opened it, who could have drawn its synthetic strips beforehand.")
    return said


def _original_verdict(data: StudyData, scored: pd.DataFrame) -> list[str]:
    """What the verdict on all readers would be under the margin that the protocol froze with."""
    if not data.amendments:
        return []
    was, now = (Protocol.from_dict(rules).margin for rules in (data.amendments[0].before, data.study.protocol))
    if was == now:
        return []
    table = result_tables.verdicts(scored, was)
    of_all = table[table["group"] == "all"]
    outcomes = sorted({str(outcome) for outcome in of_all["outcome"].dropna()}) or ["undefined"]
    return [f"Under the margin that the protocol froze with ({was:g}, now {now:g}) the verdict on all readers would be: {'; '.join(outcomes)}."]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"
