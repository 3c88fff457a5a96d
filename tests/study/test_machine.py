"""Readers and machine on the same strips: planted answers and planted machines whose figures are known beforehand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from generator.simulate import stand_in
from storage import audit, snapshots, studies
from storage.database import Database
from storage.export import StudyData
from study import machine, machine_strips, utility
from study.errors import StudyError
from study.judgements import judgement_table
from study.results import of_classifiers, records
from tests.databases import new_url
from tests.study.factory import CHECKPOINT, PlantedReader, read_study

RIGHT, WRONG = PlantedReader("Heidelberg", 1.0), PlantedReader("Mannheim", 0.0)


def data_of(db: Database, study_id: int) -> StudyData:
    with db.read() as session:
        return snapshots.study_data(session, study_id)


def with_machine(data: StudyData, synthetic: Any = None, distance: Any = None, af: Any = None, reasons: dict[str, str] | None = None) -> StudyData:
    """The study with a planted machine: each a function of a strip's arm and rhythm."""
    rhythms = {case.strip_id: case.rhythm for case in data.cases}
    of = {}
    for strip_id, sha256 in data.sha256.items():
        arm, rhythm = data.arms[strip_id].arm, rhythms[strip_id]
        score, apart, called = (one and one(arm, rhythm) for one in (synthetic, distance, af))
        of[sha256] = {"synthetic": score, "distance": apart, "nearest": None, "af": called or {}, "training": None}
    stored = {"machine": {"of": of, "reasons": reasons or {}}, "basis": utility.basis(data)}
    return replace(data, utility=stored)


def scored_of(data: StudyData) -> pd.DataFrame:
    table = judgement_table(data)
    return table[table["latest"] & (table["role"] == "scored")]


def tables(data: StudyData) -> dict[str, pd.DataFrame]:
    return machine.tables(data, scored_of(data))


def one(table: pd.DataFrame, **wanted: Any) -> dict[str, Any]:
    [row] = records(table, **wanted)
    return row


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Any:
    db = Database(new_url(tmp_path_factory.mktemp("machine")))
    db.migrate()
    yield db
    db.close()


@pytest.fixture(scope="module")
def opposed(room: Database) -> StudyData:
    """A reader who is always right and one who is always wrong."""
    return data_of(room, read_study(room, [RIGHT, WRONG], cases=24, repeats=2, revise=0).study_id)


@pytest.fixture(scope="module")
def misled(room: Database) -> StudyData:
    """Two readers who always say the opposite; nobody read the last two strips."""
    return data_of(room, read_study(room, [WRONG, WRONG], cases=26, repeats=0, revise=0, unread=2, seed=2, title="Misled").study_id)


# ---- real or synthetic ----


def test_a_machine_that_says_the_truth_has_an_area_of_one_and_beats_who_is_wrong(opposed: StudyData) -> None:
    found = tables(with_machine(opposed, lambda arm, _: 0.9 if arm == "synthetic" else 0.1))["machine"]
    assert one(found, group="machine")["value"] == 1
    apart = {row["value"] for row in records(found, group="reader", figure=machine.APART)}
    assert apart == {0, -1}
    assert one(found, group="all", figure=machine.APART)["value"] == pytest.approx(-0.5)
    assert one(found, group="machine")["n"] == 24


def test_a_machine_s_curve_has_its_area(opposed: StudyData) -> None:
    rng = np.random.default_rng(0)
    found = tables(with_machine(opposed, lambda arm, _: round(float(rng.normal(arm == "synthetic", 1)), 1)))
    curve = machine.curve(found["strips"])
    assert (curve[0], curve[-1]) == ((0, 0), (1, 1))
    under = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve))
    assert under == pytest.approx(one(found["machine"], group="machine")["value"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.3, 0.4])), min_size=2, max_size=20))
def test_corners_are_points_of_the_curve_and_rise(strips: list[tuple[bool, float]]) -> None:
    table = pd.DataFrame({"arm": ["synthetic" if arm else "real" for arm, _ in strips], "machine": [score for _, score in strips]})
    curve = machine.curve(table)
    if len({arm for arm, _ in strips}) < 2:
        assert curve == []
        return
    assert curve == sorted(curve)
    assert (curve[0], curve[-1]) == ((0, 0), (1, 1))
    truth, score = np.array([arm for arm, _ in strips]), np.array([value for _, value in strips])
    all_points = {(0.0, 0.0), *(((score[~truth] >= at).mean(), (score[truth] >= at).mean()) for at in score)}
    assert set(curve) <= all_points


