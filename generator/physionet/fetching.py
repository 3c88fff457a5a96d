"""A collection of PhysioNet into a folder. The ordinary import takes it: its tables list what is in it, and the published ones lie in `index`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from generator.errors import GeneratorError
from generator.physionet import PHYSIONET, Choice, Collection, Fetched
from generator.physionet.choice import choose
from generator.physionet.downloads import Downloads, Progress
from generator.physionet.sums import published
from generator.physionet.tables import TABLES, Tables, write_tables
from generator.recordings.candidate import Row
from generator.recordings.journal import lock
from generator.recordings.paths import inside

INDEX = "index"
SUMS = "SHA256SUMS.txt"
LICENCE = "LICENSE.txt"
LOCK = ".lock"


def fetch(
    collection: Collection,
    directory: Path,
    choice: Choice,
    *,
    base: str = PHYSIONET,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Fetched:
    """Download what a choice needs and is not there yet, each file checked by its published SHA-256. What was broken off goes on.

    base: the address under which collections lie. Raises GeneratorError for an address that is neither https nor this machine's, without a
    network or room, for a table that cannot be had or is not what was published, and where there are fewer recordings than asked for; Cancelled.
    A recording that cannot be had is told, and the others come.
    """
    try:
        with Downloads(f"{base.rstrip('/')}/{collection.name}/{collection.version}/", progress, cancelled) as downloads, _alone_in(directory):
            return _fetched(TABLES[collection.name], directory, choice, downloads)
    except OSError as error:
        raise GeneratorError(f"{error.filename or directory}: {error.strerror or error}. Name a folder of yours with room for the files.") from error


def _fetched(tables: Tables, directory: Path, choice: Choice, downloads: Downloads) -> Fetched:
    index = directory / INDEX
    index.mkdir(exist_ok=True)
    sums_file, first = index / SUMS, next(iter(tables.columns))
    downloads.one(SUMS, sums_file, None)
    sums = published(sums_file, {LICENCE, *tables.columns})
    for name in (LICENCE, *tables.columns):
        downloads.one(name, (directory if name == LICENCE else index) / name, _sum_of(sums, name, sums_file))
    downloads.say("Choosing recordings")
    chosen = choose(tables.rows(index), choice)
    for row in chosen:
        inside(directory, row.place, index / first)
    wanted = {name: row.place for row in chosen for name in _files(row)}
    sums = published(sums_file, set(wanted))
    missing = downloads.many({name: (directory / name, sums.get(name)) for name in wanted})
    recordings = write_tables(tables, index, directory)
    return Fetched(len(chosen), recordings, downloads.bytes_read, {wanted[name]: why for name, why in missing.items()})


def _sum_of(sums: dict[str, str], name: str, file: Path) -> str:
    if name not in sums:
        file.unlink()
        raise GeneratorError(f"{file}: no sum for {name}, so it is not the list of this collection. Fetch again, or name another mirror.")
    return sums[name]


def _files(row: Row) -> tuple[str, str]:
    return f"{row.place}.hea", f"{row.place}.dat"


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two at once would write to one unfinished file. The folder is made where it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("ab") as file:
        lock(file, directory)
        yield
