"""An uploaded zip becomes a folder of recordings: bounded in number, size and expansion, and nothing in it can reach outside that folder."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from study.errors import StudyError

KINDS = {".hea", ".dat", ".csv", ".json"}  # everything else (licences, annotations, pictures) is not unpacked
MAX_FILES = 20_000
MAX_FILE = 256 << 20  # bytes; MIMIC-IV-ECG's table of measurements is the largest file that is meant
MAX_HEADER = 64 << 10
MAX_TOTAL = 2 << 30
MAX_RATIO = 100  # unpacked to packed; ECGs reach 10, tables 20
MAX_DEPTH = 8
CHUNK = 1 << 20

_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9 ._-]{0,98}[A-Za-z0-9_-])?")
_SIGNAL_FILE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_]+)?")  # as WFDB allows, so without folders


def unpack_zip(source: bytes | Path | BinaryIO, directory: Path) -> Path:
    """Unpack the WFDB records and tables of an uploaded zip below `directory`, which must be empty or new; returns it.

    Folders are kept (PTB-XL and MIMIC-IV-ECG are nested). Raises StudyError, and leaves nothing behind, for whatever is not a plain zip of records:
    encrypted, links, names that lead outside, two files of one name, too many or too large files, headers that name files elsewhere.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            members = _members(archive)
            directory.mkdir(parents=True, exist_ok=True)
            if any(directory.iterdir()):
                raise StudyError(f"{directory}: not empty. Unpack into an empty folder.")
            written: list[Path] = []
            try:
                _unpack(archive, members, directory, written)
            except BaseException:
                for file in written:
                    file.unlink(missing_ok=True)
                raise
    # ValueError, IndexError: damage that zipfile does not foresee
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, IndexError) as error:
        raise StudyError(f"The upload is not a readable zip file ({error}). Zip the folder of recordings again and upload that.") from error
    except OSError as error:
        raise StudyError(f"The upload could not be unpacked: {error.strerror or error}. Ask whoever runs the server.") from error
    return directory


def _members(archive: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files to unpack by their path; every name is looked at before a byte is written."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        raise StudyError(f"The upload holds {len(infos)} files, at most {MAX_FILES} are taken. Upload in parts, or use `blindstrip import`.")
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for info in infos:
        path = PurePosixPath(info.filename)
        if path.suffix.lower() not in KINDS or path.parts[0] == "__MACOSX" or path.name.startswith("."):
            continue
        shown = repr(info.filename[:80])
        if info.flag_bits & 1:
            raise StudyError(f"{shown} is encrypted. Zip the folder without a password.")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise StudyError(f"{shown} is a link. Zip the files themselves.")
        if len(path.parts) > MAX_DEPTH or not all(_PART.fullmatch(part) for part in path.parts):  # "/", ".." and "C:" are such parts
            raise StudyError(f"{shown} is no name that is taken: letters, digits, blanks and ._- in at most {MAX_DEPTH} levels. Rename it.")
        if str(path).lower() in seen:
            raise StudyError(f"{shown} occurs twice. Keep one of them.")
        seen.add(str(path).lower())
        members[path] = info
    if not any(path.suffix.lower() == ".hea" for path in members):
        raise StudyError("The upload holds no WFDB header (.hea). Zip a folder of WFDB records with its table of labels.")
    return members


def _unpack(archive: zipfile.ZipFile, members: dict[PurePosixPath, zipfile.ZipInfo], directory: Path, written: list[Path]) -> None:
    total = 0
    for path, info in members.items():
        is_header = path.suffix.lower() == ".hea"
        allowed = min(MAX_HEADER if is_header else MAX_FILE, MAX_TOTAL - total, MAX_RATIO * max(info.compress_size, 4096))
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        written.append(target)
        size = 0
        with archive.open(info) as packed, target.open("xb") as file:
            while chunk := packed.read(CHUNK):  # the size that the archive declares is not trusted
                size += len(chunk)
                if size > allowed:
                    raise StudyError(f"{path} is too large ({allowed} bytes are taken here). Upload in parts, or import it by `blindstrip import`.")
                file.write(chunk)
        total += size
        if is_header:
            _check_header(path, target.read_text(encoding="utf-8", errors="replace"))


def _check_header(path: PurePosixPath, text: str) -> None:
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in lines[1:]:
        if not _SIGNAL_FILE.fullmatch(line[0]):
            raise StudyError(f"{path} names a signal file {line[0][:60]!r}. A header may only name files beside it.")
