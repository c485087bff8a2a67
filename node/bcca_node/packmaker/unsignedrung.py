"""The rung of unsigned PACT footprints: after a sibling's statement, before an expired one.

Which of those that came stands in for an input, and why the others do not (SPEC 9.1, 9.10). What a
partner sent is of the supplier of an input if the company ids of both say so, or if there is but
one such partner and one such supplier.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from bcca_node.ledger.node import Node
from bcca_node.packmaker.ownvalues import STATED
from bcca_node.packmaker.unsigned import Unsigned, judged, read
from bcca_node.storage import foreign, pairs, partners
from bcca_node.storage.foreign import Foreign, Trust
from bcca_node.storage.partners import Part as Pair
from bcca_node.storage.partners import PartState
from bcca_protocol import footprint
from bcca_protocol.allowing import UNCALLED, Called, refusal
from bcca_protocol.choices import Choice, Chooser, Flagged, Missing
from bcca_protocol.choosing import fitted
from bcca_protocol.errors import UnusableError
from bcca_protocol.inventory import Factor
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import Span
from bcca_protocol.quantity import ONE, SCALES, Unit, convert, exact
from bcca_protocol.results import Substitute
from bcca_protocol.rules import RuleSet
from bcca_protocol.substituted import Substituted, substituted

PACT_PARTNER = "pact:"  # how the name of a PACT partner begins where others have an origin
MAX_TOLD = 3  # footprints that do not stand in: more would hide why the input is missing
_NAMES = 500  # products of one query: databases take some thousands of values
_SCHEMES = ("urn:lei:", "urn:uscc:")  # of which a company has one each
# A PACT partner answers no pair: what the operator has written down is all there is to it.
_BELIEVED = frozenset({PartState.NOTED, PartState.CONFIRMED})


class Came(NamedTuple):
    """A footprint that came: what it says, or why it may not; `by_pair` is its name in a pair."""

    partner: str
    id: str
    products: frozenset[str]
    said: Unsigned | None
    why_not: str = ""
    by_pair: str = ""


class Rung:
    """Which unsigned footprint stands in for what, each found once."""

    def __init__(
        self,
        came: Mapping[str, Sequence[Came]],
        sellers: Mapping[str, frozenset[str]],
        ids: Mapping[str, frozenset[str]],
        period: Span,
    ) -> None:
        """Take what came by product, who sells it here, their company ids, the root's period."""
        self._came = came
        self._sellers = sellers
        self._ids = ids
        self._period = period
        self._made: dict[tuple[object, ...], tuple[Substitute | None, str]] = {}

    def over(self, choose: Chooser, rules: RuleSet, known: Called = UNCALLED) -> Chooser:
        """Return `choose`, whose gaps are filled, with this rung in its place where rules allow it.

        What the maker itself states for an input stays: it was told so.
        """
        if not self._came:
            return choose

        def chosen(consumer: Part, bought: Bought) -> Choice:
            choice = choose(consumer, bought)
            if not bought.amount or not _is_open(choice):
                return choice
            found, why_not = self.find(consumer, bought)
            refused = why_not if found is None else refusal(found, bought.product, rules, known)
            if refused:
                told = _explained(choice, refused, bought, consumer)
                return told if found is None else _bounded(told, found.factor, bought.unit)
            if found is None:
                return choice
            return fitted(substituted(found, bought, consumer), bought)

        return chosen

    def find(self, consumer: Part, bought: Bought) -> tuple[Substitute | None, str]:
        """Return what stands in for an input, else why nothing that came does; "" for none."""
        asked = (bought.product, bought.origin, bought.unit, bought.acquired, consumer.gwp)
        if asked not in self._made:
            self._made[asked] = self._best(consumer, bought)
        return self._made[asked]

    def _best(self, consumer: Part, bought: Bought) -> tuple[Substitute | None, str]:
        fitting: list[tuple[Unsigned, str]] = []
        refused: list[str] = []
        for each in self._came.get(bought.product, ()):
            try:
                fitting.append(self._fitting(each, consumer, bought))
            except UnusableError as error:
                what = f"unsigned footprint {each.id} of {each.partner}"
                refused.append(f"{what} is not used: {error}")
        if not fitting:
            more = len(refused) - MAX_TOLD
            told = [*refused[:MAX_TOLD], *([f"and {more} more"] if more > 0 else [])]
            return None, "; ".join(told)
        said, how = max(fitting, key=lambda one: self._order(one[0], bought))
        reason = f"{said.told}; valid until {said.valid_until}; {how}"
        return Substitute(factor=said.factor, reason=reason[:MAX_TEXT_CHARS]), ""

    def _order(self, said: Unsigned, bought: Bought) -> tuple[object, ...]:
        """Return what sorts footprints: of equally near ones the one that came last."""
        overlap = said.period.overlap_with(bought.acquired or self._period)
        latest = "" if overlap else said.period.end
        return (overlap, latest, said.number)

    def _fitting(self, each: Came, consumer: Part, bought: Bought) -> tuple[Unsigned, str]:
        """Return what says something of an input, and how that is known; raises UnusableError."""
        said = each.said
        if said is None:
            raise UnusableError(each.why_not)
        how = self._company(each, said, bought)
        if said.gwp != consumer.gwp:
            raise UnusableError(f"it is in {said.gwp}, {consumer.product} in {consumer.gwp}")
        unit, wanted = said.factor.unit, bought.unit
        if SCALES[unit].dimension != SCALES[wanted].dimension:
            raise UnusableError(f"it is per {unit}, where the input is in {wanted}")
        span = bought.acquired or self._period
        since = max(span.start, self._period.start)
        if said.valid_until <= since:
            raise UnusableError(f"it was valid until {said.valid_until}, before {since}")
        if said.period.start >= span.end:
            raise UnusableError(f"it is about the time from {said.period.start}, after {span.end}")
        return said, how

    def _company(self, each: Came, said: Unsigned, bought: Bought) -> str:
        """Return how a footprint is known to be of an input's supplier; raises UnusableError."""
        ids = self._ids.get(bought.origin, frozenset())
        if same := sorted(ids & said.companies):
            return f"{bought.origin} is {same[0]}"
        for scheme in _SCHEMES:
            theirs = sorted(one for one in said.companies if one.startswith(scheme))
            ours = sorted(one for one in ids if one.startswith(scheme))
            if theirs and ours:
                raise UnusableError(f"it is of {theirs[0]}, where {bought.origin} is {ours[0]}")
        sellers = len(self._sellers.get(bought.product, ()))
        if sellers > 1:
            raise UnusableError(
                f"{sellers} suppliers sell {bought.product} here, and its companyIds are those of "
                "none of them"
            )
        if each.by_pair:
            return f"{each.by_pair} is {bought.product} by the pair that is noted here"
        senders = {one.partner for one in self._came[bought.product]}
        if len(senders) > 1:
            raise UnusableError(
                f"{len(senders)} partners sent some for {bought.product}, and its companyIds are "
                f"not those of {bought.origin}"
            )
        return f"it names {bought.product}, which one partner and one supplier have here"


