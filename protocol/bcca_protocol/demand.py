"""How much of everything one product needs, and what each part contributes to it (SPEC 9.5)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import compress, count
from operator import attrgetter, is_not

from bcca_protocol import loops
from bcca_protocol.aggregate import Totals
from bcca_protocol.cones import Asked, Known
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Graph, Term
from bcca_protocol.loops import WAYS_SEEN, Unknown, seen_through
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ONE, ZERO, exact

_supplier = attrgetter("supplier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What `amount` of the root's product needs.

    `amounts` is by part, in units of its product; `edges` by consumer and line, in units of the
    supplier's product; `seen` splits `amounts` by how the part's stages are seen from the root.
    """

    root: int
    amount: Decimal
    amounts: Mapping[int, Decimal]
    edges: Mapping[tuple[int, int], Decimal]
    seen: Mapping[Unknown, Decimal]


def demand(totals: Totals, root: int, amount: Decimal, known: Known | None = None) -> Demand:
    """Return what `amount` units of the product of part `root` need, consumers before suppliers.

    What is asked as it is `known` to be asked last is not computed again: the digits are the same.
    """
    last = None if known is None else _comparable(known.asked, totals, root, amount)
    asking = _Asking(totals, root, amount) if last is None else _asking_again(totals, last)
    with exact():
        asking.ask()
    found = asking.found()
    if known is not None:
        known.asked = found
    return Demand(
        root=root, amount=amount, amounts=found.amounts, edges=found.edges, seen=found.seen
    )


def contributions(totals: Totals, needed: Demand) -> dict[int, Footprint]:
    """Return what each part itself adds to the root's amount, stages as seen from the root.

    For people and for shares: their sum is the root's total but for the last digits.
    """
    graph, table = totals.graph, totals.table
    found = {}
    with exact():
        for index in totals.vectors:
            part = graph.parts[index]
            own = table.own(part, introduced=graph.sources[index].introduced)
            sums = (ZERO,) * len(own)
            for way in WAYS_SEEN:
                amount = needed.seen.get((index, way), ZERO) / part.declared
                if amount:
                    moved = own if way == "keep" else table.restaged(own, way)
                    sums = tuple(kg + amount * v for kg, v in zip(sums, moved, strict=True))
            found[index] = table.footprint(sums)
    return found


