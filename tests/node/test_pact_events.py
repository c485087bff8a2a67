"""Events of PACT between two nodes: each taken once, each request answered once (SPEC 16.4)."""

import hashlib
import json
from collections.abc import Callable

import pytest
from sqlmodel import select
from tests.node.pact_pair import URN, Clock, Foreigner, Side, acquainted, knows

from bcca_node.ledger.node import Node
from bcca_node.pact import asking, clients, cloudevents, replies
from bcca_node.partners import requests
from bcca_node.partners.requests import Remark
from bcca_node.storage import pactevents
from bcca_node.storage import requests as stored
from bcca_node.storage.foreign import ForeignRow
from bcca_node.storage.pactevents import Answer
from bcca_node.storage.pactsending import Sent
from bcca_node.storage.requests import Request, State
from bcca_protocol.errors import UnusableError

CREATED, FULFILLED = cloudevents.CREATED, cloudevents.FULFILLED
REJECTED, PUBLISHED = cloudevents.REJECTED, cloudevents.PUBLISHED


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seller(served_node: Callable[[str], Side]) -> Side:
    return served_node("cathode.example")


@pytest.fixture
def buyer(served_node: Callable[[str], Side]) -> Side:
    return served_node("pack.example")


@pytest.fixture
def served_node(served: Callable[..., Node], clock: Clock) -> Callable[[str], Side]:
    return lambda origin: Side(served(origin, clock=clock), clock)


@pytest.fixture
def client(buyer: Side, seller: Side) -> Foreigner:
    """What the buyer is for the seller; both are partners of each other."""
    return acquainted(buyer, seller)


def inbox(side: Side) -> list[Request]:
    with side.node.database.read() as session:
        return stored.chosen(session, incoming=True)


def says(side: Side, kind: str, **more: str) -> Request:
    [request] = inbox(side)
    return requests.act(side.node, request, Remark(kind=kind, **more))  # type: ignore[arg-type]  # a test's own words


def held(side: Side) -> list[ForeignRow]:
    """Return what came of others, as it is kept."""
    with side.node.database.read() as session:
        return list(session.exec(select(ForeignRow)))


