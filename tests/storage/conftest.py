from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = Database(url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Path]:
    """A PostgreSQL of the tests' own, reached by a socket in a temporary folder."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian keeps both off the path
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, debian)])
    initdb, pg_ctl = shutil.which("initdb", path=path), shutil.which("pg_ctl", path=path)
    if not initdb or not pg_ctl or (os.geteuid() == 0 and not shutil.which("runuser")):
        pytest.skip("no PostgreSQL (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="bs-pg-") as name:  # a socket's path must be short, so not pytest's
        folder = Path(name)
        as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
            as_user = ["runuser", "-u", "postgres", "--"]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        create = [*as_user, initdb, "-D", str(folder / "data"), "-A", "trust", "-U", "tester", "-N"]
        subprocess.run(create, check=True, capture_output=True, env=environment, cwd=folder)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        control = [*as_user, pg_ctl, "-D", str(folder / "data"), "-w"]
        subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], check=True, capture_output=True, env=environment, cwd=folder)
        try:
            yield folder
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, env=environment, cwd=folder)


@pytest.fixture
def postgres_url(_postgres: Path) -> str:
    """The URL of an empty PostgreSQL database."""
    import psycopg

    with psycopg.connect(host=str(_postgres), user="tester", dbname="postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS blindstrip WITH (FORCE)")
        connection.execute("CREATE DATABASE blindstrip")
    return f"postgresql://tester@/blindstrip?host={_postgres}"


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest) -> str:
    chosen: str = request.getfixturevalue("url" if request.param == "sqlite" else "postgres_url")
    return chosen
