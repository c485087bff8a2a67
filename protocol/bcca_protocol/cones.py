"""The sum made last, so that only what is downstream of a change is added up again.

A vector has a number as its name. Where a part is the same object as in the sum made last, and what
feeds it has the names it had, so has the part. What is not the same is known again by its content:
the commitment of the part, and the names of what feeds each input. Whoever adds up again with the
same `Known` gets the same digits: what is known was computed from the same in the same way
(SPEC 9.3).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bcca_protocol.columns import Column, Table, Vector
from bcca_protocol.components import components, is_same_shape
from bcca_protocol.graph import Graph

MAX_KNOWN: Final = (
    1_000_000  # vectors of earlier sums than the last: 2 GB with 20 columns each; all go at once
)

Group = tuple[int, ...]
"""Parts that are computed together, by number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The sum made last: what was added up, in which order, and what each vector is called.

    `loops` has the parts that are computed together with others, each with all of these.
    """

    graph: Graph
    roots: Sequence[int]
    order: tuple[Group, ...]
    loops: Mapping[int, Group]
    stages: Collection[str]
    table: Table
    vectors: Mapping[int, Vector]
    names: Sequence[int]
    incomplete: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the demand computed last asked of each part, and of each by how its stages are seen."""

    graph: Graph
    order: tuple[Group, ...]
    root: int
    amount: Decimal
    by_way: Mapping[str, Mapping[int, Decimal]]
    amounts: Mapping[int, Decimal]
    edges: Mapping[tuple[int, int], Decimal]
    seen: Mapping[tuple[int, str], Decimal]


class Known:
    """What was added up; `computed` and `reused` count the vectors of the sum that was made last.

    It keeps that sum and its graph, the demand computed last, and the vectors of earlier sums.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.computed = 0
        self.reused = 0
        self.last: Standing | None = None
        self.asked: Asked | None = None
        self._named = 0
        self._columns: dict[tuple[Column, ...], int] = {}
        self._shelf: dict[object, tuple[int, tuple[Vector, ...]]] = {}

    def order(self, graph: Graph, roots: Sequence[int]) -> tuple[Group, ...]:
        """Return the order of SPEC 9.2: the same object where nothing moved since the last sum."""
        last = self.last
        if last is not None and last.roots == roots and is_same_shape(graph, last.graph):
            return last.order
        return tuple(components(graph, roots))

    def keep(self, made: Standing) -> None:
        """Take a sum that was made in place of the last one."""
        self.last = made
        if len(self._shelf) > MAX_KNOWN:
            self._shelf.clear()

    def names(self, vectors: int) -> int:
        """Return the first of so many names that nothing has."""
        self._named += vectors
        return self._named - vectors

    def columns(self, table: Table) -> int:
        """Return a number for the columns of a table: vectors of other columns are others."""
        return self._columns.setdefault(table.columns, len(self._columns))

    def shelve(self, content: object, name: int, vectors: tuple[Vector, ...]) -> None:
        """Keep what stood, vectors of parts that were computed together, by its content."""
        self._shelf[content] = name, vectors

    def look(self, content: object) -> tuple[int, tuple[Vector, ...]] | None:
        """Return what stood with that content: its first name, and its vectors."""
        return self._shelf.get(content)
