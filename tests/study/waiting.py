"""Waiting for other threads and processes in tests."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

PATIENCE = 90  # seconds before a test gives up


def until(true: Callable[[], bool], every: float = 0.1) -> None:
    """Asks again and again (every so many seconds), and gives up in the end."""
    pause = threading.Event()
    for _ in range(round(PATIENCE / every)):
        if true():
            return
        pause.wait(every)
    pytest.fail(f"nothing happened within {PATIENCE} s")
