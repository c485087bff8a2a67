"""Footprints of PACT from signed statements: every figure exact, what is not carried told."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.node.pactshop import NOW, URN, Shop, buys, rolled

from bcca_node.ledger.node import Node
from bcca_node.pact import derive, extension, model, numbers
from bcca_node.pact.model import CarbonFootprint, ProductFootprint
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Amount, CarbonContent, Interval
from bcca_protocol.statement import Classification, Method, Producer, Product, Site

WHOLE = Stages(
    raw_material=Components(fossil="1.1", biogenic_uptake="-0.3", biogenic_co2="0.25"),
    production=Components(
        fossil="2.000000000000000000000000000000001",
        land_use_change="0.4",
        ccs_capture="-0.1",
        packaging="0.05",
    ),
    distribution=Components(fossil="0.7"),
    use=Components(fossil="9"),
    end_of_life=Components(fossil="0.2"),
)


@pytest.fixture
def shop(new_node: Callable[..., Node]) -> Shop:
    url = "https://shop.example/bcca"
    return Shop(new_node("shop.example/bcca", url=url, clock=lambda: NOW))


def made(shop: Shop, predicate: Any) -> ProductFootprint:
    """Return what a predicate gives, as PACT partners get it."""
    signed = derive.Signed(
        commitment="ab" * 32,
        predicate=derive.whole(predicate),
        ids=(),
        created="2026-01-01T00:00:00Z",
        preceding=(),
        extension=model.Extension("2.0.0", "https://x.example/s", msgspec.Raw(b"{}")),
    )
    return msgspec.json.decode(model.encode(derive.derive(signed)), type=ProductFootprint)


def test_pcf_is_raw_material_and_production_and_the_rest_is_told(shop: Shop) -> None:
    footprint = made(shop, rolled(shop.part("cell"), WHOLE))

    pcf = footprint.pcf
    assert pcf.fossil_ghg_emissions == "3.100000000000000000000000000000001"
    assert pcf.pcf_excluding_biogenic_uptake == "3.400000000000000000000000000000001"
    assert pcf.pcf_including_biogenic_uptake == "3.100000000000000000000000000000001"
    assert pcf.outbound_logistics_ghg_emissions == "0.7"
    assert (pcf.packaging_emissions_included, pcf.packaging_ghg_emissions) == (True, "0.05")
    assert footprint.comment is not None
    assert "endOfLife.fossil 0.2, rawMaterial.biogenicCO2 0.25, use.fossil 9." in footprint.comment


def test_the_sums_of_pact_hold_to_the_last_digit(shop: Shop) -> None:
    pcf = made(shop, rolled(shop.part("cell"), WHOLE)).pcf
    addends = (
        pcf.fossil_ghg_emissions,
        pcf.land_use_change_ghg_emissions,
        pcf.land_management_biogenic_co2_emissions,
        pcf.land_management_biogenic_co2_removals,
        pcf.technological_co2_removals,
        pcf.ccs_technological_co2_capture,
        pcf.biogenic_non_co2_emissions,
    )

    total = numbers.total(Decimal(each) for each in addends if each is not None)
    assert numbers.text(total) == pcf.pcf_excluding_biogenic_uptake
    uptake = Decimal(pcf.biogenic_co2_uptake or "0")
    assert numbers.text(numbers.total((total, uptake))) == pcf.pcf_including_biogenic_uptake


def test_quality_is_in_percent_and_from_one_to_five(shop: Shop) -> None:
    pcf = made(shop, rolled(shop.part("cell"), WHOLE)).pcf

    assert (pcf.primary_data_share, pcf.exempted_emissions_percent) == ("75", "1.5")
    assert pcf.dqi == model.Dqi("2", "1.5", "2.5")


def test_no_json_number_no_null_and_no_exponent_is_written(shop: Shop) -> None:
    tiny = Stages(production=Components(fossil="0." + "0" * 40 + "1"))

    content = model.encode(made(shop, rolled(shop.part("cell"), tiny)))

    def leaves(found: Any) -> Any:
        match found:
            case dict():
                return [leaf for each in found.values() for leaf in leaves(each)]
            case list():
                return [leaf for each in found for leaf in leaves(each)]
        return [found]

    assert all(isinstance(leaf, str | bool) for leaf in leaves(msgspec.json.decode(content)))
    assert b"E-" not in content
    assert b'"fossilGhgEmissions":"0.' + b"0" * 40 + b'1"' in content


@pytest.mark.parametrize(
    ("amount", "unit", "told"),
    [
        ("1", "kg", ("1", "kilogram", "1")),
        ("2.5", "t", ("2500", "kilogram", "2500")),
        ("1", "lb", ("0.45359237", "kilogram", "0.45359237")),
        ("3", "MWh", ("3000", "kilowatt hour", "0")),
        ("1", "GJ", ("1000", "megajoule", "0")),
        ("1", "tkm", ("1", "ton kilometer", "0")),
        ("1", "shortTonMile", ("1.45997231821056", "ton kilometer", "0")),
    ],
)
def test_a_declared_unit_is_one_of_pacts_ten(
    shop: Shop, amount: str, unit: Any, told: tuple[str, ...]
) -> None:
    pcf = made(shop, rolled(shop.part("x"), WHOLE, declared_unit=Amount(amount, unit))).pcf

    found = (pcf.declared_unit_amount, pcf.declared_unit_of_measurement)
    assert (*found, pcf.product_mass_per_declared_unit) == told


def test_a_unit_that_says_something_else_is_not_taken_for_one_of_pacts(shop: Shop) -> None:
    for unit in ("kWhCapacity", "kWhLHV", "Nm3", "km", "m2*year"):
        stated = rolled(shop.part("x"), WHOLE, declared_unit=Amount("1", unit))
        with pytest.raises(StatementError, match=r"none of PACT's ten units"):
            made(shop, stated)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"incomplete": True}, "incomplete"),
        ({"declared_unit": Amount("1", "piece")}, "state massKg"),
        ({"footprint": Stages(production=Components(fossil="-1"))}, "fossil of raw.* is -1 kg"),
        ({"validity": Interval("2025-02-01T00:00:00Z", "2025-06-01T00:00:00Z")}, "valid until"),
        (
            {"method": Method(standards=(), gwp="AR6", recycling="cutOff", electricity="market")},
            "names no standard",
        ),
    ],
)
def test_what_pact_cannot_say_is_not_served(shop: Shop, changed: dict[str, Any], why: str) -> None:
    stated = msgspec.structs.replace(rolled(shop.part("x"), WHOLE), **changed)

    with pytest.raises(StatementError, match=why):
        made(shop, stated)


def test_a_partial_footprint_that_buys_something_is_not_whole(shop: Shop) -> None:
    with pytest.raises(StatementError, match="it buys 1 products that are not in it"):
        derive.whole(shop.part("cell", inputs=(buys("ore"),)))


def test_names_are_urns_that_a_query_carries_unescaped(shop: Shop) -> None:
    product = Product(
        id=f"{URN}cell",
        name="Cell & Söhne",
        classifications=(
            Classification("UNSPSC", "26111700"),
            Classification("eclass", "0173-1#01-AKG243#015"),
            Classification("House list", "a&b+c"),
        ),
    )
    site = Site(id="s", country="SE", subdivision="SE-O")

    footprint = made(shop, msgspec.structs.replace(shop.part("cell", site=site), product=product))

    assert footprint.product_classifications == (
        "urn:unspsc:26111700",
        "urn:eclass:0173-1%2301-AKG243%23015",
        "urn:pact:shop.example:house-list:a%26b%2Bc",
    )
    assert footprint.company_ids == ("urn:pact:shop.example:company-id:bcca",)
    assert footprint.pcf.geography_country is None  # at most one of the three
    assert footprint.pcf.geography_country_subdivision == "SE-O"


def test_carbon_that_is_stated_is_carried_and_none_is_told_as_none(shop: Shop) -> None:
    producer = Producer(name="Cells", ids=("urn:lei:5493001KJTIIGC8Y1R12",))
    stated = shop.part("a", carbon_content=CarbonContent("0.10", "0.2"), producer=producer)

    footprint, without = made(shop, stated), made(shop, shop.part("b"))

    assert footprint.company_ids == producer.ids
    assert (footprint.pcf.fossil_carbon_content, footprint.pcf.biogenic_carbon_content) == (
        "0.1",
        "0.2",
    )
    assert without.pcf.fossil_carbon_content == "0"
    assert "No carbon content is stated" in (without.comment or "")


def test_validity_never_begins_before_the_reference_period_ends(shop: Shop) -> None:
    given = Interval("2025-06-01T00:00:00Z", "2027-01-01T00:00:00Z")

    footprint = made(shop, shop.part("a", validity=given))

    assert footprint.validity_period_start == footprint.pcf.reference_period_end
    assert footprint.validity_period_end == "2027-01-01T00:00:00Z"


def test_every_field_of_the_specification_is_there_under_its_name() -> None:
    names = {each.encode_name for each in msgspec.structs.fields(CarbonFootprint)}

    assert {
        "landManagementBiogenicCO2Removals",
        "ccsTechnologicalCO2CaptureIncluded",
        "technologicalCO2CaptureOrigin",
        "biogenicNonCO2Emissions",
        "pcfIncludingBiogenicUptake",
        "ipccCharacterizationFactors",
    } <= names
    assert len(names) == 45


def test_numbers_are_plain_and_exact() -> None:
    assert numbers.text(Decimal("1E+3")) == "1000"
    assert numbers.text(Decimal("-0.00")) == "0"
    assert numbers.text(numbers.total((Decimal("1E+60"), Decimal("1E-60")))) == (
        "1" + "0" * 60 + "." + "0" * 59 + "1"
    )
    assert numbers.percent(Decimal(1), Decimal(3)) == "33.33"
    assert numbers.percent(Decimal(0), Decimal(0)) == "0"


def test_the_extension_is_read_back_as_it_was_written() -> None:
    place = extension.Place(base="http://shop.example/x", origin="shop.example", key="k+aa+bb")
    made_ = extension.write(place, "cd" * 32, 7, b'{"payload":"e30="}', "proof")

    assert made_.data_schema == "https://shop.example/x/pact/extension/1.0.0/schema.json"
    assert extension.is_ours(made_)
    assert not extension.is_ours(model.Extension("2.0.0", "https://a.example/s", made_.data))


def test_ids_are_frozen() -> None:
    assert model.id_of("ab" * 32) == "55ab8334-dff4-552e-8bf4-ea47b5567ae9"
