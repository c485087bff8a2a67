"""Whatever says where something is: no private address that the policy does not name is asked.

The policy names 127.0.0.1, where all nodes of a test are. The victim is another loopback address
that counts who comes.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from bcca_node.demo.sharing import partner_of
from bcca_node.ledger import identity
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import descriptor
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.packmaker import held
from bcca_node.packmaker.collect import collect
from bcca_node.packmaker.plan import Plan
from bcca_node.partners import acquaint, book, outbox
from bcca_node.partners.book import Met
from bcca_node.partners.event import PartsEvent, new_id
from bcca_node.partners.invitation import FORMAT, Invitation, sign
from bcca_node.storage import outbox as deliveries
from bcca_node.storage import partners
from bcca_protocol import period, wire
from bcca_protocol.errors import RefusedError
from bcca_protocol.inventory import Input
from bcca_protocol.keys import Role
from bcca_protocol.period import Span
from bcca_protocol.statement import PartialFootprint


@dataclass
class Victim:
    """A port on a private address, and how many connected to it."""

    listener: socket.socket
    met: list[Any] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def urls(self) -> list[str]:
        """Return ways to write where it is."""
        hosts = (
            "127.0.0.2",
            "127.2",
            "2130706434",
            "0x7f000002",
            "127.0.0.2.",
            "[::ffff:127.0.0.2]",
        )
        return [f"http://{host}:{self.port}" for host in (*hosts, "localhost")]

    def serve(self) -> None:
        while True:
            try:
                met, _ = self.listener.accept()
            except OSError:
                return
            self.met.append(met)
            met.close()


@pytest.fixture
def victim() -> Iterator[Victim]:
    made = Victim(socket.create_server(("127.0.0.2", 0)))
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    thread.join(5)
    assert made.met == []


def fetcher_of(node: Node) -> Fetcher:
    return Fetcher(hosts_of(node.trust.required()), signer=node.keys.signer(Role.REQUEST))


def invitation_of(node: Node, url: str) -> str:
    keys, now = acquaint.own_keys(node), node.clock()
    made = Invitation(
        format=FORMAT,
        id=new_id(),
        origin=node.origin,
        name="Mine",
        url=url,
        log_key=keys.log.encode(),
        request_key=keys.request.encode(),
        seal_key=keys.seal.encode(),
        inviter="customer",
        invited="supplier",
        created=period.text_at(now),
        expires=period.text_at(now + 3600),
    )
    return sign(made, node.keys.signer(Role.REQUEST))


def test_attack_an_invitation_says_that_the_inviter_is_at_a_private_address(
    network: list[Node], victim: Victim
) -> None:
    node, other = network[:2]

    async def run(url: str) -> Met:
        async with fetcher_of(node) as fetcher:
            return await book.accept(node, fetcher, invitation_of(other, url))

    for url in victim.urls():
        try:
            met = asyncio.run(run(url))
        except RefusedError:
            continue
        # A name is kept: where it leads is looked at whenever it is asked.
        assert "localhost" in url
        assert met.partner.proven_at is None


def test_attack_who_accepts_says_that_it_is_at_a_private_address(
    network: list[Node], victim: Victim
) -> None:
    """What it says is kept, and nobody goes there: not to prove its keys, not to deliver."""
    node, other = network[:2]
    for url in victim.urls():
        with node.database.write() as session:
            partners.put(session, replace(partner_of(other), url=url))
            told = PartsEvent(id=new_id(), at="2026-01-01T00:00:00Z", kind="proposed", pairs=())
            outbox.put(session, other.origin, told, node.clock())

        async def run() -> None:
            async with fetcher_of(node) as fetcher:
                await outbox.deliver_due(node, fetcher, only=other.origin)

        asyncio.run(run())
    with node.database.read() as session:
        waiting = deliveries.waiting_for(session, other.origin, 100)
    assert len(waiting) == len(victim.urls())


def test_attack_a_redirect_leads_to_a_private_address(
    raw_server: Callable[..., str], network: list[Node], victim: Victim
) -> None:
    async def run(base: str) -> None:
        async with fetcher_of(network[0]) as fetcher:
            await fetcher.get(f"{base}/log/checkpoint", limit=100)

    for url in victim.urls():
        with pytest.raises(RefusedError):
            asyncio.run(run(raw_server(Liar(url, "").redirect)))


@dataclass
class Liar:
    """A server that describes its node with what it likes, and sends the reader on for the rest."""

    to: str
    about: str
    asked: int = 0

    async def redirect(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(writer, f"307 Moved\r\nlocation: {self.to}/log/checkpoint", b"")

    async def describe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        path = line.split(" ")[1]
        if path == descriptor.PATH:
            self.asked += 1
            await answer(writer, "200 OK\r\ncontent-type: application/json", self.about.encode())
        else:
            await answer(writer, f"307 Moved\r\nlocation: {self.to}{path}", b"")


async def answer(writer: asyncio.StreamWriter, head: str, body: bytes) -> None:
    told = f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write(told.encode() + body)
    await writer.drain()


@pytest.fixture
def bill(
    part: Callable[..., PartialFootprint], bought: Callable[..., Input]
) -> Callable[[Node, str, Node], PartialFootprint]:
    """Return what says that a node makes a product of the ore of another."""
    return lambda node, name, mine: part(node.origin, name, buys=(bought("ore", mine),))


@pytest.mark.parametrize("lies", ["statements", "products", "log", "witness", "peers", "partner"])
def test_attack_a_supplier_says_that_what_is_its_own_is_at_a_private_address(
    lies: str,
    raw_server: Callable[..., str],
    network: list[Node],
    victim: Victim,
    bill: Callable[..., PartialFootprint],
) -> None:
    node, mine, other = network[:3]
    asyncio.run(witnessed(mine))
    for number, url in enumerate(victim.urls()[::3]):  # an address, its hex, and a name
        truth = identity.descriptor(mine, {})
        told: dict[str, Any] = {lies: f"{url}/{lies}"}
        if lies == "peers":
            told = {"peers": {f"p{number}.example": url, other.origin: url}}
        if lies == "partner":  # a partner that may hold copies
            told = {}
            with node.database.write() as session:
                partners.put(session, replace(partner_of(other), url=url))
        lying = wire.encode(msgspec.structs.replace(truth, **told)).decode()
        liar = Liar(mine.settings.url, lying)
        base = raw_server(liar.describe)
        policy = node.settings.data / "policy.txt"
        kept = policy.read_text()
        policy.write_text(kept.replace(f"{mine.settings.url}/log", f"{base}/log"))
        cell = f"cell{number}"
        asyncio.run(collected(node, bill(node, cell, mine)))
        policy.write_text(kept)

        assert liar.asked > 0


async def witnessed(node: Node) -> None:
    async with fetcher_of(node) as fetcher:
        await witness(node, fetcher)


async def collected(node: Node, bill: PartialFootprint) -> None:
    """Publish a bill, and look for what is in it."""
    publish(node, [bill])
    trusted, at = node.trust.required(), node.clock()
    await witnessed(node)
    async with fetcher_of(node) as fetcher:
        with node.database.read() as session:
            log = held.own_log(node, session, trusted, at=at)
            roots = held.own_parts(session, bill.product.id, log)
        period = Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
        await collect(node, fetcher, roots, Plan(period=period, at=at))
