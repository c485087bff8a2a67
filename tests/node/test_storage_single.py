"""One statement by its commitment: its envelope comes along only where it is shown."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from bcca_node.storage import single, statements
from bcca_node.storage.database import Database
from bcca_node.storage.statements import OwnStatement

OPEN = OwnStatement(
    commitment="aa" * 32,
    index=4,
    kind="partial",
    product="urn:x:p",
    site=None,
    batch=None,
    period_start="2026-01-01",
    period_end="2026-02-01",
    sharing="public",
    envelope=b"open",
)
HIDDEN = replace(OPEN, commitment="bb" * 32, index=5, sharing="direct", envelope=b"hidden")


@pytest.fixture
def kept(new_url: Callable[[], str]) -> Iterator[Database]:
    with closing(Database(new_url())) as database:
        with database.write() as session:
            statements.add(session, [OPEN, HIDDEN])
        yield database


def read(database: Database, own: OwnStatement, *, size: int, everything: bool) -> bytes | None:
    ((found, envelope),) = single.one(database, own.commitment, size=size, everything=everything)
    assert (found.index, found.sharing) == (own.index, own.sharing)
    return envelope


@pytest.mark.parametrize("everything", [True, False])
def test_the_envelope_of_what_is_public_comes_along(kept: Database, *, everything: bool) -> None:
    assert read(kept, OPEN, size=5, everything=everything) == b"open"


def test_attack_what_is_hidden_is_not_even_read(kept: Database) -> None:
    assert read(kept, HIDDEN, size=6, everything=False) is None
    assert read(kept, HIDDEN, size=6, everything=True) == b"hidden"


def test_attack_what_no_head_has_yet_is_not_read(kept: Database) -> None:
    assert read(kept, OPEN, size=4, everything=True) is None
    assert read(kept, HIDDEN, size=5, everything=True) is None


def test_the_envelope_of_what_was_granted_singly_is_read_by_itself(kept: Database) -> None:
    assert single.envelope(kept, HIDDEN.commitment) == b"hidden"


def test_what_is_not_here_is_nothing(kept: Database) -> None:
    assert single.one(kept, "cc" * 32, size=9, everything=True) == []
