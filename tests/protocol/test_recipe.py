"""A roll-up that keeps its recipe: whoever is handed it recomputes, and nobody else learns it."""

from typing import Any

import msgspec
import pytest

from bcca_protocol import audit, wire
from bcca_protocol.bundle import RecipeLine
from bcca_protocol.errors import StatementError
from bcca_protocol.recipe import SALT_BYTES, Recipe, hide
from bcca_protocol.statement import FootprintRollUp

SALT, OTHER = b"s" * SALT_BYTES, b"t" * SALT_BYTES


@pytest.fixture
def foil(chain: Any) -> FootprintRollUp:
    """The roll-up of a foil made of ore and salt, as it would be told openly."""
    chain.sells("ore", "2")
    chain.sells("salt", "3")
    chain.sells("foil", "1", chain.buys("ore", "0.7"), chain.buys("salt", "0.1"))
    whole: FootprintRollUp = chain.rolled_up("foil")
    return whole


def audited(chain: Any, whole: FootprintRollUp, *recipes: Recipe) -> Any:
    """Audit the bundle of a roll-up that hides its recipe, with these recipes in it."""
    hidden, _ = hide(whole, SALT)
    header, body = chain.evidence(hidden, truth=whole)
    told = [RecipeLine(roll_up=header.roll_up, recipe=each) for each in recipes]
    return audit.audit(chain.sealed(header, [*body, *told]), chain.policy)


def test_whoever_has_the_recipe_recomputes_the_roll_up_to_the_last_digit(
    chain: Any, foil: FootprintRollUp
) -> None:
    _, recipe = hide(foil, SALT)
    report = audited(chain, foil, recipe)

    assert (str(report.total), report.withheld) == ("2.7", ())
    assert report.recomputed == report.footprint


def test_whoever_has_it_not_is_told_that_the_numbers_are_a_claim(
    chain: Any, foil: FootprintRollUp
) -> None:
    hidden, _ = hide(foil, SALT)

    with pytest.raises(StatementError, match="its numbers are its issuer's claim"):
        audit.audit(chain.sealed(*chain.evidence(hidden)), chain.policy)


def test_what_is_signed_names_no_supplier_no_amount_and_no_tree_but_its_own(
    foil: FootprintRollUp,
) -> None:
    hidden, _ = hide(foil, SALT)
    told = wire.encode(hidden).decode()

    assert "ore" not in told
    assert "salt.example" not in told
    assert "0.7" not in told
    assert [tree.origin for tree in hidden.logs] == ["foil.example"]


def test_the_same_recipe_has_another_digest_with_another_salt(foil: FootprintRollUp) -> None:
    one, other = hide(foil, SALT)[0], hide(foil, OTHER)[0]

    assert hide(foil, SALT)[0] == one
    assert one.manifest_digest != other.manifest_digest


def test_an_attack_a_recipe_with_less_of_one_thing_is_refused(
    chain: Any, foil: FootprintRollUp
) -> None:
    _, recipe = hide(foil, SALT)
    first, *rest = recipe.edges
    less = msgspec.structs.replace(first, amount="0.6")
    changed = msgspec.structs.replace(recipe, edges=(less, *rest))

    with pytest.raises(StatementError, match=r"hashes to .*, the roll-up names"):
        audited(chain, foil, changed)


def test_an_attack_a_recipe_under_another_salt_is_refused(
    chain: Any, foil: FootprintRollUp
) -> None:
    _, recipe = hide(foil, OTHER)

    with pytest.raises(StatementError, match=r"hashes to .*, the roll-up names"):
        audited(chain, foil, recipe)


def test_an_attack_a_digest_of_a_recipe_that_never_gave_the_total_is_refused(
    chain: Any, foil: FootprintRollUp
) -> None:
    first, *rest = foil.manifest or ()
    lie = msgspec.structs.replace(
        foil, manifest=(msgspec.structs.replace(first, amount="0.6"), *rest)
    )
    _, recipe = hide(lie, SALT)
    hidden, _ = hide(lie, SALT)
    header, body = chain.evidence(hidden, truth=foil)
    line = RecipeLine(roll_up=header.roll_up, recipe=recipe)

    with pytest.raises(StatementError, match="manifest"):
        audit.audit(chain.sealed(header, [*body, line]), chain.policy)


def test_an_attack_a_recipe_that_read_another_tree_of_its_own_maker_is_refused(
    chain: Any, foil: FootprintRollUp
) -> None:
    mine = next(each for each in foil.logs if each.origin == foil.issuer)
    shorter = msgspec.structs.replace(mine, size="1")
    hidden, recipe = hide(foil, SALT)
    other = msgspec.structs.replace(recipe, logs=(shorter, *recipe.logs[1:]))
    lie = msgspec.structs.replace(hidden, manifest_digest=other.digest)
    header, body = chain.evidence(lie, truth=foil)
    line = RecipeLine(roll_up=header.roll_up, recipe=other)

    with pytest.raises(StatementError, match=r"read another tree of foil\.example"):
        audit.audit(chain.sealed(header, [*body, line]), chain.policy)


def test_a_recipe_of_another_roll_up_is_refused_in_a_bundle(
    chain: Any, foil: FootprintRollUp
) -> None:
    hidden, recipe = hide(foil, SALT)
    header, body = chain.evidence(hidden, truth=foil)
    stray = RecipeLine(roll_up="ab" * 32, recipe=recipe)

    with pytest.raises(StatementError, match="a recipe for abab"):
        audit.audit(chain.sealed(header, [*body, stray]), chain.policy)


@pytest.mark.parametrize("salt", [b"", b"s" * 31, b"s" * 33])
def test_a_salt_of_another_length_is_refused(foil: FootprintRollUp, salt: bytes) -> None:
    with pytest.raises(StatementError, match="bytes, not 32"):
        hide(foil, salt)


def test_what_has_no_manifest_has_nothing_to_hide(foil: FootprintRollUp) -> None:
    hidden, _ = hide(foil, SALT)

    with pytest.raises(StatementError, match="there is none to hide"):
        hide(hidden, SALT)
