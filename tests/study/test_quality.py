"""`blindstrip quality` from folders to figures, the report, and the job that the Quality page asks for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from generator.quality import measure, resample
from generator.quality.result import CHEAP, Quality
from generator.strip import to_bytes
from storage import strips
from storage.database import Database
from storage.tables import Drawing, Study
from study import jobs, quality, rounds, strip_sets, work
from study.errors import NotAllowed, StudyError
from study.quality import Asked
from tests.study.cli_calls import call, fails, run
from tests.study.hospital import Drawer as StandIns
from tests.study.hospital import Hospital, add_recordings, hospital, open_gate, simulated

CHECKPOINT = "d" * 64
TINY = measure.Settings(width=4, dims=8, iterations=25, batch=8)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few resamples, and networks that learn nothing much."""
    monkeypatch.setattr(resample, "RESAMPLES", 20)
    whole = measure.quality
    monkeypatch.setattr(measure, "quality", lambda *arms, **more: whole(*arms, **{**more, "embedding": TINY, "judge": TINY}))


@pytest.fixture
def house(db: Database) -> Hospital:
    made = hospital(db)
    add_recordings(db, 30)
    draw(db, 8)
    return made


def draw(db: Database, n: int, *, first: int = 0, purpose: str = "gallery") -> None:
    with db.write() as session:
        for rhythm in ("NSR", "AF"):
            for i in range(first, first + n):
                samples = to_bytes(simulated(rhythm, 5000 + i))
                new = strips.NewDrawing(samples, rhythm, CHECKPOINT, "dpm++2m", 20, 1.0, 7, i, "cpu", purpose)
                assert strips.add_drawing(session, new) is not None


def measured(house: Hospital, asked: Asked) -> None:
    """As the runner does it."""
    job_id = jobs.ask(house.db, house.researcher, "quality", asked.as_dict())
    with house.db.write() as session:
        job = work.jobs.claim(session, ["quality"])
        assert job is not None
        assert job.id == job_id
    result = work.do(house.db, job, lambda *told: None, None)  # type: ignore[arg-type]
    with house.db.write() as session:
        work.jobs.finish(session, job_id, "done", "Done.", json.loads(json.dumps(result, allow_nan=False)))


# ---- the command ----


def command(ward: Path, drawn: dict[str, Path], *more: object) -> list[object]:
    folders = ["--real", ward, "--real-folds", 1, "--train", ward, "--train-folds", "2-3", "--synthetic", *drawn.values()]
    return ["quality", *folders, *more]


def test_folders_are_measured_and_every_figure_has_a_value_or_a_reason(ward: Path, drawn: dict[str, Path], tmp_path: Path) -> None:
    report = tmp_path / "reports" / "quality.html"
    answer = run(*command(ward, drawn, "--quick", "--seed", 3, "--report", report))
    assert answer["seed"] == 3
    assert answer["parts"] == list(CHEAP)
    assert {row["part"] for row in answer["figures"]} == set(CHEAP)
    assert all(row["value"] is not None or row["reason"] for row in answer["figures"])
    assert {"name", "rhythm", "value", "limit", "met", "reason"} == set(answer["targets"][0])
    for pair in answer["pairs"]:
        assert Path(pair["synthetic_strip"]).parent in drawn.values()
        assert Path(pair["train_strip"]).parent == ward
    page = report.read_text(encoding="utf-8")
    assert page.count("<svg") == 2 * len(answer["pairs"])
    assert "targets met" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_for_people_the_answer_is_tables(ward: Path, drawn: dict[str, Path]) -> None:
    status, out, err = call(*command(ward, drawn, "--quick"))
    assert status == 0, err
    for words in ("targets:", "real against real", "Memorisation:", "TSTR", "not measured:\n  - distribution\n  - realness"):
        assert words in out
    assert "strips read" in err


def test_patients_in_both_sets_are_refused_before_anything_is_read(ward: Path, drawn: dict[str, Path]) -> None:
    sentence = fails("quality", "--real", ward, "--real-folds", 1, "--train", ward, "--train-folds", "1-3", "--synthetic", *drawn.values())
    assert "8 patients are in both --real and --train" in sentence
    assert "--real-folds" in sentence


def test_the_same_seed_gives_the_same_answer(ward: Path, drawn: dict[str, Path]) -> None:
    one, other = (run(*command(ward, drawn, "--quick", "--seed", 2)) for _ in range(2))
    assert one["figures"] == other["figures"]


