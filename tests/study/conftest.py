"""What tests of the study room share: an empty database, passwords that are quick to hash, folders for commands to work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from storage.database import Database
from study import passwords
from tests.databases import new_url
from tests.study.cli_calls import Run, run
from tests.wfdb_files import signals, write_record


@pytest.fixture
def url(tmp_path: Path) -> str:
    return new_url(tmp_path)


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = Database(url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture(autouse=True)
def _quick_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


# ---- commands ----


@pytest.fixture
def ask(url: str) -> Run:
    """Runs a command on an empty database of the test's own."""
    return lambda *arguments: run(*arguments, "--db", url)


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve simulated recordings of each rhythm, every one of another patient, in folds 1 to 3."""
    folder = tmp_path_factory.mktemp("files") / "ward"
    rows = ["record,rhythm,patient,fold"]
    for i in range(24):
        rhythm = ("NSR", "AF")[i % 2]
        write_record(folder, f"ecg{i}", signals(i, rhythm))
        rows.append(f"ecg{i},{rhythm},{i},{i % 3 + 1}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Eight drawn strips of each rhythm, a folder each."""
    folder = tmp_path_factory.mktemp("drawn")
    for rhythm in ("NSR", "AF"):
        made = run("sample", "--rhythm", rhythm, "--n", 8, "--seed", 5, "--steps", 4, "--out", folder / rhythm)
        assert made["drawn"] + made["rejected"] == 8
    return {rhythm: folder / rhythm for rhythm in ("NSR", "AF")}
