"""The runbook's order for a secret recipe: publish, add up in secret, and only then accept."""

from typing import Any

import pytest

from bcca_node.demo.sharing import partner_of
from bcca_node.storage import partners, statements
from bcca_node.storage.partners import PartnerRole
from bcca_protocol.statement import FOOTPRINT, PARTIAL_FOOTPRINT

URN = "urn:bcca:case:t:C1"
SECRET = ("aggregate", "C1", "--recipe", "secret", "--sharing", "downstream")
ACCEPT = ("inbox", "accept", "ID", "--product", URN)


@pytest.mark.parametrize(
    ("steps", "kind"), [((SECRET, ACCEPT), FOOTPRINT), ((ACCEPT, SECRET), PARTIAL_FOOTPRINT)]
)
def test_a_request_is_answered_with_the_total_if_it_is_accepted_after_the_recipe_became_secret(
    desk: Any, chain: Any, steps: tuple[tuple[str, ...], ...], kind: str
) -> None:
    roles = ((chain.pack, chain.supplier, PartnerRole.SUPPLIER),)
    for node, of, role in (*roles, (chain.supplier, chain.pack, PartnerRole.CUSTOMER)):
        with node.database.write() as session:
            partners.put(session, partner_of(of, [role]))
    own = desk.part(chain.supplier.origin, "C1", kg=4, sharing="direct")
    desk.published(chain.supplier, own)
    asked = ("request", chain.supplier.origin, "--part", "PK-7", "--period", "2025", "--json")
    name = desk.bcca(*asked, data=chain.pack).json["id"]

    for step in steps:
        ran = desk.bcca(*(name if each == "ID" else each for each in step), data=chain.supplier)
        assert ran.status == 0, ran.err
    desk.bcca("publish", data=chain.supplier)

    [shown] = desk.bcca("request", "list", "--json", data=chain.pack).json
    with chain.supplier.database.read() as session:
        [answer] = statements.find(session, [shown["commitment"]])
    assert (shown["state"], answer.kind, answer.sharing) == (
        "fulfilled",
        kind,
        "downstream" if kind == FOOTPRINT else "direct",
    )
