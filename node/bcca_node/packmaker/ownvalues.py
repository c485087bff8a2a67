"""Values that a pack maker states itself for what it buys, and what they may take the place of.

They fill what is missing. Over a signed statement one goes only if that is said with it, and the
manifest says so too.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from bcca_protocol import footprint
from bcca_protocol.allowing import Called, called, refusal
from bcca_protocol.choices import Choice, Chooser, Missing, StandIns
from bcca_protocol.choosing import fitted
from bcca_protocol.errors import UnusableError
from bcca_protocol.footprint import Components
from bcca_protocol.inventory import Factor
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import ONE, SCALES, Unit, convert, exact
from bcca_protocol.results import Substitute
from bcca_protocol.rules import RuleSet
from bcca_protocol.substituted import over, substituted
from bcca_protocol.wire import showable

STATED = "stated by the maker"  # the source of an own value: rules may name it
MAX_TOLD = 20  # products of a list in one sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnValue:
    """Kg CO2e per `unit`, the line's unless told, for a product by its URN, last part or name.

    `replaces` says that it goes over a signed statement too.
    """

    asked: str
    kg: str
    unit: Unit | None
    reason: str
    replaces: bool = False

    def is_for(self, urn: str, names: Mapping[str, str]) -> bool:
        """Say whether it was asked for this product; `names` are those of products by URN."""
        return self.asked in (urn, urn.rpartition(":")[2], names.get(urn))


@dataclass(frozen=True, slots=True)
class _Line:
    consumer: Part
    bought: Bought
    choice: Choice


class Terms(NamedTuple):
    """What rules allow, of products that are called so by the statements at hand."""

    rules: RuleSet
    known: Called


class Filled:
    """A chooser whose gaps are filled: by own values, else by what stands in.

    A value that the rules do not allow fills no gap, and bounds it.
    """

    def __init__(
        self, choose: Chooser, own: Mapping[str, OwnValue], stand_in: StandIns, terms: Terms
    ) -> None:
        """Take who chooses among statements, own values by product, and who else stands in."""
        self._choose = choose
        self._own = own
        self._stand_in = stand_in
        self._rules, self._known = terms

    def __call__(self, consumer: Part, bought: Bought) -> Choice:
        """Return what feeds `bought`."""
        choice = self._choose(consumer, bought)
        value = self._own.get(bought.product)
        if not bought.amount:  # never a gap; but what a value goes over feeds nothing at all
            return choice if value is None or not value.replaces else Missing(value.reason)
        if value is not None and (value.replaces or not _is_signed(choice)):
            stated = _stated(value, bought, _why(value, choice))
            return self._fitting(choice, stated, consumer, bought)
        if isinstance(choice, Missing) and not choice.is_settled:
            found = self._stand_in(consumer, bought)
            return choice if found is None else self._fitting(choice, found, consumer, bought)
        return choice

    def _fitting(
        self, choice: Choice, stated: Substitute, consumer: Part, bought: Bought
    ) -> Choice:
        why_not = refusal(stated, bought.product, self._rules, self._known)
        if why_not is None:
            return fitted(substituted(stated, bought, consumer), bought)
        if isinstance(choice, Missing):
            reason = f"{choice.reason}; {why_not}; its value bounds the gap"
            return choice._replace(reason=reason, bound=_per_unit(stated.factor, bought.unit))
        return choice


def filled(
    choose: Chooser,
    parts: Iterable[Part],
    told: Sequence[OwnValue],
    stand_in: StandIns,
    rules: RuleSet,
) -> Chooser:
    """Return `choose` with its gaps filled; `parts` are those whose inputs are fed.

    An own value of nothing that is bought waits where something is missing, which may buy it.
    Raises UnusableError for it where nothing is, for one of several products, of a unit that does
    not fit, and for one that would silently go over a signed statement.
    """
    parts = list(parts)
    known = called(parts, rules)
    if not told:
        return Filled(choose, {}, stand_in, Terms(rules, known))
    names = {part.product: part.name for part in parts}
    lines: dict[str, list[_Line]] = defaultdict(list)
    for part in parts:
        for bought in part.bought:
            if bought.amount:
                lines[bought.product].append(_Line(part, bought, choose(part, bought)))
    own: dict[str, OwnValue] = {}
    for value in told:
        product = _product(value, lines, names)
        if product is None:
            continue
        if product in own:
            raise UnusableError(f"{_what(value)}: {product} has two values; give it one")
        _check(value, product, lines[product], Terms(rules, known))
        own[product] = value
    return Filled(choose, own, stand_in, Terms(rules, known))


def _product(
    value: OwnValue, lines: Mapping[str, Sequence[_Line]], names: Mapping[str, str]
) -> str | None:
    """Return the product that a value is for; None where what buys it may be missing."""
    if value.asked in lines:
        return value.asked
    found = sorted(urn for urn in lines if value.is_for(urn, names))
    match found:
        case [only]:
            return only
        case []:
            if any(not _is_signed(line.choice) for each in lines.values() for line in each):
                return None
            raise UnusableError(
                f"{_what(value)}: nothing of that name is bought here, and nothing is missing"
            )
        case _:
            raise UnusableError(
                f"{_what(value)}: it fits several products, say which: {_listed(found)}"
            )


def _check(value: OwnValue, product: str, lines: Sequence[_Line], terms: Terms) -> None:
    """Refuse a value that is silently over a statement, or whose unit is not the lines'."""
    signed = [line.choice for line in lines if _is_signed(line.choice)]
    if len(signed) == len(lines) and not value.replaces:
        raise UnusableError(
            f"{_what(value)}: {product} has {_told(signed[0])}, which an own value does not "
            f"replace unasked; write {value.asked}!={value.kg} to put it over that"
        )
    units = sorted({line.bought.unit for line in lines})
    if value.unit is None and len(units) > 1:
        raise UnusableError(
            f"{_what(value)}: {product} is bought in {' and '.join(units)}; say the unit behind "
            "the value"
        )
    for unit in units:
        own = value.unit or unit
        if SCALES[own].dimension != SCALES[unit].dimension:
            raise UnusableError(
                f"{_what(value)}: a value per {own} ({SCALES[own].dimension}), where {product} is "
                f"bought in {unit} ({SCALES[unit].dimension})"
            )
    why_not = refusal(_stated(value, lines[0].bought, value.reason), product, *terms)
    if value.replaces and why_not is not None:
        raise UnusableError(f"{_what(value)}: {why_not}")


