"""The 41 cases of PACT 3.0, as a foreign tester asks them of `bcca serve` over HTTPS.

Twice: of a node whose footprints say everything that can be filtered by, and of one whose
footprints say no more than they must. The tester has teeth: what the official suite was observed
to refuse, it refuses.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
from tests.system import pact_schema as schema
from tests.system.pact_ground import Ground
from tests.system.pact_schema import CREATED, FULFILLED, GOOD, PUBLISHED
from tests.system.pact_suite import CASES, Suite, verdicts

from bcca_protocol.statement import Producer, Product

Change = Callable[[dict[str, Any]], object]

WHOLE, SPARE = "says-all", "says-little"
KINDS = (WHOLE, SPARE)
IDS = [f"{number} {words}" for number, words, _ in CASES]


@pytest.fixture(scope="module", params=KINDS)
def ran(request: pytest.FixtureRequest, pact: Ground) -> tuple[Suite, Mapping[str, str]]:
    """Run all cases in their order against a node with two footprints."""
    side = pact.side(request.param)
    side.start()
    for name, kg in (("C1", 2), ("C2", 5)):
        if request.param == WHOLE:
            side.sell(name, kg=kg)
            continue
        bare: dict[str, Any] = {
            "product": Product(id=f"urn:bcca:case:t:{name}", name=name),
            "producer": Producer(name="Somebody"),
            "site": None,
        }
        side.sell(name, kg=kg, **bare)
    suite = Suite(tester=pact.acquaint(side, "suite"))
    told = dict(verdicts(suite))
    assert side.stop() == 0
    return suite, told


@pytest.mark.parametrize("number", [number for number, _, _ in CASES], ids=IDS)
def test_the_case_passes(ran: tuple[Suite, Mapping[str, str]], number: str) -> None:
    _, told = ran

    assert told[number] == ""


def test_all_cases_were_asked_in_their_order(ran: tuple[Suite, Mapping[str, str]]) -> None:
    _, told = ran

    assert list(told) == [number for number, _, _ in CASES]
    assert len(told) == 41


def test_no_refusal_of_a_token_needs_a_warning(ran: tuple[Suite, Mapping[str, str]]) -> None:
    suite, _ = ran

    assert suite.warnings == []


def test_callbacks_bring_a_token_that_the_tester_issued(
    ran: tuple[Suite, Mapping[str, str]],
) -> None:
    suite, _ = ran
    listener = suite.tester.listener

    assert [each.event["type"] for each in listener.events].count(FULFILLED) == 1
    for each in listener.heard:
        if each.path == "/3/events":
            assert each.status == 200
            assert each.authorization.removeprefix("Bearer ") in listener.tokens
            assert each.content_type.lower() == "application/cloudevents+json; charset=utf-8"


def test_every_footprint_of_the_run_makes_sense(ran: tuple[Suite, Mapping[str, str]]) -> None:
    suite, _ = ran

    assert len(suite.listed) == 2
    assert [schema.sense(each) for each in suite.listed] == [[], []]


# The tester's own teeth.


def spoilt(change: Change) -> dict[str, Any]:
    made = deepcopy(GOOD)
    change(made)
    return made


def test_a_good_footprint_has_neither_a_wrong_shape_nor_nonsense() -> None:
    assert (schema.shape(GOOD), schema.sense(GOOD)) == ([], [])


REFUSED: Mapping[str, Change] = {
    "null": lambda made: made.update(precedingPfIds=None),
    "status in small letters": lambda made: made.update(status="active"),
    "an id in braces": lambda made: made.update(id="{8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b11}"),
    "an id twice": lambda made: made.update(productIds=["urn:a:b", "urn:a:b"]),
    "no company id": lambda made: made.update(companyIds=[]),
    "no company name": lambda made: made.pop("companyName"),
    "a JSON number": lambda made: made["pcf"].update(fossilGhgEmissions=14.2),
    "a comma": lambda made: made["pcf"].update(fossilGhgEmissions="14,2"),
    "an exponent": lambda made: made["pcf"].update(fossilGhgEmissions="1.42E+1"),
    "kg": lambda made: made["pcf"].update(declaredUnitOfMeasurement="kg"),
    "two geographies": lambda made: made["pcf"].update(
        geographyCountry="FI", geographyRegionOrSubregion="Europe"
    ),
    "two ratings missing": lambda made: made["pcf"].update(dqi={"technologicalDQR": "1"}),
    "a day for a moment": lambda made: made.update(validityPeriodStart="2026-01-01"),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_what_the_official_suite_refuses_in_a_footprint_is_refused(
    change: Change,
) -> None:
    assert len(schema.shape(spoilt(change))) > 0


UNNOTICED: Mapping[str, Change] = {
    "totals that do not add up": lambda made: made["pcf"].update(pcfExcludingBiogenicUptake="20"),
    "uptake left out": lambda made: made["pcf"].update(biogenicCO2Uptake="-1"),
    "a negative content": lambda made: made["pcf"].update(fossilCarbonContent="-1"),
    "DQR 9": lambda made: made["pcf"].update(
        dqi={"technologicalDQR": "9", "geographicalDQR": "1", "temporalDQR": "1"}
    ),
    "a share over 100": lambda made: made["pcf"].update(primaryDataShare="101"),
    "a reversed period": lambda made: made["pcf"].update(
        referencePeriodStart="2027-01-01T00:00:00Z"
    ),
    "packaging without the flag": lambda made: made["pcf"].update(
        packagingEmissionsIncluded=False, packagingGhgEmissions="0"
    ),
    "valid before the period ends": lambda made: made.update(
        validityPeriodStart="2025-06-01T00:00:00Z"
    ),
    "valid for ten years": lambda made: made.update(validityPeriodEnd="2036-01-01T00:00:00Z"),
    "version 2": lambda made: made.update(specVersion="2.0.0"),
}


@pytest.mark.parametrize("change", UNNOTICED.values(), ids=UNNOTICED)
def test_what_the_official_suite_does_not_notice_is_noticed(
    change: Change,
) -> None:
    made = spoilt(change)

    assert schema.shape(made) == []
    assert len(schema.sense(made)) == 1


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (FULFILLED, {"requestEventId": "1", "pfs": []}),
        (FULFILLED, {"pfs": [GOOD]}),
        (PUBLISHED, {"pfIds": ["urn:gtin:4712345060507"]}),
        (PUBLISHED.replace("pact", "pathfinder"), {"pfIds": [GOOD["id"]]}),
    ],
)
def test_an_event_of_another_shape_is_refused(kind: str, data: dict[str, Any]) -> None:
    event = {
        "type": kind,
        "specversion": "1.0",
        "id": "1",
        "source": "https://a.example",
        "time": "2026-02-01T08:00:00Z",
        "data": data,
    }

    assert len(schema.event_shape(event)) > 0
    assert schema.event_shape({**event, "type": CREATED, "data": {}}) == []
