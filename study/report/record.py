"""The record behind a report: amendments of the protocol, how rounds were closed, how the study was unblinded, and what hashes bind."""

from __future__ import annotations

from study.report.facts import Facts, minute
from study.report.parts import Paragraph, Part, Row, Section, Table
from study.results import records

NOT_AMENDED = "The protocol was not amended: it is as it froze at the first judgement."


def record(facts: Facts) -> Section:
    parts: tuple[Part, ...] = (Paragraph(unblinding(facts), "Unblinding."), amendments(facts), rounds(facts))
    return Section("Freeze, unblinding and record", parts)


def unblinding(facts: Facts) -> str:
    """When, by people of which hospitals, why, and the snapshot."""
    entries = {entry.action: entry.detail for entry in facts.origin.audit if entry.subject == f"study {facts.data.study.id}"}  # the last of each
    asked, done = entries.get("unblinding asked", {}), entries.get("unblinded", {})
    why = asked.get("why") or asked.get("reason")  # as an earlier version called it
    sites = sorted({done[name] for name in ("asked_from", "confirmed_from") if done.get(name)})
    told = f"Asked for by one person and confirmed by another on {minute(facts.found.unblinded_at)}"
    told += f" ({' and '.join(sites)}). " if sites else ". "
    told += f"Reason given: {why} " if why else ""
    if facts.found.snapshot is None:
        return f"{told}The study was unblinded before blindstrip took snapshots: no hash binds the data to that moment."
    return f"{told}All figures are computed from the snapshot taken then, SHA-256 {facts.found.snapshot} (snapshot.json of the export bundle)."


def amendments(facts: Facts) -> Part:
    rows = [
        Row((str(one["number"]), one["at"][:16].replace("T", " "), one["by"], one["change"], one["why"], one["standing"]))
        for one in records(facts.found.amendments)
    ]
    if not rows:
        return Paragraph(NOT_AMENDED)
    head = ("Amendment", "When (UTC)", "Who", "From -> to", "Why", "Standing of the study")
    note = "Who: the number in the audit trail. No amendment is taken once unblinding was asked for."
    return Table("Amendments of the protocol after it froze", head, tuple(rows), (10, 16, 10, 24, 24, 24), (note,))


def rounds(facts: Facts) -> Table:
    closed = {row.round_id: row for row in facts.data.closings}
    committed = {row.round_id: row.sha256 for row in facts.data.commitments}
    rows = []
    for opened in facts.data.rounds:
        by_hand = closed.get(opened.id)
        how = f"by hand on {minute(by_hand.closed_at)}: {by_hand.reason}" if by_hand else "read and signed by every reader"
        named = "; the seed was named by whoever opened the round" if opened.plan.get("seed named by hand") else ""
        rows.append(Row((str(opened.number), how, committed.get(opened.id, "none") + named, opened.protocol_hash[:12])))
    head = ("Round", "Closed", "Commitment to its seeds (SHA-256), published before it was read", "Protocol")
    return Table("How rounds were closed, and what bound their seeds", head, tuple(rows), (8, 36, 48, 16))
