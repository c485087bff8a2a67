"""What commands say of what they told partners, and whom an invitation makes a partner."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcca_node.app import desk as served_desk
from bcca_node.ledger.node import Node
from bcca_node.network.desk import is_open
from bcca_node.partners import book, outbox
from bcca_node.storage import partners, requests

URN = "urn:bcca:case:t:C1"


@pytest.fixture
def used(desk: Any, chain: Any) -> Path:
    """An invitation of the pack maker, asking for a part, which its supplier has accepted."""
    path: Path = desk.folder / "it.invitation"
    asked = "--part", "4711", "--period", "2025"
    assert desk.bcca("partners", "invite", *asked, "-o", path, data=chain.pack).status == 0
    assert desk.bcca("partners", "accept", path, data=chain.supplier).status == 0
    return path


@pytest.fixture
def third(chain: Any, new_node: Callable[..., Node]) -> Node:
    """Somebody else, who believes the same logs."""
    node = new_node("anode.example")
    (node.settings.data / "policy.txt").write_text(chain.policy, encoding="utf-8")
    return node


def kept(node: Node) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the partners, requests and events of a node."""
    with node.database.read() as session:
        events = [*outbox.waiting(session), *outbox.dead(session)]
        return partners.every(session), requests.chosen(session), events


def test_a_used_invitation_makes_nobody_a_partner_and_leaves_nothing(
    desk: Any, chain: Any, used: Path, third: Node
) -> None:
    ran = desk.bcca("partners", "accept", used, data=third)

    assert ran.status == 1
    assert f"{chain.pack.origin} refuses that its invitation is accepted" in ran.refusal
    assert "answered 400: this invitation is not open" in ran.err
    assert kept(third) == ([], [], [])


def test_a_used_invitation_leaves_a_partner_what_it_was(
    desk: Any, chain: Any, used: Path, third: Node
) -> None:
    own = desk.bcca("partners", "invite", "--json", data=chain.pack).json
    assert desk.bcca("partners", "accept", own["link"], data=third).status == 0
    before = kept(third)
    ran = desk.bcca("partners", "accept", used, data=third)
    after = kept(third)

    assert ran.status == 1
    assert after[:2] == before[:2]


def test_an_acceptance_that_is_refused_later_is_shown_and_its_requests_are_dropped(
    desk: Any, used: Path, third: Node
) -> None:
    async def accept() -> None:
        async with outbox.caller(third) as fetcher:
            await book.accept(third, fetcher, used.read_text(encoding="utf-8"))

    async def deliver() -> outbox.Delivered:
        async with outbox.caller(third) as fetcher:
            return await outbox.deliver_due(third, fetcher)

    asyncio.run(accept())
    asked = kept(third)[1]
    delivered = asyncio.run(deliver())
    listed = desk.bcca("partners", "list", data=third)
    again = desk.bcca("partners", "accept", used, data=third)

    assert len(asked) == 1
    assert delivered.dead == 1
    assert "REFUSED: it refused that its invitation was accepted" in listed.out
    assert "dropped: 1 request" in listed.out
    assert kept(third)[1] == []
    assert "`bcca partners end` it first" in again.refusal


def test_a_command_speaks_of_its_own_deliveries_alone(desk: Any, chain: Any, used: Path) -> None:
    supplier = chain.supplier
    with supplier.database.write() as session:
        [known] = partners.every(session)
        partners.put(session, replace(known, url="http://127.0.0.1:9"))
    [name] = [each.id for each in kept(supplier)[1]]
    first = desk.bcca("inbox", "comment", name, "in April", data=supplier)
    with supplier.database.write() as session:
        partners.put(session, known)
        old = outbox.waiting(session)[0].number
        outbox.again(session, old, supplier.clock())
    second = desk.bcca("inbox", "comment", name, "or in May", data=supplier)

    assert f"not delivered to {known.origin} yet" in first.err
    assert "`bcca serve` tries again" in first.err
    assert (second.status, second.err) == (0, "")


def test_what_is_no_invitation_is_said_to_be_none(desk: Any, chain: Any) -> None:
    path = desk.written(desk.part("x", "C1"))
    ran = desk.bcca("partners", "accept", path, data=chain.supplier)

    assert ran.status == 2
    assert f"{path} is no invitation" in ran.refusal


