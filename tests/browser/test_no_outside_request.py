"""Every screen of every role in a real browser: nothing is asked of another host, and nothing that the content policy forbids is tried."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser

from pages.access import COOKIE
from pages.screens import SCREENS
from storage.database import Database
from study import reading
from study.roles import may
from tests import ending, world
from tests.browser.driving import Server, settled

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("no outside request")]


@pytest.fixture(scope="module")
def made(server: Server) -> Iterator[world.World]:
    db = Database(server.database)
    yield world.make(db)
    db.close()


def test_no_screen_asks_anything_of_another_host(server: Server, chrome: Browser, made: world.World) -> None:
    page = server.open(chrome)
    for address in ("sign-in", "welcome", "set-up", "no-such-page"):
        page.goto(f"{server.url}/{address}")
    for who in ("reader", "coordinator", "researcher"):
        page.context.add_cookies([{"name": COOKIE, "value": made.tokens[who], "url": server.url}])
        screens = [screen.url_path for screen in SCREENS if may(made.people[who], screen.action)]
        inside = f"?round={made.round_id}" if who == "reader" else f"conduct?study={made.study_id}"
        for address in (*screens, inside, "me"):
            page.goto(f"{server.url}/{address}")
            settled(page)
    _read_and_unblind(made)
    for who, address, shown in (("researcher", "import", ".js-plotly-plot"), ("coordinator", "findings", "[data-testid=stMetric]")):
        page.context.add_cookies([{"name": COOKIE, "value": made.tokens[who], "url": server.url}])
        page.goto(f"{server.url}/{address}")
        page.locator(shown).first.wait_for()
        settled(page)
    page.context.close()
    assert server.elsewhere == []


def _read_and_unblind(made: world.World) -> None:
    for who in ("reader", "other"):
        while case := reading.next_case(made.db, made.people[who], made.round_id):
            reading.submit(made.db, made.people[who], case.code, world.GOOD_ANSWER, datetime.now(UTC))
    ending.end(made.db, made.people["coordinator"], made.people["researcher"], made.study_id)
