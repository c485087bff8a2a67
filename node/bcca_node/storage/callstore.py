"""The tables of what is remembered of calls, beside those of the node: nothing of it is backed up.

In SQLite they are in a file of their own, so that no caller waits for a publish. In PostgreSQL they
are in the node's database; the tables of nonces are `UNLOGGED`, so that a server that lost some of
them in a crash has lost all, and the store with them, and everybody sees that.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from bcca_node.storage import database, engines
from bcca_node.storage.callwrite import Transaction
from bcca_protocol.errors import UnavailableError, UnusableError

T = TypeVar("T")

MAY_BE_UNDER_WAY = 60  # seconds that a call may be ahead of this clock, as `signatures` allows
NOTHING_FORGOTTEN = -1  # the horizon of a store that was there before the first call

AT_ONCE = 0.05  # seconds that who keeps others waiting waits for the turn: a sweep, not more

_WAL_PAGES = 8_000  # 32 MB are copied back at once, 50 ms, instead of 10 ms at every 300th call
_BOOT = Path("/proc/sys/kernel/random/boot_id")  # Linux: another one after each start
_LOCK = 0x62636361_2F63616C  # "bcca/cal": whose turn it is to make these tables in PostgreSQL

_SQLITE = (
    """CREATE TABLE IF NOT EXISTS call_nonce (
        mark BLOB PRIMARY KEY, created INTEGER NOT NULL, known INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS call_nonce_created ON call_nonce (created, known)",
    """CREATE TABLE IF NOT EXISTS call_store (
        number INTEGER PRIMARY KEY, horizon INTEGER NOT NULL, place TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS call_fetch (
        day INTEGER NOT NULL, origin TEXT NOT NULL, caller TEXT NOT NULL,
        commitment TEXT NOT NULL, how TEXT NOT NULL, product TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, times INTEGER NOT NULL,
        PRIMARY KEY (day, origin, caller, commitment, how)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS call_holder (
        commitment TEXT NOT NULL, origin TEXT NOT NULL, PRIMARY KEY (commitment, origin)
    ) WITHOUT ROWID""",
)
_POSTGRESQL = (
    """CREATE UNLOGGED TABLE IF NOT EXISTS call_nonce (
        mark BYTEA PRIMARY KEY, created BIGINT NOT NULL, known INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS call_nonce_created ON call_nonce (created, known)",
    """CREATE UNLOGGED TABLE IF NOT EXISTS call_store (
        number INTEGER PRIMARY KEY, horizon BIGINT NOT NULL, place TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS call_fetch (
        day BIGINT NOT NULL, origin TEXT COLLATE "C" NOT NULL, caller TEXT COLLATE "C" NOT NULL,
        commitment TEXT COLLATE "C" NOT NULL, how TEXT COLLATE "C" NOT NULL, product TEXT NOT NULL,
        first BIGINT NOT NULL, last BIGINT NOT NULL, times BIGINT NOT NULL,
        PRIMARY KEY (day, origin, caller, commitment, how)
    )""",
    """CREATE TABLE IF NOT EXISTS call_holder (
        commitment TEXT COLLATE "C" NOT NULL, origin TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (commitment, origin)
    )""",
)
_STORE = text("SELECT horizon, place FROM call_store")
_NEW_STORE = text(
    "INSERT INTO call_store (number, horizon, place) VALUES (1, :horizon, :place) "
    "ON CONFLICT DO NOTHING"
)
_NEW_PLACE = text("UPDATE call_store SET horizon = :horizon, place = :place")


class BusyError(UnavailableError):
    """Others had the turn for as long as was waited; nothing was done."""


class Store:
    """The tables beside the database at `url`, opened when they are first used.

    Raises UnavailableError where they cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        """Open nothing yet."""
        self._url = database.beside(url)
        self._name = f"calls {engines.named(self._url)}"
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._is_behind = False  # somebody here waits for the turn of another process
        self._place = ""

    def begin(self) -> None:
        """Begin a store that has missed nothing, unless there is one."""
        with self._lock, self._blamed():
            self._open(None)
            self._close()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            self._close()

    def turn(self, now: int, work: Callable[[Connection], T], patience: float) -> T:
        """Return what `work` does on the one connection of this process that writes.

        Raises BusyError if others have the turn for so many seconds. `work` is tried again until
        then: it leaves nothing half done where it fails. With AT_ONCE nothing is opened, and
        nobody is waited for where others wait already.
        """
        end = time.monotonic() + patience
        if patience <= AT_ONCE and (self._is_behind or self._connection is None):
            raise BusyError(f"{self._name}: busy: try again")
        while True:
            try:
                done = self._try(now, work, end)
            except BusyError:
                self._is_behind = True
                if time.monotonic() >= end:
                    raise
            else:
                self._is_behind = False
                return done

    @contextmanager
    def reading(self, now: int) -> Iterator[Connection]:
        """Yield a connection that keeps nobody waiting who writes."""
        engine = self.turn(now, lambda _: self._engine, engines.QUICK_SECONDS)
        if engine is None:
            raise RuntimeError("a store is open within its turn")
        with self._blamed(is_turn=False), engine.connect() as connection:
            yield connection

    def settle(self, connection: Connection, now: int) -> int:
        """Return the horizon of the store.

        A new store, or one at another place, a copy or one that was open when the machine stopped,
        may lack what was taken before `now`.
        """
        with Transaction(connection):
            found = connection.execute(_STORE).one_or_none()
            if found is not None and found.place == self._place:
                return int(found.horizon)
            horizon = now + MAY_BE_UNDER_WAY
            if found is None:
                connection.execute(_NEW_STORE, {"horizon": horizon, "place": self._place})
            else:
                horizon = max(horizon, found.horizon)
                connection.execute(_NEW_PLACE, {"horizon": horizon, "place": self._place})
        return horizon

    def _try(self, now: int, work: Callable[[Connection], T], end: float) -> T:
        # That it is free is found out first, and quicker.
        is_mine = self._lock.acquire(blocking=False)
        if not (is_mine or self._lock.acquire(timeout=max(end - time.monotonic(), 0.0))):
            raise BusyError(f"{self._name}: others of this process have its turn: try again")
        try:
            return work(self._connection or self._open(now))
        except (DatabaseError, sqlite3.DatabaseError):
            with self._blamed():
                raise
        finally:
            self._lock.release()

    def _open(self, now: int | None) -> Connection:
        """Open the store at the time `now`, or begin a new one."""
        database.claim(self._url)
        boot = _boot()
        self._engine = engines.quick(self._url, survives=not boot)
        connection = self._engine.connect()
        try:
            self._begin(connection, boot, now)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _begin(self, connection: Connection, boot: str, now: int | None) -> None:
        """Make the store that is not there yet, and see what it may have missed."""
        file = database.place(self._url)
        self._place = f"{boot} {file}" if file else ""
        with Transaction(connection):
            _make(connection)
            if now is None:
                told = {"horizon": NOTHING_FORGOTTEN, "place": self._place}
                connection.execute(_NEW_STORE, told)
        if now is not None:
            self.settle(connection, now)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(AT_ONCE * 1000)}")
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._engine is not None:
            self._engine.dispose()
        self._connection = self._engine = None

    @contextmanager
    def _blamed(self, *, is_turn: bool = True) -> Iterator[None]:
        """Turn what the database refuses into UnavailableError.

        After a turn the next connects anew: whether the last commit counts is not known.
        """
        try:
            yield
        except (DatabaseError, sqlite3.DatabaseError) as raised:
            error = raised if isinstance(raised, DatabaseError) else engines.told_by(raised)
            reason = engines.blame(error, self._name)
            is_busy = engines.is_busy(error)
            if is_turn and not (is_busy and self._connection is not None):
                self._close()
            if is_busy:
                raise BusyError(str(reason)) from error
            if reason is None:
                raise
            if isinstance(reason, UnusableError):
                raise UnavailableError(
                    f"{self._name}: damaged: remove that file while the node is down"
                ) from error
            raise reason from error


def _boot() -> str:
    """Return what tells one start of this machine from another, nothing where nobody knows."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _make(connection: Connection) -> None:
    """Make the tables that are not there."""
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    for each in _SQLITE if is_sqlite else _POSTGRESQL:
        connection.exec_driver_sql(each)
