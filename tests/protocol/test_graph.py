from decimal import Decimal
from typing import Any

import pytest

from bcca_protocol.choosing import CURRENT_ALONE
from bcca_protocol.entry import Status
from bcca_protocol.errors import StatementError
from bcca_protocol.graph import Missing, connect, double_claims, order_of
from bcca_protocol.inventory import Amount, Electricity, Instrument, Interval
from bcca_protocol.statement import Site


def year(start: int, end: int | None = None) -> Interval:
    """Return whole years, the last of them `end`."""
    return Interval(start=f"{start}-01-01T00:00:00Z", end=f"{(end or start) + 1}-01-01T00:00:00Z")


def half(number: int, of: int = 2025) -> Interval:
    """Return the first or second half of a year."""
    middle = f"{of}-07-01T00:00:00Z"
    whole = year(of)
    return Interval(start=whole.start, end=middle) if number == 1 else Interval(middle, whole.end)


def kg(amount: str) -> dict[str, Amount]:
    return {"declared_unit": Amount(amount=amount, unit="kg")}


def fed_by(chain: Any, name: str) -> list[str]:
    """Return the commitments that feed the lines of a product, or why a line is not fed."""
    added = chain.added()
    index = added.index(name)
    part, graph = added.graph.parts[index], added.graph
    by_line = {term.line: graph.parts[term.supplier].commitment for term in graph.terms[index]}
    return [
        by_line.get(i) or graph.missing[index].get(each.line, "nothing")
        for i, each in enumerate(part.bought)
    ]


def test_parts_stand_in_the_order_of_issuer_product_site_and_commitment(chain: Any) -> None:
    for name, by in (("b", "z.example"), ("a", "z.example"), ("c", "m.example")):
        for place in ("two", "one", None):
            site = Site(id=place) if place else None
            chain.sells(name, "1", by=by, site=site)
            chain.sells(name, "2", by=by, site=site)

    parts = chain.graph(choose=lambda *_: Missing("nobody")).parts

    assert [(part.issuer, part.product, part.site or "") for part in parts] == [
        (issuer, f"urn:test:{name}", site)
        for issuer, name in (("m.example", "c"), ("z.example", "a"), ("z.example", "b"))
        for site in ("", "one", "two")
        for _ in range(2)
    ]
    assert list(parts) == sorted(parts, key=order_of)


def test_a_statement_handed_over_twice_is_one_part(chain: Any) -> None:
    chain.sells("ore", "2")
    facts = chain.facts()

    assert len(connect([*facts, *facts], lambda *_: Missing("nobody")).parts) == 1


def test_one_input_on_two_lines_is_two_terms(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", "3"), chain.buys("ore", "4", line="more ore"))
    added = chain.added()

    terms = added.graph.terms[added.index("cell")]

    assert [(term.line, term.amount) for term in terms] == [(0, Decimal(3)), (1, Decimal(4))]
    assert chain.total("cell") == "14"


def test_an_input_of_amount_zero_is_an_edge_if_somebody_answers(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "0"))
    added = chain.added()

    assert [term.amount for term in added.graph.terms[added.index("cell")]] == [Decimal(0)]
    assert chain.total("cell") == "1"


def test_an_input_of_amount_zero_is_never_a_gap(chain: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "0"), chain.buys("ore", "0.00", line="other"))
    added = chain.added()

    assert added.missing("cell") == {}
    assert added.totals.incomplete == frozenset()


def test_an_input_that_nobody_answers_is_a_gap_that_says_what_and_from_whom(chain: Any) -> None:
    chain.maker("ore")
    chain.sells("cell", "1", chain.buys("ore", "3"))

    assert chain.added().missing("cell") == {"ore": "no statement for urn:test:ore of ore.example"}


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        ("3", "kg", "3"),
        ("3", "t", "3000"),
        ("3000", "g", "3"),
        ("1", "lb", "0.45359237"),
        ("1", "shortTon", "907.18474"),
    ],
)
def test_an_amount_is_converted_to_the_suppliers_unit(
    chain: Any, amount: str, unit: str, expected: str
) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", amount, unit=unit))
    added = chain.added()

    ((term,),) = [added.graph.terms[added.index("cell")]]

    assert term.amount == Decimal(expected)


def test_energy_bought_in_megajoules_is_fed_by_a_plant_that_declares_kwh(chain: Any) -> None:
    chain.sells("heat", "0.25", declared_unit=Amount("1", "kWh"), output=Amount("1", "kWh"))
    chain.sells("cell", "0", chain.buys("heat", "36", unit="MJ"))

    assert chain.total("cell") == "2.5"


