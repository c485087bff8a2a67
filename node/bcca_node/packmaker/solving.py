"""How much one unit of each member of a network weighs, and how much of each is needed.

One number each, kg CO2e excluding uptake, to more digits than are signed: what is left over where
two runs are compared is then the rounding of the signed arithmetic itself.
"""

import decimal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bcca_protocol import linear
from bcca_protocol.components import components
from bcca_protocol.graph import Graph, Term
from bcca_protocol.quantity import ONE, ZERO

DIGITS = 60  # 34 are signed: the 26 beyond are for what is lost in long chains


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Members by number: kg CO2e that one unit adds itself, and how much it takes of whom."""

    names: Sequence[str]
    own: Sequence[Decimal]
    taken: Sequence[Mapping[int, Decimal]]


@contextmanager
def finely() -> Iterator[None]:
    """Compute with DIGITS digits inside."""
    with decimal.localcontext(decimal.Context(prec=DIGITS)):
        yield


def order(web: Web) -> list[tuple[int, ...]]:
    """Return the members, suppliers first, those that need each other together."""
    terms = tuple(
        tuple(Term(0, supplier, amount, ONE, "keep") for supplier, amount in each.items())
        for each in web.taken
    )
    graph = Graph(parts=(), sources=(), terms=terms, missing=(), index={})
    return list(components(graph, range(len(terms))))


def values(web: Web, ordered: Sequence[tuple[int, ...]]) -> list[Decimal]:
    """Return kg CO2e of one unit of each member, everything upstream included.

    Raises UnproductiveError for a loop that takes more than it makes.
    """
    found = [ZERO] * len(web.own)
    for group in ordered:
        given = [
            web.own[i]
            + sum((t * found[s] for s, t in web.taken[i].items() if s not in group), ZERO)
            for i in group
        ]
        if not _is_loop(web, group):
            found[group[0]] = given[0]
            continue
        inside = [[Fraction(web.taken[i].get(s, ZERO)) for s in group] for i in group]
        for i, kg in zip(group, _solved(web, group, inside, given), strict=True):
            found[i] = kg
    return found


def amounts(
    web: Web, ordered: Sequence[tuple[int, ...]], root: int, amount: Decimal
) -> list[Decimal]:
    """Return how much of each member `amount` of the root needs, in its own unit."""
    found = [ZERO] * len(web.own)
    found[root] = amount
    for group in reversed(ordered):
        if _is_loop(web, group):
            inside = [[Fraction(web.taken[i].get(s, ZERO)) for i in group] for s in group]
            asked = [found[i] for i in group]
            for i, needed in zip(group, _solved(web, group, inside, asked), strict=True):
                found[i] = needed
        for i in group:
            for supplier, t in web.taken[i].items():
                if supplier not in group:
                    found[supplier] += t * found[i]
    return found


def _is_loop(web: Web, group: Sequence[int]) -> bool:
    return len(group) > 1 or group[0] in web.taken[group[0]]


def _solved(
    web: Web, group: Sequence[int], inside: linear.Matrix, given: Sequence[Decimal]
) -> list[Decimal]:
    if not any(given):
        return [ZERO] * len(group)
    right = [[Fraction(each)] for each in given]
    solved = linear.solve(inside, right, [web.names[i] for i in group])
    return [linear.rounded(row[0]) for row in solved]
