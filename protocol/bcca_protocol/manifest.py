"""A roll-up as its maker states it: totals, weights and manifest from the graph (SPEC 8, 9.6)."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from bcca_protocol import footprint
from bcca_protocol.aggregate import Totals
from bcca_protocol.columns import INTRODUCED
from bcca_protocol.demand import Demand
from bcca_protocol.errors import StatementError
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Choice, Chooser, Missing
from bcca_protocol.inventory import Amount, Interval
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import ZERO, exact, plain
from bcca_protocol.results import Edge, Gap, QualitySums, ReadLog, Resolved, Rules, Weights
from bcca_protocol.statement import FootprintRollUp, Method, Producer, Product, Sharing, Site
from bcca_protocol.verify import Verified

NEUTRAL_RULES = """\
name = "neutral"
version = "1"
cutOff = "nothing is cut off: every input of amount above zero is an edge or a gap"
missing = "a gap has no number and marks the total incomplete"
choice = "the pin, else the greatest overlap in time, else the latest earlier within validity"
electricity = "market-based, with the location-based result beside it where one is given"
"""
"""The one rule set of this version, as text; a roll-up names its digest."""

NOTHING_WITHHELD: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a roll-up says beside its numbers."""

    issuer: str
    product: Product
    producer: Producer
    site: Site | None
    batch: str | None
    method: Method
    sharing: Sharing
    period: Interval
    reference_date: str
    logs: tuple[ReadLog, ...]
    corrects: str | None = None


def neutral_rules() -> Rules:
    """Return how a roll-up names the neutral rule set."""
    return Rules(name="neutral", digest=hashlib.sha256(NEUTRAL_RULES.encode()).hexdigest())


def state(totals: Totals, needed: Demand, frame: Frame) -> FootprintRollUp:
    """Return the roll-up of `needed.amount` of the root's product, its nonce not yet set.

    The same statements and the same frame give the same bytes (SPEC 9.6).
    """
    root = needed.root
    part = totals.graph.parts[root]
    with exact():
        scale = _Scale(needed.amount, part.declared)
        tally = {name: scale.apply(kg) for name, kg in totals.tally(root).items()}
        location = totals.table.has_location
        return FootprintRollUp(
            issuer=frame.issuer,
            nonce=UNSET_NONCE,
            product=frame.product,
            producer=frame.producer,
            site=frame.site,
            batch=frame.batch,
            period=frame.period,
            validity=_validity(totals, frame.period),
            sharing=frame.sharing,
            corrects=frame.corrects,
            declared_unit=Amount(amount=plain(needed.amount), unit=part.unit),
            mass_kg=None if part.mass_kg is None else plain(scale.apply(part.mass_kg)),
            method=frame.method,
            footprint=footprint.encode(scale.all(totals.footprint(root))),
            location_footprint=(
                footprint.encode(scale.all(totals.footprint(root, "location")))
                if location
                else None
            ),
            exempted_percent=plain(_exempted(tally)),
            weights=_weights(tally),
            rules=neutral_rules(),
            reference_date=frame.reference_date,
            logs=frame.logs,
            incomplete=root in totals.incomplete,
            manifest=tuple(_edges(totals, needed)),
        )


