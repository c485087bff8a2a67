"""A footprint of PACT 3.0.3 from a signed statement (SPEC 16.1): a translation, and no more.

Every figure is that of the statement, or an exact sum of such; what PACT has no place for is told
in `comment` with its number. A statement that is not whole by itself gives none.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from bcca_node.pact import numbers, spoken, wording
from bcca_node.pact.model import (
    ACTIVE,
    SPEC_VERSION,
    CarbonFootprint,
    Dqi,
    Extension,
    ProductFootprint,
    id_of,
)
from bcca_protocol import footprint, partial, period
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import (
    COMPONENTS,
    EXCLUDING_UPTAKE,
    Cell,
    Component,
    Footprint,
    Stage,
)
from bcca_protocol.quantity import ZERO, exact, number
from bcca_protocol.statement import FootprintRollUp, Opinion, PartialFootprint

Whole = PartialFootprint | FootprintRollUp

_PCF: tuple[Stage, ...] = ("rawMaterial", "production")
# Here these may have any sign; in PACT they are not below zero.
_NEVER_NEGATIVE: tuple[Component, ...] = (
    "fossil",
    "biogenicNonCO2",
    "landUseChange",
    "landManagement",
    "aviation",
    "packaging",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement of this node to derive a footprint from; `ids` are names of the organisation.

    `created` is when the footprint is first made, as statements write times; `preceding` are the
    ids of those that it takes the place of.
    """

    commitment: str
    predicate: Whole
    ids: tuple[str, ...]
    created: str
    preceding: tuple[str, ...]
    extension: Extension


class _Carried(NamedTuple):
    """What PACT carries of a footprint, by component, in kg CO2e; and the cells it does not."""

    by: dict[Component, Decimal]
    outbound: Decimal
    left: Footprint


class _Tally(NamedTuple):
    """Sums of absolute contributions (SPEC 8.6), and what is left out, in percent."""

    absolute: Decimal
    primary: Decimal
    covered: Decimal
    technological: Decimal
    geographical: Decimal
    temporal: Decimal
    exempted: str


def whole(predicate: PartialFootprint | FootprintRollUp | Opinion) -> Whole:
    """Return the predicate if it is whole by itself; raises StatementError with the reason."""
    match predicate:
        case Opinion():
            raise StatementError("it is an opinion, and no footprint")
        case FootprintRollUp(incomplete=True):
            raise StatementError(
                "it is incomplete: an input upstream of it is missing, `bcca chase` says whose"
            )
        case PartialFootprint(inputs=inputs) if inputs:
            raise StatementError(
                f"it buys {len(inputs)} products that are not in it: `bcca aggregate` adds them up"
            )
        case _:
            return predicate


def derive(signed: Signed) -> ProductFootprint:
    """Return the footprint that a statement gives; StatementError where PACT cannot say it."""
    stated = signed.predicate
    start, end = _validity(stated)
    carried = _carried(footprint.decode(stated.footprint))
    return ProductFootprint(
        id=id_of(signed.commitment),
        spec_version=SPEC_VERSION,
        preceding_pf_ids=signed.preceding or None,
        created=signed.created,
        status=ACTIVE,
        validity_period_start=start,
        validity_period_end=end,
        company_name=stated.producer.name,
        company_ids=spoken.companies(stated, signed.ids),
        product_description=wording.description(stated),
        product_ids=(stated.product.id,),
        product_classifications=spoken.classifications(stated) or None,
        product_name_company=stated.product.name,
        comment=wording.comment(signed.commitment, stated, carried.left),
        pcf=_carbon(signed, carried),
        extensions=(signed.extension,),
    )


