"""Results of studies with planted answers: the figures follow from the answers, and nobody sees one before unblinding."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from storage import export, snapshots, strips
from storage import studies as stored
from storage.database import Database
from storage.tables import ReadingCase, Truth
from study import reading
from study.bundle import bundle_files
from study.bundle_files import verify
from study.errors import NotAllowed, StudyError
from study.people import Person
from study.protocol import CUES, MORPHOLOGY_ITEMS, Protocol
from study.result_tables import ACROSS, WITHIN
from study.results import TABLES, Results, as_json, names, records, results
from study.roles import Role
from study.rounds import open_round
from study.studies import create_study
from tests import ending
from tests.databases import new_url
from tests.study.factory import Planted, PlantedReader, read_study
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that these tests only look at."""
    database = Database(new_url(tmp_path_factory.mktemp("results")))
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="module")
def planted(house: Database) -> Planted:
    return read_study(house)


@pytest.fixture(scope="module")
def found(house: Database, planted: Planted) -> Results:
    return results(house, planted.coordinator, planted.study_id)


def row(table: pd.DataFrame, **wanted: object) -> pd.Series:
    chosen = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    assert len(chosen) == 1, (wanted, len(chosen))
    return chosen.iloc[0]


def scored_calls(planted: Planted, cases: int = 24) -> pd.DataFrame:
    """Planted calls of scored cases, a row a reading, by an independent route."""
    scored = sorted(planted.synthetic)[:cases]
    rows = [(reader, case, call, planted.synthetic[case]) for (reader, case), call in planted.calls.items() if case in scored]
    return pd.DataFrame(rows, columns=["reader", "case", "call", "synthetic"])


def test_accuracy_sensitivity_and_specificity_are_those_planted(found: Results, planted: Planted) -> None:
    calls = scored_calls(planted)
    right = calls["call"] == calls["synthetic"]
    everybody = {"group": "all", "rhythm": "all"}
    assert row(found.realism, figure="accuracy", **everybody)["value"] == pytest.approx(right.mean())
    assert row(found.realism, figure="sensitivity", **everybody)["value"] == pytest.approx(calls[calls["synthetic"]]["call"].mean())
    assert row(found.realism, figure="specificity", **everybody)["value"] == pytest.approx(1 - calls[~calls["synthetic"]]["call"].mean())
    own = sorted(right.groupby(calls["reader"]).mean())
    readers = found.realism[(found.realism["group"] == "reader") & (found.realism["rhythm"] == "all") & (found.realism["figure"] == "accuracy")]
    assert sorted(readers["value"]) == pytest.approx(own)
    assert set(readers["n"]) == {24}


def test_a_corrected_answer_counts_once_and_as_corrected(found: Results) -> None:
    """The factory's first revisions are all wrong and would lower every figure."""
    assert row(found.realism, group="all", rhythm="all", figure="accuracy")["n"] == 4 * 24
    assert any("8 answers were corrected" in note for note in found.notes)


def test_fleiss_kappa_is_the_one_statsmodels_finds(found: Results, planted: Planted) -> None:
    calls = scored_calls(planted).pivot(index="case", columns="reader", values="call").to_numpy(dtype=int)
    everybody = {"group": "all", "item": "real or synthetic", "arm": "all", "rhythm": "all"}
    ours = row(found.agreement, figure="Fleiss' kappa", **everybody)
    assert ours["value"] == pytest.approx(fleiss_kappa(aggregate_raters(calls)[0]))
    assert ours["low"] < ours["value"] < ours["high"]
    assert ours["n"] == 24


def test_agreement_with_themselves_is_as_planted(found: Results) -> None:
    """Three readers repeat every call, so raw agreement is 1; only four repeats each."""
    own = found.repeats[
        (found.repeats["group"] == "reader")
        & (found.repeats["item"] == "real or synthetic")
        & (found.repeats["rhythm"] == "all")
        & (found.repeats["figure"] == "raw agreement")
    ]
    assert set(own["n"]) == {4}
    assert (own["value"] == 1).sum() >= 3


