"""What a roll-up and an opinion say, checked as far as they carry their own proof (SPEC 8)."""

import decimal
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from bcca_protocol import footprint, functional, particulars, period
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import Footprint
from bcca_protocol.period import Span
from bcca_protocol.quantity import arithmetic, not_negative, number, plain, positive
from bcca_protocol.results import Battery, Edge, Weights
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.statement import Opinion as OpinionPredicate

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollUp:
    """A product's cumulative footprint as its issuer states it, kg CO2e per declared unit.

    Without a recomputation (`audit`) this is authorship only: the numbers are the issuer's claim.
    """

    commitment: str
    issuer: str
    product: str
    period: Span
    validity: Span
    footprint: Footprint
    statement: FootprintRollUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """A third party's conclusion about exact statements."""

    commitment: str
    issuer: str
    product: str
    period: Span
    validity: Span
    statement: OpinionPredicate


def reduce(statement: FootprintRollUp, commitment: str) -> RollUp:
    """Return what `statement` says; StatementError where it contradicts itself (SPEC 8.1)."""
    with decimal.localcontext(arithmetic()):
        positive(statement.declared_unit.amount, "declaredUnit.amount")
        period.moment(statement.reference_date)
        written = footprint.decode(statement.footprint)
        if statement.location_footprint is not None:
            footprint.decode(statement.location_footprint)
        exempted = not_negative(statement.exempted_percent, "exemptedPercent")
        if exempted > HUNDRED:
            raise StatementError(f"exemptedPercent: {exempted} is above 100")
        _check_weights(statement.weights)
        _check_particulars(statement)
        if statement.battery is not None:
            _check_battery(statement.battery, footprint.total(written))
        if (statement.manifest is None) == (statement.manifest_digest is None):
            raise StatementError(
                "manifest: exactly one of manifest and manifestDigest belongs here"
            )
        _check_edges(statement.manifest or (), incomplete=statement.incomplete)
        return RollUp(
            commitment=commitment,
            issuer=statement.issuer,
            product=statement.product.id,
            period=period.span(statement.period, "period"),
            validity=period.validity(statement.period, statement.validity),
            footprint=written,
            statement=statement,
        )


def reduce_opinion(statement: OpinionPredicate, commitment: str) -> Opinion:
    """Return what an opinion says; StatementError where it contradicts itself (SPEC 8.4)."""
    percent = not_negative(statement.materiality_percent, "materialityPercent")
    if percent > HUNDRED:
        raise StatementError(f"materialityPercent: {percent} is above 100")
    if not statement.about:
        raise StatementError("about: an opinion is bound to at least one statement")
    period.moment(statement.expires)
    return Opinion(
        commitment=commitment,
        issuer=statement.issuer,
        product=statement.product.id,
        period=period.span(statement.period, "period"),
        validity=period.validity(statement.period, statement.validity),
        statement=statement,
    )


def per_kwh_delivered(battery: Battery, total: Decimal) -> Decimal | None:
    """Return kg CO2e per kWh delivered over service life, None where nothing asks for it.

    usable kWh x full equivalent cycles a year x years (SPEC 8.3; draft EU methodology).
    Raises StatementError where the figure is asked for without what it is made of.
    """
    if battery.per_kwh_delivered is None:
        return None
    return functional.per_kwh_delivered(battery, total)


def _check_particulars(statement: FootprintRollUp) -> None:
    mass_kg = None if statement.mass_kg is None else positive(statement.mass_kg, "massKg")
    particulars.check_materials(statement.materials or (), mass_kg)
    if statement.carbon_content is not None:
        particulars.check_carbon(statement.carbon_content, mass_kg)
    if statement.uncertainty is not None:
        particulars.check_uncertainty(statement.uncertainty)
    if statement.battery is not None:
        particulars.check_capacities(statement.battery)


def _check_battery(battery: Battery, total: Decimal) -> None:
    recomputed = per_kwh_delivered(battery, total)
    if battery.per_kwh_delivered is None or recomputed is None:
        return
    if number(battery.per_kwh_delivered) != recomputed:
        raise StatementError(
            f"battery.perKwhDelivered is written as {battery.per_kwh_delivered}, "
            f"its own figures give {plain(recomputed)}"
        )


def _check_weights(weights: Weights) -> None:
    absolute = not_negative(weights.absolute, "weights.absolute")
    shares = (
        (weights.primary, "primary"),
        (weights.primary_amount, "primaryAmount"),
        (weights.primary_factor, "primaryFactor"),
        (weights.signed, "signed"),
        (weights.introduced, "introduced"),
        (weights.limited, "limited"),
        (weights.reasonable, "reasonable"),
        (weights.default, "default"),
        (weights.quality.covered, "quality.covered"),
    )
    for text, name in shares:
        if not_negative(text, f"weights.{name}") > absolute:
            raise StatementError(f"weights.{name} is {text}, above weights.absolute {absolute}")
    not_negative(weights.quality.technological, "weights.quality.technological")
    not_negative(weights.quality.geographical, "weights.quality.geographical")
    not_negative(weights.quality.temporal, "weights.quality.temporal")
    not_negative(weights.gap_bound, "weights.gapBound")


def _check_edges(edges: Iterable[Edge], *, incomplete: bool) -> None:
    gaps = 0
    for edge in edges:
        particulars.check_edge(edge)
        gaps += edge.resolved.gap is not None
    if gaps and not incomplete:
        raise StatementError(f"manifest has {gaps} gaps, the footprint is not marked incomplete")
