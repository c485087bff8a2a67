"""The database, SQLite or PostgreSQL: what is committed stays, and writers take turns."""

import os
import re
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import QueuePool, create_engine, make_url
from sqlalchemy.exc import TimeoutError as NoneFreeError
from sqlmodel import text

from bcca_node.ledger.node import Node
from bcca_node.storage import engines, logs, statements, witnessed
from bcca_node.storage.database import Database
from bcca_node.storage.statements import Draft
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import UnavailableError, UnusableError
from bcca_protocol.limits import MAX_TREE_SIZE

NOBODY = 65534


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


@pytest.fixture
def seen_by_all() -> Iterator[Path]:
    """A folder on the way to which no other account is stopped."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_what_was_committed_is_there_after_opening_again(url: str) -> None:
    with closing(Database(url)) as first, first.write() as session:
        logs.add_entries(session, 0, ["one", "two"])

    with closing(Database(url)) as again, again.read() as session:
        assert logs.entries(session, 0, 10) == [b"one", b"two"]


def test_a_transaction_that_fails_leaves_nothing(url: str) -> None:
    with closing(Database(url)) as database:
        with pytest.raises(RuntimeError), database.write() as session:
            logs.add_entries(session, 0, ["one"])
            raise RuntimeError

        with database.read() as session:
            assert logs.size(session) == 0


def test_a_commit_is_synchronised_with_the_disk(file: Path) -> None:
    with closing(Database(f"sqlite:///{file}")) as database, database.read() as session:
        mode = session.connection().execute(text("PRAGMA journal_mode")).scalar_one()
        synchronous = session.connection().execute(text("PRAGMA synchronous")).scalar_one()

    assert (mode, synchronous) == ("wal", 2)


def test_a_commit_is_synchronised_with_the_disk_of_a_server_that_is_told_not_to(
    postgresql: Callable[[], str],
) -> None:
    url = postgresql()
    setting = text("SELECT current_setting('synchronous_commit')")
    with closing(Database(url)) as database, database.write() as session:
        name = make_url(url).database
        session.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))

    with closing(Database(url)) as database:
        with database.read() as session:
            assert session.execute(setting).scalar_one() == "off"
        with database.write() as session:
            assert session.execute(setting).scalar_one() == "on"


def test_a_reader_sees_one_state_while_others_write(url: str) -> None:
    with closing(Database(url)) as database, database.read() as session:
        before = logs.size(session)
        with database.write() as writer:
            logs.add_entries(writer, 0, ["one"])

        assert (before, logs.size(session)) == (0, 0)


def test_writers_at_the_same_time_take_turns(url: str) -> None:
    databases = [Database(url) for _ in range(4)]

    def write(database: Database) -> None:
        for _ in range(25):
            with database.write() as session:
                logs.add_entries(session, logs.size(session), ["line"])

    threads = [threading.Thread(target=write, args=(each,)) for each in databases]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    with databases[0].read() as session:
        assert logs.size(session) == 100
    for database in databases:
        database.close()


def test_databases_opened_at_the_same_time_make_their_tables_once(url: str) -> None:
    opened: list[Database] = []
    threads = [threading.Thread(target=lambda: opened.append(Database(url))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(opened) == 4
    for database in opened:
        database.close()


def test_the_largest_tree_of_a_stranger_fits(url: str) -> None:
    huge = Checkpoint(origin="mine.example", size=MAX_TREE_SIZE, root=bytes(32))
    with closing(Database(url)) as database:
        with database.write() as session:
            assert witnessed.replace(session, None, huge, "note")

        with database.read() as session:
            last = witnessed.last(session, "mine.example")
            assert last is not None
            assert last.size == MAX_TREE_SIZE


def test_texts_sort_alike_in_every_database(url: str) -> None:
    names = ["B", "a", "Z", "b-", "b", "é", "ab", "a b", "\U0001f50b"]
    with closing(Database(url)) as database:
        with database.write() as session:
            drafts = [Draft(id=each, product=each, kind="k", predicate=b"{}") for each in names]
            statements.put_drafts(session, drafts)

        with database.read() as session:
            assert [each.product for each in statements.drafts(session)] == sorted(names)


@pytest.mark.parametrize("text", ["a%00b", "%00", "%ED%A0%80", "%F0%9F%94%8B"])
def test_a_stranger_who_asks_for_what_no_text_can_be_gets_no_error_of_the_server(
    new_node: Callable[..., Node],
    url: str,
    ask: Callable[..., httpx.Response],
    text: str,
) -> None:
    answer = ask(new_node(database=url), f"/statements?product={text}")

    assert answer.status_code in (200, 400, 404)


def test_a_reader_cannot_write(postgresql: Callable[[], str]) -> None:
    with closing(Database(postgresql())) as database:
        refused = pytest.raises(UnavailableError, match="read-only transaction; nothing of this")
        with refused, database.read() as session:
            logs.add_entries(session, 0, ["one"])


def test_a_database_that_may_only_be_read_is_refused_in_one_sentence(seen_by_all: Path) -> None:
    path = seen_by_all / "node.db"
    with closing(Database(f"sqlite:///{path}")) as database, database.write() as session:
        logs.add_entries(session, 0, ["one"])
    before = path.read_bytes()
    path.chmod(0o444)
    seen_by_all.chmod(0o555)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(NOBODY)  # who may do anything would not be refused
    try:
        with pytest.raises(UnavailableError, match="readonly database; nothing of this was") as e:
            Database(f"sqlite:///{path}")
    finally:
        if was_root:
            os.seteuid(0)
        seen_by_all.chmod(0o755)

    assert "\n" not in str(e.value)
    assert path.read_bytes() == before


def test_a_server_that_may_only_be_read_is_read_and_refuses_writing(
    postgresql: Callable[[], str],
) -> None:
    url = postgresql()
    with closing(Database(url)) as database, database.write() as session:
        logs.add_entries(session, 0, ["one"])
        name = make_url(url).database
        session.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))

    with closing(Database(url)) as database:
        refused = pytest.raises(UnavailableError, match="read-only transaction; nothing of this")
        with refused, database.write() as session:
            logs.add_entries(session, 1, ["two"])
        with database.read() as session:
            assert logs.entries(session, 0, 9) == [b"one"]


def test_tables_of_a_version_to_come_are_refused(url: str) -> None:
    with closing(Database(url)) as database, database.write() as session:
        session.execute(text("UPDATE schema_version SET version = 99"))

    with pytest.raises(UnusableError, match="have version 99, this program knows those up to 5"):
        Database(url)


def test_a_file_that_is_no_database_is_refused(file: Path) -> None:
    file.write_bytes(b"no database at all" * 100)

    with pytest.raises(UnusableError, match="file is not a database; restore it from a backup"):
        Database(f"sqlite:///{file}")


def test_a_database_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="unable to open database file"):
        Database(f"sqlite:///{tmp_path}/nowhere/node.db")


@pytest.mark.parametrize(
    "url", ["node.db", "nosuch://host/db", "mysql://host/db", "postgresql+asyncpg://host/db"]
)
def test_a_url_of_nothing_we_know_is_refused(url: str) -> None:
    with pytest.raises(UnusableError, match="database " + url.replace("+", r"\+")):
        Database(url)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(
        UnavailableError, match=r"database postgresql://me:\*\*\*@127\.0\.0\.1:1/x"
    ) as e:
        Database("postgresql://me:secret@127.0.0.1:1/x")

    assert "secret" not in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u@127.0.0.1:1/db?password=hunter2", "postgresql://u@127.0.0.1:1/db"),
        ("postgresql://u:x@hunter2@127.0.0.1:1/db", "postgresql://u:***@127.0.0.1:1/db"),
        ("postgresql://u/1:hunter2@h/db", "postgresql://u/h/db"),
        ("postgresql://u:hunter2@h:port/db", "of a URL that cannot be read"),
        ("postgresql:/u:hunter2@h/db", "of a URL that cannot be read"),
        ("hunter2@h", "of a URL that cannot be read"),
        ("mysql://u@h/db?password=hunter2", "mysql://u@h/db"),
        ("sqlite:///nowhere/b.db?timeout=hunter2", "sqlite:///nowhere/b.db"),
    ],
)
def test_a_password_is_not_shown_wherever_in_the_url_it_stands(url: str, shown: str) -> None:
    assert engines.named(url) == shown
    with pytest.raises((UnusableError, UnavailableError), match=re.escape(shown)) as e:
        Database(url)

    assert "hunter2" not in str(e.value)
    assert "\n" not in str(e.value)


def test_writers_who_wait_for_their_turn_keep_no_reader_waiting(url: str) -> None:
    with closing(Database(url)) as database, closing(Database(url)) as other:
        done: list[str] = []

        def write() -> None:
            with database.write() as session:
                logs.add_entries(session, logs.size(session), ["line"])
            done.append("written")

        def read() -> None:
            with database.read() as session:
                done.append(f"read {logs.size(session)}")

        writers = [threading.Thread(target=write) for _ in range(20)]
        readers = [threading.Thread(target=read) for _ in range(5)]
        with other.write() as session:
            logs.size(session)  # now it has the turn
            for each in writers:
                each.start()
            time.sleep(0.3)  # the writers wait
            for each in readers:
                each.start()
            for each in readers:
                each.join(5)
            meanwhile = list(done)
        for each in (*writers, *readers):
            each.join()

        assert meanwhile == ["read 0"] * 5
        assert done[5:] == ["written"] * 20


def test_connections_that_are_all_in_use_are_said_in_one_sentence() -> None:
    one = create_engine(
        "sqlite:///", poolclass=QueuePool, max_overflow=0, pool_size=1, pool_timeout=0
    )
    with one.connect(), pytest.raises(NoneFreeError) as e:
        one.connect()

    error = engines.blame(e.value, "database x")

    assert isinstance(error, UnavailableError)
    assert str(error) == (
        "database x: all its connections have been in use for over 30 s: try again"
    )


def test_another_account_cannot_read_a_file_in_a_folder_that_is_open_to_it(
    seen_by_all: Path,
) -> None:
    path = seen_by_all / "node.db"
    with closing(Database(f"sqlite:///{path}")) as database, database.write() as session:
        logs.add_entries(session, 0, ["one"])
        modes = [stat.S_IMODE(each.stat().st_mode) for each in seen_by_all.iterdir()]

    assert modes == [0o600] * 3


def test_a_server_that_was_restarted_is_found_again(postgresql: Callable[[], str]) -> None:
    url = postgresql()
    with closing(Database(url)) as database, closing(Database(url)) as other:
        with other.write() as session:
            stop = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
            session.execute(text(stop))

        with database.write() as session:
            logs.add_entries(session, 0, ["one"])
            assert logs.size(session) == 1


def test_a_connection_that_is_cut_while_writing_leaves_nothing(
    postgresql: Callable[[], str],
) -> None:
    with closing(Database(postgresql())) as database:
        with pytest.raises(UnavailableError), database.write() as session:
            logs.add_entries(session, 0, ["one"])
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

        with database.read() as session:
            assert logs.size(session) == 0


def test_a_damaged_file_is_named_where_it_is_read(file: Path) -> None:
    with closing(Database(f"sqlite:///{file}")) as database, database.write() as session:
        logs.add_entries(session, 0, ["x" * 3000] * 100)
    content = bytearray(file.read_bytes())
    content[-200_000:-100_000] = bytes(100_000)
    file.write_bytes(content)

    with closing(Database(f"sqlite:///{file}")) as database:
        broken = pytest.raises(UnusableError, match="malformed; restore it from a backup")
        with broken, database.read() as session:
            logs.entries(session, 0, 100)


def test_damage_is_not_found_where_there_is_none(url: str) -> None:
    with closing(Database(url)) as database:
        assert database.damage() == []


def test_the_file_of_a_database_is_an_sqlite_file(file: Path) -> None:
    Database(f"sqlite:///{file}").close()

    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(5,)]
