"""No answer is lost, none is doubled, and the reader comes back to the right case: whatever happens between Submit and its storing."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from storage import audit
from storage.database import Database
from storage.tables import Judgement
from study.cases import ELSEWHERE
from tests import world
from tests.browser.driving import Server, at_the_desk, on_desk, press, start_server
from tests.browser.wire_cutter import Network
from tests.study.waiting import until
from tests.world import World

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("never lost")]

CASES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[list[Server]]:
    """The running server, which a test may replace."""
    servers = [start_server(folder)]
    yield servers
    servers[-1].stop()


@pytest.fixture(scope="module")
def hospital(place: list[Server]) -> Iterator[World]:
    db = Database(place[0].database)
    yield world.make(db, cases=CASES)
    db.close()


@pytest.fixture
def network(place: list[Server]) -> Iterator[Network]:
    made = Network(place[-1].url)
    yield made
    made.cut()


@pytest.fixture
def at(hospital: World) -> int:
    """The position that the reader has reached."""
    return len(answers(hospital)) + 1


@pytest.fixture
def desk(place: list[Server], chrome: Browser, hospital: World, at: int) -> Iterator[Page]:
    page = at_the_desk(place[-1], chrome, hospital.tokens["reader"])
    on_desk(page, f"1-{at}")
    yield page
    page.context.close()


@pytest.fixture
def remote(place: list[Server], network: Network, chrome: Browser, hospital: World, at: int) -> Iterator[Page]:
    """A desk behind a network that can be cut."""
    beyond = Server(network.url, place[-1].database, place[-1].log, place[-1].process)
    page = at_the_desk(beyond, chrome, hospital.tokens["reader"])
    on_desk(page, f"1-{at}")
    yield page
    page.context.close()


def answers(hospital: World) -> list[tuple[int, int | None]]:
    """(revision, realism) of each judgement of the reader, as stored; the trail is whole."""
    with hospital.db.read() as session:
        audit.verify(session)
        rows = session.scalars(select(Judgement).where(Judgement.reader_id == hospital.people["reader"].id).order_by(Judgement.id))
        return [(row.revision, row.realism) for row in rows]


def test_a_double_click_stores_one_answer(desk: Page, hospital: World, at: int) -> None:
    press(desk, "2ny")
    desk.get_by_role("button", name="Submit").dblclick()
    on_desk(desk, f"1-{at + 1}")
    press(desk, "2ny")
    for _ in range(4):
        desk.keyboard.press("Enter")
    on_desk(desk, f"1-{at + 2}")
    assert answers(hospital)[at - 1 :] == [(1, 2), (1, 2)]


def test_of_two_tabs_the_first_answer_stands_and_the_second_is_told(
    desk: Page, place: list[Server], chrome: Browser, hospital: World, at: int
) -> None:
    other = at_the_desk(place[-1], chrome, hospital.tokens["reader"])
    on_desk(other, f"1-{at}")
    for page, scale in ((desk, "1"), (other, "6")):
        press(page, f"{scale}ny")
        page.keyboard.press("Enter")
        on_desk(page, f"1-{at + 1}")
    expect(other.get_by_text(ELSEWHERE)).to_be_visible()
    assert answers(hospital)[at - 1 :] == [(1, 1)]
    other.context.close()


def test_the_back_button_leads_to_the_list_and_the_round_goes_on_where_it_was(place: list[Server], chrome: Browser, hospital: World, at: int) -> None:
    page = at_the_desk(place[-1], chrome, hospital.tokens["reader"], path="/")
    page.get_by_role("button", name="Continue").or_(page.get_by_role("button", name="Start reading")).click()
    on_desk(page, f"1-{at}")
    press(page, "3ny")
    page.keyboard.press("Enter")
    on_desk(page, f"1-{at + 1}")
    page.go_back()
    expect(page.get_by_role("heading", name="Rounds to read")).to_be_visible()
    page.goto(place[-1].url + "/?round=1")
    on_desk(page, f"1-{at + 1}")
    assert answers(hospital)[at - 1 :] == [(1, 3)]
    page.context.close()


def test_a_reload_keeps_a_half_filled_form(desk: Page, hospital: World, at: int) -> None:
    press(desk, "4uk")
    desk.keyboard.type("half a thought")
    desk.reload()
    on_desk(desk, f"1-{at}")
    assert [box.get_attribute("value") for box in desk.locator(".form input:checked").all()] == ["4", "unsure"]
    assert desk.locator("textarea").input_value() == "half a thought"
    assert len(answers(hospital)) == at - 1


def test_a_reload_while_saving_stores_one_answer(remote: Page, network: Network, hospital: World, at: int) -> None:
    press(remote, "5ny")
    network.hold_answers()
    remote.keyboard.press("Enter")
    until(lambda: len(answers(hospital)) == at)  # stored, and the browser does not know
    network.cut()
    network.mend()
    remote.reload()
    on_desk(remote, f"1-{at + 1}")
    assert answers(hospital)[at - 1 :] == [(1, 5)]


def test_an_answer_given_without_a_network_is_kept_and_stored_when_it_is_back(remote: Page, network: Network, hospital: World, at: int) -> None:
    network.cut()
    press(remote, "6ny")
    remote.keyboard.press("Enter")
    expect(remote.locator(".status")).to_contain_text("Not stored yet", timeout=20_000)
    assert len(answers(hospital)) == at - 1
    network.mend()
    on_desk(remote, f"1-{at + 1}")
    assert answers(hospital)[at - 1 :] == [(1, 6)]


def test_an_answer_given_without_a_network_survives_a_reload(remote: Page, network: Network, hospital: World, at: int) -> None:
    network.cut()
    press(remote, "1ny")
    remote.keyboard.press("Enter")
    network.mend()
    remote.reload()
    on_desk(remote, f"1-{at + 1}")
    assert answers(hospital)[at - 1 :] == [(1, 1)]


def test_an_answer_to_a_locked_database_is_kept_and_stored_when_it_is_free(desk: Page, folder: Path, hospital: World, at: int) -> None:
    press(desk, "4ny")
    other = sqlite3.connect(folder / "study.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    desk.keyboard.press("Enter")
    told = re.compile(r"the database cannot be used at the moment \(error [A-Z0-9]{6}\)\. Your answer is kept")
    expect(desk.locator(".status")).to_contain_text(told, timeout=30_000)
    other.close()
    on_desk(desk, f"1-{at + 1}")
    assert answers(hospital)[at - 1 :] == [(1, 4)]


def test_an_answer_survives_the_server_s_death_and_the_reader_comes_back_by_themselves(
    remote: Page, network: Network, place: list[Server], folder: Path, hospital: World, at: int
) -> None:
    press(remote, "2ny")
    os.kill(place[-1].process.pid, signal.SIGKILL)
    place[-1].process.wait()
    remote.keyboard.press("Enter")
    expect(remote.locator(".status")).to_contain_text("Not stored yet", timeout=20_000)
    place.append(start_server(folder, urlparse(place[-1].url).port))
    on_desk(remote, f"1-{at + 1}")
    assert answers(hospital)[at - 1 :] == [(1, 2)]
