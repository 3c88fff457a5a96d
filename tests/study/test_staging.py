"""Uploads on their way in leave nothing behind, whatever became of them."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from storage import jobs as stored
from storage.database import Database
from study import jobs, people, sign_in, staging, work
from study.errors import StudyError
from study.people import Person
from study.roles import Role
from study.work import Progress
from tests.study.test_uploads import zipped
from tests.wfdb_files import signals, write_record


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary files, for this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def rosa(db: Database) -> Person:
    with db.write() as session:
        people.add_demo_person(session, "rosa", "Rosa", Role.RESEARCHER, None)
    person = sign_in.person_for(db, sign_in.sign_in_demo(db, "rosa"))
    assert person is not None
    return person


def upload(db: Database, content: bytes, name: str = "ward 3.zip") -> Path:
    return staging.stage(db, name, io.BytesIO(content))


def import_it(db: Database, who: Person, folder: Path) -> dict[str, object]:
    jobs.ask(db, who, "import", {"directory": str(folder), "temporary": True})
    with db.write() as session:
        job = stored.claim(session)
    assert job is not None
    return work.import_folder(db, job, Progress(db, job.id), None)  # type: ignore[arg-type]


def test_an_upload_comes_in_and_goes(db: Database, rosa: Person, temporary: Path, tmp_path: Path) -> None:
    record = write_record(tmp_path / "ward", "a", signals(1))
    files = {f"a{end}": record.with_suffix(end).read_bytes() for end in (".hea", ".dat")}
    folder = upload(db, zipped({**files, "labels.csv": b"record,rhythm\na,NSR\nb,AF\n"}))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 or os.name == "nt"
    result = import_it(db, rosa, folder)
    assert (result["imported"], result["refused"]) == (1, {"missing file": 1})
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("content", [zipped({"../a.hea": b""}), zipped({"a.hea": b"a 1 100\na.dat 16\n"}), b"PK\x03\x04 and no more"])
def test_an_upload_that_is_refused_goes_too(db: Database, rosa: Person, temporary: Path, content: bytes) -> None:
    with pytest.raises(StudyError):
        import_it(db, rosa, upload(db, content))
    assert list(temporary.iterdir()) == []


def test_what_is_no_zip_or_too_large_is_refused_at_once(db: Database, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudyError, match="not a zip"):
        upload(db, b"record,rhythm\n")
    monkeypatch.setattr(staging, "LARGEST", 1000)
    with pytest.raises(StudyError, match="larger than"):
        upload(db, b"PK\x03\x04" + bytes(2000))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd.zip", "C:\\x\\..\\a.zip", ".zip", "a\0b.zip", "é" * 300 + ".zip", ""])
def test_the_name_of_an_upload_leads_nowhere(db: Database, name: str) -> None:
    folder = upload(db, zipped({"a.hea": b""}), name)
    archive, beside = staging.staged(folder)
    assert archive.parent == beside.parent == folder
    assert archive.is_file()


def test_after_a_kill_the_next_runner_sweeps_up(db: Database, rosa: Person, tmp_path: Path) -> None:
    content = zipped({"a.hea": b""})
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    wanted, left, new, elsewhere = upload(db, content), upload(db, content), upload(db, content), upload(other, content)
    jobs.ask(db, rosa, "import", {"directory": str(wanted), "temporary": True})
    long_ago = time.time() - 2 * staging.SECONDS_TO_BE_ASKED
    for folder in (wanted, left, elsewhere):
        os.utime(folder, (long_ago, long_ago))
    assert staging.sweep(db) == [left]
    assert [folder.exists() for folder in (wanted, left, new, elsewhere)] == [True, False, True, True]
    other.close()
