"""`bcca inbox` with requests that came by PACT: what is asked, in words, and what may be said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import footprint_of

from bcca_node.ledger.node import Node
from bcca_node.pact import clients, replies
from bcca_node.pact.cloudevents import Created
from bcca_node.storage import pactevents
from bcca_node.storage import requests as stored
from bcca_node.storage.pactclients import PactPartner
from bcca_node.supplier.drafts import choose, publish_drafts
from bcca_protocol.limits import MAX_TEXT_CHARS

ORIGIN = "pact:buyer"
GTIN = "urn:gtin:4712345060504"
URN = "urn:bcca:part:mill:al-15"
SECOND = 1_800_000_000

Asks = Callable[..., str]


@pytest.fixture
def buyer(node: Node) -> PactPartner:
    url = "https://buyer.example"
    new = PactPartner(name="buyer", url=url, auth_url=url, since=SECOND)
    with node.database.write() as session:
        return clients.add(node, session, new, None)


@pytest.fixture
def asks(node: Node, buyer: PactPartner) -> Asks:
    """Let the buyer ask by an event of PACT; return the request's id in the inbox."""

    def ask(*products: str, **more: Any) -> str:
        data = json.dumps({"productId": products, **more}).encode()
        created = Created(data=data, comment=more.get("comment", ""))
        with node.database.write() as session:
            replies.receive(node, session, buyer, f"event {products}", created)
            [found] = [
                each for each in stored.chosen(session, incoming=True) if each.part == products[0]
            ]
        return found.id

    return ask


def state(node: Node, name: str) -> str:
    with node.database.read() as session:
        found = stored.get(session, ORIGIN, name)
    assert found is not None
    return str(found.state)


def test_a_number_that_is_none_of_ours_is_not_accepted_unasked_and_nothing_changes(
    desk: Any, node: Node, asks: Asks
) -> None:
    name = asks(GTIN, "urn:gtin:4712345060511")
    before = desk.snapshot(node)
    said = desk.bcca("inbox", "accept", name, data=node).refusal

    assert said == (
        f"bcca: request {name[:8]}: pact:buyer asks for {GTIN} and 1 more, and no product of this "
        "node has that number: say which of yours it is with --product URN, or `bcca inbox decline "
        f"{name[:8]} --reason notOurProduct`\n"
    )
    assert desk.snapshot(node) == before


def test_what_that_refusal_names_settles_the_request(desk: Any, node: Node, asks: Asks) -> None:
    one, other = asks(GTIN), asks("urn:gtin:4712345060511")
    named = desk.bcca("inbox", "accept", one, "--product", URN, data=node)
    declined = desk.bcca("inbox", "decline", other, "--reason", "notOurProduct", data=node)

    assert (named.status, state(node, one)) == (0, "accepted")
    assert (declined.status, state(node, other)) == (0, "declined")


@pytest.mark.parametrize("known_by", ["pair", "draft", "statement"])
def test_a_number_that_is_known_here_is_accepted_as_it_is(
    desk: Any, node: Node, asks: Asks, tmp_path: Path, known_by: str
) -> None:
    draft = desk.written(footprint_of(node.origin, "P1"))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"theirs,ours\n{GTIN},{URN}\n", encoding="utf-8")
    if known_by == "pair":
        desk.bcca("partners", "parts", ORIGIN, "--import", pairs, data=node)
        desk.bcca("partners", "parts", ORIGIN, "--confirm", "*", data=node)
    else:
        desk.bcca("import", draft, data=node)
    if known_by == "statement":
        publish_drafts(node, choose(node, []))
    name = asks("urn:gtin:4712345060511", GTIN if known_by == "pair" else "urn:bcca:case:t:P1")

    assert desk.bcca("inbox", "accept", name, data=node).status == 0
    assert state(node, name) == "accepted"


def test_what_a_partner_asks_is_shown_in_words_and_to_programs_as_it_came(
    desk: Any, node: Node, asks: Asks
) -> None:
    name = asks(GTIN, geography=["DE", "CN"], status="Active", comment="for the K1 \u202epack")
    shown = desk.bcca("inbox", "show", name, data=node).out
    [said] = desk.bcca("inbox", "show", name, "--json", data=node).json["events"]
    with node.database.read() as session:
        kept = pactevents.request_called(session, ORIGIN, name)

    assert kept is not None
    assert (
        f"  pact:buyer  comment: for the K1 \\u202epack; productId {GTIN}; geography DE, CN; "
        "status Active\n"
    ) in shown
    assert "{" not in shown
    assert said["comment"] == kept.data.decode()


def test_attack_a_page_of_criteria_is_shown_up_to_a_limit(
    desk: Any, node: Node, asks: Asks
) -> None:
    name = asks(*(f"urn:gtin:{at:0>1900}" for at in range(90)), comment="all of it")
    shown = desk.bcca("inbox", "show", name, data=node).out

    assert "comment: all of it; productId urn:gtin:" in shown
    assert max(map(len, shown.splitlines())) < 3 * MAX_TEXT_CHARS
