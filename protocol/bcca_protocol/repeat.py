"""A roll-up repeated from the statements at hand (SPEC 11.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType

import msgspec
from msgspec import to_builtins

from bcca_protocol import assurance, claims, footprint, manifest
from bcca_protocol.aggregate import Totals, aggregate, is_lacking
from bcca_protocol.assurance import Reader, with_levels
from bcca_protocol.cumulative import leaf
from bcca_protocol.demand import Demand, demand
from bcca_protocol.errors import StatementError
from bcca_protocol.evidence import Evidence
from bcca_protocol.exemption import Cut, Statements, cut_off
from bcca_protocol.facts import Fact
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Graph, Leaf, Offer, connect
from bcca_protocol.manifest import Frame
from bcca_protocol.quantity import number
from bcca_protocol.rollup import RollUp
from bcca_protocol.rules import RuleSet
from bcca_protocol.stated import Stated
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.substituted import replaced_in
from bcca_protocol.trees import are_opinions_read
from bcca_protocol.verify import Verified
from bcca_protocol.withheld import Hidden

NO_STATEMENTS: Statements = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """What was added up of a roll-up: everything, or all that reaches it through what is here.

    `footprint` is of the amount that the roll-up is about, as `needed` is; `cut` says what the
    rules cut off.
    """

    cut: Cut
    needed: Demand
    footprint: Footprint

    @property
    def totals(self) -> Totals:
        """What was added up, without what was cut off."""
        return self.cut.totals


def repeat(
    rolled: RollUp,
    evidence: Evidence,
    hidden: Mapping[str, Hidden],
    rules: RuleSet,
    statements: Statements = NO_STATEMENTS,
) -> Repeated | None:
    """Return what `rolled` adds up to by `rules`; None if the part it begins with is withheld.

    None too if the rules cut off and something is `hidden`: what is least of all lines nobody can
    tell then. `statements` are wanted where the rules cut off. Raises StatementError where it
    differs, or claims of what is `hidden` what cannot be.
    """
    stated = rolled.statement
    if stated.manifest is None:
        raise StatementError("the roll-up has no manifest here: its numbers are its issuer's claim")
    offers = _at_hand(rolled, evidence)
    issuers = {name: each.line.origin for name, each in hidden.items()}
    graph = connect(offers, Stated(stated.manifest, offers, rolled.period, rules, issuers))
    root = _root(graph, rolled, issuers)
    if root is None:
        return None
    totals = _assured(rolled, evidence, aggregate(graph, [root]), root)
    needed = demand(totals, root, number(stated.declared_unit.amount))
    reached = {graph.parts[index].commitment for index in totals.vectors}
    bounds = {
        (edge.consumer, edge.line): edge.resolved.gap.bound
        for edge in stated.manifest
        if edge.resolved.gap is not None and edge.resolved.gap.bound is not None
    }
    if hidden and rules.cut_off_percent:
        made = manifest.state(totals, needed, _frame(stated, rules), bounds)
        claims.check_edges(stated, made, hidden, reached)
        return None
    cut = cut_off(totals, needed, rules.cut_off_percent, statements)
    made = manifest.state(cut.totals, needed, _frame(stated, rules), bounds)
    claims_more = bool(hidden) or are_opinions_read(stated, evidence)
    recomputed = made = _in_the_makers_eyes(made, stated, claims_more=claims_more)
    if hidden:
        lacking = any(is_lacking(graph.sources[index]) for index in totals.vectors)
        recomputed = claims.with_claims(stated, made, hidden, reached, lacking=lacking)
    _require_same(rolled, recomputed)
    return Repeated(cut=cut, needed=needed, footprint=footprint.decode(made.footprint))


def _at_hand(rolled: RollUp, evidence: Evidence) -> list[Offer]:
    """Return the statements here that stand in the trees that were read for `rolled`.

    What own values go over fed nothing, so that its tree need not be named.
    """
    read = {tree.origin: int(tree.size) for tree in rolled.statement.logs}
    aside = replaced_in(rolled.statement.manifest or ())
    parts = [e for name, e in evidence.parts().items() if name in aside or _is_read(e, read)]
    leaves = [
        leaf(each)
        for name, each in evidence.roll_ups().items()
        if name != rolled.commitment and (name in aside or _is_read(each, read))
    ]
    return [*parts, *leaves]


def _is_read(each: Verified[Fact], read: Mapping[str, int]) -> bool:
    return each.index < read.get(each.fact.issuer, 0)


def _require_same(rolled: RollUp, recomputed: FootprintRollUp) -> None:
    """Raise StatementError naming the first field in which a roll-up differs, with both values."""
    stated = rolled.statement
    uncomputed = {name: getattr(stated, name) for name in _UNCOMPUTED}
    recomputed = msgspec.structs.replace(recomputed, **uncomputed)
    if stated != recomputed:
        field, here, there = _first_difference("", to_builtins(stated), to_builtins(recomputed))
        raise StatementError(
            f"roll-up {rolled.commitment}: {field} is stated as {_shown(here)}, recomputed as "
            f"{_shown(there)}"
        )


def _assured(rolled: RollUp, evidence: Evidence, totals: Totals, root: int) -> Totals:
    """Return totals with what the opinions assure that the maker could count (SPEC 8.4)."""
    read = {tree.origin: int(tree.size) for tree in rolled.statement.logs}
    reader = Reader(
        verifiers=None, logs=evidence.logs, sizes=read, at=rolled.statement.reference_date
    )
    opinions = [each for each in evidence.opinions() if _is_read(each, read)]
    levels = assurance.levels(assurance.weigh(opinions, totals.sources(), reader))
    return aggregate(with_levels(totals.graph, levels), [root]) if levels else totals


def _in_the_makers_eyes(
    recomputed: FootprintRollUp, stated: FootprintRollUp, *, claims_more: bool
) -> FootprintRollUp:
    """Take over what depends on the policy, the maker's and the reader's: who was introduced.

    And whose opinions count: less than those here assure, and more where others may have been read.
    """
    here, there = recomputed.weights, stated.weights
    taken = {"introduced": there.introduced}
    for name in ("limited", "reasonable"):
        is_less = number(getattr(there, name)) <= number(getattr(here, name))
        if is_less or claims_more:
            taken[name] = getattr(there, name)
    weights = msgspec.structs.replace(here, **taken)
    return msgspec.structs.replace(recomputed, weights=weights)


_UNCOMPUTED = frozenset({"nonce", "follows", "materials", "carbon_content", "battery"})


def _root(graph: Graph, rolled: RollUp, issuers: Mapping[str, str]) -> int | None:
    """Return the part that the roll-up is about: same issuer, product, site, batch, period.

    None if it is not here, and something of the same issuer is withheld.
    """
    site = rolled.statement.site.id if rolled.statement.site else None
    wanted = (rolled.issuer, rolled.product, site, rolled.statement.batch, rolled.period)
    found = [
        index
        for index, part in enumerate(graph.parts)
        if not isinstance(graph.sources[index], Leaf)
        and (part.issuer, part.product, part.site, part.batch, part.period) == wanted
    ]
    if not found and rolled.issuer in issuers.values():
        return None
    if not found:
        raise StatementError(f"no partial footprint of {rolled.product} of {rolled.issuer} is here")
    if len(found) > 1:
        names = " and ".join(graph.parts[index].commitment for index in found)
        raise StatementError(f"{rolled.product} of {rolled.issuer}: two current parts, {names}")
    return found[0]


def _frame(stated: FootprintRollUp, rules: RuleSet) -> Frame:
    return Frame(
        issuer=stated.issuer,
        product=stated.product,
        producer=stated.producer,
        site=stated.site,
        batch=stated.batch,
        method=stated.method,
        sharing=stated.sharing,
        period=stated.period,
        reference_date=stated.reference_date,
        logs=stated.logs,
        corrects=stated.corrects,
        rules=rules,
    )


def _first_difference(field: str, here: object, there: object) -> tuple[str, object, object]:
    """Return the first field in which two values differ, and what each has there."""
    pairs: list[tuple[str, object, object]] = []
    match here, there:
        case dict(), dict():
            names = [*here, *(name for name in there if name not in here)]
            pairs = [(f"{field}.{name}", here.get(name), there.get(name)) for name in names]
        case tuple(), tuple():
            numbered = enumerate(zip_longest(here, there))
            pairs = [(f"{field}.{i}", one, other) for i, (one, other) in numbered]
    for name, one, other in pairs:
        if one != other:
            return _first_difference(name, one, other)
    return field.removeprefix("."), here, there


def _shown(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


_SHOWN_CHARS = 300
