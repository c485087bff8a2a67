"""Verified facts added up along the bill of materials, exact (SPEC 9).

own(p)  = what p's statement says per declared unit
unit(p) = own(p) + (sum over inputs of amount / yield [x share] x unit(input) / declared(input))
          x declared(p) / output(p)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, repeat
from operator import add, attrgetter, mul, truediv

import msgspec

from bcca_protocol import loops
from bcca_protocol.activity import WORST_SCORE
from bcca_protocol.change import Change
from bcca_protocol.columns import Table, Vector, Way
from bcca_protocol.cones import Known, Standing
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Graph, Leaf, Source, Term
from bcca_protocol.quantity import ONE, exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Kg CO2e per declared unit of every part reached, everything upstream included.

    `incomplete` has the parts with an input, however far upstream, that nothing feeds; `expired`
    those that feed one though they are no longer valid: in `graph` their age counts as the worst.
    """

    graph: Graph
    table: Table
    order: tuple[tuple[int, ...], ...]
    vectors: Mapping[int, Vector]
    incomplete: frozenset[int]
    expired: frozenset[int]

    def footprint(self, part: int, way: Way = "market") -> Footprint:
        """Return the cumulative footprint of one declared unit of `part`."""
        return self.table.footprint(self.vectors[part], way)

    def sources(self) -> dict[str, Source]:
        """Return where each part reached comes from, by commitment."""
        reached = (self.graph.sources[index] for index in sorted(self.vectors))
        return {each.fact.commitment: each for each in reached}

    def tally(self, part: int) -> Mapping[str, Decimal]:
        """Return the sums of absolute contributions of one declared unit of `part`."""
        return self.table.tally(self.vectors[part])


def aggregate(
    graph: Graph, roots: Iterable[int] | None = None, known: Known | None = None
) -> Totals:
    """Return the totals of `roots` and everything upstream of them; of all parts by default.

    What is `known` of an earlier sum is not computed again: the digits are the same.
    Raises UnproductiveError naming the products of a loop that consumes more than it makes.
    """
    known = Known() if known is None else known
    wanted = range(len(graph.parts)) if roots is None else tuple(roots)
    order = known.order(graph, wanted)
    reached = chain.from_iterable(order)
    terms = list(chain.from_iterable(map(graph.terms.__getitem__, reached)))
    expired = _expired(terms)
    graph = _aged(graph, expired)
    stages = frozenset(map(attrgetter("stages"), terms)) - {"keep"}
    change = Change(known, graph, order)
    table = change.table(stages)
    with exact():
        _compute(graph, table, change)
    incomplete = _incomplete(graph, change)
    made = Standing(
        graph=graph,
        roots=wanted,
        order=order,
        loops=change.loops,
        stages=stages,
        table=table,
        vectors=change.vectors,
        names=change.names,
        incomplete=incomplete,
    )
    known.keep(made)
    return Totals(
        graph=graph,
        table=table,
        order=order,
        vectors=change.vectors,
        incomplete=incomplete,
        expired=expired,
    )


def _expired(terms: Iterable[Term]) -> frozenset[int]:
    """Return what feeds an input though it is no longer valid."""
    return frozenset(
        term.supplier for term in terms if term.why is not None and term.why.code == "expired"
    )


def _aged(graph: Graph, expired: Collection[int]) -> Graph:
    """Return the graph in which what expired is of the worst age there is (SPEC 8.6)."""
    if not expired:
        return graph
    parts = list(graph.parts)
    with exact():
        for index in expired:
            tally = parts[index].tally
            aged = tally._replace(temporal=tally.covered * WORST_SCORE)
            parts[index] = msgspec.structs.replace(parts[index], tally=aged)
    return replace(graph, parts=tuple(parts))


def _compute(graph: Graph, table: Table, change: Change) -> None:
    """Compute components in order, each from its suppliers' values per one unit."""
    values = _Values(graph, table, change)
    for component in change.todo(table):
        if loops.is_loop(graph, component):
            change.vectors |= loops.solve_values(graph, component, table, change.vectors)
        else:
            change.vectors[component[0]] = _vector(graph, component[0], table, values)


class _Values:
    """Kg CO2e per one unit of each part, as whoever names a stage for it sees them."""

    def __init__(self, graph: Graph, table: Table, change: Change) -> None:
        self._parts, self._table, self._change = graph.parts, table, change
        self._kept: dict[int, Vector] = {}
        self._restaged: dict[tuple[int, str], Vector] = {}

    def of(self, part: int, stages: str) -> Vector:
        """Return what one unit of a part has."""
        found = self._kept.get(part)
        if found is None:
            vector, declared = self._change.vectors[part], self._parts[part].declared
            found = vector if declared == ONE else tuple(kg / declared for kg in vector)
            self._kept[part] = found
        return found if stages == "keep" else self._seen(part, stages)

    def _seen(self, part: int, stages: str) -> Vector:
        """Return the value of one unit where a stage is named for it."""
        found = self._restaged.get((part, stages))
        if found is None:
            found = self._table.restaged(self._kept[part], stages)
            self._restaged[part, stages] = found
        return found


def _vector(graph: Graph, index: int, table: Table, values: _Values) -> Vector:
    """Return own and bought kg CO2e of one declared unit (SPEC 9.3), lines in written order."""
    part, terms = graph.parts[index], graph.terms[index]
    own = table.own(part, introduced=graph.sources[index].introduced)
    # Whole rows at a time: of 100,000 products a loop of our own would take the longest.
    bought: Sequence[Decimal] = ()
    for term in terms:
        share = term.share
        row = map(mul, repeat(term.amount), values.of(term.supplier, term.stages))
        if share is not ONE:
            row = map(mul, row, repeat(share))
        bought = list(map(add, bought, row)) if bought else list(row)
    if not bought:
        return own
    if part.declared != ONE:
        bought = list(map(mul, bought, repeat(part.declared)))
    if part.output != ONE:
        bought = list(map(truediv, bought, repeat(part.output)))
    return tuple(map(add, own, bought))


def _incomplete(graph: Graph, change: Change) -> frozenset[int]:
    """Return the parts that lack something, and whoever buys of them, however far downstream."""
    found = change.incomplete()
    touched = set(chain.from_iterable(change.touched))
    lacking = {part for part in touched if graph.missing[part] or is_lacking(graph.sources[part])}
    found = (found - touched) | lacking
    if not found:
        return frozenset()
    for component in change.touched:
        inputs = chain.from_iterable(map(graph.terms.__getitem__, component))
        if not (
            found.isdisjoint(component) and found.isdisjoint(map(attrgetter("supplier"), inputs))
        ):
            found.update(component)
    return frozenset(found)


def is_lacking(source: Source) -> bool:
    """Say whether a cumulative footprint is incomplete by its issuer's own word."""
    return isinstance(source, Leaf) and source.is_incomplete
