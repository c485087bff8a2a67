"""Products that need each other, computed together (SPEC 9.4)."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import product
from operator import attrgetter
from typing import TypeVar

from bcca_protocol import linear
from bcca_protocol.columns import Column, Table, Vector
from bcca_protocol.footprint import STAGES
from bcca_protocol.graph import Graph, Term
from bcca_protocol.partial import Part

WAYS_SEEN = ("keep", *STAGES)  # how a product's stages may be seen from further downstream

Unknown = tuple[int, str]
K = TypeVar("K")
_supplier = attrgetter("supplier")


def is_loop(graph: Graph, component: Sequence[int]) -> bool:
    """Say whether the parts of a component need each other, or one needs itself."""
    return len(component) > 1 or component[0] in map(_supplier, graph.terms[component[0]])


def solve_values(
    graph: Graph, component: Sequence[int], table: Table, known: Mapping[int, Vector]
) -> dict[int, Vector]:
    """Return kg CO2e per declared unit of each part of a loop; `known` has their suppliers.

    Raises UnproductiveError naming the products.
    """
    inside = set(component)
    stages = ("", *STAGES) if _restages(graph, component) else ("",)
    unknowns = list(product(component, stages))
    a: dict[tuple[Unknown, Unknown], Fraction] = {}
    given: dict[tuple[Unknown, Column], Fraction] = {}
    for part in component:
        for column, kg in zip(
            table.columns, _outside(graph, part, inside, table, known), strict=True
        ):
            _add(given, (_unknown(part, column, stages), _bare(column, stages)), kg)
        for term in graph.terms[part]:
            if term.supplier in inside:
                gain = _coefficient(graph, part, term) / Fraction(
                    graph.parts[term.supplier].declared
                )
                for stage in stages:
                    seen = Column("market", stage, "").seen_as(term.stages).stage
                    _add(a, ((part, seen), (term.supplier, stage)), gain)
    bare = list(dict.fromkeys(_bare(column, stages) for column in table.columns))
    solved = _solve(graph, unknowns, a, bare, given)
    return {
        part: tuple(
            linear.rounded(
                solved[_unknown(part, column, stages)][bare.index(_bare(column, stages))]
            )
            for column in table.columns
        )
        for part in component
    }


def solve_amounts(
    graph: Graph, component: Sequence[int], asked: Mapping[Unknown, Decimal]
) -> dict[Unknown, Decimal]:
    """Return how much of each part of a loop is needed where `asked` is needed outside it.

    Both are by part and by how its stages are seen, in units of the part's product.
    """
    inside = set(component)
    mixed = _restages(graph, component)
    unknowns: list[Unknown] = list(product(component, WAYS_SEEN if mixed else ("",)))
    a: dict[tuple[Unknown, Unknown], Fraction] = {}
    for part in component:
        for term in graph.terms[part]:
            if term.supplier in inside:
                gain = _coefficient(graph, part, term) / Fraction(graph.parts[part].declared)
                for seen in WAYS_SEEN if mixed else ("",):
                    below = seen_through(seen, term.stages) if mixed else ""
                    _add(a, ((term.supplier, below), (part, seen)), gain)
    # Where no line names a stage, each way of seeing is a right-hand side of its own.
    columns = ("",) if mixed else WAYS_SEEN
    given = {
        ((part, way), "") if mixed else ((part, ""), way): Fraction(amount)
        for (part, way), amount in asked.items()
    }
    solved = _solve(graph, unknowns, a, columns, given)
    return {
        (part, seen or column): linear.rounded(amount)
        for (part, seen), row in solved.items()
        for column, amount in zip(columns, row, strict=True)
    }


def seen_through(above: str, below: str) -> str:
    """Return how stages are seen through two lines, `above` the one nearer the final product."""
    if above == "keep" or below == "endOfLife":
        return below
    return above


def _solve(
    graph: Graph,
    unknowns: list[Unknown],
    a: Mapping[tuple[Unknown, Unknown], Fraction],
    columns: Sequence[K],
    given: Mapping[tuple[Unknown, K], Fraction],
) -> dict[Unknown, list[Fraction]]:
    zero = Fraction(0)
    names = [_name(graph.parts[part]) for part, _ in unknowns]
    matrix = [[a.get((row, other), zero) for other in unknowns] for row in unknowns]
    right = [[given.get((row, column), zero) for column in columns] for row in unknowns]
    return dict(zip(unknowns, linear.solve(matrix, right, names), strict=True))


def _outside(
    graph: Graph, part: int, inside: set[int], table: Table, known: Mapping[int, Vector]
) -> list[Fraction]:
    """Return what `part` adds itself and buys from outside the loop, exact."""
    own = table.own(graph.parts[part], introduced=graph.sources[part].introduced)
    sums = [Fraction(kg) for kg in own]
    for term in graph.terms[part]:
        if term.supplier in inside:
            continue
        declared = Fraction(graph.parts[term.supplier].declared)
        gain = _coefficient(graph, part, term) / declared
        value = table.restaged(known[term.supplier], term.stages)
        sums = [kg + gain * Fraction(v) for kg, v in zip(sums, value, strict=True)]
    return sums


def _coefficient(graph: Graph, index: int, term: Term) -> Fraction:
    """Return how much of the supplier's product one declared unit of the consumer needs."""
    part = graph.parts[index]
    scale = Fraction(part.declared) / Fraction(part.output)
    return Fraction(term.amount) * Fraction(term.share) * scale


def _restages(graph: Graph, component: Sequence[int]) -> bool:
    inside = set(component)
    terms = (term for part in component for term in graph.terms[part])
    return any(term.supplier in inside and term.stages != "keep" for term in terms)


def _unknown(part: int, column: Column, stages: Sequence[str]) -> Unknown:
    return (part, column.stage if len(stages) > 1 else "")


def _bare(column: Column, stages: Sequence[str]) -> Column:
    """Return the right-hand side a column belongs to: stages are rows where they mix."""
    return column._replace(stage="") if len(stages) > 1 else column


def _add(sums: dict[K, Fraction], key: K, value: Fraction) -> None:
    sums[key] = sums.get(key, Fraction(0)) + value


def _name(part: Part) -> str:
    return f"{part.name} ({part.product} of {part.issuer})"
