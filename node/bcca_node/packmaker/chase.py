"""What a result lacks, ranked by how much an answer could move it (accounting rules, 7).

One answer settles all lines that buy one product of one supplier: they are one item here. What
nothing bounds comes first, by how many lines it feeds and by mass; then what is bounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from bcca_node.packmaker.recalled import Recalled
from bcca_protocol import footprint
from bcca_protocol.graph import Leaf, Source, Term
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import SCALES, ZERO, convert, exact, number
from bcca_protocol.results import Edge, Gap
from bcca_protocol.substituted import Substituted, is_unsigned_footprint

Kind = Literal["missing", "substituted", "expired", "sibling", "unsigned"]
Measure = Literal["bound", "substitute", "its own value", "its own word", "estimate", "none"]
"""What stands behind kg CO2e: an estimate is nobody's statement, and is called one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to ask a supplier for: so much of a product, and why it is wanted.

    `kg` is how much the result could move, gross kg CO2e, None where nobody can tell; `like` is
    what an estimate is taken from. `amounts` are by unit, `mass_kg` is None where these tell no
    mass. `buyers` are those whose lines it feeds.
    """

    kind: Kind
    product: str
    supplier: str
    lines: int
    amounts: Mapping[str, Decimal]
    mass_kg: Decimal | None
    kg: Decimal | None
    measure: Measure
    like: str
    reason: str
    buyers: tuple[Part, ...]

    @property
    def is_bounded(self) -> bool:
        """Whether more than an estimate says how much it could move."""
        return self.measure not in ("none", "estimate")


def chase(recalled: Recalled) -> list[Item]:
    """Return what is missing, stood in for, expired, a sibling's or unsigned, in that ranking."""
    found: dict[tuple[Kind, str, str], list[_Lack]] = {}
    with exact():
        for each in _Seen(recalled).lacks():
            where = (each.kind, each.line.bought.origin, each.line.bought.product)
            found.setdefault(where, []).append(each)
        return sorted(map(_item, found.values()), key=_rank)


class _Line(NamedTuple):
    """A bought line and what of it the result needs, in `unit`."""

    consumer: Part
    bought: Bought
    amount: Decimal
    unit: str


class _Worth(NamedTuple):
    """How much something could move the result: kg CO2e, and what says so."""

    kg: Decimal | None
    measure: Measure
    like: str = ""


class _Lack(NamedTuple):
    """A line that no current signed statement feeds, why, and what that could be worth."""

    kind: Kind
    line: _Line
    worth: _Worth
    reason: str


class _Alike(NamedTuple):
    """A product that is fed, and kg CO2e per first unit of its dimension."""

    part: Part
    kg: Decimal


class _Seen:
    """A result's lines, and the most intensive products that are comparable."""

    def __init__(self, recalled: Recalled) -> None:
        self._recalled = recalled
        self._graph = recalled.totals.graph
        self._alike = _alike(recalled)

    def lacks(self) -> Iterator[_Lack]:
        """Yield every line that lacks something, in the order of the manifest."""
        for edge in self._recalled.statement.manifest or ():
            index = self._graph.index.get(edge.consumer)
            if index is not None:
                yield from self._lacks(edge, index)

    def _lacks(self, edge: Edge, index: int) -> Iterator[_Lack]:
        part, amount = self._graph.parts[index], number(edge.amount)
        at = next(i for i, each in enumerate(part.bought) if each.line == edge.line)
        bought = part.bought[at]
        gap = edge.resolved.gap
        if gap is not None:
            line = _Line(part, bought, amount, bought.unit)
            yield _Lack("missing", line, self._worth(gap, line), gap.reason)
            return
        term = next(each for each in self._graph.terms[index] if each.line == at)
        supplier = self._graph.parts[term.supplier]
        line = _Line(part, bought, amount, supplier.unit)
        kg = footprint.total(self._recalled.totals.footprint(term.supplier))
        worth = abs(kg * amount / supplier.declared)
        yield from _fed(line, self._graph.sources[term.supplier], term, worth)

    def _worth(self, gap: Gap, line: _Line) -> _Worth:
        """Return the bound of a gap, else an upper estimate: as the most intensive of its like."""
        if gap.bound is not None:
            return _Worth(number(gap.bound), "bound")
        scale = SCALES[line.unit]
        found = self._alike.get((line.bought.product, scale.dimension))
        found = found or self._alike.get(("", scale.dimension))
        if found is None:
            return _Worth(None, "none")
        amount = line.amount * scale.factor.numerator / scale.factor.denominator
        return _Worth(amount * found.kg, "estimate", f"{found.part.name} of {found.part.producer}")


