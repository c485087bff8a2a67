"""Whoever has a statement is told once when it has ended, by whoever gave it away."""

import asyncio
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bcca_node.app import create_server
from bcca_node.demo.sharing import partner_of
from bcca_node.ledger import status
from bcca_node.ledger.copied import LOG, Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.partners import event as events
from bcca_node.partners import outbox
from bcca_node.partners.clerk import Clerk, Pace
from bcca_node.partners.event import StatementEvent
from bcca_node.partners.notices import LOOKED_AFTER, Notices
from bcca_node.storage import grants, leaving, news, partners, seen, statements
from bcca_node.storage import outbox as stored
from bcca_node.storage.calls import Fetch
from bcca_node.storage.dealings import PartnerRow
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.outbox import State
from bcca_node.storage.partners import Partner, PartnerRole
from bcca_node.storage.seen import FetchedStatement
from bcca_protocol.statement import PartialFootprint

Part = Callable[..., PartialFootprint]
QUICK = Pace(poll=0.02, retry=0.05, longest=0.2, pull=0.1, sweep=0.1, prove=0.1, extra=0.1)
SECONDS = 20.0


@pytest.fixture
def nodes(network: list[Node]) -> list[Node]:
    """A supplier, its customer, a customer of that, and two more; all are partners."""
    for each in network:
        with each.database.write() as session:
            for other in network:
                if other is not each:
                    partners.put(session, partner(other))
    return network


@pytest.fixture
def keep() -> Iterator[Callable[..., Clerk]]:
    """Let clerks work until the test ends."""
    clerks: list[Clerk] = []

    def start(node: Node, **more: Any) -> Clerk:
        clerks.append(Clerk(node, more.pop("pace", QUICK), **more))
        clerks[-1].start()
        return clerks[-1]

    yield start
    for each in clerks:
        each.stop()


def partner(node: Node) -> Partner:
    known = partner_of(node, [PartnerRole.CUSTOMER])
    return dataclasses.replace(known, name="", since=0, proven_at=node.clock())


def released(node: Node, *predicates: PartialFootprint) -> list[str]:
    """Publish under a quorum's head."""
    found = [each.commitment for each in publish(node, list(predicates))]
    cosigned(node)
    return found


def cosigned(node: Node) -> None:
    async def run() -> None:
        async with Fetcher(hosts_of(node.trust.required())) as fetcher:
            assert (await witness(node, fetcher)).published

    asyncio.run(run())


def fetched(node: Node, by: Node, commitment: str) -> None:
    """Let the access log say that a partner was shown a statement."""
    one = Fetch(
        origin=by.origin,
        caller=by.origin,
        commitment=commitment,
        product="",
        how="statement",
        at=node.clock(),
    )
    node.calls.note([one], now=node.clock())


def passed_on(nodes: list[Node], part: Part) -> str:
    """Publish a statement that the second node holds, and has shown to the third."""
    supplier, customer, further = nodes[:3]
    (first,) = released(supplier, part(supplier.origin))
    held(customer, supplier, first)
    fetched(customer, further, first)
    return first


def held(node: Node, of: Node, commitment: str) -> None:
    """Let a node hold a statement of another, and follow its log."""
    with of.database.read() as session:
        own = statements.get(session, commitment)
    assert own is not None
    kept = FetchedStatement(
        commitment=commitment,
        vkey=of.log_key.encode(),
        origin=of.origin,
        index=own.index,
        product=own.product,
        sharing=own.sharing,
        envelope=own.envelope,
    )
    with node.database.write() as session:
        seen.put_statements(session, [kept])
    follow(node, of)


def follow(node: Node, of: Node) -> None:
    async def run() -> None:
        trusted = node.trust.required()
        address = Address(
            origin=of.origin, key=of.log_key, url=of.settings.url + LOG, introduced_by=None
        )
        async with Fetcher(hosts_of(trusted)) as fetcher:
            reader = Reader(node=node, fetcher=fetcher, trusted=trusted, at=node.clock())
            await reader.read(address)

    asyncio.run(run())


def put_out(node: Node) -> list[tuple[str, StatementEvent]]:
    """Return what is on its way to whom."""
    with node.database.read() as session:
        found = stored.in_state(session, State.WAITING)
    decoded = [(each.partner, events.decode(each.body)) for each in found]
    return [(who, event) for who, event in decoded if isinstance(event, StatementEvent)]


def unread(node: Node) -> list[news.News]:
    with node.database.read() as session:
        return news.unread(session)


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def test_who_fetched_a_statement_is_told_once_of_each_of_its_ends(
    nodes: list[Node], part: Part
) -> None:
    supplier, customer, other = nodes[:3]
    (first,) = released(supplier, part(supplier.origin))
    fetched(supplier, customer, first)
    notices = Notices(supplier)
    before = notices.tell()
    (second,) = released(supplier, part(supplier.origin, kg=3, corrects=first))
    told = [notices.tell(), notices.tell(), Notices(supplier).tell()]
    ((who, event),) = put_out(supplier)
    status.revoke(supplier, first)
    pending = notices.tell()
    cosigned(supplier)
    worse = notices.tell()

    assert (before, told, pending, worse) == (0, [1, 0, 0], 0, 1)
    assert who == customer.origin != other.origin
    assert (event.kind, event.commitment, event.successor) == ("corrected", first, second)
    assert [each.kind for _, each in put_out(supplier)] == ["corrected", "revoked"]
    assert Notices(supplier).tell() == 0  # after a restart too


