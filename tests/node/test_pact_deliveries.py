"""Events to PACT partners: to the registered host alone, until they are taken (SPEC 16.4)."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.node.pact_pair import (
    START,
    URN,
    Clock,
    Side,
    acquainted,
    knows,
    nowhere,
    serve_at,
)

from bcca_node.cli import main
from bcca_node.ledger.node import Node
from bcca_node.pact import asking, post
from bcca_node.pact.clients import Theirs
from bcca_node.pact.post import MAX_REFUSALS
from bcca_node.partners.outbox import GIVE_UP_AFTER, LEAST_ATTEMPTS, LONGEST_PAUSE, Delivered
from bcca_node.storage import grants, pactsending
from bcca_node.storage.grants import Grant, Scope
from bcca_node.storage.pactsending import Letter, PactSendingRow, Sent

HEAD_END = b"\r\n\r\n"
ITS = "its"  # a secret is its, and a word


@dataclass
class Foreign:
    """A host that writes down what comes, and answers each event with what it was told to."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(HEAD_END)).decode()
        lengths = [
            line.partition(":")[2] for line in head.lower().splitlines() if "length:" in line
        ]
        body = await reader.readexactly(int(lengths[0])) if lengths else b""
        self.heard.append((head, body))
        status, content = 200, b""
        if head.startswith("POST /auth/token"):
            content = b'{"access_token": "token-of-%s", "token_type": "Bearer"}' % b"this-host"
        elif head.startswith("GET"):
            status = 404
        elif self.statuses:
            status = self.statuses.pop(0)
        writer.write(
            b"HTTP/1.1 %d Told\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (status, len(content), content)
        )
        await writer.drain()

    @property
    def events(self) -> list[Any]:
        return [json.loads(body) for head, body in self.heard if head.startswith("POST /3/events")]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seller(new_node: Callable[..., Node], clock: Clock) -> Side:
    return Side(new_node("cathode.example", clock=clock), clock)


@pytest.fixture
def hosts(raw_server: Callable[..., str]) -> Callable[[], Foreign]:
    def make() -> Foreign:
        made = Foreign()
        made.url = raw_server(made.answer)
        return made

    return make


@pytest.fixture
def buyer(hosts: Callable[[], Foreign], seller: Side) -> Iterator[Foreign]:
    """A foreign host that is `pact:buyer`, and issued `id-of-buyer` to the seller."""
    made = hosts()
    knows(seller, "buyer", made.url, Theirs(client_id="id-of-buyer", secret=f"{ITS} secret"))
    yield made


def put(side: Side, partner: str = "pact:buyer", event: str = "e1") -> int:
    letter = Letter(
        partner=partner, event=event, what="request", body=b'{"id":"%s"}' % event.encode()
    )
    with side.node.database.write() as session:
        return pactsending.send(session, letter, side.clock.now)


def deliver(side: Side) -> Delivered:
    return asyncio.run(post.deliver_due(side.node))


def states(side: Side) -> list[Sent]:
    return [each.state for each in side.kept(*Sent)]


def names(foreign: Foreign) -> list[str]:
    """Return what the host was told is published, in its order."""
    return [name for each in foreign.events for name in each["data"]["pfIds"]]


def grant(side: Side, product: str, partner: str = "pact:buyer") -> None:
    about = URN + product
    given = Grant(partner=partner, scope=Scope.PRODUCT, about=about, given=side.clock.now)
    with side.node.database.write() as session:
        grants.put(session, given)


def test_an_event_goes_to_the_registered_host_with_its_credentials_and_token(
    seller: Side, buyer: Foreign
) -> None:
    put(seller)
    assert deliver(seller).delivered == 1
    tokens = [head for head, _ in buyer.heard if head.startswith("POST /auth/token")]
    [posted] = [head for head, _ in buyer.heard if head.startswith("POST /3/events")]

    pair = base64.b64encode(b"id-of-buyer:its secret").decode()
    assert f"authorization: basic {pair}".lower() in tokens[0].lower()
    assert "authorization: bearer token-of-this-host" in posted.lower()
    assert "application/cloudevents+json; charset=utf-8" in posted.lower()
    assert buyer.events == [{"id": "e1"}]


