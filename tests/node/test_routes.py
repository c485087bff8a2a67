"""By which key a supplier's log is read, as statements name it tier after tier (SPEC 4.2, 6.1)."""

import pytest
from tests.conftest import footprint_of

from bcca_node.packmaker.routes import Routes
from bcca_protocol import own, partial, unlogged
from bcca_protocol.errors import UnavailableError
from bcca_protocol.inventory import Input, Supplier
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.partial import Part
from bcca_protocol.policy import Policy

FOIL = "foil.example"
NONE = unlogged.key_of(FOIL)
REAL, OTHER = (
    SeedSigner(name=FOIL, algorithm=Algorithm.ED25519, seed=bytes([n] * 32)).key.encode()
    for n in (1, 2)
)


@pytest.fixture
def routes() -> Routes:
    return Routes(Policy(logs={}, witnesses={}, groups={}, quorum="none"))


def says(issuer: str, key: str) -> Part:
    """Return what somebody says who buys foil of a supplier with that key."""
    line = Input(
        id="i1",
        product="urn:bcca:case:t:foil",
        supplier=Supplier(origin=FOIL, key=key),
        amount="1",
        unit="kg",
        stages="keep",
    )
    return partial.reduce(own.with_footprint(footprint_of(issuer, buys=(line,))), "ab" * 32)


def test_who_has_no_log_by_all_that_is_known_is_said_to_have_none(routes: Routes) -> None:
    routes.learn([says("cells.example", NONE)], {})

    assert "has no log, says cells.example" in routes.without_log(FOIL)
    with pytest.raises(UnavailableError, match="has no log"):
        routes.key_of(FOIL)


def test_a_key_beside_none_in_one_tier_is_the_key(routes: Routes) -> None:
    routes.learn([says("cells.example", NONE), says("packs.example", REAL)], {})

    found = routes.key_of(FOIL)

    assert routes.without_log(FOIL) == ""
    assert (found.key.encode(), found.also_named) == (REAL, ())


def test_a_log_that_was_opened_since_is_read_by_the_word_of_a_later_tier(routes: Routes) -> None:
    routes.learn([says("cells.example", NONE)], {})
    routes.learn([says("mill.example", REAL)], {})

    assert routes.without_log(FOIL) == ""
    assert routes.key_of(FOIL).introduced_by == "mill.example"


@pytest.mark.parametrize("later", [NONE, OTHER])
def test_attack_a_later_tier_does_not_take_a_key_away(routes: Routes, later: str) -> None:
    routes.learn([says("cells.example", REAL)], {})
    routes.learn([says("mill.example", later)], {})

    assert routes.key_of(FOIL).key.encode() == REAL
