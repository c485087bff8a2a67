"""One database, opened once: what is committed survives a kill, and writers take turns."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlmodel import Session, SQLModel, create_engine, select

from bcca_node.storage.tables import SCHEMA_VERSION, SchemaVersion
from bcca_protocol.errors import UnavailableError, UnusableError
from bcca_protocol.wire import showable

BUSY_SECONDS = 30  # a writer waits this long for its turn: longer than any publish takes

_BEGIN = "bcca_begin"
_PRAGMAS = (
    "journal_mode = WAL",  # readers see the last commit and do not wait for a writer
    "synchronous = FULL",  # a commit that was answered survives a power cut
    "foreign_keys = ON",
    f"busy_timeout = {BUSY_SECONDS * 1000}",
)


class Database:
    """The tables behind a URL, made if they are not there yet.

    Raises UnusableError for a URL of nothing we know and for tables of another version,
    UnavailableError where the file cannot be opened, here and in every session.
    """

    def __init__(self, url: str) -> None:
        """Open `url`, such as sqlite:////srv/node/node.db."""
        self._what = f"database {showable(url)}"
        self._engine = _engine(url, self._what)
        # The same connections; a writer asks for its turn first, instead of failing at the end.
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        try:
            with self.write() as session:
                self._make_tables(session)
        except DatabaseError as error:
            raise UnusableError(f"{self._what}: {error.orig}") from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session on one unchanging state of the database."""
        with self._transaction(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield the only session that may write now; commit at the end, or nothing at all."""
        with self._transaction(self._writer) as session:
            yield session
            session.commit()

    def damage(self) -> list[str]:
        """Return what SQLite itself finds broken in the file, nothing where it is whole."""
        with self.read() as session:
            found = session.connection().exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return [str(each) for each in found if each != "ok"]

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        try:
            with Session(engine) as session:
                yield session
        except OperationalError as error:
            raise UnavailableError(f"{self._what}: {error.orig}") from error
        except DatabaseError as error:
            if not _is_damage(error.orig):
                raise
            raise UnusableError(f"{self._what}: {error.orig}; restore it from a backup") from error

    def _make_tables(self, session: Session) -> None:
        SQLModel.metadata.create_all(session.connection(), checkfirst=True)
        found = session.exec(select(SchemaVersion.version)).first()
        if found is None:
            session.add(SchemaVersion(version=SCHEMA_VERSION))
        elif found != SCHEMA_VERSION:
            raise UnusableError(
                f"{self._what}: its tables have version {found}, this program's {SCHEMA_VERSION}"
            )


def is_there(url: str) -> bool:
    """Say whether there is a database at `url`; what is no file on this machine is taken to be."""
    try:
        named = make_url(url)
    except ArgumentError:
        return True  # opening it says what is wrong
    is_file = named.get_backend_name() == "sqlite" and named.database not in (None, "", ":memory:")
    return not is_file or Path(str(named.database)).exists()


def _is_damage(error: BaseException | None) -> bool:
    """Say whether SQLite found what it did not write."""
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF in damaged


def _engine(url: str, what: str) -> Engine:
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise UnusableError(f"{what}: {error}") from error
    if engine.dialect.name != "sqlite":
        raise UnusableError(f"{what}: this version keeps its tables in SQLite, sqlite:///FILE")
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # the driver is not to begin transactions of its own
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
