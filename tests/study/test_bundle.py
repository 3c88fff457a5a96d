"""The export: complete, checkable, the same bytes each time, and its numbers can be had again from its CSVs alone."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from sqlalchemy import update

from generator.leads import LEADS, STORED
from generator.strip import from_bytes, millivolts, strip_hash
from storage import audit, export, strips
from storage.database import Database
from storage.tables import Recording
from study import unblinding
from study.agreement import imrmc
from study.bundle import EXPORTED, bundle
from study.errors import NotAllowed, StudyError
from study.leak_gate import REFUSED_BY_THE_GATE
from study.people import Person
from study.results import Results, records, results
from study.roles import Role
from tests.databases import new_url
from tests.study.factory import Planted, PlantedReader, read_study


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(new_url(tmp_path_factory.mktemp("bundle")))
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="module")
def planted(house: Database) -> Planted:
    return read_study(house)


@pytest.fixture(scope="module")
def found(house: Database, planted: Planted) -> Results:
    return results(house, planted.coordinator, planted.study_id)


@pytest.fixture(scope="module")
def archive(house: Database, planted: Planted) -> zipfile.ZipFile:
    return opened(bundle(house, planted.coordinator, planted.study_id)[1])


def opened(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def table(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read(name).decode(), newline="")))


def figure(found: Results, table_name: str, **wanted: object) -> float:
    rows = getattr(found, table_name)
    chosen = rows[np.logical_and.reduce([rows[name] == value for name, value in wanted.items()])]
    assert len(chosen) == 1
    return float(chosen.iloc[0]["value"])


def test_accuracy_and_fleiss_come_out_of_the_csv_again(found: Results, archive: zipfile.ZipFile) -> None:
    """By code that shares nothing with ours."""
    scored = [row for row in table(archive, "judgements.csv") if row["role"] == "scored" and row["latest"] == "TRUE"]
    right = [(int(row["realism"]) > 3) == (row["arm"] == "synthetic") for row in scored]
    assert sum(right) / len(right) == pytest.approx(figure(found, "realism", group="all", rhythm="all", figure="accuracy"))
    cases: dict[str, list[int]] = {}
    for row in scored:
        cases.setdefault(row["case"], [0, 0])[int(row["realism"]) > 3] += 1
    readers, agreeing = 4, [sum(k * (k - 1) for k in counts) / (4 * 3) for counts in cases.values()]
    shares = [sum(counts[k] for counts in cases.values()) / (readers * len(cases)) for k in (0, 1)]
    chance = sum(share**2 for share in shares)
    kappa = (sum(agreeing) / len(agreeing) - chance) / (1 - chance)
    wanted = {"group": "all", "item": "real or synthetic", "arm": "all", "rhythm": "all", "figure": "Fleiss' kappa"}
    assert kappa == pytest.approx(figure(found, "agreement", **wanted))


def main_table(found: Results) -> dict[tuple[str, str], dict[str, float]]:
    """(group, name) -> what the scripts recompute, as results have it."""
    there: dict[tuple[str, str], dict[str, float]] = {}
    for row in records(found.realism, rhythm="all"):
        if row["figure"] in ("accuracy", "sensitivity", "specificity", "AUC"):
            there.setdefault((row["group"], row["name"]), {})[row["figure"]] = row["value"]
    return there


def recomputed(again: dict[str, Any]) -> dict[tuple[str, str], dict[str, float]]:
    """Likewise, of what recompute.py printed."""
    return {
        (group, name): {figure: value for figure, value in row.items() if figure != "readings"}
        for group, of in again["main table"].items()
        for name, row in of.items()
    }


KAPPA = {"group": "all", "item": "real or synthetic", "arm": "all", "rhythm": "all", "figure": "Fleiss' kappa"}


def test_the_script_in_the_bundle_recomputes_the_main_table(found: Results, archive: zipfile.ZipFile, tmp_path: Path) -> None:
    """From judgements.csv alone: nothing else of the bundle is there."""
    for name in ("recompute.py", "judgements.csv"):
        archive.extract(name, tmp_path)
    done = subprocess.run([sys.executable, tmp_path / "recompute.py"], capture_output=True, text=True, check=True)
    again, wanted = json.loads(done.stdout), main_table(found)
    assert again["readings"] == 96
    assert len(wanted) == 1 + 2 + 4
    assert recomputed(again) == {key: pytest.approx(row) for key, row in wanted.items()}
    assert again["Fleiss' kappa"] == pytest.approx(figure(found, "agreement", **KAPPA))


def test_the_script_sees_a_changed_answer(found: Results, archive: zipfile.ZipFile, tmp_path: Path) -> None:
    for name in ("recompute.py", "judgements.csv"):
        archive.extract(name, tmp_path)
    rows = table(archive, "judgements.csv")
    victim = next(row for row in rows if row["role"] == "scored" and row["latest"] == "TRUE")
    victim["called_synthetic"] = "FALSE" if victim["called_synthetic"] == "TRUE" else "TRUE"
    with (tmp_path / "judgements.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(victim))
        writer.writeheader()
        writer.writerows(rows)
    done = subprocess.run([sys.executable, tmp_path / "recompute.py"], capture_output=True, text=True, check=True)
    assert recomputed(json.loads(done.stdout)) != {key: pytest.approx(row) for key, row in main_table(found).items()}


def test_the_script_says_none_where_nothing_can_be_said(db: Database, tmp_path: Path) -> None:
    study = read_study(db, [PlantedReader("Heidelberg", 0.8)], cases=10, synthetic_share=1.0, repeats=0)
    opened(bundle(db, study.coordinator, study.study_id)[1]).extractall(tmp_path)
    done = subprocess.run([sys.executable, tmp_path / "recompute.py"], capture_output=True, text=True, check=True)
    again = json.loads(done.stdout)
    assert again["main table"]["all"]["all"]["specificity"] is None
    assert again["main table"]["all"]["all"]["AUC"] is None
    assert again["Fleiss' kappa"] is None


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="no Rscript on the path (Debian: apt-get install r-base-core)")
def test_the_r_script_in_the_bundle_finds_the_same(db: Database, tmp_path: Path) -> None:
    """Sites that R and pandas would take for TRUE and for a missing value; unread cases, so that readings differ from case to case."""
    readers = (PlantedReader("T", 0.8), PlantedReader("T", 0.6), PlantedReader("NA", 0.9), PlantedReader("Zürich, Süd", 0.5))
    study = read_study(db, readers, cases=30, unread=4)
    found = results(db, study.coordinator, study.study_id)
    opened(bundle(db, study.coordinator, study.study_id)[1]).extractall(tmp_path)
    by_r = subprocess.run(["Rscript", "--vanilla", tmp_path / "recompute.R", tmp_path], capture_output=True, text=True, check=True).stdout
    by_python = subprocess.run([sys.executable, tmp_path / "recompute.py", tmp_path], capture_output=True, text=True, check=True).stdout
    first, *lines, last = by_r.splitlines()
    assert first.strip() == "readings: 104"
    rows = list(csv.DictReader(lines))
    figures = ("accuracy", "sensitivity", "specificity", "AUC")
    of_r = {(row["group"], row["name"]): {name: float(row[name]) for name in figures} for row in rows}
    assert of_r == {key: pytest.approx(row, abs=1e-9) for key, row in main_table(found).items()}
    assert of_r == {key: pytest.approx(row, abs=1e-9) for key, row in recomputed(json.loads(by_python)).items()}
    assert float(last.removeprefix("Fleiss' kappa: ")) == pytest.approx(figure(found, "agreement", **KAPPA), abs=1e-9)


# ---- strips, six-point scale, report ----


def test_wfdb_reads_the_strips_back_equal(house: Database, planted: Planted, archive: zipfile.ZipFile, tmp_path: Path) -> None:
    archive.extractall(tmp_path)
    cases = {row["case"]: row for row in table(archive, "cases.csv")}
    assert (tmp_path / "strips" / "RECORDS").read_text().split() == sorted(cases)
    with house.read() as session:
        data = export.study_data(session, planted.study_id)
        stored = strips.samples(session, data.sha256)
    by_code = {case.code: from_bytes(stored[case.strip_id]) for case in data.cases}
    assert set(by_code) == set(cases)
    for code, counts in by_code.items():
        record = wfdb.rdrecord(str(tmp_path / "strips" / code))
        assert (record.fs, record.sig_name, record.units) == (100, list(LEADS), ["mV"] * 12)
        np.testing.assert_allclose(record.p_signal.T, millivolts(counts), atol=1e-12)
        stored_leads = record.p_signal[:, [LEADS.index(lead) for lead in STORED]].T / 0.005
        assert np.array_equal(np.rint(stored_leads), counts)
        assert strip_hash(np.rint(stored_leads).astype(np.int16)) == cases[code]["strip_sha256"]
        assert f"arm: {cases[code]['arm']}" in record.comments
        assert any(line.startswith("SYNTHETIC: drawn by a diffusion model") for line in record.comments) == (cases[code]["arm"] == "synthetic")
        if cases[code]["arm"] == "real":
            assert record.comments[
                0
            ] == "recorded from a patient; collection: ptbxl; licence: not known to blindstrip: ask whoever imported it before " + (
                "you pass strips on"
            )


def test_a_demo_s_stand_ins_are_called_synthetic_in_their_headers(db: Database) -> None:
    demo = read_study(db, demo=True)
    archive = opened(bundle(db, demo.coordinator, demo.study_id)[1])
    headers = [name for name in archive.namelist() if name.startswith("strips/") and name.endswith(".hea")]
    assert len(headers) == 28
    assert all("# SYNTHETIC: " in archive.read(name).decode() for name in headers)
    assert archive.read("six_point_scale.imrmc").startswith(b"DEMO")
    assert b"This is a demo" in archive.read("report.html")


def test_the_readme_says_under_which_licence_strips_came(db: Database, archive: zipfile.ZipFile) -> None:
    assert "- 12 from ptbxl: not known to blindstrip" in archive.read("README.txt").decode()
    study = read_study(db)
    with db.write() as session:
        session.execute(update(Recording).values(collection="PTB-XL"))
    assert "- 12 from PTB-XL: CC BY 4.0" in opened(bundle(db, study.coordinator, study.study_id)[1]).read("README.txt").decode()


def test_the_imrmc_file_holds_the_scored_answers(archive: zipfile.ZipFile, found: Results) -> None:
    text = archive.read("six_point_scale.imrmc").decode()
    ratings = imrmc.parse(text)
    wanted = {
        (row["reader"], row["case"]): float(row["realism"])
        for row in table(archive, "judgements.csv")
        if row["role"] == "scored" and row["latest"] == "TRUE"
    }
    [scores] = ratings.scores
    assert {(r, c): scores[j, i] for i, r in enumerate(ratings.readers) for j, c in enumerate(ratings.cases)} == wanted
    arms = {row["case"]: row["arm"] == "synthetic" for row in table(archive, "cases.csv")}
    assert [arms[case] for case in ratings.cases] == ratings.truth.tolist()
    assert {"NR: 4", "N0: 12", "N1: 12", "NM: 1"} <= set(text.splitlines())
    for reader, own in zip(ratings.readers, scores.T, strict=True):
        above = own[ratings.truth][:, None] - own[~ratings.truth]
        area = ((above > 0) + 0.5 * (above == 0)).mean()
        assert area == pytest.approx(figure(found, "realism", group="reader", name=reader, rhythm="all", figure="AUC"))


def test_an_imrmc_file_leaves_out_what_was_not_read(db: Database) -> None:
    study = read_study(db, cases=24, unread=4)
    ratings = imrmc.parse(opened(bundle(db, study.coordinator, study.study_id)[1]).read("six_point_scale.imrmc").decode())
    assert ratings.scores.shape == (1, 20, 4)


def test_checksums_verify_and_cover_every_file(archive: zipfile.ZipFile) -> None:
    sums = {line.split("  ", 1)[1]: line.split("  ", 1)[0] for line in archive.read("checksums.sha256").decode().splitlines()}
    assert set(sums) == set(archive.namelist()) - {"checksums.sha256"}
    for name, digest in sums.items():
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest


def test_the_dictionary_covers_every_column(archive: zipfile.ZipFile) -> None:
    columns = {
        (name, column) for name in archive.namelist() if name.endswith(".csv") for column in archive.read(name).decode().split("\n", 1)[0].split(",")
    }
    entries = table(archive, "data_dictionary.csv")
    assert {(row["file"], row["column"]) for row in entries if row["file"].endswith(".csv")} == columns
    assert {row["file"] for row in entries if not row["file"].endswith(".csv")} == {"six_point_scale.imrmc", "strips/CASE.dat", "strips/CASE.hea"}
    assert all(row["meaning"] and row["type"] for row in entries)


def test_the_same_study_gives_the_same_bytes_and_exports_are_noted_once(house: Database, planted: Planted) -> None:
    first = bundle(house, planted.coordinator, planted.study_id)
    assert bundle(house, planted.coordinator, planted.study_id) == first
    other = Person(planted.coordinator.id + 1, "researcher1", "Rhea Searcher", Role.RESEARCHER, "Mannheim", False)
    assert bundle(house, other, planted.study_id) == first
    assert hashlib.sha256(first[1]).hexdigest()[:12] in first[0]
    with house.read() as session:
        notes = export.trail(session, f"study {planted.study_id}", EXPORTED)
        audit.verify(session)
    assert [entry.person_id for entry in notes] == [planted.coordinator.id, other.id]


def test_every_revision_is_there_with_the_protocol_on_each_row(archive: zipfile.ZipFile) -> None:
    rows = table(archive, "judgements.csv")
    assert len(rows) == 4 * (24 + 4 + 2)
    assert sum(row["latest"] == "FALSE" for row in rows) == 8
    protocol = json.loads(archive.read("protocol.json"))
    for name in archive.namelist():
        if name.endswith(".csv"):
            wanted = set() if name == "amendments.csv" else {protocol["protocol_hash"]}
            assert {row["protocol_hash"] for row in table(archive, name)} == wanted, name
    corrected = next(row for row in rows if row["revision"] == "2")
    assert corrected["comment"] == 'semicolons; commas, "quotes"\nand a second line'
    codes = {row["case"]: row for row in table(archive, "cases.csv")}
    for row in rows:
        assert codes[row["case"]]["arm"] == row["arm"]
        assert (row["repeat_of"] == "") == (row["role"] != "repeat")


def test_no_name_no_record_and_no_patient_leaves(archive: zipfile.ZipFile) -> None:
    everything = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (b"Reader Number", b"Cora", b"reader1-0", b"coordinator1", b"somebody.else", b"00001_hr", b"p" + 60 * b"0"):
        assert secret not in everything
    assert sorted({row["patient"] for row in table(archive, "recordings.csv")}) == [f"P{number:03d}" for number in range(1, 13)]


def test_the_audit_chain_can_be_checked_from_the_csv(db: Database) -> None:
    planted = read_study(db)
    with db.write() as session:
        audit.append(session, planted.coordinator.id, "person added", "person 1000", {"username": "secret.name"})
        audit.append(session, None, "utility computed", f"study {planted.study_id}", {"real": 12})
    rows = table(opened(bundle(db, planted.coordinator, planted.study_id)[1]), "audit.csv")
    assert [int(row["entry"]) for row in rows] == list(range(1, len(rows) + 1))
    previous, withheld = "0" * 64, 0
    for row in rows:
        assert row["previous"] == previous
        previous = row["hash"]
        if not row["action"]:
            withheld += 1
            continue
        person = int(row["person"]) if row["person"] else None
        content: list[Any] = [int(row["entry"]), row["at"], person, row["action"], row["subject"], json.loads(row["detail"]), row["previous"]]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == row["hash"]
    assert withheld == 2  # people who were added
    assert rows[-1]["action"] == "utility computed"


def test_openings_that_the_leak_gate_refused_stand_in_the_trail(db: Database) -> None:
    planted = read_study(db, unblinded=False)
    detail = {"verdict": "refuse", "auc": 0.9, "p_value": 0.001, "worst_feature": "offset"}
    with db.write() as session:
        audit.append(session, planted.coordinator.id, REFUSED_BY_THE_GATE, f"study {planted.study_id}", detail)
        audit.append(session, planted.coordinator.id, REFUSED_BY_THE_GATE, "study 99", detail)
    unblinding.ask(db, planted.coordinator, planted.study_id, "a pilot")
    unblinding.confirm(db, replace(planted.coordinator, id=planted.coordinator.id + 1), planted.study_id)
    rows = table(opened(bundle(db, planted.coordinator, planted.study_id)[1]), "audit.csv")
    assert [json.loads(row["detail"]) for row in rows if row["action"] == REFUSED_BY_THE_GATE] == [detail]


def test_a_demo_says_so_everywhere(db: Database) -> None:
    demo = read_study(db, demo=True)
    name, content = bundle(db, demo.coordinator, demo.study_id)
    archive = opened(content)
    assert name.startswith("blindstrip-demo-")
    assert "DEMO" in archive.read("README.txt").decode()
    for file in archive.namelist():
        if file.endswith(".csv"):
            assert {row["demo"] for row in table(archive, file)} == (set() if file == "amendments.csv" else {"TRUE"}), file
    assert {row["stand_in"] for row in table(archive, "cases.csv") if row["arm"] == "real"} == {"TRUE"}


def test_formulas_in_comments_are_not_run_by_spreadsheets(db: Database) -> None:
    study = read_study(db, title='=HYPERLINK("http://example.org")')
    archive = opened(bundle(db, study.coordinator, study.study_id)[1])
    for name in archive.namelist():
        if name.endswith(".csv"):
            for row in table(archive, name):
                assert not any(cell.startswith(("=", "+", "@")) for cell in row.values()), name


def test_nothing_leaves_before_unblinding(db: Database) -> None:
    blind = read_study(db, unblinded=False)
    with pytest.raises(StudyError, match="still blind"):
        bundle(db, blind.coordinator, blind.study_id)
    reader = Person(blind.reader_ids[0], "reader1-0", "Reader Number0", Role.READER, "Heidelberg", False)
    with pytest.raises(NotAllowed):
        bundle(db, reader, blind.study_id)
