"""An uploaded zip becomes a folder of recordings: bounded in number, size and expansion, and nothing in it can reach outside that folder."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from generator.recordings.wfdb_record import LARGEST_HEADER, SIGNAL_FILE
from study.errors import StudyError

RECORDINGS = {".hea", ".dcm", ".edf", ".bdf", ".xml", ".scp", ".npy"}
NO_ENDING = ""  # as DICOM from an archive often has it
KINDS = {*RECORDINGS, ".dat", ".csv", ".json", NO_ENDING}  # everything else (licences, annotations, pictures) is not unpacked
MAX_FILES = 20_000
MAX_FILE = 256 << 20  # bytes; MIMIC-IV-ECG's table of measurements is the largest file that is meant
MAX_TOTAL = 2 << 30
MAX_RATIO = 100  # unpacked to packed; ECGs reach 10, tables 20
MAX_DEPTH = 8
MAX_LIST = 512 * MAX_FILES  # bytes of the zip's own list of files, which is read whole before anything else can be looked at
CHUNK = 1 << 20

_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9 ._-]{0,98}[A-Za-z0-9_-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # devices on Windows, whatever the ending
_LOCAL_HEADER = 30  # bytes before an entry's name


def unpack_zip(source: bytes | Path, directory: Path) -> Path:
    """Unpack the recordings and tables of an uploaded zip below `directory`, which must be empty or new; returns it.

    Folders are kept (PTB-XL and MIMIC-IV-ECG are nested). Raises StudyError, and leaves no file behind, for whatever is not a plain zip of records:
    encrypted, links, devices, names that lead outside, two files of one name or in one place, too many or too large files, headers that name
    files elsewhere.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file, zipfile.ZipFile(_Sparing(file)) as archive:
            members = _members(archive)
            directory.mkdir(parents=True, exist_ok=True)
            if any(directory.iterdir()):
                raise StudyError(f"{directory}: not empty. Unpack into an empty folder.")
            written: list[Path] = []
            try:
                _unpack(archive, members, directory, written)
            except BaseException:
                for one in written:
                    one.unlink(missing_ok=True)
                raise
    # ValueError, IndexError, OverflowError: damage that zipfile does not foresee
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, IndexError, OverflowError) as error:
        raise StudyError(f"The upload is not a readable zip file ({error}). Zip the folder of recordings again and upload that.") from error
    except OSError as error:
        raise StudyError(f"The upload could not be unpacked: {error.strerror or error}. Ask whoever runs the server.") from error
    return directory


class _Sparing(io.BufferedIOBase):
    """A file from which nobody reads much at once: zipfile reads a zip's list of files, however long it is, in one go."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        content = self._file.read(MAX_LIST + 1 if size is None or size < 0 else min(size, MAX_LIST + 1))
        if len(content) > MAX_LIST:
            raise StudyError(f"The upload lists more than the {MAX_FILES} files that are taken. Upload in parts, or use `blindstrip import`.")
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _members(archive: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files to unpack by their path; every name is looked at before a byte is written."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        raise StudyError(f"The upload holds {len(infos)} files, at most {MAX_FILES} are taken. Upload in parts, or use `blindstrip import`.")
    _refuse_overlaps(infos)
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for info in infos:
        path = PurePosixPath(info.filename)
        if path.suffix.lower() not in KINDS or path.parts[0] == "__MACOSX" or path.name.startswith("."):
            continue
        _check(path, info)
        if str(path).lower() in seen:
            raise StudyError(f"{_shown(info)} occurs twice. Keep one of them.")
        seen.add(str(path).lower())
        members[path] = info
    folders = {str(folder).lower() for path in members for folder in path.parents}
    if both := sorted(seen & folders):
        raise StudyError(f"{both[0]!r} is both a file and a folder. Rename one of them.")
    ends = [path.suffix.lower() for path in members]
    if not RECORDINGS & set(ends) and NO_ENDING not in ends and ends.count(".csv") < 2:  # one of them is the table
        raise StudyError(f"The upload holds no recording ({', '.join(sorted(RECORDINGS))}, .csv). Zip a folder of them with its labels.csv.")
    return members


def _check(path: PurePosixPath, info: zipfile.ZipInfo) -> None:
    shown, kind = _shown(info), stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 1:
        raise StudyError(f"{shown} is encrypted. Zip the folder without a password.")
    if kind not in (0, stat.S_IFREG):
        raise StudyError(f"{shown} is a link or a device. Zip the files themselves.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others may set aside gigabytes for a small file
        raise StudyError(f"{shown} is packed in an unusual way. Zip the folder with the ordinary method (deflate).")
    plain = all(_PART.fullmatch(part) and not _RESERVED.fullmatch(part) for part in path.parts)  # "/", ".." and "C:" are such parts
    if not plain or len(path.parts) > MAX_DEPTH or "\0" in info.orig_filename:
        raise StudyError(f"{shown} is no name that is taken: letters, digits, blanks and ._- in at most {MAX_DEPTH} levels. Rename it.")


def _refuse_overlaps(infos: list[zipfile.ZipInfo]) -> None:
    """Entries that share their packed bytes make a small file a very large one (Fifield 2019, "A better zip bomb")."""
    spans = sorted((info.header_offset, info.header_offset + _LOCAL_HEADER + len(info.orig_filename) + info.compress_size) for info in infos)
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise StudyError("Files of the upload lie over one another, which no zip program writes. Zip the folder of recordings again.")


def _unpack(archive: zipfile.ZipFile, members: dict[PurePosixPath, zipfile.ZipInfo], directory: Path, written: list[Path]) -> None:
    total = 0
    for path, info in members.items():
        is_header = path.suffix.lower() == ".hea"
        allowed = min(LARGEST_HEADER if is_header else MAX_FILE, MAX_TOTAL - total, MAX_RATIO * max(info.compress_size, 4096))
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
        if not SIGNAL_FILE.fullmatch(line[0]):
            raise StudyError(f"{path} names a signal file {line[0][:60]!r}. A header may only name files beside it.")


def _shown(info: zipfile.ZipInfo) -> str:
    return repr(info.filename[:80])
