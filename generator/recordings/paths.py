"""Where a table says a record lies, and never outside the folder that was named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from generator.errors import GeneratorError


def inside(directory: Path, record: str, table: Path) -> Path:
    """The path of a record without extension. Raises GeneratorError if it leads out of the directory."""
    base = directory.resolve()
    try:
        path = (base / without_extension(record)).resolve()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # where there is none, reading says so
            path.with_name(path.name + ".hea").stat()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a byte of value 0, in a circle of links
        raise GeneratorError(f"{table}: record {record[:80]!r} is no path ({error}). Write paths relative to the folder of recordings.") from error
    if not record or not path.is_relative_to(base) or path == base:
        raise GeneratorError(f"{table}: record {record[:80]!r} lies outside {directory}. Write paths relative to the folder of recordings.")
    return path


def without_extension(record: str) -> str:
    return record.removesuffix(".hea").removesuffix(".dat")