def test_the_verdict_stands_beside_its_interval(found: Results) -> None:
    for _, verdict in found.verdicts.iterrows():
        assert verdict["sentence"]
        assert verdict["method"].endswith("90 %")
    assert row(found.verdicts, group="all")["outcome"] in {"better than chance", "undecided"}


def test_every_table_has_units_and_every_gap_a_reason(found: Results) -> None:
    for name in TABLES:
        table = getattr(found, name)
        assert len(table), name
        if name not in ("readers", "strips"):  # which hold no figures
            assert table["unit"].notna().all(), name
            gaps = table[table[["value", "low", "high"]].isna().any(axis=1)]
            assert gaps["reason"].notna().all(), name
            assert not any(isinstance(reason, float) for reason in table["reason"]), name


def test_the_same_study_gives_the_same_figures(house: Database, planted: Planted, found: Results) -> None:
    again = results(house, planted.coordinator, planted.study_id)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(again, name))


def test_as_json_is_plain_and_has_no_nan(found: Results) -> None:
    plain = json.loads(json.dumps(as_json(found), allow_nan=False))
    accuracy = [one for one in plain["realism"] if (one["group"], one["rhythm"], one["figure"]) == ("all", "all", "accuracy")]
    assert accuracy[0]["value"] == pytest.approx(row(found.realism, group="all", rhythm="all", figure="accuracy")["value"])
    assert plain["protocol"]["margin"] == 0.1
    assert len(records(found.realism, group="reader", rhythm="AF", figure="d'")) == 4
    assert plain["demo"] is False


def test_morphology_rhythm_times_and_cues_by_arm(found: Results) -> None:
    for item in MORPHOLOGY_ITEMS:
        keys = {"group": "all", "rhythm": "all", "item": item, "figure": "plausible"}
        real, synthetic, apart = (row(found.morphology, arm=arm, **keys)["value"] for arm in ("real", "synthetic", "synthetic - real"))
        assert apart == pytest.approx(synthetic - real)
    tested = found.morphology[(found.morphology["figure"] == "p of plausible alike") & (found.morphology["rhythm"] == "all")]
    of_all = tested[tested["group"] == "all"]
    assert set(of_all["item"]) == set(MORPHOLOGY_ITEMS)
    assert of_all["value"].between(0, 1).all()
    right = row(found.rhythm, group="all", rhythm="all", arm="real")
    assert 0.75 <= right["value"] <= 1
    assert row(found.times, group="all", arm="all", figure="median reading time")["low"] >= 5
    named = found.cues[(found.cues["group"] == "all") & (found.cues["arm"] == "synthetic")].set_index("cue")["value"]
    assert named[CUES[0]] > 0
    assert (named.drop(CUES[0]) == 0).all()


def test_blind_studies_and_readers_see_nothing(db: Database) -> None:
    blind = read_study(db, unblinded=False)
    with pytest.raises(StudyError, match="still blind"):
        results(db, blind.coordinator, blind.study_id)
    reader = Person(blind.reader_ids[0], "reader1-0", "Reader Number0", Role.READER, "Heidelberg", False)
    with pytest.raises(NotAllowed):
        results(db, reader, blind.study_id)


def test_names_are_for_those_who_manage_people(house: Database, planted: Planted, found: Results) -> None:
    everybody = {f"Reader Number{i}" for i in range(4)}
    assert set(found.readers["name"]) == everybody
    assert set(names(house, planted.coordinator, planted.study_id).values()) == everybody
    assert names(house, replace(planted.coordinator, role=Role.RESEARCHER), planted.study_id) == {}
    elsewhere = replace(planted.coordinator, id=999, site="Mannheim")  # who does not lead the study sees their own hospital's readers
    there = found.readers.loc[found.readers["site"] == "Mannheim", "name"]
    assert set(names(house, elsewhere, planted.study_id).values()) == set(there) < everybody


