"""A partial footprint recomputed from its own lines, reduced to what a roll-up needs (SPEC 7)."""

import decimal
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache

import msgspec

from bcca_protocol import footprint, own, particulars, period, spread
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import Footprint, Stages
from bcca_protocol.inventory import Activity, Input, Material, Supplier
from bcca_protocol.limits import MAX_KEPT_SUPPLIERS
from bcca_protocol.own import Handed, Scale, Tally
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, ZERO, Unit, arithmetic, not_negative, number, plain
from bcca_protocol.spread import Spread
from bcca_protocol.statement import PartialFootprint, Product


class Bought(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One input line: how much of whose product. `share` is set where the line is joint."""

    line: str
    product: str
    origin: str
    key: str
    site: str | None
    amount: Decimal
    unit: Unit
    yield_: Decimal
    share: Decimal
    stages: str
    pinned: str | None
    acquired: Span | None


class Part(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a partial footprint says, recomputed: own kg CO2e per declared unit, and what it buys.

    `declared` and `output` are amounts of `unit`. `handed` is of what else stands in its place: a
    cumulative footprint, a substitute. `materials` and `spreads` are for balances and intervals.
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
    unit: Unit
    declared: Decimal
    output: Decimal
    mass_kg: Decimal | None
    own: Footprint
    own_by_location: Footprint | None
    tally: Tally
    bought: tuple[Bought, ...]
    claims: tuple[str, ...]
    gwp: str
    recycling: str
    producer_ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    handed: Handed | None = None
    materials: tuple[Material, ...] = ()
    spreads: tuple[Spread, ...] = ()

    @property
    def piece_kg(self) -> Decimal | None:
        """Kg of one piece, None where pieces are not what is declared."""
        return own.mass_of_piece(self.mass_kg, self.declared, self.unit)


def reduce(statement: PartialFootprint, commitment: str) -> Part:
    """Return what `statement` says, every rule of SPEC 7 checked and every sum recomputed.

    Raises StatementError, LimitError or UnitError naming the line and the two things that differ.
    """
    with decimal.localcontext(arithmetic()):
        return _reduce(statement, commitment)


def _reduce(statement: PartialFootprint, commitment: str) -> Part:
    mass_kg = own.mass_of(statement)
    scale = Scale.of(statement, mass_kg)
    names = [line.id for line in statement.activities]
    names += [line.id for line in statement.inputs]
    _distinct(names, "line id")
    market, tally = own.add_up(statement, scale)
    _compare("footprint", statement.footprint, market)
    location = None
    if statement.location_footprint is not None:
        location = own.add_up_by_location(statement, scale)
        _compare("locationFootprint", statement.location_footprint, location)
    claims = tuple(_check_particulars(statement, mass_kg))
    _distinct(claims, "electricity certificate")
    return Part(
        commitment=commitment,
        issuer=statement.issuer,
        product=statement.product.id,
        name=statement.product.name,
        producer=statement.producer.name,
        producer_ids=statement.producer.ids or (),
        classes=classes_of(statement.product),
        site=statement.site.id if statement.site else None,
        batch=statement.batch,
        period=period.span(statement.period, "period"),
        validity=period.validity(statement.period, statement.validity),
        sharing=statement.sharing,
        unit=statement.declared_unit.unit,
        declared=scale.declared,
        output=scale.output,
        mass_kg=mass_kg,
        own=market,
        own_by_location=location,
        tally=tally,
        bought=tuple(
            _bought(line, scale.share, allocated=statement.allocation is not None)
            for line in statement.inputs
        ),
        claims=claims,
        gwp=statement.method.gwp,
        recycling=statement.method.recycling,
        materials=statement.materials or (),
        spreads=spread.of_lines(statement, scale),
    )


def classes_of(product: Product) -> tuple[str, ...]:
    """Return the classifications of a product, each as `scheme:code`."""
    return tuple(f"{each.scheme}:{each.code}" for each in product.classifications or ())


def _check_particulars(statement: PartialFootprint, mass_kg: Decimal | None) -> list[str]:
    """Check what is only handed on (SPEC 7.5); return the claims to electricity certificates."""
    claims: list[str] = []
    for line in statement.activities:
        if line.electricity or line.amount_gsd or line.factor.gsd:
            particulars.check_activity(line)
            claims += _claims(line)
    if statement.materials is not None:
        particulars.check_materials(statement.materials, mass_kg)
    if statement.carbon_content is not None:
        particulars.check_carbon(statement.carbon_content, mass_kg)
    return claims


def _bought(line: Input, share: Decimal, *, allocated: bool) -> Bought:
    yield_ = ONE if line.yield_ is None else number(line.yield_)
    if yield_ is not ONE and not 0 < yield_ <= 1:
        raise StatementError(f"line {line.id}: a yield of {line.yield_}, where 0 < yield <= 1")
    if line.joint and not allocated:
        raise StatementError(f"line {line.id}: joint, where the statement has no allocation")
    supplier = _kept(line.supplier)
    origin, key = supplier.origin, supplier.key
    if not key.startswith(f"{origin}+"):
        name = key.partition("+")[0]
        raise StatementError(f"line {line.id}: supplier {origin}, its log key is named {name}")
    return Bought(
        line=line.id,
        product=line.product,
        origin=origin,
        key=key,
        site=line.site,
        amount=not_negative(line.amount, f"line {line.id}: amount"),
        unit=line.unit,
        yield_=yield_,
        share=share if line.joint else ONE,
        stages=line.stages,
        pinned=line.statement,
        acquired=period.span(line.acquired, f"line {line.id}") if line.acquired else None,
    )


@lru_cache(MAX_KEPT_SUPPLIERS)
def _kept(supplier: Supplier) -> Supplier:
    """Return one object for all that are equal: thousands of inputs name a few suppliers."""
    return supplier


def _claims(line: Activity) -> Iterable[str]:
    instrument = line.electricity.instrument if line.electricity else None
    if instrument is not None and instrument.claim_handle is not None:
        yield instrument.claim_handle


def _compare(what: str, stated: Stages, recomputed: Footprint) -> None:
    """Raise StatementError at the first cell where the two differ, if only in the last digit."""
    if footprint.encode(recomputed) == stated:
        footprint.check_sides(recomputed)
        return
    written = footprint.decode(stated)  # the same value may be written with more zeros
    for cell in sorted(written.keys() | recomputed.keys()):
        here, there = written.get(cell, ZERO), recomputed.get(cell, ZERO)
        if plain(here) != plain(there):
            raise StatementError(
                f"{what} {cell.stage}.{cell.component} is written as {plain(here)}, "
                f"its own lines give {plain(there)}"
            )


def _distinct(names: Sequence[str], what: str) -> None:
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise StatementError(f"{what} {twice} stands twice")
