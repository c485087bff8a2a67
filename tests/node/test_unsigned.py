"""PACT footprints that nobody signed, where a statement is missing: exact, told, or not used."""

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from tests.node.foreignwords import CELL, ID, LEI, YEAR, written
from tests.node.unsignedpack import AT, KEY, Maker, gap

from bcca_node.ledger.node import Node
from bcca_node.packmaker.ownvalues import OwnValue, filled
from bcca_node.packmaker.unsigned import BESIDE, COUNTED
from bcca_node.packmaker.unsignedrung import rung
from bcca_node.pact import amounts
from bcca_node.storage import foreign, pairs, partners
from bcca_node.storage.partners import Part as Pair
from bcca_node.storage.partners import Partner, PartState
from bcca_protocol.choices import Choice, Chooser, Flagged, Missing, Why
from bcca_protocol.footprint import COMPONENTS, OF_WHICH, Components, values_of
from bcca_protocol.inventory import Factor
from bcca_protocol.partial import Bought, Part
from bcca_protocol.results import Substitute
from bcca_protocol.rules import neutral
from bcca_protocol.statement import PartialFootprint
from bcca_protocol.substituted import Substituted, substituted

OTHER = "urn:lei:529900T8BM49AURSDO55"


@pytest.fixture
def maker(node: Node, part: Callable[..., PartialFootprint]) -> Maker:
    return Maker(node, part)


# What it says.


def test_it_fills_a_gap_with_its_numbers_as_they_came_and_says_where_they_are_from(
    maker: Maker,
) -> None:
    maker.came(written(geographyCountry=None, geographyCountrySubdivision="CN-QH"))
    stated = maker.stated()
    factor = stated.factor

    assert (factor.values.fossil, factor.unit, factor.gwp) == ("14.20", "kg", "AR6")
    assert (factor.kind, factor.dataset, factor.geography) == ("supplierSpecific", ID, "CN-QH")
    assert factor.source == f"PACT 3, Cells AG ({LEI})"
    assert factor.version == f"{YEAR.start}/{YEAR.end}"
    assert stated.reason.startswith(
        "unsigned PACT footprint of pact:cells, received 2026-02-02T02:40:00Z, SHA-256 "
    )
    assert stated.reason.endswith(
        f"valid until 2029-01-01T00:00:00Z; it names {CELL}, which one partner and one supplier "
        "have here"
    )


def test_each_component_goes_where_it_belongs_and_outbound_logistics_nowhere(
    maker: Maker,
) -> None:
    maker.came(
        written(
            fossilGhgEmissions="10",
            landUseChangeGhgEmissions="2.50",
            landManagementBiogenicCO2Emissions="1",
            landManagementBiogenicCO2Removals="-0.5",
            technologicalCO2Removals="-0.25",
            ccsTechnologicalCO2Capture="-0.125",
            biogenicNonCO2Emissions="0.1",
            biogenicCO2Uptake="-3",
            aircraftGhgEmissions="0.2",
            packagingEmissionsIncluded=True,
            packagingGhgEmissions="0.3",
            outboundLogisticsGhgEmissions="7",
            pcfExcludingBiogenicUptake="12.725",
            pcfIncludingBiogenicUptake="9.725",
        )
    )
    stated = maker.stated()

    assert {name: str(kg) for name, kg in values_of(stated.factor.values)} == {
        "fossil": "10", "biogenicNonCO2": "0.1", "biogenicUptake": "-3", "landUseChange": "2.50",
        "landManagement": "1", "landRemovals": "-0.5", "technologicalRemovals": "-0.25",
        "ccsCapture": "-0.125", "aviation": "0.2", "packaging": "0.3",
    }  # fmt: skip
    assert "outbound logistics of 7 kg CO2e per 1 kg left out" in stated.reason


def test_every_field_that_pact_adds_up_is_a_component_and_no_other(maker: Maker) -> None:
    assert sorted(COUNTED.values()) == sorted(amounts.SUMMED)
    counted = {name for name in COMPONENTS if name not in OF_WHICH | {"biogenicCO2"}}
    assert len(COUNTED) + 1 == len(counted)
    assert len(BESIDE) == 1 + len(OF_WHICH)


def test_packaging_that_is_said_not_to_be_included_is_no_part_of_it(maker: Maker) -> None:
    maker.came(written(packagingEmissionsIncluded=False, packagingGhgEmissions="0.3"))

    assert maker.factor().values.packaging is None


