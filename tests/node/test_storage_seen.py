"""What is remembered of others: never back, and a false key blocks nobody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bcca_node.storage import seen, witnessed
from bcca_node.storage.database import Database
from bcca_node.storage.seen import FetchedStatement, SeenLog
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import ConflictError
from bcca_protocol.witness import WitnessState

LOG = SeenLog(
    origin="mine.example",
    vkey="mine.example+key",
    size=7,
    root=b"7" * 32,
    note="note",
    entries=b"\0\1x",
    url="https://mine.example",
    introduced_by="cathode.example",
)
STATEMENT = FetchedStatement(
    commitment="ab" * 32,
    vkey=LOG.vkey,
    origin=LOG.origin,
    index=6,
    product="urn:bcca:case:t:P1",
    sharing="public",
    envelope=b"{}",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    yield database
    database.close()


def test_a_log_is_remembered_as_it_grows(database: Database) -> None:
    grown = replace(LOG, size=8, root=b"8" * 32)
    with database.write() as session:
        for each in (LOG, LOG, grown):
            seen.put_log(session, each)

    with database.read() as session:
        assert seen.log(session, LOG.origin, LOG.vkey) == grown
        assert seen.logs(session) == [grown]
        assert seen.urls(session) == {"mine.example": "https://mine.example"}


@pytest.mark.parametrize("size", [6, 7])
def test_a_rolled_back_log_and_another_tree_of_one_size_are_refused(
    database: Database, size: int
) -> None:
    with database.write() as session:
        seen.put_log(session, LOG)

    refused = pytest.raises(ConflictError, match=f"now of size {size}.*seen before with size 7")
    with refused, database.write() as session:
        seen.put_log(session, replace(LOG, size=size, root=b"x" * 32))


def test_a_log_introduced_with_a_false_key_stands_beside_the_true_one(database: Database) -> None:
    false = replace(LOG, vkey="mine.example+false", size=999)
    with database.write() as session:
        for each in (false, LOG):
            seen.put_log(session, each)

    with database.read() as session:
        assert seen.log(session, LOG.origin, LOG.vkey) == LOG


def test_statements_of_others_are_found_by_key_and_product(database: Database) -> None:
    other = replace(STATEMENT, vkey="mine.example+false", index=1)
    with database.write() as session:
        seen.put_statements(session, [STATEMENT, STATEMENT, other])

    with database.read() as session:
        assert seen.statements_of(session, LOG.vkey, STATEMENT.product) == [STATEMENT]
        assert seen.statements_of(session, LOG.vkey, "urn:other") == []
        assert seen.statement(session, "cd" * 32) is None


def test_of_two_requests_for_one_log_only_one_replaces_its_head(database: Database) -> None:
    first = Checkpoint(origin="mine.example", size=1, root=b"1" * 32)
    second = Checkpoint(origin="mine.example", size=2, root=b"2" * 32)
    known = WitnessState(size=1, root=first.root)

    with database.write() as session:
        assert witnessed.replace(session, None, first, "first")
        assert not witnessed.replace(session, None, second, "late")
        assert witnessed.replace(session, known, second, "second")
        assert not witnessed.replace(session, known, first, "late")

    with database.read() as session:
        assert witnessed.note(session, witnessed.origin_hash("mine.example")) == "second"
