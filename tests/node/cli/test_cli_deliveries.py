"""`bcca partners deliveries`: what is on its way, what was given up, and sending it again."""

from typing import Any

import pytest

from bcca_node.ledger.node import Node
from bcca_node.partners import event as events
from bcca_node.partners import outbox
from bcca_node.partners.event import AuditorEvent, Event, Pair, PartsEvent, RequestEvent
from bcca_node.storage import outbox as stored
from bcca_node.storage import partners
from bcca_node.storage.outbox import State
from bcca_node.storage.partners import Partner

AT = "2026-01-01T00:00:00Z"
THEM = "pack.example"


def put(node: Node, *told: Event) -> list[int]:
    with node.database.write() as session:
        return [outbox.put(session, THEM, each, node.clock()) for each in told]


def reminder() -> RequestEvent:
    return RequestEvent(id=events.new_id(), at=AT, request="3f9a" * 8, kind="reminder")


def given_up(node: Node, number: int) -> None:
    with node.database.write() as session:
        stored.settle(session, number, State.DEAD, "answered 400: \x1b[2J no")


def test_where_nothing_waits_that_is_said(desk: Any, node: Node) -> None:
    ran = desk.bcca("partners", "deliveries", data=node)

    assert (ran.status, ran.out) == (0, "Everything was delivered.\n")


def test_what_waits_and_what_was_given_up_is_listed(desk: Any, node: Node) -> None:
    pair = Pair(mine="4711", yours="urn:x-test:p")
    told = PartsEvent(id=events.new_id(), at=AT, kind="proposed", pairs=(pair,))
    numbers = put(node, reminder(), told)
    given_up(node, numbers[0])
    ran = desk.bcca("partners", "deliveries", data=node)
    listed = desk.bcca("partners", "deliveries", "--json", data=node)

    assert ran.status == listed.status == 3
    assert "request 3f9a3f9a: reminder" in ran.out
    assert "\x1b" not in ran.out
    dead, waiting = listed.json["deliveries"]
    assert (dead["state"], dead["tries"], dead["nextAt"]) == ("dead", 1, None)
    assert dead["lastError"].startswith("answered 400")
    assert (waiting["state"], waiting["what"]) == ("waiting", "1 part number proposed")


def test_what_was_given_up_is_begun_anew(desk: Any, node: Node) -> None:
    (number,) = put(node, reminder())
    given_up(node, number)
    ran = desk.bcca("partners", "deliveries", "--again", number, "--json", data=node)

    assert ran.status == 0
    (begun,) = ran.json["deliveries"]
    assert (begun["state"], begun["tries"], begun["lastError"]) == ("waiting", 0, None)


def test_what_is_not_there_is_not_begun(desk: Any, node: Node) -> None:
    ran = desk.bcca("partners", "deliveries", "--again", 7, data=node)

    assert ran.status != 0
    assert "delivery 7: nothing of that number waits" in ran.err


def test_doctor_tells_of_dead_letters_and_of_keys_that_nobody_proved(desk: Any, node: Node) -> None:
    for origin, refused in (("new.example", ""), ("false.example", "its log says otherwise")):
        known = Partner(
            origin=origin,
            name="",
            url="https://x.example",
            log_key="",
            request_key=origin,
            seal_key="",
            roles=frozenset(),
            since=0,
            refused=refused,
        )
        with node.database.write() as session:
            partners.put(session, known)
    (number,) = put(node, reminder())
    given_up(node, number)
    ran = desk.bcca("doctor", data=node)

    assert "1 events were given up, to pack.example" in ran.out
    assert "keys not proven by their logs yet: new.example" in ran.out
    assert "contradict their keys: false.example" in ran.out


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            AuditorEvent(
                id="00" * 16, at=AT, kind="dismissed", auditor="a.example", request_key="k"
            ),
            "auditor a.example dismissed",
        )
    ],
)
def test_each_kind_is_said_in_words(desk: Any, node: Node, told: Event, said: str) -> None:
    put(node, told)
    ran = desk.bcca("partners", "deliveries", "--json", data=node)

    assert ran.json["deliveries"][0]["what"] == said
