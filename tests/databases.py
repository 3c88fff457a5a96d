"""Where a test's database is: SQLite's file in its folder, or, with BLINDSTRIP_TESTS_ON=postgresql, a database of a PostgreSQL of the tests' own."""

from __future__ import annotations

import atexit
import itertools
import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.postgres_server import PostgresServer, postgres_server

ON_POSTGRESQL = os.environ.get("BLINDSTRIP_TESTS_ON") == "postgresql"
_NUMBERS = itertools.count()

looks_into_sqlite = pytest.mark.skipif(ON_POSTGRESQL, reason="looks at SQLite's own words, plans or file")


def new_url(folder: Path) -> str:
    """The URL of an empty database; SQLite's is study.db in `folder`."""
    return _server().new_database(f"study_{next(_NUMBERS)}") if ON_POSTGRESQL else f"sqlite:///{folder / 'study.db'}"


@cache
def _server() -> PostgresServer:
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    return until_the_end.enter_context(postgres_server())