def test_the_paired_difference_is_that_of_both_areas(opposed: StudyData) -> None:
    rng = np.random.default_rng(1)
    found = tables(with_machine(opposed, lambda arm, _: float(rng.normal(arm == "synthetic", 1))))["machine"]
    for reader in {row["name"] for row in records(found, group="reader")}:
        mine, theirs, apart = (
            one(found, group="reader", name=reader, figure=figure) for figure in (machine.AREA, f"{machine.AREA}, machine", machine.APART)
        )
        assert apart["value"] == pytest.approx(mine["value"] - theirs["value"])
        assert apart["low"] < apart["value"] < apart["high"]


# ---- suspicion ----


def test_suspicion_follows_a_score_that_is_made_of_it_and_only_unread_strips_are_left_out(misled: StudyData) -> None:
    mean = scored_of(misled).groupby("strip_sha256")["realism"].mean().to_dict()
    planted = with_machine(misled, lambda *_: 0.5)
    for sha256, row in planted.utility["machine"]["of"].items():  # type: ignore[index]
        row.update(synthetic=mean.get(sha256, 3.5) / 6, distance=-mean.get(sha256, 0.0))
    found = tables(planted)["suspicion"]
    everybody = {(row["beside"], row["arm"]): row for row in records(found, group="all")}
    assert len(everybody) == 6
    for (beside, arm), row in everybody.items():
        assert row["value"] == pytest.approx(1 if beside == machine.SCORE else -1)
        assert row["n"] == (24 if arm == "all" else 12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 9)), min_size=10, max_size=30))
def test_rho_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    one_, other = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    found = machine._correlation(one_, other, None)
    if len(set(one_)) == 1 or len(set(other)) == 1:
        assert (found.value, found.reason) == (None, machine._UNDEFINED)
        return
    assert found.value == pytest.approx(spearmanr(one_, other).statistic)
    if found.low is not None:
        assert -1 <= found.low <= found.value + 1e-9 <= found.high + 2e-9  # type: ignore[operator]


def test_few_strips_have_no_correlation(room: Database) -> None:
    few = data_of(room, read_study(room, [RIGHT], cases=8, repeats=0, seed=3, title="Few").study_id)
    found = tables(with_machine(few, lambda *_: 0.5, lambda *_: 1.0))["suspicion"]
    assert found["value"].isna().all()
    assert set(found["reason"]) == {"fewer than 10 strips: no correlation"}


# ---- rhythm ----


def test_classifiers_stand_beside_readers_by_label_and_arm(opposed: StudyData) -> None:
    """A classifier that takes synthetic AF for sinus rhythm, and nothing else."""
    found = tables(with_machine(opposed, af=lambda arm, rhythm: {"planted": 0.9 if rhythm == "AF" and arm == "real" else 0.2}))["rhythm_calls"]
    shares = {(row["rhythm"], row["arm"], row["figure"]): row["value"] for row in records(found, group="classifier")}
    assert shares["AF", "real", "named AF"] == shares["NSR", "real", "named NSR"] == shares["NSR", "synthetic", "named NSR"] == 1
    assert shares["AF", "synthetic", "named AF"] == 0
    assert shares["AF", "synthetic - real", "named AF"] == -1
    scored = scored_of(opposed)
    drawn = scored[(scored["label"] == "AF") & (scored["arm"] == "synthetic")]
    row = one(found, group="all", rhythm="AF", arm="synthetic", figure="named AF")
    assert (row["value"], row["n"]) == (pytest.approx((drawn["rhythm"] == "AF").mean()), len(drawn))
    of_label = [row for row in records(found, group="all", rhythm="AF", arm="real") if row["figure"].startswith("named")]
    assert sum(row["value"] for row in of_label) == pytest.approx(1)


# ---- fooled ----


def test_who_always_says_the_opposite_is_fooled_by_every_strip(misled: StudyData) -> None:
    found = tables(misled)
    for arm in ("real", "synthetic"):
        assert one(found["fooled"], arm=arm, figure="fooled every reader")["value"] == 1
        assert one(found["fooled"], arm=arm, figure="fooled no reader")["value"] == 0
        assert one(found["fooled"], arm=arm, figure="fooled every reader, if readers erred independently")["value"] == 1
        assert one(found["fooled"], arm=arm, figure="fooled every reader")["n"] == 12
    assert len(found["strips"]) == 24
    assert (found["strips"]["wrong"] == found["strips"]["readers"]).all()


def test_readers_who_differ_are_not_all_fooled_and_one_reader_is_not_everybody(opposed: StudyData, room: Database) -> None:
    found = tables(opposed)["fooled"]
    assert {row["value"] for row in records(found)} == {0}
    alone = data_of(room, read_study(room, [WRONG], cases=12, repeats=0, seed=4, title="Alone").study_id)
    assert set(tables(alone)["fooled"]["reason"]) == {"no real strip was read by two readers", "no synthetic strip was read by two readers"}