# ---- the job ----


def test_the_page_asks_the_runner_measures_and_the_result_is_kept(house: Hospital) -> None:
    assert quality.latest(house.db, house.researcher) is None
    measured(house, Asked(CHECKPOINT, "test", seed=4))
    shown = quality.latest(house.db, house.admin)
    assert shown is not None
    assert shown.stale is None
    assert shown.asked.seed == 4
    assert isinstance(shown.result, Quality)
    assert shown.result.sizes["real"] == {"AF": 6, "NSR": 6}
    assert shown.result.sizes["train"] == {"AF": 24, "NSR": 24}
    assert len(shown.pairs) == 10
    counts = quality.strip_counts(house.db, house.researcher, [one for pair in shown.pairs for one in pair[2:] if one is not None])
    assert all(np.shape(one) == (8, 1000) for one in counts.values())


def test_a_result_goes_stale_when_strips_are_drawn_or_recordings_come_in(house: Hospital) -> None:
    measured(house, Asked(CHECKPOINT, "test"))
    draw(house.db, 1, first=100)
    shown = quality.latest(house.db, house.researcher)
    assert shown is not None
    assert "added since" in (shown.stale or "")


def test_new_recordings_move_no_patient_far_and_the_split_never_shares_one(house: Hospital) -> None:
    with house.db.read() as session:
        before = strip_sets.members(session, Asked(CHECKPOINT, "test", seed=1))
    held, kept = ({one.patient for one in before[name]} for name in ("real", "train"))
    assert not held & kept
    assert len(held) == 12


@pytest.mark.parametrize("who", ["readers", "coordinator"])
def test_only_who_may_see_strips_may_ask_and_look(house: Hospital, who: str) -> None:
    person = house.readers[0] if who == "readers" else house.coordinator
    measured(house, Asked(CHECKPOINT, "test"))
    for refused in (
        lambda: jobs.ask(house.db, person, "quality", Asked(CHECKPOINT, "test").as_dict()),
        lambda: quality.latest(house.db, person),
        lambda: strip_sets.choices(house.db, person),
        lambda: quality.strip_counts(house.db, person, []),
    ):
        with pytest.raises(NotAllowed):
            refused()


def test_strips_drawn_for_rounds_are_never_offered_nor_measured(house: Hospital) -> None:
    with house.db.write() as session:
        session.execute(update(Drawing).where(Drawing.number < 4).values(purpose="round"))
    [batch] = strip_sets.choices(house.db, house.researcher).batches
    assert batch.rhythms == {"AF": 4, "NSR": 4}
    measured(house, Asked(CHECKPOINT, "test"))
    shown = quality.latest(house.db, house.researcher)
    assert shown is not None
    assert shown.result.sizes["synthetic"] == {"AF": 4, "NSR": 4}


def test_a_recording_in_a_blind_round_is_measured_but_not_shown_until_unblinding(house: Hospital) -> None:
    from study.protocol import Protocol
    from study.studies import create_study

    measured(house, Asked(CHECKPOINT, "test"))
    study_id = create_study(house.db, house.coordinator, "A study", Protocol(), house.reader_ids)
    rounds.open_round(house.db, house.coordinator, study_id, house.plan(cases=100), StandIns(), gate=open_gate)
    shown = quality.latest(house.db, house.researcher)
    assert shown is not None
    hidden = [pair for pair in shown.pairs if pair[3] is None]
    assert hidden  # 50 of the 60 recordings are in the round
    assert all(pair[2] is not None for pair in shown.pairs)
    with house.db.write() as session:
        from storage.tables import now

        session.execute(update(Study).values(unblinded_at=now()))
    shown = quality.latest(house.db, house.researcher)
    assert shown is not None
    assert all(pair[3] is not None for pair in shown.pairs)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"checkpoint": "e" * 64, "train": "test"}, "no strip in the synthetic set"),
        ({"checkpoint": CHECKPOINT, "train": "elsewhere"}, "no strip in the"),
        ({"checkpoint": CHECKPOINT, "train": "test", "real": "test"}, "are the same collection"),
        ({"checkpoint": CHECKPOINT, "train": "test", "fold": 9}, "with fold"),
        ({"train": "test"}, "no checkpoint or no collection"),
    ],
)
def test_what_would_fail_anyway_is_refused_at_once(house: Hospital, asked: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        jobs.ask(house.db, house.researcher, "quality", asked)
