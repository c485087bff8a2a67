"""Which statement feeds which input, and in which order products are computed (SPEC 9.1, 9.2)."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, count
from operator import attrgetter

import msgspec

from bcca_protocol.choices import Choice, Chooser, Flagged, Missing, Offer, Source, Why
from bcca_protocol.choosing import chooser
from bcca_protocol.cumulative import Leaf
from bcca_protocol.errors import StatementError, UnitError
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import ONE, convert, exact
from bcca_protocol.substituted import Substituted

__all__ = [
    "Choice",
    "Chooser",
    "Flagged",
    "Graph",
    "Leaf",
    "Missing",
    "Offer",
    "Source",
    "Substituted",
    "Term",
    "Why",
    "chooser",
    "connect",
    "double_claims",
    "order_of",
    "reconnect",
]

_commitment = attrgetter("fact.commitment")
_fact = attrgetter("fact")
_supplier = attrgetter("supplier")


class Term(msgspec.Struct, frozen=True, gc=False):
    """One input line that is fed: `amount` in units of the supplier's product, yield included.

    `why` is set where what feeds it is not current by rule.
    """

    line: int
    supplier: int
    amount: Decimal
    share: Decimal
    stages: str
    why: Why | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Parts in the order of (issuer, product, site, commitment), and what feeds them.

    `sources[i]` is where part i comes from: a statement, or what stands in for one. `terms[i]` are
    its fed inputs in written order, `missing[i]` the others by line with the reason, and `bounds`
    what is known of them: kg CO2e per unit of the line, by part and line. `index` has the numbers
    by commitment, in their order.
    """

    parts: tuple[Part, ...]
    sources: tuple[Source, ...]
    terms: tuple[tuple[Term, ...], ...]
    missing: tuple[Mapping[str, str], ...]
    index: Mapping[str, int]
    bounds: Mapping[tuple[int, str], Decimal] = field(default_factory=dict)


def connect(offers: Iterable[Offer], choose: Chooser) -> Graph:
    """Return the graph in which `choose` says what feeds each input of amount above zero.

    It has every part offered, and what else `choose` feeds to one: roll-ups, substitutes. Raises
    StatementError naming both sides where a unit does not fit (SPEC 9.1).
    """
    offered = _by_commitment(offers)
    given = [each for each in offered.values() if not isinstance(each, Leaf)]
    wiring = _Wiring(sorted(given, key=_source_order))
    return _fed(wiring, range(len(given)), choose)


def reconnect(
    last: Graph, offers: Iterable[Offer], choose: Chooser, changed: Collection[str]
) -> Graph:
    """Return what `connect` returns, where only inputs of `changed` parts may be fed otherwise.

    `last` is the graph of before; `changed` are commitments, also of every part that was not
    offered then. Of all others nobody is asked: what fed them feeds them still.
    """
    wiring = _Wiring(last.sources, last)
    return _fed(wiring, wiring.offer(_by_commitment(offers), changed), choose)


def _by_commitment(offers: Iterable[Offer]) -> dict[str, Offer]:
    offered = list(offers)
    return dict(zip(map(_commitment, offered), offered, strict=True))


def _fed(wiring: "_Wiring", numbers: Iterable[int], choose: Chooser) -> Graph:
    with exact():
        for number in numbers:
            wiring.feed(number, choose)
    return wiring.graph()


