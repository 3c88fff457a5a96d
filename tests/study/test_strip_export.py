"""A study's strips for other programs, after unblinding only: each case the strip that was read, and what nobody's heart made says so."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from generator import formats
from generator.formats import Stated
from generator.formats.write import FORMS
from generator.recordings.wfdb_record import read_leads
from generator.strip import MICROVOLTS_PER_COUNT, RATE, from_bytes, millivolts
from storage import export
from storage.database import Database
from storage.tables import Strip
from study.errors import NotAllowed, StudyError
from study.exports import EXPORTED
from study.people import Person
from study.roles import Role
from study.strip_export import strips_as
from tests.databases import new_url
from tests.study.cli_calls import run
from tests.study.factory import Planted, read_study


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(new_url(tmp_path_factory.mktemp("strips")))
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="module")
def planted(house: Database) -> Planted:
    return read_study(house, cases=10, repeats=0)


def opened(content: bytes) -> tuple[zipfile.ZipFile, list[dict[str, str]]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    return archive, list(csv.DictReader(io.StringIO(archive.read("strips.csv").decode())))


@pytest.mark.parametrize("form", FORMS)
def test_every_case_is_the_strip_that_was_read_and_says_what_it_is(house: Database, planted: Planted, form: str, tmp_path: Path) -> None:
    name, content = strips_as(house, planted.coordinator, planted.study_id, form)
    assert f"-strips-{form}-" in name
    archive, rows = opened(content)
    archive.extractall(tmp_path)
    with house.read() as session:
        samples = {strip.sha256: strip.samples for strip in session.scalars(select(Strip))}
    assert {row["arm"] for row in rows} == {"real", "synthetic"}
    for row in rows:
        files = sorted(tmp_path.glob(f"{row['case']}.*"))
        leads = read_leads(files[0].with_suffix("")) if form == "wfdb" else formats.read(files[0], Stated(RATE, "uV"))
        read = millivolts(from_bytes(samples[row["strip_sha256"]]))
        assert np.abs(leads.millivolts - read).max() * 1000 <= MICROVOLTS_PER_COUNT / 2
        assert any(b"SYNTHETIC" in file.read_bytes() for file in files) == (row["arm"] == "synthetic")


def test_a_demo_s_stand_ins_are_synthetic_too(db: Database) -> None:
    demo = read_study(db, cases=10, repeats=0, demo=True)
    archive, rows = opened(strips_as(db, demo.coordinator, demo.study_id, "csv")[1])
    assert {row["synthetic"] for row in rows} == {"TRUE"}
    assert all(b"SYNTHETIC" in archive.read(f"{row['case']}.csv") for row in rows)


def test_the_trail_notes_the_same_zip_once(house: Database, planted: Planted) -> None:
    assert strips_as(house, planted.coordinator, planted.study_id, "edf") == strips_as(house, planted.coordinator, planted.study_id, "edf")
    with house.read() as session:
        entries = export.trail(session, f"study {planted.study_id}", EXPORTED)
    assert [entry.detail["strips"] for entry in entries if "strips" in entry.detail].count("edf") == 1


def test_nothing_leaves_before_unblinding(db: Database) -> None:
    blind = read_study(db, cases=10, repeats=0, unblinded=False)
    with pytest.raises(StudyError, match="still blind"):
        strips_as(db, blind.coordinator, blind.study_id, "dicom")
    reader = Person(blind.reader_ids[0], "reader1-0", "Reader Number0", Role.READER, "Heidelberg", False)
    with pytest.raises(NotAllowed):
        strips_as(db, reader, blind.study_id, "dicom")


def test_the_command(house: Database, planted: Planted, tmp_path: Path) -> None:
    url = house.engine.url.render_as_string(hide_password=False)
    told = run("export", planted.study_id, "--format", "dicom", "--as", planted.coordinator.username, "--out", tmp_path, "--db", url)
    assert len(zipfile.ZipFile(told["file"]).namelist()) == 10 + 2
