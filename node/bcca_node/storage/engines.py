"""SQLite and PostgreSQL: how a transaction begins, and what their errors mean.

In both, a reader sees one unchanging state, one writer at a time has the turn, and a commit is on
the disk before it is answered. Whoever waits for the turn keeps no connection from readers.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    PoolProxiedConnection,
    QueuePool,
    StaticPool,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as NoneFreeError

from bcca_protocol.errors import BccaError, MalformedError, UnavailableError, UnusableError
from bcca_protocol.wire import showable

BUSY_SECONDS = 30  # a writer waits this long for its turn: longer than any publish takes
QUICK_SECONDS = 5  # whoever has the turn of what is quick keeps it for milliseconds
CONNECT_SECONDS = 10  # a server that has not answered by then is taken to be away
IN_MEMORY = (None, "", ":memory:")  # what SQLite calls a database that is in no file

_BEGIN = "bcca_begin"
_PRAGMAS = (
    "journal_mode = WAL",  # readers see the last commit and do not wait for a writer
    "synchronous = FULL",  # a commit that was answered survives a power cut
    "foreign_keys = ON",
    f"busy_timeout = {BUSY_SECONDS * 1000}",
)
_WRITERS = 0x62636361_2F763121  # "bcca/v1!": the lock of a PostgreSQL database that writers hold
# Each statement of a writer sees what was committed before it had the turn; a snapshot taken while
# it waited would not. `off` alone is raised to `on`: stricter settings stay as they are.
_TAKE_TURN = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL lock_timeout = '{BUSY_SECONDS}s';
    SELECT set_config('synchronous_commit', 'on', true)
        WHERE current_setting('synchronous_commit') = 'off';
    SELECT pg_advisory_xact_lock({_WRITERS})
"""
_POSTGRESQL = "postgresql+psycopg"
_ONE: Mapping[str, int] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": BUSY_SECONDS}
_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": _POSTGRESQL,
    "postgresql": _POSTGRESQL,
    _POSTGRESQL: _POSTGRESQL,
}
_TURNS = {
    "sqlite": ("BEGIN", "BEGIN IMMEDIATE"),
    _POSTGRESQL: ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", _TAKE_TURN),
}
_FULL = "nothing of this was written: make room, and do it again"
_DISK = "nothing of this was written: see whether the disk is full, and do it again"
_FIXED = "nothing of this was written: let this account write there, and do it again"
_BUSY = f"another process has kept the turn to write for over {BUSY_SECONDS} s: try again"
_IN_USE = f"all its connections have been in use for over {BUSY_SECONDS} s: try again"
_BACKUP = "restore it from a backup"
_ADVICE: Mapping[int | str, str] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_READONLY: _FIXED,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_CORRUPT: _BACKUP,
    sqlite3.SQLITE_NOTADB: _BACKUP,
    "53100": _FULL,  # disk_full
    "25006": _FIXED,  # read_only_sql_transaction
    "42501": _FIXED,  # insufficient_privilege
    "55P03": _BUSY,  # lock_not_available
    "XX001": _BACKUP,  # data_corrupted
    "XX002": _BACKUP,  # index_corrupted
}


@dataclass(frozen=True, slots=True)
class Engines:
    """Connections to read, and one to write, whose users wait here and then for their turn."""

    reading: Engine
    writing: Engine

    @property
    def is_sqlite(self) -> bool:
        """Say whether the tables are in a file of this machine."""
        return self.reading.dialect.name == "sqlite"

    def close(self) -> None:
        """Close every connection."""
        self.reading.dispose()
        self.writing.dispose()