class _Wiring:
    """Sources, and what feeds each: by number, first those that stand in order already."""

    def __init__(self, sources: Sequence[Source], last: Graph | None = None) -> None:
        self._sources = list(sources)
        self._stand = len(self._sources)
        self._fed: set[int] = set()  # whose terms are of this wiring, not of the last
        self._let_go: set[int] = set()  # what is not given any more, and stays if it is fed to one
        if last is None:
            self._index = dict(zip(map(_commitment, self._sources), count()))
            self._terms: list[tuple[Term, ...]] = [()] * self._stand
            self._missing: list[Mapping[str, str]] = [{}] * self._stand
            self._bounds: dict[tuple[int, str], Decimal] = {}
        else:
            self._index, self._bounds = dict(last.index), dict(last.bounds)
            self._terms, self._missing = list(last.terms), list(last.missing)

    def offer(self, offered: Mapping[str, Offer], changed: Collection[str]) -> list[int]:
        """Take offers in the place of those of before; return the parts to feed, in order."""
        index, found = self._index, list(map(offered.get, self._index))
        self._let_go = {i for i, each in enumerate(found) if each is None or isinstance(each, Leaf)}
        self._sources = [new or old for new, old in zip(found, self._sources, strict=True)]
        again = {index[name] for name in changed if name in index} - self._let_go
        for number in self._let_go | again:
            self._empty(number)
        new = [each for name, each in offered.items() if name not in index]
        parts = sorted((each for each in new if not isinstance(each, Leaf)), key=_source_order)
        return [*sorted(again), *map(self._met, parts)]

    def _empty(self, number: int) -> None:
        """Forget what is fed to a part, and what is missing of it."""
        self._terms[number], self._missing[number] = (), {}
        for bought in self._sources[number].fact.bought:
            self._bounds.pop((number, bought.line), None)

    def feed(self, here: int, choose: Chooser) -> None:
        """Take what `choose` says of each input of a part."""
        part, index = self._sources[here].fact, self._index
        fed: list[Term] = []
        unfed: dict[str, str] = {}
        for line, bought in enumerate(part.bought):
            choice = choose(part, bought)
            if isinstance(choice, Missing):
                if bought.amount:  # an input of amount 0 is never a gap
                    unfed[bought.line] = choice.reason
                    if choice.bound is not None:
                        self._bounds[here, bought.line] = choice.bound
                continue
            supplier = choice.fact
            is_same_unit = bought.unit == supplier.unit
            amount = bought.amount if is_same_unit else _converted(part, bought, supplier)
            if bought.yield_ is not ONE:
                amount /= bought.yield_
            at = index.get(supplier.commitment)
            if at is None:
                at = self._met(choice)
            why = choice.why if isinstance(choice, Flagged) else None
            fed.append(Term(line, at, amount, bought.share, bought.stages, why))
        self._terms[here], self._missing[here] = tuple(fed), unfed
        self._fed.add(here)

    def _met(self, choice: Offer | Flagged | Substituted) -> int:
        """Number what was not there before."""
        source = choice.source if isinstance(choice, Flagged) else choice
        at = self._index[source.fact.commitment] = len(self._sources)
        self._sources.append(source)
        self._terms.append(())
        self._missing.append({})
        return at

    def graph(self) -> Graph:
        """Return the graph, its parts in their order."""
        order = self._order()
        if len(order) > self._stand or len(order) < len(self._sources):
            self._number(order)
        return Graph(
            parts=tuple(map(_fact, self._sources)),
            sources=tuple(self._sources),
            terms=tuple(self._terms),
            missing=tuple(self._missing),
            index=self._index,
            bounds=self._bounds,
        )

    def _order(self) -> list[int]:
        """Return the numbers of what stays in its order: what stood already, and the new between.

        What stood is looked at only where something new belongs.
        """
        stand: Sequence[int] = range(self._stand)
        if self._let_go:
            idle = self._let_go.difference(map(_supplier, chain.from_iterable(self._terms)))
            stand = [number for number in stand if number not in idle]
        new = range(self._stand, len(self._sources))
        order: list[int] = []
        begin = 0
        for number in sorted(new, key=self._key):
            end = bisect_left(stand, self._key(number), begin, key=self._key)
            order += stand[begin:end]
            order.append(number)
            begin = end
        order += stand[begin:]
        return order

    def _key(self, number: int) -> tuple[str, str, str, str]:
        return order_of(self._sources[number].fact)

    def _number(self, order: Sequence[int]) -> None:
        """Number all anew; of whom nobody's number moves the terms stay the same tuple."""
        names = list(self._index)
        new = {number: at for at, number in enumerate(order) if number != at}
        is_steady = all(number >= self._stand for number in new)
        self._terms, self._missing, self._sources = (
            list(map(self._terms.__getitem__, order)),
            list(map(self._missing.__getitem__, order)),
            list(map(self._sources.__getitem__, order)),
        )
        for at in [new.get(i, i) for i in self._fed] if is_steady else range(len(order)):
            self._terms[at] = _renumbered(self._terms[at], new)
        self._index = dict(zip(map(names.__getitem__, order), count()))
        bounds = self._bounds.items()
        self._bounds = {(new.get(i, i), line): kg for (i, line), kg in bounds}


def _renumbered(terms: tuple[Term, ...], new: Mapping[int, int]) -> tuple[Term, ...]:
    """Return terms whose suppliers have `new` numbers, where they have."""
    if all(term.supplier not in new for term in terms):
        return terms
    return tuple(
        msgspec.structs.replace(term, supplier=new.get(term.supplier, term.supplier))
        for term in terms
    )


def double_claims(parts: Iterable[Part]) -> Iterator[tuple[str, Part, Part]]:
    """Yield each electricity certificate that two parts claim, with both: one counts (SPEC 7.4)."""
    owners: dict[str, Part] = {}
    for part in parts:
        for claim in part.claims:
            owner = owners.setdefault(claim, part)
            if owner is not part:
                yield claim, owner, part


def order_of(part: Part) -> tuple[str, str, str, str]:
    """Return the key that orders parts wherever order matters (SPEC 9.2)."""
    return part.issuer, part.product, part.site or "", part.commitment


def _source_order(source: Source) -> tuple[str, str, str, str]:
    return order_of(source.fact)


def _converted(part: Part, bought: Bought, supplier: Part) -> Decimal:
    """Return how much of the supplier's product a line takes, in its supplier's unit."""
    try:
        return convert(bought.amount, bought.unit, supplier.unit, mass_kg=supplier.piece_kg)
    except UnitError as error:
        raise StatementError(
            f"line {bought.line} of {part.product} ({part.issuer}) buys {supplier.product} of "
            f"{supplier.issuer}: {error}"
        ) from error
