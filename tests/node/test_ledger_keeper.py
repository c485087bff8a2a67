"""What a serving node does by itself: it submits, refreshes, watches and clears, and it stops."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bcca_node.app import create_server
from bcca_node.ledger.keeper import Keeper, Pace
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.storage import alarms, copies, logs, witnessed
from bcca_protocol import merkle
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.errors import ConflictError
from bcca_protocol.keys import Role
from bcca_protocol.policy import verify_checkpoint
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.witness import AddCheckpoint

Part = Callable[..., PartialFootprint]
PolicyOf = Callable[..., str]

NOWHERE = "http://127.0.0.1:1"
QUICK = Pace(
    poll=0.02, retry=0.05, longest=0.2, lag=0.1, refresh=3600.0, watch=0.1, follow=0.1, grace=2.0
)
SECONDS = 20.0


@dataclass
class Clock:
    """A clock that a test sets."""

    now: int = 1_800_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nodes(served: Callable[..., Node], policy_of: PolicyOf, clock: Clock) -> list[Node]:
    """A publisher and four witnesses, three of them a quorum, by one clock."""
    made = [served(f"n{index}.example", clock=clock) for index in range(5)]
    for each in made:
        set_policy(each, policy_of(made, made[1:], 3))
    return made


@pytest.fixture
def keep() -> Iterator[Callable[..., Keeper]]:
    """Keep nodes until the test ends."""
    keepers: list[Keeper] = []

    def start(node: Node, pace: Pace = QUICK) -> Keeper:
        keepers.append(Keeper(node, pace))
        keepers[-1].start()
        return keepers[-1]

    yield start
    for each in keepers:
        each.stop()


def set_policy(node: Node, text: str) -> None:
    (node.settings.data / "policy.txt").write_text(text, encoding="utf-8")


def without(policy: str, *gone: Node) -> str:
    for each in gone:
        policy = policy.replace(f"{each.settings.url}/witness", f"{NOWHERE}/witness")
    return policy


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def published(node: Node) -> int:
    with node.database.read() as session:
        head = logs.published_head(session)
    return 0 if head is None else head.size


def seen_at(node: Node) -> int:
    with node.database.read() as session:
        head = logs.published_head(session)
    assert head is not None
    return verify_checkpoint(head.note, node.log_key, node.trust.required()).time


def far(node: Node) -> dict[str, int]:
    with node.database.read() as session:
        return {name: each.size for name, each in witnessed.cosigned(session).items()}


def alarmed(node: Node) -> list[str]:
    with node.database.read() as session:
        return [each.what for each in alarms.standing(session)]


def test_what_was_published_gets_its_quorum_without_anybody_asking(
    nodes: list[Node], keep: Callable[..., Keeper], part: Part
) -> None:
    keep(nodes[0])
    wait_for(lambda: published(nodes[0]) == 6)
    publish(nodes[0], [part(nodes[0].origin)])

    wait_for(lambda: published(nodes[0]) == 7)


def test_a_head_is_submitted_again_until_its_witnesses_are_back(
    nodes: list[Node],
    keep: Callable[..., Keeper],
    policy_of: PolicyOf,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = nodes[0]
    policy = policy_of(nodes, nodes[1:], 3)
    set_policy(node, without(policy, *nodes[1:3]))
    keep(node)
    wait_for(lambda: "w0" in far(node))
    time.sleep(0.5)
    before = published(node)
    told = [each.getMessage() for each in caplog.records]
    set_policy(node, policy)
    wait_for(lambda: published(node) == 6)

    assert before == 0
    assert len([each for each in told if "pending: tree of 6, 2 of 4 witnesses" in each]) == 1


def test_a_policy_may_come_later_or_be_broken_for_a_while(
    nodes: list[Node], keep: Callable[..., Keeper], policy_of: PolicyOf
) -> None:
    (nodes[0].settings.data / "policy.txt").unlink()
    keep(nodes[0])
    time.sleep(0.1)
    set_policy(nodes[0], "quorum none\n")
    time.sleep(0.2)
    set_policy(nodes[0], policy_of(nodes, nodes[1:], 3))

    wait_for(lambda: published(nodes[0]) == 6)


def test_what_every_duty_needs_and_misses_is_told_once_until_it_changes(
    nodes: list[Node],
    keep: Callable[..., Keeper],
    policy_of: PolicyOf,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def told(what: str) -> int:
        return len([each for each in caplog.records if what in each.getMessage()])

    node = nodes[0]
    set_policy(node, "quorum nobody\n")
    keep(node)
    wait_for(lambda: told("nobody"))
    time.sleep(0.3)  # longer than any of them rests
    set_policy(node, "quorum others\n")
    wait_for(lambda: told("others"))
    time.sleep(0.3)

    assert (told("nobody"), told("others")) == (1, 1)
    set_policy(node, policy_of(nodes, nodes[1:], 3))
    wait_for(lambda: published(node) == 6)
    set_policy(node, "quorum nobody\n")
    wait_for(lambda: told("nobody") == 2)


def test_a_witness_that_missed_a_head_catches_up(
    nodes: list[Node], keep: Callable[..., Keeper], policy_of: PolicyOf
) -> None:
    policy = policy_of(nodes, nodes[1:], 3)
    set_policy(nodes[0], without(policy, nodes[1]))
    keep(nodes[0])
    wait_for(lambda: published(nodes[0]) == 6)
    before = far(nodes[0])["w0"]
    set_policy(nodes[0], policy)
    wait_for(lambda: far(nodes[0])["w0"] == 6)

    assert before == 0


def test_the_time_of_a_head_is_kept_fresh(
    nodes: list[Node], keep: Callable[..., Keeper], clock: Clock
) -> None:
    keep(nodes[0])
    wait_for(lambda: published(nodes[0]) == 6)
    clock.now += 3500
    time.sleep(0.3)
    before = seen_at(nodes[0])
    clock.now += 200
    wait_for(lambda: seen_at(nodes[0]) == clock.now)

    assert before == clock.now - 3700


def test_a_clock_that_is_set_back_stops_nothing(
    nodes: list[Node], keep: Callable[..., Keeper], clock: Clock, part: Part
) -> None:
    keep(nodes[0])
    wait_for(lambda: published(nodes[0]) == 6)
    clock.now -= 100_000
    publish(nodes[0], [part(nodes[0].origin)])

    wait_for(lambda: published(nodes[0]) == 7)


def test_a_process_that_serves_is_cleared_by_itself(
    nodes: list[Node], keep: Callable[..., Keeper], restored: Callable[[Node], Node]
) -> None:
    node = restored(nodes[0])
    keep(node)

    wait_for(lambda: node.clearance.is_confirmed)


def test_attack_a_thief_of_the_log_key_is_found_out_while_the_owner_serves(
    nodes: list[Node],
    keep: Callable[..., Keeper],
    ask: Callable[..., object],
    part: Part,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = nodes[0]
    keep(node)
    wait_for(lambda: published(node) == 6)
    with node.database.read() as session:
        leaves = [merkle.leaf_hash(each) for each in logs.entries(session, 0, 6)]
    tree = merkle.Tree([*leaves, merkle.leaf_hash(b"the thief's")])
    checkpoint = Checkpoint(origin=node.origin, size=7, root=tree.root())
    note = sign_checkpoint(checkpoint, (node.keys.signer(Role.LOG),)).encode()
    proof = merkle.prove_consistency(6, 7, tree.subtree)
    ask(
        nodes[1],
        "/witness/add-checkpoint",
        body=AddCheckpoint(old=6, proof=proof, note=note).encode(),
    )
    wait_for(lambda: alarmed(node))
    time.sleep(0.3)

    with pytest.raises(ConflictError, match="nothing is entered since the alarm"):
        publish(node, [part(node.origin)])
    assert "w0 has seen 7 entries, here are 6" in alarmed(node)[0]
    errors = [each for each in caplog.records if each.levelname == "ERROR"]
    assert [each.getMessage().count("ALARM") for each in errors] == [1]


def test_a_server_that_is_to_keep_its_node_does_so_until_it_stops(
    nodes: list[Node], loop: Any
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = create_server(nodes[0], keep=True)
    loop.serve(server, listener)
    wait_for(lambda: published(nodes[0]) == 6)
    server.should_exit = True

    wait_for(lambda: "keeper" not in {each.name for each in threading.enumerate()})


def test_other_logs_are_followed(nodes: list[Node], keep: Callable[..., Keeper]) -> None:
    for each in nodes[:2]:
        keep(each)
    wait_for(lambda: published(nodes[0]) == published(nodes[1]) == 6)

    def followed() -> list[str]:
        with nodes[0].database.read() as session:
            return [each.origin for each in copies.every(session)]

    wait_for(lambda: nodes[1].origin in followed())


def test_it_stops_at_once_even_while_a_witness_hangs(
    nodes: list[Node], policy_of: PolicyOf, raw_server: Callable[..., str]
) -> None:
    asked: list[bytes] = []

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(60)

    policy, url = policy_of(nodes, nodes[1:], 3), raw_server(hang)
    for each in nodes[1:]:
        policy = policy.replace(each.settings.url, url)
    set_policy(nodes[0], policy)
    keeper = Keeper(nodes[0], QUICK)
    keeper.start()
    wait_for(lambda: asked)
    begun = time.monotonic()
    keeper.stop()

    assert time.monotonic() - begun < 5
