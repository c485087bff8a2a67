"""The own lines of a partial footprint added up (SPEC 7.1)."""

import decimal
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bcca_protocol import activity, footprint, particulars
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import CELLS, Footprint, Stage
from bcca_protocol.inventory import Activity, Allocation, Factor
from bcca_protocol.quantity import (
    ONE,
    SCALES,
    ZERO,
    Unit,
    arithmetic,
    convert,
    not_negative,
    number,
    plain,
    positive,
)
from bcca_protocol.statement import PartialFootprint


class Tally(NamedTuple):
    """Sums of absolute own contributions, kg CO2e per declared unit: they add up through tiers."""

    absolute: Decimal = ZERO
    primary: Decimal = ZERO
    primary_amount: Decimal = ZERO
    primary_factor: Decimal = ZERO
    covered: Decimal = ZERO
    technological: Decimal = ZERO
    geographical: Decimal = ZERO
    temporal: Decimal = ZERO
    excluded: Decimal = ZERO


class Handed(NamedTuple):
    """Further sums of absolute contributions, of what is no signed part alone: they add up too.

    `unsigned` is what no statement signs, `gap_bound` an estimate that is in no total.
    """

    unsigned: Decimal = ZERO
    introduced: Decimal = ZERO
    default: Decimal = ZERO
    limited: Decimal = ZERO
    reasonable: Decimal = ZERO
    gap_bound: Decimal = ZERO


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

    def footprint(self, sums: Footprint) -> Footprint:
        """Return `sums` per declared unit."""
        values = tuple(sums.values())
        scaled = self.apply(values)
        return sums if scaled is values else dict(zip(sums, scaled, strict=True))


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
    """Return kg of product in one declared unit, None where the statement does not say.

    Raises StatementError where a declared unit of mass says otherwise.
    """
    if statement.mass_kg is None:
        return None
    mass_kg = positive(statement.mass_kg, "massKg")
    declared = statement.declared_unit
    if SCALES[declared.unit].dimension == "mass":
        stated = convert(number(declared.amount), declared.unit, "kg")
        if stated != mass_kg:
            raise StatementError(f"massKg: {plain(mass_kg)}, where {plain(stated)} kg are declared")
    return mass_kg


def mass_of_piece(mass_kg: Decimal | None, declared: Decimal, unit: Unit) -> Decimal | None:
    """Return kg of one piece, None where pieces are not what is declared (SPEC 3.5)."""
    return None if mass_kg is None or unit != "piece" else mass_kg / declared


def add_up(statement: PartialFootprint, scale: Scale) -> tuple[Footprint, Tally]:
    """Return own kg CO2e per declared unit, and the tally; raises StatementError (SPEC 7.2)."""
    lines = statement.activities
    factors = [line.factor for line in lines]
    activity.check(lines, statement.method.gwp, allocated=statement.allocation is not None)
    sums, counted = _add_up(lines, factors, scale.share)
    excluded = particulars.check_exclusions(statement.exclusions or ())
    contributions = list(map(abs, counted))
    return scale.footprint(sums), _tally(lines, factors, contributions, scale, excluded)


def contributions(statement: PartialFootprint, scale: Scale) -> list[Decimal]:
    """Return the gross kg CO2e of each own line, not yet scaled (SPEC 8.6, c)."""
    lines = statement.activities
    _, counted = _add_up(lines, [line.factor for line in lines], scale.share)
    return list(map(abs, counted))


def add_up_by_location(statement: PartialFootprint, scale: Scale) -> Footprint:
    """Return own kg CO2e with every line at its location factor (SPEC 7.4)."""
    lines = statement.activities
    sums, _ = _add_up(lines, [activity.location_factor(line) for line in lines], scale.share)
    return scale.footprint(sums)


def _add_up(
    lines: Sequence[Activity], factors: Sequence[Factor], share: Decimal
) -> tuple[Footprint, list[Decimal]]:
    """Return the lines' sum, and what each counts: convert, x factor, x share (SPEC 3.4)."""
    rows: dict[Stage, dict[int, Decimal]] = {}
    counted: list[Decimal] = []
    for line, factor, written in zip(lines, factors, activity.amounts(lines), strict=True):
        fits = line.unit == factor.unit
        amount = written if fits else activity.converted(line, written, factor.unit)
        row, joint = rows.setdefault(line.stage, {}), line.joint
        values, whole = footprint.figures(factor.values)
        for place, value in values:
            kg = amount * value * share if joint else amount * value
            row[place] = row[place] + kg if place in row else kg
        counted.append(amount * whole * share if joint else amount * whole)
    return {CELLS[s][place]: kg for s, row in rows.items() for place, kg in row.items()}, counted


def _tally(
    lines: Sequence[Activity],
    factors: Sequence[Factor],
    contributions: Sequence[Decimal],
    scale: Scale,
    excluded: Decimal,
) -> Tally:
    primary = amounts = specific = covered = technological = geographical = temporal = ZERO
    for line, factor, kg in zip(lines, factors, contributions, strict=True):
        if line.amount_kind == "measured":
            amounts += kg
            if factor.kind == "supplierSpecific":
                primary += kg
        if factor.kind == "supplierSpecific":
            specific += kg
        if line.quality is not None:
            scores = activity.scores(line.quality, line.id)
            covered += kg
            technological += kg * scores[0]
            geographical += kg * scores[1]
            temporal += kg * scores[2]
    absolute = sum(contributions, ZERO)
    weighted = (covered, technological, geographical, temporal)
    scaled = scale.apply((absolute, primary, amounts, specific, *weighted))
    return Tally._make((*scaled, excluded))


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