class Stated:
    """Feeds each input as a manifest says, after checking that it may (SPEC 9.7)."""

    def __init__(
        self,
        edges: tuple[Edge, ...],
        facts: Mapping[str, Verified[Part]],
        rule: Chooser,
        withheld: Mapping[str, str] = NOTHING_WITHHELD,
    ) -> None:
        """Take the edges, the verified parts by commitment, and the rule that chooses of them.

        `withheld` has the issuers of parts that are not here, by commitment.
        """
        self._rule = rule
        self._edges = {(edge.consumer, edge.line): edge.resolved for edge in edges}
        self._facts = facts
        self._withheld = withheld
        if len(self._edges) != len(edges):
            raise StatementError("manifest: an input stands twice")

    def __call__(self, consumer: Part, bought: Bought) -> Choice:
        """Return what feeds `bought`; raises StatementError where the manifest may not say so."""
        resolved = self._edges.get((consumer.commitment, bought.line), _UNSTATED)
        what = f"manifest: line {bought.line} of {consumer.commitment}"
        if resolved.substitute is not None:
            raise StatementError(f"{what}: a substitute, which the neutral rules do not allow")
        if resolved.commitment is not None and resolved.commitment in self._withheld:
            return self._unseen(what, bought, resolved.commitment)
        if resolved.commitment is not None and resolved.commitment not in self._facts:
            raise StatementError(f"{what}: fed by {resolved.commitment}, which is not here")
        chosen = self._rule(consumer, bought)
        found = None if isinstance(chosen, Missing) else chosen.fact.commitment
        if found != resolved.commitment:
            raise StatementError(
                f"{what}: fed by {resolved.commitment or 'nothing'}, where the rules choose "
                f"{found or 'nothing'} of what is here"
                + (f": {chosen.reason}" if isinstance(chosen, Missing) else "")
            )
        if isinstance(chosen, Missing) and resolved.gap is not None:
            return Missing(resolved.gap.reason)
        return chosen

    def _unseen(self, what: str, bought: Bought, commitment: str) -> Missing:
        """Return that nothing here feeds an input; raises where what is withheld cannot feed it."""
        issuer = self._withheld[commitment]
        if issuer != bought.origin:
            raise StatementError(
                f"{what}: bought of {bought.origin}, fed by {commitment}, withheld as one of "
                f"{issuer}"
            )
        if bought.pinned not in (None, commitment):
            raise StatementError(
                f"{what}: fed by {commitment}, which is withheld, where it pins {bought.pinned}"
            )
        return Missing(f"{bought.product} of {bought.origin}: {commitment} is withheld")


_UNSTATED = Resolved()


class _Scale:
    """From one declared unit to the roll-up's amount: x amount / declared, each rounded."""

    def __init__(self, amount: Decimal, declared: Decimal) -> None:
        self._amount = amount
        self._declared = declared

    def apply(self, kg: Decimal) -> Decimal:
        return kg if self._amount == self._declared else kg * self._amount / self._declared

    def all(self, values: Footprint) -> Footprint:
        return {cell: self.apply(kg) for cell, kg in values.items()}


def _edges(totals: Totals, needed: Demand) -> Iterator[Edge]:
    """Yield every input of every part reached, parts in their order, lines as written."""
    graph = totals.graph
    for index in sorted(totals.vectors):
        part = graph.parts[index]
        fed = {term.line: term for term in graph.terms[index]}
        for line, bought in enumerate(part.bought):
            if line in fed:
                amount = needed.edges[index, line]
                resolved = Resolved(commitment=graph.parts[fed[line].supplier].commitment)
            elif bought.line in graph.missing[index]:
                amount = _unfed(bought, part, needed.amounts[index])
                resolved = Resolved(
                    gap=Gap(reason=graph.missing[index][bought.line][:MAX_TEXT_CHARS])
                )
            else:
                continue
            yield Edge(
                consumer=part.commitment,
                line=bought.line,
                amount=plain(amount),
                resolved=resolved,
            )


def _unfed(bought: Bought, part: Part, amount: Decimal) -> Decimal:
    """Return how much of an input that nothing feeds is needed, in the line's own unit."""
    needed = bought.amount / bought.yield_ * amount / part.output
    return needed * bought.share


def _validity(totals: Totals, period: Interval) -> Interval:
    """Return the validity: no longer than that of the earliest input (SPEC 8.2)."""
    end = min(totals.graph.parts[index].validity.end for index in totals.vectors)
    return Interval(start=period.start, end=end)


def _exempted(tally: Mapping[str, Decimal]) -> Decimal:
    """Return excluded / (modelled + excluded) in percent, gross (SPEC 8.5)."""
    whole = tally["absolute"] + tally["excluded"]
    return tally["excluded"] * 100 / whole if whole else ZERO


def _weights(tally: Mapping[str, Decimal]) -> Weights:
    return Weights(
        absolute=plain(tally["absolute"]),
        primary=plain(tally["primary"]),
        primary_amount=plain(tally["primary_amount"]),
        primary_factor=plain(tally["primary_factor"]),
        signed=plain(tally["absolute"]),  # every part is a signed statement in this version
        introduced=plain(tally[INTRODUCED]),
        limited="0",
        reasonable="0",
        default="0",
        gap_bound="0",
        quality=QualitySums(
            covered=plain(tally["covered"]),
            technological=plain(tally["technological"]),
            geographical=plain(tally["geographical"]),
            temporal=plain(tally["temporal"]),
        ),
    )