@pytest.mark.parametrize(
    ("declared", "line", "fossil"),
    [
        ("1000 kilogram", "kg", "0.0142 kg"),
        ("1 kilogram", "t", "14.20 kg"),
        ("1 kilowatt hour", "MWh", "14.20 kWh"),
        ("1 megajoule", "kWh", "14.20 MJ"),
        ("1 piece", "piece", "14.20 piece"),
        ("1 liter", "m3", "14.20 l"),
        ("1 ton kilometer", "tkm", "14.20 tkm"),
        ("1 square meter", "m2", "14.20 m2"),
        ("0.5 cubic meter", "m3", "28.4 m3"),
        ("1 hour", "h", "14.20 h"),
        ("1 megabit second", "Mbit*s", "14.20 Mbit*s"),
    ],
)
def test_its_unit_is_one_of_the_table_and_its_amount_is_divided_away(
    maker: Maker, declared: str, line: str, fossil: str
) -> None:
    amount, _, unit = declared.partition(" ")
    maker.came(
        written(
            declaredUnitOfMeasurement=unit,
            declaredUnitAmount=amount,
            productMassPerDeclaredUnit=amount if unit == "kilogram" else "0",
            fossilCarbonContent="0",
        )
    )
    factor = maker.factor({"unit": line})

    assert f"{factor.values.fossil} {factor.unit}" == fossil


def test_what_is_divided_to_34_digits_is_told(maker: Maker) -> None:
    maker.came(written(declaredUnitAmount="3", productMassPerDeclaredUnit="3"))
    stated = maker.stated()

    assert stated.factor.values.fossil == "4.733333333333333333333333333333333"
    assert "divided by its 3 kg to 34 digits" in stated.reason


# What is not used, and why.


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"pcfExcludingBiogenicUptake": "20"}, "off by 5.80"),
        ({"pcfIncludingBiogenicUptake": "13"}, "off by 1.20"),
        (
            {"fossilGhgEmissions": "0.05", "landUseChangeGhgEmissions": "14.25"},
            "14.20, where its components come to 14.3: 0.1 kg CO2e per 1 kg less would leave "
            "-0.05 of fossilGhgEmissions",
        ),
        (
            {"landUseChangeGhgEmissions": "0.0000000000000000000000000000000000001"},
            "more than 34 significant digits",
        ),
        (
            {"fossilGhgEmissions": "0", "pcfExcludingBiogenicUptake": "0",
             "pcfIncludingBiogenicUptake": "0"},
            "0, which would hide a gap",
        ),
        ({"ipccCharacterizationFactors": ["AR5", "AR6"]}, "ipccCharacterizationFactors"),
        ({"ipccCharacterizationFactors": ["AR4"]}, "AR4, where AR5 or AR6 alone"),
        ({"ipccCharacterizationFactors": ["AR5"]}, "it is in AR5, urn:bcca:case:t:P1 in AR6"),
        ({"fossilGhgEmissions": 14.2}, "the JSON number 14.2, where text belongs"),
        ({"declaredUnitOfMeasurement": "kg"}, "declaredUnitOfMeasurement"),
        ({"declaredUnitOfMeasurement": "piece"}, "it is per piece, where the input is in kg"),
        ({"declaredUnitAmount": "0"}, "declaredUnitAmount"),
        ({"validityPeriodEnd": YEAR.start}, "it is never valid"),
        ({"status": "Deprecated"}, "it is deprecated"),
        (
            {"referencePeriodStart": "2020-01-01T00:00:00Z",
             "referencePeriodEnd": "2021-01-01T00:00:00Z"},
            "it was valid until 2024-01-01T00:00:00Z, before 2025-01-01T00:00:00Z",
        ),
        (
            {"referencePeriodStart": "2026-01-01T00:00:00Z",
             "referencePeriodEnd": "2027-01-01T00:00:00Z"},
            "it is about the time from 2026-01-01T00:00:00Z, after 2026-01-01T00:00:00Z",
        ),
    ],
)  # fmt: skip
def test_attack_what_does_not_add_up_or_does_not_fit_stays_out_and_the_gap_says_why(
    maker: Maker, changed: dict[str, Any], why: str
) -> None:
    maker.came(written(**changed))
    told = maker.why_not()

    assert told.startswith(f"unsigned footprint {ID} of pact:cells is not used: ")
    assert why in told


