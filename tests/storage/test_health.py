from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from storage import health
from storage.database import Database
from storage.errors import StorageError
from storage.tables import Job, Speed, now


def test_a_write_is_tried_and_leaves_nothing(any_url: str) -> None:
    db = Database(any_url)
    db.migrate()
    health.write_and_take_back(db)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Speed)) == 0
    ahead = health.seconds_ahead(db)
    assert ahead is None if any_url.startswith("sqlite") else ahead is not None and abs(ahead) < 60
    assert health.waiting_and_silent(db) == (None, None)
    with db.write() as session:
        session.add(Job(kind="draw", asked={}, status="queued", created_at=now() - timedelta(hours=1)))
        session.add(Job(kind="fetch", asked={}, status="running", heartbeat_at=now() - timedelta(hours=2)))
    waiting, silent = health.waiting_and_silent(db)
    assert waiting is not None
    assert silent is not None
    assert waiting >= 3600
    assert silent >= 7200
    db.close()


def test_a_role_that_may_not_write_is_told_so_in_words(postgres_url: str) -> None:
    owner = Database(postgres_url)
    owner.migrate()
    with owner.write() as session:
        session.execute(text("DROP ROLE IF EXISTS looker"))
        session.execute(text("CREATE ROLE looker LOGIN"))
    looker = Database(postgres_url.replace("tester", "looker"))
    with pytest.raises(StorageError, match="permission denied for table speed"):
        health.write_and_take_back(looker)
    owner.close()
    looker.close()
