"""A PostgreSQL of the tests' own, reached by a socket in a temporary folder, that can be stopped and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class PostgresServer:
    folder: Path
    _control: list[str]
    _environment: dict[str, str]

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """At once, whoever is connected."""
        self._run("-m", "immediate", "stop")

    def new_database(self, name: str = "blindstrip") -> str:
        """The URL of an empty database; the one before of that name is gone."""
        import psycopg
        from psycopg.sql import SQL, Identifier

        with psycopg.connect(host=str(self.folder), user="tester", dbname="postgres", autocommit=True) as connection:
            connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return f"postgresql://tester@/{name}?host={self.folder}"

    def _run(self, *arguments: str) -> None:
        subprocess.run([*self._control, *arguments], check=True, capture_output=True, env=self._environment, cwd=self.folder)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Started; skips the test where there is no PostgreSQL."""
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
        server = PostgresServer(folder, [*as_user, pg_ctl, "-D", str(folder / "data"), "-w"], environment)
        server.start()
        try:
            yield server
        finally:
            server.stop()
