"""Why a result is what it is: any product or line of it, down to signed lines (SPEC 9.3, 9.5).

Each number has its working, so that whoever holds the statements can repeat it by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from bcca_node.packmaker import working
from bcca_node.packmaker.recalled import Recalled
from bcca_node.packmaker.working import KG, Operand, Working
from bcca_protocol import footprint
from bcca_protocol.errors import UnusableError
from bcca_protocol.graph import Graph, Leaf, Source, Term
from bcca_protocol.inventory import Activity, Factor
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import exact, plain
from bcca_protocol.results import Substitute
from bcca_protocol.substituted import Substituted
from bcca_protocol.wire import showable

MAX_TOLD = 20  # products of a list in one sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A purchase: which line of whose statement takes how much of a product.

    There is one working for each way in which the root sees the stages of its consumer.
    """

    consumer: Part
    line: str
    supplier: Part
    workings: tuple[Working, ...]

    @property
    def amount(self) -> Decimal:
        """How much, in units of the supplier's product."""
        return working.added([each.value for each in self.workings])


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """An own line: `activity` as signed, None where a whole stands in its place.

    `each` is kg CO2e per declared unit, `whole` for all that is needed of the product.
    """

    activity: Activity | None
    factor: Factor | None
    name: str
    each: Working
    whole: Working


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A bought line, and what it brings with everything upstream of it: None where it is a gap."""

    bought: Bought
    fed_by: str
    whole: Working | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One product of one statement: how much of it is needed and why, and what it adds.

    `chain` is the shortest way from the root to it; `asked` all that buy it, whose amounts sum to
    `amount`, unless it is the root or needs itself. `own_kg` and `kg` are as signed: of its own
    lines, and with everything upstream. `index` is its entry's in its issuer's log.
    """

    part: Part
    index: int | None
    stood_in: Substitute | None
    amount: Decimal
    in_loop: bool
    chain: tuple[Taken, ...]
    asked: tuple[Taken, ...]
    own: tuple[Own, ...]
    bought: tuple[Input, ...]
    own_kg: Working
    kg: Working


def why(recalled: Recalled, asked: str) -> list[Why]:
    """Return why a product or an own line adds what it does, the largest first.

    `asked` is a product by its URN, the last part of that or its name, a statement's commitment,
    or an own line by its id, its name or its data set: then only these lines are told. Raises
    UnusableError naming what there is.
    """
    graph = recalled.totals.graph
    reached = sorted(recalled.totals.vectors)
    explained = _Explained(recalled)
    parts = [index for index in reached if asked in _names(graph.parts[index])]
    if parts:
        found = [explained.part(index) for index in parts]
        return sorted(found, key=lambda each: -abs(each.kg.value))
    found = [
        explained.part(index, only=lines)
        for index in reached
        if (lines := _lines(recalled, graph.parts[index], asked))
    ]
    found = [each for each in found if each.own]
    if not found:
        names = sorted({graph.parts[i].product for i in reached})
        more = f" and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
        raise UnusableError(
            f"{showable(asked[:200])!r} is neither a product nor an own line here: products are "
            f"{', '.join(names[:MAX_TOLD])}{more}"
        )
    return sorted(found, key=lambda each: -sum(abs(line.whole.value) for line in each.own))


