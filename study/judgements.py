"""A study's judgements as one long table, with readers under pseudonymous codes: what results and the bundle are made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pandas as pd

from storage.export import StudyData
from study.protocol import MORPHOLOGY_ITEMS, phases

FIRST_SYNTHETIC = 4  # answers 4 to 6 of the six-point scale call the strip synthetic


def reader_codes(data: StudyData) -> dict[int, str]:
    return codes_of((reader.id for reader in data.readers), data.study.seed)


def codes_of(readers: Iterable[int], seed: int) -> dict[int, str]:
    """Person id -> R01, R02, ... in an order that the study's seed shuffles, so that a code tells neither name nor seniority."""
    shuffled = sorted(readers, key=lambda reader: hashlib.sha256(f"{seed}:{reader}".encode()).hexdigest())
    return {reader: f"R{number:02d}" for number, reader in enumerate(shuffled, start=1)}


def judgement_table(data: StudyData) -> pd.DataFrame:
    """One row a judgement revision, in order of round, site, reader, position, revision.

    Columns: round, site, reader, case, role, repeat_of (code of the case shown before, or None), position (from 1), strip_sha256, arm,
    stand_in, label (the strip's rhythm), phase, revision, latest (bool), realism (1..6), called_synthetic (bool), quality, rhythm, one column
    for each morphology item, cues (list), marks (list), comment, shown_at, submitted_at (UTC), seconds (between the two), reading_seconds and
    away_seconds (as the browser counted, or None), viewing (dict), protocol_hash.

    Of a purpose-blind round, a row of the first phase has no realism and is never `latest`; a row of the second repeats what the newest answer
    of the first said of quality, rhythm and morphology, so that `latest` rows hold a whole answer in every study.
    """
    last_phase = phases(data.study.protocol["question_order"])
    codes = reader_codes(data)
    sites = {reader.id: reader.site for reader in data.readers}
    cases = {case.id: case for case in data.cases}
    newest = {(judgement.case_id, judgement.reader_id, judgement.phase): judgement for judgement in data.judgements}
    rows = []
    for judgement in data.judgements:
        case = cases[judgement.case_id]
        arm = data.arms[case.strip_id]
        key = (judgement.case_id, judgement.reader_id)
        heart = judgement if judgement.phase == 1 else newest[*key, 1]  # what was said of quality, rhythm and morphology
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
                "phase": judgement.phase,
                "revision": judgement.revision,
                "latest": judgement.phase == last_phase and judgement.revision == newest[*key, judgement.phase].revision,
                "realism": judgement.realism,
                "called_synthetic": None if judgement.realism is None else judgement.realism >= FIRST_SYNTHETIC,
                "quality": heart.quality,
                "rhythm": heart.rhythm,
                **{item: heart.morphology.get(item) for item in MORPHOLOGY_ITEMS},
                "cues": list(judgement.cues),
                "marks": list(judgement.marks),
                "comment": judgement.comment,
                "shown_at": judgement.shown_at,
                "submitted_at": judgement.submitted_at,
                "seconds": (judgement.submitted_at - judgement.shown_at).total_seconds(),
                "reading_seconds": None if judgement.reading_ms is None else judgement.reading_ms / 1000,
                "away_seconds": None if judgement.away_ms is None else judgement.away_ms / 1000,
                "viewing": judgement.viewing,
                "protocol_hash": judgement.protocol_hash,
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    words: list[str] = list(table.select_dtypes("string").columns)
    # plain objects with None: small tables cut into many pieces are several times quicker so
    table[words] = table[words].astype(object).where(table[words].notna(), None)
    return table.sort_values(["round", "site", "reader", "position", "revision"], ignore_index=True)


COLUMNS = [
    *("round", "site", "reader", "case", "role", "repeat_of", "position", "strip_sha256", "arm", "stand_in", "label"),
    *("phase", "revision", "latest", "realism", "called_synthetic", "quality", "rhythm", *MORPHOLOGY_ITEMS, "cues", "marks", "comment"),
    *("shown_at", "submitted_at", "seconds", "reading_seconds", "away_seconds", "viewing", "protocol_hash"),
]
