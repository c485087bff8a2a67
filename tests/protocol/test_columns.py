"""What parts add themselves, as rows of one table."""

from decimal import Decimal
from typing import Any

from msgspec.structs import replace
from tests.conftest import footprint_of

from bcca_protocol import own, partial
from bcca_protocol.columns import TALLIES, Table
from bcca_protocol.footprint import Cell
from bcca_protocol.own import Handed, Tally
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ZERO

FOSSIL, LAND = Cell("production", "fossil"), Cell("use", "landUseChange")


def part(**other: Any) -> Part:
    """Return a part of 6 kg, changed."""
    statement = own.with_footprint(footprint_of("maker.example"))
    return replace(partial.reduce(statement, "c0" * 32), **other)


def rows(*parts: Part, introduced: bool = False) -> list[dict[tuple[str, str], str]]:
    """Return the own row of each part as it is written, by way and name."""
    table = Table(parts, (), introduced=introduced)
    names = [(each.way, each.name) for each in table.columns]
    found = [table.own(each, introduced=introduced) for each in parts]
    return [dict(zip(names, map(str, each), strict=True)) for each in found]


def test_a_row_has_what_its_part_says_and_zero_of_what_others_say() -> None:
    one = part(tally=Tally(absolute=Decimal("6"), covered=Decimal("0.00")))
    other = part(
        own={LAND: Decimal("-1.50")}, tally=Tally(Decimal("1.50"), temporal=Decimal("2.0"))
    )

    assert rows(one, other) == [
        {
            ("market", "fossil"): "6",
            ("market", "landUseChange"): "0",
            ("tally", "absolute"): "6",
            ("tally", "temporal"): "0",
        },
        {
            ("market", "fossil"): "0",
            ("market", "landUseChange"): "-1.50",
            ("tally", "absolute"): "1.50",
            ("tally", "temporal"): "2.0",
        },
    ]


def test_a_zero_tally_is_plain_zero_however_it_was_written() -> None:
    one = part(tally=Tally(Decimal("6"), covered=Decimal("1")))
    other = part(
        tally=Tally(Decimal("6"), covered=Decimal("0.00")),
        handed=Handed(limited=Decimal("0.0"), default=Decimal("3")),
    )

    _, found = rows(one, other)

    assert found["tally", "covered"] == "0"
    assert found["tally", "default"] == "3"
    assert ("tally", "limited") not in found


def test_where_one_part_has_a_location_result_the_others_stand_in_with_their_market_one() -> None:
    located = part(own_by_location={FOSSIL: Decimal("7.0")})

    one, other = rows(located, part())

    assert (one["market", "fossil"], one["location", "fossil"]) == ("6", "7.0")
    assert (other["market", "fossil"], other["location", "fossil"]) == ("6", "6")


def test_what_is_introduced_counts_as_such_over_what_was_handed_on() -> None:
    handed = part(handed=Handed(introduced=Decimal("2")))

    assert rows(handed)[0]["tally", "introduced"] == "2"
    assert rows(handed, introduced=True)[0]["tally", "introduced"] == "6"


def test_a_row_gives_back_its_footprint_and_every_tally() -> None:
    one = part(handed=Handed(gap_bound=Decimal("0.1")))
    table = Table([one], (), introduced=False)
    row = table.own(one, introduced=False)

    assert table.footprint(row) == one.own
    assert table.tally(row) == {**dict.fromkeys(TALLIES, ZERO), **one.tally._asdict()} | {
        "gap_bound": Decimal("0.1")
    }
