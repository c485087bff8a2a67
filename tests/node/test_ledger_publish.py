"""Publishing: all or none, once, never two that overlap, and what is published verifies."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
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
from bcca_protocol.merkle import Tree, leaf_hash
from bcca_protocol.statement import PartialFootprint, Site
from bcca_protocol.verify import entry_of
from bcca_protocol.wire import encode, unb64

Part = Callable[..., PartialFootprint]

CHILD = """
import sys
from pathlib import Path
import msgspec
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.settings import Settings
from bcca_protocol.statement import PartialFootprint

node = Node.open(Settings.load(Path(sys.argv[1]), {}), "correct horse battery staple")
node.clearance.grant(6)
for line in Path(sys.argv[2]).read_bytes().split(b"\\n"):
    made = publish(node, [msgspec.json.decode(line, type=PartialFootprint)])
    print(made[0].commitment, flush=True)
"""
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
        (
            "follows",
            {"kg": 3},
            "whose period ends 2026-01-01T00:00:00Z, but begins before that, 2025",
        ),
        ("corrects", {"site": Site(id="south")}, "at no site, not .* at south"),
        ("follows", {"product": "P2", "year": 2026}, "P1 at no site, not .*P2"),
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


def test_keys_do_not_continue_the_log_of_another_node(
    new_node: Callable[..., Node], part: Part
) -> None:
    node, other = new_node("a.example"), new_node("b.example")
    mixed = msgspec.structs.replace(node.settings, database=other.settings.database_url)
    opened = Node.open(mixed, "correct horse battery staple")

    with pytest.raises(UnusableError, match=r"entry [12] does not add a\.example.*of two nodes"):
        publish(opened, [part(node.origin)])
    opened.close()


def test_two_writers_never_sign_two_trees_of_one_size(node: Node, part: Part) -> None:
    writers = [Node.open(node.settings, "correct horse battery staple") for _ in range(3)]
    for writer in writers:
        writer.clearance.grant(KEYS)

    def write(number: int) -> None:
        for each in range(8):
            publish(writers[number], [part(node.origin, f"P{number}-{each}")])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()

    tree = Tree(map(leaf_hash, entries(node)))
    with node.database.read() as session:
        head = logs.last_head(session)
    assert head is not None
    assert (head.size, head.root) == (KEYS + 24, tree.root())


def test_what_was_answered_survives_a_kill(node: Node, part: Part, tmp_path: Path) -> None:
    drafts = tmp_path / "drafts"
    drafts.write_bytes(b"\n".join(encode(part(node.origin, f"P{each}")) for each in range(500)))
    command = [sys.executable, "-c", CHILD, str(node.settings.data), str(drafts)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        answered = [child.stdout.readline().strip() for _ in range(20)]
        child.kill()

    log = entries(node)
    with node.database.read() as session:
        head, kept = logs.last_head(session), statements.find(session, answered)
    assert {each.commitment for each in kept} == set(answered)
    assert head is not None
    assert (head.size, head.root) == (len(log), Tree(map(leaf_hash, log)).root())


def test_a_nonce_in_a_draft_does_not_matter(node: Node, part: Part) -> None:
    draft = part(node.origin)
    other = msgspec.structs.replace(draft, nonce="B" * 21 + "A==")

    first, second = publish(node, [draft, other])

    assert first == second
