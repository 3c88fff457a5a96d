"""Machines on one machine: network namespaces that reach each other over a bridge, and see nothing else of the host's network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

HOST, MASK = "10.213.77.1", 24


def _ip(*arguments: str, check: bool = True) -> bool:
    return subprocess.run(["ip", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check).returncode == 0


def allowed() -> bool:
    """Whether this process may make them: root, with the ip command, and not in a container that forbids it."""
    if os.geteuid() or not shutil.which("ip"):
        return False
    probe = f"bs-probe-{os.getpid()}"
    return _ip("netns", "add", probe, check=False) and _ip("netns", "del", probe, check=False)


@contextmanager
def machines(count: int) -> Iterator[tuple[str, list[tuple[list[str], str]]]]:
    """This machine's address, and for each other one what a command on it begins with and its address; all on loopback where that is not allowed."""
    if not allowed():
        yield "127.0.0.1", [([], "127.0.0.1")] * count
        return
    with _namespaces(count) as made:
        yield HOST, made


@contextmanager
def _namespaces(count: int) -> Iterator[list[tuple[list[str], str]]]:
    made, bridge = [f"bs{os.getpid()}n{i}" for i in range(count)], f"bs{os.getpid()}b"
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{HOST}/{MASK}", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for i, name in enumerate(made):
            outer, inner = f"bs{os.getpid()}o{i}", f"bs{os.getpid()}i{i}"
            _ip("netns", "add", name)
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
            _ip("link", "set", outer, "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"10.213.77.{i + 2}/{MASK}", "dev", inner)
            _ip("-n", name, "link", "set", inner, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield [(["ip", "netns", "exec", name], f"10.213.77.{i + 2}") for i, name in enumerate(made)]
    finally:
        for name in made:
            _ip("netns", "del", name, check=False)
        _ip("link", "del", bridge, check=False)
