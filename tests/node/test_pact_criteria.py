"""What is asked for: the same in a query and in an event, however a client writes it."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_node.pact.criteria import MAX_VALUES, Criteria, terms_of, validity_of
from bcca_node.pact.model import CarbonFootprint, ProductFootprint
from bcca_node.storage import pactshelf
from bcca_node.storage.database import Database
from bcca_node.storage.pactshelf import BEGINNING, PUBLIC, Card, Made, Term
from bcca_protocol.errors import MalformedError

PCF = CarbonFootprint(
    declared_unit_of_measurement="piece",
    declared_unit_amount="1",
    product_mass_per_declared_unit="1",
    reference_period_start="2025-01-01T00:00:00Z",
    reference_period_end="2026-01-01T00:00:00Z",
    geography_country="DE",
    pcf_excluding_biogenic_uptake="1",
    pcf_including_biogenic_uptake="1",
    fossil_ghg_emissions="1",
    fossil_carbon_content="0",
    ipcc_characterization_factors=("AR6",),
    cross_sectoral_standards=("ISO14067",),
    exempted_emissions_percent="0",
)
CELL = ProductFootprint(
    id="8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b11",
    spec_version="3.0.3",
    created="2026-02-01T08:00:00Z",
    status="Active",
    validity_period_start="2026-01-01T00:00:00Z",
    validity_period_end="2029-01-01T00:00:00Z",
    company_name="Cells AG",
    company_ids=("urn:lei:5493001KJTIIGC8Y1R12",),
    product_description="",
    product_ids=("urn:pact:cells.example:supplier-id:C1",),
    product_classifications=("urn:eclass:0173-1%2301-AKG243%23015",),
    product_name_company="Cell 1",
    pcf=PCF,
)


CURRENT, OVER = 1, 2


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[Database]:
    """Where a cell is kept twice: as it is, and as one that another has taken the place of."""
    path = shutil.copy(tables, tmp_path_factory.mktemp("shelf") / "node.db")
    over = msgspec.structs.replace(CELL, status="Deprecated")
    with closing(Database(f"sqlite:///{path}")) as found:
        with found.write() as session:
            pactshelf.put(session, [made(CURRENT, CELL), made(OVER, over)])
        yield found


def made(place: int, footprint: ProductFootprint) -> Made:
    card = Card(
        place=place,
        id=f"{place:032x}",
        commitment=f"{place:064x}",
        product=footprint.product_ids[0],
        sharing="public",
        stream=PUBLIC,
        deprecated=footprint.status == "Deprecated",
        changed=place,
        size=1,
    )
    handle, valid = place.to_bytes(32, "big"), validity_of(footprint)
    return Made(card, handle, *valid, terms_of(footprint), b"{}")


def found(shelf: Database, query: str) -> list[int]:
    """Return which of the two a query finds, as the node looks for them."""
    criteria = Criteria.from_query(query.encode())
    if criteria.is_impossible:
        return []
    with shelf.read() as session:
        cards = pactshelf.walk(session, criteria.wanted(), BEGINNING, 10)
    return sorted(card.place for card in cards)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "productId=",
        "geography=&classification=",
        "productId=URN:PACT:Cells.Example:supplier-id:c1",
        "productId=urn%3Apact%3Acells.example%3Asupplier-id%3AC1",
        "companyId=urn:none&companyId=urn:lei:5493001kjtiigc8y1r12",
        "geography=de",
        "classification=urn:eclass:0173-1%2301-AKG243%23015",
        "classification=urn%3Aeclass%3A0173-1%252301-AKG243%2523015",
        "validOn=2026-01-01T00:00:00Z",
        "validOn=2029-01-01T00:00:00Z",
        "validOn=2026-01-01T01:00:00+01:00",
        "validOn=2026-01-01T01:00:00 01:00",
        "validOn=2026-01-01T01%3A00%3A00%2B01%3A00",
        "validAfter=2025-12-31T23:59:59.5Z",
        "validBefore=2029-01-01T00:00:00.5Z",
        "status=ACTIVE",
        "status=active&status=deprecated",
        "x-other-thing=1&$filter=nothing",
    ],
)
def test_it_is_found(shelf: Database, query: str) -> None:
    assert CURRENT in found(shelf, query)


@pytest.mark.parametrize(
    "query",
    [
        "productId=urn:pact:cells.example:supplier-id:C1&companyId=urn:none",
        "geography=DE-SN",
        "geography=XX",
        "validOn=2025-12-31T23:59:59Z",
        "validOn=2029-01-01T00:00:00.1Z",
        "validAfter=2026-01-01T00:00:00Z",
        "validBefore=2029-01-01T00:00:00Z",
        "validOn=1900-01-01T00:00:00Z",
        "status=Deprecated",
        "status=BogusStatus",
    ],
)
def test_it_is_not_found(shelf: Database, query: str) -> None:
    assert CURRENT not in found(shelf, query)


@pytest.mark.parametrize(
    "query",
    [
        "validOn=yesterday",
        "validOn=2026-02-30T00:00:00Z",
        "validOn=2026-01-01",
        "validAfter=0001-01-01T00:00:00+14:00",
        "validOn=2026-01-01T00:00:00Z&validOn=2027-01-01T00:00:00Z",
        "&".join(["productId=urn:a:b"] * (MAX_VALUES + 1)),
        "companyId=urn:" + "a" * 2_000,
    ],
)
def test_what_cannot_be_read_is_refused(query: str) -> None:
    with pytest.raises(MalformedError):
        Criteria.from_query(query.encode())


def test_an_event_asks_as_a_query_does() -> None:
    told: dict[str, Any] = {
        "productId": ["URN:pact:cells.example:supplier-id:C1"],
        "geography": "DE",
        "status": ["Active"],
        "validOn": "2027-01-01T00:00:00Z",
        "comment": "please",
    }
    query = (
        b"productId=urn:PACT:cells.example:supplier-id:c1&geography=de&status=active"
        b"&validOn=2027-01-01T00:00:00Z"
    )

    asked = Criteria.from_event(told)

    assert asked == Criteria.from_query(query)
    assert asked.terms[Term.GEOGRAPHY] == ("de",)


@pytest.mark.parametrize("told", [{"productId": [1]}, {"status": {}}, {"validOn": 5}])
def test_an_event_that_asks_with_something_else_is_refused(told: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        Criteria.from_event(told)


def test_a_deprecated_footprint_is_found_as_such(shelf: Database) -> None:
    assert found(shelf, "") == [CURRENT, OVER]
    assert found(shelf, "status=deprecated") == [OVER]
    assert found(shelf, "status=Active") == [CURRENT]
