"""Recordings that are read by a process of their own: what is too slow, too large or deadly is refused, and the others come in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from generator.errors import Cancelled, Refused
from storage.database import Database
from study import parsing
from study.errors import StudyError
from study.intake import import_recordings
from study.parsing import DAMAGED, DIED, TOO_SLOW, Asked, read_apart
from tests.study.waiting import until
from tests.wfdb_files import signals, write_record

LINUX = sys.platform == "linux"


def folder_of(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_record(folder, name, signals(number))
    (folder / "labels.csv").write_text("record,rhythm\n" + "".join(f"{name},NSR\n" for name in names))
    return folder


@pytest.fixture
def badly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "COMMAND", (sys.executable, str(Path(__file__).with_name("reading_badly.py"))))


def test_what_it_reads_is_what_this_process_reads(db: Database, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "ward", "a", "b")
    (folder / "b.dat").unlink()
    apart = import_recordings(db, None, folder, apart=True)
    assert (apart.imported, {reason: len(files) for reason, files in apart.refused.items()}) == (1, {"missing file": 1})
    here = import_recordings(db, None, folder)
    assert (here.imported, here.already_present, here.refused) == (0, 1, apart.refused)


@pytest.mark.usefixtures("badly")
@pytest.mark.skipif(not LINUX, reason="other systems keep fewer limits: study/limits.py")
def test_what_breaks_a_limit_is_refused_and_the_rest_comes_in(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "SECONDS_OF_SILENCE", 20.0)  # only what never ends takes so long
    bad = {
        "spins": DIED,
        "dies": DIED,
        "lies": DAMAGED,
        "babbles": DAMAGED,
        "eats": "needs too much memory",
        "breaks": "unreadable record",
        "writes": "unreadable record",
        "removes": "unreadable record",
        "connects": "unreadable record",
        "starts": "unreadable record",
    }
    folder = folder_of(tmp_path / "ward", "good0", *bad, "prints", "good1")
    before = sorted(folder.iterdir())
    result = import_recordings(db, None, folder, apart=True)
    assert result.imported == 3
    assert {message.split(":")[0]: reason for reason, files in result.refused.items() for message in files} == bad
    assert sorted(folder.iterdir()) == before


@pytest.mark.usefixtures("badly")
def test_a_recording_that_hangs_is_refused_last_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "SECONDS_OF_SILENCE", 5.0)
    with read_apart(Asked(folder_of(tmp_path / "ward", "good0", "hangs"))) as found:
        [(_, good), (candidate, hung)] = found.results
    assert not isinstance(good, Refused)
    assert isinstance(hung, Refused)
    assert (candidate.record, hung.reason) == ("hangs", TOO_SLOW)
    assert TOO_SLOW == "took longer than 30 s to read"


@pytest.mark.usefixtures("badly")
def test_the_whole_import_has_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "SECONDS_IN_ALL", 0.0)
    with pytest.raises(StudyError, match="took too long"), read_apart(Asked(folder_of(tmp_path / "ward", "hangs"))) as found:
        list(found.results)


def test_it_can_be_cancelled_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(Cancelled), read_apart(Asked(folder_of(tmp_path / "ward", "a")), lambda: True):
        pass


def test_what_is_wrong_with_the_folder_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("record,rhythm\n../../etc/passwd,NSR\n")
    with pytest.raises(StudyError, match="outside"), read_apart(Asked(tmp_path)):
        pass


def test_the_child_knows_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLINDSTRIP_DATABASE", "postgresql+psycopg://u:secret@host/name")
    with read_apart(Asked(folder_of(tmp_path / "ward", "a"))) as found:
        [child] = [one for one in psutil.Process().children() if "parsing_child" in " ".join(one.cmdline())]
        assert not [name for name in child.environ() if name.startswith("BLINDSTRIP")]
        assert "secret" not in " ".join(child.cmdline())
        list(found.results)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a file that blocks whoever opens it is a POSIX thing")
def test_the_child_ends_with_who_started_it_however_that_ends(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "ward", "a")
    (folder / "a.dat").unlink()
    os.mkfifo(folder / "a.dat")
    code = (
        "import sys; from pathlib import Path; from study import parsing; parsing.SECONDS_OF_SILENCE = 600\n"
        "with parsing.read_apart(parsing.Asked(Path(sys.argv[1]))) as found: print('listed', flush=True); list(found.results)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"listed\n"
        [child] = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_module_in_the_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server was started in a folder that others may write to."""
    folder = folder_of(tmp_path / "ward", "a")
    for module in ("base64", "json", "study", "wfdb"):
        (folder / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(folder)
    with read_apart(Asked(folder)) as found:
        [(_, read)] = found.results
    assert not isinstance(read, Refused)
    assert not (tmp_path / "ran").exists()
