"""A child that reads as study.parsing_child does, but that some recordings do harm to, by their names. Run in its place by test_parsing.py."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from generator.recordings import Candidate, Recording
from study import parsing_child

_read, _say = parsing_child.read_recorded, parsing_child._say
OUT: list[IO[bytes]] = []  # where the child answers
parsing_child.SECONDS_A_RECORDING = 1.0  # of processor time, and one more


def read(candidate: Candidate) -> Recording:
    match candidate.record:
        case "hangs":
            time.sleep(60)
        case "spins":
            while True:
                pass
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "lies":
            OUT[0].write(b'{"counts": "not base64", "rate": null, "dropped": []}\n')
        case "babbles":
            OUT[0].write(b"[1, 2\n")
        case "eats":
            bytearray(8 << 30)
        case "breaks":
            raise ZeroDivisionError("by a file")
        case "writes":
            (Path(candidate.path).parent / "written").write_text("x")
        case "removes":
            candidate.path.with_name("good0.dat").unlink()
        case "connects":
            socket.create_connection(("127.0.0.1", 9))
        case "starts":
            subprocess.run(["true"])
        case "prints":
            print("what a library prints is no answer", flush=True)
    return _read(candidate)


def say(out: IO[bytes], said: dict[str, Any]) -> None:
    OUT[:] = [out]
    _say(out, said)


parsing_child.read_recorded, parsing_child._say = read, say

if __name__ == "__main__":
    sys.exit(parsing_child.main())
