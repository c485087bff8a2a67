"""A partner without a server fetches what is for it: signed by who kept it, and only its own."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bcca_node.ledger.node import Node
from bcca_node.partners import event as events
from bcca_node.partners import inlet, outbox, page
from bcca_node.partners.event import StatementEvent
from bcca_node.partners.page import MAX_PULLED
from bcca_node.storage import inbox, news, partners
from bcca_node.storage import outbox as stored
from bcca_node.storage.outbox import State
from bcca_protocol import period
from bcca_protocol.errors import ConflictError, SignatureError
from bcca_protocol.keys import Role

Served = Callable[..., Node]


def put(node: Node, to: Node, count: int = 1) -> None:
    with node.database.write() as session:
        for number in range(count):
            event = StatementEvent(
                id=events.new_id(),
                at=period.text_at(node.clock()),
                kind="revoked",
                issuer=node.origin,
                commitment="ab" * 32,
                product=f"urn:x-test:p{number}",
            )
            outbox.put(session, to.origin, event, node.clock())


def pull(node: Node, of: Node) -> int:
    async def run() -> int:
        with node.database.read() as session:
            partner = partners.get(session, of.origin)
        assert partner is not None
        async with outbox.caller(node) as fetcher:
            return await inlet.pull(node, fetcher, partner)

    return asyncio.run(run())


def fetch(node: Node, of: Node, since: int) -> bytes | None:
    async def run() -> bytes | None:
        async with outbox.caller(node) as fetcher:
            url = f"{of.settings.url}/events?since={since}"
            return await fetcher.find(url, limit=page.MAX_PAGE_BYTES, audience=of.origin)

    return asyncio.run(run())


def count(node: Node, state: State) -> int:
    with node.database.read() as session:
        return len(stored.in_state(session, state))


def unread(node: Node) -> int:
    with node.database.read() as session:
        return len(news.unread(session))


def test_what_is_fetched_is_taken_once(us: Node, them: Node) -> None:
    put(us, them, 3)

    assert [pull(them, us), pull(them, us)] == [3, 0]
    assert unread(them) == 3


def test_it_counts_as_delivered_only_once_more_is_asked_for(us: Node, them: Node) -> None:
    put(us, them, 2)
    fetch(them, us, 0)
    fetched = count(us, State.DELIVERED)
    with us.database.read() as session:
        fetch(them, us, stored.in_state(session, State.WAITING)[0].place)
    one = count(us, State.DELIVERED)
    pull(them, us)  # from 0 on, and then from 2

    assert (fetched, one, count(us, State.DELIVERED)) == (0, 1, 2)


def test_more_than_a_page_is_fetched_page_by_page(us: Node, them: Node) -> None:
    put(us, them, MAX_PULLED + 3)

    assert pull(them, us) == MAX_PULLED + 3


def test_who_was_restored_may_fetch_all_of_it_again(us: Node, them: Node) -> None:
    put(us, them, 2)
    pull(them, us)
    with them.database.write() as session:
        inbox.set_pulled(session, us.origin, 0)

    assert pull(them, us) == 0
    assert unread(them) == 2


def test_attack_nobody_fetches_what_is_for_another(
    us: Node, them: Node, new_node: Served, acquaint: Any
) -> None:
    other = new_node("other.example")
    acquaint(us, them, other)
    put(us, them)

    assert pull(other, us) == 0
    assert b"urn:x-test" not in (fetch(other, us, 0) or b"")


def test_attack_for_others_there_is_nothing(
    us: Node, them: Node, new_node: Served, ask: Callable[..., httpx.Response]
) -> None:
    put(us, them)
    stranger = new_node("stranger.example")
    (stranger.settings.data / "policy.txt").write_text(
        (us.settings.data / "policy.txt").read_text()
    )
    nobody, nowhere = ask(us, "/events?since=0"), ask(us, "/no/such/path")

    assert fetch(stranger, us, 0) is None
    assert (nobody.status_code, nobody.content) == (nowhere.status_code, nowhere.content)
    assert nobody.headers == nowhere.headers


def test_attack_a_page_of_somebody_else_is_refused(us: Node, them: Node) -> None:
    put(us, them)
    body = fetch(them, us, 0)
    assert body is not None
    key = us.keystore.record(Role.REQUEST).key
    forged = page.sign(page.of(us.origin, them.origin, 0, []), them.keys.signer(Role.REQUEST))

    with pytest.raises(SignatureError):
        page.verify(forged, key, origin=us.origin, to=them.origin, since=0)
    with pytest.raises(SignatureError):
        page.verify(body.replace(b"p0", b"p1"), key, origin=us.origin, to=them.origin, since=0)
    with pytest.raises(ConflictError, match="was asked for"):
        page.verify(body, key, origin=us.origin, to="other.example", since=0)
    with pytest.raises(ConflictError, match="was asked for"):
        page.verify(body, key, origin=us.origin, to=them.origin, since=1)


def test_attack_places_that_do_not_rise_are_refused(us: Node, them: Node) -> None:
    key = us.keystore.record(Role.REQUEST).key
    for places, last in (((2, 1), 1), ((1, 1), 1), ((0,), 0), ((1,), 7)):
        kept = tuple(page.Kept(place=each, event="{}") for each in places)
        told = page.Page(origin=us.origin, to=them.origin, since=0, next=last, events=kept)
        body = page.sign(told, us.keys.signer(Role.REQUEST))

        with pytest.raises(ConflictError, match="do not rise"):
            page.verify(body, key, origin=us.origin, to=them.origin, since=0)


def test_what_is_wrong_with_one_event_of_a_page_stops_no_other(us: Node, them: Node) -> None:
    with us.database.write() as session:
        stored.put(session, them.origin, "00" * 16, b'{"no":"event"}', us.clock())
    put(us, them, 2)

    assert [pull(them, us), pull(them, us)] == [2, 0]


def test_a_page_of_large_events_ends_early(us: Node, them: Node) -> None:
    large = [(number, b'"' * 200_000) for number in range(1, 10)]
    made = page.of(us.origin, them.origin, 0, large)

    assert (len(made.events), made.next) == (5, 5)
    signed = page.sign(made, us.keys.signer(Role.REQUEST))
    assert len(signed) <= page.MAX_PAGE_BYTES
    assert json.loads(json.loads(signed)["page"])["next"] == 5
