"""Stolen keys on a real network: what a thief gets with each, and how the owner gets out of it."""

import asyncio
import shutil
import socket
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bcca_node.app import create_server
from bcca_node.ledger import guard, keys
from bcca_node.ledger.node import Node, found, init
from bcca_node.ledger.publish import publish
from bcca_node.ledger.turn import turn
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.settings import Settings
from bcca_node.storage import logs, statements
from bcca_protocol import policy, readlog, verify
from bcca_protocol.ending import EndNote
from bcca_protocol.entry import KeyAdd
from bcca_protocol.errors import AuthorshipError, ConflictError
from bcca_protocol.keys import Role
from bcca_protocol.readlog import VerifiedLog
from bcca_protocol.results import Gap

T = TypeVar("T")

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
OWNER = "cathode.example/bcca"
NEEDED = ("loop", "served", "policy_of", "part", "bought")


@dataclass
class World:
    """A supplier whose keys get stolen, its customer, five witnesses of whom four are a quorum."""

    owner: Node
    words: str
    customer: Node
    witnesses: list[Node]
    part: Callable[..., Any]
    bought: Callable[..., Any]
    folder: Path

    def ask(self, node: Node, work: Callable[[Fetcher], Coroutine[Any, Any, T]]) -> T:
        async def go() -> T:
            async with Fetcher(hosts_of(node.trust.required())) as fetcher:
                return await work(fetcher)

        return asyncio.run(go())

    def publish(self, node: Node, *names: str, **more: Any) -> list[str]:
        """Publish parts of these products, cosigned; return their commitments."""
        done = publish(node, [self.part(node.origin, name, **more) for name in names])
        assert self.cosigned(node).published
        return [each.commitment for each in done]

    def cosigned(self, node: Node) -> Witnessed:
        return self.ask(node, lambda fetcher: witness(node, fetcher))

    def opened(self, node: Node) -> Node:
        """Open the folder again as another process does, and ask the witnesses first."""
        again = Node.open(node.settings, PASSPHRASE)
        self.ask(again, lambda fetcher: guard.clear(again, fetcher))
        return again

    def robbed(self) -> Node:
        """Return the thief's copy of all that the owner has, the passphrase known."""
        data = self.folder / "thief"
        ignored = shutil.ignore_patterns("node.db*", "desk.sock")
        shutil.copytree(self.owner.settings.data, data, ignore=ignored)
        with (
            closing(sqlite3.connect(self.owner.settings.data / "node.db")) as source,
            closing(sqlite3.connect(data / "node.db")) as target,
        ):
            source.backup(target)
        node = Node.open(moved(self.owner.settings, data), PASSPHRASE)
        self.ask(node, lambda fetcher: guard.clear(node, fetcher))
        return node

    def rolled_up(self, *names: str) -> Run:
        """Return what the customer's sum over products of the owner comes to."""
        buys = tuple(self.bought(name, self.owner) for name in names)
        product = f"PACK-{len(list(self.folder.glob('run-*')))}"
        (self.folder / f"run-{product}").touch()
        self.publish(self.customer, product, buys=buys)
        order = Order(product=f"urn:bcca:case:t:{product}", amount=None, at=self.customer.clock())
        return self.ask(self.customer, lambda fetcher: roll_up(self.customer, fetcher, order))

    def gaps(self, *names: str) -> list[str]:
        edges = self.rolled_up(*names).statement.manifest or ()
        return [e.resolved.gap.reason for e in edges if isinstance(e.resolved.gap, Gap)]

    def log(self, node: Node) -> VerifiedLog:
        """Return a log as the customer verifies it from its database, published or not."""
        trusted = self.customer.trust.required()
        with node.database.read() as session:
            head = logs.published_head(session)
            assert head is not None
            entries = logs.entries(session, 0, head.size)
        key = self.customer.trust.required().logs[node.origin].key
        seen = policy.verify_checkpoint(head.note, key, trusted)
        return readlog.verify_log(seen, entries, end=trusted.ends.get(node.origin))

    def believes(self, note: EndNote) -> None:
        """Give everybody the end note."""
        for each in (self.customer, *self.witnesses):
            (each.settings.data / "ended").mkdir(exist_ok=True)
            (each.settings.data / "ended" / "note.txt").write_text(note.encode(), encoding="utf-8")


def moved(settings: Settings, data: Path) -> Settings:
    return Settings(data=data, origin=settings.origin, name=settings.name, url=settings.url)


def envelope(node: Node, commitment: str) -> bytes:
    with node.database.read() as session:
        own = statements.get(session, commitment)
    assert own is not None
    return own.envelope


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    given = {name: request.getfixturevalue(name) for name in NEEDED}
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(data=tmp_path / "owner", origin=OWNER, name="Owner", url=url)
    words = init(settings, PASSPHRASE, scrypt_n=2**4)
    owner = Node.open(settings, PASSPHRASE)
    witnesses = [given["served"](f"w{n}.example") for n in range(5)]
    customer = given["served"]("pack.example")
    text = given["policy_of"]([owner, customer], witnesses, 4)
    for each in (owner, customer, *witnesses):
        (each.settings.data / "policy.txt").write_text(text, encoding="utf-8")
    given["loop"].serve(create_server(owner), listener)
    made = World(owner, words, customer, witnesses, given["part"], given["bought"], tmp_path)
    made.ask(owner, lambda fetcher: guard.clear(owner, fetcher))
    yield made
    owner.close()


