"""Waiting for other threads and processes in tests."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

PATIENCE = 90  # seconds before a test gives up


def until(true: Callable[[], bool]) -> None:
    """Asks again and again, and gives up in the end."""
    pause = threading.Event()
    for _ in range(PATIENCE * 10):
        if true():
            return
        pause.wait(0.1)
    pytest.fail(f"nothing happened within {PATIENCE} s")
