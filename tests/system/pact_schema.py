"""What is wrong with a PACT footprint or event, read from the specification's data model.

Written apart from the node's own model, so that a mistake there is not a mistake here too. `shape`
is what the official schema refuses; `sense` is what it lets through, and should not.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

Check = Callable[[Any], bool]

DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
CREATED, FULFILLED, REJECTED = (
    f"org.wbcsd.pact.ProductFootprint.Request{each}Event.3"
    for each in ("Created", "Fulfilled", "Rejected")
)
PUBLISHED = "org.wbcsd.pact.ProductFootprint.PublishedEvent.3"
UNITS = {
    *("liter", "kilogram", "cubic meter", "kilowatt hour", "megajoule", "ton kilometer"),
    *("square meter", "piece", "hour", "megabit second"),
}
PLACES = ("geographyCountry", "geographyRegionOrSubregion", "geographyCountrySubdivision")
THREE_YEARS = timedelta(days=3 * 365 + 1)  # of which at most one is a leap year
# What the totals are made of; the one with the uptake has that too.
SUMMED = (
    *("fossilGhgEmissions", "landUseChangeGhgEmissions", "landManagementBiogenicCO2Emissions"),
    *("landManagementBiogenicCO2Removals", "technologicalCO2Removals"),
    *("ccsTechnologicalCO2Capture", "biogenicNonCO2Emissions"),
)
NEVER_POSITIVE = {
    *("landManagementBiogenicCO2Removals", "biogenicCO2Uptake", "ccsTechnologicalCO2Capture"),
    "technologicalCO2Removals",
}
ANY_SIGN = {"pcfExcludingBiogenicUptake", "pcfIncludingBiogenicUptake"}

# The least that a footprint says.
GOOD: dict[str, Any] = {
    "id": "8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b11",
    "specVersion": "3.0.3",
    "created": "2026-02-01T08:00:00Z",
    "status": "Active",
    "companyName": "Cells AG",
    "companyIds": ["urn:lei:5493001KJTIIGC8Y1R12"],
    "productDescription": "",
    "productIds": ["urn:pact:cells.example:supplier-id:C1"],
    "productNameCompany": "Cell 1",
    "pcf": {
        "declaredUnitOfMeasurement": "piece",
        "declaredUnitAmount": "1",
        "productMassPerDeclaredUnit": "0.87",
        "referencePeriodStart": "2025-01-01T00:00:00Z",
        "referencePeriodEnd": "2026-01-01T00:00:00Z",
        "pcfExcludingBiogenicUptake": "14.2",
        "pcfIncludingBiogenicUptake": "14.2",
        "fossilGhgEmissions": "14.2",
        "fossilCarbonContent": "0.11",
        "ipccCharacterizationFactors": ["AR6"],
        "crossSectoralStandards": ["PACT-3.0", "ISO14067"],
        "exemptedEmissionsPercent": "0",
    },
}


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_string(value: Any) -> bool:
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_decimal(value: Any) -> bool:
    return isinstance(value, str) and DECIMAL.fullmatch(value) is not None


def is_moment(value: Any) -> bool:
    if not isinstance(value, str) or MOMENT.fullmatch(value) is None:
        return False
    try:
        return at(value).tzinfo is UTC
    except ValueError:
        return False


def is_urn(value: Any) -> bool:
    return isinstance(value, str) and re.match(r"[uU][rR][nN]:", value) is not None


def is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def fits(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def one_of(*values: str) -> Check:
    return lambda value: value in values


def several(check: Check) -> Check:
    """Accept a list of at least one, none of them twice."""

    def holds(value: Any) -> bool:
        if not isinstance(value, list) or not value or not all(map(check, value)):
            return False
        return len({str(each) for each in value}) == len(value)

    return holds


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    return lambda value: not list(wrong(value, required, optional or {}, ""))


def wrong(
    value: Any, required: Mapping[str, Check], optional: Mapping[str, Check], where: str
) -> Iterator[str]:
    """Yield the fields that are missing or not what they should be; others are nobody's."""
    if not isinstance(value, dict):
        yield f"{where}: no object"
        return
    for name, check in required.items():
        if name not in value:
            yield f"{where}{name}: missing"
        elif not check(value[name]):
            yield f"{where}{name}: {value[name]!r}"
    for name, check in optional.items():
        if name in value and not check(value[name]):
            yield f"{where}{name}: {value[name]!r}"


