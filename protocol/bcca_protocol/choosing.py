"""Which of what may feed an input does: the ladder of SPEC 9.1."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from bcca_protocol.allowing import Called, called, refusal
from bcca_protocol.choices import (
    Choice,
    Chooser,
    Flagged,
    Missing,
    Offer,
    StandIns,
    Why,
    nobody,
)
from bcca_protocol.cumulative import Leaf
from bcca_protocol.errors import UnitError
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span, moment
from bcca_protocol.quantity import convert
from bcca_protocol.results import Substitute
from bcca_protocol.rules import NEUTRAL_1, RuleSet, parse
from bcca_protocol.standing import standing_of
from bcca_protocol.substituted import Substituted, is_unsigned_footprint, substituted

_GIVING_WAY: Final = (Missing, Flagged)  # a tuple: a union would be made for each of all inputs
About: TypeAlias = tuple[str, str]
"""An origin, and its product."""


CURRENT_ALONE: Final = parse(NEUTRAL_1)
"""Rules under which nothing but a current statement of the site that is named feeds an input."""


class Choosing:
    """The rule of SPEC 9.1 over offers, to which more may be added: a `Chooser`.

    `period` is that of the root part, and stands in where an input does not say when it was
    acquired. What `stand_ins` states fills what the offers do not.
    """

    def __init__(
        self, period: Span, rules: RuleSet = CURRENT_ALONE, stand_ins: StandIns = nobody
    ) -> None:
        """Have no offers yet."""
        self._period, self._rules, self._stand_ins = period, rules, stand_ins
        self._offers: dict[About, list[Offer]] = {}
        self._made: dict[About, dict[tuple[object, ...], Choice]] = {}

    def add(self, offer: Offer) -> bool:
        """Take an offer; return whether something was chosen for its product before."""
        about = offer.fact.issuer, offer.fact.product
        self._offers.setdefault(about, []).append(offer)
        return self._made.pop(about, None) is not None

    def drop(self, offer: Offer) -> None:
        """Take an offer back."""
        about = offer.fact.issuer, offer.fact.product
        self._offers[about].remove(offer)
        self._made.pop(about, None)

    def again(self) -> "Choosing":
        """Return one that knows the same, and is told more without this one's knowing."""
        other = Choosing(self._period, self._rules, self._stand_ins)
        other._offers, other._made = self._offers.copy(), self._made.copy()
        return other

    def offers(self, about: About) -> Sequence[Offer]:
        """Return the offers of a product."""
        return self._offers.get(about, ())

    def renew(self, about: About, offers: Iterable[Offer]) -> None:
        """Take these in the place of all offers of a product."""
        self._offers[about] = list(offers)
        self._made.pop(about, None)

    def __call__(self, consumer: Part, bought: Bought) -> Choice:
        """Return what feeds an input."""
        about, span = (bought.origin, bought.product), bought.acquired
        made = self._made.get(about)
        if made is None:
            made = self._made[about] = {}
        asked = (bought.key, bought.site, bought.pinned, span)
        choice = made.get(asked)
        if choice is None:
            among = _Input(bought, span or self._period, self._period, self._rules).among
            choice = made[asked] = among(self._offers.get(about, ()))
        if not isinstance(choice, Missing) and bought.unit != choice.fact.unit:
            choice = _fitting(bought, choice)
        if isinstance(choice, _GIVING_WAY) and bought.amount:
            return self._stood_in(choice, consumer, bought)
        return choice

    def _stood_in(self, choice: Missing | Flagged, consumer: Part, bought: Bought) -> Choice:
        """Return what stands in for a statement that is missing or expired, else `choice`."""
        stated = self._stand_ins(consumer, bought)
        if stated is None or not gives_way(choice, stated):
            return choice
        why_not = refusal(stated, bought.product, self._rules, self._called())
        if why_not is None:
            found = fitted(substituted(stated, bought, consumer), bought)
            return choice if isinstance(found, Missing) and isinstance(choice, Flagged) else found
        if isinstance(choice, Missing):
            return choice._replace(reason=f"{choice.reason}; {why_not}")
        return choice

    def _called(self) -> Called:
        """Return what the offers call their products, as far as the rules ask for that."""
        offers = (each for offers in self._offers.values() for each in offers)
        return called((each.fact for each in offers), self._rules)


