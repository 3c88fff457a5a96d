"""What a process that parses other people's files must not do: write outside its folder, talk to a network, start another process.

An audit hook sees what Python does, not what a library's machine code does by itself; the limits of the operating system stand beside it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.symlink": 2,
    "os.link": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.chown": 1,
}
_NEVER = (
    "socket.connect",
    "socket.sendto",
    "socket.bind",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.fork",
    "os.forkpty",
)


def breach(event: str, told: tuple[Any, ...], folder: str) -> str | None:
    """What is wrong with an audit event (PEP 578), or None. folder: the only one that may be written to, resolved; "" for none at all."""
    if event == "open":
        path, _mode, flags = told
        return f"opens {path!r} for writing" if flags & _WRITING and _outside(path, folder) else None
    if event in _CHANGES:
        beyond = [path for path in told[: _CHANGES[event]] if _outside(path, folder)]
        return f"{event} {beyond[0]!r}" if beyond else None
    return event if event in _NEVER else None


def _outside(path: object, folder: str) -> bool:
    if isinstance(path, int) or path is None:  # an open file, looked at when it was opened
        return False
    if not folder:
        return True
    text = os.fsdecode(path) if isinstance(path, bytes | os.PathLike) else str(path)
    return not Path(os.path.realpath(text)).is_relative_to(folder)
