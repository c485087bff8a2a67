"""A partial footprint recomputed from its own lines, reduced to what a roll-up needs (SPEC 7)."""

import decimal
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from bcca_protocol import activity, footprint, period
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import INCLUDING_UPTAKE, UPTAKE, Cell, Footprint
from bcca_protocol.inventory import Activity, Allocation, Input
from bcca_protocol.period import Span
from bcca_protocol.quantity import (
    ONE,
    ZERO,
    arithmetic,
    convert,
    not_negative,
    number,
    plain,
    positive,
)
from bcca_protocol.statement import PartialFootprint

_COUNTED = frozenset(INCLUDING_UPTAKE) - UPTAKE


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """One input line: how much of whose product. `share` is set where the line is joint."""

    line: str
    product: str
    origin: str
    key: str
    site: str | None
    amount: Decimal
    unit: str
    yield_: Decimal
    share: Decimal
    stages: str
    pinned: str | None
    acquired: Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a partial footprint says, recomputed: own kg CO2e per declared unit, and what it buys.

    `declared` and `output` are amounts of `unit`.
    """

    commitment: str
    issuer: str
    product: str
    name: str
    producer: str
    site: str | None
    batch: str | None
    period: Span
    validity: Span
    sharing: str
    unit: str
    declared: Decimal
    output: Decimal
    mass_kg: Decimal | None
    own: Footprint
    own_by_location: Footprint | None
    tally: Tally
    bought: tuple[Bought, ...]
    claims: tuple[str, ...]


def reduce(statement: PartialFootprint, commitment: str) -> Part:
    """Return what `statement` says, every rule of SPEC 7 checked and every sum recomputed.

    Raises StatementError, LimitError or UnitError naming the line and the two things that differ.
    """
    with decimal.localcontext(arithmetic()):
        mass_kg = number(statement.mass_kg) if statement.mass_kg is not None else None
        return _reduce(statement, commitment, mass_kg)


def _reduce(statement: PartialFootprint, commitment: str, mass_kg: Decimal | None) -> Part:
    unit = statement.declared_unit.unit
    declared = positive(statement.declared_unit.amount, "declaredUnit.amount")
    output = convert(
        positive(statement.output.amount, "output.amount"),
        statement.output.unit,
        unit,
        mass_kg=mass_kg,
    )
    if mass_kg is not None and mass_kg <= 0:
        raise StatementError(f"massKg: {mass_kg} is not above zero")
    _distinct((line.id for line in (*statement.activities, *statement.inputs)), "line id")
    share = _share(statement.allocation, statement.output.amount)
    scale = _Scale(share, declared, output)
    own, tally = _own_lines(statement, scale)
    _compare("footprint", footprint.decode(statement.footprint), own)
    claims = tuple(_claims(statement.activities))
    _distinct(claims, "electricity certificate")
    return Part(
        commitment=commitment,
        issuer=statement.issuer,
        product=statement.product.id,
        name=statement.product.name,
        producer=statement.producer.name,
        site=statement.site.id if statement.site else None,
        batch=statement.batch,
        period=period.span(statement.period, "period"),
        validity=period.validity(statement.period, statement.validity),
        sharing=statement.sharing,
        unit=unit,
        declared=declared,
        output=output,
        mass_kg=mass_kg,
        own=own,
        own_by_location=_by_location(statement, scale),
        tally=tally,
        bought=tuple(_bought(line, share) for line in statement.inputs),
        claims=claims,
    )


class _Scale(NamedTuple):
    """How a line's result becomes kg CO2e per declared unit."""

    share: Decimal
    declared: Decimal
    output: Decimal

    def apply(self, value: Decimal) -> Decimal:
        """Return `value` x declared unit / output, each operation rounded (SPEC 3.4)."""
        if self.declared == self.output == 1:
            return value
        return value * self.declared / self.output