class _Explained:
    """A result in which ways from the root are looked up once."""

    def __init__(self, recalled: Recalled) -> None:
        self._recalled = recalled
        self._graph = recalled.totals.graph
        self._needed = recalled.needed
        self._dropped = recalled.dropped()
        self._loops = {i for each in recalled.totals.order if len(each) > 1 for i in each}
        self._way = _ways(self._graph, self._needed.root)
        self._buyers: dict[int, list[tuple[int, Term]]] = {}
        for index in sorted(recalled.totals.vectors):
            for term in self._graph.terms[index]:
                self._buyers.setdefault(term.supplier, []).append((index, term))

    def part(self, index: int, only: frozenset[int] | None = None) -> Why:
        """Return why part `index` adds what it does; of its own lines `only` these, if given."""
        part, source = self._graph.parts[index], self._graph.sources[index]
        amount = self._needed.amounts[index]
        total = footprint.total(self._recalled.totals.footprint(index))
        needs_itself = any(buyer == index for buyer, _ in self._buyers.get(index, ()))
        own = footprint.total(part.own)
        return Why(
            part=part,
            index=None if isinstance(source, Substituted) else source.index,
            stood_in=source.stated if isinstance(source, Substituted) else None,
            amount=amount,
            in_loop=index in self._loops or needs_itself,
            chain=tuple(self._chain(index)),
            asked=tuple(self._asked(index)),
            own=tuple(self._own(index, part, source, amount, only)),
            bought=() if only is not None else tuple(self._bought(index, part)),
            own_kg=working.in_amount(own, part, amount, "own, per declared unit"),
            kg=working.in_amount(total, part, amount, "with everything upstream"),
        )

    def _chain(self, index: int) -> Iterator[Taken]:
        """Yield the purchases on the shortest way from the root, what flows on that way alone."""
        steps = []
        while index != self._needed.root:
            consumer, term = self._way[index]
            steps.append((consumer, term))
            index = consumer
        amount = self._needed.amount
        for consumer, term in reversed(steps):
            taken = working.taken(self._graph, consumer, term, amount)
            yield self._taken(consumer, term, (taken,))
            amount = taken.value

    def _asked(self, index: int) -> Iterator[Taken]:
        for consumer, term in self._buyers.get(index, ()):
            workings = tuple(working.asked(self._graph, self._needed, consumer, term))
            if workings:
                yield self._taken(consumer, term, workings)

    def _taken(self, consumer: int, term: Term, workings: tuple[Working, ...]) -> Taken:
        part = self._graph.parts[consumer]
        return Taken(
            consumer=part,
            line=part.bought[term.line].line,
            supplier=self._graph.parts[term.supplier],
            workings=workings,
        )

    def _own(
        self,
        index: int,
        part: Part,
        source: Source,
        amount: Decimal,
        only: frozenset[int] | None,
    ) -> Iterator[Own]:
        statement = self._recalled.lines.get(part.commitment)
        if isinstance(source, Leaf | Substituted) or statement is None:
            yield _as_one(part, source, amount)
            return
        for at, line in enumerate(statement.activities):
            if (index, at) in self._dropped or (only is not None and at not in only):
                continue
            each = working.own_line(statement, line)
            yield Own(
                activity=line,
                factor=line.factor,
                name=line.name,
                each=each,
                whole=working.in_amount(each.value, part, amount, "per declared unit"),
            )

    def _bought(self, index: int, part: Part) -> Iterator[Input]:
        fed = {term.line: term for term in self._graph.terms[index]}
        for place, bought in enumerate(part.bought):
            term = fed.get(place)
            if term is None:
                missing = self._graph.missing[index].get(bought.line)
                if missing is not None:
                    yield Input(bought=bought, fed_by=f"missing: {missing}", whole=None)
                continue
            supplier = self._graph.parts[term.supplier]
            with exact():
                total = footprint.total(self._recalled.totals.footprint(term.supplier))
                unit_value = total / supplier.declared
            operands = (
                Operand("x", unit_value, f"{KG}/{supplier.unit}", "its footprint"),
                Operand("x", self._needed.edges[index, place], supplier.unit, "taken in all"),
            )
            fed_by = _fed_by(self._graph.sources[term.supplier], term)
            yield Input(bought=bought, fed_by=fed_by, whole=Working(operands=operands, unit=KG))


def _as_one(part: Part, source: Source, amount: Decimal) -> Own:
    """Return what no signed line stands behind: a value in a statement's place, or a whole."""
    factor = source.stated.factor if isinstance(source, Substituted) else None
    name = "cumulative, as its issuer claims" if factor is None else factor.dataset
    own = footprint.total(part.own)
    per = f"{KG} per {plain(part.declared)} {part.unit}"
    each = Working(operands=(Operand("x", own, per, name),), unit=KG)
    return Own(
        activity=None,
        factor=factor,
        name=name,
        each=each,
        whole=working.in_amount(own, part, amount, "per declared unit"),
    )


def _fed_by(source: Source, term: Term) -> str:
    if isinstance(source, Substituted):
        return f"substitute: {source.stated.reason}"
    flag = "" if term.why is None else f" ({term.why.code}: {term.why.words})"
    return f"{source.fact.commitment}{flag}"


def _ways(graph: Graph, root: int) -> dict[int, tuple[int, Term]]:
    """Return who buys each part, and on which line, on the shortest way from the root."""
    found: dict[int, tuple[int, Term]] = {}
    edge = [root]
    while edge:
        nearer, edge = edge, []
        for index in nearer:
            for term in graph.terms[index]:
                if term.supplier != root and term.supplier not in found:
                    found[term.supplier] = (index, term)
                    edge.append(term.supplier)
    return found


def _names(part: Part) -> tuple[str, ...]:
    return part.product, part.product.rpartition(":")[2], part.name, part.commitment


def _lines(recalled: Recalled, part: Part, asked: str) -> frozenset[int]:
    statement = recalled.lines.get(part.commitment)
    if statement is None:
        return frozenset()
    return frozenset(
        at
        for at, line in enumerate(statement.activities)
        if asked in (line.id, line.name, line.factor.dataset)
    )