def test_pieces_are_bought_by_the_kilogram_through_the_mass_of_one(chain: Any) -> None:
    pieces = {"declared_unit": Amount("1", "piece"), "output": Amount("1", "piece")}
    chain.sells("lid", "5", mass_kg="0.2", **pieces)
    chain.sells("case", "0", chain.buys("lid", "3"))

    assert chain.added().needed("case").edges == {(0, 0): Decimal(15)}
    assert chain.total("case") == "75"


def test_kilograms_are_bought_by_the_piece_only_where_the_supplier_counts_pieces(
    chain: Any,
) -> None:
    chain.sells("lid", "5", mass_kg="1")
    chain.sells("case", "0", chain.buys("lid", "3", unit="piece"))

    (reason,) = chain.added().missing("case").values()

    assert "3 piece (count)" in reason
    assert "kg (mass)" in reason


def test_the_mass_of_a_declared_unit_of_two_pieces_is_the_mass_of_two(chain: Any) -> None:
    pieces = {"declared_unit": Amount("2", "piece"), "output": Amount("2", "piece")}
    chain.sells("lid", "10", mass_kg="0.4", **pieces)
    chain.sells("case", "0", chain.buys("lid", "3"))

    assert chain.total("case") == "75"


@pytest.mark.parametrize(
    ("unit", "sold", "mass", "names"),
    [
        ("kWh", "kg", None, ("3 kWh (energy)", "kg (mass)")),
        ("kWhLHV", "kWh", None, ("3 kWhLHV (fuel energy (LHV))", "kWh (energy)")),
        ("kWh", "kWhCapacity", None, ("3 kWh (energy)", "kWhCapacity (storage capacity)")),
        ("m3", "Nm3", None, ("3 m3 (volume)", "Nm3 (normal volume)")),
        ("kg", "piece", None, ("3 kg (mass)", "piece (count)", "without massKg")),
        ("piece", "kg", None, ("3 piece (count)", "kg (mass)", "without massKg")),
        ("m2", "piece", "1", ("3 m2 (area)", "piece (count)")),
    ],
)
def test_a_unit_that_does_not_fit_is_a_gap_that_names_both(
    chain: Any, unit: str, sold: Any, mass: str | None, names: tuple[str, ...]
) -> None:
    units = {"declared_unit": Amount("1", sold), "output": Amount("1", sold)}
    chain.sells("odd", "5", mass_kg=mass, **units)
    chain.sells("cell", "1", chain.buys("odd", "3", unit=unit))
    added = chain.added()

    (reason,) = added.missing("cell").values()

    assert [name for name in names if name not in reason] == []
    assert reason.startswith("urn:test:odd of odd.example: ")
    assert added.index("cell") in added.totals.incomplete