def test_one_reader_has_no_agreement_and_no_spread(db: Database) -> None:
    alone = read_study(db, [PlantedReader("Heidelberg", 0.7)])
    found = results(db, alone.coordinator, alone.study_id)
    kappa = row(found.agreement, group="all", item="real or synthetic", arm="all", rhythm="all", figure="Fleiss' kappa")
    assert pd.isna(kappa["value"])
    assert kappa["reason"] == "there is one reader: agreement needs two"
    assert "one reader" in row(found.realism, group="all", rhythm="all", figure="d'")["reason"]
    assert row(found.verdicts, group="all")["outcome"] == row(found.verdicts, group="reader")["outcome"]


def test_one_arm_alone_is_said_not_computed(db: Database) -> None:
    synthetic = read_study(db, synthetic_share=1.0)
    found = results(db, synthetic.coordinator, synthetic.study_id)
    assert row(found.realism, group="all", rhythm="all", figure="specificity")["reason"] == "no real strip was read"
    assert row(found.verdicts, group="all")["outcome"] is None
    assert "real" in row(found.rhythm, group="all", rhythm="all", arm="synthetic - real")["reason"]


def test_a_study_ended_early_says_so(db: Database) -> None:
    early = read_study(db, unread=5, synthetic_share=0.25)
    found = results(db, early.coordinator, early.study_id)
    assert any("20 of 112 cases given to readers were not read" in note for note in found.notes)
    assert any("Read balanced accuracy" in note for note in found.notes)


# ---- controls, rotating cases, repeats of earlier rounds: through the doors of a real study ----


@dataclass
class Read:
    """A study whose first reader answers controls right and whose second takes every control for its opposite."""

    house: Hospital
    study_id: int
    results: Results
    calls: dict[tuple[int, int], bool]  # (reader, case) -> called synthetic


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """Two rounds: in the first cases rotate and there are controls, the second shows some of its cases again."""
    db = Database(new_url(tmp_path_factory.mktemp("rotated")))
    db.migrate()
    house = hospital(db)
    add_recordings(db, 30)
    study_id = create_study(db, house.coordinator, "Anchors", Protocol(washout_days=0, min_repeat_distance=5), house.reader_ids)
    calls: dict[tuple[int, int], bool] = {}
    for seed, more in ((1, {"controls": 2, "anchors": 8, "readings": 2}), (2, {"earlier_repeats": 0.2})):
        plan = house.plan(cases=24, repeat_share=0.1, seed=seed, **more)
        round_id = open_round(db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)
        with db.read() as session:
            rows = session.execute(select(ReadingCase, Truth.arm).join(Truth, Truth.strip_id == ReadingCase.strip_id)).all()
            cases = {case.code: (case.id, case.role, case.repeat_of, arm) for case, arm in rows}
        rng = np.random.default_rng(seed)
        for place, reader in enumerate(house.readers):
            while (case := reading.next_case(db, reader, round_id)) is not None:
                case_id, role, repeat_of, arm = cases[case.code]
                call = bool(rng.random() < 0.5)
                if role == "control":
                    call = (arm == "synthetic") == (place != 1)
                elif repeat_of is not None:  # unchanged within the round, the other way round across the wash-out
                    call = calls[reader.id, repeat_of] == (seed == 1 or rows_round(rows, repeat_of) == round_id)
                calls[reader.id, case_id] = call
                reading.submit(db, reader, case.code, answer(5 if call else 2), just_now())
    ending.end(db, house.coordinator, house.researcher, study_id)
    yield Read(house, study_id, results(db, house.coordinator, study_id), calls)
    db.close()


def rows_round(rows: Sequence[Any], case_id: int) -> int:
    return next(int(case.round_id) for case, _arm in rows if case.id == case_id)


