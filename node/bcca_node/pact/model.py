"""The data model of PACT 3.0.3 as it goes over the wire (SPEC 16.1).

Every number is text and stays as it was written. What is absent is left out, never null. Nothing
here is computed with: what is read of others is examined by `pact.judge`, field by field.
"""

import uuid
from typing import Annotated, Literal, get_args

import msgspec

SPEC_VERSION = "3.0.3"
EXTENSION_VERSION = "2.0.0"  # of the specification of extensions, not of ours

# Of UUIDv5, frozen: itself the one of urn:bcca:pact:footprint:v1 in the name space of URLs.
NAMESPACE = uuid.UUID("969f856c-922f-5a29-9775-74ae5e411173")

DECIMAL = r"\A[+-]?[0-9]+(?:\.[0-9]+)?\Z"
UUID = r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"

Decimal = Annotated[str, msgspec.Meta(pattern=DECIMAL)]
Uuid = Annotated[str, msgspec.Meta(pattern=UUID)]  # as this node writes it
DateTime = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
        r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
    ),
]
Urn = Annotated[str, msgspec.Meta(pattern=r"\A[uU][rR][nN]:")]
Some = Annotated[str, msgspec.Meta(min_length=1)]
Url = Annotated[str, msgspec.Meta(pattern=r"\Ahttps://")]
Ar = Annotated[str, msgspec.Meta(pattern=r"\AAR[0-9]+\Z")]

Status = Literal["Active", "Deprecated"]
ACTIVE: Status = "Active"
DEPRECATED: Status = "Deprecated"

DeclaredUnit = Literal[
    "liter",
    "kilogram",
    "cubic meter",
    "kilowatt hour",
    "megajoule",
    "ton kilometer",
    "square meter",
    "piece",
    "hour",
    "megabit second",
]
Region = Literal[
    "Africa",
    "Americas",
    "Asia",
    "Europe",
    "Oceania",
    "Australia and New Zealand",
    "Central Asia",
    "Eastern Asia",
    "Eastern Europe",
    "Latin America and the Caribbean",
    "Melanesia",
    "Micronesia",
    "Northern Africa",
    "Northern America",
    "Northern Europe",
    "Polynesia",
    "South-eastern Asia",
    "Southern Asia",
    "Southern Europe",
    "Sub-Saharan Africa",
    "Western Asia",
    "Western Europe",
]
DECLARED_UNITS: tuple[DeclaredUnit, ...] = get_args(DeclaredUnit)
REGIONS: tuple[Region, ...] = get_args(Region)


