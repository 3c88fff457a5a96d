"""`blindstrip fetch` and the work that the recordings screen asks for: consent first, then recordings of PhysioNet's layout in the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from generator.physionet import downloads
from storage import jobs as stored_jobs
from storage import strips
from storage.database import Database
from storage.tables import AuditEntry
from study import fetch, jobs, work
from study.drawing import Drawer
from study.errors import StudyError
from study.people import Person
from study.work import Progress
from tests.physionet_server import Served, lay_out_ptbxl, served
from tests.study.cli_calls import fails, run
from tests.study.hospital import Hospital, hospital

ASKED: dict[str, Any] = {"collection": "ptb-xl", "rhythms": ["NSR", "AF"], "n": 4, "folds": None, "seed": 1, "accepted": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("physionet")
    lay_out_ptbxl(folder)
    return folder


@pytest.fixture
def server(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    monkeypatch.setattr(downloads, "SECONDS_BEFORE_NEXT_TRY", 0.0)
    monkeypatch.setattr(fetch, "RECORDINGS", str(tmp_path / "recordings"))
    with served(site) as state:
        monkeypatch.setenv("BLINDSTRIP_PHYSIONET", state.address)
        yield state


def test_without_consent_the_licence_is_named_and_nothing_asked_for(server: Served, tmp_path: Path) -> None:
    sentence = fails("fetch", "ptb-xl", "--n", 4)
    assert "Creative Commons Attribution 4.0" in sentence
    assert "--accept-licence" in sentence
    assert (server.requests, (tmp_path / "recordings").exists()) == ([], False)


def test_what_was_fetched_is_imported_as_any_folder(server: Served, tmp_path: Path, url: str) -> None:
    told = run("fetch", "ptb-xl", "--n", 4, "--folds", "1-2", "--seed", 1, "--out", tmp_path / "here", "--accept-licence")
    assert (told["chosen"], told["recordings"], told["missing"]) == (4, 4, 0)
    assert run("import", tmp_path / "here", "--db", url)["imported"] == 4


def test_a_mirror_goes_before_the_environment(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLINDSTRIP_PHYSIONET", "http://example.org/")
    assert "https only" in fails("fetch", "ptb-xl", "--accept-licence")
    assert run("fetch", "ptb-xl", "--rhythm", "AF", "--n", 1, "--mirror", server.address, "--accept-licence")["recordings"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mimic-iv-ecg", "--folds", "1-2"), "not split into folds"),
        (("ptb-xl", "--folds", "9-11"), "folds 1 to 10"),
        (("ptb-xl", "--rhythm", "VF"), "choose of NSR, AF"),
        (("ptb-xl", "--n", "1"), "Ask for more"),
    ],
)
def test_what_no_collection_could_answer_is_refused_at_once(server: Served, arguments: tuple[str, ...], says: str) -> None:
    assert says in fails("fetch", *arguments, "--accept-licence")
    assert server.requests == []


# ---- as work ----


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


def do(db: Database, person: Person, asked: dict[str, Any]) -> dict[str, Any]:
    jobs.ask(db, person, "fetch", asked)
    with db.write() as session:
        job = stored_jobs.claim(session)
    assert job is not None
    return work.do(db, job, Progress(db, job.id, job.started_at), cast(Drawer, None))


def test_the_screen_s_work_fetches_and_imports_and_the_trail_says_under_which_licence(server: Served, db: Database, house: Hospital) -> None:
    result = do(db, house.researcher, ASKED)
    assert (result["chosen"], result["imported"], result["missing"], result["refused"]) == (4, 4, 0, {})
    with db.read() as session:
        assert {(name, rhythm): number for name, rhythm, number, _ in strips.recording_counts(session)} == {("PTB-XL", "AF"): 2, ("PTB-XL", "NSR"): 2}
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "work asked")).one()
    assert entry.detail["licence"].startswith("Creative Commons")


def test_what_could_not_be_had_is_told_with_the_result(server: Served, db: Database, house: Hospital) -> None:
    server.absent.update(path for i in range(1, 9) for path in [f"ptb-xl/1.0.3/records100/00000/{i:05d}_lr.dat"] if i <= 2)
    result = do(db, house.researcher, {**ASKED, "n": 8})
    assert (result["imported"], result["missing"], len(result["missing_files"])) == (6, 2, 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"accepted": False}, "unless you accept"), ({"n": None}, "at most"), ({"n": 100_000}, "at most"), ({"collection": "ludb"}, "no collection")],
)
def test_the_screen_cannot_ask_for_everything(db: Database, house: Hospital, change: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        jobs.ask(db, house.researcher, "fetch", {**ASKED, **change})


def test_the_demo_downloads_nothing(db: Database, house: Hospital) -> None:
    with pytest.raises(StudyError, match="demo downloads nothing"):
        jobs.ask(db, replace(house.researcher, demo=True), "fetch", ASKED)
