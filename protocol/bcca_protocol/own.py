"""The own lines of a partial footprint added up (SPEC 7.1)."""

import decimal
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bcca_protocol import activity, footprint, particulars
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import CELLS, COMPONENTS, EXCLUDING_UPTAKE, Footprint, Stage
from bcca_protocol.inventory import Activity, Allocation, Factor
from bcca_protocol.quantity import (
    ONE,
    ZERO,
    Unit,
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
        declared = positive(statement.declared_unit.amount, "declaredUnit.amount")
        piece = mass_of_piece(mass_kg, declared, unit)
        return cls(
            share=_share(statement.allocation, output),
            declared=declared,
            output=convert(output, statement.output.unit, unit, mass_kg=piece),
        )

    def apply(self, values: Sequence[Decimal]) -> Sequence[Decimal]:
        """Return each of `values` x declared unit / output, each operation rounded (SPEC 3.4)."""
        if self.declared == self.output == ONE:
            return values
        return [value * self.declared / self.output for value in values]


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


def mass_of_piece(mass_kg: Decimal | None, declared: Decimal, unit: Unit) -> Decimal | None:
    """Return kg of one piece, None where pieces are not what is declared (SPEC 3.5)."""
    return None if mass_kg is None or unit != "piece" else mass_kg / declared


def add_up(statement: PartialFootprint, scale: Scale) -> tuple[Footprint, Tally]:
    """Return own kg CO2e per declared unit, and the tally; raises StatementError (SPEC 7.2)."""
    rows: _Rows = {}
    counted: list[Decimal] = []
    lines, gwp, share = statement.activities, statement.method.gwp, scale.share
    for line, amount in zip(lines, activity.amounts(lines), strict=True):
        activity.check(line, gwp)
        if line.joint and statement.allocation is None:
            raise StatementError(f"line {line.id}: joint, where the statement has no allocation")
        counted.append(abs(_add(rows, line, amount, line.factor, share)))
    excluded = particulars.check_exclusions(statement.exclusions or ())
    return _scaled(rows, scale), _tally(lines, counted, scale, excluded)


def add_up_by_location(statement: PartialFootprint, scale: Scale) -> Footprint:
    """Return own kg CO2e with every line at its location factor (SPEC 7.4)."""
    rows: _Rows = {}
    lines = statement.activities
    for line, amount in zip(lines, activity.amounts(lines), strict=True):
        _add(rows, line, amount, activity.location_factor(line), scale.share)
    return _scaled(rows, scale)


_Rows = dict[Stage, list[Decimal]]  # kg CO2e of each stage, in the order of COMPONENTS


def _add(rows: _Rows, line: Activity, amount: Decimal, factor: Factor, share: Decimal) -> Decimal:
    """Add a line to `rows` and return what it counts: convert, x factor, x share (SPEC 3.4)."""
    if line.unit != factor.unit:
        amount = activity.converted(line, amount, factor.unit)
    row = rows.get(line.stage)
    if row is None:
        row = rows[line.stage] = [ZERO] * len(COMPONENTS)
    joint, counted = line.joint, ZERO
    for place, value in footprint.figures(factor.values):
        kg = amount * value
        if joint:
            kg *= share
        row[place] += kg
        if place in _COUNTED:
            counted += kg
    return counted


def _scaled(rows: _Rows, scale: Scale) -> Footprint:
    """Return the footprint in `rows` per declared unit, zeros left out."""
    return {
        cell: kg
        for stage, row in rows.items()
        for cell, kg in zip(CELLS[stage], scale.apply(row), strict=True)
        if kg
    }


def _tally(
    lines: Sequence[Activity], contributions: Sequence[Decimal], scale: Scale, excluded: Decimal
) -> Tally:
    primary = amounts = factors = ZERO
    covered = technological = geographical = temporal = ZERO
    for line, kg in zip(lines, contributions, strict=True):
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
    weighted = (covered, technological, geographical, temporal)
    tally = Tally(sum(contributions, ZERO), primary, amounts, factors, ZERO, *weighted)
    return Tally._make(scale.apply(tally))._replace(excluded=excluded)


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
