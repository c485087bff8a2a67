"""What became of this node's own statements, as its log says it and its database keeps it."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bcca_node.ledger import keys, status
from bcca_node.ledger.node import Node, init
from bcca_node.ledger.publish import State, publish
from bcca_node.ledger.turn import turn
from bcca_node.ledger.words import from_words
from bcca_node.settings import Settings
from bcca_node.storage import logs, statements
from bcca_protocol.entry import Status, StatusEntry, parse_entry
from bcca_protocol.errors import UnusableError
from bcca_protocol.history import History
from bcca_protocol.inventory import Interval
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.standing import Standing
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
NOW = 1_780_000_000  # May 2026


@pytest.fixture
def node(new_node: Callable[..., Node]) -> Node:
    return new_node(clock=lambda: NOW)


def published(node: Node, *predicates: PartialFootprint) -> list[str]:
    return [each.commitment for each in publish(node, predicates)]


def history(node: Node) -> History:
    with node.database.read() as session:
        lines = logs.entries(session, 0, logs.size(session))
    return History.read(node.origin, node.log_key, lines)


def current(node: Node) -> list[str]:
    with node.database.read() as session:
        products = statements.products(session)
        return [each.commitment for each in statements.current(session, products, MAX_TREE_SIZE)]


def of(node: Node, commitment: str) -> status.OwnStanding:
    (found,) = status.standings(node, commitment)
    return found


def test_a_revoked_statement_is_revoked_in_the_log_and_gone_from_the_lists(
    node: Node, part: Part
) -> None:
    one, other = published(node, part(node.origin, "P1"), part(node.origin, "P2"))
    done = status.revoke(node, one)

    (record,) = history(node).statuses.values()
    assert (record.index, record.entry.status, record.entry.successor) == (8, Status.REVOKED, None)
    assert (done.index, done.state) == (8, State.PENDING)
    assert current(node) == [other]
    assert of(node, one).standing is Standing.REVOKED
    assert of(node, other).standing is Standing.CURRENT


def test_every_kind_of_database_knows_what_was_revoked(
    new_node: Callable[..., Node], new_url: Callable[[], str], part: Part
) -> None:
    node = new_node(database=new_url())
    one, other = published(node, part(node.origin, "P1"), part(node.origin, "P2"))
    first, second = status.revoke(node, one), status.revoke(node, one)

    assert first == second
    assert current(node) == [other]
    assert [each.standing for each in status.standings(node)] == [
        Standing.REVOKED,
        Standing.CURRENT,
    ]


def test_what_a_stolen_key_signed_is_told_apart(tmp_path: Path, part: Part) -> None:
    settings = Settings(data=tmp_path / "n", origin="cathode.example/bcca", name="Cathode")
    recovery_words = init(settings, PASSPHRASE, scrypt_n=2**4)
    recovery = SeedSigner(
        name=settings.origin, algorithm=Algorithm.ED25519, seed=from_words(recovery_words)
    )
    with closing(Node.open(settings, PASSPHRASE)) as node:
        node.clearance.grant(6)
        good, stolen = published(node, part(node.origin, "P1"), part(node.origin, "P2"))
        keys.compromise(node, 2, 6, recovery, PASSPHRASE)
        found = {each.own.commitment: each for each in status.standings(node)}

    assert found[good].void is None
    assert found[good].words == "current"
    assert found[stolen].words.startswith("no longer valid: log cathode.example/bcca: entry 7 by ")


def test_the_head_that_revokes_is_signed_with_it(node: Node, part: Part) -> None:
    (one,) = published(node, part(node.origin))
    status.revoke(node, one)

    with node.database.read() as session:
        head = logs.last_head(session)
        assert head is not None
        assert head.size == logs.size(session) == 8


def test_to_revoke_twice_enters_nothing_more(node: Node, part: Part) -> None:
    (one,) = published(node, part(node.origin))
    first, second = status.revoke(node, one), status.revoke(node, one)

    assert second == first
    assert history(node).size == 8


def test_what_was_corrected_may_still_be_revoked_and_stays_ended_where_it_was(
    node: Node, part: Part
) -> None:
    (old,) = published(node, part(node.origin))
    (new,) = published(node, status.replacing(part(node.origin, kg=3), old, Status.CORRECTED))
    status.revoke(node, old)

    assert of(node, old).standing is Standing.REVOKED
    with node.database.read() as session:
        own = statements.get(session, old)
        assert own is not None
        assert own.ended == 8
    assert current(node) == [new]


def test_what_was_revoked_is_never_corrected_or_superseded(node: Node, part: Part) -> None:
    (one,) = published(node, part(node.origin))
    status.revoke(node, one)
    for draft, what in (
        (part(node.origin, kg=3), Status.CORRECTED),
        (part(node.origin, year=2026), Status.SUPERSEDED),
    ):
        with pytest.raises(UnusableError, match="was revoked or corrected before"):
            publish(node, [status.replacing(draft, one, what)])

    assert history(node).size == 8


def test_a_revoked_statement_logged_anew_stays_revoked(node: Node, part: Part) -> None:
    """Publishing refuses it; a thief of the log key who enters it again gains nothing."""
    predicate = part(node.origin)
    (one,) = published(node, predicate)
    status.revoke(node, one)
    with pytest.raises(UnusableError, match="revoked or corrected at entry 7 and cannot come back"):
        publish(node, [predicate])
    assert current(node) == []

    with node.database.read() as session:
        own = statements.get(session, one)
        assert own is not None
        line = logs.entries(session, own.index, own.index + 1)[0]
    with turn(node) as held:
        held.enter([line.decode()])

    assert history(node).statements[bytes.fromhex(one)].index == own.index
    assert of(node, one).standing is Standing.REVOKED


def test_once_revoked_the_period_is_free_for_another_statement(node: Node, part: Part) -> None:
    (one,) = published(node, part(node.origin))
    with pytest.raises(UnusableError, match="overlaps"):
        publish(node, [part(node.origin, kg=3)])
    status.revoke(node, one)

    assert current(node) == [] != published(node, part(node.origin, kg=3))


def test_a_follower_leaves_its_forerunner_superseded_and_current(node: Node, part: Part) -> None:
    (old,) = published(node, part(node.origin))
    (new,) = published(node, status.replacing(part(node.origin, year=2026), old, Status.SUPERSEDED))
    found = of(node, old)

    assert (found.standing, found.successor) == (Standing.SUPERSEDED, new)
    assert current(node) == [old, new]


def test_a_draft_that_names_another_earlier_statement_is_refused(node: Node, part: Part) -> None:
    one, other = published(node, part(node.origin, "P1"), part(node.origin, "P2"))
    draft = part(node.origin, "P1", kg=3, corrects=other)

    with pytest.raises(UnusableError, match=f"it names {other} as its earlier"):
        status.replacing(draft, one, Status.CORRECTED)


def test_each_standing_is_told_apart(node: Node, part: Part) -> None:
    """By the clock of the node: what is too early, what is too late."""
    early = Interval(start="2026-07-01T00:00:00Z", end="2026-08-01T00:00:00Z")
    late = Interval(start="2025-01-01T00:00:00Z", end="2026-05-01T00:00:00Z")
    names = published(
        node,
        part(node.origin, "now"),
        part(node.origin, "early", validity=early),
        part(node.origin, "late", validity=late),
    )
    status.revoke(node, names[0])

    assert [each.standing for each in status.standings(node)] == [
        Standing.REVOKED,
        Standing.NOT_YET_VALID,
        Standing.EXPIRED,
    ]


def test_a_status_is_pending_until_a_quorum_has_seen_it(node: Node, part: Part) -> None:
    (one,) = published(node, part(node.origin))
    assert of(node, one).state is State.PENDING
    publish_head(node)
    assert of(node, one).state is State.PUBLISHED

    status.revoke(node, one)
    assert of(node, one).state is State.PENDING
    publish_head(node)
    assert of(node, one).state is State.PUBLISHED


def test_a_statement_of_somebody_else_is_refused(node: Node) -> None:
    for name in ("ab" * 32, "", "x" * 1000):
        with pytest.raises(UnusableError, match=r"is no statement of cathode\.example/bcca"):
            status.revoke(node, name)
        with pytest.raises(UnusableError, match=r"is no statement of cathode\.example/bcca"):
            status.standings(node, name)

    assert history(node).size == 6


def test_a_handle_tells_nobody_which_statement_it_is_about(node: Node, part: Part) -> None:
    (one,) = published(node, part(node.origin))
    done = status.revoke(node, one)

    with node.database.read() as session:
        line = logs.entries(session, done.index, done.index + 1)[0].decode()
    entry = parse_entry(line)
    assert isinstance(entry, StatusEntry)
    assert one not in line
    assert entry.handle != bytes.fromhex(one)


def publish_head(node: Node) -> None:
    """Count the newest head as cosigned."""
    with node.database.write() as session:
        head = logs.last_head(session)
        assert head is not None
        logs.put_head(session, replace(head, published=True))
