"""The reading room under axe, in light and dark, at a desk and on a tablet: no serious finding."""

from __future__ import annotations

from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from storage.database import Database
from tests import world
from tests.browser.driving import Server, at_the_desk, on_desk, press, settled

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("accessibility")]

GRAVE = {"serious", "critical"}
Theme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def reader(server: Server) -> str:
    db = Database(server.database)
    made = world.make(db)
    db.close()
    return made.tokens["reader"]


def grave(page: Page) -> list[str]:
    """What axe finds serious or critical: the rule, and the places."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found if one["impact"] in GRAVE]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (820, 1180)], ids=["desk", "tablet"])
def test_the_desk_has_no_serious_finding(
    server: Server, chrome: Browser, reader: str, theme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    page = at_the_desk(server, chrome, reader, viewport={"width": size[0], "height": size[1]}, theme=theme)
    on_desk(page, "1-1")
    assert grave(page) == []
    press(page, "2nyc")
    page.keyboard.press("ArrowRight")
    assert grave(page) == []
    for key in "?gb":  # the keys, the bank card, the break
        page.keyboard.press(key)
        page.locator("dialog[open], .cover:not([hidden])").first.wait_for()
        assert grave(page) == [], key
        page.keyboard.press("Escape")
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_of_rounds_has_no_serious_finding(server: Server, chrome: Browser, reader: str, theme: Theme) -> None:
    page = at_the_desk(server, chrome, reader, path="/", theme=theme)
    page.get_by_role("heading", name="Rounds to read").wait_for()
    settled(page)
    assert grave(page) == []
    page.context.close()
