"""The own lines of a partial footprint added up (SPEC 7.1)."""

import decimal
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bcca_protocol import activity, footprint, particulars
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import CELLS, COMPONENTS, EXCLUDING_UPTAKE, Cell, Footprint
from bcca_protocol.inventory import Activity, Allocation, Factor
from bcca_protocol.quantity import (
    ONE,
    ZERO,
    arithmetic,
    convert,
    not_negative,
    positive,
)
from bcca_protocol.statement import PartialFootprint

_COUNTED = frozenset(COMPONENTS.index(component) for component in EXCLUDING_UPTAKE)


class Tally(NamedTuple):
    """Sums of absolute own contributions, kg CO2e per declared unit: they add up through tiers."""

    absolute: Decimal = ZERO
    primary: Decimal = ZERO
    primary_amount: Decimal = ZERO
    primary_factor: Decimal = ZERO
    excluded: Decimal = ZERO
    covered: Decimal = ZERO
    technological: Decimal = ZERO
    geographical: Decimal = ZERO
    temporal: Decimal = ZERO


class Scale(NamedTuple):
    """How a line's result becomes kg CO2e per declared unit; in the declared unit's unit."""

    share: Decimal
    declared: Decimal
    output: Decimal

    @classmethod
    def of(cls, statement: PartialFootprint, mass_kg: Decimal | None) -> "Scale":
        """Return the scale of a statement; raises StatementError or UnitError."""
        unit = statement.declared_unit.unit
        output = positive(statement.output.amount, "output.amount")
        return cls(
            share=_share(statement.allocation, output),
            declared=positive(statement.declared_unit.amount, "declaredUnit.amount"),
            output=convert(output, statement.output.unit, unit, mass_kg=mass_kg),
        )

    def apply(self, value: Decimal) -> Decimal:
        """Return `value` x declared unit / output, each operation rounded (SPEC 3.4)."""
        if self.declared == self.output == ONE:
            return value
        return value * self.declared / self.output


def with_footprint(statement: PartialFootprint) -> PartialFootprint:
    """Return `statement` with its sums written in: what an author does before signing.

    The location-based answer is written where a line gives a locationFactor.
    """
    with decimal.localcontext(arithmetic()):
        scale = Scale.of(statement, mass_of(statement))
        own, _ = add_up(statement, scale)
        located = any(a.electricity and a.electricity.location_factor for a in statement.activities)
        return msgspec.structs.replace(
            statement,
            footprint=footprint.encode(own),
            location_footprint=(
                footprint.encode(add_up_by_location(statement, scale)) if located else None
            ),
        )


def mass_of(statement: PartialFootprint) -> Decimal | None:
    """Return kg of product in one declared unit, None where the statement does not say."""
    return None if statement.mass_kg is None else positive(statement.mass_kg, "massKg")


def add_up(statement: PartialFootprint, scale: Scale) -> tuple[Footprint, Tally]:
    """Return own kg CO2e per declared unit, and the tally; raises StatementError (SPEC 7.2)."""
    sums: dict[Cell, Decimal] = {}
    contributions: list[Decimal] = []
    gwp, share = statement.method.gwp, scale.share
    for line in statement.activities:
        activity.check(line, gwp)
        if line.joint and statement.allocation is None:
            raise StatementError(f"line {line.id}: joint, where the statement has no allocation")
        contributions.append(abs(_add(sums, line, line.factor, share)))
    excluded = particulars.check_exclusions(statement.exclusions or ())
    tally = _tally(statement.activities, contributions, scale, excluded)
    return {cell: scale.apply(value) for cell, value in sums.items()}, tally


def add_up_by_location(statement: PartialFootprint, scale: Scale) -> Footprint:
    """Return own kg CO2e with every line at its location factor (SPEC 7.4)."""
    sums: dict[Cell, Decimal] = {}
    for line in statement.activities:
        _add(sums, line, activity.location_factor(line), scale.share)
    return {cell: scale.apply(value) for cell, value in sums.items()}


def _add(sums: dict[Cell, Decimal], line: Activity, factor: Factor, share: Decimal) -> Decimal:
    """Add a line to `sums` and return what it counts: convert, x factor, x share (SPEC 3.4)."""
    amount = activity.amount_in(line, factor.unit)
    cells, joint, counted = CELLS[line.stage], line.joint, ZERO
    for place, value in footprint.figures(factor.values):
        kg = amount * value
        if joint:
            kg *= share
        cell = cells[place]
        sums[cell] = sums[cell] + kg if cell in sums else kg
        if place in _COUNTED:
            counted += kg
    return counted


def _tally(
    lines: Sequence[Activity], contributions: Sequence[Decimal], scale: Scale, excluded: Decimal
) -> Tally:
    absolute = primary = amounts = factors = ZERO
    covered = technological = geographical = temporal = ZERO
    for line, kg in zip(lines, contributions, strict=True):
        absolute += kg
        measured = line.amount_kind == "measured"
        if measured:
            amounts += kg
        if line.factor.kind == "supplierSpecific":
            factors += kg
            primary += kg if measured else ZERO
        if line.quality is not None:
            scores = activity.scores(line.quality, line.id)
            covered += kg
            technological += kg * scores[0]
            geographical += kg * scores[1]
            temporal += kg * scores[2]
    return Tally(
        absolute=scale.apply(absolute),
        primary=scale.apply(primary),
        primary_amount=scale.apply(amounts),
        primary_factor=scale.apply(factors),
        excluded=excluded,
        covered=scale.apply(covered),
        technological=scale.apply(technological),
        geographical=scale.apply(geographical),
        temporal=scale.apply(temporal),
    )


def _share(allocation: Allocation | None, output: Decimal) -> Decimal:
    """Return own output x weight over the sum of all; 1 without allocation (SPEC 7.3)."""
    if allocation is None:
        return ONE
    own = output * positive(allocation.weight, "allocation.weight")
    whole = own
    for other in allocation.co_products:
        weight = not_negative(other.weight, f"allocation of {other.name}: weight")
        whole += not_negative(other.amount, f"allocation of {other.name}: amount") * weight
    return own / whole