def _per_unit(factor: Factor, unit: Unit) -> Decimal:
    """Return kg CO2e per `unit`, which is of the factor's dimension, whichever the sign."""
    with exact():
        return abs(footprint.figures(factor.values).counted) * convert(ONE, unit, factor.unit)


def _stated(value: OwnValue, bought: Bought, reason: str) -> Substitute:
    factor = Factor(
        dataset=f"own value for {bought.product}"[:MAX_TEXT_CHARS],
        gas="co2e",
        geography="not stated",
        kind="secondary",
        source=STATED,
        unit=value.unit or bought.unit,
        values=Components(fossil=value.kg),
    )
    return Substitute(factor=factor, reason=reason)


def _why(value: OwnValue, choice: Choice) -> str:
    """Return the reason of a value, with what it goes over in front (SPEC 9.10)."""
    replaced = choice.here if isinstance(choice, Missing) else (choice.fact.commitment,)
    if not replaced or not _is_signed(choice):
        return value.reason
    return over(replaced, value.reason)[:MAX_TEXT_CHARS]


def _told(choice: Choice) -> str:
    if isinstance(choice, Missing):
        return choice.reason
    return f"the signed statement {choice.fact.commitment}"


def _is_signed(choice: Choice) -> bool:
    """Say whether a statement is here, be it one that cannot be used."""
    return choice.is_settled if isinstance(choice, Missing) else True


def _what(value: OwnValue) -> str:
    return f"--substitute {showable(value.asked[:200])}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
    return ", ".join(names[:MAX_TOLD]) + more
