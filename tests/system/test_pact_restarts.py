"""A node is killed between taking and answering: nothing is lost, nothing is told twice.

The foreigner refuses, or holds its answer back, until the node is dead; so each kill falls where
it hurts, and not by luck.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.system.pact_ground import Ground, Side, urn
from tests.system.pact_schema import CREATED, FULFILLED, REJECTED
from tests.system.pact_tester import Foreigner, next_of

BUSY = [503] * 1_000


@dataclass(frozen=True, kw_only=True)
class Host:
    """A node that dies often, and one partner."""

    side: Side
    buyer: Foreigner


@pytest.fixture(scope="module")
def module_host(pact: Ground) -> Iterator[Host]:
    side = pact.side("mortal")
    side.start()
    side.publish(side.made("M1"), side.made("M2", kg=3), side.made("M3", sharing="direct"))
    yield Host(side=side, buyer=pact.acquaint(side, "buyer"))
    if side.pid is not None:
        assert side.stop() == 0


@pytest.fixture
def host(module_host: Host) -> Iterator[Host]:
    """The node, up, and the partner, who takes everything again afterwards."""
    if module_host.side.pid is None:
        module_host.side.start()
    yield module_host
    module_host.buyer.listener.refusals.clear()
    module_host.buyer.listener.release()


def once(host: Host, asked: str) -> Any:
    """Return the answer to a request; the last test looks for a second one."""
    return host.buyer.answers(asked)[0]


def test_a_request_taken_before_a_kill_is_answered_once_after_it(host: Host) -> None:
    host.buyer.listener.refusals[:] = BUSY
    asked, missing = host.buyer.request([urn("M1")]), host.buyer.request(["urn:pact:null"])
    host.side.kill()
    host.buyer.listener.refusals.clear()
    assert host.buyer.listener.about(asked) == []
    host.side.start()

    assert once(host, asked)["type"] == FULFILLED
    assert [each["type"] for each in host.buyer.answers(missing)] == [REJECTED]


def test_the_same_event_after_a_kill_is_known_and_answered_no_second_time(host: Host) -> None:
    event = host.buyer.event(CREATED, {"productId": [urn("M2")]})
    assert host.buyer.post(event).status_code == 200
    host.buyer.answers(event["id"])
    host.side.kill()
    host.side.start()
    assert host.buyer.post(event).status_code == 200
    assert host.buyer.post({**event, "data": {"productId": [urn("M1")]}}).status_code == 400

    assert once(host, event["id"])["type"] == FULFILLED


def test_an_answer_that_was_on_its_way_at_a_kill_comes_again_under_its_name(host: Host) -> None:
    host.buyer.listener.hold()
    asked = host.buyer.request([urn("M1")])
    assert host.buyer.listener.wait(lambda: bool(held(host, asked)))
    host.side.kill()
    host.buyer.listener.release()
    host.side.start()
    assert host.buyer.listener.wait(lambda: bool(host.buyer.listener.about(asked)))
    [before] = held(host, asked)

    assert {each["id"] for each in host.buyer.listener.about(asked)} == {before["id"]}
    assert host.buyer.listener.about(asked)[0] == before


def held(host: Host, asked: str) -> list[Any]:
    told = tuple(host.buyer.listener.held)
    return [each for each in told if each["data"].get("requestEventId") == asked]


def test_a_refused_answer_is_sent_again_until_it_is_taken_and_then_no_more(host: Host) -> None:
    host.buyer.listener.refusals[:] = [503, 503]  # what a kill left on its way may take one
    asked = host.buyer.request([urn("M1")])
    answer = once(host, asked)
    tries = [
        each
        for each in tuple(host.buyer.listener.heard)
        if each.path == "/3/events" and each.event["data"].get("requestEventId") == asked
    ]

    assert answer["type"] == FULFILLED
    assert len(tries) >= 2
    assert len({each.body for each in tries}) == 1


def test_an_expired_token_of_the_partner_is_fetched_anew(host: Host) -> None:
    host.buyer.answers(host.buyer.request([urn("M1")]))
    host.buyer.listener.tokens.clear()

    assert once(host, host.buyer.request([urn("M2")]))["type"] == FULFILLED


def test_a_request_in_the_inbox_survives_a_kill_and_is_declined_once(host: Host) -> None:
    asked = host.buyer.request([urn("M3")])
    name = host.side.waiting("M3")
    host.side.kill()
    host.side.bcca("inbox", "decline", name, "--reason", "noData")
    host.side.start()

    assert once(host, asked)["type"] == REJECTED


def test_an_accepted_request_survives_a_kill_and_is_fulfilled_once(host: Host) -> None:
    asked = host.buyer.request([urn("M3")])
    name = host.side.waiting("M3")
    host.side.kill()
    host.side.bcca("inbox", "accept", name)
    host.side.start()
    answer = once(host, asked)

    assert answer["type"] == FULFILLED
    assert [each["productIds"] for each in answer["data"]["pfs"]] == [[urn("M3")]]


def test_news_published_before_a_kill_is_told_once_after_it(host: Host) -> None:
    host.buyer.listener.refusals[:] = BUSY
    host.side.sell("news")
    [found] = host.buyer.every(f"?productId={urn('news')}")
    host.side.kill()
    host.buyer.listener.refusals.clear()
    assert found["id"] not in host.buyer.listener.published()
    host.side.start()
    assert host.buyer.listener.wait(lambda: found["id"] in host.buyer.listener.published())
    host.side.kill()
    host.side.start()
    once(host, host.buyer.request([urn("M1")]))  # whatever was to be told again came before

    told = [each for each in host.buyer.listener.events if found["id"] in each.body.decode()]
    assert len({each.body for each in told if "pfIds" in each.event["data"]}) == 1


def test_a_token_and_a_link_stay_good_over_a_restart(host: Host) -> None:
    first = host.buyer.get("/3/footprints?limit=1")
    link, token = next_of(first), host.buyer.token
    before = host.buyer.get(link).json()
    host.side.kill()
    host.side.start()

    assert host.buyer.get(link, bearer=token).json() == before


def test_after_all_this_every_request_has_one_answer(host: Host) -> None:
    """An answer that was on its way at a kill may have come twice, as the same event."""
    once(host, host.buyer.request([urn("M1")]))
    answers: dict[str, set[bytes]] = {}
    for each in host.buyer.listener.events:
        name = each.event["data"].get("requestEventId")
        if name is not None:
            answers.setdefault(name, set()).add(each.body)

    assert answers
    assert {len(each) for each in answers.values()} == {1}
