"""Verified facts added up along the bill of materials, exact (SPEC 9).

own(p)  = what p's statement says per declared unit
unit(p) = own(p) + (sum over inputs of amount / yield [x share] x unit(input) / declared(input))
          x declared(p) / output(p)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from operator import add, mul

from bcca_protocol import loops
from bcca_protocol.columns import Table, Vector, Way
from bcca_protocol.components import components
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Graph
from bcca_protocol.quantity import ONE, exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Kg CO2e per declared unit of every part reached, everything upstream included.

    `incomplete` has the parts with an input, however far upstream, that nothing feeds.
    """

    graph: Graph
    table: Table
    order: tuple[tuple[int, ...], ...]
    vectors: Mapping[int, Vector]
    incomplete: frozenset[int]

    def footprint(self, part: int, way: Way = "market") -> Footprint:
        """Return the cumulative footprint of one declared unit of `part`."""
        return self.table.footprint(self.vectors[part], way)

    def tally(self, part: int) -> Mapping[str, Decimal]:
        """Return the sums of absolute contributions of one declared unit of `part`."""
        return self.table.tally(self.vectors[part])


def aggregate(graph: Graph, roots: Iterable[int] | None = None) -> Totals:
    """Return the totals of `roots` and everything upstream of them; of all parts by default.

    Raises UnproductiveError naming the products of a loop that consumes more than it makes.
    """
    wanted = range(len(graph.parts)) if roots is None else tuple(roots)
    order = tuple(components(graph, wanted))
    reached = [part for component in order for part in component]
    table = Table(
        (graph.parts[i] for i in reached),
        {term.stages for i in reached for term in graph.terms[i]} - {"keep"},
        introduced=any(graph.sources[i].introduced for i in reached),
    )
    with exact():
        vectors = _vectors(graph, order, table)
    return Totals(
        graph=graph,
        table=table,
        order=order,
        vectors=vectors,
        incomplete=_incomplete(graph, order),
    )


def _vectors(graph: Graph, order: Sequence[Sequence[int]], table: Table) -> dict[int, Vector]:
    """Compute components in order, each from its suppliers' values per one unit."""
    vectors: dict[int, Vector] = {}
    values = _Values(table)
    for component in order:
        if loops.is_loop(graph, component):
            vectors |= loops.solve_values(graph, component, table, vectors)
        else:
            vectors[component[0]] = _vector(graph, component[0], table, values)
        for part in component:
            values.put(part, vectors[part], graph.parts[part].declared)
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
    declared, output = part.declared, part.output
    if declared != ONE or output != ONE:
        bought = [kg * declared / output for kg in bought]
    return tuple(map(add, own, bought))


def _incomplete(graph: Graph, order: Iterable[Sequence[int]]) -> frozenset[int]:
    found: set[int] = set()
    for component in order:
        if any(
            graph.missing[part] or any(term.supplier in found for term in graph.terms[part])
            for part in component
        ):
            found.update(component)
    return frozenset(found)
