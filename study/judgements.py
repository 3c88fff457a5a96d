"""A study's judgements as one long table, with readers under pseudonymous codes: what results and the bundle are made from."""

from __future__ import annotations

import hashlib

import pandas as pd

from storage.export import StudyData
from study.protocol import MORPHOLOGY_ITEMS

FIRST_SYNTHETIC = 4  # answers 4 to 6 of the six-point scale call the strip synthetic


def reader_codes(data: StudyData) -> dict[int, str]:
    """Person id -> R01, R02, ... in an order that the study's seed shuffles, so that a code tells neither name nor seniority."""
    shuffled = sorted(data.readers, key=lambda reader: hashlib.sha256(f"{data.study.seed}:{reader.id}".encode()).hexdigest())
    return {reader.id: f"R{number:02d}" for number, reader in enumerate(shuffled, start=1)}


def judgement_table(data: StudyData) -> pd.DataFrame:
    """One row a judgement revision, in order of round, site, reader, position, revision.

    Columns: round, site, reader, case, role, repeat_of (code of the case shown before, or None), position (from 1), strip_sha256, arm,
    stand_in, label (the strip's rhythm), revision, latest (bool), realism (1..6), called_synthetic (bool), rhythm, one column for each
    morphology item, cues (list), comment, shown_at, submitted_at (UTC), seconds (between the two), protocol_hash.
    """
    codes = reader_codes(data)
    sites = {reader.id: reader.site for reader in data.readers}
    cases = {case.id: case for case in data.cases}
    newest = {(judgement.case_id, judgement.reader_id): judgement.revision for judgement in data.judgements}
    rows = []
    for judgement in data.judgements:
        case = cases[judgement.case_id]
        arm = data.arms[case.strip_id]
        rows.append(
            {
                "round": case.round_number,
                "site": sites[judgement.reader_id],
                "reader": codes[judgement.reader_id],
                "case": case.code,
                "role": case.role,
                "repeat_of": None if case.repeat_of is None else cases[case.repeat_of].code,
                "position": judgement.position,
                "strip_sha256": data.sha256[case.strip_id],
                "arm": arm.arm,
                "stand_in": arm.stand_in,
                "label": case.rhythm,
                "revision": judgement.revision,
                "latest": judgement.revision == newest[judgement.case_id, judgement.reader_id],
                "realism": judgement.realism,
                "called_synthetic": judgement.realism >= FIRST_SYNTHETIC,
                "rhythm": judgement.rhythm,
                **{item: judgement.morphology.get(item) for item in MORPHOLOGY_ITEMS},
                "cues": list(judgement.cues),
                "comment": judgement.comment,
                "shown_at": judgement.shown_at,
                "submitted_at": judgement.submitted_at,
                "seconds": (judgement.submitted_at - judgement.shown_at).total_seconds(),
                "protocol_hash": judgement.protocol_hash,
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    words: list[str] = list(table.select_dtypes("string").columns)
    # plain objects with None: small tables cut into many pieces are several times quicker so
    table[words] = table[words].astype(object).where(table[words].notna(), None)
    return table.sort_values(["round", "site", "reader", "position", "revision"], ignore_index=True)


COLUMNS = [
    *("round", "site", "reader", "case", "role", "repeat_of", "position", "strip_sha256", "arm", "stand_in", "label", "revision", "latest"),
    *("realism", "called_synthetic", "rhythm", *MORPHOLOGY_ITEMS, "cues", "comment", "shown_at", "submitted_at", "seconds", "protocol_hash"),
]