def test_what_somebody_accepted_is_used_with_the_reason(maker: Maker) -> None:
    maker.came(written(fossilGhgEmissions=14.2), accepted="they send numbers, and it is 14.2")

    assert maker.factor().values.fossil == "14.2"
    assert (
        "; an operator accepted it in spite of what is wrong with pcf.fossilGhgEmissions: they "
        "send numbers, and it is 14.2; "
    ) in maker.stated().reason


# Which one, and of whom.


def test_the_greatest_overlap_comes_first_and_then_what_came_last(maker: Maker) -> None:
    ids = [f"8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b1{n}" for n in range(3)]
    old = {
        "referencePeriodStart": "2024-01-01T00:00:00Z", "referencePeriodEnd": YEAR.start,
    }  # fmt: skip
    maker.came(written(ids[0]))
    maker.came(written(ids[1]))
    maker.came(written(ids[2], **old))

    assert maker.factor().dataset == ids[1]


def test_ids_are_compared_whatever_their_letters_and_a_noted_pair_names_what_is_not_alike(
    maker: Maker,
) -> None:
    ours = "urn:bcca:case:t:C12"
    maker.came(written(productIds=[CELL.upper().replace("URN", "urn")]))
    with maker.node.database.write() as session:
        pairs.put(session, [pair("pact:cells", CELL, ours, PartState.NOTED)])

    assert maker.factor().dataset == ID
    assert maker.stated({"product": ours}).reason.endswith(
        f"{CELL} is {ours} by the pair that is noted here"
    )


def test_two_suppliers_of_one_number_are_told_apart_by_products_of_our_own_and_a_pair_each(
    maker: Maker,
) -> None:
    ours = ["urn:bcca:part:pack:cell-a", "urn:bcca:part:pack:cell-b"]
    lines = [{"product": each, "origin": f"{each[-1]}.example"} for each in ours]
    for partner, product, name in zip(
        ("pact:a", "pact:b"), ours, (ID, ID[:-2] + "ff"), strict=True
    ):
        maker.came(written(name), partner)
        with maker.node.database.write() as session:
            pairs.put(session, [pair(partner, CELL, product, PartState.CONFIRMED)])

    assert maker.stated(*lines).factor.dataset == ID
    assert maker.stated(*lines[::-1]).factor.dataset == ID[:-2] + "ff"


@pytest.mark.parametrize("state", [PartState.ASKED, PartState.PROPOSED, PartState.REFUSED])
def test_attack_a_pair_that_only_the_other_side_stands_behind_names_nothing(
    maker: Maker, state: PartState
) -> None:
    ours = "urn:bcca:case:t:C12"
    maker.came(written())
    with maker.node.database.write() as session:
        pairs.put(session, [pair("pact:cells", CELL, ours, state)])

    assert maker.why_not({"product": ours}) == "no statement"


def test_attack_one_companys_footprint_does_not_stand_in_for_anothers(maker: Maker) -> None:
    maker.came(written())
    two: tuple[dict[str, Any], ...] = ({}, {"origin": "others.example"})
    assert f"2 suppliers sell {CELL} here" in maker.why_not(*two)

    with maker.node.database.write() as session:
        partners.put(session, company("cells.example", LEI))
    assert maker.stated(*two).reason.endswith(f"cells.example is {LEI.lower()}")

    with maker.node.database.write() as session:
        partners.put(session, company("cells.example", OTHER))
    assert f"it is of {LEI.lower()}, where cells.example is {OTHER.lower()}" in maker.why_not()


def test_attack_two_partners_that_name_one_product_stand_in_for_nobody_unless_ids_tell(
    maker: Maker,
) -> None:
    maker.came(written())
    maker.came(written(companyIds=[OTHER], fossilGhgEmissions="14.2"), "pact:liar")
    assert "2 partners sent some" in maker.why_not()

    with maker.node.database.write() as session:
        partners.put(session, company("cells.example", LEI))
    assert maker.factor().source.endswith(f"({LEI})")


def test_an_input_in_another_gwp_takes_only_one_in_that(maker: Maker) -> None:
    maker.came(written(ipccCharacterizationFactors=["AR5"]))

    assert maker.factor(gwp="AR5").gwp == "AR5"


# Its place on the ladder, and what the rules say.


