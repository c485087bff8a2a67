"""Events to partners: kept before they are sent, sent until they are taken, and never lost."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bcca_node.app import create_server
from bcca_node.ledger.node import Node
from bcca_node.partners import event as events
from bcca_node.partners import outbox
from bcca_node.partners.event import StatementEvent
from bcca_node.partners.outbox import GIVE_UP_AFTER, LEAST_ATTEMPTS, LONGEST_PAUSE, Delivered
from bcca_node.storage import leaving, news, partners
from bcca_node.storage import outbox as stored
from bcca_node.storage.dealings import DeliveryRow, PartnerRow
from bcca_node.storage.outbox import HOLDS_UP, State
from bcca_protocol import period

START = 1_800_000_000
Served = Callable[..., Node]
Acquaint = Callable[..., None]


@dataclass
class Clock:
    """A clock that a test sets."""

    now: int = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ours(served: Served, clock: Clock) -> Node:
    return served("cathode.example/bcca", clock=clock)


@pytest.fixture
def theirs(served: Served, clock: Clock, ours: Node, acquaint: Acquaint) -> Node:
    made = served("pack.example", clock=clock)
    acquaint(ours, made)
    return made


@pytest.fixture
def down(new_node: Served, clock: Clock, ours: Node, acquaint: Acquaint) -> Node:
    """A partner at a port where nobody listens yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = new_node("pack.example", clock=clock, url=f"http://127.0.0.1:{port}", port=port)
    acquaint(ours, made)
    return made


def corrected(
    node: Node, name: str | None = None, *, product: str = "urn:x-test:p"
) -> StatementEvent:
    return StatementEvent(
        id=name or events.new_id(),
        at=period.text_at(node.clock()),
        kind="corrected",
        issuer=node.origin,
        commitment="ab" * 32,
        product=product,
    )


def put(node: Node, partner: Node, event: events.Event | None = None) -> int:
    with node.database.write() as session:
        return outbox.put(session, partner.origin, event or corrected(node), node.clock())


def deliver(node: Node, *, only: str | None = None) -> Delivered:
    async def run() -> Delivered:
        async with outbox.caller(node) as fetcher:
            return await outbox.deliver_due(node, fetcher, only=only)

    return asyncio.run(run())


def kept(node: Node, state: State) -> list[stored.Delivery]:
    with node.database.read() as session:
        return stored.in_state(session, state)


def told(node: Node) -> list[str]:
    """Return what came at a node, in its order."""
    with node.database.read() as session:
        return [each.product for each in sorted(news.every(session), key=lambda it: it.product)]


def test_an_event_is_delivered_and_not_sent_again(ours: Node, theirs: Node) -> None:
    put(ours, theirs)
    first, second = deliver(ours), deliver(ours)

    assert (first.delivered, second.delivered) == (1, 0)
    assert len(told(theirs)) == 1
    assert [each.told for each in kept(ours, State.DELIVERED)] == [""]


def test_an_event_that_is_sent_three_times_is_taken_once(ours: Node, theirs: Node) -> None:
    number = put(ours, theirs)
    for _ in range(3):
        assert deliver(ours).delivered == 1
        with ours.database.write() as session:  # as if the answer had been lost
            row = session.get(DeliveryRow, number)
            assert row is not None
            row.state = State.WAITING
            session.add(row)

    assert len(told(theirs)) == 1


def test_what_is_put_twice_is_sent_once(ours: Node, theirs: Node) -> None:
    event = corrected(ours)

    assert put(ours, theirs, event) == put(ours, theirs, event)
    assert deliver(ours).delivered == 1


def test_an_event_that_is_not_committed_is_not_sent(ours: Node, theirs: Node) -> None:
    with ours.database.read() as session:  # it is rolled back
        stored.put(session, theirs.origin, "00" * 16, b"{}", ours.clock())

    assert deliver(ours).delivered == 0
    assert kept(ours, State.WAITING) == []


def test_a_partner_that_is_down_gets_it_when_it_is_back(
    ours: Node, down: Node, clock: Clock, loop: Any
) -> None:
    put(ours, down)
    failed = deliver(ours)
    at_once = deliver(ours)
    listener = socket.create_server(("127.0.0.1", down.settings.port))
    loop.serve(create_server(down), listener)
    clock.now += 2
    later = deliver(ours)

    assert failed.troubles == ((down.origin, failed.troubles[0][1]),)
    assert "nobody listens there" in failed.troubles[0][1]
    assert at_once == Delivered()  # not due yet
    assert later.delivered == 1
    assert len(told(down)) == 1