def named(url: str) -> str:
    """Return `url` as it may be shown: no password, wherever in it that stands."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        scheme, _, rest = url.rpartition("://")
        is_safe = not set("@?:=") & set(rest) and not set("@?=") & set(scheme)
        return showable(url) if is_safe else "of a URL that cannot be read"
    shown = parsed.set(query={})
    if not parsed.drivername.startswith("sqlite"):
        # An `@` or `/` that is not written as %40 or %2F ends a password early.
        host, name = ((part or "").rpartition("@")[2] for part in (parsed.host, parsed.database))
        shown = shown.set(host=host or None, database=name or None)
    return showable(shown.render_as_string(hide_password=True))


def engines(url: str) -> Engines:
    """Return the engines of the database at `url`, not connected yet; raises UnusableError."""
    what = f"database {named(url)}"
    try:
        parsed = make_url(url)
        driver = _DRIVERS.get(parsed.drivername)
        if driver is None:
            raise UnusableError(
                f"{what}: tables are kept in SQLite, sqlite:///FILE, or in PostgreSQL, "
                "postgresql://USER@HOST/NAME"
            )
        if driver != "sqlite" and "@" in f"{parsed.host} {parsed.database}":
            raise UnusableError(f"{what}: write %40 for an @ that is not the one before the host")
        make = _sqlite if driver == "sqlite" else _postgresql
        parsed = parsed.set(drivername=driver)
        reading = make(parsed, {})
        # What is only in memory is in its one connection.
        in_memory = driver == "sqlite" and parsed.database in IN_MEMORY
        writing = reading if in_memory else make(parsed, _ONE)
    except (ArgumentError, ValueError) as error:
        # What SQLAlchemy says may quote the URL.
        raise UnusableError(
            f"{what}: write sqlite:///FILE or postgresql://USER@HOST:PORT/NAME, PORT a number"
        ) from error
    for engine in {reading, writing}:
        event.listen(engine, "begin", _begin)
    read, write = _TURNS[driver]
    # A writer asks for its turn first, instead of failing at the end.
    return Engines(
        reading.execution_options(**{_BEGIN: read}), writing.execution_options(**{_BEGIN: write})
    )


def quick(url: str, *, survives: bool) -> Engine:
    """Return an engine that ends each statement with a commit, for which nobody waits.

    What was committed survives a kill of any process of this node, and in SQLite a power cut only
    if it `survives` that. A writer waits QUICK_SECONDS for its turn. `url` was opened before.
    """
    parsed = make_url(url)
    parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    if parsed.get_backend_name() == "sqlite":
        # Threads that take turns share what is only in memory too.
        pool = StaticPool if parsed.database in IN_MEMORY else QueuePool
        engine = create_engine(parsed, poolclass=pool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _sure_sqlite if survives else _quick_sqlite)
    else:
        patience = {"connect_timeout": str(CONNECT_SECONDS)}
        engine = create_engine(parsed.set(query={**patience, **parsed.query}))
        event.listen(engine, "connect", _quick_postgresql)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _sqlite(url: URL, pool: Mapping[str, int]) -> Engine:
    engine = create_engine(url, **pool)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _postgresql(url: URL, pool: Mapping[str, int]) -> Engine:
    patience = {"connect_timeout": str(CONNECT_SECONDS)}
    # A server may have been restarted since: a connection is tried before it is used.
    engine = create_engine(url.set(query={**patience, **url.query}), pool_pre_ping=True, **pool)
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def blame(error: DatabaseError | NoneFreeError, what: str) -> BccaError | None:
    """Return what to raise for an error of the database, None where the program itself is wrong."""
    if isinstance(error, NoneFreeError):
        return UnavailableError(f"{what}: {_IN_USE}")
    code = _code(error.orig)
    advice = _ADVICE.get(code)
    said = " ".join(str(error.orig).split()).removesuffix(".")
    told = f"{what}: {showable(said)}" + (f"; {advice}" if advice else "")
    if advice == _BACKUP:
        return UnusableError(told)
    if isinstance(error, DataError):
        return MalformedError(told)  # what no column can hold, such as NUL in a text
    return UnavailableError(told) if advice or isinstance(error, OperationalError) else None


def driver_of(connection: PoolProxiedConnection) -> sqlite3.Connection:
    """Return what is below a connection to SQLite: to ask it directly takes a fifth of the time."""
    driver = connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("SQLite is asked by the driver of the standard library")
    return driver


def told_by(error: sqlite3.DatabaseError) -> DatabaseError:
    """Return what SQLAlchemy would raise for an error of the driver."""
    made = DBAPIError.instance("", None, error, sqlite3.Error)
    if not isinstance(made, DatabaseError):
        raise TypeError("an error of the database is one") from error
    return made


def is_busy(error: DatabaseError) -> bool:
    """Say whether another has the turn, so that nothing was done."""
    return _ADVICE.get(_code(error.orig)) == _BUSY


def _code(error: BaseException | None) -> int | str:
    """Return the primary result code of SQLite, or the SQLSTATE of PostgreSQL."""
    match error:
        case sqlite3.Error():
            return getattr(error, "sqlite_errorcode", 0) & 0xFF
        case psycopg.Error():
            return error.sqlstate or ""
        case _:
            return ""


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # the driver is not to begin transactions of its own
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _quick_sqlite(connection: sqlite3.Connection, _: object) -> None:
    _sure_sqlite(connection, _)
    connection.execute("PRAGMA synchronous = NORMAL").close()  # no fsync of each commit


def _sure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    for pragma in (*_PRAGMAS, f"busy_timeout = {QUICK_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _quick_postgresql(connection: psycopg.Connection[tuple[object, ...]], _: object) -> None:
    connection.autocommit = True
    connection.execute("SET synchronous_commit = off")
    connection.execute(f"SET lock_timeout = '{QUICK_SECONDS}s'")


def _prepare_postgresql(connection: psycopg.Connection[tuple[object, ...]], _: object) -> None:
    connection.autocommit = True  # likewise; commit and rollback end what `_begin` began


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options()[_BEGIN])