def test_a_unit_that_does_not_fit_stops_nobody_else(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("odd", "1", chain.buys("ore", "1", unit="kWh"))
    chain.sells("cell", "1", chain.buys("ore", "1"))
    added = chain.added()

    assert added.totals.incomplete == {added.index("odd")}
    assert added.total("cell") == 3


def test_a_chooser_that_feeds_what_does_not_fit_is_refused_naming_both_sides(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "1", chain.buys("ore", "3", unit="kWh"))
    facts = chain.facts()
    ore = next(each for each in facts if each.fact.issuer == "ore.example")

    with pytest.raises(StatementError) as refused:
        connect(facts, lambda *_: ore)

    assert str(refused.value) == (
        "line ore of urn:test:cell (cell.example) buys urn:test:ore of ore.example: "
        "3 kWh (energy) is not an amount in kg (mass)"
    )


def test_the_yield_divides_once(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("foil", "0", chain.buys("ore", "3", yield_="0.75"))
    chain.sells("cell", "0", chain.buys("foil", "1"))

    assert chain.total("cell") == "8"


@pytest.mark.parametrize("pinned", [0, 1])
def test_a_pin_decides_between_two_that_overlap(chain: Any, pinned: int) -> None:
    both = [chain.sells("ore", kg) for kg in ("2", "3")]
    chain.sells("cell", "0", chain.buys("ore", "1", statement=both[pinned]))

    assert fed_by(chain, "cell") == [both[pinned]]


def test_a_pin_on_a_statement_that_is_not_here_is_a_gap_naming_it(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", "1", statement="ab" * 32))

    assert fed_by(chain, "cell") == [
        f"no statement for urn:test:ore of ore.example with commitment {'ab' * 32}"
    ]


def test_a_pin_on_another_suppliers_statement_is_a_gap(chain: Any) -> None:
    other = chain.sells("tin", "2")
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", "1", statement=other))

    assert f"with commitment {other}" in chain.added().missing("cell")["ore"]


@pytest.mark.parametrize("what", [Status.REVOKED, Status.CORRECTED])
def test_a_pin_never_overrides_a_status(chain: Any, what: Status) -> None:
    pinned = chain.sells("ore", "2")
    chain.sells("ore", "3")
    chain.sells("cell", "0", chain.buys("ore", "1", statement=pinned))
    chain.status("ore", pinned, what)

    assert fed_by(chain, "cell") == [
        f"no current statement for urn:test:ore of ore.example with commitment {pinned}: {what}"
    ]


@pytest.mark.parametrize("what", [Status.REVOKED, Status.CORRECTED])
def test_what_is_revoked_or_corrected_leaves_the_other_one(chain: Any, what: Status) -> None:
    wrong, right = chain.sells("ore", "2"), chain.sells("ore", "3")
    chain.sells("cell", "0", chain.buys("ore", "1"))
    chain.status("ore", wrong, what)

    assert fed_by(chain, "cell") == [right]


def test_what_is_superseded_stays_right_for_its_own_period(chain: Any) -> None:
    old = chain.sells("ore", "2")
    chain.sells("ore", "3", period=year(2026))
    chain.sells("cell", "0", chain.buys("ore", "1"))
    chain.status("ore", old, Status.SUPERSEDED)

    assert fed_by(chain, "cell") == [old]


def test_nothing_of_a_broken_log_feeds_anybody(chain: Any) -> None:
    chain.sells("ore", "2")
    chain.sells("cell", "0", chain.buys("ore", "1"))
    chain.maker("ore").enter("bcca/v1 something new")

    assert "in a broken log" in chain.added().missing("cell")["ore"]


def test_a_site_chooses_between_plants(chain: Any) -> None:
    plants = {s: chain.sells("ore", kg, site=Site(id=s)) for s, kg in (("A", "2"), ("B", "3"))}
    chain.sells("cell", "0", chain.buys("ore", "1", site="B"))
    chain.sells(
        "pack", "0", chain.buys("ore", "1", site="A"), chain.buys("ore", line="2", site="C")
    )

    assert fed_by(chain, "cell") == [plants["B"]]
    assert fed_by(chain, "pack") == [
        plants["A"], "no statement for urn:test:ore of ore.example"
    ]  # fmt: skip


def test_who_names_no_plant_may_be_fed_by_any_if_there_is_one(chain: Any) -> None:
    only = chain.sells("ore", "2", site=Site(id="A"))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert fed_by(chain, "cell") == [only]


@pytest.mark.parametrize("sites", [(None, None), ("A", "A"), ("A", "B")])
def test_two_current_statements_that_overlap_are_a_gap_that_shows_both(
    chain: Any, sites: tuple[str | None, str | None]
) -> None:
    both = [
        chain.sells("ore", kg, site=Site(id=site) if site else None)
        for site, kg in zip(sites, ("2", "3"), strict=True)
    ]
    chain.sells("cell", "0", chain.buys("ore", "1"))

    first, second = sorted(both)
    assert fed_by(chain, "cell") == [
        "two current statements of ore.example for urn:test:ore in one period: "
        f"{first} and {second}"
    ]


def test_the_greatest_overlap_with_the_roots_period_feeds(chain: Any) -> None:
    less = chain.sells("ore", "2", period=Interval("2024-06-01T00:00:00Z", "2025-06-01T00:00:00Z"))
    more = chain.sells("ore", "3", period=Interval("2025-06-01T00:00:00Z", "2026-06-01T00:00:00Z"))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert less != more
    assert fed_by(chain, "cell") == [more]


def test_when_it_was_acquired_counts_before_the_roots_period(chain: Any) -> None:
    first = chain.sells("ore", "2", period=half(1))
    second = chain.sells("ore", "3", period=half(2))
    chain.sells(
        "cell",
        "0",
        chain.buys("ore", "1", acquired=Interval("2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z")),
        chain.buys("ore", "1", line="later", acquired=half(2)),
    )

    assert fed_by(chain, "cell") == [first, second]


def test_without_an_overlap_the_latest_earlier_one_feeds(chain: Any) -> None:
    chain.sells("ore", "2", period=year(2022))
    latest = chain.sells("ore", "3", period=year(2023))
    chain.sells("ore", "4", period=year(2026))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert fed_by(chain, "cell") == [latest]


def test_two_earlier_ones_that_end_together_are_a_gap(chain: Any) -> None:
    chain.sells("ore", "2", period=year(2023))
    chain.sells("ore", "3", period=half(2, of=2023))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert "two current statements of ore.example" in chain.added().missing("cell")["ore"]


def test_what_expired_before_the_period_feeds_nobody(chain: Any) -> None:
    chain.rules = CURRENT_ALONE
    chain.sells("ore", "2", period=year(2020))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert fed_by(chain, "cell") == [
        "every statement for urn:test:ore of ore.example expired before 2025-01-01T00:00:00Z"
    ]


def test_a_validity_that_ends_as_the_period_starts_is_expired(chain: Any) -> None:
    chain.rules = CURRENT_ALONE
    chain.sells("ore", "2", period=year(2021))  # three years from 2022-01-01
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert "expired before" in chain.added().missing("cell")["ore"]


def test_a_validity_that_ends_a_second_into_the_period_is_not(chain: Any) -> None:
    period = Interval("2021-01-01T00:00:00Z", "2022-01-01T00:00:01Z")
    old = chain.sells("ore", "2", period=period)
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert fed_by(chain, "cell") == [old]


def test_what_was_valid_when_it_was_acquired_but_not_in_the_roots_period_feeds_nobody(
    chain: Any,
) -> None:
    chain.rules = CURRENT_ALONE
    chain.sells("ore", "2", period=year(2020))
    chain.sells("cell", "0", chain.buys("ore", "1", acquired=half(2, of=2020)))

    assert fed_by(chain, "cell") == [
        "every statement for urn:test:ore of ore.example expired before 2025-01-01T00:00:00Z"
    ]


def test_what_is_only_about_later_feeds_nobody(chain: Any) -> None:
    chain.sells("ore", "2", period=year(2026))
    chain.sells("cell", "0", chain.buys("ore", "1"))

    assert fed_by(chain, "cell") == [
        "every statement for urn:test:ore of ore.example is about a time after 2026-01-01T00:00:00Z"
    ]


def test_a_supplier_named_with_another_log_key_feeds_nobody(chain: Any) -> None:
    chain.sells("ore", "2")
    claimed = chain.impostor("ore")
    chain.sells("cell", "0", chain.buys("ore", "1", supplier=claimed))

    assert fed_by(chain, "cell") == [
        f"urn:test:ore of ore.example: named with log key {claimed.key}, which is not that log's"
    ]


def test_two_lines_with_one_key_right_and_one_wrong_are_told_apart(chain: Any) -> None:
    ore = chain.sells("ore", "2")
    wrong = chain.buys("ore", "1", supplier=chain.impostor("ore"))
    chain.sells("cell", "0", wrong, chain.buys("ore", line="right"))

    reason, right = fed_by(chain, "cell")

    assert right == ore
    assert "not that log's" in reason


def certificate(serial: str) -> dict[str, Any]:
    instrument = Instrument(type="GEC", vintage="2025", market="CN", claim_handle=serial * 32)
    return {"electricity": Electricity(supply="contract", instrument=instrument)}


def power(line: Any, serial: str, name: str = "own") -> Any:
    return line(name, "1", "0.03", "kWh", kind="energy", **certificate(serial))


def test_a_certificate_that_two_parts_claim_is_shown_with_both(chain: Any, line: Any) -> None:
    for name, serial in (("ore", "aa"), ("cell", "aa"), ("foil", "bb")):
        chain.sells(name, activities=[power(line, serial)])
    parts = chain.graph().parts

    (claimed,) = double_claims(parts)

    assert (claimed[0], claimed[1].name, claimed[2].name) == ("aa" * 32, "cell", "ore")


def test_a_certificate_that_three_parts_claim_is_shown_twice(chain: Any, line: Any) -> None:
    for name in ("a", "b", "c"):
        chain.sells(name, activities=[power(line, "aa"), power(line, "bb", "two")])

    claimed = [
        (claim[:2], one.name, two.name) for claim, one, two in double_claims(chain.graph().parts)
    ]

    assert claimed == [("aa", "a", "b"), ("bb", "a", "b"), ("aa", "a", "c"), ("bb", "a", "c")]