def test_controls_are_counted_apart_and_in_no_other_figure(rotated: Read) -> None:
    found = rotated.results
    assert row(found.controls, group="all", kind="all")["n"] == 4 * 4
    assert row(found.controls, group="all", kind="all")["value"] == pytest.approx(0.75)
    own = found.controls[(found.controls["group"] == "reader") & (found.controls["kind"] != "all")]
    assert Counter(zip(own["kind"], own["value"], own["n"], strict=True)) == {
        ("mechanical", 1.0, 2): 3, ("mechanical", 0.0, 2): 1, ("recorded", 1.0, 2): 3, ("recorded", 0.0, 2): 1,
    }  # fmt: skip
    with rotated.house.db.read() as session:
        scored = {case.id for case in stored.cases(session, rotated.study_id) if case.role == "scored"}
        arms = dict(session.execute(select(ReadingCase.id, Truth.arm).join(Truth, Truth.strip_id == ReadingCase.strip_id)).all())
    right = [call == (arms[case] == "synthetic") for (_reader, case), call in rotated.calls.items() if case in scored]
    accuracy = row(found.realism, group="all", rhythm="all", figure="accuracy")
    assert (accuracy["n"], accuracy["value"]) == (len(right), pytest.approx(np.mean(right)))
    assert len(right) == 4 * (18 + 17)
    [missed] = [note for note in found.notes if "missed a control" in note]
    assert missed.startswith("R0")
    assert "," not in missed.split(" missed")[0]
    assert any("12 of 16 readings of controls" in note for note in found.notes)


def test_repeats_within_a_round_and_across_the_washout_are_told_apart(rotated: Read) -> None:
    keys = {"group": "all", "item": "real or synthetic", "rhythm": "all", "figure": "raw agreement"}
    found = {apart: row(rotated.results.repeats, apart=apart, **keys) for apart in ("all", WITHIN, ACROSS)}
    assert [(found[apart]["n"], found[apart]["value"]) for apart in (WITHIN, ACROSS)] == [(4 * 4, 1.0), (4 * 5, 0.0)]
    assert found["all"]["n"] == 36


def test_rotating_cases_have_figures_and_a_note(rotated: Read) -> None:
    found = rotated.results
    assert any("Not every reader was given every case" in note for note in found.notes)
    for figure in ("d'", "AUC", "accuracy (clustered)"):
        assert row(found.realism, group="all", rhythm="all", figure=figure)["low"] is not pd.NA
    assert row(found.agreement, group="all", item="rhythm", arm="all", rhythm="all", figure="raw agreement")["value"] == 1
    assert row(found.verdicts, group="all")["outcome"] is not None


def test_such_a_study_can_be_exported_and_recomputed(rotated: Read) -> None:
    with rotated.house.db.read() as session:
        data, origin = snapshots.study_data(session, rotated.study_id), export.provenance(session, rotated.study_id)
        files = bundle_files(data, origin, strips.samples(session, data.sha256), snapshots.stored(session, rotated.study_id))
    assert "judgements.csv" in verify.verify(files)["tables"]
    controls = pd.read_csv(io.BytesIO(files["results/controls.csv"]))
    assert set(controls["kind"]) == {"all", "mechanical", "recorded"}
    assert "simulator" in set(pd.read_csv(io.BytesIO(files["drawings.csv"]))["checkpoint"])
    cases = pd.read_csv(io.BytesIO(files["cases.csv"]))
    assert Counter(cases["role"])["control"] == 4
    assert set(cases["repeat_of"].dropna()) <= set(cases["case"])


def test_a_study_without_controls_says_that_none_was_read(found: Results) -> None:
    none = row(found.controls, group="all", kind="mechanical")
    assert (none["n"], none["reason"]) == (0, "no control of this kind was read")
    assert set(found.repeats["apart"]) == {"all"}
    assert not any("control" in note for note in found.notes)


def test_a_demo_says_so_first(db: Database) -> None:
    demo = read_study(db, demo=True)
    found = results(db, demo.coordinator, demo.study_id)
    assert found.demo
    assert found.notes[0].startswith("This is a demo")


def test_readers_who_all_guess_alike_are_undefined_in_words(db: Database) -> None:
    sure = read_study(db, [PlantedReader("Heidelberg", 1.0), PlantedReader("Mannheim", 1.0)], revise=0)
    found = results(db, sure.coordinator, sure.study_id)
    real = row(found.agreement, group="all", item="real or synthetic", arm="real", rhythm="all", figure="Fleiss' kappa")
    assert real["reason"] == "all answers are equal: agreement expected by chance is 1"
    raw = row(found.agreement, group="all", item="real or synthetic", arm="real", rhythm="all", figure="raw agreement")
    assert raw["value"] == 1
    assert row(found.verdicts, group="all")["outcome"] == "better than chance"
