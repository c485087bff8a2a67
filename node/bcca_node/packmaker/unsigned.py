"""A PACT footprint that nobody signed, read as a value that may stand in (SPEC 9.10).

Its numbers are taken as they came. Where its total is not what its components come to, the total
counts, and what was done is told (`totals`). One that does not say how it weighs gases is not used.
"""

import decimal
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from bcca_node.packmaker.totals import settled
from bcca_node.pact import intake
from bcca_node.pact.amounts import UPTAKE
from bcca_node.pact.judge import Judged
from bcca_node.storage.foreign import Foreign
from bcca_protocol import footprint, period
from bcca_protocol.errors import BccaError, UnusableError
from bcca_protocol.footprint import Cell, Components
from bcca_protocol.inventory import Factor, Interval
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, Unit, arithmetic, number, plain
from bcca_protocol.substituted import PACT
from bcca_protocol.wire import showable

COUNTED: Final = MappingProxyType(
    {
        "fossil": "fossilGhgEmissions",
        "biogenic_non_co2": "biogenicNonCO2Emissions",
        "land_use_change": "landUseChangeGhgEmissions",
        "land_management": "landManagementBiogenicCO2Emissions",
        "land_removals": "landManagementBiogenicCO2Removals",
        "technological_removals": "technologicalCO2Removals",
        "ccs_capture": "ccsTechnologicalCO2Capture",
    }
)
"""Which field of PACT is which component: of `pcfExcludingBiogenicUptake` these are the sum."""
BESIDE: Final = MappingProxyType(
    {
        "biogenic_uptake": UPTAKE,
        "aviation": "aircraftGhgEmissions",
        "packaging": "packagingGhgEmissions",
    }
)
OUTBOUND: Final = "outboundLogisticsGhgEmissions"  # PACT: after the gate, and in no total
WORLD: Final = "GLO"  # PACT: a footprint that names no place is global

