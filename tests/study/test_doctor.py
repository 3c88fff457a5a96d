"""`blindstrip doctor`, `backup`, `restore`, `copy`: what is wrong is found, named and said how to repair; the exit status tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from pages.security_headers import SECURITY_HEADERS
from storage.database import Database
from storage.tables import Job, Speed, now
from study import doctor
from study.doctor import BAD, GOOD, NOT_CHECKED, ROOM, WARNING, Check
from tests.study.cli_calls import call, fails, run


def states(checks: list[Check]) -> dict[str, str]:
    return {one.name: one.state for one in checks}


# ---- the database ----


def test_a_sound_database_passes_and_keeps_nothing_of_the_write_test(db: Database, url: str) -> None:
    found = states(list(doctor.database(url)))
    assert found == {"database": GOOD, "write test": GOOD, "guards": GOOD, "clock": NOT_CHECKED, "runner": NOT_CHECKED}
    with db.read() as session:
        assert session.scalars(select(Speed)).all() == []


def test_what_is_missing_is_bad_and_not_made(tmp_path: Path) -> None:
    assert states(list(doctor.database(f"sqlite:///{tmp_path / 'none.db'}"))) == {"database": BAD}
    assert list(tmp_path.iterdir()) == []
    assert states(list(doctor.database("mysql://here/x"))) == {"database": BAD}


def test_another_schema_is_bad_and_stays(db: Database, url: str) -> None:
    for version, words in (("0001", "earlier schema"), ("9999", "newer version")):
        with db.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        (found,) = doctor.database(url)
        assert found.state == BAD
        assert words in found.words
        with db.read() as session:
            assert session.scalar(text("SELECT version_num FROM alembic_version")) == version


def test_a_guard_that_is_gone_and_a_write_that_is_refused_are_bad(db: Database, url: str) -> None:
    with db.write() as session:
        session.execute(text("DROP TRIGGER judgement_refuses_update"))
        session.execute(text("CREATE TRIGGER full BEFORE INSERT ON speed BEGIN SELECT RAISE(FAIL, 'no'); END"))
    found = {one.name: one for one in doctor.database(url)}
    assert (found["guards"].state, found["write test"].state) == (BAD, BAD)
    assert "judgement" in found["guards"].words


def test_a_database_that_may_not_be_read_is_bad(db: Database, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_db: Database) -> bool:
        raise ProgrammingError("SELECT", {}, Exception("permission denied for table alembic_version\nmore"))

    monkeypatch.setattr(Database, "is_current", refused)
    (found,) = doctor.database(url)
    assert (found.state, found.words) == (BAD, "permission denied for table alembic_version")


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ({"status": "queued", "created_at": 0}, WARNING),
        ({"status": "queued", "created_at": -1}, BAD),
        ({"status": "running", "heartbeat_at": 1}, GOOD),
        ({"status": "running", "heartbeat_at": -1}, BAD),
        ({"status": "done", "heartbeat_at": -1}, NOT_CHECKED),
    ],
)
def test_the_runner_is_known_by_its_jobs(db: Database, url: str, job: dict[str, Any], state: str) -> None:
    """Moments in hours from now, which is when the test runs, not when it is collected."""
    moments = {name: now() + timedelta(hours=value) for name, value in job.items() if name.endswith("_at")}
    with db.write() as session:
        session.add(Job(kind="draw", asked={}, **{**job, **moments}))
    assert states(list(doctor.database(url)))["runner"] == state


@pytest.mark.parametrize(("ahead", "state"), [(None, NOT_CHECKED), (1.0, GOOD), (-5.0, WARNING), (90.0, BAD), (-90.0, BAD)])
def test_clocks_that_are_apart_are_told(ahead: float | None, state: str) -> None:
    assert doctor.clock(ahead).state == state


# ---- this machine ----


def test_packages_are_those_of_the_lock() -> None:
    lock = {"numpy": "2.4.6", "ruff": "0.9"}
    assert doctor.packages(lock, {"numpy": "2.4.6", "other": "1"}).state == GOOD
    found = doctor.packages(lock, {"numpy": "2.0.0"})
    assert (found.state, found.words) == (WARNING, "numpy 2.0.0 in place of 2.4.6")
    assert doctor.packages(None, {}).state == NOT_CHECKED
    assert doctor.python((3, 10)).state == BAD


def test_a_disk_that_fills_is_told() -> None:
    assert [doctor.free("disk", there).state for there in (1e6, ROOM / 2, ROOM)] == [BAD, WARNING, GOOD]


@pytest.mark.parametrize(
    ("config", "environment", "state"),
    [
        ("[browser]\ngatherUsageStats = false", {}, GOOD),
        ("[browser]\ngatherUsageStats = true", {}, BAD),
        ("[server]\nport = 1", {}, BAD),
        ("[browser", {}, BAD),
        (None, {}, BAD),
        ("[browser]\ngatherUsageStats = false", {"STREAMLIT_BROWSER_GATHER_USAGE_STATS": "true"}, BAD),
    ],
)
def test_telemetry_must_be_switched_off(tmp_path: Path, config: str | None, environment: dict[str, str], state: str) -> None:
    file = tmp_path / "config.toml"
    if config is not None:
        file.write_text(config)
    assert doctor.telemetry(file, environment).state == state


def test_a_checkpoint_that_cannot_be_read_is_bad(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert states(list(doctor.strips(tmp_path)))["checkpoint"] == BAD


# ---- the address ----

TLS = {"strict-transport-security": "max-age=1"}
ALL = dict.fromkeys(doctor.HEADERS, "x")


def served(headers: dict[str, str], health: int = 200, socket: int = 403) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/healthz":
            return httpx.Response(health, text="ok" if health == 200 else "no")
        return httpx.Response(socket if request.url.path == "/_stcore/stream" else 200, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("web", "answer", "other"),
    [
        ("https://ecg.example", served(ALL | TLS), {}),
        ("https://ecg.example", served(ALL | TLS, health=500), {"web address": BAD}),
        ("https://ecg.example", served(ALL | TLS, socket=401), {"websocket": BAD}),
        ("https://ecg.example", served(ALL), {"HTTPS": BAD}),
        ("https://ecg.example", served(TLS), {"security headers": BAD}),
        ("http://ecg.example", served(ALL), {"HTTPS": BAD}),
        ("http://localhost:8501", served(ALL), {"HTTPS": WARNING}),
    ],
)
def test_what_a_proxy_spoils_is_named(
    monkeypatch: pytest.MonkeyPatch, web: str, answer: Callable[[httpx.Request], httpx.Response], other: dict[str, str]
) -> None:
    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: client(transport=httpx.MockTransport(answer), **options))
    sound = {"web address": GOOD, "security headers": GOOD, "HTTPS": GOOD, "websocket": GOOD}
    assert states(list(doctor.at_address(web))) == sound | other


def test_an_address_where_nobody_answers_is_bad() -> None:
    assert states(list(doctor.at_address("http://127.0.0.1:1"))) == {"web address": BAD}
    assert states(list(doctor.at_address("no address"))) == {"web address": BAD}


def test_the_headers_that_are_looked_for_are_those_that_the_app_sends() -> None:
    assert set(doctor.HEADERS) <= set(SECURITY_HEADERS)


# ---- commands ----


def test_the_exit_status_is_1_where_something_is_bad(db: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free", lambda name, there: Check(name, GOOD, ""))
    status, out, _err = call("doctor", "--db", url, "--json")
    answer = json.loads(out)
    assert (status, answer["bad"]) == (0, 0)
    assert all(set(one) == {"name", "state", "words", "remedy"} for one in answer["checks"])
    status, out, _err = call("doctor", "--db", f"sqlite:///{tmp_path / 'none.db'}", "--json")
    assert (status, json.loads(out)["bad"]) == (1, 1)


def test_backup_restore_and_copy_tell_the_same_content_and_no_checksum_of_a_table(db: Database, url: str, tmp_path: Path) -> None:
    file, again, third = tmp_path / "b.db", f"sqlite:///{tmp_path / 'again.db'}", f"sqlite:///{tmp_path / 'third.db'}"
    told = [run("backup", file, "--db", url), run("restore", file, "--db", again), run("copy", "--from", f"sqlite:///{file}", "--to", third)]
    same = ("content_sha256", "rows", "audit_entries", "last_hash", "compared")
    assert [{name: one[name] for name in same} for one in told] == [{name: told[0][name] for name in same}] * 3
    assert not any("of_tables" in one for one in told)
    assert file.read_bytes()[18:20] == b"\1\1"  # a backup that is copied from stays as it is
    db.close()


def test_a_database_that_is_not_there_is_not_made_to_be_copied(tmp_path: Path) -> None:
    none = f"sqlite:///{tmp_path / 'none.db'}"
    assert "there is no such file" in fails("backup", tmp_path / "b.db", "--db", none)
    assert "there is no such file" in fails("copy", "--from", none, "--to", f"sqlite:///{tmp_path / 'to.db'}")
    assert list(tmp_path.iterdir()) == []
