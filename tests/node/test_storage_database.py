"""The database: what is committed stays, writers take turns, other versions are refused."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlmodel import text

from bcca_node.storage import logs
from bcca_node.storage.database import Database
from bcca_protocol.errors import UnavailableError, UnusableError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'node.db'}"


def test_what_was_committed_is_there_after_opening_again(url: str) -> None:
    first = Database(url)
    with first.write() as session:
        logs.add_entries(session, 0, ["one", "two"])
    first.close()

    again = Database(url)
    with again.read() as session:
        assert logs.entries(session, 0, 10) == [b"one", b"two"]
    again.close()


def test_a_transaction_that_fails_leaves_nothing(url: str) -> None:
    database = Database(url)
    with pytest.raises(RuntimeError), database.write() as session:
        logs.add_entries(session, 0, ["one"])
        raise RuntimeError

    with database.read() as session:
        assert logs.size(session) == 0
    database.close()


def test_a_commit_is_synchronised_with_the_disk(url: str) -> None:
    database = Database(url)
    with database.read() as session:
        mode = session.connection().execute(text("PRAGMA journal_mode")).scalar_one()
        synchronous = session.connection().execute(text("PRAGMA synchronous")).scalar_one()

    assert (mode, synchronous) == ("wal", 2)
    database.close()


def test_a_reader_sees_one_state_while_others_write(url: str) -> None:
    database = Database(url)
    with database.read() as session:
        before = logs.size(session)
        with database.write() as writer:
            logs.add_entries(writer, 0, ["one"])

        assert (before, logs.size(session)) == (0, 0)
    database.close()


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


def test_tables_of_another_version_are_refused(url: str, tmp_path: Path) -> None:
    Database(url).close()
    with sqlite3.connect(tmp_path / "node.db") as connection:
        connection.execute("UPDATE schema_version SET version = 2")
    connection.close()

    with pytest.raises(UnusableError, match="its tables have version 2, this program's 1"):
        Database(url)


def test_a_file_that_is_no_database_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "node.db").write_bytes(b"no database at all" * 100)

    with pytest.raises(UnusableError, match="file is not a database"):
        Database(url)


def test_a_database_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="unable to open database file"):
        Database(f"sqlite:///{tmp_path}/nowhere/node.db")


@pytest.mark.parametrize("url", ["node.db", "nosuch://host/db", "postgresql://host/db"])
def test_a_url_of_nothing_we_know_is_refused(url: str) -> None:
    with pytest.raises(UnusableError, match=f"database {url}"):
        Database(url)