def test_who_was_granted_a_statement_is_told_and_who_is_no_partner_is_not(
    nodes: list[Node], part: Part
) -> None:
    supplier, customer, other = nodes[:3]
    (first,) = released(supplier, part(supplier.origin))
    fetched(supplier, other, first)
    grant = Grant(partner=customer.origin, scope=Scope.STATEMENT, about=first, given=0)
    with supplier.database.write() as session:
        grants.put(session, grant)
        leaving.forget(session, other.origin)
    released(supplier, part(supplier.origin, year=2026, follows=first))
    Notices(supplier).tell()

    ((who, event),) = put_out(supplier)
    assert (who, event.kind) == (customer.origin, "superseded")


def test_who_was_just_answered_is_told_though_the_access_log_says_so_later(
    nodes: list[Node], part: Part
) -> None:
    clock = [nodes[0].clock()]
    supplier, customer, late = (dataclasses.replace(n, clock=lambda: clock[0]) for n in nodes[:3])
    (first,) = released(supplier, part(supplier.origin))
    status.revoke(supplier, first)
    cosigned(supplier)
    notices = Notices(supplier)
    none = notices.tell()
    fetched(supplier, customer, first)
    one = notices.tell()
    clock[0] += LOOKED_AFTER + 1
    notices.tell()
    fetched(supplier, late, first)

    assert (none, one, notices.tell()) == (0, 1, 0)


def test_who_got_the_statement_of_another_from_here_is_told_what_that_log_says(
    nodes: list[Node], part: Part
) -> None:
    first = passed_on(nodes, part)
    supplier, customer, further = nodes[:3]
    notices = Notices(customer)
    before = notices.tell()
    status.revoke(supplier, first)
    cosigned(supplier)
    unseen = notices.tell()
    follow(customer, supplier)
    seen_now = notices.tell()

    assert (before, unseen, seen_now) == (0, 0, 1)
    ((who, event),) = put_out(customer)
    assert (who, event.issuer, event.kind) == (further.origin, supplier.origin, "revoked")


def test_attack_a_partner_that_lies_about_another_is_passed_on_by_nobody(
    nodes: list[Node], part: Part
) -> None:
    first = passed_on(nodes, part)
    supplier, customer = nodes[:2]
    lie = news.News(
        id=events.new_id(),
        partner=nodes[3].origin,
        at=0,
        kind="revoked",
        issuer=supplier.origin,
        commitment=first,
        successor="",
        product="",
    )
    with customer.database.write() as session:
        news.put(session, lie)

    assert Notices(customer).tell() == 0


def test_a_clerk_tells_delivers_and_wakes_within_a_second_of_what_another_process_wrote(
    nodes: list[Node], part: Part, keep: Callable[..., Clerk]
) -> None:
    supplier, customer = nodes[:2]
    (first,) = released(supplier, part(supplier.origin))
    fetched(supplier, customer, first)
    keep(supplier)
    status.revoke(supplier, first)
    cosigned(supplier)
    wait_for(lambda: unread(customer))
    begun = time.monotonic()
    with supplier.database.write() as session:
        outbox.put(session, customer.origin, another(supplier), supplier.clock())
    wait_for(lambda: len(unread(customer)) == 2)

    assert time.monotonic() - begun < 3
    assert {each.kind for each in unread(customer)} == {"revoked", "superseded"}


def test_a_clerk_fetches_what_a_partner_cannot_bring(
    nodes: list[Node], keep: Callable[..., Clerk], caplog: pytest.LogCaptureFixture
) -> None:
    supplier, customer = nodes[:2]
    with supplier.database.write() as session:
        row = session.get(PartnerRow, customer.origin)
        assert row is not None
        row.url = "http://127.0.0.1:1"
        session.add(row)
        outbox.put(session, customer.origin, another(supplier), supplier.clock())
    keep(customer)
    wait_for(lambda: unread(customer))
    keep(supplier)
    time.sleep(0.5)
    told = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]

    with supplier.database.read() as session:
        assert [each.state for each in stored.in_state(session, State.WAITING)] == []
    assert all(told.count(each) == 1 for each in told)


def test_a_clerk_does_what_others_give_it_and_stops_at_once(
    nodes: list[Node], keep: Callable[..., Clerk]
) -> None:
    done: list[str] = []

    async def extra(node: Node, fetcher: Fetcher) -> None:
        done.append(node.origin)
        await asyncio.sleep(60)

    clerk = keep(nodes[0], extra=(extra,))
    wait_for(lambda: done)
    begun = time.monotonic()
    clerk.stop()

    assert time.monotonic() - begun < 5


def test_a_server_with_keys_has_a_clerk_and_one_without_has_none(
    nodes: list[Node], loop: Any
) -> None:
    supplier, customer = nodes[:2]
    with supplier.database.write() as session:
        outbox.put(session, customer.origin, another(supplier), supplier.clock())
    locked = create_server(dataclasses.replace(supplier, keyring=None), keep=True)
    loop.serve(locked, socket.create_server(("127.0.0.1", 0)))
    without = {each.name for each in threading.enumerate()}
    loop.serve(create_server(supplier, keep=True), socket.create_server(("127.0.0.1", 0)))
    wait_for(lambda: unread(customer))

    assert "clerk" not in without
    assert "clerk" in {each.name for each in threading.enumerate()}


def another(node: Node) -> StatementEvent:
    return StatementEvent(
        id=events.new_id(),
        at="2026-01-01T00:00:00Z",
        kind="superseded",
        issuer=node.origin,
        commitment="cd" * 32,
        product="urn:x-test:p",
    )
