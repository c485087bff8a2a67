"""Which statement feeds which input, and in which order products are computed (SPEC 9.1, 9.2)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bcca_protocol.errors import StatementError, UnitError
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, convert, exact
from bcca_protocol.standing import standing
from bcca_protocol.verify import Verified


class Missing(NamedTuple):
    """An input that nothing feeds: no number, never zero."""

    reason: str


Choice = Verified[Part] | Missing
Chooser = Callable[[Part, Bought], Choice]


class Term(msgspec.Struct, frozen=True, gc=False):
    """One input line that is fed: `amount` in units of the supplier's product, yield included."""

    line: int
    supplier: int
    amount: Decimal
    share: Decimal
    stages: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Parts in the order of (issuer, product, site, commitment), and what feeds them.

    `terms[i]` are the fed inputs of part i in written order, `missing[i]` the others by line.
    """

    parts: tuple[Part, ...]
    sources: tuple[Verified[Part], ...]
    terms: tuple[tuple[Term, ...], ...]
    missing: tuple[Mapping[str, str], ...]
    index: Mapping[str, int]


def connect(verified: Iterable[Verified[Part]], choose: Chooser) -> Graph:
    """Return the graph in which `choose` says what feeds each input of amount above zero.

    Raises StatementError naming both sides where a unit does not fit (SPEC 9.1).
    """
    unique = {each.fact.commitment: each for each in verified}
    sources = tuple(sorted(unique.values(), key=lambda each: order_of(each.fact)))
    parts = tuple(each.fact for each in sources)
    index = {part.commitment: i for i, part in enumerate(parts)}
    terms: list[tuple[Term, ...]] = []
    missing: list[dict[str, str]] = []
    with exact():
        for part in parts:
            fed, unfed = [], {}
            for line, bought in enumerate(part.bought):
                choice = choose(part, bought)
                if isinstance(choice, Verified):
                    supplier = choice.fact
                    amount = _amount(part, bought, supplier)
                    at = index[supplier.commitment]
                    fed.append(Term(line, at, amount, bought.share, bought.stages))
                elif bought.amount:  # an input of amount 0 is never a gap
                    unfed[bought.line] = choice.reason
            terms.append(tuple(fed))
            missing.append(unfed)
    return Graph(
        parts=parts, sources=sources, terms=tuple(terms), missing=tuple(missing), index=index
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


def chooser(verified: Iterable[Verified[Part]], period: Span) -> Chooser:
    """Return the rule of SPEC 9.1: the pin, else the greatest overlap, else the latest earlier.

    `period` stands in where an input does not say when it was acquired.
    """
    offers: dict[tuple[str, str], list[Verified[Part]]] = {}
    for each in verified:
        offers.setdefault((each.fact.issuer, each.fact.product), []).append(each)
    made: dict[tuple[str, str, str, str | None, str | None, Span | None], Choice] = {}

    def choose(consumer: Part, bought: Bought) -> Choice:
        origin, product, span = bought.origin, bought.product, bought.acquired
        asked = (origin, product, bought.key, bought.site, bought.pinned, span)
        choice = made.get(asked)
        if choice is None:
            choice = _choose(bought, offers.get((origin, product), ()), span or period, period)
            made[asked] = choice
        if isinstance(choice, Missing) or bought.unit == choice.fact.unit:
            return choice
        return _fitting(bought, choice)

    return choose


def _choose(bought: Bought, offers: Sequence[Verified[Part]], span: Span, period: Span) -> Choice:
    what = f"{bought.product} of {bought.origin}"
    if offers and bought.key not in offers[0].log_keys:
        return Missing(f"{what}: named with log key {bought.key}, which is not that log's")
    fits = [each for each in offers if bought.site in (None, each.fact.site)]
    if bought.pinned is not None:
        fits = [each for each in fits if each.fact.commitment == bought.pinned]
        what = f"{what} with commitment {bought.pinned}"
    current = [each for each in fits if each.is_current]
    # A roll-up is valid no longer than its inputs, so they outlast the start of its period too.
    since = max(span.start, period.start)
    valid = [each for each in current if each.fact.validity.end > since]
    begun = [each for each in valid if each.fact.period.start < span.end]
    overlapping = [each for each in begun if each.fact.period.overlaps(span)]
    if overlapping:
        return _only(overlapping, lambda part: part.period.overlap_with(span))
    if begun:
        return _only(begun, lambda part: part.period.end)
    standings = {standing(each, at=span.start).words for each in fits}
    reasons = (
        (fits, f"no statement for {what}"),
        (current, f"no current statement for {what}: {' and '.join(sorted(standings))}"),
        (valid, f"every statement for {what} expired before {since}"),
        (begun, f"every statement for {what} is about a time after {span.end}"),
    )
    return Missing(next(reason for left, reason in reasons if not left))


def _only(offers: Sequence[Verified[Part]], measure: Callable[[Part], int | str]) -> Choice:
    """Return the one that measures most; of two equal ones neither, showing both."""
    if len(offers) == 1:
        return offers[0]
    ranked = sorted(offers, key=lambda each: each.fact.commitment)
    ranked.sort(key=lambda each: measure(each.fact), reverse=True)
    first, *others = ranked
    if others and measure(others[0].fact) == measure(first.fact):
        return Missing(
            f"two current statements of {first.fact.issuer} for {first.fact.product} in one "
            f"period: {first.fact.commitment} and {others[0].fact.commitment}"
        )
    return first


def _fitting(bought: Bought, choice: Verified[Part]) -> Choice:
    """Return `choice` unless its unit does not fit: one supplier's unit stops nobody else."""
    try:
        convert(bought.amount, bought.unit, choice.fact.unit, mass_kg=choice.fact.piece_kg)
    except UnitError as error:
        return Missing(f"{bought.product} of {bought.origin}: {error}")
    return choice


def _amount(part: Part, bought: Bought, supplier: Part) -> Decimal:
    """Return how much of the supplier's product a line takes, yield included."""
    amount = bought.amount
    if bought.unit != supplier.unit:
        try:
            amount = convert(amount, bought.unit, supplier.unit, mass_kg=supplier.piece_kg)
        except UnitError as error:
            raise StatementError(
                f"line {bought.line} of {part.product} ({part.issuer}) buys {supplier.product} of "
                f"{supplier.issuer}: {error}"
            ) from error
    return amount if bought.yield_ is ONE else amount / bought.yield_
