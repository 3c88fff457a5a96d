"""The choice of an empty database: the demo with simulated ECGs, or with recordings that were fetched to the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pages.entrance import ROUTES
from storage.database import Database
from storage.tables import Job
from study import fetch, people, sign_in
from study.roles import Role
from tests.websocket_client import post_form

OFFER = "Look around with recordings of PTB-XL"


@pytest.fixture
def client(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    db.migrate()
    monkeypatch.setattr(fetch, "RECORDINGS", str(tmp_path))
    with TestClient(Starlette(routes=ROUTES), follow_redirects=False) as one:
        yield one


def _fetched(tmp_path: Path) -> None:
    (tmp_path / "ptb-xl").mkdir()
    (tmp_path / "ptb-xl" / "ptbxl_database.csv").write_text("")


def _asked(db: Database) -> list[dict[str, object]]:
    with db.read() as session:
        return list(session.scalars(select(Job.asked).where(Job.kind == "demo")))


def test_without_fetched_recordings_the_demo_is_simulated_and_says_so(client: Any, db: Database) -> None:
    page = client.get("/welcome").text
    assert "come from a simulator" in page
    assert OFFER not in page
    assert post_form(client, "/welcome", "/welcome").headers["location"].startswith("/welcome/demo?job=")
    assert _asked(db) == [{"collection": None}]


def test_after_a_fetch_the_demo_offers_the_recordings(client: Any, db: Database, tmp_path: Path) -> None:
    _fetched(tmp_path)
    page = client.get("/welcome").text
    assert OFFER in page
    assert "Look around with simulated ECGs" in page
    assert post_form(client, "/welcome", "/welcome", collection="ptb-xl").headers["location"].startswith("/welcome/demo?job=")
    assert _asked(db) == [{"collection": "ptb-xl"}]


def test_a_demo_that_was_made_before_a_fetch_offers_them_where_one_signs_in(client: Any, db: Database, tmp_path: Path) -> None:
    with db.write() as session:
        people.add_demo_person(session, "demo-reader", "Demo Reader", Role.READER, "Demo Hospital")
    assert OFFER not in client.get("/sign-in").text
    assert client.get("/welcome").headers["location"] == "/sign-in"
    _fetched(tmp_path)
    assert OFFER in client.get("/sign-in").text
    assert post_form(client, "/welcome", "/sign-in", collection="ptb-xl").headers["location"].startswith("/welcome/demo?job=")


def test_a_collection_that_nobody_fetched_is_refused_with_the_remedy(client: Any, db: Database) -> None:
    answer = post_form(client, "/welcome", "/welcome", collection="ptb-xl")
    assert answer.status_code == 409
    assert "blindstrip fetch ptb-xl" in answer.text
    assert _asked(db) == []


def test_real_people_close_it(client: Any, db: Database, tmp_path: Path) -> None:
    _fetched(tmp_path)
    sign_in.set_up(db, "ada", "Ada Admin", "read with calm eyes", "North")
    assert OFFER not in client.get("/sign-in").text
    assert post_form(client, "/welcome", "/sign-in", collection="ptb-xl").headers["location"] == "/sign-in"
    assert _asked(db) == []