PCF_REQUIRED: dict[str, Check] = {
    "declaredUnitOfMeasurement": one_of(*UNITS),
    "declaredUnitAmount": is_decimal,
    "productMassPerDeclaredUnit": is_decimal,
    "referencePeriodStart": is_moment,
    "referencePeriodEnd": is_moment,
    "pcfExcludingBiogenicUptake": is_decimal,
    "pcfIncludingBiogenicUptake": is_decimal,
    "fossilGhgEmissions": is_decimal,
    "fossilCarbonContent": is_decimal,
    "ipccCharacterizationFactors": several(fits(r"AR[0-9]+")),
    "crossSectoralStandards": several(is_text),
    "exemptedEmissionsPercent": is_decimal,
}
NUMBERS = (
    *("biogenicCarbonContent", "recycledCarbonContent", "landUseChangeGhgEmissions"),
    *("landCarbonLeakage", "landManagementFossilGhgEmissions", "biogenicNonCO2Emissions"),
    *("landManagementBiogenicCO2Emissions", "landManagementBiogenicCO2Removals"),
    *("biogenicCO2Uptake", "landAreaOccupation", "aircraftGhgEmissions"),
    *("packagingGhgEmissions", "packagingBiogenicCarbonContent", "outboundLogisticsGhgEmissions"),
    *("ccsTechnologicalCO2Capture", "technologicalCO2Removals", "ccuCarbonContent"),
    "primaryDataShare",
)
RATINGS = ("technologicalDQR", "geographicalDQR", "temporalDQR")
PCF_OPTIONAL: dict[str, Check] = {
    **dict.fromkeys(NUMBERS, is_decimal),
    "geographyCountry": fits("[A-Z]{2}"),
    "geographyCountrySubdivision": fits("[A-Z]{2}-[A-Z0-9]{1,3}"),
    "geographyRegionOrSubregion": is_text,
    "boundaryProcessesDescription": is_string,
    "packagingEmissionsIncluded": is_flag,
    "ccsTechnologicalCO2CaptureIncluded": is_flag,
    "technologicalCO2CaptureOrigin": is_string,
    "ccuCalculationApproach": one_of("Cut-off", "Credit"),
    "ccuCreditCertification": is_string,
    "exemptedEmissionsDescription": is_string,
    "allocationRulesDescription": is_string,
    "productOrSectorSpecificRules": several(
        record({"operator": is_text, "ruleNames": several(is_text)})
    ),
    "secondaryEmissionFactorSources": several(record({"name": is_text, "version": is_text})),
    "dqi": record(dict.fromkeys(RATINGS, is_decimal)),
    "verification": record({}, {"completedAt": is_moment}),
}
FOOTPRINT_REQUIRED: dict[str, Check] = {
    "id": is_uuid,
    "specVersion": fits(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9]{8})?"),
    "created": is_moment,
    "status": one_of("Active", "Deprecated"),
    "companyName": is_text,
    "companyIds": several(is_urn),
    "productDescription": is_string,
    "productIds": several(is_urn),
    "productNameCompany": is_text,
    "pcf": lambda value: isinstance(value, dict),
}
FOOTPRINT_OPTIONAL: dict[str, Check] = {
    "precedingPfIds": several(is_uuid),
    "validityPeriodStart": is_moment,
    "validityPeriodEnd": is_moment,
    "productClassifications": several(is_urn),
    "comment": is_string,
    "extensions": several(
        record(
            {
                "specVersion": fits(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9]{8})?"),
                "dataSchema": is_text,
                "data": lambda value: isinstance(value, dict),
            },
            {"documentation": is_text},
        )
    ),
}


def shape(footprint: Any) -> list[str]:
    """Return what the official schema would refuse in a footprint."""
    found = list(wrong(footprint, FOOTPRINT_REQUIRED, FOOTPRINT_OPTIONAL, ""))
    if isinstance(footprint, dict) and isinstance(footprint.get("pcf"), dict):
        pcf = footprint["pcf"]
        found += wrong(pcf, PCF_REQUIRED, PCF_OPTIONAL, "pcf.")
        if len([each for each in PLACES if each in pcf]) > 1:
            found.append("pcf: two geographies")
    return [*found, *nulls_and_numbers(footprint)]


