"""What is wrong with a foreign footprint is told by field, and what counts keeps it out of runs."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.system.foreign_host import ID, footprint

from bcca_node.pact import model, numbers, reading
from bcca_node.pact.fields import MAX_ITEMS, MAX_PROBLEMS
from bcca_node.pact.judge import Judged, judge
from bcca_node.storage.foreign import Weight
from bcca_protocol.errors import BccaError, LimitError, MalformedError
from bcca_protocol.wire import showable

AT = 1_790_000_000
FATAL, WARNING = Weight.FATAL, Weight.WARNING
Told = tuple[str, str, Weight]


def judged(pcf: dict[str, Any] | None = None, **told: Any) -> Judged:
    return of(json.dumps(footprint(pcf=pcf, **told)))


def of(text: str) -> Judged:
    return judge(reading.tree(text.encode(), "footprint"), at=AT)


def told(found: Judged) -> list[Told]:
    return [(each.field, each.told, each.weight) for each in found.problems]


def test_a_sound_footprint_has_no_problem_and_every_digit() -> None:
    found = judged()

    assert found.problems == ()
    assert {name: str(value) for name, value in found.numbers.items()} == {
        "pcfExcludingBiogenicUptake": "14.20",
        "pcfIncludingBiogenicUptake": "13.70",
        "fossilGhgEmissions": "14.00",
        "biogenicNonCO2Emissions": "0.20",
        "biogenicCO2Uptake": "-0.50",
    }
    assert (found.unit, found.amount, found.gwp) == ("kg", Decimal(1), "AR6")
    assert (found.id, found.geography) == (ID.format(1), "FI")
    assert found.valid_until == datetime(2029, 1, 1, tzinfo=UTC)


def test_uptake_that_is_biogenic_carbon_to_its_last_digit_is_no_problem() -> None:
    assert judged({"biogenicCarbonContent": "0.136"}).problems == ()  # of which 44/12 are 0.4986…


@pytest.mark.parametrize("unit", model.DECLARED_UNITS)
def test_every_unit_of_pact_is_one_here(unit: model.DeclaredUnit) -> None:
    found = judged({"declaredUnitOfMeasurement": unit})

    assert (found.unit, found.problems) == (numbers.UNITS[unit], ())


FOSSIL = "pcf.fossilGhgEmissions"
SUM = "pcf.pcfExcludingBiogenicUptake"
BIO = "biogenicNonCO2Emissions"


@pytest.mark.parametrize(
    ("pcf", "field", "words", "weight"),
    [
        ({"fossilGhgEmissions": 14.0}, FOSSIL, "the JSON number 14.0, where text", FATAL),
        ({"fossilGhgEmissions": None}, FOSSIL, "null, where it has to be", FATAL),
        ({"fossilGhgEmissions": ...}, FOSSIL, "absent, where it has to be", FATAL),
        ({"fossilGhgEmissions": "14,2"}, FOSSIL, "'14,2' is no decimal in text", FATAL),
        ({"fossilGhgEmissions": "about 14"}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": "1.4E1"}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": "١٤"}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": "14\n"}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": "NaN"}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": ["14"]}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": True}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": "-14.00"}, FOSSIL, "'-14.00' is below zero", FATAL),
        ({"fossilGhgEmissions": "9" * 129}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": "1." + "3" * 34}, FOSSIL, "is no decimal", FATAL),
        ({"fossilGhgEmissions": "1" + "0" * 16}, FOSSIL, "is beyond 10000000000", FATAL),
        ({"biogenicCO2Uptake": "0.50"}, "pcf.biogenicCO2Uptake", "is above zero", FATAL),
        ({BIO: None}, f"pcf.{BIO}", "null, where it is left out", WARNING),
        ({BIO: 0.2}, f"pcf.{BIO}", "the JSON number 0.2", FATAL),
        (
            {"fossilGhgEmissions": "20.022", BIO: "0"},
            SUM,
            "14.20, where fossilGhgEmissions + biogenicNonCO2Emissions is 20.022: off by 5.822",
            FATAL,
        ),
        ({"fossilGhgEmissions": "14.01"}, SUM, "off by 0.01, 0.07 %", WARNING),
        (
            {"pcfIncludingBiogenicUptake": "14.20"},
            "pcf.pcfIncludingBiogenicUptake",
            "14.20, where pcfExcludingBiogenicUptake + biogenicCO2Uptake is 13.70: off by 0.50",
            FATAL,
        ),
        (
            {"biogenicCarbonContent": "0.3"},
            "pcf.biogenicCO2Uptake",
            "printed as -0.5, where biogenicCarbonContent x 44/12 gives -1.1",
            WARNING,
        ),
        ({"technologicalCO2Removals": "1"}, "pcf.technologicalCO2Removals", "above zero", FATAL),
        ({"aircraftGhgEmissions": "-1"}, "pcf.aircraftGhgEmissions", "below zero", FATAL),
        ({"landAreaOccupation": "-1"}, "pcf.landAreaOccupation", "below zero", WARNING),
        ({"declaredUnitOfMeasurement": "kg"}, "pcf.declaredUnitOfMeasurement", "one of", FATAL),
        (
            {"declaredUnitOfMeasurement": "Kilogram"},
            "pcf.declaredUnitOfMeasurement",
            "where 'kilogram' belongs",
            WARNING,
        ),
        ({"declaredUnitAmount": "0"}, "pcf.declaredUnitAmount", "not above zero", FATAL),
        ({"declaredUnitAmount": 1}, "pcf.declaredUnitAmount", "the JSON number 1", FATAL),
        (
            {"productMassPerDeclaredUnit": "1000"},
            "pcf.productMassPerDeclaredUnit",
            "1000, where 1 kilogram of a product is 1 kg",
            FATAL,
        ),
        (
            {"productMassPerDeclaredUnit": "0.9"},
            "pcf.productMassPerDeclaredUnit",
            "0.9, where 1 kilogram",
            WARNING,
        ),
        ({"fossilCarbonContent": "1.1"}, "pcf.fossilCarbonContent", "1.1 kg of carbon", WARNING),
        ({"primaryDataShare": "0.5612"}, "pcf.primaryDataShare", "like a fraction", WARNING),
        ({"primaryDataShare": "101"}, "pcf.primaryDataShare", "over 100 percent", WARNING),
        ({"primaryDataShare": 56.12}, "pcf.primaryDataShare", "the JSON number", WARNING),
        ({"exemptedEmissionsPercent": "101"}, "pcf.exemptedEmissionsPercent", "over", WARNING),
        (
            {"dqi": {"technologicalDQR": "9", "geographicalDQR": "1", "temporalDQR": "1"}},
            "pcf.dqi.technologicalDQR",
            "9 is not between 1 and 5",
            WARNING,
        ),
        (
            {"dqi": {"technologicalDQR": "2", "geographicalDQR": "1"}},
            "pcf.dqi.temporalDQR",
            "absent",
            WARNING,
        ),
        (
            {"referencePeriodEnd": "2024-01-01T00:00:00Z"},
            "pcf.referencePeriodEnd",
            "2025-01-01 to 2024-01-01 ends before it begins",
            FATAL,
        ),
        (
            {"referencePeriodStart": "01.01.2025"},
            "pcf.referencePeriodStart",
            "where a time such as",
            FATAL,
        ),
        (
            {"referencePeriodStart": "2025-02-30T00:00:00Z"},
            "pcf.referencePeriodStart",
            "where a time such as",
            FATAL,
        ),
        (
            {"geographyRegionOrSubregion": "Europe"},
            "pcf.geographyCountry",
            "2 geographies, where at most one belongs",
            WARNING,
        ),
        ({"geographyCountry": "Finland"}, "pcf.geographyCountry", "no ISO 3166-1", WARNING),
        ({"ipccCharacterizationFactors": []}, "pcf.ipccCharacterizationFactors", "a list", FATAL),
        (
            {"ipccCharacterizationFactors": ["AR5", "AR6"]},
            "pcf.ipccCharacterizationFactors",
            "nobody says which",
            FATAL,
        ),
        ({"crossSectoralStandards": "ISO14067"}, "pcf.crossSectoralStandards", "a list", WARNING),
        (
            {"packagingEmissionsIncluded": False, "packagingGhgEmissions": "1"},
            "pcf.packagingGhgEmissions",
            "said not to be included",
            WARNING,
        ),
        (
            {"ccsTechnologicalCO2CaptureIncluded": False, "ccsTechnologicalCO2Capture": "0"},
            "pcf.ccsTechnologicalCO2Capture",
            "said not to be included",
            WARNING,
        ),
        ({"packagingEmissionsIncluded": "no"}, "pcf.packagingEmissionsIncluded", "true", WARNING),
        ({"verification": {"completedAt": "soon"}}, "pcf.verification.completedAt", "a", WARNING),
    ],
    ids=str,
)
def test_a_field_that_is_wrong_is_told_with_its_value(
    pcf: dict[str, Any], field: str, words: str, weight: Weight
) -> None:
    found = [each for each in told(judged(pcf)) if each[0] == field]

    assert any(words in sentence and how is weight for _, sentence, how in found), found


@pytest.mark.parametrize(
    ("changed", "field", "words", "weight"),
    [
        ({"specVersion": "2.3.0"}, "specVersion", "where 3.x.y belongs", FATAL),
        ({"specVersion": 3}, "specVersion", "3, where text belongs", FATAL),
        ({"status": "active"}, "status", "where 'Active' belongs", WARNING),
        ({"status": "Draft"}, "status", "one of Active, Deprecated", FATAL),
        ({"created": "2099-01-01T00:00:00Z"}, "created", "is in the future", WARNING),
        ({"companyIds": []}, "companyIds", "a list with something in it", FATAL),
        ({"productIds": ["47"]}, "productIds.0", "'47', where a URN belongs", FATAL),
        ({"productIds": "urn:x:1"}, "productIds", "where a list belongs", FATAL),
        ({"productIds": ["urn:x:1", "urn:x:1"]}, "productIds.1", "there twice", WARNING),
        ({"companyName": ""}, "companyName", "some text", WARNING),
        ({"companyName": None}, "companyName", "null", WARNING),
        ({"precedingPfIds": ["{x}"]}, "precedingPfIds.0", "a UUID", WARNING),
        ({"pcf": None}, "pcf", "null", FATAL),
        ({"pcf": []}, "pcf", "an object", FATAL),
        (
            {"validityPeriodStart": "2025-06-01T00:00:00Z"},
            "validityPeriodStart",
            "before the reference period ends",
            WARNING,
        ),
        (
            {"validityPeriodEnd": "2036-01-01T00:00:00Z"},
            "validityPeriodEnd",
            "over 3 years after",
            WARNING,
        ),
        (
            {"validityPeriodEnd": "2025-06-01T00:00:00Z"},
            "validityPeriodEnd",
            "never valid",
            FATAL,
        ),
        ({"extensions": [{}]}, "extensions.0.dataSchema", "absent", WARNING),
        ({"id": "{" + ID.format(1) + "}"}, "id", "is no UUID", FATAL),
    ],
    ids=str,
)
def test_a_heading_that_is_wrong_is_told_with_its_value(
    changed: dict[str, Any], field: str, words: str, weight: Weight
) -> None:
    found = [e for e in told(of(json.dumps(footprint() | changed))) if e[0] == field]

    assert any(words in sentence and how is weight for _, sentence, how in found), found


def test_a_validity_that_is_too_long_ends_after_three_years_all_the_same() -> None:
    found = judged(validityPeriodEnd="2036-01-01T00:00:00Z")

    assert found.valid_until == datetime(2029, 1, 1, tzinfo=UTC)


def test_an_unknown_property_is_no_problem() -> None:
    assert judged({"own": {"deep": [1]}}, other=None).problems == ()


def test_attack_a_name_twice_is_fatal_wherever_it_is() -> None:
    text = json.dumps(footprint()).replace(
        '"fossilGhgEmissions"', '"fossilGhgEmissions": "1.00", "fossilGhgEmissions"'
    )

    assert told(of(text))[0] == (FOSSIL, "is there twice, and nobody says which one counts", FATAL)


def test_ten_thousand_items_are_counted_and_not_told_one_by_one() -> None:
    many = [f"urn:x:{number}" for number in range(10_000)]
    found = judged(productIds=many)

    assert told(found) == [("productIds", "10000 items, where at most 1000 are read", FATAL)]
    assert len(found.product_ids) == MAX_ITEMS


def test_ten_thousand_problems_are_told_with_the_first_hundred() -> None:
    found = judged(productIds=["x"] * 1_000, productClassifications=["y"] * 1_000)

    assert len(found.problems) <= 2 * MAX_PROBLEMS + 1
    assert found.problems[0].weight is FATAL


def test_attack_a_value_that_a_terminal_obeys_is_escaped_and_cut() -> None:
    found = judged({"fossilGhgEmissions": "\x1b[2J" + "x" * 5_000})

    sentence = next(each for each in told(found) if each[0] == FOSSIL)[1]
    assert "\\u001b[2J" in sentence
    assert len(sentence) < 120


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("[]", MalformedError),
        ('"x"', MalformedError),
        ("{", MalformedError),
        ("", MalformedError),
        ('{"a": NaN}', MalformedError),
        ('{"a": Infinity}', MalformedError),
        ('{"a": "\\ud800"}', MalformedError),
        ('{"\\udc00": 1}', MalformedError),
        ("{" + '"a":{' * 32 + "}" * 33, LimitError),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", LimitError),
        ('{"a":"' + "x" * reading.MAX_FOOTPRINT_BYTES + '"}', LimitError),
    ],
    ids=range(11),
)
def test_attack_what_is_no_object_of_ours_is_refused_in_a_sentence(
    text: str, refused: type[BccaError]
) -> None:
    with pytest.raises(refused, match=r"^footprint: "):
        of(text)


def test_attack_a_huge_number_is_never_computed_with() -> None:
    found = of('{"pcf": {"fossilGhgEmissions": ' + "9" * 1_000_000 + "}}")

    assert "fossilGhgEmissions" not in found.numbers


def test_brackets_in_a_text_are_not_nested() -> None:
    assert reading.depth(b'{"a": "[[[{{{\\"]["}') == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = [*footprint(), "precedingPfIds", "extensions", "validityPeriodEnd"]
CARBON = [*footprint()["pcf"], "dqi", "verification", "secondaryEmissionFactorSources"]


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from(NAMES), JSON), st.dictionaries(st.sampled_from(CARBON), JSON)
)
def test_attack_whatever_json_comes_is_judged_or_refused(
    top: dict[str, Any], pcf: dict[str, Any]
) -> None:
    whole = footprint(pcf=pcf) | top
    try:
        found = of(json.dumps(whole))
    except MalformedError:
        return

    assert all(showable(each.told) == each.told for each in found.problems)
    assert found.fatal or set(found.numbers) >= {"fossilGhgEmissions"}
