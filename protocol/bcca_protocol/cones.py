"""What was added up before, so that only what is downstream of a change is added up again.

A vector is named by what it is made from: the commitment of its part, and the names of what feeds
each input. Whoever adds up again with the same `Known` gets the same digits: what is known was
computed from the same in the same way (SPEC 9.3).
"""

from collections.abc import Sequence
from typing import Final

from bcca_protocol.columns import Column, Table, Vector
from bcca_protocol.graph import Graph
from bcca_protocol.partial import Part

MAX_KNOWN: Final = (
    1_000_000  # vectors, as of a whole run: 2 GB with 20 columns each; all go at once
)


class Known:
    """Vectors by name; `computed` and `reused` count those of the sum that was made last."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.computed = 0
        self.reused = 0
        self._names: dict[object, int] = {}
        self._vectors: dict[int, tuple[Vector, ...]] = {}

    def begin(self, graph: Graph, table: Table) -> "Sought":
        """Begin a sum."""
        if len(self._names) > MAX_KNOWN:
            self._names.clear()
            self._vectors.clear()
        self.computed = self.reused = 0
        return Sought(self, graph, table.columns)

    def name(self, content: object) -> int:
        """Return the number of whatever has this content."""
        return self._names.setdefault(content, len(self._names))

    def get(self, name: int) -> tuple[Vector, ...] | None:
        """Return the vectors of that name."""
        found = self._vectors.get(name)
        self.reused += 0 if found is None else len(found)
        return found

    def put(self, name: int, found: tuple[Vector, ...]) -> None:
        """Keep what was computed."""
        self._vectors[name] = found
        self.computed += len(found)


class Sought:
    """One sum: what its parts are named, suppliers first."""

    def __init__(self, known: Known, graph: Graph, columns: tuple[Column, ...]) -> None:
        """Vectors of other columns are others."""
        self._known = known
        self._graph = graph
        self._columns = known.name(columns)
        self._names: dict[int, int] = {}

    def look(self, group: Sequence[int]) -> tuple[Vector, ...] | None:
        """Return the vectors of parts that are computed together, None where they must be."""
        whole = self._known.name((self._columns, *map(self._content, group)))
        for place, part in enumerate(group):
            self._names[part] = whole if not place else self._known.name((whole, place))
        return self._known.get(whole)

    def keep(self, group: Sequence[int], found: tuple[Vector, ...]) -> None:
        """Keep the vectors of parts that were computed together."""
        self._known.put(self._names[group[0]], found)

    def _content(self, index: int) -> tuple[object, ...]:
        """Return what makes the vector of a part, but for the columns.

        How much it takes of whom is said by its statement and theirs; within a loop by these alone.
        """
        graph = self._graph
        part, source, names = graph.parts[index], graph.sources[index], self._names
        fed = tuple(
            (term.line, names.get(term.supplier, graph.parts[term.supplier].commitment))
            for term in graph.terms[index]
        )
        changed = None if part is source.fact else _own_of(part)
        return part.commitment, source.introduced, changed, fed


def _own_of(part: Part) -> object:
    """Return what a part adds itself, where it is not what its statement says: cut off, aged."""
    located = part.own_by_location
    return (
        part.tally,
        part.handed,
        tuple(part.own.items()),
        None if located is None else tuple(located.items()),
    )
