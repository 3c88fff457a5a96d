"""Many simulated studies in the layout of one that was stored: the same cases, orders and signatures, other readers and other answers.

What would have been read from the database after all the answers is made at once; a test holds it to the stored way.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from storage.export import StudyData
from storage.judgements import JudgementRow
from study.simulation.model import Answers, Planted, Readers, draw_answers, draw_readers, rng
from study.simulation.stored import SECONDS, Kept, answer, laid_out
from study.viewing import Viewing


def study(kept: Kept, planted: Planted, seed: int, number: int) -> tuple[StudyData, Readers]:
    """Study `number` of a seed, with the readers planted in it; number 0 is the stored one."""
    generator = rng(seed, number)
    readers = draw_readers(planted, generator)
    return filled(kept, draw_answers(planted, readers, kept.shown, generator)), readers


def filled(kept: Kept, answers: Answers) -> StudyData:
    """The stored study's data with these answers in place of its own."""
    data = kept.data
    _shown, row_of = laid_out(data.cases, {strip: arm.arm == "synthetic" for strip, arm in data.arms.items()})
    column_of = {reader: column for column, reader in enumerate(sorted(reader.id for reader in data.readers))}
    placed = sorted(data.placements, key=lambda place: (place.round_id, place.reader_id, place.position))
    at = data.rounds[0].opened_at
    viewing, made = Viewing().described(), []
    for number, place in enumerate(placed, start=1):
        said = answer(answers, row_of[place.case_id], column_of[place.reader_id])
        judged = JudgementRow(
            id=number,
            case_id=place.case_id,
            round_id=place.round_id,
            reader_id=place.reader_id,
            phase=place.phase,
            revision=1,
            position=place.position,
            reading_ms=None,
            away_ms=None,
            viewing=viewing,
            shown_at=at,
            submitted_at=at + timedelta(seconds=SECONDS),
            protocol_hash=data.study.protocol_hash,
            **vars(said),
        )
        made.append(judged)
    return replace(data, judgements=made)