class Shape(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """The base of what goes over the wire: camelCase, absent fields left out, others tolerated."""


class Dqi(Shape, frozen=True):
    """Data quality, 1 (best) to 5, weighted by contribution."""

    technological: Decimal = msgspec.field(name="technologicalDQR")
    geographical: Decimal = msgspec.field(name="geographicalDQR")
    temporal: Decimal = msgspec.field(name="temporalDQR")


class Verification(Shape, frozen=True):
    """That somebody has looked at a footprint; its presence says so, everything in it is free."""

    coverage: Literal["PCF calculation model", "PCF program", "product level"] | None = None
    provider_name: Some | None = None
    completed_at: DateTime | None = None
    standard_name: Some | None = None
    comments: str | None = None


class SectorRules(Shape, frozen=True):
    """Rules of a product or sector that were followed."""

    operator: Literal["PEF", "EPD International", "Other"]
    rule_names: tuple[Some, ...]
    other_operator_name: Some | None = None


class FactorSource(Shape, frozen=True):
    """A data base of secondary emission factors."""

    name: Some
    version: Some


class CarbonFootprint(Shape, frozen=True, kw_only=True):
    """What the declared unit emits: kg CO2e, and kg of carbon in it, each for that whole unit."""

    declared_unit_of_measurement: DeclaredUnit
    declared_unit_amount: Decimal
    product_mass_per_declared_unit: Decimal
    reference_period_start: DateTime
    reference_period_end: DateTime
    geography_region_or_subregion: Region | None = None
    geography_country: str | None = None
    geography_country_subdivision: str | None = None
    boundary_processes_description: str | None = None
    pcf_excluding_biogenic_uptake: Decimal
    pcf_including_biogenic_uptake: Decimal
    fossil_ghg_emissions: Decimal
    fossil_carbon_content: Decimal
    biogenic_carbon_content: Decimal | None = None
    recycled_carbon_content: Decimal | None = None
    land_use_change_ghg_emissions: Decimal | None = None
    land_carbon_leakage: Decimal | None = None
    land_management_fossil_ghg_emissions: Decimal | None = None
    land_management_biogenic_co2_emissions: Decimal | None = msgspec.field(
        default=None, name="landManagementBiogenicCO2Emissions"
    )
    land_management_biogenic_co2_removals: Decimal | None = msgspec.field(
        default=None, name="landManagementBiogenicCO2Removals"
    )
    biogenic_co2_uptake: Decimal | None = msgspec.field(default=None, name="biogenicCO2Uptake")
    biogenic_non_co2_emissions: Decimal | None = msgspec.field(
        default=None, name="biogenicNonCO2Emissions"
    )
    land_area_occupation: Decimal | None = None
    aircraft_ghg_emissions: Decimal | None = None
    packaging_emissions_included: bool | None = None
    packaging_ghg_emissions: Decimal | None = None
    packaging_biogenic_carbon_content: Decimal | None = None
    outbound_logistics_ghg_emissions: Decimal | None = None
    ccs_technological_co2_capture_included: bool | None = msgspec.field(
        default=None, name="ccsTechnologicalCO2CaptureIncluded"
    )
    ccs_technological_co2_capture: Decimal | None = msgspec.field(
        default=None, name="ccsTechnologicalCO2Capture"
    )
    technological_co2_capture_origin: str | None = msgspec.field(
        default=None, name="technologicalCO2CaptureOrigin"
    )
    technological_co2_removals: Decimal | None = msgspec.field(
        default=None, name="technologicalCO2Removals"
    )
    ccu_carbon_content: Decimal | None = None
    ccu_calculation_approach: Literal["Cut-off", "Credit"] | None = None
    ccu_credit_certification: str | None = None
    ipcc_characterization_factors: tuple[Ar, ...]
    cross_sectoral_standards: tuple[Some, ...]
    product_or_sector_specific_rules: tuple[SectorRules, ...] | None = None
    exempted_emissions_percent: Decimal
    exempted_emissions_description: str | None = None
    allocation_rules_description: str | None = None
    secondary_emission_factor_sources: tuple[FactorSource, ...] | None = None
    primary_data_share: Decimal | None = None
    dqi: Dqi | None = None
    verification: Verification | None = None


class Extension(Shape, frozen=True):
    """Something that one implementor adds; `data` is JSON that fits `data_schema`, kept as it is.

    `spec_version` is that of the specification of extensions.
    """

    spec_version: str
    data_schema: Url
    data: msgspec.Raw
    documentation: Url | None = None


class ProductFootprint(Shape, frozen=True, kw_only=True):
    """One immutable data set; `status` alone may change, from Active to Deprecated."""

    id: Uuid
    spec_version: str
    preceding_pf_ids: tuple[Uuid, ...] | None = None
    created: DateTime
    status: Status
    validity_period_start: DateTime | None = None
    validity_period_end: DateTime | None = None
    company_name: Some
    company_ids: tuple[Urn, ...]
    product_description: str
    product_ids: tuple[Urn, ...]
    product_classifications: tuple[Urn, ...] | None = None
    product_name_company: Some
    comment: str | None = None
    pcf: CarbonFootprint
    extensions: tuple[Extension, ...] | None = None


def id_of(commitment: str) -> str:
    """Return the id of the footprint that a statement gives, wherever it is derived: UUIDv5."""
    return str(uuid.uuid5(NAMESPACE, commitment))


_ENCODER = msgspec.json.Encoder()


def encode(footprint: ProductFootprint) -> bytes:
    """Return `footprint` as JSON, its fields in the order of the specification."""
    return _ENCODER.encode(footprint)
