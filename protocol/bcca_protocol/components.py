"""The order in which products are computed: suppliers first, loops together (SPEC 9.2).

Depth first (Tarjan 1972), without recursion: a chain of suppliers may be longer than a stack.
Roots and inputs are taken in order, so the order found is a function of the statements alone.
"""

from collections.abc import Iterable, Iterator

from bcca_protocol.graph import Graph, Term


def components(graph: Graph, roots: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """Yield the strongly connected components under `roots`, suppliers before consumers."""
    search = _Search(graph)
    for root in roots:
        if root not in search.number:
            yield from search.below(root)


class _Search:
    """What the search has met: `number` in order of meeting, `low` the least it leads back to."""

    def __init__(self, graph: Graph) -> None:
        self.number: dict[int, int] = {}
        self._graph = graph
        self._low: dict[int, int] = {}
        self._open: list[int] = []
        self._is_open: set[int] = set()
        self._path: list[tuple[int, Iterator[Term]]] = []

    def below(self, root: int) -> Iterator[tuple[int, ...]]:
        """Yield the components under `root` that were not met before."""
        self._enter(root)
        while self._path:
            here, inputs = self._path[-1]
            deeper = self._next_unmet(here, inputs)
            if deeper is not None:
                self._enter(deeper)
                continue
            self._path.pop()
            if self._path:
                above = self._path[-1][0]
                self._low[above] = min(self._low[above], self._low[here])
            if self._low[here] == self.number[here]:
                yield self._close(here)

    def _enter(self, part: int) -> None:
        self.number[part] = self._low[part] = len(self.number)
        self._open.append(part)
        self._is_open.add(part)
        self._path.append((part, iter(self._graph.terms[part])))

    def _next_unmet(self, here: int, inputs: Iterator[Term]) -> int | None:
        for term in inputs:
            if term.supplier not in self.number:
                return term.supplier
            if term.supplier in self._is_open:
                self._low[here] = min(self._low[here], self.number[term.supplier])
        return None

    def _close(self, here: int) -> tuple[int, ...]:
        found: list[int] = []
        while not found or found[-1] != here:
            found.append(self._open.pop())
        self._is_open.difference_update(found)
        return tuple(sorted(found))
