"""Streamlit's settings that the app relies on, several of them hidden: a new Streamlit that drops one must not go unseen."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterator

import pytest
from streamlit import config
from streamlit.runtime.pages_manager import PagesManager

import app
from pages.access import IDENTITY
from pages.screens import SCREENS
from study import staging
from tests.browser.driving import ROOT

FILE = ROOT / ".streamlit" / "config.toml"
RELIED_ON = {
    "runner.postScriptGC": False,  # True: 100 ms and more after each click
    "runner.magicEnabled": False,
    "server.trustedUserHeaders": {app.IDENTITY_HEADER.decode(): IDENTITY},
    "server.enableStaticServing": False,
    "server.enableAgentApi": False,
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.corsAllowedOrigins": [],
    "server.enableWebsocketCompression": False,  # the length of a packed case would follow its samples
    "server.maxUploadSize": staging.LARGEST >> 20,
    "server.xsrfCookieSameSite": "lax",
    "server.fileWatcherType": "none",
    "global.developmentMode": False,
    "server.address": "127.0.0.1",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "logger.enableRich": False,
    "browser.gatherUsageStats": False,
    "theme.base": None,  # light or dark, as the system says
}


@pytest.fixture(autouse=True)
def _as_the_server_reads_them(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    config.get_config_options(force_reparse=True)
    yield
    monkeypatch.undo()
    config.get_config_options(force_reparse=True)


@pytest.mark.parametrize("name", RELIED_ON)
def test_an_option_has_the_value_the_app_relies_on(name: str) -> None:
    assert config.get_option(name) == RELIED_ON[name]


def test_streamlit_knows_every_option_of_the_file() -> None:
    def names(table: dict[str, object], section: str = "") -> Iterator[str]:
        for key, value in table.items():
            yield from names(value, f"{section}{key}.") if isinstance(value, dict) else [f"{section}{key}"]

    known = config.get_config_options()
    unknown = [name for name in names(tomllib.loads(FILE.read_text())) if name not in known]
    assert not unknown, f"{FILE} sets what this version of Streamlit does not know"
    ours = [name for name in known if config.get_where_defined(name) == str(FILE)]
    assert {"runner.postScriptGC", "server.trustedUserHeaders"} <= set(ours)


def test_no_file_in_pages_is_a_page_for_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server does first is to import app.py; from then on /reading must not run pages/reading.py past the sign-in."""
    monkeypatch.setattr(PagesManager, "uses_pages_directory", None)
    importlib.reload(app)
    assert PagesManager.uses_pages_directory is False


def test_no_address_is_the_name_of_a_file_in_pages() -> None:
    files = {file.stem for file in (ROOT / "pages").glob("*.py")}
    assert files.isdisjoint({screen.url_path for screen in SCREENS} | {"me"})
    assert {"reading", "results"} <= files