def test_attack_the_credentials_of_one_partner_never_reach_another(
    seller: Side, buyer: Foreign, hosts: Callable[[], Foreign]
) -> None:
    rival = hosts()
    knows(seller, "rival", rival.url, Theirs(client_id="id-of-rival", secret=f"{ITS} rival"))
    put(seller, "pact:buyer")
    put(seller, "pact:rival")
    deliver(seller)
    secret = base64.b64encode(b"id-of-buyer:its secret").decode()

    assert any(secret in head for head, _ in buyer.heard)
    assert not any(secret in head or b"its+secret" in body for head, body in rival.heard)
    assert len(rival.events) == len(buyer.events) == 1


def test_attack_a_host_that_redirects_an_event_elsewhere_is_not_followed(
    seller: Side, buyer: Foreign
) -> None:
    buyer.statuses[:] = [307]
    put(seller)
    done = deliver(seller)

    assert (done.delivered, len(buyer.events)) == (0, 1)
    assert states(seller) == [Sent.WAITING]


def test_whoever_issued_nothing_is_told_without_a_token(
    seller: Side, hosts: Callable[[], Foreign]
) -> None:
    made = hosts()
    knows(seller, "quiet", made.url)
    put(seller, "pact:quiet")

    assert deliver(seller).delivered == 1
    assert "authorization" not in made.heard[0][0].lower()


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
def test_a_host_that_cannot_now_rests_and_is_told_the_same_bytes_later(
    seller: Side, buyer: Foreign, clock: Clock, status: int
) -> None:
    buyer.statuses[:] = [status, status]  # a refused token is asked for anew, once
    put(seller)
    put(seller, event="e2")
    first, at_once = deliver(seller), deliver(seller)
    clock.now += LONGEST_PAUSE
    buyer.statuses.clear()
    later = deliver(seller)

    assert (first.delivered, at_once.delivered, later.delivered) == (0, 0, 2)
    assert buyer.events[0] == {"id": "e1"}
    assert {each["id"] for each in buyer.events[-2:]} == {"e1", "e2"}


def test_an_event_that_a_host_refuses_holds_up_no_other(
    seller: Side, buyer: Foreign, clock: Clock
) -> None:
    buyer.statuses[:] = [400]
    put(seller)
    put(seller, event="e2")
    done = deliver(seller)
    put(seller, event="e3")
    again = deliver(seller)

    assert (done.delivered, again.delivered) == (1, 1)
    assert states(seller) == [Sent.WAITING, Sent.DELIVERED, Sent.DELIVERED]
    assert "answered 400" in seller.kept(Sent.WAITING)[0].told


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422])
def test_an_event_that_is_refused_as_it_is_is_tried_a_few_times_in_about_an_hour(
    seller: Side, buyer: Foreign, clock: Clock, status: int
) -> None:
    buyer.statuses[:] = [status] * 99
    number = put(seller)
    for _ in range(MAX_REFUSALS - 1):
        assert deliver(seller).dead == 0
        seller.heard_from("pact:buyer")  # that somebody is there mends nothing
        assert deliver(seller) == Delivered()
        clock.now = seller.kept(Sent.WAITING)[0].next_at
    done = deliver(seller)
    [dead] = seller.kept(Sent.DEAD)

    assert START + 3_600 < clock.now < START + 2 * 3_600
    assert (done.dead, len(buyer.events)) == (1, MAX_REFUSALS)
    assert dead.told == f"answered {status}"  # it gave no reason
    assert "; given up: have it mended there, or correct the URL here" in done.troubles[0][1]
    assert f"`bcca pact deliveries --again {number}`" in done.troubles[0][1]
    clock.now += GIVE_UP_AFTER
    assert deliver(seller) == Delivered()