def flagged(code: str) -> Chooser:
    """Choose a statement for want of a current one."""

    def choose(consumer: Part, _: Bought) -> Any:
        return Flagged(Signed(replace(consumer, bought=())), Why(code, code))  # type: ignore[arg-type]

    return choose


@dataclasses.dataclass(frozen=True)
class Signed:
    """A statement as a chooser returns one."""

    fact: Part


def default(consumer: Part, bought: Bought) -> Choice:
    """Choose a factor of a database."""
    return substituted(
        Substitute(factor=plain_factor("a database"), reason="near"), bought, consumer
    )


def plain_factor(source: str) -> Factor:
    return Factor(
        dataset="cell", gas="co2e", geography="GLO", kind="secondary", source=source, unit="kg",
        values=Components(fossil="9"),
    )  # fmt: skip


def test_it_goes_before_an_expired_statement_and_a_factor_and_after_all_else(
    maker: Maker,
) -> None:
    maker.came(written())

    assert isinstance(maker.fed(choose=flagged("expired")), Substituted)
    assert maker.factor(choose=default).dataset == ID
    assert isinstance(maker.fed(choose=flagged("sibling")), Flagged)
    settled = Missing("two current statements", is_settled=True)
    assert maker.fed(choose=lambda *_: settled) is settled
    assert isinstance(maker.fed({"amount": "0"}), Missing)


def test_what_the_maker_states_itself_goes_before_it(maker: Maker) -> None:
    maker.came(written())
    told = [OwnValue(asked=CELL, kg="3", unit=None, reason="LCA of 2024")]
    choose = filled(gap, [maker.pack()], told, lambda *_: None, neutral())
    found = maker.fed(choose=choose)

    assert isinstance(found, Substituted)
    assert found.stated.factor.values.fossil == "3"


def test_what_stands_in_instead_says_why_no_footprint_does(maker: Maker) -> None:
    maker.came(written(fossilGhgEmissions=14.2))
    expired, factor = maker.fed(choose=flagged("expired")), maker.fed(choose=default)

    assert isinstance(expired, Flagged)
    assert f"unsigned footprint {ID} of pact:cells is not used" in expired.why.words
    assert isinstance(factor, Substituted)
    assert factor.stated.reason.startswith(f"near; unsigned footprint {ID} of pact:cells")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"unsigned": False}, "the rules allow no unsigned footprint"),
        ({"secondary": ("a database",)}, "the rules do not allow factors of PACT 3, Cells AG"),
        ({"mandatory": ("urn:pact:*",)}, "the rules want a signed statement of its supplier"),
    ],
)
def test_where_the_rules_forbid_it_it_bounds_the_gap_and_nothing_more(
    maker: Maker, changed: dict[str, Any], why: str
) -> None:
    maker.came(written())
    rules = dataclasses.replace(neutral(), **changed)
    found = maker.fed({"unit": "t"}, rules=rules)
    expired = maker.fed(choose=flagged("expired"), rules=rules)

    assert isinstance(found, Missing)
    assert why in found.reason
    assert found.bound == Decimal("14200")  # kg CO2e per tonne of the line
    assert isinstance(expired, Flagged)
    assert why in expired.why.words


def test_rules_that_name_no_source_may_still_allow_it(maker: Maker) -> None:
    maker.came(written())
    rules = dataclasses.replace(neutral(), secondary=(), unsigned=True)

    assert maker.factor(rules=rules).dataset == ID


def test_where_nothing_came_the_chooser_is_the_same(maker: Maker) -> None:
    assert rung(maker.node, [maker.pack()], YEAR).over(gap, neutral()) is gap


def test_what_is_signed_is_a_copy_and_no_unsigned_footprint(maker: Maker) -> None:
    maker.came(written())
    with maker.node.database.write() as session:
        (kept,) = foreign.of_products(session, [CELL])
        foreign.update(session, dataclasses.replace(kept, trust=foreign.Trust.SIGNED))

    assert maker.why_not() == "no statement"


def pair(partner: str, theirs: str, ours: str, state: PartState) -> Pair:
    return Pair(partner=partner, theirs=theirs, ours=ours, state=state, changed=AT)


def company(origin: str, name: str) -> Partner:
    return Partner(
        origin=origin, name="Cells AG", url="https://cells.example", log_key=KEY, request_key=KEY,
        seal_key=KEY, roles=frozenset(), ids=((name, "read"),), since=AT,
    )  # fmt: skip
