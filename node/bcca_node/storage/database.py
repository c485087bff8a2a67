"""One database, opened once: what is committed survives a kill, and writers take turns."""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, Select, make_url
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.exc import TimeoutError as NoneFreeError
from sqlmodel import Session

from bcca_node.storage import engines, schema
from bcca_protocol.errors import UnusableError

CALLS = "-calls"  # behind the name of a file: what is remembered of calls, with locks of its own


class Query:
    """A query for which nobody has to wait, by the name of its row."""

    def __init__(self, chosen: Select[Any]) -> None:
        """Write it down for SQLite, once."""
        self.chosen = chosen
        self.raw = str(chosen.compile(dialect=sqlite.dialect(paramstyle="named")))


class Database:
    """The tables behind a URL, made if they are not there yet, brought up to date if they are old.

    Raises UnusableError for a URL of nothing we know and for tables of a version to come,
    UnavailableError where nobody answers or nothing can be opened, here and in every session.
    """

    def __init__(self, url: str) -> None:
        """Open `url`, such as sqlite:////srv/node/node.db or postgresql://node@host/node."""
        self.name = engines.named(url)
        self._engines = engines.engines(url)
        self.is_file = _file(url) is not None  # on this machine: a query takes microseconds
        self._watching = Lock()
        self._watch: PoolProxiedConnection | None = None
        self._driver: sqlite3.Connection | None = None  # what is below it
        claim(url)
        with ExitStack() as undo:
            undo.callback(self.close)
            self._make_tables()
            undo.pop_all()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session on one unchanging state of the database."""
        with self._transaction(self._engines.reading) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield the only session that may write now; commit at the end, or nothing at all."""
        with self._transaction(self._engines.writing) as session:
            yield session
            session.commit()

    def changes(self) -> int | None:
        """Return a number that is another one once somebody has committed, None if nobody knows.

        SQLite tells it of a connection that writes nothing itself, for a hundredth of a query.
        """
        if not self.is_file:
            return None
        ((number,),) = self._ask("PRAGMA data_version", {})
        return int(number)

    def look(self, query: Query, **told: object) -> Sequence[Sequence[Any]]:
        """Return the rows of `query`, as of now, in a tenth of the time that a session takes.

        Two of them may see what was committed between them.
        """
        if self.is_file:
            return self._ask(query.raw, told)
        with self.read() as session:
            return session.connection().execute(query.chosen, told).all()

    def damage(self) -> list[str]:
        """Return what the database itself finds broken, nothing where it is whole."""
        with self.read() as session:
            if not self._engines.is_sqlite:
                on = session.connection().exec_driver_sql("SHOW fsync").scalar_one()
                lost = "its server runs with fsync off: a power cut may take what was answered"
                return [] if on == "on" else [lost]
            found = session.connection().exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return [f"the file is damaged: {each}" for each in found if each != "ok"]

    def close(self) -> None:
        """Close every connection."""
        with self._watching:
            if self._watch is not None:
                self._watch.close()
                self._watch = self._driver = None
        self._engines.close()

    def _ask(self, query: str, told: Mapping[str, object]) -> list[tuple[Any, ...]]:
        try:
            with self._watching:
                return (self._driver or self._below()).execute(query, told).fetchall()
        except sqlite3.DatabaseError:
            with self._blamed():
                raise

    def _below(self) -> sqlite3.Connection:
        with self._blamed():
            self._watch = self._engines.reading.raw_connection()
        self._driver = engines.driver_of(self._watch)
        return self._driver

    def _make_tables(self) -> None:
        try:
            with self.read() as session:
                is_current = schema.is_current(session, self.name)
            if not is_current:
                with self.write() as session:
                    schema.make(session)
        except DatabaseError as error:
            raise UnusableError(f"database {self.name}: {error.orig}") from error

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        with self._blamed(), Session(engine) as session:
            yield session

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Raise what an error of the database means."""
        try:
            yield
        except (DatabaseError, NoneFreeError, sqlite3.DatabaseError) as raised:
            error = engines.told_by(raised) if isinstance(raised, sqlite3.Error) else raised
            reason = engines.blame(error, f"database {self.name}")
            if reason is None:
                raise
            raise reason from error


def is_there(url: str) -> bool:
    """Say whether there is a database at `url`; what is no file on this machine is taken to be."""
    path = _file(url)
    return path is None or path.exists()


def is_in(url: str, folder: Path) -> bool:
    """Say whether the database at `url` is a file in `folder`."""
    path = _file(url)
    return path is not None and path.parent.resolve() == folder.resolve()


def claim(url: str) -> bool:
    """Make the file at `url`, which its owner alone can read; say whether it was not there yet.

    SQLite gives what it keeps beside the file the same mode.
    """
    path = _file(url)
    if path is None:
        return False
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False  # it is there, or opening it says what is wrong
    return True


def beside(url: str) -> str:
    """Return the URL of a database beside the file at `url`; what is no file is its own."""
    path = _file(url)
    if path is None:
        return url
    calls = str(path.with_name(path.name + CALLS))
    return make_url(url).set(database=calls).render_as_string(hide_password=False)


def place(url: str) -> str:
    """Return which file is at `url`, so that a copy of it is another; nothing for what is none."""
    path = _file(url)
    found = None if path is None else path.stat()
    return "" if found is None else f"{found.st_dev}:{found.st_ino}"


def remove(url: str) -> None:
    """Remove the file at `url` and what SQLite keeps beside it; a server's tables stay."""
    path = _file(url)
    if path is not None:
        for each in ("", "-wal", "-shm"):
            path.with_name(path.name + each).unlink(missing_ok=True)


def _file(url: str) -> Path | None:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None  # opening it says what is wrong
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in engines.IN_MEMORY
    # With ?uri=true, SQLite itself reads what stands there.
    is_file = is_file and not str(parsed.database).startswith("file:")
    return Path(str(parsed.database)) if is_file else None
