"""`bcca runs touched`: the blast radius of what was corrected, revoked or is further upstream."""

from decimal import Decimal
from typing import Any

import pytest

from bcca_node.ledger.status import replacing
from bcca_node.storage import logs, statements
from bcca_protocol.entry import Status

CORRECTED = Status.CORRECTED
NICKEL = "urn:bcca:case:t:N1"


@pytest.fixture
def three_tiers(desk: Any, chain: Any) -> Any:
    """A pack of 6 kg CO2e itself, of a cathode of 12 itself, of a nickel of 3."""
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "N1", kg=1))
    nickel = (desk.bought("N1", chain.supplier),)
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1", kg=4, buys=nickel))
    cathode = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=cathode))
    return chain


def nickel_of(chain: Any) -> str:
    """Return the commitment of what the supplier says of its nickel."""
    with chain.supplier.database.read() as session:
        [old] = statements.current(session, [NICKEL], logs.size(session))
    return str(old.commitment)


def touched(desk: Any, chain: Any, asked: str) -> Any:
    return desk.bcca("runs", "touched", asked, "--json", data=chain.pack).json["runs"]


def test_a_statement_further_upstream_touches_a_run_that_never_bought_it(
    desk: Any, three_tiers: Any
) -> None:
    desk.bcca("aggregate", "P1", data=three_tiers.pack)
    [found] = touched(desk, three_tiers, nickel_of(three_tiers))

    assert (found["directly"], found["total"], found["movedBy"]) == (False, "21", "0")
    assert found["now"]["rows"] == []


def test_a_revoked_statement_leaves_a_gap_and_says_what_that_takes_away(
    desk: Any, three_tiers: Any
) -> None:
    desk.bcca("aggregate", "P1", data=three_tiers.pack)
    old = nickel_of(three_tiers)
    desk.bcca("status", "revoke", old, data=three_tiers.supplier)
    unseen = touched(desk, three_tiers, old)
    desk.bcca("aggregate", "P1", data=three_tiers.pack)
    [found] = touched(desk, three_tiers, old)

    assert [(each["movedBy"], each["incompleteNow"]) for each in unseen] == [("0", False)]
    assert (found["name"], found["movedBy"], found["incompleteNow"]) == ("1", "-3", True)
    assert [(row["kind"], row["before"], row["after"]) for row in found["now"]["rows"]] == [
        ("statement", old, None)
    ]


def test_only_what_a_statement_moves_is_laid_at_its_door(desk: Any, three_tiers: Any) -> None:
    pack, supplier = three_tiers.pack, three_tiers.supplier
    desk.bcca("aggregate", "P1", data=pack)
    old = nickel_of(three_tiers)
    for name, kg, buys in (("N1", 2, ()), ("C1", 5, (desk.bought("N1", supplier),))):
        with supplier.database.read() as session:
            [one] = statements.current(session, [f"urn:bcca:case:t:{name}"], logs.size(session))
        part = desk.part(supplier.origin, name, kg=kg, buys=buys)
        desk.published(supplier, replacing(part, one.commitment, Status.CORRECTED))
    desk.bcca("aggregate", "P1", data=pack)
    [found] = touched(desk, three_tiers, old)
    corrected = touched(desk, three_tiers, nickel_of(three_tiers))

    assert (found["movedBy"], found["now"]["difference"]) == ("3", "6")
    assert sum(Decimal(row["kg"]) for row in found["now"]["rows"]) == 6
    assert [each["name"] for each in corrected] == ["1", "2"]  # what it corrects is meant too


def test_a_run_that_cannot_be_made_again_says_why(desk: Any, three_tiers: Any) -> None:
    desk.bcca("aggregate", "P1", data=three_tiers.pack)
    with three_tiers.pack.database.read() as session:
        size = logs.size(session)
        own = statements.current(session, ["urn:bcca:case:t:P1"], size)
    [root] = [each.commitment for each in own if each.kind.endswith("partial-footprint:v1")]
    desk.bcca("status", "revoke", root, data=three_tiers.pack)
    [found] = touched(desk, three_tiers, nickel_of(three_tiers))

    assert (found["now"], found["movedBy"]) == (None, None)
    assert "has no published partial footprint of it" in found["reason"]


def test_of_what_keeps_its_recipe_secret_nobody_can_tell_and_that_is_said(
    desk: Any, chain: Any
) -> None:
    """The supplier shows a total of its cathode, and neither its part nor what is in that."""
    pack, supplier = chain.pack, chain.supplier
    desk.published(supplier, desk.part(supplier.origin, "N1", kg=1))
    desk.published(supplier, part_of(desk, chain, 4))
    shown = ("--recipe", "secret", "--sharing", "public")
    desk.bcca("aggregate", "C1", *shown, data=supplier)
    desk.published(pack, desk.part(pack.origin, "P1", buys=(desk.bought("C1", supplier),)))
    desk.published(pack, desk.part(pack.origin, "P2", buys=(desk.bought("N1", supplier),)))
    first = desk.bcca("aggregate", "P1", data=pack)
    desk.bcca("aggregate", "P2", data=pack)
    old = nickel_of(chain)
    found = desk.bcca("runs", "touched", old, "--json", data=pack)
    told = desk.bcca("runs", "touched", old, data=pack)
    with supplier.database.read() as session:
        [cathode] = statements.current(session, ["urn:bcca:case:t:C1"], logs.size(session))[:1]
    desk.published(supplier, replacing(part_of(desk, chain, 5), cathode.commitment, CORRECTED))
    desk.bcca("aggregate", "C1", *shown, data=supplier)
    desk.bcca("aggregate", "P1", data=pack)
    moved = desk.bcca("runs", "compare", "1", "3", "--json", data=pack).json

    assert "21 kg CO2e" in first.out, first.err
    assert [each["name"] for each in found.json["runs"]] == ["2"]
    assert [each["product"] for each in found.json["unseen"]] == ["urn:bcca:case:t:C1"]
    assert "whether it is inside what keeps its recipe secret: urn:bcca:case:t:C1 of" in told.out
    assert [(row["kind"], row["kg"]) for row in moved["rows"]] == [("statement", "3")]


def part_of(desk: Any, chain: Any, kg: float) -> Any:
    """Return the cathode of another weight, of the same nickel."""
    nickel = (desk.bought("N1", chain.supplier),)
    return desk.part(chain.supplier.origin, "C1", kg=kg, buys=nickel, sharing="direct")