def test_pauses_grow_from_seconds_to_an_hour_and_never_over(
    ours: Node, down: Node, clock: Clock
) -> None:
    put(ours, down)
    pauses = []
    for _ in range(14):
        deliver(ours)
        (waiting,) = kept(ours, State.WAITING)
        pauses.append(waiting.next_at - clock.now)
        clock.now = waiting.next_at

    assert all(2**n // 2 <= pause <= 2 ** (n + 1) for n, pause in enumerate(pauses[:10]))
    assert max(pauses) <= LONGEST_PAUSE
    assert min(pauses[12:]) >= LONGEST_PAUSE // 2


def test_after_72_hours_an_event_is_dead_and_visible_and_may_be_sent_again(
    ours: Node, down: Node, clock: Clock, loop: Any
) -> None:
    number = put(ours, down)
    for _ in range(LEAST_ATTEMPTS):
        deliver(ours)
        clock.now = kept(ours, State.WAITING)[0].next_at
    clock.now = START + GIVE_UP_AFTER - 1
    deliver(ours)
    alive = kept(ours, State.WAITING)
    clock.now = alive[0].next_at
    deliver(ours)
    (dead,) = kept(ours, State.DEAD)
    loop.serve(create_server(down), socket.create_server(("127.0.0.1", down.settings.port)))
    untouched = deliver(ours)
    with ours.database.write() as session:
        revived = outbox.again(session, number, clock.now)

    assert len(alive) == 1
    assert dead.attempts == LEAST_ATTEMPTS + 2
    assert "nobody listens there" in dead.told
    assert untouched == Delivered()
    assert revived is not None
    assert revived.attempts == 0
    assert deliver(ours).delivered == 1


def test_a_node_that_was_off_for_a_week_tries_for_a_while_before_it_gives_up(
    ours: Node, down: Node, clock: Clock
) -> None:
    put(ours, down)
    clock.now += 7 * 86_400
    tried = 0
    while kept(ours, State.WAITING):
        deliver(ours)
        tried += 1
        clock.now += LONGEST_PAUSE

    assert tried == LEAST_ATTEMPTS


def test_a_refusal_for_good_kills_the_event_and_the_next_one_goes(ours: Node, theirs: Node) -> None:
    with ours.database.write() as session:
        stored.put(session, theirs.origin, "00" * 16, b"{}", ours.clock())
    put(ours, theirs)
    done = deliver(ours)
    (dead,) = kept(ours, State.DEAD)

    assert (done.delivered, done.dead) == (1, 1)
    assert dead.told.startswith("answered 400: ")
    assert len(told(theirs)) == 1


def test_who_is_not_known_there_yet_is_tried_again(ours: Node, theirs: Node, clock: Clock) -> None:
    with theirs.database.write() as session:
        before = partners.get(session, ours.origin)
        leaving.forget(session, ours.origin)
    put(ours, theirs)
    stranger = deliver(ours)
    assert before is not None
    with theirs.database.write() as session:
        partners.put(session, before)
    clock.now += 2
    known = deliver(ours)

    assert "answered 403" in stranger.troubles[0][1]
    assert (stranger.delivered, known.delivered) == (0, 1)


def test_events_of_one_partner_keep_their_order(
    ours: Node, raw_server: Callable[..., str], acquaint: Acquaint, theirs: Node
) -> None:
    came: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        came.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()

    moved(ours, theirs, raw_server(note))
    for number in range(5):
        put(ours, theirs, corrected(ours, product=f"urn:x-test:p{number}"))

    assert deliver(ours).delivered == 5
    products = [getattr(events.decode(each), "product", "") for each in came]
    assert products == [f"urn:x-test:p{number}" for number in range(5)]


def test_attack_an_event_that_breaks_its_reader_does_not_hold_up_the_others(
    ours: Node, raw_server: Callable[..., str], theirs: Node, clock: Clock
) -> None:
    async def fail_for_p0(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        is_bad = b"urn:x-test:p0" in await reader.readexactly(length)
        status = b"500 Oh" if is_bad else b"200 OK"
        writer.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
        )
        await writer.drain()

    moved(ours, theirs, raw_server(fail_for_p0))
    for number in range(3):
        put(ours, theirs, corrected(ours, product=f"urn:x-test:p{number}"))
    delivered = []
    for _ in range(HOLDS_UP + 1):
        delivered.append(deliver(ours).delivered)
        clock.now += LONGEST_PAUSE

    assert delivered == [0] * HOLDS_UP + [2]
    (left,) = kept(ours, State.WAITING)
    assert b"urn:x-test:p0" in left.body


def test_one_partner_that_hangs_holds_up_no_other(
    ours: Node, served: Served, theirs: Node, raw_server: Callable[..., str], acquaint: Acquaint
) -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 307 No\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        )
        await writer.drain()

    other = served("other.example", clock=ours.clock)
    acquaint(ours, other, theirs)
    moved(ours, theirs, raw_server(redirect))
    put(ours, theirs)
    put(ours, other)
    done = deliver(ours)

    assert done.delivered == 1
    assert "redirects to http://127.0.0.1:1/" in done.troubles[0][1]
    assert len(told(other)) == 1


