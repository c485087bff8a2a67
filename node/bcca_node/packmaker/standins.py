"""Factors that stand in for statements that are missing: the nearest first, ties told (SPEC 9.10).

Same technology and region, then another region (geographical 4 or 5), then a proxy (technological
5). A factor of CO2 alone, of another GWP or of another dimension stands in for nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from bcca_node.packmaker.factors import Entry, FactorSet
from bcca_protocol.allowing import refusal
from bcca_protocol.choices import StandIns
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import ONE, SCALES, convert, exact, plain
from bcca_protocol.results import Substitute
from bcca_protocol.rules import RuleSet

WIDE = frozenset({"GLO", "RoW", "World"})  # how databases call the whole world, or the rest of it
SAME_REGION = 1  # the rank of a country for one of its provinces
MAX_TIES_TOLD = 3  # more would hide the reason they stand in
_SECONDARY = "secondary, same technology"


class Place(NamedTuple):
    """How near a factor's geography is, 0 the nearest, and that in words."""

    rank: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of products and suppliers beside what is missing.

    `names` are of products by their URN; `region_of` says where an origin, at one of its sites if
    that is named, makes things: CN or CN-GD, None where nobody has said.
    """

    names: Mapping[str, str]
    region_of: Callable[[str, str | None], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A factor that may stand in, and how near it is: the smaller, the nearer."""

    of: str
    entry: Entry
    place: Place
    nearness: tuple[int, int, int, int, int]
    kg: Decimal  # per unit of the line


def stand_ins(sets: Iterable[FactorSet], rules: RuleSet, known: Known) -> StandIns:
    """Return who names the nearest factor for a line, with the reason; None where there is none.

    That is one that the rules allow if there is any. Another fills nothing: it bounds the gap.
    """
    return _StandIns(sets, rules, known)


def place_of(region: str | None, geography: str) -> Place:
    """Return how near `geography` is to where something is made."""
    made_in = region or "one not known"
    country = (region or "").partition("-")[0]
    if region == geography:
        return Place(0, f"same region ({geography})")
    if country == geography:
        return Place(SAME_REGION, f"same region ({geography} for {region})")
    if geography.partition("-")[0] == country:
        return Place(2, f"other region ({geography} for {region}; geographical 4)")
    if geography in WIDE:
        return Place(3, f"other region ({geography} for {made_in}; geographical 4)")
    if region is None:
        return Place(4, f"other region ({geography} for {made_in}; geographical 5)")
    return Place(5, f"other region ({geography} for {region}; geographical 5)")


class _StandIns:
    """What stands in for an input, each found once."""

    def __init__(self, sets: Iterable[FactorSet], rules: RuleSet, known: Known) -> None:
        """Take the sets, what the rules allow, and what is known."""
        self._rules = rules
        self._known = known
        self._offered = [
            (each.name, entry) for each in sets for entry in each.entries if entry.stands_for
        ]
        self._made: dict[tuple[object, ...], Substitute | None] = {}

    def __call__(self, consumer: Part, bought: Bought) -> Substitute | None:
        """Return the nearest factor, one that the rules allow if there is any; None for none."""
        asked = (bought.product, bought.origin, bought.site, bought.unit)
        key = (*asked, consumer.gwp, _year(consumer, bought))
        if key not in self._made:
            self._made[key] = self._nearest(consumer, bought)
        return self._made[key]

    def _nearest(self, consumer: Part, bought: Bought) -> Substitute | None:
        with exact():
            found = sorted(self._fitting(consumer, bought), key=_order)
        allowed = [each for each in found if self._allows(each, bought.product)]
        if not found:
            return None
        first, *others = allowed or found
        ties = [each for each in others if each.nearness == first.nearness]
        return Substitute(factor=first.entry.factor, reason=_reason(first, ties))

    def _allows(self, each: Candidate, product: str) -> bool:
        stated = Substitute(factor=each.entry.factor, reason=each.of)
        return refusal(stated, product, self._rules) is None

    def _fitting(self, consumer: Part, bought: Bought) -> Iterator[Candidate]:
        names = self._names(bought.product)
        region = self._known.region_of(bought.origin, bought.site)
        year = _year(consumer, bought)
        for name, entry in self._offered:
            exactness = _exactness(entry, names)
            if exactness is None or not _may_be_added(entry, consumer, bought):
                continue
            place = place_of(region, entry.factor.geography)
            age, is_later = (0, 0) if entry.year is None else _age(entry.year, year)
            yield Candidate(
                of=name,
                entry=entry,
                place=place,
                nearness=(entry.factor.kind == "proxy", place.rank, exactness, age, is_later),
                kg=entry.kg * convert(ONE, bought.unit, entry.factor.unit),
            )

    def _names(self, product: str) -> tuple[str, ...]:
        told = self._known.names.get(product)
        names = (product, product.rpartition(":")[2], *([told] if told else []))
        return tuple(name.casefold() for name in names)


def _may_be_added(entry: Entry, consumer: Part, bought: Bought) -> bool:
    """Say whether a factor may be added to a consumer's footprint at all.

    A gap is never zero, and what stands in for one never makes a total less than without it.
    """
    factor = entry.factor
    return (
        factor.gas == "co2e"
        and factor.gwp in (None, consumer.gwp)
        and SCALES[factor.unit].dimension == SCALES[bought.unit].dimension
        and entry.kg > 0
    )


def _exactness(entry: Entry, names: tuple[str, ...]) -> int | None:
    """Return which of a product's names an entry stands for: 0 its URN; None for none of them."""
    patterns = [each.casefold() for each in entry.stands_for]
    whole = [place for place, name in enumerate(names) if name in patterns]
    if whole:
        return whole[0]
    wild = [each for each in patterns if "*" in each]
    if any(fnmatchcase(name, each) for name in names for each in wild):
        return len(names)
    return None


def _age(year: int, wanted: int) -> tuple[int, int]:
    """Return how many years a factor is off, and whether it is later than what it stands in for."""
    return abs(wanted - year), int(year > wanted)


def _year(consumer: Part, bought: Bought) -> int:
    return int((bought.acquired or consumer.period).start[:4])


def _order(each: Candidate) -> tuple[object, ...]:
    """Return what sorts candidates: of equally near ones the highest, so that none flatters."""
    factor = each.entry.factor
    return (
        each.nearness,
        -each.kg,
        each.of,
        factor.dataset,
        factor.geography,
        factor.version or "",
        each.entry.row,
    )


def _reason(first: Candidate, ties: list[Candidate]) -> str:
    """Return in words why a factor stands in, and what else would as well."""
    kind = "proxy, technological 5" if first.entry.factor.kind == "proxy" else _SECONDARY
    words = f"{kind}, {first.place.words}; set {first.of}, {first.entry.licence}"
    if ties:
        named = ", ".join(map(_named, ties[:MAX_TIES_TOLD]))
        more = f" and {len(ties) - MAX_TIES_TOLD} more" if len(ties) > MAX_TIES_TOLD else ""
        words += f"; the highest of {len(ties) + 1} that are equally near: beside {named}{more}"
    return words[:MAX_TEXT_CHARS]


def _named(each: Candidate) -> str:
    factor = each.entry.factor
    return (
        f"{factor.dataset} ({each.of}, {factor.geography}, {plain(each.entry.kg)} per "
        f"{factor.unit})"
    )
