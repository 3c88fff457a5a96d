"""The server's log: lines that a program can read, the id of each error that a person was told of, and nothing that a person answered or typed."""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from pages import faults
from storage.database import Database
from study import cases, log
from study.errors import Unavailable
from study.load.reader import Case, Reader, some_answer
from study.load.server import Server, free_port, start
from study.load.setting import set_up
from study.people import Person
from study.protocol import MORPHOLOGY_ANSWERS, SCALE
from study.sign_in import COOKIE
from tests.pages.visiting import Visit, shown
from tests.study.waiting import until
from tests.websocket_client import Tab, browser, post_form
from tests.world import beats

pytestmark = pytest.mark.xdist_group("log")  # one server

PASSWORD, WRONG = "correct horse battery staple 9", "wrong donkey 77"
COMMENT = "the T waves look like those of my neighbour"


@dataclass
class House:
    server: Server
    db: Database
    reader: Person
    token: str

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("log")
    db = Database(f"sqlite:///{folder / 'study.db'}")
    db.migrate()
    [(reader, token)] = set_up(db, 4, 1, strip=lambda _rhythm, number: beats(number))
    server = start(db.url, free_port(), folder / "server.log")
    server.wait()
    yield House(server, db, reader, token)
    server.stop()
    db.close()


def test_a_whole_reading_leaves_nothing_of_it_in_the_log(house: House) -> None:
    chance, keys = random.Random(3), []
    with Reader(house.server.url, house.token) as reader:
        case = reader.open()
        while case is not None:
            keys.append(case.key)
            case = reader.submit(case, some_answer(chance, COMMENT))
        assert reader.open() is None  # the screen to sign on
    assert len(keys) == 4
    with browser(house.server.url) as client:
        assert post_form(client, "/sign-in", username="reader-0", password=WRONG).status_code == 401
    said = house.server.log.read_text()
    secrets = [house.token, COMMENT, WRONG, house.reader.name, "reader-0", *keys, *SCALE, *MORPHOLOGY_ANSWERS, "synthetic", "real", "realism"]
    assert [one for one in secrets if re.search(rf"(?<![a-z]){re.escape(one)}(?![a-z])", said)] == []


def test_an_error_that_nobody_foresaw_has_its_id_on_the_screen_on_the_answer_and_in_the_log(house: House) -> None:
    """A plan without its wash-out, which no version of blindstrip has written."""
    with house.db.write() as session:
        session.execute(text("UPDATE round SET plan = json_remove(plan, '$.washout_days')"))
    with Tab(house.server.url, house.token, query="round=1") as tab:
        [on_screen] = set(re.findall(r"error ([A-Z0-9]{6})", tab.run().drawn()))
        assert "Traceback" not in tab.drawn()
        assert "KeyError" not in tab.drawn()
    sent = {"place": Case("1-1", "", 1).place, "key": "0" * 32, "answer": some_answer(random.Random(4), COMMENT).as_dict(), "viewing": {}}
    answer = httpx.post(f"{house.server.url}/answer", json=sent, cookies={COOKIE: house.token})
    assert answer.status_code == 500
    on_answer = answer.headers["x-blindstrip-error"]
    assert f"error {on_answer}." in answer.text
    assert "KeyError" not in answer.text
    for number in (on_screen, on_answer):
        [line] = [line for line in house.lines() if line.get("error") == number]
        assert (line["level"], line["program"], line["type"]) == ("error", "server", "KeyError")
        assert re.search(r"study/reading\.py:\d+ _starts_at", line["at"][0])
    assert COMMENT not in house.server.log.read_text()


def test_a_screen_whose_database_is_away_names_no_database(visit: Visit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away(*_asked: object) -> None:
        raise Unavailable("The database sqlite:////var/lib/study.db cannot be used: database or disk is full.")

    monkeypatch.setattr(cases, "of_round", away)
    said = shown(visit.reads())
    number = re.search(r"error ([A-Z0-9]{6})", said)
    assert number
    assert faults.AWAY.format(number[1]) in said
    assert "sqlite" not in said
    [line] = [json.loads(line) for record in caplog.records if number[1] in (line := log.Lines("test").format(record))]
    assert "disk is full" in line["reason"]


def test_whoever_sets_a_study_up_leaves_no_password_in_the_log(house: House) -> None:
    with browser(house.server.url) as client:
        given = {"username": "admin", "name": "Ann Other", "site": "Northgate", "password": PASSWORD}
        assert post_form(client, "/set-up", "/set-up", **given).status_code == 303
    said = house.server.log.read_text()
    assert PASSWORD not in said
    assert "Ann Other" not in said


def test_every_line_is_one_object_with_time_level_program_and_message(house: House) -> None:
    until(lambda: any(line["program"] == "runner" for line in house.lines()))
    plain = [line for line in house.server.log.read_text().splitlines() if line.strip() and not line.startswith("{")]
    assert [line for line in plain if not re.match(r"\s*(You can now view|URL:)", line)] == []  # Streamlit's greeting
    assert {line["program"] for line in house.lines()} == {"server", "runner"}
    assert all({"time", "level", "program", "from", "message"} <= set(line) for line in house.lines())


def test_an_exception_is_written_down_without_its_message_and_with_what_caused_it() -> None:
    try:
        try:
            int("rating 5")
        except ValueError as error:
            raise KeyError("hunter2") from error
    except KeyError as error:
        record = logging.LogRecord("somebody.else", logging.ERROR, "", 0, "Failed with %s\nrating 5", ("hunter2",), (KeyError, error, None))
    line = log.Lines("test").format(record)
    said = json.loads(line)
    assert (said["message"], said["type"], said["cause"]["type"]) == ("Failed with %s", "KeyError", "ValueError")
    assert "hunter2" not in line
    assert "rating 5" not in line