class _Asking:
    """What is asked of each part by how its stages are seen, found anew for the parts `anew`."""

    def __init__(self, totals: Totals, root: int, amount: Decimal) -> None:
        """Begin with nothing but the root."""
        self._totals, self._root, self._amount = totals, root, amount
        self._anew: Collection[int] = totals.vectors
        self._by_way: dict[str, dict[int, Decimal]] = {"keep": {}}
        self._amounts = dict.fromkeys(totals.vectors, ZERO)
        self._edges: dict[tuple[int, int], Decimal] = {}
        self._seen: dict[Unknown, Decimal] = {}

    def begin(self, last: Asked, anew: Collection[int]) -> None:
        """Begin with all that was asked last, but of the parts `anew`."""
        self._anew = anew
        self._by_way = {way: dict(asked) for way, asked in last.by_way.items()}
        self._amounts, self._edges = dict(last.amounts), dict(last.edges)
        self._seen = dict(last.seen)
        for part in anew:
            for term in last.graph.terms[part]:
                del self._edges[part, term.line]
            for way, asked in self._by_way.items():
                if asked.pop(part, None) is not None:
                    del self._seen[part, way]

    def ask(self) -> None:
        """Ask whoever is asked anew, and for these whoever buys of them: consumers first."""
        anew, terms = self._anew, self._totals.graph.terms
        if self._root in anew:
            self._by_way["keep"][self._root] = self._amount
        for component in reversed(self._totals.order):
            if component[0] in anew:  # and so is all of it
                self._solve(component)
                for part in component:
                    self._pass_on(part, terms[part], component)
                continue
            for part in component:
                if any(map(anew.__contains__, map(_supplier, terms[part]))):
                    again = [term for term in terms[part] if term.supplier in anew]
                    self._pass_on(part, again, component)

    def _solve(self, component: Sequence[int]) -> None:
        """Replace what is asked of a loop from outside by what it needs of its own parts."""
        graph, by_way = self._totals.graph, self._by_way.items()
        if not loops.is_loop(graph, component):
            return
        asked = {(part, way): kg[part] for part in component for way, kg in by_way if part in kg}
        if asked:
            for (part, way), amount in loops.solve_amounts(graph, component, asked).items():
                self._asked("keep", way)[part] = amount

    def _pass_on(self, index: int, terms: Iterable[Term], inside: Sequence[int]) -> None:
        """Ask suppliers of one part for what it needs; a loop has already asked its own."""
        part, by_way = self._totals.graph.parts[index], self._by_way
        amounts = [(way, kg) for way, asked in by_way.items() if (kg := asked.get(index))]
        self._amounts[index] = sum((kg for _, kg in amounts), ZERO) if amounts else ZERO
        is_scaled, output = part.output != ONE, part.output
        for term in terms:
            supplier, stages, total = term.supplier, term.stages, ZERO
            for way, amount in amounts:
                needed = term.amount * amount
                if is_scaled:
                    needed /= output
                if term.share is not ONE:
                    needed *= term.share
                total += needed
                if supplier not in inside:
                    asked = by_way[way] if stages == "keep" else self._asked(way, stages)
                    asked[supplier] = asked.get(supplier, ZERO) + needed
            self._edges[index, term.line] = total

    def _asked(self, above: str, below: str) -> dict[int, Decimal]:
        """Return what is asked of parts that are seen through two lines."""
        way = seen_through(above, below)
        if way not in self._by_way:
            found = {**self._by_way, way: {}}
            self._by_way = {each: found[each] for each in WAYS_SEEN if each in found}
        return self._by_way[way]

    def found(self) -> Asked:
        """Return what was asked of all."""
        for way, asked in self._by_way.items():
            self._seen.update({(part, way): kg for part, kg in asked.items() if part in self._anew})
        return Asked(
            graph=self._totals.graph,
            order=self._totals.order,
            root=self._root,
            amount=self._amount,
            by_way=self._by_way,
            amounts=self._amounts,
            edges=self._edges,
            seen=self._seen,
        )


def _comparable(last: Asked | None, totals: Totals, root: int, amount: Decimal) -> Asked | None:
    """Return what was asked last, if it was as much of the same root, in the same order."""
    if last is None or last.order is not totals.order:
        return None
    return last if (last.root, str(last.amount)) == (root, str(amount)) else None


def _asking_again(totals: Totals, last: Asked) -> _Asking:
    """Return what was asked last, but of what asks otherwise now and of all upstream of it."""
    here, there = totals.graph, last.graph
    others = compress(count(), map(is_not, here.terms, there.terms))
    terms = (i for i in others if _asks(here.terms[i]) != _asks(there.terms[i]))
    parts = compress(count(), map(is_not, here.parts, there.parts))
    made = (i for i in parts if _makes(here.parts[i]) != _makes(there.parts[i]))
    asking = _Asking(totals, last.root, last.amount)
    asking.begin(last, _upstream(here, {*terms, *made}.intersection(totals.vectors)))
    return asking


def _asks(terms: Iterable[Term]) -> list[tuple[object, ...]]:
    """Return what of a part's terms decides how much is asked of whom, amounts as written."""
    return [(t.line, t.supplier, str(t.amount), str(t.share), t.stages) for t in terms]


def _makes(part: Part) -> tuple[str, str]:
    """Return how much a statement stands for, as it is written: what is equal may differ in it."""
    return str(part.output), str(part.declared)


def _upstream(graph: Graph, parts: Iterable[int]) -> set[int]:
    """Return some parts and all upstream of them."""
    found = set(parts)
    path = list(found)
    while path:
        new = {term.supplier for term in graph.terms[path.pop()]} - found
        found |= new
        path += new
    return found
