"""The key that the Submit button shows does what the button does, wherever the reader's last click has left the focus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from storage.database import Database
from storage.tables import Judgement
from tests import world
from tests.browser.driving import Server, choose, settled
from tests.world import World

pytestmark = pytest.mark.browser

LAST_CLICK: dict[str, Callable[[Page], None]] = {
    "the scale": lambda page: choose(page, "possibly synthetic"),
    "a morphology answer": lambda page: page.locator(".stRadio").last.get_by_text("cannot judge", exact=True).click(),
    "a cue": lambda page: page.get_by_text("beats too much alike", exact=True).click(),
    "the comment": lambda page: page.get_by_label("Comment").click(),
    "the paper": lambda page: page.locator(".js-plotly-plot .nsewdrag").first.click(),
}


@pytest.fixture(scope="module")
def hospital(server: Server) -> Iterator[World]:
    db = Database(server.database)
    yield world.make(db, cases=len(LAST_CLICK))
    db.close()


@pytest.fixture(scope="module")
def reading(server: Server, chrome: Browser, hospital: World) -> Iterator[Page]:
    page = server.open(chrome, "/sign-in")
    page.get_by_role("button", name=hospital.people["reader"].name).click()
    page.get_by_role("button", name="Start reading").click()
    yield page
    page.context.close()


def test_ctrl_s_submits_wherever_the_focus_is(reading: Page, hospital: World) -> None:
    for position, where in enumerate(LAST_CLICK, start=1):
        submit_by_key(reading, position, where)
        with hospital.db.read() as session:
            stored = session.scalars(select(Judgement).order_by(Judgement.id)).all()
        assert [judgement.comment for judgement in stored] == [f"read with {name}" for name in list(LAST_CLICK)[:position]]
        assert stored[-1].realism == (4 if where == "the scale" else 5)


def submit_by_key(reading: Page, position: int, where: str) -> None:
    place = reading.get_by_text(f"Case {position} of {len(LAST_CLICK)}", exact=True)
    expect(place).to_be_visible()
    settled(reading)
    reading.get_by_label("Comment").fill(f"read with {where}")
    choose(reading, "probably synthetic")
    choose(reading, "sinus rhythm")
    for item in reading.locator(".stRadio").all():
        item.get_by_text("plausible", exact=True).click()
    LAST_CLICK[where](reading)
    reading.evaluate("window.addEventListener('keydown', event => { if (event.key === 's') window.left_to_browser = !event.defaultPrevented })")
    reading.keyboard.press("Control+s")
    expect(place).to_be_hidden()
    assert reading.evaluate("window.left_to_browser") is False, f"with {where} the browser would offer to save the page"
