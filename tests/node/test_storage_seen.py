"""What is kept of others: their statements, and the heads that this node cosigned."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bcca_node.storage import seen, witnessed
from bcca_node.storage.database import Database
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.witness import WitnessState

STATEMENT = FetchedStatement(
    commitment="ab" * 32,
    vkey="mine.example+key",
    origin="mine.example",
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


def test_statements_of_others_are_found_by_key_and_product(database: Database) -> None:
    other = replace(STATEMENT, vkey="mine.example+false", index=1)
    with database.write() as session:
        seen.put_statements(session, [STATEMENT, STATEMENT, other])

    with database.read() as session:
        assert seen.statements_of(session, STATEMENT.vkey, STATEMENT.product) == [STATEMENT]
        assert seen.statements_of(session, STATEMENT.vkey, "urn:other") == []


def test_some_statements_are_read_at_once_each_one_time_by_log_and_index(
    database: Database,
) -> None:
    later = replace(STATEMENT, commitment="cd" * 32, index=9)
    copied = replace(STATEMENT, vkey="mine.example+other", index=1)
    with database.write() as session:
        seen.put_statements(session, [later, copied, STATEMENT])

    with database.read() as session:
        asked = [later.commitment, STATEMENT.commitment, STATEMENT.commitment, "ef" * 32]
        assert list(seen.some(session, asked)) == [STATEMENT, later]
        assert list(seen.some(session, [])) == []


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
