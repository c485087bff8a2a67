"""What feeds an input: a signed statement, what stands in for one, or nothing (SPEC 9.1)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple, TypeAlias

from bcca_protocol.cumulative import Leaf
from bcca_protocol.errors import UnitError
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.quantity import convert
from bcca_protocol.results import Substitute
from bcca_protocol.rules import NEUTRAL_1, RuleSet, parse
from bcca_protocol.standing import standing_of
from bcca_protocol.substituted import Substituted, substituted
from bcca_protocol.verify import Verified

Offer: TypeAlias = Verified[Part] | Leaf
"""A signed statement that may feed an input: partial, or cumulative as a leaf."""

Source: TypeAlias = Offer | Substituted
"""What a part of a graph comes from; `fact` is the part, `introduced` whether its log was."""


class Why(NamedTuple):
    """Why a statement feeds an input that is not current by rule: for the report."""

    code: Literal["sibling", "expired"]
    words: str


class Flagged(NamedTuple):
    """A statement that the rules allow for want of a current one, and why."""

    source: Offer
    why: Why

    @property
    def fact(self) -> Part:
        """What it says."""
        return self.source.fact


class Missing(NamedTuple):
    """An input that nothing feeds: no number, never zero.

    `bound` is an estimate in kg CO2e per unit of the line, if one is known; it is never added.
    Where a current statement is here that cannot be used, nothing may stand in: `is_settled`.
    """

    reason: str
    bound: Decimal | None = None
    is_settled: bool = False


Choice: TypeAlias = Verified[Part] | Leaf | Flagged | Substituted | Missing
Chooser: TypeAlias = Callable[[Part, Bought], Choice]
StandIns: TypeAlias = Callable[[Part, Bought], Substitute | None]


CURRENT_ALONE: Final = parse(NEUTRAL_1)
"""Rules under which nothing but a current statement of the site that is named feeds an input."""


def nobody(_: Part, __: Bought) -> None:
    """Stand in for nothing."""


def chooser(
    offers: Iterable[Offer],
    period: Span,
    rules: RuleSet = CURRENT_ALONE,
    stand_ins: StandIns = nobody,
) -> Chooser:
    """Return the rule of SPEC 9.1 over `offers`; what `stand_ins` states fills what they do not.

    `period` is that of the root part, and stands in where an input does not say when it was
    acquired.
    """
    by_product: dict[tuple[str, str], list[Offer]] = {}
    for each in offers:
        by_product.setdefault((each.fact.issuer, each.fact.product), []).append(each)
    made: dict[tuple[str, str, str, str | None, str | None, Span | None], Choice] = {}

    def choose(consumer: Part, bought: Bought) -> Choice:
        origin, product, span = bought.origin, bought.product, bought.acquired
        asked = (origin, product, bought.key, bought.site, bought.pinned, span)
        choice = made.get(asked)
        if choice is None:
            found = by_product.get((origin, product), ())
            choice = made[asked] = _Input(bought, span or period, period, rules).among(found)
        if isinstance(choice, Missing):
            return _stood_in(choice, consumer, bought, rules, stand_ins)
        return choice if bought.unit == choice.fact.unit else _fitting(bought, choice)

    return choose


def refusal(stated: Substitute, product: str, rules: RuleSet) -> str | None:
    """Return why `rules` do not allow `stated` to stand in for `product`; None if they do."""
    factor = stated.factor
    if is_mandatory(product, rules):
        return "the rules want a signed statement of its supplier, and nothing in its place"
    if factor.kind == "proxy" and not rules.proxies:
        return f"the rules allow no proxy ({factor.dataset})"
    if "*" not in rules.secondary and factor.source not in rules.secondary:
        return f"the rules do not allow factors of {factor.source}"
    return None


def is_mandatory(product: str, rules: RuleSet) -> bool:
    """Say whether the rules want a signed statement for a product, whatever else is known."""
    return any(fnmatchcase(product, pattern) for pattern in rules.mandatory)


def _stood_in(
    missing: Missing, consumer: Part, bought: Bought, rules: RuleSet, stand_ins: StandIns
) -> Substituted | Missing:
    """Return what stands in for a missing statement, else what is missing and why."""
    stated = None if missing.is_settled or not bought.amount else stand_ins(consumer, bought)
    if stated is None:
        return missing
    why_not = refusal(stated, bought.product, rules)
    if why_not is not None:
        return missing._replace(reason=f"{missing.reason}; {why_not}")
    return fitted(substituted(stated, bought, consumer), bought)


def fitted(choice: Substituted, bought: Bought) -> Substituted | Missing:
    """Return `choice` unless its unit does not fit the line."""
    found = _fitting(bought, choice)
    return found if isinstance(found, Missing) else choice


class _Input:
    """What one input asks for, and who of those that offer it answers best."""

    def __init__(self, bought: Bought, span: Span, period: Span, rules: RuleSet) -> None:
        self._bought = bought
        self._span = span
        # A roll-up is valid no longer than its inputs, so they outlast the start of its period too.
        self._since = max(span.start, period.start)
        self._rules = rules
        self._what = f"{bought.product} of {bought.origin}"

    def among(self, offers: Sequence[Offer]) -> Choice:
        """Return the first rung of SPEC 9.1 that has an answer."""
        bought = self._bought
        if offers and bought.key not in offers[0].log_keys:
            return Missing(
                f"{self._what}: named with log key {bought.key}, which is not that log's"
            )
        fits = [each for each in offers if bought.site in (None, each.fact.site)]
        if bought.pinned is not None:
            fits = [each for each in fits if each.fact.commitment == bought.pinned]
            self._what = f"{self._what} with commitment {bought.pinned}"
        current = [each for each in fits if each.is_current]
        valid = [each for each in current if each.fact.validity.end > self._since]
        begun = self._begun(valid)
        if begun:
            return self._best(begun)
        return next(self._allowed(offers, current), None) or self._missing(fits, current, valid)

    def _allowed(self, offers: Sequence[Offer], current: Sequence[Offer]) -> Iterator[Flagged]:
        """Yield what the rules allow for want of a current statement: a sibling, an expired one."""
        site = self._bought.site
        if self._rules.siblings and self._bought.pinned is None:
            others = (each for each in offers if each.is_current and each.fact.site != site)
            valid = [each for each in others if each.fact.validity.end > self._since]
            yield from self._flagged(
                valid,
                "sibling",
                lambda part: f"of site {part.site or 'unnamed'}, where {site} is named",
            )
        if self._rules.expired:
            yield from self._flagged(
                [each for each in current if each.fact.validity.end <= self._since],
                "expired",
                lambda part: f"expired on {part.validity.end}",
            )

    def _flagged(
        self,
        offers: Sequence[Offer],
        code: Literal["sibling", "expired"],
        words: Callable[[Part], str],
    ) -> Iterator[Flagged]:
        begun = self._begun(offers)
        best = self._best(begun) if begun else Missing("")
        if not isinstance(best, Missing):
            yield Flagged(best, Why(code, f"{self._what}: {words(best.fact)}"))

    def _begun(self, offers: Sequence[Offer]) -> list[Offer]:
        return [each for each in offers if each.fact.period.start < self._span.end]

    def _best(self, begun: Sequence[Offer]) -> Offer | Missing:
        """Return the best partial one, else the best cumulative one: what shows most comes first.

        That is the greatest overlap, else the latest earlier one.
        """
        whole = [each for each in begun if not isinstance(each, Leaf)] or begun
        span = self._span
        overlapping = [each for each in whole if each.fact.period.overlaps(span)]
        if overlapping:
            return _only(overlapping, lambda part: part.period.overlap_with(span))
        return _only(whole, lambda part: part.period.end)

    def _missing(
        self, fits: Sequence[Offer], current: Sequence[Offer], valid: Sequence[Offer]
    ) -> Missing:
        what, since, span = self._what, self._since, self._span
        found = {
            standing_of(
                each.status,
                each.fact.validity,
                at=span.start,
                broken=not each.is_current,
            ).words
            for each in fits
        }
        if not fits:
            return Missing(f"no statement for {what}")
        if not current:
            return Missing(f"no current statement for {what}: {' and '.join(sorted(found))}")
        if not valid:
            return Missing(f"every statement for {what} expired before {since}")
        return Missing(f"every statement for {what} is about a time after {span.end}")


def _only(offers: Sequence[Offer], measure: Callable[[Part], int | str]) -> Offer | Missing:
    """Return the one that measures most; of two equal ones neither, showing both."""
    if len(offers) == 1:
        return offers[0]
    ranked = sorted(offers, key=lambda each: each.fact.commitment)
    ranked.sort(key=lambda each: measure(each.fact), reverse=True)
    first, *others = ranked
    if others and measure(others[0].fact) == measure(first.fact):
        return Missing(
            f"two current statements of {first.fact.issuer} for {first.fact.product} in one "
            f"period: {first.fact.commitment} and {others[0].fact.commitment}",
            is_settled=True,
        )
    return first


def _fitting(bought: Bought, choice: Offer | Flagged | Substituted) -> Choice:
    """Return `choice` unless its unit does not fit: one supplier's unit stops nobody else."""
    try:
        convert(bought.amount, bought.unit, choice.fact.unit, mass_kg=choice.fact.piece_kg)
    except UnitError as error:
        return Missing(f"{bought.product} of {bought.origin}: {error}", is_settled=True)
    return choice
