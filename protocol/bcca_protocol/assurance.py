"""Opinions of third parties weighed: which count, for which statements, and how much (SPEC 8.4)."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, NamedTuple, TypeGuard

import msgspec

from bcca_protocol import period
from bcca_protocol.aggregate import Totals
from bcca_protocol.cumulative import Leaf
from bcca_protocol.demand import Demand
from bcca_protocol.facts import Fact
from bcca_protocol.graph import Graph, Source
from bcca_protocol.own import Handed
from bcca_protocol.quantity import ZERO, exact
from bcca_protocol.rollup import Opinion
from bcca_protocol.verify import Verified, VerifiedLog

Level = Literal["limited", "reasonable"]
GOOD = ("unmodified", "modified")


class Weighed(NamedTuple):
    """What an opinion says of one statement: it counts where `why_not` is empty.

    An adverse one of a verifier that is believed and independent `is_adverse`.
    """

    opinion: Opinion
    statement: str
    why_not: str
    is_adverse: bool

    def tell(self) -> str:
        """Return it in words."""
        said = self.opinion.statement
        what = (
            f"opinion {self.opinion.commitment} of {self.opinion.issuer} on {self.statement}: "
            f"{said.conclusion}, {said.level} assurance of {said.covers}"
        )
        return f"{what}; it does not count: {self.why_not}" if self.why_not else what


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """With whose eyes opinions are weighed.

    `verifiers` are the origins that are believed, None where that is not asked. `logs` are those
    at hand, of which the entries up to `sizes` are looked at, all of a log that is not there; it
    is `at`, a time as statements write it.
    """

    verifiers: Collection[str] | None
    logs: Mapping[str, VerifiedLog]
    sizes: Mapping[str, int]
    at: str

    def keys(self, origin: str) -> frozenset[bytes]:
        """Return every public key that a log has, or had."""
        log = self.logs.get(origin)
        if log is None:
            return frozenset()
        size = self.sizes.get(origin, log.history.size)
        own = (each.key.public for each in log.history.keys if each.added < size)
        return frozenset((*own, log.head.key.public))


class Assured(NamedTuple):
    """What opinions say of a roll-up and of what it was made from, with one reader's eyes.

    `kg` is what counts by level, gross, of the amount that was added up.
    """

    weighed: tuple[Weighed, ...]
    kg: Mapping[Level, Decimal]


Opinions = Iterable[Verified[Opinion]]


def is_opinion(found: Verified[Fact]) -> TypeGuard[Verified[Opinion]]:
    """Say whether a fact is an opinion."""
    return isinstance(found.fact, Opinion)


def weigh(opinions: Opinions, about: Mapping[str, Source], reader: Reader) -> list[Weighed]:
    """Return what each opinion says of each of the statements `about` that it names."""
    return [
        _weighed(each, about[name], reader)
        for each in sorted(opinions, key=lambda one: one.fact.commitment)
        for name in dict.fromkeys(each.fact.statement.about)
        if name in about
    ]


def levels(weighed: Iterable[Weighed]) -> dict[str, Level]:
    """Return the highest level of assurance of each statement that an opinion counts for."""
    found: dict[str, Level] = {}
    for each in weighed:
        if not each.why_not and found.get(each.statement) != "reasonable":
            found[each.statement] = each.opinion.statement.level
    return found


def with_levels(graph: Graph, assured: Mapping[str, Level]) -> Graph:
    """Return a graph in which statements hand on what of them is assured, and how (SPEC 8.6)."""
    if not assured:
        return graph
    parts = list(graph.parts)
    for name, level in assured.items():
        index = graph.index.get(name)
        if index is not None:
            handed = _handed(parts[index].handed, parts[index].tally.absolute, level)
            parts[index] = msgspec.structs.replace(parts[index], handed=handed)
    return replace(graph, parts=tuple(parts))


def still(handed: Handed | None, absolute: Decimal) -> Handed | None:
    """Return what a partial footprint hands on once `absolute` is what is left of its lines."""
    if handed is None or not (handed.limited or handed.reasonable):
        return handed
    return _handed(None, absolute, "limited" if handed.limited else "reasonable")


def confirmed(totals: Totals, needed: Demand, assured: Mapping[str, Level]) -> dict[Level, Decimal]:
    """Return gross kg CO2e of the amount needed by level of assurance, as far as `assured` says.

    What a roll-up says of itself, and no opinion here is about, is its issuer's word, and counts.
    """
    found: dict[Level, Decimal] = {"limited": ZERO, "reasonable": ZERO}
    with exact():
        for index in sorted(totals.vectors):
            part, source = totals.graph.parts[index], totals.graph.sources[index]
            handed = source.fact.handed if isinstance(source, Leaf) else None
            level = assured.get(part.commitment)
            if level is not None:
                handed = _handed(handed, part.tally.absolute, level)
            if handed is None:
                continue
            scale = needed.amounts[index] / part.declared
            found["limited"] += handed.limited * scale
            found["reasonable"] += handed.reasonable * scale
    return found


def _handed(handed: Handed | None, absolute: Decimal, level: Level) -> Handed | None:
    """Return what is handed on where all of it is assured: what is reasonable is so already."""
    before = handed or Handed()
    if level == "reasonable":
        made = before._replace(limited=ZERO, reasonable=absolute)
    else:
        with exact():
            made = before._replace(limited=absolute - before.reasonable)
    return made if any(made) else None


def _weighed(found: Verified[Opinion], about: Source, reader: Reader) -> Weighed:
    reasons = [why for check in _CHECKS if (why := check(found, about, reader))]
    is_adverse = found.fact.statement.conclusion == "adverse" and len(reasons) == 1
    return Weighed(found.fact, about.fact.commitment, "; ".join(reasons), is_adverse)


def _listed(found: Verified[Opinion], _: Source, reader: Reader) -> str:
    known = reader.verifiers is None or found.fact.issuer in reader.verifiers
    return "" if known else f"the policy has no verifier {found.fact.issuer}"


def _standing(found: Verified[Opinion], _: Source, reader: Reader) -> str:
    if not found.is_current:
        return f"it is no longer current ({found.status or 'broken log'})"
    ends = min(found.fact.statement.expires, found.fact.validity.end, key=period.moment)
    if period.moment(ends) <= period.moment(reader.at):
        return f"it expired on {ends}"
    return ""


def _concluded(found: Verified[Opinion], _: Source, __: Reader) -> str:
    said = found.fact.statement.conclusion
    return "" if said in GOOD else f"its conclusion is {said}"


def _covering(found: Verified[Opinion], about: Source, _: Reader) -> str:
    """A roll-up does not show what of it is its maker's own."""
    is_whole = isinstance(about, Leaf) and found.fact.statement.covers == "own"
    return "it covers own lines, which a cumulative footprint does not show" if is_whole else ""


def _independent(found: Verified[Opinion], about: Source, reader: Reader) -> str:
    """No key, organisation or affiliation is shared with the producer (design: statement.md)."""
    said, part = found.fact.statement, about.fact
    who = f"{found.fact.issuer} and {part.issuer}"
    if found.fact.issuer == part.issuer or not reader.keys(found.fact.issuer).isdisjoint(
        reader.keys(part.issuer)
    ):
        return f"{who} share a key"
    shared = set(said.producer.ids or ()) & set(part.producer_ids)
    if shared:
        return f"{who} are one organisation, {min(shared)}"
    producer = {part.issuer, part.producer, *part.producer_ids}
    named = producer.intersection(said.independence.affiliations)
    return f"it says that it is affiliated with {min(named)}" if named else ""


_CHECKS: tuple[Callable[[Verified[Opinion], Source, Reader], str], ...] = (
    _listed,
    _standing,
    _concluded,
    _covering,
    _independent,
)
