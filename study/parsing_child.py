"""The process that reads other people's files: `python -m study.parsing_child JSON`, of study.parsing.Asked. Started by study.parsing alone.

It says one JSON object a line: that it is ready; what there is to read; then for each recording who it is and what became of it. It ends when its
standard input does. All it may write is what it unpacks; then nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import threading
from dataclasses import asdict
from typing import IO, Any

from generator.errors import GeneratorError, Refused
from generator.recordings import Candidate, find, read_recorded
from generator.strip import to_bytes
from study import limits, log
from study.confinement import breach
from study.errors import StudyError
from study.parsing import SECONDS_A_RECORDING, Asked
from study.uploads import MAX_FILE, MAX_FILES, unpack_zip

TOO_MUCH_MEMORY = "needs too much memory"


def main() -> int:
    limits.limit_memory()
    asked = Asked.from_json(sys.argv[1])
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _say(out, {"ready": True})
    try:
        _read_all(asked, out)
    except (StudyError, GeneratorError) as error:
        _say(out, {"problem": str(error)})
    except MemoryError:
        _say(out, {"problem": f"{asked.directory.name}: it {TOO_MUCH_MEMORY} to be listed. Import it in parts."})
    except Exception as error:
        problem = f"{asked.directory.name}: cannot be listed ({type(error).__name__}). The server's log says more."
        _say(out, {"fault": log.arisen(error), "problem": problem})
    return 0


def _read_all(asked: Asked, out: IO[bytes]) -> None:
    limits.allow_processor(int(asked.seconds_to_list))
    limits.limit_files(MAX_FILE)
    may_write = _Confined(str(asked.directory.resolve()) if asked.archive else "")
    if asked.archive:
        unpack_zip(asked.archive, asked.directory)
    limits.limit_files(0)
    may_write.folder = ""
    listing = find(asked.directory, asked.labels, collection=asked.collection)
    if asked.archive and len(listing.candidates) > MAX_FILES:
        raise StudyError(f"The upload's table names {len(listing.candidates)} recordings, at most {MAX_FILES} are taken. Upload in parts.")
    _say(out, {"kind": listing.kind, "total": len(listing.candidates), "left_out": dict(listing.left_out)})
    for candidate in listing.candidates[asked.start :]:
        limits.allow_processor(int(SECONDS_A_RECORDING))
        _say(out, {"candidate": {**asdict(candidate), "path": str(candidate.path)}})
        _say(out, _read(candidate))


def _read(candidate: Candidate) -> dict[str, Any]:
    remedy = "Export the record again, or leave it out."
    try:
        recording = read_recorded(candidate)
    except Refused as refused:
        return {"refused": [refused.reason, str(refused)]}
    except MemoryError:
        return {"refused": [TOO_MUCH_MEMORY, f"{candidate.path}: {TOO_MUCH_MEMORY}. {remedy}"]}
    except Exception as error:
        message = f"{candidate.path}: {type(error).__name__}. {remedy}"
        return {"refused": ["unreadable record", message], "fault": log.arisen(error)}
    return {"counts": base64.b64encode(to_bytes(recording.counts)).decode(), "rate": recording.rate, "dropped": sorted(recording.dropped)}


class _Confined:
    """From now on this process may write below `folder` only ("" for nowhere), connect to nothing and start nothing."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        sys.addaudithook(self._look)

    def _look(self, event: str, told: tuple[Any, ...]) -> None:
        if wrong := breach(event, told, self.folder):
            raise PermissionError(f"a file that is imported {wrong}")


def _say(out: IO[bytes], said: dict[str, Any]) -> None:
    out.write(json.dumps(said).encode() + b"\n")
    out.flush()


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