def test_what_is_asked_for_and_may_be_seen_is_sent_by_itself(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    seller.sells("P1", sharing="public")
    wanted = asking.ask(buyer.node, buyer.partner("seller"), [URN + "P1"], "please")
    buyer.turn()
    seller.turn()
    [asked], [kept] = buyer.asked(), held(buyer)

    assert (asked.event, asked.state) == (wanted.event, Answer.FULFILLED)
    assert asked.footprints == (kept.id,)
    assert kept.partner == "pact:seller"
    assert [each.state for each in inbox(seller)] == [State.FULFILLED]
    assert inbox(seller)[0].purpose == "please"


def test_a_request_is_accepted_then_published_and_answered_once_over_restarts(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    asking.ask(buyer.node, buyer.partner("seller"), [URN + "P1"])
    buyer.turn()
    assert says(seller, "accepted").state is State.ACCEPTED
    seller.turn()
    assert seller.told("fulfilled") == []
    commitment = seller.sells("P1", sharing="direct")
    for _ in range(3):
        seller.restart()
        seller.turn()
    [asked], [kept], [request] = buyer.asked(), held(buyer), inbox(seller)

    assert (asked.state, asked.footprints) == (Answer.FULFILLED, (kept.id,))
    assert (request.state, request.commitment) == (State.FULFILLED, commitment)
    assert len(seller.told("fulfilled")) == 1
    assert seller.open() == []


def test_a_request_is_declined_once_and_its_asker_told_why(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    asking.ask(buyer.node, buyer.partner("seller"), [URN + "P1"])
    buyer.turn()
    says(seller, "declined", reason="confidential", comment="not this year")
    for _ in range(2):
        seller.restart()
        seller.turn()
    [asked] = buyer.asked()

    assert (asked.state, asked.code) == (Answer.REJECTED, "AccessDenied")
    assert asked.message == "not this year"
    assert len(seller.told("rejected")) == 1
    with pytest.raises(UnusableError, match="PACT has one answer"):
        says(seller, "accepted")


def test_what_is_no_id_of_a_product_is_rejected_by_itself(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    event = client.event(CREATED, {"productId": ["urn:pact:null"]})
    assert client.post(event).status_code == 200
    seller.turn()
    [told] = seller.told("rejected")

    assert told["requestEventId"] == event["id"]
    assert told["error"]["code"] == "NotFound"
    assert [each.state for each in inbox(seller)] == [State.DECLINED]


def test_a_request_without_a_product_is_answered_by_what_may_be_seen(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    seller.sells("P1", sharing="public")
    seller.sells("P2")
    found = client.event(CREATED, {"geography": [], "status": "Active", "comment": "all of it"})
    missing = client.event(CREATED, {"companyId": ["urn:lei:nobody"]})
    for event in (found, missing):
        assert client.post(event).status_code == 200
    seller.turn()
    [fulfilled], [rejected] = seller.told("fulfilled"), seller.told("rejected")

    assert [each["productIds"] for each in fulfilled["pfs"]] == [[URN + "P1"]]
    assert rejected["requestEventId"] == missing["id"]
    assert inbox(seller) == []


def test_attack_whoever_asks_cannot_tell_what_is_hidden_from_what_is_not_there(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    seller.sells("hidden")
    asked = {client.asks("hidden"), client.asks("nothing")}
    for _ in range(3):
        seller.turn()
        seller.clock.now += 86_400

    assert seller.kept(*Sent) == []
    assert {each.event for each in seller.open()} == asked


def test_more_requests_than_fit_into_one_turn_are_all_looked_at(
    seller: Side, buyer: Side, client: Foreigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "MAX_AT_ONCE", 2)
    asked = [client.asks(f"P{number}") for number in range(5)]
    seller.turn()
    seller.sells("P4", sharing="public")
    for _ in range(3):
        seller.turn()
    [told] = seller.told("fulfilled")

    assert told["requestEventId"] == asked[4]


def test_a_request_that_nobody_looks_at_is_rejected_after_thirty_days(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    seller.sells("hidden")
    asked = {client.asks("hidden"), client.asks("nothing")}
    seller.turn()
    seller.clock.now += 30 * 86_400
    seller.turn()

    assert {each["requestEventId"] for each in seller.told("rejected")} == asked
    assert len({each["error"]["message"] for each in seller.told("rejected")}) == 1


def test_the_same_bytes_again_change_nothing_and_other_bytes_are_refused(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    event = client.event(CREATED, {"productId": [URN + "P1"]}, id="a name of theirs/12")
    first, again = client.post(event), client.post(event)
    other = client.post({**event, "data": {"productId": [URN + "P2"]}})

    assert [each.status_code for each in (first, again, other)] == [200, 200, 400]
    assert other.json()["code"] == "BadRequest"
    assert [each.event for each in seller.open()] == ["a name of theirs/12"]
    assert len(inbox(seller)) == 1


def test_an_event_that_is_built_anew_for_a_retry_is_the_same_event(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    event = client.event(CREATED, {"productId": [URN + "P1"], "validOn": "2026-01-01T00:00:00Z"})
    later = {**event, "time": "2027-01-15T08:00:09Z", "traceparent": "00-1"}
    turned = dict(reversed(later.items())) | {"data": dict(reversed(event["data"].items()))}  # type: ignore[attr-defined]  # an object
    spaced = json.dumps(turned, indent=2).encode()
    again = [client.post(each).status_code for each in (event, later, turned, spaced)]
    others: list[dict[str, object]] = [
        {"data": {"productId": [URN + "P1"]}},
        {"type": PUBLISHED, "data": {"pfIds": ["00000000-0000-4000-8000-00000000000a"]}},
        {"source": buyer.url + "/another"},
    ]

    assert again == [200] * 4
    assert [client.post({**later, **each}).status_code for each in others] == [400] * 3
    assert len(seller.open()) == len(inbox(seller)) == 1


def test_an_answer_that_is_built_anew_for_a_retry_is_the_same_answer(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    name = "00000000-0000-4000-8000-00000000000a"
    wanted = asking.ask(seller.node, seller.partner("buyer"), [URN + "P1"])
    told = {"requestEventId": wanted.event, "pfs": [{"id": name, "pcf": {"x": 1.50, "y": "2"}}]}
    event = client.event(FULFILLED, told)
    turned = {"pfs": [{"pcf": {"y": "2", "x": 1.5}, "id": name}], "requestEventId": wanted.event}
    answers = [
        client.post({**event, "time": "2027-01-15T08:00:09Z", "data": each})
        for each in (told, turned, {**told, "pfs": [{"id": name, "pcf": {"x": "1.5", "y": "2"}}]})
    ]

    assert [each.status_code for each in answers] == [200, 200, 400]
    assert [each.answer for each in seller.asked()] == [event["id"]]
    assert len(held(seller)) == 1


def test_the_same_bytes_are_known_again_after_an_update(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    event = json.dumps(client.event(CREATED, {"productId": [URN + "P1"]}, id="e/1")).encode()
    with seller.node.database.write() as session:
        digest = hashlib.sha256(event).digest()  # as earlier versions kept it
        pactevents.take(session, "pact:buyer", "e/1", digest, seller.clock.now)

    assert client.post(event).status_code == 200
    assert client.post(event.replace(b"P1", b"P2")).status_code == 400


def test_a_replay_after_the_bytes_are_forgotten_makes_no_second_request(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    seller.sells("P1", sharing="public")
    event = client.event(CREATED, {"productId": [URN + "P1"]})
    client.post(event)
    seller.turn()
    with seller.node.database.write() as session:
        pactevents.prune(session, seller.clock.now + 1)
    assert client.post(event).status_code == 200
    seller.turn()

    assert len(seller.told("fulfilled")) == 1


def test_attack_an_event_that_says_another_source_is_refused(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    event = client.event(CREATED, {"productId": [URN + "P1"]})
    answer = client.post({**event, "source": "https://elsewhere.example/3/events"})

    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")
    assert "elsewhere.example" in answer.json()["message"]
    assert seller.open() == []


def test_news_of_a_partner_is_fetched_from_it_and_kept(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    commitment = seller.sells("P1", sharing="public")
    seller.turn()
    assert buyer.to_fetch() == 1
    buyer.turn()
    [kept] = held(buyer)

    assert buyer.to_fetch() == 0
    assert kept.partner == "pact:seller"
    assert kept.statement == commitment


def test_news_of_what_is_not_there_is_taken_and_fetched_in_vain(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    name = "00000000-0000-4000-8000-00000000000A"
    assert client.post(client.event(PUBLISHED, {"pfIds": [name]})).status_code == 200
    assert seller.to_fetch() == 1
    seller.turn()

    assert seller.to_fetch() == 0
    assert held(seller) == []


def test_news_of_what_is_no_uuid_is_refused(seller: Side, buyer: Side, client: Foreigner) -> None:
    answer = client.post(client.event(PUBLISHED, {"pfIds": ["urn:gtin:4712345060507"]}))

    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")


def test_attack_an_answer_that_nobody_asked_for_is_refused(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    answer = client.post(client.event(FULFILLED, {"requestEventId": "x", "pfs": [{"id": "y"}]}))

    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")
    assert held(seller) == []


def test_attack_a_partner_does_not_answer_what_another_was_asked(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    wanted = asking.ask(buyer.node, buyer.partner("seller"), [URN + "P1"])
    rival = Foreigner(
        buyer, knows(buyer, "rival", "https://rival.example"), "https://rival.example"
    )
    error = {"code": "NotFound", "message": "none"}
    told = {"requestEventId": wanted.event, "error": error}

    assert rival.post(rival.event(REJECTED, told)).status_code == 400
    assert [each.state for each in buyer.asked()] == [Answer.OPEN]


def test_a_second_answer_to_a_request_is_refused_and_the_first_may_come_again(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    wanted = asking.ask(seller.node, seller.partner("buyer"), [URN + "P1"])
    told = {"requestEventId": wanted.event, "error": {"code": "NotFound", "message": "none"}}
    first, second = client.event(REJECTED, told), client.event(REJECTED, told)
    answers = [client.post(each).status_code for each in (first, first, second)]

    assert answers == [200, 200, 400]
    assert [each.answer for each in seller.asked()] == [first["id"]]


def test_a_footprint_that_cannot_be_kept_keeps_out_no_other(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    name = "00000000-0000-4000-8000-00000000000a"
    wanted = asking.ask(seller.node, seller.partner("buyer"), [URN + "P1"])
    told = {"requestEventId": wanted.event, "pfs": [7, {}, {"id": name, "pcf": {"x": 1.5}}]}
    assert client.post(client.event(FULFILLED, told)).status_code == 200
    [asked], [kept] = seller.asked(), held(seller)

    assert (asked.state, asked.footprints, kept.id) == (Answer.FULFILLED, (name,), name)
    assert "number 1" in asked.message
    assert b"fatal" in kept.problems


def test_an_answer_in_which_nothing_has_an_identity_is_refused_and_the_request_stays_open(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    name = "00000000-0000-4000-8000-00000000000a"
    wanted = asking.ask(seller.node, seller.partner("buyer"), [URN + "P1"])
    nobody: list[list[object]] = [[{"id": "1"}], [7, "x", None, []], [{}], [{"id": None}]]
    for pfs in nobody:
        told = {"requestEventId": wanted.event, "pfs": pfs}
        answer = client.post(client.event(FULFILLED, told, id="e/1"))
        assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest"), pfs
        assert "UUID" in answer.json()["message"]
        assert [each.state for each in seller.asked()] == [Answer.OPEN]
    assert held(seller) == []

    proper = {"requestEventId": wanted.event, "pfs": [{"id": name}]}
    assert client.post(client.event(FULFILLED, proper, id="e/1")).status_code == 200
    assert [(e.state, e.footprints) for e in seller.asked()] == [(Answer.FULFILLED, (name,))]


def test_whoever_is_no_partner_any_more_leaves_nothing_behind(
    buyer: Side, seller: Side, client: Foreigner
) -> None:
    client.asks("P1")
    asking.ask(seller.node, seller.partner("buyer"), [URN + "P2"])
    partner = seller.partner("buyer")
    with seller.node.database.write() as session:
        clients.end(seller.node, session, partner)

    assert (seller.open(), seller.asked(), inbox(seller)) == ([], [], [])
    assert [each.body for each in seller.kept(*Sent)] == [b""]


def test_a_question_cannot_be_asked_of_who_speaks_pact(
    seller: Side, buyer: Side, client: Foreigner
) -> None:
    client.asks("P1")

    with pytest.raises(UnusableError, match="PACT has no event for a question"):
        says(seller, "question", comment="which site?")