@pytest.fixture
def thief(world: World) -> Iterator[Node]:
    """Whoever copied all that the owner had once C1 was published."""
    world.publish(world.owner, "C1", kg=4)
    node = world.robbed()
    yield node
    node.close()


@pytest.fixture
def heir(world: World, served: Callable[..., Node]) -> Node:
    """The node that is to go on for the owner; everybody has its log in the policy."""
    node = served("cathode-two.example")
    line = f"log {node.log_key.encode()} {node.settings.url}/log\n"
    text = (world.owner.settings.data / "policy.txt").read_text(encoding="utf-8")
    for each in (node, world.customer, *world.witnesses):
        (each.settings.data / "policy.txt").write_text(line + text, encoding="utf-8")
    return node


def test_a_thief_of_the_statement_key_is_believed_up_to_the_last_good_entry_only(
    world: World,
) -> None:
    (good,) = world.publish(world.owner, "C1", kg=4)
    (false,) = world.publish(world.owner, "C2", kg=1)
    assert world.gaps("C1", "C2") == []
    before = envelope(world.owner, false)

    recovery = world.owner.keystore.recovery(world.words)
    node = keys.compromise(world.owner, 2, 6, recovery, PASSPHRASE).node
    assert world.cosigned(node).published
    log = world.log(node)

    (gap,) = world.gaps("C1", "C2")
    assert gap.startswith("no statement for urn:bcca:case:t:C2 of cathode.example/bcca: neither it")
    assert verify.verify_signed(envelope(node, good), log).is_current
    for check in (verify.verify_in_bulk, verify.verify_signed):
        with pytest.raises(AuthorshipError, match="compromised after entry 6"):
            check(before, log)
    (anew,) = world.publish(node, "C2", kg=9)
    assert anew != false
    assert world.gaps("C1", "C2") == []


def test_a_thief_who_adds_a_statement_key_under_the_last_good_entry_gets_it_voided(
    world: World,
) -> None:
    world.publish(world.owner, "C1", kg=4)
    thief = keys.rotate(world.owner, Role.STATEMENT, PASSPHRASE).node
    (false,) = world.publish(thief, "C2", kg=1)

    recovery = world.owner.keystore.recovery(world.words)
    with closing(world.opened(thief)) as owner:
        changed = keys.compromise(owner, 2, 6, recovery, PASSPHRASE)
    assert world.cosigned(changed.node).published
    log = world.log(changed.node)

    assert [own.commitment for own in changed.void] == [false]
    with pytest.raises(AuthorshipError, match="void, added by whoever held a stolen key"):
        verify.verify_signed(envelope(changed.node, false), log)


def test_an_owner_whose_log_key_a_thief_uses_is_alarmed_and_enters_nothing_more(
    world: World, thief: Node
) -> None:
    world.publish(thief, "C2", kg=1)

    with pytest.raises(ConflictError, match="somebody else holds the log key"):
        world.opened(world.owner)
    with pytest.raises(ConflictError, match="alarm"):
        publish(world.owner, [world.part(OWNER, "C3")])


def test_a_thief_of_the_log_key_is_stopped_by_the_end_note_and_the_owner_goes_on(
    world: World, thief: Node, heir: Node
) -> None:
    (false,) = world.publish(thief, "C2", kg=1)
    with world.owner.database.read() as session:
        (good,) = [own.commitment for own in statements.page(session, 0, 100)]

    recovery = world.owner.keystore.recovery(world.words)
    world.believes(keys.end(world.owner, 7, heir.log_key, recovery))
    (more,) = world.publish(heir, "C3", kg=2)

    log = world.log(thief)
    assert log.has_ended
    assert verify.verify_signed(envelope(world.owner, good), log).is_current
    with pytest.raises(AuthorshipError, match="holds no entry"):
        verify.verify_signed(envelope(thief, false), log)
    assert verify.verify_signed(envelope(heir, more), world.log(heir)).is_current
    assert world.gaps("C1") == []


def test_witnesses_with_the_end_note_cosign_for_the_thief_no_more(
    world: World, thief: Node, heir: Node
) -> None:
    recovery = world.owner.keystore.recovery(world.words)
    world.believes(keys.end(world.owner, 7, heir.log_key, recovery))

    publish(thief, [world.part(OWNER, "C2", kg=1)])
    refused = world.cosigned(thief)

    assert not refused.published
    assert len(refused.refused) == 5
    assert all("has ended with 7 entries" in why for why in refused.refused.values())


def test_keys_that_a_thief_adds_and_retires_behind_the_end_change_nothing_before_it(
    world: World, thief: Node, heir: Node, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path / "tools", origin=OWNER, name="Thief")
    with closing(found(settings, PASSPHRASE, scrypt_n=2**4)) as theirs:
        key = theirs.keystore.record(Role.STATEMENT).key
    with turn(thief) as held:
        held.enter([KeyAdd(role=Role.STATEMENT, key=key).encode(), "bcca/v1 key retire 2"])
        held.enter([f"bcca/v1 status {'A' * 43}= revoked -", "bcca/v9 nonsense"])
    assert world.cosigned(thief).published
    broken = world.log(thief).history.broken
    with world.owner.database.read() as session:
        (good,) = statements.page(session, 0, 100)

    recovery = world.owner.keystore.recovery(world.words)
    world.believes(keys.end(world.owner, 7, heir.log_key, recovery))

    log = world.log(thief)
    assert (broken, log.history.broken, log.has_ended) == (10, None, True)
    assert verify.verify_signed(good.envelope, log).is_current