def rung(node: Node, parts: Iterable[Part], period: Span) -> Rung:
    """Return the unsigned footprints of what `parts` buy, as they are kept in this node."""
    sellers: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        for bought in part.bought:
            if bought.origin != node.origin:
                sellers[bought.product].add(bought.origin)
    came: dict[str, list[Came]] = {}
    with node.database.read() as session:
        names = sorted(sellers)
        for first in range(0, len(names), _NAMES):
            block = names[first : first + _NAMES]
            paired = {
                (each.partner, each.theirs.lower()): each
                for each in pairs.called_here(session, block, PACT_PARTNER)
                if each.state in _BELIEVED
            }
            asked = [*block, *(theirs for _, theirs in paired)]
            found = foreign.of_products(session, asked) if block else []
            unsigned = [each for each in found if each.trust is Trust.UNSIGNED]
            for each in _read(unsigned):
                for product, about in _about(each, block, paired):
                    came.setdefault(product, []).append(about)
        origins = sorted({origin for product in came for origin in sellers[product]})
        known = [partners.get(session, origin) for origin in origins]
    ids = {
        each.origin: frozenset(name.lower() for name, _ in each.ids)
        for each in known
        if each is not None and not each.refused
    }
    return Rung(came, {name: frozenset(sellers[name]) for name in came}, ids, period)


def _read(found: Iterable[Foreign]) -> Iterator[Came]:
    """Yield what each footprint says, the first content of each id unless another is accepted."""
    by_id: dict[tuple[str, str], list[Foreign]] = defaultdict(list)
    for each in found:
        by_id[each.partner, each.id].append(each)
    for contents in by_id.values():
        first = next((each for each in contents if each.accepted is not None), contents[0])
        seen = judged(first)
        if seen is None:
            continue
        products = frozenset(map(str.lower, seen.product_ids))
        try:
            yield Came(first.partner, first.id, products, read(first, seen))
        except UnusableError as error:
            yield Came(first.partner, first.id, products, None, str(error))


def _about(
    came: Came, products: Iterable[str], paired: Mapping[tuple[str, str], Pair]
) -> Iterator[tuple[str, Came]]:
    """Yield the products here that a footprint is about: by their URN, or by a pair."""
    for product in products:
        if product.lower() in came.products:
            yield product, came
    for name in sorted(came.products):
        pair = paired.get((came.partner, name))
        if pair is not None and pair.ours.lower() not in came.products:
            yield pair.ours, came._replace(by_pair=pair.theirs)


def _is_open(choice: Choice) -> bool:
    """Say whether an unsigned footprint goes before `choice` (SPEC 9.1)."""
    match choice:
        case Missing():
            return not choice.is_settled
        case Flagged():
            return choice.why.code == "expired"
        case Substituted():
            return choice.stated.factor.source != STATED
    return False


def _explained(choice: Choice, why_not: str, bought: Bought, consumer: Part) -> Choice:
    """Return what feeds an input with why no unsigned footprint does, where some came."""
    match choice:
        case Missing():
            return choice._replace(reason=f"{choice.reason}; {why_not}"[:MAX_TEXT_CHARS])
        case Flagged():
            return choice._replace(why=choice.why._replace(words=f"{choice.why.words}; {why_not}"))
        case Substituted():
            reason = f"{choice.stated.reason}; {why_not}"[:MAX_TEXT_CHARS]
            return substituted(replace(choice.stated, reason=reason), bought, consumer)
    return choice


def _bounded(choice: Choice, factor: Factor, unit: Unit) -> Choice:
    """Return a gap with what a footprint says that the rules do not allow: an estimate."""
    if not isinstance(choice, Missing) or choice.bound is not None:
        return choice
    return choice._replace(bound=_per(factor, unit))


def _per(factor: Factor, unit: Unit) -> Decimal:
    """Return kg CO2e per `unit`, which is of the factor's dimension, whichever the sign."""
    with exact():
        return abs(footprint.figures(factor.values).counted) * convert(ONE, unit, factor.unit)