# ---- what is missing, and what is stale ----


def test_before_the_machines_are_asked_every_gap_says_so(opposed: StudyData) -> None:
    found = tables(opposed)
    gaps = [row for name in ("machine", "suspicion") for row in records(found[name]) if row["value"] is None]
    assert {row["reason"] for row in gaps} == {utility.NOT_COMPUTED}
    assert {row["reason"] for row in records(found["rhythm_calls"], group="classifier")} == {utility.NOT_COMPUTED}


def test_a_part_that_could_not_be_had_gives_its_own_reason(opposed: StudyData) -> None:
    found = tables(with_machine(opposed, reasons={"synthetic": "too few patients", "distance": "too few real strips", "af": "no AF"}))
    assert one(found["machine"], group="machine")["reason"] == "too few patients"
    assert {row["reason"] for row in records(found["suspicion"])} == {"too few patients", "too few real strips"}
    assert {row["reason"] for row in records(found["rhythm_calls"], group="classifier")} == {"no AF"}


@pytest.mark.parametrize(
    ("part", "other", "words"),
    [("strips", "0" * 64, "other strips"), ("checkpoints", ["d" * 64], "another checkpoint"), ("definition", 0, "otherwise")],
)
def test_figures_of_other_strips_are_stale_and_not_shown(opposed: StudyData, part: str, other: Any, words: str) -> None:
    planted = with_machine(opposed, lambda *_: 0.5)
    assert planted.utility is not None
    assert utility.stale(planted) is None
    foreign = replace(planted, utility=planted.utility | {"basis": planted.utility["basis"] | {part: other}})
    reason = utility.stale(foreign)
    assert reason is not None
    assert reason.startswith("stale")
    assert words in reason
    found = of_classifiers(foreign)
    assert found["utility"]["value"].isna().all()
    assert set(found["utility"]["reason"]) == {reason}
    assert one(found["machine"], group="machine")["reason"] == reason
    assert found["strips"]["machine"].isna().all()


# ---- the job ----


def test_the_job_asks_the_machines_once_and_again_where_the_result_is_stale(room: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_strips, "REPEATS", 1)
    planted = read_study(room, [RIGHT, WRONG], cases=24, repeats=1, seed=5, title="Asked", draw=stand_in)
    stored = utility.compute_utility(room, planted.study_id)
    data = data_of(room, planted.study_id)
    assert stored["basis"] == utility.basis(data) == {**stored["basis"], "checkpoints": [CHECKPOINT]}
    scored = {data.sha256[case.strip_id]: data.arms[case.strip_id].arm for case in data.cases if case.role == "scored"}
    of = stored["machine"]["of"]
    assert set(of) == set(scored)
    for sha256, one_ in of.items():
        assert 0 <= one_["synthetic"] <= 1
        assert one_["distance"] > 0
        assert scored[one_["nearest"]] == "real"
        assert one_["nearest"] != sha256
        assert set(one_["af"]) == {"gradient boosting", "logistic regression"}
    assert "checkpoint" in stored["machine"]["reasons"]["training"]
    ratio = records(utility.utility_table(stored), experiment=utility.RATIO)
    assert [row["value"] for row in ratio] == [stored["tstr_over_trtr"][row["classifier"]] for row in ratio]
    assert len(ratio) == 2
    with room.write() as session:  # as an earlier version left it: its figures stand, the machines are still to be asked
        studies.change(session, planted.study_id, utility={name: value for name, value in stored.items() if name not in ("machine", "basis")})
    earlier = data_of(room, planted.study_id)
    assert utility.stale(earlier) is None
    assert "earlier version" in (utility.outdated(earlier) or "")
    assert of_classifiers(earlier)["utility"]["value"].notna().any()
    with room.write() as session:
        studies.change(session, planted.study_id, utility=stored | {"basis": stored["basis"] | {"strips": "0" * 64}})
    assert utility.stale(data_of(room, planted.study_id))
    assert utility.compute_utility(room, planted.study_id) == stored
    assert utility.stale(data_of(room, planted.study_id)) is None
    with room.read() as session:
        assert audit.verify(session) > 0


def test_strips_that_are_not_those_that_were_read_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    from storage.tables import Strip

    db = Database(new_url(tmp_path_factory.mktemp("changed")))
    db.migrate()
    planted = read_study(db, [RIGHT], cases=8, repeats=0)
    with db.write() as session:
        strip = session.query(Strip).order_by(Strip.id).first()
        assert strip is not None
        strip.samples = bytes(16000)
    with pytest.raises(StudyError, match="1 strips of 'Reader study' are not those that were read"):
        utility.compute_utility(db, planted.study_id)
    db.close()
