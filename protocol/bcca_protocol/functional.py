"""What a footprint is stated per: kg, piece, kWh gross, rated, usable, delivered (SPEC 8.9).

What differs between rules and may change (full cycles a year, which stages count) is an argument:
regulation is versioned data, never a constant here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from bcca_protocol import footprint
from bcca_protocol.errors import BccaError, StatementError, UnitError
from bcca_protocol.footprint import EXCLUDING_UPTAKE, STAGES, Footprint
from bcca_protocol.quantity import SCALES, ZERO, Unit, convert, exact, number, plain
from bcca_protocol.results import Battery
from bcca_protocol.statement import FootprintRollUp

BATTERY_STAGES = tuple(stage for stage in STAGES if stage != "use")
"""What the draft EU methodology and the MIIT notice of 2025-12-31 add up: four stages, no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The amount of product that kg CO2e are stated for; `mass_kg` is of all of it, if known."""

    amount: Decimal
    unit: Unit
    mass_kg: Decimal | None = None

    @classmethod
    def of(cls, statement: FootprintRollUp) -> "Declared":
        """Return what a roll-up is stated for."""
        return cls(
            amount=number(statement.declared_unit.amount),
            unit=statement.declared_unit.unit,
            mass_kg=None if statement.mass_kg is None else number(statement.mass_kg),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a rule set says of a battery's service: full cycles a year, and years of warranty."""

    cycles_per_year: Decimal | None
    years: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Kg CO2e per one `unit`; None with the reason where it cannot be said."""

    unit: str
    kg: Decimal | None
    why_not: str = ""


def per_kg(total: Decimal, declared: Declared) -> Decimal:
    """Return kg CO2e per kg of product; raises UnitError without `massKg` or a unit of mass."""
    with exact():
        if SCALES[declared.unit].dimension == "mass":
            return total / convert(declared.amount, declared.unit, "kg")
        if declared.mass_kg is None:
            raise UnitError(f"per kg: {declared.unit} is declared, and massKg is not given")
        return total / declared.mass_kg


def per_piece(total: Decimal, declared: Declared, *, piece_kg: Decimal | None = None) -> Decimal:
    """Return kg CO2e per piece: of a mass only with the mass of one piece; raises UnitError."""
    with exact():
        return total / convert(declared.amount, declared.unit, "piece", mass_kg=piece_kg)


def per_kwh(total: Decimal, kwh: str | None, what: str) -> Decimal:
    """Return kg CO2e per kWh of a capacity; raises StatementError where it is not above zero."""
    if kwh is None:
        raise StatementError(f"per kWh: the battery does not state its {what}")
    with exact():
        return total / _above_zero(number(kwh), what)


def kwh_delivered(usable_kwh: str | None, service: Service) -> Decimal:
    """Return kWh delivered over service life: usable kWh x full cycles a year x years.

    Source: the draft EU methodology. Raises StatementError naming what is not given.
    """
    usable = None if usable_kwh is None else number(usable_kwh)
    asked = (
        ("usableKwh", usable),
        ("fullCyclesPerYear", service.cycles_per_year),
        ("serviceYears", service.years),
    )
    lacking = [name for name, value in asked if value is None]
    if lacking:
        raise StatementError(f"kWh delivered: without {' and '.join(lacking)}")
    with exact():
        usable, cycles, years = (_above_zero(value or ZERO, name) for name, value in asked)
        return usable * cycles * years


def service_years(warranties: Iterable[Decimal]) -> Decimal:
    """Return the years of commercial warranty: the shorter of its terms; StatementError of none."""
    terms = tuple(warranties)
    if not terms:
        raise StatementError("kWh delivered: no term of a commercial warranty is given in years")
    return _above_zero(min(terms), "serviceYears")


def four_stages(cells: Footprint) -> Decimal:
    """Return kg CO2e of the stages that batteries report; StatementError where use has some.

    Leaving it out unsaid would make a total smaller than the one that was signed.
    """
    by_stage = footprint.by_stage(cells)
    if by_stage["use"]:
        raise StatementError(
            f"per kWh delivered: the use stage has {plain(by_stage['use'])} kg CO2e, where "
            "batteries report four stages without it"
        )
    with exact():
        kept = (cells.get((s, c), ZERO) for s in BATTERY_STAGES for c in EXCLUDING_UPTAKE)  # type: ignore[call-overload]  # a Cell is this pair
        return sum(kept, ZERO)


def eu_draft(cells: Footprint, usable_kwh: str | None, service: Service) -> Decimal:
    """Return kg CO2e per kWh delivered as the draft EU methodology has it."""
    return _per_delivered(four_stages(cells), kwh_delivered(usable_kwh, service))


def miit(cells: Footprint, kwh_over_life: Decimal) -> Decimal:
    """Return kg CO2e per kWh provided over life as the MIIT notice of 2025-12-31 has it.

    (Materials + manufacture + distribution + recycling) / energy provided over life. How that
    energy is found is the rule set's to say.
    """
    return _per_delivered(four_stages(cells), kwh_over_life)


def per_kwh_delivered(battery: Battery, total: Decimal) -> Decimal:
    """Return `total` per kWh delivered, as a battery's own figures give it; StatementError."""
    cycles, years = (
        None if text is None else number(text)
        for text in (battery.full_cycles_per_year, battery.service_years)
    )
    service = Service(cycles_per_year=cycles, years=years)
    return _per_delivered(total, kwh_delivered(battery.usable_kwh, service))


def references(
    cells: Footprint, declared: Declared, battery: Battery | None, service: Service
) -> tuple[Reference, ...]:
    """Return kg CO2e per each functional unit, each with the reason where it cannot be said.

    The battery's capacities are those of the declared amount. Gross, rated and usable kWh stay
    apart: who compares two batteries must compare the same.
    """
    total = footprint.total(cells)
    gross, rated, usable = (
        (battery.gross_kwh, battery.rated_kwh, battery.usable_kwh) if battery else (None,) * 3
    )
    asked: tuple[tuple[str, Callable[[], Decimal]], ...] = (
        ("kg", lambda: per_kg(total, declared)),
        ("piece", lambda: per_piece(total, declared)),
        ("kWh gross", lambda: per_kwh(total, gross, "grossKwh")),
        ("kWh rated", lambda: per_kwh(total, rated, "ratedKwh")),
        ("kWh usable", lambda: per_kwh(total, usable, "usableKwh")),
        ("kWh delivered", lambda: eu_draft(cells, usable, service)),
    )
    found = []
    for unit, value in asked:
        try:
            found.append(Reference(unit=unit, kg=value()))
        except BccaError as error:
            found.append(Reference(unit=unit, kg=None, why_not=str(error)))
    return tuple(found)


def _per_delivered(kg: Decimal, kwh: Decimal) -> Decimal:
    with exact():
        return kg / _above_zero(kwh, "kWh delivered")


def _above_zero(value: Decimal, what: str) -> Decimal:
    if value <= 0:
        raise StatementError(f"battery: {what} of {plain(value)} is not above zero")
    return value
