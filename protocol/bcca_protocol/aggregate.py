"""Verified facts added up along the bill of materials, exact (SPEC 9).

own(p)  = what p's statement says per declared unit
unit(p) = own(p) + (sum over inputs of amount / yield [x share] x unit(input) / declared(input))
          x declared(p) / output(p)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import repeat
from operator import add, mul, truediv

import msgspec

from bcca_protocol import loops
from bcca_protocol.activity import WORST_SCORE
from bcca_protocol.columns import Table, Vector, Way
from bcca_protocol.components import components
from bcca_protocol.cones import Known
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Graph, Leaf, Source
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
    wanted = range(len(graph.parts)) if roots is None else tuple(roots)
    order = tuple(components(graph, wanted))
    reached = [part for component in order for part in component]
    terms = [term for i in reached for term in graph.terms[i]]
    expired = frozenset(
        term.supplier for term in terms if term.why is not None and term.why.code == "expired"
    )
    graph = _aged(graph, expired)
    table = Table(
        (graph.parts[i] for i in reached),
        {term.stages for term in terms} - {"keep"},
        introduced=any(graph.sources[i].introduced for i in reached),
    )
    with exact():
        vectors = _vectors(graph, order, table, known)
    return Totals(
        graph=graph,
        table=table,
        order=order,
        vectors=vectors,
        incomplete=_incomplete(graph, order),
        expired=expired,
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


def _vectors(
    graph: Graph, order: Sequence[Sequence[int]], table: Table, known: Known | None
) -> dict[int, Vector]:
    """Compute components in order, each from its suppliers' values per one unit."""
    vectors: dict[int, Vector] = {}
    values = _Values(table)
    sought = None if known is None else known.begin(graph, table)
    for component in order:
        found = None if sought is None else sought.look(component)
        if found is not None:
            vectors.update(zip(component, found, strict=True))
        elif loops.is_loop(graph, component):
            vectors |= loops.solve_values(graph, component, table, vectors)
        else:
            vectors[component[0]] = _vector(graph, component[0], table, values)
        for part in component:
            values.put(part, vectors[part], graph.parts[part].declared)
        if sought is not None and found is None:
            sought.keep(component, tuple(vectors[part] for part in component))
    return vectors


class _Values:
    """Kg CO2e per one unit of each part, as whoever names a stage for it sees them."""

    def __init__(self, table: Table) -> None:
        self.kept: dict[int, Vector] = {}
        self._table = table
        self._restaged: dict[tuple[int, str], Vector] = {}

    def put(self, part: int, vector: Vector, declared: Decimal) -> None:
        """Take what one declared unit of a part has."""
        self.kept[part] = vector if declared == ONE else tuple(kg / declared for kg in vector)

    def restaged(self, part: int, stages: str) -> Vector:
        """Return the value of one unit where a stage is named for it."""
        found = self._restaged.get((part, stages))
        if found is None:
            found = self._table.restaged(self.kept[part], stages)
            self._restaged[part, stages] = found
        return found


def _vector(graph: Graph, index: int, table: Table, values: _Values) -> Vector:
    """Return own and bought kg CO2e of one declared unit (SPEC 9.3), lines in written order."""
    part, terms = graph.parts[index], graph.terms[index]
    own = table.own(part, introduced=graph.sources[index].introduced)
    # Whole rows at a time: of 100,000 products a loop of our own would take the longest.
    bought: Sequence[Decimal] = ()
    for term in terms:
        supplier, stages, share = term.supplier, term.stages, term.share
        value = values.kept[supplier] if stages == "keep" else values.restaged(supplier, stages)
        row = map(mul, repeat(term.amount), value)
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


def _incomplete(graph: Graph, order: Collection[Sequence[int]]) -> frozenset[int]:
    """Return the parts that lack something, and whoever buys of them, however far downstream."""
    found = {
        part
        for component in order
        for part in component
        if graph.missing[part] or is_lacking(graph.sources[part])
    }
    if not found:
        return frozenset()
    for component in order:
        if any(
            part in found or any(term.supplier in found for term in graph.terms[part])
            for part in component
        ):
            found.update(component)
    return frozenset(found)


def is_lacking(source: Source) -> bool:
    """Say whether a cumulative footprint is incomplete by its issuer's own word."""
    return isinstance(source, Leaf) and source.is_incomplete
