"""Two servers over one PostgreSQL behind nginx, as deploy/nginx.conf has it: a reader who is moved from one to the other keeps their place."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from storage.database import Database
from storage.tables import Judgement
from study import audit_check
from study.answers import Answer
from study.load.reader import Away, Case, Reader, some_answer
from study.load.server import Server, free_port, start
from study.load.setting import set_up
from tests.durability.unit import UNIT, command
from tests.postgres_server import postgres_server
from tests.study.waiting import until
from tests.world import beats

READERS, CASES, BETWEEN = 4, 8, 2  # who reads; what each reads; answers between two kills


@contextmanager
def nginx(folder: Path, servers: list[str]) -> Iterator[tuple[str, Path]]:
    """The address of deploy/nginx.conf without TLS before these servers, and a log: cookie and server of each request."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no nginx (Debian: apt-get install nginx-light)")
    port, lines = free_port(), (UNIT.with_name("nginx.conf")).read_text(encoding="utf-8").splitlines()
    plain = [line for line in lines if not line.strip().startswith(("ssl_", "access_log", "listen 80", "return 301"))]
    site = "\n".join(plain).replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port} default_server;")
    of_upstream = "".join(f"server {one} max_fails=1 fail_timeout=1s;\n" for one in servers)
    site = site.replace("server 127.0.0.1:8501 max_fails=1 fail_timeout=5s;", of_upstream)
    log, temporary = folder / "requests.log", "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ client_body_temp_path {folder}/body;\n{temporary}log_format moved '$cookie_blindstrip_sign_in $upstream_addr $uri $status';\n"
        f"access_log {log} moved;\n{site}\n}}\n"
    )
    process = subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"))
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait()


def test_a_reader_who_is_moved_to_another_server_keeps_their_place(tmp_path: Path) -> None:
    chance, ports = random.Random(20261127), [free_port(), free_port()]
    with postgres_server() as postgres, ExitStack() as over:
        url = postgres.new_database()
        with closing(Database(url)) as db:
            db.migrate()
            who = set_up(db, CASES, READERS, strip=lambda _rhythm, number: beats(number))
        servers = [start(url, port, tmp_path / f"{port}.log", command()) for port in ports]
        for server in servers:
            over.callback(_kill, server)
            server.wait()
        address, log = over.enter_context(nginx(tmp_path, [f"127.0.0.1:{port}" for port in ports]))
        readers = [over.enter_context(Reader(address, token)) for _person, token in who]
        cases = [_opened(reader) for reader in readers]
        cases = _read(readers, cases, chance)
        _kill(servers[0])
        cases = _read(readers, cases, chance)  # its readers at the second
        first = start(url, ports[0], tmp_path / f"{ports[0]}.log", command())
        over.callback(_kill, first)
        first.wait()
        cases = _read(readers, cases, chance)
        _kill(servers[1])
        shown = [_opened(reader) for reader in readers]  # all at the first
        assert [one and one.position for one in shown] == [one and one.position for one in cases] == [3 * BETWEEN + 1] * READERS
        assert not any(_read(readers, cases, chance))
        with closing(Database(url)) as db, db.read() as session:
            assert session.scalar(select(func.count()).select_from(Judgement)) == READERS * CASES
        with closing(Database(url)) as db:
            assert audit_check.database(db)["judgements"] == READERS * CASES
    served = defaultdict(set)
    for line in log.read_text().splitlines():
        token, *upstreams, path, status = line.replace(",", "").split()
        if path == "/answer" and status == "200":
            served[token].add(upstreams[-1])
    assert [served[token] for _person, token in who] == [{f"127.0.0.1:{port}" for port in ports}] * READERS


def _read(readers: list[Reader], cases: list[Case | None], chance: random.Random) -> list[Case | None]:
    """Each reader's case after the next few."""
    return [_read_some(reader, case, chance) for reader, case in zip(readers, cases, strict=True)]


def _read_some(reader: Reader, case: Case | None, chance: random.Random) -> Case | None:
    """Each answer is sent until there is a receipt, as the desk does."""
    for _ in range(BETWEEN):
        case = None if case is None else _sent(reader, case, some_answer(chance))
    return case


def _sent(reader: Reader, case: Case, answer: Answer) -> Case | None:
    while True:
        try:
            return reader.submit(case, answer)
        except Away:
            continue


def _opened(reader: Reader) -> Case | None:
    while True:
        try:
            return reader.open()
        except Away:
            continue


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def _kill(server: Server) -> None:
    server.process.kill()
    server.process.wait()
