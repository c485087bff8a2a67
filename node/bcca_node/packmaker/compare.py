"""What moved the total from one run to another: row by row, in a sum that is exact.

With x, how much of each member is needed, v, what one unit of each weighs, b, what it adds itself
and T, what it takes of whom, the totals of runs 1 and 2 differ by

    x1 [(b2 - b1) + (T2 - T1) v2]  =  x2 [(b2 - b1) + (T2 - T1) v1]

Each change is told as the mean of its terms on the two sides, products inside one likewise, so
that no order is chosen: from 2 to 1 every row is the same with the opposite sign. What only one run
was made of weighs in the other what it weighs in its own, for it would take it from there. What is
left is the rounding of the signed arithmetic, in a row of its own.
"""

import decimal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeVar

from bcca_node.packmaker import overlaid, solving
from bcca_node.packmaker.overlaid import Side
from bcca_node.packmaker.remade import Member, OwnLine, Remade, Taken
from bcca_protocol.allowing import refusal
from bcca_protocol.quantity import ZERO, plain

Moved = Literal[
    "ordered", "statement", "substitute", "rule", "line", "amount", "factor", "output", "rounding"
]
T = TypeVar("T")
HALF: Final = Decimal("0.5")
ROW_DECIMALS: Final = 20  # of a row in kg CO2e: less nobody can act on; what it leaves out is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What moved the total by `kg`: a line of a product's statement, `before` and `after`.

    `was` and `now` are the commitments of that statement in the two runs; None where there is none.
    """

    kind: Moved
    kg: Decimal
    product: str = ""
    supplier: str = ""
    title: str = ""
    line: str = ""
    before: str | None = None
    after: str | None = None
    was: str | None = None
    now: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs' totals in kg CO2e, and the rows that sum exactly to their difference."""

    before: Decimal
    after: Decimal
    rows: tuple[Row, ...]

    @property
    def difference(self) -> Decimal:
        """Kg CO2e that the second run has more, every digit of it."""
        with decimal.localcontext(_ALL):
            return self.after - self.before


def compare(first: Remade, second: Remade) -> Comparison:
    """Return what moved the total from the first run to the second, the most first.

    Raises UnproductiveError for a loop that takes more than it makes.
    """
    with solving.finely():
        found = list(_Pair(first, second).rows())
    rows = [row for each in found if (row := _rounded(each)).kg]
    rows.sort(key=lambda row: (-abs(row.kg), row.supplier, row.product, row.line, row.kind))
    with decimal.localcontext(_ALL):
        left = second.total - first.total - sum((row.kg for row in rows), ZERO)
    if left:
        rows.append(Row(kind="rounding", kg=left))
    return Comparison(before=first.total, after=second.total, rows=tuple(rows))


def added(kgs: Iterable[Decimal]) -> Decimal:
    """Return the sum of rows, every digit of it."""
    with decimal.localcontext(_ALL):
        return sum(kgs, ZERO)


_ALL = decimal.Context(prec=400)  # every digit of sums of what has up to 90 behind the point
_SMALLEST = Decimal(1).scaleb(-ROW_DECIMALS)


def _rounded(row: Row) -> Row:
    """Return a row as it is written, at most ROW_DECIMALS digits behind the point."""
    with decimal.localcontext(_ALL):
        return replace(row, kg=row.kg.quantize(_SMALLEST))


class _Pair:
    """Two networks laid over each other."""

    def __init__(self, first: Remade, second: Remade) -> None:
        self._runs = first, second
        mean = (first.amount + second.amount) * HALF
        self._one, self._two = overlaid.sides(first, second, mean)

    def rows(self) -> Iterator[Row]:
        """Yield what differs."""
        one, two = self._one, self._two
        first, second = self._runs
        if first.amount != second.amount:
            root = one.numbers[first.root]
            weighs = (one.weighs[root] + two.weighs[root]) * HALF
            yield Row(
                kind="ordered",
                kg=(second.amount - first.amount) * weighs,
                product=two.members[root].product,
                supplier=two.members[root].issuer,
                title=two.members[root].title,
                before=plain(first.amount),
                after=plain(second.amount),
            )
        here, there = set(one.numbers.values()), set(two.numbers.values())
        for number in sorted(here & there):
            yield from _Change(one, two, number).rows()