def _fed(line: _Line, source: Source, term: Term, kg: Decimal) -> Iterator[_Lack]:
    """Yield what is not as it should be of what feeds a line."""
    if isinstance(source, Substituted):
        kind: Kind = "unsigned" if is_unsigned_footprint(source.stated) else "substituted"
        yield _Lack(kind, line, _Worth(kg, "substitute"), source.stated.reason)
        return
    if term.why is not None and term.why.code != "lagged":  # its successor is not there to ask for
        yield _Lack(term.why.code, line, _Worth(kg, "its own value"), term.why.words)
    if isinstance(source, Leaf):
        yield from _claimed(line, source)


def _claimed(line: _Line, leaf: Leaf) -> Iterator[_Lack]:
    """Yield what a supplier's own roll-up says that it lacks."""
    weights = leaf.signed.fact.statement.weights
    scale = line.amount / leaf.fact.declared
    unsigned = (number(weights.absolute) - number(weights.signed)) * scale
    if unsigned:
        reason = "its cumulative footprint says that no statement signs this much of it"
        yield _Lack("unsigned", line, _Worth(unsigned, "its own word"), reason)
    if leaf.is_incomplete:
        bound = number(weights.gap_bound) * scale
        worth = _Worth(bound, "its own word") if bound else _Worth(None, "none")
        reason = "its cumulative footprint is incomplete, as its issuer says"
        yield _Lack("missing", line, worth, reason)


def _alike(recalled: Recalled) -> dict[tuple[str, str], _Alike]:
    """Return the most intensive of what is bought, by product and dimension and by that alone."""
    graph = recalled.totals.graph
    bought = {term.supplier for i in recalled.totals.vectors for term in graph.terms[i]}
    found: dict[tuple[str, str], _Alike] = {}
    with exact():
        for index in sorted(bought):
            part = graph.parts[index]
            dimension, factor = SCALES[part.unit]
            units = part.declared * factor.numerator / factor.denominator
            here = _Alike(part, abs(footprint.total(recalled.totals.footprint(index)) / units))
            for name in ((part.product, dimension), ("", dimension)):
                if name not in found or found[name].kg < here.kg:
                    found[name] = here
    return found


def _item(lacks: Sequence[_Lack]) -> Item:
    """Return one item for lines that one answer settles; the weakest measure of them is its own."""
    first = lacks[0]
    amounts: dict[str, Decimal] = {}
    for each in lacks:
        unit = each.line.unit
        amounts[unit] = amounts.get(unit, ZERO) + each.line.amount
    weakest = min((each.worth for each in lacks), key=_firmness)
    known = [each.worth.kg for each in lacks if each.worth.kg is not None]
    return Item(
        kind=first.kind,
        product=first.line.bought.product,
        supplier=first.line.bought.origin,
        lines=len(lacks),
        amounts=amounts,
        mass_kg=_mass(amounts),
        kg=sum(known, ZERO) if len(known) == len(lacks) else None,
        measure=weakest.measure,
        like=weakest.like,
        reason=first.reason,
        buyers=tuple(
            {each.line.consumer.commitment: each.line.consumer for each in lacks}.values()
        ),
    )


def _firmness(worth: _Worth) -> int:
    return ("none", "estimate").index(worth.measure) if worth.measure in ("none", "estimate") else 2


def _mass(amounts: Mapping[str, Decimal]) -> Decimal | None:
    if any(SCALES[unit].dimension != "mass" for unit in amounts):
        return None
    return sum((convert(amount, unit, "kg") for unit, amount in amounts.items()), ZERO)


def _rank(item: Item) -> tuple[object, ...]:
    """Return what sorts items: unbounded first, by lines and mass; bounded ones by kg CO2e."""
    name, kg = (item.supplier, item.product, item.kind), item.kg or ZERO
    if not item.is_bounded:
        return (0, -item.lines, -(item.mass_kg or ZERO), -kg, *name)
    return (1, ZERO, ZERO, -kg, *name)
