"""What verified statements say, in bytes and back: digit by digit, and each kept form by itself."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from isal import isal_zlib
from msgspec.structs import replace
from tests.conftest import footprint_of
from tests.node.pactshop import rolled

from bcca_node.packmaker import facts
from bcca_node.packmaker.facts import Said
from bcca_protocol import own, partial, rollup
from bcca_protocol.footprint import CELLS, Cell
from bcca_protocol.inventory import Material
from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, ZERO
from bcca_protocol.rollup import RollUp
from bcca_protocol.spread import Spread

NAME = "c0" * 32
FOSSIL, LAND = Cell("production", "fossil"), Cell("rawMaterial", "landUseChange")
POWER = Cell("use", "biogenicCO2")
BARE = Bought(
    line="1",
    product="urn:t:raw",
    origin="raw.example",
    key="raw.example+00000000+AAAA",
    site=None,
    amount=Decimal("0.50"),
    unit="kg",
    yield_=ONE,
    share=ONE,
    stages="keep",
    pinned=None,
    acquired=None,
)
BOUGHT = Bought(
    line="2",
    product="urn:t:other",
    origin="other.example",
    key="other.example+00000000+AAAA",
    site="plant-1",
    amount=Decimal("3E+2"),
    unit="piece",
    yield_=Decimal("0.950"),
    share=Decimal("0.1"),
    stages="production",
    pinned="ab" * 32,
    acquired=Span("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
)
PLAIN = Part(
    commitment=NAME,
    issuer="maker.example",
    product="urn:t:cell",
    name="cell",
    producer="Maker",
    site=None,
    batch=None,
    period=Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    validity=Span("2025-01-01T00:00:00Z", "2029-01-01T00:00:00Z"),
    sharing="public",
    unit="kg",
    declared=ONE,
    output=ONE,
    mass_kg=None,
    own={FOSSIL: Decimal("5.6250")},
    own_by_location=None,
    tally=Tally(absolute=Decimal("5.6250")),
    bought=(BARE,),
    claims=(),
    gwp="AR6",
    recycling="cutOff",
)
FULL = Part(
    commitment="ff" * 32,
    issuer="other.example",
    product="urn:t:pack",
    name="Batteriesatz größer",
    producer="Other",
    site="plant-2",
    batch="b7",
    period=Span("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    validity=Span("2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    sharing="direct",
    unit="piece",
    declared=Decimal("10"),
    output=Decimal("40.00"),
    mass_kg=Decimal("2.50"),
    own={LAND: Decimal("-0.0"), FOSSIL: Decimal("1E-7"), POWER: Decimal("0.00")},
    own_by_location={FOSSIL: Decimal("2"), LAND: Decimal("1.0")},
    tally=Tally(*map(Decimal, ("9", "8", "0", "0.0", "6", "5", "4", "3", "2.0"))),
    bought=(BOUGHT, BARE),
    claims=("ee" * 32, "dd" * 32),
    gwp="AR5",
    recycling="cff",
    producer_ids=("urn:t:other",),
    classes=("CN:8507",),
    handed=Handed(unsigned=Decimal("1.0"), gap_bound=Decimal("0")),
    materials=(Material(name="cobalt", kg="0.10", recycled_pre="0.01"),),
    spreads=(Spread("", Decimal("1.10"), Decimal("-3.0")),),
)


def part_of(**other: Any) -> Part:
    """Return the part of a statement that was recomputed."""
    return partial.reduce(own.with_footprint(footprint_of("maker.example", **other)), NAME)


def roll_up() -> RollUp:
    statement = own.with_footprint(footprint_of("maker.example"))
    return rollup.reduce(rolled(statement, statement.footprint), "ab" * 32)


def back(*given: Part | RollUp) -> list[Any]:
    """Return what is read of facts that were written as one page."""
    said = [Said(7 + place, "n" * place, each) for place, each in enumerate(given)]
    kept = facts.decode(facts.encode(said))
    assert kept is not None
    assert [(each.commitment, each.product, each.entry) for each in kept] == [
        (each.fact.commitment, each.fact.product, each.entry) for each in said
    ]
    found = list(map(facts.said, kept))
    assert [(each.entry, each.nonce) for each in found] == [(e.entry, e.nonce) for e in said]
    return [each.fact for each in found]


def test_the_two_parts_of_these_tests_differ_in_every_field() -> None:
    """So that whatever a part comes to say later has to be set here too."""
    for kind, one, other in ((Part, PLAIN, FULL), (Bought, BARE, BOUGHT)):
        for name in kind.__struct_fields__:
            assert getattr(one, name) != getattr(other, name), name


def test_parts_come_back_digit_by_digit_whatever_they_share_a_page_with() -> None:
    given = (PLAIN, FULL, part_of(), replace(PLAIN, name="another"), FULL)

    assert repr(back(*given)) == repr(list(given))


@pytest.mark.parametrize("name", Part.__struct_fields__)
def test_a_part_that_differs_in_one_field_is_not_taken_for_the_one_beside_it(name: str) -> None:
    given = [PLAIN, replace(PLAIN, **{name: getattr(FULL, name)}), PLAIN]

    assert repr(back(*given)) == repr(given)


@pytest.mark.parametrize("name", Bought.__struct_fields__)
def test_an_input_that_differs_in_one_field_is_not_taken_for_the_one_beside_it(name: str) -> None:
    odd = replace(BARE, **{name: getattr(BOUGHT, name)})
    given = [replace(PLAIN, bought=(BARE, odd, BARE))]

    assert repr(back(*given)) == repr(given)


@pytest.mark.parametrize("text", ["1", "1.0", "1.00", "0", "0.00", "-0", "0E+3", "1E+0", "10", "2"])
def test_equal_values_that_are_written_differently_stay_apart(text: str) -> None:
    value = Decimal(text)
    odd = replace(BARE, amount=value, yield_=value, share=value)
    given = [
        PLAIN,
        replace(PLAIN, declared=value, output=value, mass_kg=value, bought=(odd, BARE)),
        replace(PLAIN, tally=Tally(*[value] * 9), own={FOSSIL: value}, own_by_location={}),
        replace(PLAIN, tally=Tally(excluded=value), own={}, own_by_location={FOSSIL: value}),
        replace(PLAIN, handed=Handed(unsigned=value), spreads=(Spread("d", value, value),)),
    ]

    assert repr(back(*given)) == repr(given)


def test_a_roll_up_comes_back_among_parts() -> None:
    given: list[Part | RollUp] = [PLAIN, roll_up(), FULL]

    assert repr(back(*given)) == repr(given)


def test_what_is_the_same_is_one_object_and_one_is_known_by_its_identity() -> None:
    (one, other), (third,) = back(PLAIN, replace(PLAIN, name="another")), back(PLAIN)

    assert one.bought[0].yield_ is one.bought[0].share is ONE
    assert one.declared is one.output is ONE
    assert all(each is ZERO for each in one.tally[1:])
    assert one.period is other.period
    assert one.bought[0].key is other.bought[0].key
    assert next(iter(one.own)) is next(iter(third.own)) is CELLS["production"][0]


def test_nothing_is_read_of_an_empty_page() -> None:
    assert back() == []


def test_what_an_older_program_kept_is_not_taken_for_ours() -> None:
    """It wrote the same names, each part by itself, and a form of its own."""
    line = [NAME, "urn:t:cell", 7, "n", msgspec.to_builtins(PLAIN.bought), None]
    older = msgspec.msgpack.encode(["0123456789abcdef", [line]])
    ours = msgspec.msgpack.encode(["0123456789abcdef", [], [], []])

    assert facts.decode(isal_zlib.compress(older, 1)) is None
    assert facts.decode(isal_zlib.compress(ours, 1)) is None
    assert facts.decode(b"broken") is None
