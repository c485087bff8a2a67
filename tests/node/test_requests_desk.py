"""Requests at the desk: what an operator's page reads and does, with the same refusals."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bcca_node.app import desk as served_desk
from bcca_node.demo.sharing import partner_of
from bcca_node.ledger.node import Node
from bcca_node.network import desk as door
from bcca_node.partners import event, requests
from bcca_node.partners.event import Wanted
from bcca_node.storage import partners
from bcca_node.storage.partners import Partner
from bcca_protocol.inventory import Interval

YEAR = Interval("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
WANTED = {"period": {"start": YEAR.start, "end": YEAR.end}, "purpose": "a pack", "part": "C-1"}


@dataclass(frozen=True)
class Desk:
    """The desk of a node with one partner."""

    node: Node
    partner: Partner

    def ask(self, path: str, told: object = None) -> tuple[int, Any]:
        body = None if told is None else json.dumps(told).encode()
        answer = door.ask(self.node.settings.data, path, body)
        return answer.status, json.loads(answer.body)

    def asked(self) -> str:
        """Let the partner ask, and return the name of the request."""
        wanted, name = Wanted(period=YEAR, purpose="a pack", part="C-1"), event.new_id()
        with self.node.database.write() as session:
            requests.receive(session, self.partner, name, wanted, self.node.clock())
        return name


@pytest.fixture
def desk(new_node: Callable[..., Node]) -> Iterator[Desk]:
    node, other = new_node(), new_node("cell.example")
    partner = replace(partner_of(other), name="Cell works", since=node.clock())
    with node.database.write() as session:
        partners.put(session, partner)
    with served_desk(node):
        until = time.monotonic() + 20
        while not door.is_open(node.settings.data):
            assert time.monotonic() < until
            time.sleep(0.01)
        yield Desk(node, partner)


def test_the_desk_lists_partners_and_requests_and_shows_one(desk: Desk) -> None:
    name = desk.asked()
    _, made = desk.ask("/requests", {"partner": desk.partner.origin, "wanted": WANTED})

    status, known = desk.ask("/partners")
    incoming = desk.ask("/requests?direction=incoming&state=new")[1]
    outgoing = desk.ask("/requests?direction=outgoing&partner=cell.example")[1]
    nothing = desk.ask("/requests?state=declined")[1]
    shown = desk.ask(f"/requests/{name[:8]}")[1]

    assert (status, [each["origin"] for each in known]) == (200, ["cell.example"])
    assert [each["id"] for each in incoming] == [name]
    assert [each["id"] for each in outgoing] == [made["id"]]
    assert nothing == []
    assert (shown["part"], shown["events"]) == ("C-1", [])


def test_the_desk_acts_as_the_commands_do(desk: Desk) -> None:
    name = desk.asked()
    steps = {
        "ask": ({"comment": "which site?"}, "question"),
        "accept": ({"product": "urn:bcca:t:p"}, "accepted"),
        "comment": ({"comment": "in April"}, "accepted"),
        "decline": ({"reason": "noData"}, "declined"),
    }
    shown: Any = {}
    for action, (told, state) in steps.items():
        status, shown = desk.ask(f"/requests/{name}/{action}", told)
        assert (status, shown["state"]) == (200, state)

    assert [each["kind"] for each in shown["events"]] == [
        "question",
        "accepted",
        "comment",
        "declined",
    ]


def test_a_customer_reminds_and_withdraws_at_the_desk(desk: Desk) -> None:
    status, made = desk.ask("/requests", {"partner": desk.partner.origin, "wanted": WANTED})
    reminded = desk.ask(f"/requests/{made['id']}/remind", {})
    withdrawn = desk.ask(f"/requests/{made['id']}/withdraw", {})

    assert (status, made["direction"], made["state"]) == (201, "outgoing", "new")
    assert (reminded[0], withdrawn[1]["state"]) == (200, "withdrawn")


@pytest.mark.parametrize(
    ("path", "told", "words"),
    [
        ("/requests", {"partner": "x.example", "wanted": WANTED}, "no partner"),
        ("/requests", {"partner": "cell.example"}, "wanted"),
        ("/requests/{}/accept", {"product": "no urn"}, "product"),
        ("/requests/{}/decline", {}, "for a reason"),
        ("/requests/{}/ask", {}, "add the words"),
        ("/requests/{}/withdraw", {}, "no request is called"),  # it is the partner's
        ("/requests/{}/fulfil", {}, "not done to a request"),
        ("/requests/ffff/accept", {}, "no request is called"),
    ],
)
def test_the_desk_refuses_in_one_sentence(desk: Desk, path: str, told: object, words: str) -> None:
    status, refusal = desk.ask(path.format(desk.asked()), told)

    assert status == 400
    assert words in refusal["error"]
