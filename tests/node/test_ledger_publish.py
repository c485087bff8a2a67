"""Publishing: all or none, once, never two that overlap, and what is published verifies."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published, State, publish
from bcca_node.ledger.restate import restate
from bcca_node.ledger.sign import predicate_of
from bcca_node.storage import logs, statements
from bcca_node.storage.statements import OwnStatement
from bcca_protocol.entry import StatementEntry, Status, StatusEntry, parse_entry, status_handle
from bcca_protocol.envelope import Envelope, verify_envelope
from bcca_protocol.errors import UnusableError
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.history import History
from bcca_protocol.keys import Role
from bcca_protocol.statement import PartialFootprint, Site
from bcca_protocol.verify import entry_of
from bcca_protocol.wire import unb64

Part = Callable[..., PartialFootprint]
KEYS = 6  # entries of a new log


def entries(node: Node) -> list[bytes]:
    with node.database.read() as session:
        return logs.entries(session, 0, 10_000)


def stored(node: Node, commitment: str) -> OwnStatement:
    with node.database.read() as session:
        found = statements.get(session, commitment)
    assert found is not None
    return found


def status(node: Node, commitment: str) -> Status | None:
    """Return what a verifier reads out of the log."""
    nonce = unb64(predicate_of(stored(node, commitment).envelope).nonce, "nonce")
    history = History.read(node.origin, node.log_key, entries(node))
    return history.status_of(status_handle(nonce, bytes.fromhex(commitment)))


def test_a_statement_is_durable_signed_and_entered(node: Node, part: Part) -> None:
    [made] = publish(node, [part(node.origin)])

    own = stored(node, made.commitment)
    envelope = Envelope.parse(own.envelope)
    key = node.keystore.record(Role.STATEMENT)
    assert made == Published(
        commitment=made.commitment,
        product="urn:bcca:case:t:P1",
        index=KEYS,
        state=State.PENDING,
    )
    assert verify_envelope(envelope, (key.key,)).keys == (key.key,)
    assert parse_entry(entries(node)[KEYS].decode()) == entry_of(envelope, key.index)


def test_many_statements_share_one_transaction_and_one_head(node: Node, part: Part) -> None:
    made = publish(node, [part(node.origin, f"P{index}") for index in range(300)])

    with node.database.read() as session:
        head = logs.last_head(session)
    assert [each.index for each in made] == list(range(KEYS, KEYS + 300))
    assert head is not None
    assert head.size == KEYS + 300
    assert History.read(node.origin, node.log_key, entries(node)).broken is None


def test_the_same_content_is_entered_once(node: Node, part: Part) -> None:
    first = publish(node, [part(node.origin), part(node.origin)])
    again = publish(node, [part(node.origin)])

    assert [*first, *again] == [first[0]] * 3
    assert len(entries(node)) == KEYS + 1


def test_the_same_content_has_the_same_bytes_and_another_nodes_cannot_be_guessed(
    new_node: Callable[..., Node], part: Part
) -> None:
    here, there = new_node("a.example"), new_node("b.example")

    one, other = (publish(each, [part("a.example")])[0] for each in (here, here))
    nonce = predicate_of(stored(here, one.commitment).envelope).nonce
    elsewhere = publish(there, [part("b.example")])[0]

    assert one == other
    assert predicate_of(stored(there, elsewhere.commitment).envelope).nonce != nonce


def test_publishing_nothing_enters_nothing(node: Node) -> None:
    assert publish(node, []) == []
    assert len(entries(node)) == KEYS


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"issuer": "mine.example"}, r"issued by mine\.example, this node is cathode\.example"),
        (
            {"footprint": Stages(production=Components(fossil="5"))},
            r"production\.fossil is written as 5, its own lines give 6",
        ),
        ({"kg": -1}, "amount"),
        ({"corrects": "ab" * 32}, "which is no statement of this node"),
        ({"follows": "ab" * 32}, "which is no statement of this node"),
        ({"corrects": "ab" * 32, "follows": "ab" * 32}, "both corrects and follows"),
    ],
)
def test_what_a_verifier_would_refuse_is_not_published_nor_anything_with_it(
    node: Node, part: Part, change: dict[str, Any], why: str
) -> None:
    good = part(node.origin, "P0")
    bad = part(**{"issuer": node.origin, **change})

    with pytest.raises(UnusableError, match=f"draft of urn:bcca:case:t:P1: .*{why}"):
        publish(node, [good, bad])

    assert len(entries(node)) == KEYS


@pytest.mark.parametrize("together", [True, False])
def test_two_current_statements_that_overlap_are_refused_showing_both(
    node: Node, part: Part, together: bool
) -> None:
    first, second = part(node.origin), part(node.origin, kg=3)

    if not together:
        publish(node, [first])
    with pytest.raises(
        UnusableError, match=r"[0-9a-f]{64} for 2025.* overlaps [0-9a-f]{64} for 2025"
    ):
        publish(node, [first, second])


def test_statements_of_other_places_and_periods_do_not_overlap(node: Node, part: Part) -> None:
    sites = [part(node.origin, site=Site(id=name)) for name in ("north", "south")]
    batches = [part(node.origin, batch=name) for name in ("b1", "b2")]
    years = [part(node.origin, year=year) for year in (2023, 2024, 2025)]

    made = publish(node, [*sites, *batches, *years, part(node.origin, "P2")])

    assert len({each.commitment for each in made}) == 8


def test_a_correction_ends_what_it_corrects(node: Node, part: Part) -> None:
    [first] = publish(node, [part(node.origin)])
    [second] = publish(node, [part(node.origin, kg=3, corrects=first.commitment)])

    assert status(node, first.commitment) is Status.CORRECTED
    assert stored(node, first.commitment).ended == second.index + 1
    assert stored(node, second.commitment).ended is None
    assert len(entries(node)) == KEYS + 3


def test_a_correction_and_its_correction_may_come_together(node: Node, part: Part) -> None:
    first = part(node.origin)
    [made] = publish(node, [first])
    second = part(node.origin, kg=3, corrects=made.commitment)

    made_again, corrected = publish(node, [first, second])
    [last] = publish(node, [part(node.origin, kg=4, corrects=corrected.commitment)])

    assert made_again == made
    assert status(node, corrected.commitment) is Status.CORRECTED
    assert status(node, last.commitment) is None


def test_a_statement_is_corrected_once(node: Node, part: Part) -> None:
    [first] = publish(node, [part(node.origin)])
    publish(node, [part(node.origin, kg=3, corrects=first.commitment)])

    with pytest.raises(UnusableError, match="revoked or corrected before"):
        publish(node, [part(node.origin, kg=4, corrects=first.commitment)])


def test_the_next_period_leaves_the_last_one_right(node: Node, part: Part) -> None:
    [first] = publish(node, [part(node.origin)])
    [second] = publish(node, [part(node.origin, year=2026, follows=first.commitment)])

    entry = parse_entry(entries(node)[second.index + 1].decode())
    assert isinstance(entry, StatusEntry)
    assert entry.successor == bytes.fromhex(second.commitment)
    assert status(node, first.commitment) is Status.SUPERSEDED
    assert stored(node, first.commitment).ended is None


@pytest.mark.parametrize(
    ("word", "change", "why"),
    [
        ("corrects", {"year": 2026}, "whose period is 2025"),
        ("follows", {"kg": 3}, "whose period is 2025"),
        ("corrects", {"site": Site(id="south")}, "at site None, not .* at south"),
        ("follows", {"product": "P2", "year": 2026}, "P1 at site None, not .*P2"),
    ],
)
def test_a_successor_of_another_place_or_period_is_refused(
    node: Node, part: Part, word: str, change: dict[str, Any], why: str
) -> None:
    [first] = publish(node, [part(node.origin)])

    with pytest.raises(UnusableError, match=why):
        publish(node, [part(node.origin, **{word: first.commitment}, **change)])


def test_a_result_computed_anew_stands_or_is_corrected(node: Node, part: Part) -> None:
    def again(kg: int) -> str:
        return publish(node, [restate(node, part(node.origin, kg=kg))])[0].commitment

    first, same, other, same_again = again(2), again(2), again(3), again(3)

    assert first == same
    assert other == same_again != first
    assert status(node, first) is Status.CORRECTED


def test_a_statement_key_enters_what_it_signs_under_its_index(node: Node, part: Part) -> None:
    publish(node, [part(node.origin)])

    entry = parse_entry(entries(node)[KEYS].decode())

    assert isinstance(entry, StatementEntry)
    history = History.read(node.origin, node.log_key, entries(node))
    key = history.key_at(entry.key, KEYS, Role.STATEMENT)
    assert key == node.keystore.record(Role.STATEMENT).key


def test_a_log_that_lost_its_entries_is_not_continued(node: Node, part: Part) -> None:
    for path in node.settings.data.glob("node.db*"):
        path.unlink()
    reopened = Node.open(node.settings, "correct horse battery staple")

    with pytest.raises(UnusableError, match="0 entries, its keys are not among them"):
        publish(reopened, [part(node.origin)])
    reopened.close()


def test_a_nonce_in_a_draft_does_not_matter(node: Node, part: Part) -> None:
    draft = part(node.origin)
    other = msgspec.structs.replace(draft, nonce="B" * 21 + "A==")

    first, second = publish(node, [draft, other])

    assert first == second