def test_what_was_said_by_a_partner_wakes_what_waits_for_it(
    ours: Node, down: Node, clock: Clock, loop: Any
) -> None:
    put(ours, down)
    for _ in range(9):
        deliver(ours)
        clock.now = kept(ours, State.WAITING)[0].next_at
    deliver(ours)
    loop.serve(create_server(down), socket.create_server(("127.0.0.1", down.settings.port)))
    resting = deliver(ours)
    put(down, ours)
    deliver(down)
    woken = deliver(ours)

    assert (resting.delivered, woken.delivered) == (0, 1)


def test_what_is_fetched_while_it_is_posted_in_vain_holds_up_nothing(
    ours: Node, new_node: Served, raw_server: Any, clock: Clock, acquaint: Acquaint
) -> None:
    async def fetches(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with ours.database.write() as session:
            for each in stored.waiting_for(session, "pack.example", 1):
                stored.confirm(session, each.partner, each.place)
        writer.close()  # and answers nothing

    theirs = new_node("pack.example", clock=clock, url=raw_server(fetches))
    acquaint(ours, theirs)
    put(ours, theirs)
    put(ours, theirs)
    done = deliver(ours)

    assert len(done.troubles) == 1
    assert len(kept(ours, State.DELIVERED)) == 1
    (rests,) = kept(ours, State.WAITING)
    assert (rests.attempts, clock.now < rests.next_at <= clock.now + 2) == (0, True)


def test_what_waits_for_somebody_who_is_no_partner_any_more_is_given_up(
    ours: Node, theirs: Node
) -> None:
    put(ours, theirs)
    with ours.database.write() as session:
        session.delete(session.get_one(PartnerRow, theirs.origin))
    done = deliver(ours)

    assert done.dead == 1
    assert kept(ours, State.DEAD)[0].told == "no partner of this node"


def test_what_was_delivered_is_forgotten_but_for_the_last_place(ours: Node, theirs: Node) -> None:
    for _ in range(3):
        put(ours, theirs)
    deliver(ours)
    with ours.database.write() as session:
        stored.prune(session, ours.clock() + 1)
    fourth = put(ours, theirs)

    assert [each.number for each in kept(ours, State.DELIVERED)] == [3]
    assert fourth == 4


def test_places_count_for_each_partner_alone(
    ours: Node, theirs: Node, served: Served, acquaint: Acquaint
) -> None:
    other = served("other.example", clock=ours.clock)
    acquaint(ours, other, theirs)
    for each in (theirs, other, other, theirs):
        put(ours, each)

    first = START * 1_000
    assert [e.place for e in kept(ours, State.WAITING)] == [first, first, first + 1, first + 1]


def test_a_node_that_was_restored_gives_no_place_twice(
    ours: Node, theirs: Node, clock: Clock, restored: Callable[[Node], Node]
) -> None:
    put(ours, theirs)
    before = restored(ours)
    for _ in range(5):
        put(ours, theirs)
    given = [each.place for each in kept(ours, State.WAITING)]
    clock.now += 1
    put(before, theirs)

    assert kept(before, State.WAITING)[-1].place > max(given)


def moved(node: Node, partner: Node, url: str) -> None:
    """Let a partner be found at another URL."""
    with node.database.write() as session:
        row = session.get(PartnerRow, partner.origin)
        assert row is not None
        row.url = url
        session.add(row)
