"""`bcca aggregate --recipe secret`: a total that anybody checks to whom its recipe is handed."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from bcca_node.demo.sharing import partner_of
from bcca_node.sharing import access
from bcca_node.storage import grants, listed, partners, statements
from bcca_node.storage.grants import Grant, Scope
from bcca_protocol.__main__ import main as bcca_verify
from bcca_protocol.envelope import Envelope
from bcca_protocol.statement import FOOTPRINT

PACK = "urn:bcca:case:t:P1"


@pytest.fixture
def secret(desk: Any, chain: Any) -> Any:
    """A pack whose partial footprint is `direct`, added up without telling its recipe."""
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1", kg=4))
    buys = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=buys, sharing="direct"))
    ran = desk.bcca("aggregate", "P1", "--recipe", "secret", data=chain.pack)
    assert (ran.status, "18 kg CO2e" in ran.out) == (0, True), ran.err
    return chain


def told(node: Any) -> bytes:
    """Return the current roll-up of the pack, as anybody reads it who may."""
    with node.database.read() as session:
        found = statements.current(session, [PACK], 1_000)
    (rolled,) = [each for each in found if each.kind == FOOTPRINT]
    return bytes(rolled.envelope)


def verified(bundle: Path, policy: Path) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out):
        status = bcca_verify([str(bundle), "--policy", str(policy)])
    return status, out.getvalue()


def test_a_recipe_stays_secret_until_its_owner_says_otherwise(desk: Any, secret: Any) -> None:
    first = told(secret.pack)
    desk.bcca("aggregate", "P1", data=secret.pack)
    again = told(secret.pack)
    desk.bcca("aggregate", "P1", "--recipe", "open", data=secret.pack)

    assert again == first  # made of the same, it stands: nothing is corrected
    assert told(secret.pack) != first


def test_a_recipe_stays_secret_when_its_roll_up_was_revoked(desk: Any, secret: Any) -> None:
    with secret.pack.database.read() as session:
        found = statements.current(session, [PACK], 1_000)
    (rolled,) = [each for each in found if each.kind == FOOTPRINT]
    revoked = desk.bcca("status", "revoke", rolled.commitment, data=secret.pack)
    again = desk.bcca("aggregate", "P1", data=secret.pack)

    assert (revoked.status, again.status) == (0, 0), revoked.err + again.err
    assert b"manifestDigest" in Envelope.parse(told(secret.pack)).payload


def test_its_owner_explains_it_and_hands_it_over_in_a_bundle(
    desk: Any, secret: Any, tmp_path: Path
) -> None:
    policy, kept, mine = (tmp_path / name for name in ("policy", "kept.jsonl", "mine.jsonl"))
    policy.write_text(secret.policy, encoding="utf-8")
    explained = desk.bcca("explain", "--json", data=secret.pack)
    refused = desk.bcca("bundle", "P1", "-o", kept, "--for", "a.example", data=secret.pack)
    given = desk.bcca("bundle", "P1", "-o", mine, "--for", "self", data=secret.pack)

    assert (explained.status, explained.json["total"]) == (0, "18")
    assert refused.status != 0
    assert not kept.exists()
    assert given.status == 0, given.err
    status, said = verified(mine, policy)
    assert status == 0, said
    assert "18 kg CO2e" in said


def test_what_is_not_direct_has_no_secret_recipe(desk: Any, two_tiers: Any) -> None:
    ran = desk.bcca("aggregate", "P1", "--recipe", "secret", data=two_tiers.pack)

    assert ran.status == 2
    assert "is shared as `public`, and with it its recipe: publish it as `direct`" in ran.err


@pytest.mark.parametrize("scope", [Scope.PRODUCT, Scope.ALL])
def test_attack_who_may_see_the_product_asks_for_the_statement_that_is_its_recipe(
    secret: Any, scope: Scope
) -> None:
    about = PACK if scope is Scope.PRODUCT else ""
    with secret.pack.database.write() as session:
        partners.put(session, partner_of(secret.supplier))
        grants.put(
            session, Grant(partner=secret.supplier.origin, scope=scope, about=about, given=0)
        )
    with secret.pack.database.read() as session:
        rights = access.of_partner(session, secret.pack, secret.supplier.origin)
        shown = [own for own in listed.current(session, [PACK], 1_000) if rights.sees(own)]
        kinds = {each.kind for each in statements.find(session, [e.commitment for e in shown])}

    assert kinds == {FOOTPRINT}


def test_a_recipe_is_shown_to_whom_that_very_statement_was_granted(secret: Any) -> None:
    with secret.pack.database.write() as session:
        partners.put(session, partner_of(secret.supplier))
        (partial,) = [
            each for each in statements.current(session, [PACK], 1_000) if each.kind != FOOTPRINT
        ]
        given = Grant(
            partner=secret.supplier.origin,
            scope=Scope.STATEMENT,
            about=partial.commitment,
            given=0,
        )
        grants.put(session, given)
    with secret.pack.database.read() as session:
        rights = access.of_partner(session, secret.pack, secret.supplier.origin)
        (own,) = listed.find(session, [partial.commitment])

    assert rights.sees(own)


def test_what_is_public_is_seen_by_everybody_whatever_was_secret_before(
    desk: Any, secret: Any
) -> None:
    year = {"year": 2024, "sharing": "public"}
    buys = (desk.bought("C1", secret.supplier),)
    desk.published(secret.pack, desk.part(secret.pack.origin, "P1", buys=buys, **year))
    with secret.pack.database.write() as session:
        partners.put(session, partner_of(secret.supplier))
    with secret.pack.database.read() as session:
        rights = access.of_partner(session, secret.pack, secret.supplier.origin)
        (public,) = [
            own for own in listed.current(session, [PACK], 1_000) if own.sharing == "public"
        ]

    assert rights.sees(public)
