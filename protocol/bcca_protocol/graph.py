"""Which statement feeds which input, and in which order products are computed (SPEC 9.1, 9.2)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

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
]


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
    what is known of them: kg CO2e per unit of the line, by part and line.
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
    unique = {each.fact.commitment: each for each in offers if not isinstance(each, Leaf)}
    given = sorted(unique.values(), key=lambda each: order_of(each.fact))
    wiring = _Wiring(given)
    with exact():
        for each in given:
            wiring.feed(each.fact, choose)
    return wiring.graph()


class _Wiring:
    """Sources as they were met, those given first, and what feeds each."""

    def __init__(self, given: Iterable[Source]) -> None:
        self._sources = list(given)
        self._given = len(self._sources)
        self._index = {each.fact.commitment: i for i, each in enumerate(self._sources)}
        self._terms: list[tuple[Term, ...]] = []
        self._missing: list[Mapping[str, str]] = []
        self._bounds: dict[tuple[int, str], Decimal] = {}

    def feed(self, part: Part, choose: Chooser) -> None:
        """Take what `choose` says of each input of the next part that was given."""
        index, here = self._index, len(self._terms)
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
        self._terms.append(tuple(fed))
        self._missing.append(unfed)

    def _met(self, choice: Offer | Flagged | Substituted) -> int:
        """Number what was not given."""
        source = choice.source if isinstance(choice, Flagged) else choice
        self._sources.append(source)
        at = self._index[source.fact.commitment] = len(self._sources) - 1
        return at

    def graph(self) -> Graph:
        """Return the graph, its parts in their order."""
        if len(self._sources) > self._given:
            self._order()
        return Graph(
            parts=tuple(each.fact for each in self._sources),
            sources=tuple(self._sources),
            terms=tuple(self._terms),
            missing=tuple(self._missing),
            index=self._index,
            bounds=self._bounds,
        )

    def _order(self) -> None:
        """Number all anew: what was met stands behind what was given, and buys nothing."""
        met = len(self._sources) - self._given
        terms, missing = [*self._terms, *[()] * met], [*self._missing, *[{}] * met]
        order = sorted(range(len(terms)), key=lambda i: order_of(self._sources[i].fact))
        new = {old: i for i, old in enumerate(order)}
        self._sources = [self._sources[i] for i in order]
        self._index = {each.fact.commitment: i for i, each in enumerate(self._sources)}
        self._missing = [missing[i] for i in order]
        self._bounds = {(new[i], line): kg for (i, line), kg in self._bounds.items()}
        self._terms = [
            tuple(msgspec.structs.replace(term, supplier=new[term.supplier]) for term in terms[i])
            for i in order
        ]


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


def _converted(part: Part, bought: Bought, supplier: Part) -> Decimal:
    """Return how much of the supplier's product a line takes, in its supplier's unit."""
    try:
        return convert(bought.amount, bought.unit, supplier.unit, mass_kg=supplier.piece_kg)
    except UnitError as error:
        raise StatementError(
            f"line {bought.line} of {part.product} ({part.issuer}) buys {supplier.product} of "
            f"{supplier.issuer}: {error}"
        ) from error
