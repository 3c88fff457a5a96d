"""A blindstrip server in processes of its own: the program as it is served, at a port and with a database that nobody else has."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study.errors import StudyError

CLONE = Path(__file__).resolve().parents[2]  # app.py and the pages are not part of the installed package
COMMAND = (sys.executable, "-m", "streamlit", "run", "app.py")
_SECONDS_TO_START = 90
_SECONDS_TO_STOP = 40


@dataclass
class Server:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, every: float = 0.05) -> None:
        """Until it answers and reaches its database. Raises StudyError where it does not."""
        end = time.monotonic() + _SECONDS_TO_START
        while not is_well(self.url):
            if self.process.poll() is not None or time.monotonic() > end:
                said = self.log.read_text(errors="replace").strip().splitlines()[-5:]
                raise StudyError(f"The server did not start. Its last words: {' '.join(said) or 'none'}")
            time.sleep(every)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(database: str, port: int, log: Path, command: Sequence[str] = COMMAND) -> Server:
    """Starts one, which does not answer yet; what it says is added to `log`. Raises StudyError where blindstrip's clone is not there."""
    if not (CLONE / "app.py").is_file():
        raise StudyError("A server runs from blindstrip's clone, and this is an installed package without one. Run this in the clone.")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSTRIP_")}
    environment = {**kept, "BLINDSTRIP_DATABASE": database, "STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"}
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=CLONE, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    return Server(f"http://127.0.0.1:{port}", process, log)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def is_well(url: str) -> bool:
    """Whether a server answers there and reaches its database."""
    try:
        with urllib.request.urlopen(url + "/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