MAX_NAME_CHARS = 200  # of a company or an id in what is signed: no name is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """What a footprint says: `factor` is kg CO2e per one unit, `told` how it came to that.

    `companies` are their ids in small letters; `number` sorts footprints as they came.
    """

    id: str
    partner: str
    number: int
    companies: frozenset[str]
    period: Span
    valid_until: str
    gwp: Literal["AR5", "AR6"]
    factor: Factor
    told: str


def read(found: Foreign, said: Judged) -> Unsigned:
    """Return what a footprint says; raises UnusableError with why it may not stand in."""
    if found.is_deprecated:
        raise UnusableError("it is deprecated, or another one takes its place")
    if not found.is_usable:
        first, *more = found.fatal
        others = f", and {len(more)} more" if more else ""
        raise UnusableError(
            f"{first.field}: {first.told}{others}; `bcca pact accept` lets it be used all the same"
        )
    try:
        return _read(found, said)
    except UnusableError:
        raise
    except BccaError as error:
        raise UnusableError(str(error)) from error


def require_accepted(found: Foreign) -> None:
    """Raise UnusableError for a footprint that no run uses, though an operator accepted it."""
    try:
        read(found, intake.read(found))
    except UnusableError as error:
        raise UnusableError(
            f"footprint {found.id}: no run can use it, accepted or not: {error}: ask "
            f"{found.partner} to correct it"
        ) from error


def judged(found: Foreign) -> Judged | None:
    """Return what can be read of a footprint; None where that is nothing."""
    try:
        return intake.read(found)
    except BccaError:
        return None


def _read(found: Foreign, said: Judged) -> Unsigned:
    about = Interval(
        start=_time(said.start, "referencePeriodStart"), end=_time(said.end, "referencePeriodEnd")
    )
    span = period.span(about, "referencePeriod")
    latest = period.validity(about, None).end
    gwp, rate = _gwp(said), _rate(said, is_accepted=found.accepted is not None)
    return Unsigned(
        id=found.id,
        partner=found.partner,
        number=found.number,
        companies=frozenset(map(str.lower, said.company_ids)),
        period=span,
        valid_until=min(_time(said.valid_until, "validityPeriodEnd"), latest),
        gwp=gwp,
        factor=Factor(
            dataset=found.id,
            gas="co2e",
            geography=showable(said.geography or WORLD)[:MAX_NAME_CHARS],
            gwp=gwp,
            kind="supplierSpecific",
            source=_source(said),
            unit=rate.unit,
            values=rate.values,
            version=f"{span.start}/{span.end}",
        ),
        told=_told(found, said, rate),
    )


class _Rate(NamedTuple):
    """Kg CO2e by component per one `unit`, and what was done to come to them.

    `is_rounded` is where that took a division to 34 digits.
    """

    unit: Unit
    per: Decimal
    values: Components
    is_rounded: bool
    told: tuple[str, ...]


def _rate(said: Judged, *, is_accepted: bool) -> _Rate:
    """Return the values per unit, which come to the stated total; raises UnusableError."""
    if said.unit is None:
        raise UnusableError("pcf.declaredUnitOfMeasurement: none of the table")
    per = said.amount
    if per is None or per <= 0:
        raise UnusableError("pcf.declaredUnitAmount: not above zero")
    numbers, told = settled(said.numbers, f"{plain(per)} {said.unit}", is_accepted=is_accepted)
    names = {**COUNTED, **BESIDE}
    if any(each.field == f"pcf.{BESIDE['packaging']}" for each in said.problems):
        del names["packaging"]  # where it is said not to be in the total, it is no part of it
    found = {c: numbers[field] for c, field in names.items() if field in numbers}
    with decimal.localcontext(arithmetic()) as context:
        if per != ONE:
            found = {component: kg / per for component, kg in found.items()}
        is_rounded = bool(context.flags[decimal.Inexact])
    write = _as_received if per == ONE else plain
    values = Components(**{component: write(kg) for component, kg in found.items()})
    footprint.check_sides(
        {Cell("rawMaterial", component): kg for component, kg in footprint.values_of(values)}
    )
    return _Rate(said.unit, per, values, is_rounded, told)


def _as_received(value: Decimal) -> str:
    """Return a number with the digits that it came with; raises LimitError over 34 of them."""
    text = format(value, "f") if value else format(abs(value), "f")
    number(text)
    return text


def _gwp(said: Judged) -> Literal["AR5", "AR6"]:
    """Return by which report gases are weighed; raises UnusableError for none, several, others."""
    match said.gwp:
        case "AR5" | "AR6":
            return said.gwp
        case other:
            raise UnusableError(
                f"pcf.ipccCharacterizationFactors: {other or 'none, or several'}, where AR5 or AR6 "
                "alone can be added up"
            )


def _time(moment: datetime | None, name: str) -> str:
    if moment is None:
        raise UnusableError(f"{name}: not there")
    return period.text(moment)


def _source(said: Judged) -> str:
    if not said.company_ids:
        raise UnusableError("companyIds: not there")
    name = said.company_name[:MAX_NAME_CHARS] or "no name"
    return showable(f"{PACT}3, {name} ({said.company_ids[0][:MAX_NAME_CHARS]})")


def _told(found: Foreign, said: Judged, rate: _Rate) -> str:
    """Return in words where it is from, and what was done to its numbers."""
    received = period.text_at(found.received)
    per = f"{plain(rate.per)} {rate.unit}"
    words = [
        f"unsigned PACT footprint of {found.partner}, received {received}, SHA-256 {found.digest}",
        *rate.told,
    ]
    if found.fatal:
        fields = ", ".join(each.field for each in found.fatal)[:MAX_NAME_CHARS]
        why = found.why[: MAX_TEXT_CHARS // 4]
        words.append(f"an operator accepted it in spite of what is wrong with {fields}: {why}")
    if rate.is_rounded:
        words.append(f"divided by its {per} to 34 digits")
    outbound = said.numbers.get(OUTBOUND)
    if outbound:
        words.append(f"outbound logistics of {plain(outbound)} kg CO2e per {per} left out")
    return showable("; ".join(words))