def test_what_was_refused_and_given_up_is_sent_again_when_the_operator_says_so(
    seller: Side, buyer: Foreign, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    buyer.statuses[:] = [400] * MAX_REFUSALS
    number = put(seller)
    for _ in range(MAX_REFUSALS):
        deliver(seller)
        clock.now += LONGEST_PAUSE
    asked = ["pact", "deliveries", "--data", str(seller.node.settings.data)]
    status, shown = main(asked), capsys.readouterr().out
    main([*asked, "--again", str(number)])

    assert status == 3
    assert "dead" in shown
    assert "answered 400" in shown
    assert deliver(seller).delivered == 1
    assert buyer.events == [{"id": "e1"}] * (MAX_REFUSALS + 1)


def test_what_is_refused_is_not_tried_earlier_because_another_event_fails(
    seller: Side, buyer: Foreign, clock: Clock
) -> None:
    number = put(seller)
    buyer.statuses[:] = [404]
    deliver(seller)
    put(seller, event="e2")
    buyer.statuses[:] = [503] * 99
    for _ in range(5):
        deliver(seller)
        clock.now += 9

    [refused] = [each for each in seller.kept(Sent.WAITING) if each.number == number]
    assert refused.attempts == 1
    assert refused.next_at >= START + 60  # the pauses after failures are random, and may end later


def test_what_is_given_up_is_told_though_the_next_event_fails(
    seller: Side, buyer: Foreign, clock: Clock
) -> None:
    put(seller, event="e2")
    for _ in range(MAX_REFUSALS):  # so that it goes behind what was tried less
        buyer.statuses[:] = [503]
        deliver(seller)
        clock.now += LONGEST_PAUSE
    number = put(seller)
    for _ in range(MAX_REFUSALS - 1):
        buyer.statuses[:] = [404, 503]
        assert deliver(seller).dead == 0
        clock.now += LONGEST_PAUSE
    buyer.statuses[:] = [404, 503]
    done = deliver(seller)

    assert done.dead == 1
    assert f"--again {number}`" in done.troubles[0][1]


def test_a_host_that_was_away_for_long_and_then_refuses_once_is_asked_again(
    seller: Side, buyer: Foreign, clock: Clock
) -> None:
    buyer.statuses[:] = [503] * MAX_REFUSALS + [404]
    put(seller)
    for _ in range(MAX_REFUSALS + 2):
        assert deliver(seller).dead == 0
        clock.now += LONGEST_PAUSE

    assert states(seller) == [Sent.DELIVERED]


def test_a_dead_partner_is_given_up_after_72_hours_of_the_nodes_clock(
    seller: Side, clock: Clock
) -> None:
    knows(seller, "gone", nowhere(), Theirs(client_id="x", secret=ITS))
    put(seller, "pact:gone")
    pauses = []
    for _ in range(LEAST_ATTEMPTS + 3):
        deliver(seller)
        [waiting] = seller.kept(Sent.WAITING)
        pauses.append(waiting.next_at - clock.now)
        clock.now = waiting.next_at
    clock.now = START + GIVE_UP_AFTER - 1
    deliver(seller)
    before = states(seller)
    clock.now += LONGEST_PAUSE
    deliver(seller)

    assert all(2**n <= pause <= 2 ** (n + 1) for n, pause in enumerate(pauses[:10]))
    assert max(pauses) <= LONGEST_PAUSE
    assert (before, states(seller)) == ([Sent.WAITING], [Sent.DEAD])
    assert "nobody listens there" in seller.kept(Sent.DEAD)[0].told


def test_what_was_given_up_begins_anew_when_somebody_says_so(
    seller: Side, buyer: Foreign, clock: Clock
) -> None:
    number = put(seller)
    with seller.node.database.write() as session:
        pactsending.give_up(session, "pact:buyer", clock.now, "away")
    assert deliver(seller).delivered == 0
    with seller.node.database.write() as session:
        assert pactsending.again(session, number, clock.now) is not None

    assert deliver(seller).delivered == 1


def test_a_kill_between_sending_and_noting_it_brings_the_same_bytes_again(
    served: Callable[..., Node], clock: Clock
) -> None:
    sides = [
        Side(served(origin, clock=clock), clock) for origin in ("pack.example", "mill.example")
    ]
    acquainted(*sides)
    wanted = asking.ask(sides[0].node, sides[0].partner("seller"), [URN + "P1"])
    for _ in range(3):
        assert deliver(sides[0]).delivered == 1
        with sides[0].node.database.write() as session:  # as if the process had died before
            row = session.get(PactSendingRow, 1)
            assert row is not None
            row.state = Sent.WAITING
            session.add(row)

    assert [each.event for each in sides[1].open()] == [wanted.event]


def test_who_comes_back_is_told_at_once_when_it_says_something(
    new_node: Callable[..., Node], served: Callable[..., Node], clock: Clock, loop: Any
) -> None:
    base = nowhere()
    away = Side(new_node("pack.example", clock=clock, url=base), clock)
    here = Side(served("mill.example", clock=clock), clock)
    client = acquainted(away, here)
    asking.ask(here.node, here.partner("buyer"), [URN + "P1"])
    for _ in range(6):
        deliver(here)
        clock.now = here.kept(Sent.WAITING)[0].next_at
    deliver(here)
    serve_at(loop, away.node, base)
    assert deliver(here).delivered == 0
    client.asks("P2")

    assert deliver(here).delivered == 1
    assert len(away.open()) == 1


# News.


def test_news_is_told_once_to_who_may_see_it_and_to_nobody_else(
    seller: Side, buyer: Foreign, hosts: Callable[[], Foreign]
) -> None:
    rival = hosts()
    knows(seller, "rival", rival.url, Theirs(client_id="x", secret=ITS))
    grant(seller, "P1")
    seller.sells("P1")
    for _ in range(3):
        seller.turn()
        seller.restart()

    assert len(names(buyer)) == 1
    assert rival.events == []


def test_what_was_published_before_somebody_was_a_partner_is_no_news(
    seller: Side, hosts: Callable[[], Foreign]
) -> None:
    seller.sells("old", sharing="public")
    made = hosts()
    knows(seller, "late", made.url)
    seller.turn()
    seller.sells("new", sharing="public")
    seller.turn()

    assert len(names(made)) == 1


def test_whoever_comes_to_see_what_was_published_is_told_then(seller: Side, buyer: Foreign) -> None:
    seller.sells("P1")
    seller.turn()
    assert names(buyer) == []
    grant(seller, "P1")
    for _ in range(2):
        seller.turn()

    assert len(names(buyer)) == 1


def test_a_correction_tells_of_both_footprints_and_a_revocation_of_one(
    seller: Side, buyer: Foreign
) -> None:
    first = seller.sells("P1", sharing="public")
    seller.turn()
    [old] = names(buyer)
    second = seller.sells("P1", sharing="public", corrects=first, kg=5)
    seller.turn()
    [new] = set(names(buyer)) - {old}
    seller.revokes(second)
    for _ in range(2):
        seller.restart()
        seller.turn()

    assert sorted(names(buyer)) == sorted([old, old, new, new])
    assert names(buyer)[-1] == new


def test_news_of_a_killed_node_is_told_by_the_next_process_once(
    seller: Side, buyer: Foreign
) -> None:
    seller.sells("P1", sharing="public")
    seller.notices.tell()
    assert states(seller) == [Sent.WAITING]
    seller.restart()  # killed before it was sent
    seller.turn()
    seller.turn()

    assert len(names(buyer)) == 1