def _carbon(signed: Signed, carried: _Carried) -> CarbonFootprint:
    stated, by = signed.predicate, carried.by
    tally = _tally(signed)
    amount, unit = numbers.declared(number(stated.declared_unit.amount), stated.declared_unit.unit)
    carbon = stated.carbon_content
    excluding = numbers.total(by[component] for component in EXCLUDING_UPTAKE)
    captured = bool(by["ccsCapture"] or by["technologicalRemovals"])
    place = spoken.place(stated)
    return CarbonFootprint(
        declared_unit_of_measurement=unit,
        declared_unit_amount=numbers.text(amount),
        product_mass_per_declared_unit=_mass(stated, amount, unit),
        reference_period_start=stated.period.start,
        reference_period_end=stated.period.end,
        geography_country=place.country,
        geography_country_subdivision=place.subdivision,
        boundary_processes_description=stated.method.boundary,
        pcf_excluding_biogenic_uptake=numbers.text(excluding),
        pcf_including_biogenic_uptake=numbers.text(
            numbers.total((excluding, by["biogenicUptake"]))
        ),
        fossil_ghg_emissions=numbers.text(by["fossil"]),
        fossil_carbon_content="0" if carbon is None else numbers.text(number(carbon.fossil)),
        biogenic_carbon_content=None if carbon is None else _given(carbon.biogenic),
        recycled_carbon_content=None if carbon is None else _given(carbon.recycled),
        land_use_change_ghg_emissions=_some(by["landUseChange"]),
        land_management_biogenic_co2_emissions=_some(by["landManagement"]),
        land_management_biogenic_co2_removals=_some(by["landRemovals"]),
        biogenic_co2_uptake=_some(by["biogenicUptake"]),
        biogenic_non_co2_emissions=_some(by["biogenicNonCO2"]),
        aircraft_ghg_emissions=_some(by["aviation"]),
        packaging_emissions_included=bool(by["packaging"]),
        packaging_ghg_emissions=_some(by["packaging"]),
        outbound_logistics_ghg_emissions=_some(carried.outbound),
        ccs_technological_co2_capture_included=captured,
        ccs_technological_co2_capture=_some(by["ccsCapture"]),
        technological_co2_removals=_some(by["technologicalRemovals"]),
        ipcc_characterization_factors=(stated.method.gwp,),
        cross_sectoral_standards=spoken.standards(stated),
        product_or_sector_specific_rules=spoken.sector_rules(stated),
        exempted_emissions_percent=tally.exempted,
        exempted_emissions_description=wording.exclusions(stated),
        allocation_rules_description=wording.allocation(stated),
        secondary_emission_factor_sources=spoken.sources(stated),
        primary_data_share=numbers.percent(tally.primary, tally.absolute),
        dqi=_dqi(tally),
    )


def _carried(written: Footprint) -> _Carried:
    """Return what PACT carries of a footprint; StatementError for what it has no sign for."""
    by: dict[Component, Decimal] = {
        component: numbers.total(written.get(Cell(stage, component), ZERO) for stage in _PCF)
        for component in COMPONENTS
    }
    for component in _NEVER_NEGATIVE:
        if by[component] < 0:
            raise StatementError(
                f"its {component} of rawMaterial and production is {numbers.text(by[component])} "
                "kg CO2e, and PACT has none below 0"
            )
    shipped = numbers.total(written.get(Cell("distribution", c), ZERO) for c in EXCLUDING_UPTAKE)
    outbound = max(shipped, ZERO)
    left = {
        cell: value
        for cell, value in written.items()
        if value and not _is_carried(cell, is_shipped=outbound == shipped)
    }
    return _Carried(by, outbound, left)


def _is_carried(cell: Cell, *, is_shipped: bool) -> bool:
    if cell.stage in _PCF:
        return cell.component != "biogenicCO2"
    return is_shipped and cell.stage == "distribution" and cell.component in EXCLUDING_UPTAKE


def _validity(stated: Whole) -> tuple[str, str]:
    """Return when the footprint is valid: with PACT never before its reference period is over."""
    span = period.validity(stated.period, stated.validity)
    start = max(span.start, stated.period.end)
    if start >= span.end:
        raise StatementError(
            f"it is valid until {span.end}, and with PACT no footprint is valid before its period "
            f"ends, {stated.period.end}"
        )
    return start, span.end


def _mass(stated: Whole, amount: Decimal, unit: str) -> str:
    if stated.mass_kg is not None:
        return numbers.text(number(stated.mass_kg))
    if unit == "kilogram":
        return numbers.text(amount)
    if unit in numbers.WITHOUT_MASS:
        return "0"
    raise StatementError(
        f"it does not say how many kg one {unit} of it is, and PACT asks for that: state massKg"
    )


def _tally(signed: Signed) -> _Tally:
    match signed.predicate:
        case FootprintRollUp(weights=weights) as rolled:
            quality = weights.quality
            return _Tally(
                absolute=number(weights.absolute),
                primary=number(weights.primary),
                covered=number(quality.covered),
                technological=number(quality.technological),
                geographical=number(quality.geographical),
                temporal=number(quality.temporal),
                exempted=numbers.text(number(rolled.exempted_percent)),
            )
        case PartialFootprint() as stated:
            own = partial.reduce(stated, signed.commitment).tally
            with exact():
                modelled = own.absolute + own.excluded
            return _Tally(
                absolute=own.absolute,
                primary=own.primary,
                covered=own.covered,
                technological=own.technological,
                geographical=own.geographical,
                temporal=own.temporal,
                exempted=numbers.percent(own.excluded, modelled),
            )


def _dqi(tally: _Tally) -> Dqi | None:
    if not tally.covered:
        return None
    scores = (tally.technological, tally.geographical, tally.temporal)
    return Dqi(*(numbers.score(each, tally.covered) for each in scores))


def _some(value: Decimal) -> str | None:
    """Return a figure, None where it is zero: then PACT leaves it out."""
    return numbers.text(value) if value else None


def _given(written: str | None) -> str | None:
    return None if written is None else numbers.text(number(written))
