"""A practice round opened by hand, straight through the storage room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from generator.strip import to_bytes
from storage import practice as stored_practice
from storage import strips
from storage import studies as stored
from storage.database import Database
from storage.tables import now
from study import practice
from study.people import Person
from study.practice import PracticeCase
from tests.study.hospital import answer
from tests.world import beats

FIRST_SEED = 900  # of the strips: none that a round of tests.world shows


@dataclass(frozen=True)
class Practice:
    db: Database
    study_id: int
    round_id: int
    truth: dict[str, tuple[str, str]]  # arm and rhythm by code
    strip_ids: list[int]

    def answer(self, person: Person, attempt: int, *, right: bool) -> PracticeCase:
        """Answers the next case, its rhythm as it is or not."""
        case = practice.next_case(self.db, person, self.round_id, attempt)
        assert case is not None
        arm, rhythm = self.truth[case.code]
        said = replace(answer(5 if arm == "synthetic" else 2), rhythm=rhythm if right else "unsure")
        assert practice.submit(self.db, person, case.code, self.round_id, attempt, said)
        return case

    def go_through(self, person: Person, attempt: int = 1, *, right: int = 4) -> None:
        """An attempt with so many rhythms right, the first ones."""
        for i in range(4):
            self.answer(person, attempt, right=i < right)


def open_practice(
    db: Database, study_id: int, by: Person, readers: Sequence[Person], *, pass_mark: float | None = None, first: int = FIRST_SEED
) -> Practice:
    """Four cases: real NSR, synthetic NSR, real AF, synthetic AF; every reader in an order of their own."""
    with db.write() as session:
        study = stored.study(session, study_id)
        ids, kinds = [], [(arm, rhythm) for rhythm in ("NSR", "AF") for arm in ("real", "synthetic")]
        for i, (arm, rhythm) in enumerate(kinds, start=first):
            samples = to_bytes(beats(i))
            if arm == "real":
                new = strips.NewRecording(samples, rhythm, "test", f"practice {i}", f"patient of practice {i}", 100.0, stand_in=study.demo)
                ids.append(strips.add_recording(session, new))
            else:
                drawing = strips.NewDrawing(samples, rhythm, "p" * 64, "dpm++2m", 20, 1.0, 77, i, "cpu", "round")
                ids.append(strips.add_drawing(session, drawing))
        strip_ids = [strip_id for strip_id in ids if strip_id is not None]
        assert len(strip_ids) == 4
        round_id = stored.add_round(
            session,
            study_id=study_id,
            number=0,
            plan={"cases": 4, "washout_days": 0, "min_repeat_distance": 0, "seed": 3, "pass_mark": pass_mark},
            leak={},
            opened_by=by.id,
            starts_at=now(),
            practice=True,
        )
        codes = [f"practice{study_id:04d}{i:04d}" for i in range(4)]
        case_ids = stored.add_cases(
            session, round_id, [stored.NewCase(strip_id, "practice", code) for strip_id, code in zip(strip_ids, codes, strict=True)]
        )
        stored_practice.add_cases(session, dict(zip(case_ids, (arm for arm, _rhythm in kinds), strict=True)))
        for i, reader in enumerate(readers):
            stored.add_placements(session, round_id, reader.id, case_ids[i:] + case_ids[:i])
    return Practice(db, study_id, round_id, dict(zip(codes, kinds, strict=True)), strip_ids)