@pytest.mark.parametrize(
    "change", [("4711", "4712"), ('"expires":"2', '"expires":"x'), ("\n\n", "\n")]
)
def test_an_invitation_that_was_changed_is_named_and_a_new_one_is_asked_for(
    desk: Any, chain: Any, change: tuple[str, str]
) -> None:
    """Attack: somebody on the way writes another part number into it."""
    path = desk.folder / "changed.invitation"
    asked = "--part", "4711", "--period", "2025"
    desk.bcca("partners", "invite", *asked, "-o", path, data=chain.pack)
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    ran = desk.bcca("partners", "accept", path, data=chain.supplier)

    assert ran.status == 1
    assert str(path) in ran.refusal
    assert "changed after it was signed" in ran.err
    assert "ask for a new one" in ran.err
    assert "regex" not in ran.err


def test_an_invitation_that_cannot_be_written_is_named_as_it_was_given(
    desk: Any, chain: Any
) -> None:
    ran = desk.bcca("partners", "invite", "-o", "/nonexistent/x", data=chain.pack)

    assert ran.status == 2
    assert "/nonexistent/x: No such file or directory" in ran.refusal


def test_one_part_is_one_part(desk: Any, chain: Any) -> None:
    asked = "--part", "4711", "--period", "2025", "--json"
    link = desk.bcca("partners", "invite", *asked, data=chain.pack).json["link"]
    ran = desk.bcca("partners", "accept", link, data=chain.supplier)

    assert "1 part is asked for" in ran.out


def test_who_is_no_partner_has_no_log_of_what_it_fetched(desk: Any, chain: Any, used: Path) -> None:
    unknown = desk.bcca("partners", "log", "--partner", "nobody", data=chain.pack)
    known = desk.bcca("partners", "log", "--partner", chain.supplier.origin, data=chain.pack)

    assert unknown.status == 2
    assert "'nobody' is no partner" in unknown.refusal
    assert known.status == 0


def test_a_grant_of_what_is_not_there_says_so(desk: Any, chain: Any, used: Path) -> None:
    grant = "partners", "grant", chain.pack.origin
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1"))
    product = desk.bcca(*grant, "--product", "urn:bcca:none", data=chain.supplier)
    told = desk.bcca(*grant, "--product", "urn:bcca:none", "--json", data=chain.supplier)
    known = desk.bcca(*grant, "--product", URN, data=chain.supplier)
    statement = desk.bcca(*grant, "--statement", "ab" * 32, data=chain.supplier)

    assert product.status == 0
    assert "no statement of urn:bcca:none is published yet" in product.err
    assert "published yet" in told.json["notes"][0]
    assert (known.status, known.err) == (0, "")
    assert statement.status == 2
    assert "has made no such statement" in statement.refusal


def test_a_grant_of_a_product_says_what_of_this_node_is_inside_and_granted_apart(
    desk: Any, chain: Any, used: Path
) -> None:
    supplier = chain.supplier
    buys = (desk.bought("C0", supplier),)
    desk.published(supplier, desk.part(supplier.origin, "C0"))
    desk.published(supplier, desk.part(supplier.origin, "C1", buys=buys))
    ran = desk.bcca("partners", "grant", chain.pack.origin, "--product", URN, data=supplier)

    assert "urn:bcca:case:t:C0 of this node too, which is granted apart" in ran.err


def test_a_folder_that_is_served_is_not_served_twice(desk: Any, chain: Any) -> None:
    data = chain.supplier.settings.data
    with served_desk(chain.supplier):
        while not is_open(data):
            pass
        ran = desk.bcca("serve", data=data)

    assert ran.status == 1
    assert f"{data}: another `bcca serve` serves this folder already (process " in ran.refusal


def test_a_log_that_no_witness_knows_is_told_the_remedy(desk: Any, chain: Any, third: Node) -> None:
    desk.bcca("import", desk.written(desk.part("x", "C1")), data=third)
    ran = desk.bcca("publish", data=third)

    assert ran.status == 3
    assert "is witnessed here" in ran.err
    assert "send the line that `bcca keys list --policy-line` prints" in ran.err
