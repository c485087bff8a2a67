"""The own lines of a partial footprint added up (SPEC 7.1)."""

import decimal
from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import mul
from typing import NamedTuple

import msgspec

from bcca_protocol import activity, footprint, particulars
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import CELLS, Cell, Figures, Footprint, Stage
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
        return dict(zip(sums, self.apply(tuple(sums.values())), strict=True))


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
    activity.check(lines, statement.method.gwp, allocated=statement.allocation is not None)
    sums, counted = _add_up(lines, [line.factor for line in lines], scale.share)
    excluded = particulars.check_exclusions(statement.exclusions or ())
    return scale.footprint(sums), _tally(lines, counted, scale, excluded)


def add_up_by_location(statement: PartialFootprint, scale: Scale) -> Footprint:
    """Return own kg CO2e with every line at its location factor (SPEC 7.4)."""
    lines = statement.activities
    sums, _ = _add_up(lines, [activity.location_factor(line) for line in lines], scale.share)
    return scale.footprint(sums)


def _add_up(
    lines: Sequence[Activity], factors: Sequence[Factor], share: Decimal
) -> tuple[dict[Cell, Decimal], list[Decimal]]:
    """Return the lines' sum, and what each counts: convert, x factor, x share (SPEC 3.4).

    Column by column, which is three times as fast; each cell sums its lines in written order.
    """
    amounts = activity.amounts_in(lines, [factor.unit for factor in factors])
    figures = [footprint.figures(factor.values) for factor in factors]
    joint = [i for i, line in enumerate(lines) if line.joint]
    counted = _times(amounts, [each.counted for each in figures])
    for i in joint:
        counted[i] *= share
    sums: dict[Cell, Decimal] = {}
    for stage, members in _by_stage(lines):
        some = [amounts[i] for i in members]
        theirs = [place for place, i in enumerate(members) if i in joint]
        places, columns = _aligned([figures[i] for i in members])
        for place, column in zip(places, columns, strict=True):
            kg = _times(some, column)
            for i in theirs:
                kg[i] *= share
            sums[CELLS[stage][place]] = sum(kg, ZERO)
    return sums, counted


def _times(amounts: Sequence[Decimal], values: Sequence[Decimal]) -> list[Decimal]:
    return list(map(mul, amounts, values))


def _by_stage(lines: Sequence[Activity]) -> Iterable[tuple[Stage, Sequence[int]]]:
    stages = [line.stage for line in lines]
    for stage in dict.fromkeys(stages):
        yield stage, [i for i, other in enumerate(stages) if other == stage]


def _aligned(rows: Sequence[Figures]) -> tuple[Sequence[int], Iterable[Sequence[Decimal]]]:
    """Return the places that any row has, and the values of all rows there, zero where none is."""
    if len({row.places for row in rows}) == 1:
        return rows[0].places, zip(*[row.values for row in rows], strict=True)
    places = sorted({place for row in rows for place in row.places})
    given = [dict(zip(row.places, row.values, strict=True)) for row in rows]
    return places, [[row.get(place, ZERO) for row in given] for place in places]


def _tally(
    lines: Sequence[Activity], counted: Sequence[Decimal], scale: Scale, excluded: Decimal
) -> Tally:
    contributions = list(map(abs, counted))
    primary = amounts = factors = ZERO
    covered = technological = geographical = temporal = ZERO
    for line, kg in zip(lines, contributions, strict=True):
        specific = line.factor.kind == "supplierSpecific"
        if line.amount_kind == "measured":
            amounts += kg
            primary += kg if specific else ZERO
        if specific:
            factors += kg
        if line.quality is not None:
            scores = activity.scores(line.quality, line.id)
            covered += kg
            technological += kg * scores[0]
            geographical += kg * scores[1]
            temporal += kg * scores[2]
    absolute = sum(contributions, ZERO)
    weighted = (covered, technological, geographical, temporal)
    scaled = scale.apply((absolute, primary, amounts, factors, *weighted))
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
