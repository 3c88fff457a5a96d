"""One way to the database: an engine set up so that no answer is lost, two kinds of transaction, and the schema brought up to date."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from storage.errors import StorageError, Unavailable

# busy_timeout first: two processes that start at once both switch a new file to WAL
_PRAGMAS = ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_WRITERS = 0x626C696E64  # "blind": the advisory lock that makes writers on PostgreSQL take turns, as SQLite's do
_MIGRATIONS = Path(__file__).parent / "migrations"

logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)  # at DEBUG it would write every row that is read, arms too


class Database:
    """The database at a URL (`sqlite:///file` or `postgresql+psycopg://...`), brought to the newest schema by `migrate`.

    `with db.read() as session` sees one consistent state and writes nothing; `with db.write() as session` is one transaction that
    holds the write lock from its first statement, so that what it read is still true when it commits.
    read_only: of a SQLite file not a byte is written, nor one made beside it where nobody has it open; `write` is refused.
    Raises StorageError if the URL cannot be understood or the database cannot be reached.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = url
        self.engine = _engine(url, read_only=read_only)
        self._writer = sessionmaker(self.engine, expire_on_commit=False)
        self._reader = sessionmaker(_read_only(self.engine), expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self._in_words(), self._writer.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._in_words(), self._reader() as session:
            yield session

    def migrate(self) -> None:
        """Bring the schema to this program's revision: nothing to do, one revision after another, or everything from an empty database.

        Safe when several processes start at once: each revision is one transaction under the write lock, and what is missing is asked for inside it.
        Raises StorageError for a database that a newer version made, and for one with tables that are not blindstrip's.
        """
        scripts = ScriptDirectory(str(_MIGRATIONS))
        with self._in_words():
            while self._behind(scripts):
                with self.engine.connect() as connection, _foreign_keys_off(connection), connection.begin():
                    _one_revision_up(connection, scripts, str(self._shown()))

    def is_current(self) -> bool:
        """Whether the schema is of this program's revision. Raises as `migrate` does; changes nothing."""
        with self._in_words():
            return not self._behind(ScriptDirectory(str(_MIGRATIONS)))

    def put_away_log(self) -> bool:
        """SQLite keeps what was written over in its write-ahead log for a while: empties it. PostgreSQL has no such file of ours.

        Returns whether it is empty: it stays as it is where somebody is reading from it for longer than the busy_timeout.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with self._in_words(), closing(self.engine.raw_connection()) as raw:
            busy, _pages, _moved = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # not in a transaction
        return not busy

    def close(self) -> None:
        self.engine.dispose()

    def _behind(self, scripts: ScriptDirectory) -> bool:
        with self.engine.connect().execution_options(read_only=True) as connection:
            return _revision(connection, scripts, str(self._shown())) != scripts.get_current_head()

    def _shown(self) -> URL:
        return self.engine.url  # its str() hides the password

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            if type(error) not in (DatabaseError, OperationalError):  # a broken constraint is for the caller, or a fault of the program
                raise
            reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
            raise Unavailable(
                f"The database {self._shown()} cannot be used: {reason}. Check that it can be reached, is yours to write and has room."
            ) from error


def _engine(url: str, *, read_only: bool) -> Engine:
    advice = "Write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME."
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StorageError(f"{url!r} is no database URL. {advice}") from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StorageError(f"blindstrip keeps its data in SQLite or PostgreSQL, not in {parsed.get_backend_name()}. {advice}")
    if parsed.get_backend_name() == "sqlite":
        parsed = _only_to_read(parsed) if read_only else parsed.set(database=_file(parsed.database))
    try:
        engine = create_engine(parsed, pool_pre_ping=True, hide_parameters=True)  # arms and answers stand in no traceback and no log
    except (ImportError, NoSuchModuleError) as error:
        raise StorageError(f"No driver for {parsed.drivername}. Install it: pip install 'blindstrip[postgres]'.") from error
    event.listen(engine, "begin", _on_begin)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_connect_to_read if read_only else _on_connect)
    return engine


def _file(name: str | None) -> str:
    if name in (None, "", ":memory:"):
        raise StorageError("A database in memory would be lost, and the runner could not see it. Name a file: sqlite:///FILE.")
    path = Path(str(name)).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {path.parent} for the database cannot be made: {error.strerror}. Choose another with --db or BLINDSTRIP_DATABASE."
        ) from error
    return str(path)


def _only_to_read(url: URL) -> URL:
    """A SQLite file opened by its URI in mode=ro. Opened so, a database with a write-ahead log would get its two files beside it again: where
    they are not there, nobody has it open, and it is read as what does not change (immutable).
    """
    file = Path(str(url.database)).expanduser().resolve()
    in_use = any(file.with_name(file.name + ending).exists() for ending in ("-wal", "-journal"))
    query = {"uri": "true", "mode": "ro"} | ({} if in_use else {"immutable": "1"})
    return url.set(database=file.as_uri(), query=query)


def _on_connect_to_read(dbapi: Any, _record: Any) -> None:
    dbapi.isolation_level = None
    dbapi.execute("PRAGMA busy_timeout=10000")
    dbapi.execute("PRAGMA query_only=ON")


def _on_connect(dbapi: Any, _record: Any) -> None:
    dbapi.isolation_level = None  # the sqlite3 module must not open transactions of its own: it loses updates
    for pragma in _PRAGMAS:
        dbapi.execute("PRAGMA " + pragma)


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")
    elif not read_only:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def _read_only(engine: Engine) -> Engine:
    if engine.dialect.name == "sqlite":
        return engine.execution_options(read_only=True)
    return engine.execution_options(read_only=True, isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _revision(connection: Connection, scripts: ScriptDirectory, shown: str) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None and inspect(connection).get_table_names():
        raise StorageError(f"{shown} has tables that blindstrip did not make. Name an empty database or a file that does not exist yet.")
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise StorageError(
            f"{shown} was made by a newer version of blindstrip (schema {current}). "
            "Install that version, or name another database; nothing was changed."
        )
    return current


def _one_revision_up(connection: Connection, scripts: ScriptDirectory, shown: str) -> None:
    if _revision(connection, scripts, shown) == scripts.get_current_head():
        return  # another process was faster
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "+1")
    if connection.dialect.name == "sqlite" and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
        raise StorageError(f"{shown}: after the migration table {broken[0]} would name a row that is not there. Nothing was changed; report this.")


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew: while that goes on, rows that point to it must not follow the old one into its grave."""
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.driver_connection
    raw.execute("PRAGMA foreign_keys=OFF")  # without effect inside a transaction, so before it
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys=ON")
