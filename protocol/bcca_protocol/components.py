"""The order in which products are computed: suppliers first, loops together (SPEC 9.2).

Depth first (Tarjan 1972), without recursion: a chain of suppliers may be longer than a stack.
Roots and inputs are taken in order, so the order found is a function of the statements alone.
"""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from bcca_protocol.graph import Graph

_CLOSED: Final = -1  # the number of a part whose component was yielded; 0 is not met yet
_supplier = attrgetter("supplier")


def components(graph: Graph, roots: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """Yield the strongly connected components under `roots`, suppliers before consumers."""
    search = _Search(graph)
    for root in roots:
        yield from search.below(root)


def is_same_shape(graph: Graph, other: Graph) -> bool:
    """Say whether the same numbers feed the same numbers: then their order is the same, too."""
    return len(graph.terms) == len(other.terms) and all(
        here is there or list(map(_supplier, here)) == list(map(_supplier, there))
        for here, there in zip(graph.terms, other.terms, strict=True)
    )


class _Search:
    """What the search has met: `number` in order of meeting, by part.

    `open` are the parts met whose component is not complete, `firsts` the numbers of those that
    may be the first of theirs: whoever leads back to an earlier one is not (Gabow 2000).
    """

    def __init__(self, graph: Graph) -> None:
        self._terms = graph.terms
        self._number = [0] * len(graph.terms)
        self._open: list[int] = []
        self._firsts: list[int] = []
        self._met = 0

    def below(self, root: int) -> Iterator[tuple[int, ...]]:
        """Yield the components under `root` that were not met before."""
        number, firsts = self._number, self._firsts
        path = [root]
        while path:
            here = path[-1]
            met = number[here]
            if not met:
                self._enter(here, path)
                continue
            path.pop()
            if met == _CLOSED:
                continue
            while firsts[-1] > met:  # met again before its component was complete
                firsts.pop()
            if firsts[-1] == met:
                firsts.pop()
                yield self._close(here)

    def _enter(self, here: int, path: list[int]) -> None:
        """Number a part, and put its suppliers on the path: the first written is met first."""
        self._met += 1
        number, firsts = self._number, self._firsts
        number[here] = self._met
        self._open.append(here)
        firsts.append(self._met)
        for term in reversed(self._terms[here]):
            met = number[term.supplier]
            if not met:
                path.append(term.supplier)
            elif met != _CLOSED:
                while firsts[-1] > met:
                    firsts.pop()

    def _close(self, here: int) -> tuple[int, ...]:
        """Return the component that begins with a part: as a rule, it stands alone."""
        found = [self._open.pop()]
        if found[0] == here:
            self._number[here] = _CLOSED
            return (here,)
        while found[-1] != here:
            found.append(self._open.pop())
        for part in found:
            self._number[part] = _CLOSED
        return tuple(sorted(found))
