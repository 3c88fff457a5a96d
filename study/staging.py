"""Uploads on their way in: each in a folder of its own among the system's temporary files, gone once its import has ended, however it ended."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from storage import jobs
from storage.database import Database
from study.errors import StudyError

LARGEST = 200 << 20  # bytes of a zip; .streamlit/config.toml tells browsers the same
SECONDS_TO_BE_ASKED = 600  # between the making of a folder and the import that names it
_ZIP = b"PK\x03\x04"


def stage(db: Database, name: str, source: BinaryIO) -> Path:
    """Write an uploaded zip into a new folder that nobody else may read; returns the folder. Raises StudyError for what is no zip or too large.

    name: of the file on the computer it came from; its stem names what is imported.
    """
    head = source.read(len(_ZIP))
    if head != _ZIP:
        raise StudyError("The upload is not a zip file. Zip the folder of recordings and upload that.")
    folder = Path(tempfile.mkdtemp(prefix=_prefix(db)))
    try:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).strip(".-")[:60] or "upload"
        with (folder / f"{stem}.zip").open("xb") as file:
            file.write(head)
            shutil.copyfileobj(source, file, 1 << 20)
            if file.tell() > LARGEST:
                raise StudyError(f"The upload is larger than {LARGEST >> 20} MB. Upload it in parts, or use `blindstrip import`.")
    except BaseException:
        clear(folder)
        raise
    return folder


def staged(folder: Path) -> tuple[Path, Path]:
    """The zip of a folder that `stage` made, and the folder beside it to unpack it into. StudyError where it is gone."""
    archive = next(folder.glob("*.zip"), None)
    if archive is None:
        raise StudyError("The upload is not on the server any more. Upload it again.")
    return archive, archive.with_suffix("")


def clear(folder: Path) -> None:
    """Remove an upload, whatever is left of it."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(db: Database) -> list[Path]:
    """Remove what no unfinished import of this database names any more: its runner, or the server, was killed. Returns the folders."""
    found = list(Path(tempfile.gettempdir()).glob(f"{_prefix(db)}*"))
    if not found:
        return []
    with db.read() as session:
        needed = {str(job.asked.get("directory")) for job in jobs.active(session, "import")}
    left = [folder for folder in found if str(folder) not in needed and _seconds_old(folder) > SECONDS_TO_BE_ASKED]
    for folder in left:
        clear(folder)
    return left


def _seconds_old(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _prefix(db: Database) -> str:
    """Several servers may share a machine: each knows its own folders. The database's address without its password."""
    return f"blindstrip-upload-{hashlib.sha256(str(db.engine.url).encode()).hexdigest()[:12]}-"
