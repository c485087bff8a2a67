"""What of a sum is as in the one made last, and what must be computed (SPEC 9.3)."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, count
from operator import attrgetter, is_not
from typing import Final

from bcca_protocol.columns import Table, Vector
from bcca_protocol.cones import Group, Known, Standing
from bcca_protocol.graph import Graph, Term
from bcca_protocol.partial import Part

NOT_REACHED: Final = -1  # the name of no vector

_commitment = attrgetter("commitment")
_introduced = attrgetter("introduced")
_supplier = attrgetter("supplier")


class Change:
    """A sum in the making beside the one made last: what is as it was, and what is not.

    `reached` and `touched` are the parts that are added up, and those of which it was not sure
    that they are as they were; `names` is what the vector of each is called.
    """

    def __init__(self, known: Known, graph: Graph, order: tuple[Group, ...]) -> None:
        """Compare a graph with that of the sum made last, part by part."""
        self.reached = list(chain.from_iterable(order))
        self.touched: Sequence[Group] = order
        self.vectors: dict[int, Vector] = {}
        self.names: list[int] = []
        self._known, self._graph, self._order = known, graph, order
        self._was: Sequence[int | None] = ()  # the number that each part had
        self._other: set[int] = set()  # parts that are other objects than they were
        self._gone: Collection[int] = ()  # numbers that no part that is reached had
        self._moved: set[int] = set()  # parts whose vector got another name
        self._is_in_place = self._is_steady = False
        if known.last is not None:
            self._align(known.last)
            self._other = self._others(known.last)

    def _align(self, last: Standing) -> None:
        """Find where each part stood: in the same place where the order is the same."""
        self._is_in_place = self._order is last.order
        if self._is_in_place:
            self._was, self._is_steady = range(len(self._graph.parts)), True
            return
        self._was = list(map(last.graph.index.get, map(_commitment, self._graph.parts)))
        self._is_steady = all(was in (None, i) for i, was in enumerate(self._was))
        self._gone = last.vectors.keys() - set(map(self._was.__getitem__, self.reached))

    def _others(self, last: Standing) -> set[int]:
        """Return the parts that are not the objects that they were, or lack what they did not."""
        here, there = self._graph, last.graph
        if self._is_in_place:
            differ = (
                compress(count(), map(is_not, new, old))
                for new, old in (
                    (here.parts, there.parts),
                    (here.sources, there.sources),
                    (here.missing, there.missing),
                )
            )
            maybe = set(chain.from_iterable(differ)).intersection(last.vectors)
        else:
            maybe = set(self.reached)
        return {i for i in maybe if not self._is_as_it_was(last, i)}

    def _is_as_it_was(self, last: Standing, part: int) -> bool:
        """Say whether a part adds and lacks what it did, but for what feeds it."""
        was, here, there = self._was[part], self._graph, last.graph
        return (
            was is not None
            and was in last.vectors
            and here.parts[part] is there.parts[was]
            and here.sources[part].introduced == there.sources[was].introduced
            and bool(here.missing[part]) == bool(there.missing[was])
        )

    def table(self, stages: Collection[str]) -> Table:
        """Return the columns of all that is reached: those of the last sum where they are the same.

        They are where what came uses none that was not there, and all that what went has used.
        """
        last, graph = self._known.last, self._graph
        if last is None or last.stages != stages:
            return _table(graph, self.reached, stages)
        replaced = (j for j in map(self._was.__getitem__, self._other) if j is not None)
        went = {*self._gone, *replaced}.intersection(last.vectors)
        came, left = _table(graph, self._other, stages), _table(last.graph, went, stages)
        if _has(last.table, came) and _has(came, left):
            return last.table
        return _table(graph, self.reached, stages)

    @property
    def loops(self) -> Mapping[int, Group]:
        """Each part that is computed together with others, with all of these."""
        last = self._known.last
        if last is not None and self._is_in_place:
            return last.loops
        return {part: group for group in self._order if len(group) > 1 for part in group}

    def todo(self, table: Table) -> Iterator[Group]:
        """Yield what must be computed, suppliers first; whoever computes it puts it in `vectors`.

        Once all is taken, `vectors` has everything reached, in order.
        """
        known, last = self._known, self._known.last
        known.computed = known.reused = 0
        if last is None:
            yield from self._order
            known.computed = len(self.vectors)
            self.names = [NOT_REACHED] * len(self._graph.parts)
            for name, part in enumerate(self.reached, known.names(len(self.reached))):
                self.names[part] = name
            return
        self.touched = []
        self._shelve(last, self._gone)
        for group in self._stirred(self._fresh(last, table)):
            self.touched.append(group)
            self._shelve(last, map(self._was.__getitem__, group))
            found = known.look(_content(self._graph, self.names, group, known.columns(table)))
            if found is None:
                yield group
                known.computed += len(group)
                self._name(group, known.names(len(group)))
            else:
                self.vectors.update(zip(group, found[1], strict=True))
                self._name(group, found[0])
        known.reused = len(self.reached) - known.computed
        if not self._is_in_place:
            self.vectors = {part: self.vectors[part] for part in self.reached}

    def incomplete(self) -> set[int]:
        """Return what was incomplete of what is reached."""
        last = self._known.last
        if last is None or not last.incomplete:
            return set()
        return {part for part in self.reached if self._was[part] in last.incomplete}

    def _fresh(self, last: Standing, table: Table) -> set[int]:
        """Take over what is as it was; return the parts of which that is not so."""
        self.names = [NOT_REACHED] * len(self._graph.parts)
        if table.columns != last.table.columns:
            return set(self.reached)
        if self._is_in_place:
            self.names, self.vectors = list(last.names), dict(last.vectors)
            terms = compress(count(), map(is_not, self._graph.terms, last.graph.terms))
            return self._other.union(i for i in terms if not self._is_fed_alike(last, i))
        fresh = {i for i in self.reached if i in self._other or not self._is_fed_alike(last, i)}
        for part, was in zip(self.reached, map(self._was.__getitem__, self.reached), strict=True):
            if part not in fresh and was is not None:
                self.names[part], self.vectors[part] = last.names[was], last.vectors[was]
        return fresh

    def _is_fed_alike(self, last: Standing, part: int) -> bool:
        """Say whether the same lines of a part are fed by parts of the same places."""
        was, terms = self._was[part], self._graph.terms[part]
        before = () if was is None else last.graph.terms[was]
        if self._is_steady and terms is before:
            return True
        return [(term.line, self._was[term.supplier]) for term in terms] == [
            (term.line, term.supplier) for term in before
        ]

    def _stirred(self, fresh: set[int]) -> Iterator[Group]:
        """Yield what has a fresh part, or one fed by what got another name since it was asked."""
        terms, moved = self._graph.terms, self._moved
        for group in self._order:
            if fresh.isdisjoint(group):
                inputs = terms[group[0]] if len(group) == 1 else _inputs(terms, group)
                if moved.isdisjoint(map(_supplier, inputs)):
                    continue
            yield group

    def _name(self, group: Group, first: int) -> None:
        """Give each part its name: another one than it had stirs whom it feeds."""
        for name, part in enumerate(group, first):
            if self.names[part] != name:
                self.names[part] = name
                self._moved.add(part)

    def _shelve(self, last: Standing, numbers: Iterable[int | None]) -> None:
        """Keep what stood in the places of some parts."""
        columns = self._known.columns(last.table)
        for was in numbers:
            if was is not None and was in last.vectors:
                group = last.loops.get(was, (was,))
                content = _content(last.graph, last.names, group, columns)
                vectors = tuple(map(last.vectors.__getitem__, group))
                self._known.shelve(content, last.names[group[0]], vectors)


def _inputs(terms: Sequence[tuple[Term, ...]], group: Group) -> Iterator[Term]:
    return chain.from_iterable(map(terms.__getitem__, group))


def _table(graph: Graph, numbers: Collection[int], stages: Collection[str]) -> Table:
    """Return the columns of some parts."""
    return Table(
        map(graph.parts.__getitem__, numbers),
        stages,
        introduced=any(map(_introduced, map(graph.sources.__getitem__, numbers))),
    )


def _has(table: Table, other: Table) -> bool:
    """Say whether a table has all that another has."""
    return table.has_location >= other.has_location and set(table.columns) >= set(other.columns)


def _content(graph: Graph, names: Sequence[int], group: Group, columns: int) -> object:
    """Return what makes the vectors of parts that are computed together."""
    return columns, *(_content_of(graph, names, group, part) for part in group)


def _content_of(graph: Graph, names: Sequence[int], group: Group, index: int) -> tuple[object, ...]:
    """Return what makes the vector of a part, but for the columns; and whether it lacks something.

    How much it takes of whom is said by its statement and theirs; within a loop by these alone.
    """
    part, source = graph.parts[index], graph.sources[index]
    fed = tuple(
        (
            term.line,
            graph.parts[term.supplier].commitment
            if term.supplier in group
            else names[term.supplier],
        )
        for term in graph.terms[index]
    )
    changed = None if part is source.fact else _own_of(part)
    return part.commitment, source.introduced, bool(graph.missing[index]), changed, fed


def _own_of(part: Part) -> object:
    """Return what a part adds itself, where it is not what its statement says: cut off, aged."""
    located = part.own_by_location
    return (
        part.tally,
        part.handed,
        tuple(part.own.items()),
        None if located is None else tuple(located.items()),
    )
