"""A server that is killed while readers answer loses nothing and doubles nothing; `python -m tests.durability` does it hundreds of times."""

from __future__ import annotations

from pathlib import Path

from tests.durability.killing import run
from tests.durability.unit import command, service

KILLS = {"sqlite": 4, "postgresql": 1}


def test_no_acknowledged_judgement_is_lost_or_doubled_when_the_server_is_killed(any_url: str, tmp_path: Path) -> None:
    kills = KILLS[any_url.partition(":")[0]]
    report = run(any_url, tmp_path, kills, seed=20261127)
    assert report.kills == kills
    assert report.present == report.acknowledged > 0  # what else has to hold, `run` asserts


def test_the_unit_starts_the_server_that_the_tests_start_and_starts_it_again() -> None:
    unit = service()
    assert unit["Restart"] == "always"
    assert unit["KillMode"] == "mixed"  # the runner and its workers go with a server that was killed
    assert command()[1:] == ["run", "app.py"]
