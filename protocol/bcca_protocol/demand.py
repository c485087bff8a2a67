"""How much of everything one product needs, and what each part contributes to it (SPEC 9.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from bcca_protocol import loops
from bcca_protocol.aggregate import Totals
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Graph, Term
from bcca_protocol.loops import WAYS_SEEN, Unknown, seen_through
from bcca_protocol.quantity import ONE, ZERO, exact


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


def demand(totals: Totals, root: int, amount: Decimal) -> Demand:
    """Return what `amount` units of the product of part `root` need, consumers before suppliers."""
    graph = totals.graph
    seen: dict[Unknown, Decimal] = {(root, "keep"): amount}
    edges: dict[tuple[int, int], Decimal] = {}
    asked_of: dict[int, Mapping[str, Decimal]] = {}
    with exact():
        for component in reversed(totals.order):
            inside = set(component)
            if loops.is_loop(graph, component):
                asked = {key: kg for key, kg in seen.items() if key[0] in inside}
                if asked:
                    seen |= loops.solve_amounts(graph, component, asked)
            for part in component:
                asked_of[part] = _pass_on(graph, part, inside, seen, edges)
        amounts = {part: sum(asked_of[part].values(), ZERO) for part in totals.vectors}
    return Demand(root=root, amount=amount, amounts=amounts, edges=edges, seen=seen)


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


def _pass_on(
    graph: Graph,
    index: int,
    inside: set[int],
    seen: dict[Unknown, Decimal],
    edges: dict[tuple[int, int], Decimal],
) -> dict[str, Decimal]:
    """Ask the suppliers of one part for what it needs; a loop has already asked its own.

    Return how much of the part is needed in each way in which its stages are seen, where any is.
    """
    amounts = {way: amount for way in WAYS_SEEN if (amount := seen.get((index, way)))}
    for term in graph.terms[index]:
        asked = ZERO
        for way, amount in amounts.items():
            needed = _scaled(graph, index, term, amount)
            asked += needed
            if term.supplier not in inside:
                key = (term.supplier, seen_through(way, term.stages))
                seen[key] = seen.get(key, ZERO) + needed
        edges[index, term.line] = asked
    return amounts


def _scaled(graph: Graph, index: int, term: Term, amount: Decimal) -> Decimal:
    """Return how much of the supplier's product `amount` of the consumer's needs (SPEC 9.5)."""
    needed = term.amount * amount / graph.parts[index].output
    return needed if term.share == ONE else needed * term.share
