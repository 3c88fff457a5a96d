"""What tests of every room share: where real recordings lie, where a browser is, and what happens if either is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
NO_DATA = "no ../shared/data beside the checkout: real recordings are not part of the project"
MUST_RUN = [
    one for one in os.environ.get("BLINDSTRIP_TESTS_MUST_RUN", "").split(",") if one
]  # what may not be skipped: CI says "browser,postgresql,nginx"


def chromium() -> str | None:
    """The path of a Chromium that Playwright can drive, or None."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings and published values; it does not exist on a user's machine."""
    if not _has_data():
        pytest.skip(NO_DATA)
    return SHARED


def _has_data() -> bool:
    return (SHARED / "data").is_dir()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    forbidden = [one for one in MUST_RUN if item.get_closest_marker(one) or f"no {one}" in str(report.longrepr).lower()]
    if report.skipped and forbidden and NO_DATA not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and BLINDSTRIP_TESTS_MUST_RUN={','.join(MUST_RUN)} forbids it: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if chromium() is None:
        message = "THE BROWSER TESTS DID NOT RUN: no chromium on the path. On Debian: apt-get install chromium"
        terminalreporter.write_line(message, red=True, bold=True)
    if not _has_data():
        terminalreporter.write_line(f"THE TESTS ON REAL RECORDINGS DID NOT RUN: {NO_DATA}", red=True, bold=True)
