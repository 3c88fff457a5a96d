from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages import access
from storage.database import Database
from tests import world
from tests.pages.visiting import Visit, without_a_browser


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """AppTest puts its script in the place of __main__, and what starts a process by spawn later would run that script in it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("BLINDSTRIP_DATABASE", f"sqlite:///{tmp_path / 'study.db'}")
    access.database.cache_clear()
    yield access.database()
    access.database().close()
    access.database.cache_clear()


@pytest.fixture
def visit(db: Database, monkeypatch: pytest.MonkeyPatch) -> Visit:
    made = Visit(world.make(db))
    monkeypatch.setattr(access, "sign_in_token", lambda: made.token)  # AppTest has no cookies
    without_a_browser(monkeypatch)
    return made