def _own_lines(statement: PartialFootprint, scale: _Scale) -> tuple[dict[Cell, Decimal], Tally]:
    sums: dict[Cell, Decimal] = {}
    lines: list[tuple[Activity, Decimal]] = []
    for line in statement.activities:
        activity.check(line, statement.method.gwp)
        if line.joint and statement.allocation is None:
            raise StatementError(f"line {line.id}: joint, where the statement has no allocation")
        counted = ZERO
        for cell, value in activity.kg_by_cell(line, line.factor, scale.share):
            sums[cell] = sums.get(cell, ZERO) + value
            if cell.component in _COUNTED:
                counted += value
        lines.append((line, abs(counted)))
    own = {cell: scale.apply(value) for cell, value in sums.items()}
    excluded = (number(e.estimate) for e in statement.exclusions or () if e.estimate)
    return own, _tally(lines, scale, sum(excluded, ZERO))


def _tally(lines: list[tuple[Activity, Decimal]], scale: _Scale, excluded: Decimal) -> Tally:
    absolute = primary = amounts = factors = ZERO
    covered = technological = geographical = temporal = ZERO
    for line, kg in lines:
        absolute += kg
        if line.amount_kind == "measured":
            amounts += kg
        if line.factor.kind == "supplierSpecific":
            factors += kg
            primary += kg if line.amount_kind == "measured" else ZERO
        if line.quality is not None:
            scores = activity.scores(line.quality, line.id)
            covered += kg
            technological += kg * scores[0]
            geographical += kg * scores[1]
            temporal += kg * scores[2]
    sums = (absolute, primary, amounts, factors)
    quality = (covered, technological, geographical, temporal)
    return Tally(*map(scale.apply, sums), excluded, *map(scale.apply, quality))


def _by_location(statement: PartialFootprint, scale: _Scale) -> Footprint | None:
    if statement.location_footprint is None:
        return None
    sums: dict[Cell, Decimal] = {}
    for line in statement.activities:
        factor = activity.location_factor(line)
        for cell, value in activity.kg_by_cell(line, factor, scale.share):
            sums[cell] = sums.get(cell, ZERO) + value
    located = {cell: scale.apply(value) for cell, value in sums.items()}
    _compare("locationFootprint", footprint.decode(statement.location_footprint), located)
    return located


def _share(allocation: Allocation | None, output: str) -> Decimal:
    """Return own output x weight over the sum of all; 1 without allocation (SPEC 7.3)."""
    if allocation is None:
        return ONE
    own = number(output) * positive(allocation.weight, "allocation.weight")
    whole = own
    for other in allocation.co_products:
        weight = not_negative(other.weight, f"allocation of {other.name}: weight")
        whole += not_negative(other.amount, f"allocation of {other.name}: amount") * weight
    return own / whole


def _bought(line: Input, share: Decimal) -> Bought:
    yield_ = number(line.yield_) if line.yield_ is not None else ONE
    if not 0 < yield_ <= 1:
        raise StatementError(f"line {line.id}: a yield of {line.yield_}, where 0 < yield <= 1")
    return Bought(
        line=line.id,
        product=line.product,
        origin=line.supplier.origin,
        key=line.supplier.key,
        site=line.site,
        amount=not_negative(line.amount, f"line {line.id}: amount"),
        unit=line.unit,
        yield_=yield_,
        share=share if line.joint else ONE,
        stages=line.stages,
        pinned=line.statement,
        acquired=period.span(line.acquired, f"line {line.id}") if line.acquired else None,
    )


def _claims(lines: Iterable[Activity]) -> Iterable[str]:
    for line in lines:
        instrument = line.electricity.instrument if line.electricity else None
        if instrument is not None and instrument.claim_handle is not None:
            yield instrument.claim_handle


def _compare(what: str, written: Footprint, recomputed: Footprint) -> None:
    """Raise StatementError at the first cell where the two differ, if only in the last digit."""
    for cell in sorted(written.keys() | recomputed.keys()):
        here, there = written.get(cell, ZERO), recomputed.get(cell, ZERO)
        if here != there:
            raise StatementError(
                f"{what} {cell.stage}.{cell.component} is written as {plain(here)}, "
                f"its own lines give {plain(there)}"
            )


def _distinct(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise StatementError(f"{what} {name} stands twice")
        seen.add(name)
