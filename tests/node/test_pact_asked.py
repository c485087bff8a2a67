"""What asks for nothing, and what is no criterion, in an event as in a list (SPEC 16.2, 16.4)."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.node.pact_pair import URN, Clock, Foreigner, Side, acquainted, knows

from bcca_node.ledger.node import Node
from bcca_node.pact import cloudevents
from bcca_node.partners import correspondence, parts
from bcca_node.partners.correspondence import Remark
from bcca_node.storage import requests as stored

CREATED = cloudevents.CREATED


def answers(client: Foreigner, *asked: dict[str, Any]) -> list[list[tuple[str, str]]]:
    """Return product and status of what each is answered at once."""
    before = len(client.side.told("fulfilled"))
    for data in asked:
        assert client.post(client.event(CREATED, data)).status_code == 200
    client.side.replies.answer()
    told = client.side.told("fulfilled")[before:]
    return [[(e["productIds"][0], e["status"]) for e in one["pfs"]] for one in told]


def accept(client: Foreigner) -> None:
    """Accept, as the operator, the one request that is in the inbox."""
    node = client.side.node
    with node.database.write() as session:
        [request] = stored.chosen(session, incoming=True)
        correspondence.say(node, session, request, Remark(kind="accepted"))


@pytest.fixture
def client(served: Callable[..., Node], new_node: Callable[..., Node]) -> Foreigner:
    """What a buyer is for a seller that shows it one product, and hides another."""
    clock = Clock()
    buyer = Side(new_node("pack.example", clock=clock, url="http://127.0.0.1:9"), clock)
    made = acquainted(buyer, Side(served("cathode.example", clock=clock), clock))
    made.side.sells("P1", sharing="public")
    made.side.sells("hidden")
    return made


def test_an_event_that_names_nothing_asks_for_all_that_may_be_seen_as_a_list_without_a_filter_does(
    client: Foreigner,
) -> None:
    empty: list[dict[str, Any]] = [
        {},
        {"productId": []},
        {"productId": [""]},
        {"companyId": [], "geography": [], "classification": [], "status": "", "validOn": None},
        {"productId": None, "companyId": None, "geography": None, "classification": None},
        {"status": None, "validAfter": None, "validBefore": None, "comment": None},
        {"comment": "all of it"},
    ]
    for data in empty:
        answer = client.post(client.event(CREATED, data))
        assert (answer.status_code, answer.content) == (200, b""), data
    client.side.replies.answer()

    told = [one["pfs"] for one in client.side.told("fulfilled")]
    assert len(told) == len(empty)
    assert {each["productIds"][0] for pfs in told for each in pfs} == {URN + "P1"}
    assert client.side.told("rejected") == client.side.open() == []


def test_a_criterion_of_another_type_is_refused_at_once_and_nothing_is_kept(
    client: Foreigner,
) -> None:
    wrong: list[Any] = [
        *({name: {}} for name in ("productId", "companyId", "geography", "classification")),
        {"productId": "urn:gtin:4712345060507"},
        {"productId": 7},
        {"productId": [None]},
        {"productId": [7]},
        {"productId": [[]]},
        {"productId": ["urn:gtin:4712345060507"], "geography": [None]},
        {"validOn": {}},
        {"validOn": "yesterday"},
        {"validAfter": 2026},
        {"status": {}},
        {"status": True},
        {"comment": []},
        [],
        None,
        "urn:gtin:4712345060507",
    ]
    for data in wrong:
        answer = client.post(client.event(CREATED, data))
        assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest"), data

    assert client.side.open() == []


def test_without_a_status_both_are_asked_for_as_in_a_list(client: Foreigner) -> None:
    client.side.revokes(client.side.sells("P2", sharing="public"))
    over, product = [(URN + "P2", "Deprecated")], {"productId": [URN + "P2"]}
    first, second = client.side.sells("P3", sharing="public"), [URN + "P3"]
    client.side.sells("P3", year=2024, sharing="public")
    client.side.revokes(first)

    assert answers(client, product) == [over]
    [everything] = answers(client, {"companyId": []})
    assert sorted(everything) == [
        (URN + "P1", "Active"),
        *over,
        (URN + "P3", "Active"),
        (URN + "P3", "Deprecated"),
    ]
    assert answers(client, {"productId": second, "status": "active"}) == [[(second[0], "Active")]]
    assert answers(client, {"productId": second, "status": "deprecated"}) == [
        [(second[0], "Deprecated")]
    ]


def test_what_a_request_was_answered_with_is_in_the_inbox_the_one_that_holds(
    client: Foreigner,
) -> None:
    active = client.side.sells("P2", sharing="public")
    client.side.revokes(client.side.sells("P2", year=2024, sharing="public"))

    [told] = answers(client, {"productId": [URN + "P2"]})
    with client.side.node.database.read() as session:
        [request] = stored.chosen(session, incoming=True)
    assert len(told) == 2
    assert request.commitment == active


def test_an_accepted_request_is_not_answered_with_what_is_hidden_and_deprecated(
    client: Foreigner,
) -> None:
    client.side.revokes(client.side.sells("hidden-2"))
    assert answers(client, {"productId": [URN + "hidden-2"]}) == []
    accept(client)
    client.side.replies.answer()

    assert client.side.told("fulfilled") == client.side.told("rejected") == []
    client.side.sells("hidden-2", kg=3)
    client.side.replies.answer()
    [told] = client.side.told("fulfilled")
    assert [each["status"] for each in told["pfs"]] == ["Active"]


def test_what_no_footprint_can_be_is_rejected_at_once_accepted_or_not(
    client: Foreigner,
) -> None:
    early, late = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
    impossible: list[dict[str, Any]] = [
        {"status": "Bogus"},
        {"status": ["Bogus", "Draft"]},
        {"validAfter": early, "validBefore": early},
        {"validOn": early, "validAfter": late},
        {"validOn": late, "validBefore": early},
    ]
    hidden = {"productId": [URN + "hidden"], **impossible[0]}
    assert client.post(client.event(CREATED, hidden)).status_code == 200
    accept(client)
    for criteria in impossible:
        for product in ("P1", "hidden", "nothing"):
            assert answers(client, {"productId": [URN + product], **criteria}) == []

    assert client.side.told("fulfilled") == client.side.open() == []
    told = client.side.told("rejected")
    assert len(told) == 1 + 3 * len(impossible)
    assert {each["error"]["code"] for each in told} == {"NotFound"}


def test_a_part_number_is_known_in_whatever_case_and_to_its_partner_alone(
    client: Foreigner,
) -> None:
    side = client.side
    for who, number in (
        ("buyer", "Cell-77"),
        ("buyer", "ÖL-Ä 7"),
        ("buyer", "urn:theirs:No-8"),
        ("rival", "Q-9"),
    ):
        if who == "rival":
            knows(side, "rival", "https://rival.example")
        partner = side.partner(who)
        parts.note(side.node, partner, [(number, URN + "P1")])
        parts.confirm(side.node, partner)
    named = [{"productId": [each]} for each in ("Cell-77", "cELL-77", "ÖL-ä 7", "urn:theirs:no-8")]

    assert answers(client, *named, {"productId": ["Q-9"]}) == [[(URN + "P1", "Active")]] * 4
    assert len(side.told("rejected")) == 1
