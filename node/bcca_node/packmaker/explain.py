"""Where a result comes from: by product, supplier and stage, and as a tree.

For people: numbers here are shares of a verified total, and their sums may differ from it in the
last digits.
"""

import decimal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from bcca_protocol import footprint
from bcca_protocol.aggregate import Totals
from bcca_protocol.demand import Demand, contributions
from bcca_protocol.footprint import Stage
from bcca_protocol.graph import Graph
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ONE, ZERO, arithmetic

SMALLEST_SHARE = Decimal("0.02")  # of the whole, gross: smaller branches are told as one


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one product of one supplier itself adds, kg CO2e excluding uptake, by stage."""

    part: Part
    introduced: bool
    kg: Decimal
    by_stage: Mapping[Stage, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One place in the tree: so much of a product, with everything upstream.

    `own` is what its maker itself adds. `told_as_one` are branches too small to show, in kg;
    `repeats` says that the product stands above itself: a loop, whose upstream is told there.
    """

    part: Part
    amount: Decimal
    kg: Decimal
    own: Decimal
    branches: tuple["Branch", ...]
    missing: tuple[str, ...]
    told_as_one: Decimal
    repeats: bool


class Added(Protocol):
    """A product added up, as a run or an audit has it."""

    @property
    def totals(self) -> Totals:
        """The totals of everything upstream."""
        ...

    @property
    def needed(self) -> Demand:
        """How much of everything the product needs."""
        ...


def total(added: Added) -> Decimal:
    """Return kg CO2e of the amount that was added up, excluding uptake."""
    root, amount = added.needed.root, added.needed.amount
    kg = footprint.total(added.totals.footprint(root))
    with decimal.localcontext(arithmetic()):
        return kg * amount / added.totals.graph.parts[root].declared


def by_product(added: Added) -> list[Contribution]:
    """Return what each product itself adds, the largest first."""
    graph = added.totals.graph
    found = [
        Contribution(
            part=graph.parts[index],
            introduced=graph.sources[index].introduced,
            kg=footprint.total(own),
            by_stage=footprint.by_stage(own),
        )
        for index, own in contributions(added.totals, added.needed).items()
    ]
    return sorted(found, key=lambda each: (-abs(each.kg), each.part.product))


def by_supplier(added: Added) -> list[tuple[str, str, Decimal]]:
    """Return origin, name and kg CO2e of each supplier's own contributions, the largest first."""
    sums: dict[tuple[str, str], Decimal] = {}
    with decimal.localcontext(arithmetic()):
        for each in by_product(added):
            supplier = (each.part.issuer, each.part.producer)
            sums[supplier] = sums.get(supplier, ZERO) + each.kg
    ranked = sorted(sums.items(), key=lambda item: (-abs(item[1]), item[0]))
    return [(origin, name, kg) for (origin, name), kg in ranked]


def dependents(totals: Totals, product: str, origin: str) -> list[Part]:
    """Return the parts whose value needs a product of `origin`, however far downstream."""
    graph = totals.graph
    needing: set[int] = set()
    for component in totals.order:
        if any(_needs(graph, index, product, origin, needing) for index in component):
            needing.update(component)
    return [graph.parts[index] for index in sorted(needing)]


def tree(added: Added) -> Branch:
    """Return the tree of what the result is made of, branches of at least 2 % of it."""
    with decimal.localcontext(arithmetic()):
        grower = _Grower(added.totals, abs(total(added)) * SMALLEST_SHARE)
        return grower.branch(added.needed.root, added.needed.amount, frozenset())


def _needs(graph: Graph, index: int, product: str, origin: str, needing: set[int]) -> bool:
    buys = any((b.product, b.origin) == (product, origin) for b in graph.parts[index].bought)
    return buys or any(term.supplier in needing for term in graph.terms[index])


class _Grower:
    """Grows a tree as far as branches are worth showing."""

    def __init__(self, totals: Totals, smallest: Decimal) -> None:
        self._graph = totals.graph
        self._smallest = smallest
        self._kg = {
            index: footprint.total(totals.footprint(index)) / totals.graph.parts[index].declared
            for index in totals.vectors
        }

    def branch(self, index: int, amount: Decimal, above: frozenset[int]) -> Branch:
        """Return the branch of `amount` of a part's product, in the caller's decimal context."""
        part = self._graph.parts[index]
        repeats = index in above
        asked = [] if repeats else list(self._asked(index, amount))
        large = [(i, a) for i, a in asked if abs(self._kg[i] * a) >= self._smallest]
        small = sum((self._kg[i] * a for i, a in asked if (i, a) not in large), ZERO)
        branches = [self.branch(i, a, above | {index}) for i, a in large]
        return Branch(
            part=part,
            amount=amount,
            kg=self._kg[index] * amount,
            own=footprint.total(part.own) / part.declared * amount,
            branches=tuple(sorted(branches, key=lambda each: -abs(each.kg))),
            missing=tuple(f"{line}: {why}" for line, why in self._graph.missing[index].items()),
            told_as_one=small,
            repeats=repeats,
        )

    def _asked(self, index: int, amount: Decimal) -> Iterator[tuple[int, Decimal]]:
        """Yield the suppliers of a part and how much it asks of each for `amount` of its own."""
        for term in self._graph.terms[index]:
            needed = term.amount * amount / self._graph.parts[index].output
            yield term.supplier, needed if term.share == ONE else needed * term.share


def share(kg: Decimal, whole: Decimal) -> str:
    """Return `kg` as a share of `whole` in percent, for display."""
    return f"{kg / whole * 100:.1f} %" if whole else "-"


def shown(kg: Decimal) -> str:
    """Return `kg` with 3 significant figures, for display only (SPEC 3.3)."""
    if not kg:
        return "0"
    digits = 2 - kg.adjusted()
    return f"{kg:,.{max(digits, 0)}f}"