def nulls_and_numbers(value: Any, where: str = "$") -> Iterator[str]:
    """Yield where JSON has null or a number: there is none in a footprint but in extensions."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name != "extensions":
                yield from nulls_and_numbers(each, f"{where}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from nulls_and_numbers(each, f"{where}[{index}]")
    elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield f"{where}: {value!r}"


def sense(footprint: Mapping[str, Any]) -> list[str]:
    """Return what does not add up in a footprint whose shape is right."""
    pcf = footprint["pcf"]
    return [
        *_sums(pcf),
        *_signs(pcf),
        *_times(footprint),
        *(["specVersion"] if not footprint["specVersion"].startswith("3.0.") else []),
        *(
            ["packagingGhgEmissions with a flag that is false"]
            if pcf.get("packagingEmissionsIncluded") is False and "packagingGhgEmissions" in pcf
            else []
        ),
    ]


def _sums(pcf: Mapping[str, Any]) -> Iterator[str]:
    without = sum((Decimal(pcf.get(each, "0")) for each in SUMMED), Decimal(0))
    if Decimal(pcf["pcfExcludingBiogenicUptake"]) != without:
        yield f"pcfExcludingBiogenicUptake is not {without}"
    with_ = without + Decimal(pcf.get("biogenicCO2Uptake", "0"))
    if Decimal(pcf["pcfIncludingBiogenicUptake"]) != with_:
        yield f"pcfIncludingBiogenicUptake is not {with_}"


def _signs(pcf: Mapping[str, Any]) -> Iterator[str]:
    for name, value in pcf.items():
        if name in ANY_SIGN or not is_decimal(value):
            continue
        if (Decimal(value) > 0) if name in NEVER_POSITIVE else (Decimal(value) < 0):
            yield f"{name}: {value}"
    if Decimal(pcf["declaredUnitAmount"]) == 0:
        yield "declaredUnitAmount: 0"
    for name in RATINGS:
        value = pcf.get("dqi", {}).get(name, "1")
        if not 1 <= Decimal(value) <= 5:
            yield f"dqi.{name}: {value}"
    if Decimal(pcf.get("primaryDataShare", "0")) > 100:
        yield "primaryDataShare: over 100 percent"


def _times(footprint: Mapping[str, Any]) -> Iterator[str]:
    pcf = footprint["pcf"]
    begin, end = at(pcf["referencePeriodStart"]), at(pcf["referencePeriodEnd"])
    if not begin < end:
        yield "the reference period is reversed"
    start, stop = valid(footprint)
    if start < end or stop <= start or stop > end + THREE_YEARS:
        yield f"valid from {start} to {stop}, the reference period ends {end}"


def valid(footprint: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Return the validity period, or what stands for one that is not set."""
    end = at(footprint["pcf"]["referencePeriodEnd"])
    start = at(footprint["validityPeriodStart"]) if "validityPeriodStart" in footprint else end
    if "validityPeriodEnd" in footprint:
        return start, at(footprint["validityPeriodEnd"])
    return start, end.replace(year=end.year + 3)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


EVENT_REQUIRED: dict[str, Check] = {
    "type": is_text,
    "specversion": one_of("1.0"),
    "id": is_text,
    "source": is_text,
    "time": is_moment,
    "data": lambda value: isinstance(value, dict),
}
DATA_REQUIRED: dict[str, dict[str, Check]] = {
    FULFILLED: {"requestEventId": is_text, "pfs": several(lambda each: not shape(each))},
    REJECTED: {
        "requestEventId": is_text,
        "error": record({"code": is_text, "message": is_text}),
    },
    PUBLISHED: {"pfIds": several(is_uuid)},
    CREATED: {},
}


def event_shape(event: Any) -> list[str]:
    """Return what the official schema would refuse in an event."""
    found = list(wrong(event, EVENT_REQUIRED, {}, ""))
    if not found:
        needed = DATA_REQUIRED.get(event["type"])
        if needed is None:
            return [f"type: {event['type']}"]
        found += wrong(event["data"], needed, {}, "data.")
    return found