class _Change:
    """One member that both runs were made of, as it was and as it is."""

    def __init__(self, one: Side, two: Side, number: int) -> None:
        self._one, self._two = one, two
        self._was, self._now = one.members[number], two.members[number]
        self._needed = one.needed[number], two.needed[number]
        self._per = 1 / self._was.output, 1 / self._now.output
        self._mean_per = (self._per[0] + self._per[1]) * HALF
        self._wider = ZERO  # what the change of the output itself moves

    def rows(self) -> Iterator[Row]:
        """Yield what its own lines, its inputs and its output moved."""
        if self._was is self._now:
            return
        lines = _by(self._was.lines, self._now.lines, lambda line: line.id)
        for name, (line, other) in lines.items():
            yield from self._own(name, line, other)
        inputs = _by(self._was.taken, self._now.taken, lambda taken: taken.line)
        for name, (taken, instead) in inputs.items():
            yield from self._fed(name, taken, instead)
        if self._wider:
            before, after = plain(self._was.output), plain(self._now.output)
            yield self._row("output", "", self._wider, before, after)

    def _own(self, name: str, was: OwnLine | None, now: OwnLine | None) -> Iterator[Row]:
        """Yield what an own line moved: its amount and its factor apart."""
        here, there = _kg(was), _kg(now)
        weight = (self._needed[0] + self._needed[1]) * HALF
        self._wider += (self._per[1] - self._per[0]) * (here + there) * HALF * weight
        if here == there:
            return
        weight *= self._mean_per
        if was is None or now is None or was.is_cut or now.is_cut:
            is_cut = was is not None and now is not None
            kind: Moved = "rule" if is_cut else "line"
            yield self._row(kind, name, (there - here) * weight, _line_of(was), _line_of(now))
            return
        factor, amount = (was.value + now.value) * HALF, (was.amount + now.amount) * HALF
        if was.amount != now.amount:
            kg = (now.amount - was.amount) * factor * weight
            yield self._row("amount", name, kg, plain(was.amount), plain(now.amount))
        if was.value != now.value:
            kg = (now.value - was.value) * amount * weight
            before, after = _factor_of(was), _factor_of(now)
            kind = "factor" if self._now.kind == "statement" else self._kind()
            yield self._row(kind, name, kg, before, after)

    def _kind(self) -> Moved:
        return "substitute" if self._now.kind == "substitute" else "statement"

    def _fed(self, name: str, was: Taken | None, now: Taken | None) -> Iterator[Row]:
        """Yield what an input moved: by how much is taken, or by who feeds it."""
        one, two = self._one, self._two
        source, other = _source(one, was), _source(two, now)
        before, after = (ZERO if each is None else each.amount for each in (was, now))
        x1, x2 = self._needed
        if source is not None and source == other:
            weighs = (x1 * two.weighs[source] + x2 * one.weighs[source]) * HALF
            self._wider += (self._per[1] - self._per[0]) * (before + after) * HALF * weighs
            if before != after:
                kg = (after - before) * self._mean_per * weighs
                yield self._row("amount", name, kg, plain(before), plain(after))
            return
        kg = ZERO
        for side, needed in ((two, x1), (one, x2)):
            if other is not None:
                kg += needed * after * self._per[1] * side.weighs[other] * HALF
            if source is not None:
                kg -= needed * before * self._per[0] * side.weighs[source] * HALF
        if source is None and other is None:
            return
        kind = _cause(_Fed(was, _member(one, source)), _Fed(now, _member(two, other)), one, two)
        yield self._row(kind, name, kg, _told(_member(one, source)), _told(_member(two, other)))

    def _row(
        self, kind: Moved, line: str, kg: Decimal, before: str | None, after: str | None
    ) -> Row:
        now = self._now
        return Row(
            kind=kind,
            kg=kg,
            product=now.product,
            supplier=now.issuer,
            title=now.title,
            line=line,
            before=before,
            after=after,
            was=_commitment(self._was),
            now=_commitment(now),
        )


class _Fed(NamedTuple):
    """An input line in one run, and the member that feeds it there."""

    taken: Taken | None
    member: Member | None


def _cause(was: _Fed, now: _Fed, one: Side, two: Side) -> Moved:
    """Return why an input is fed by another: a rule where the other run's does not allow it."""
    if _is_refused(was, two) or _is_refused(now, one):
        return "rule"
    kinds = {fed.member.kind for fed in (was, now) if fed.member is not None}
    return "substitute" if "substitute" in kinds else "statement"


def _is_refused(fed: _Fed, other: Side) -> bool:
    """Say whether the other run's rules do not allow what feeds an input."""
    if fed.taken is None or fed.member is None:
        return False
    if fed.member.stated is not None:
        return refusal(fed.member.stated, fed.taken.product, other.rules) is not None
    match fed.taken.flag:
        case "sibling":
            return not other.rules.siblings
        case "expired":
            return not other.rules.expired
    return False


def _source(side: Side, taken: Taken | None) -> int | None:
    return None if taken is None or taken.source is None else side.numbers[taken.source]


def _member(side: Side, number: int | None) -> Member | None:
    return None if number is None else side.members[number]


def _commitment(member: Member) -> str | None:
    return None if member.kind == "substitute" else member.name


def _told(member: Member | None) -> str | None:
    """Return what feeds an input, as it is told: nothing for a gap."""
    if member is None:
        return None
    if member.kind == "substitute":
        return f"substitute: {member.lines[0].factor}"
    return member.name


def _kg(line: OwnLine | None) -> Decimal:
    return ZERO if line is None or line.is_cut else line.amount * line.value


def _line_of(line: OwnLine | None) -> str | None:
    if line is None:
        return None
    return "cut off" if line.is_cut else f"{plain(line.amount)} x {_factor_of(line)}"


def _factor_of(line: OwnLine) -> str:
    return f"{plain(line.value)}, {line.factor}"


def _by(
    was: Sequence[T], now: Sequence[T], name: Callable[[T], str]
) -> dict[str, tuple[T | None, T | None]]:
    """Return what stands on either side, by its name: as in the second, then the first."""
    here, there = {name(each): each for each in was}, {name(each): each for each in now}
    return {key: (here.get(key), there.get(key)) for key in {**there, **here}}