def chooser(
    offers: Iterable[Offer],
    period: Span,
    rules: RuleSet = CURRENT_ALONE,
    stand_ins: StandIns = nobody,
) -> Chooser:
    """Return the rule of SPEC 9.1 over `offers`, as `Choosing` has it."""
    choose = Choosing(period, rules, stand_ins)
    for each in offers:
        choose.add(each)
    return choose


def gives_way(choice: Choice, stated: Substitute) -> bool:
    """Say whether a substitute stands where statements alone give `choice` (SPEC 9.1).

    It does in a gap; and, where it is an unsigned footprint, in the place of an expired statement.
    """
    if isinstance(choice, Missing):
        return not choice.is_settled
    is_expired = isinstance(choice, Flagged) and choice.why.code == "expired"
    return is_expired and is_unsigned_footprint(stated)


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

    def among(self, offers: Sequence[Offer]) -> Choice:
        """Return the first rung of SPEC 9.1 that has an answer."""
        if len(offers) == 1 and self._is_met_by(offers[0]):  # nearly always
            return offers[0]
        bought = self._bought
        if offers and bought.key not in offers[0].log_keys:
            return Missing(
                f"{bought.product} of {bought.origin}: named with log key {bought.key}, which is "
                "not that log's"
            )
        fits = [each for each in offers if bought.site in (None, each.fact.site)]
        if bought.pinned is not None:
            fits = [each for each in fits if each.fact.commitment == bought.pinned]
        current = [each for each in fits if each.is_current]
        valid = [each for each in current if each.fact.validity.end > self._since]
        begun = self._begun(valid)
        if begun:
            return self._lagging(self._best(begun))
        return next(self._allowed(offers, current), None) or self._missing(fits, current, valid)

    @property
    def _what(self) -> str:
        bought = self._bought
        pinned = "" if bought.pinned is None else f" with commitment {bought.pinned}"
        return f"{bought.product} of {bought.origin}{pinned}"

    def _is_met_by(self, offer: Offer) -> bool:
        """Say whether an offer would be the answer of the first rung if it was the only one."""
        bought, fact = self._bought, offer.fact
        return (
            offer.is_current
            and bought.key in offer.log_keys
            and bought.site in (None, fact.site)
            and bought.pinned in (None, fact.commitment)
            and fact.validity.end > self._since
            and fact.period.overlaps(self._span)
        )

    def _lagging(self, best: Offer | Missing) -> Choice:
        """Return the best one, with how many days it lags if it is about a time before the span."""
        if isinstance(best, Missing) or best.fact.period.overlaps(self._span):
            return best
        ended, began = best.fact.period.end, self._span.start
        days = (moment(began) - moment(ended)).days
        words = (
            f"{self._what}: about the time until {ended}, the latest earlier within validity, "
            f"lag {days} days to {began}"
        )
        return Flagged(best, Why("lagged", words))

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
            here=(first.fact.commitment, others[0].fact.commitment),
        )
    return first


def _fitting(bought: Bought, choice: Offer | Flagged | Substituted) -> Choice:
    """Return `choice` unless its unit does not fit: one supplier's unit stops nobody else."""
    try:
        convert(bought.amount, bought.unit, choice.fact.unit, mass_kg=choice.fact.piece_kg)
    except UnitError as error:
        here = () if isinstance(choice, Substituted) else (choice.fact.commitment,)
        reason = f"{bought.product} of {bought.origin}: {error}"
        return Missing(reason, is_settled=True, here=here)
    return choice
