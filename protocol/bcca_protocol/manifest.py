"""A roll-up as its maker states it: totals, weights and manifest from the graph (SPEC 8, 9.6)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from bcca_protocol import footprint, shares, uncertainty
from bcca_protocol.aggregate import Totals
from bcca_protocol.demand import Demand
from bcca_protocol.footprint import Footprint
from bcca_protocol.graph import Source
from bcca_protocol.inventory import Amount, Interval
from bcca_protocol.issue import UNSET_NONCE
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.partial import Bought, Part
from bcca_protocol.period import validity
from bcca_protocol.quantity import exact, number, plain
from bcca_protocol.results import Edge, Gap, QualitySums, ReadLog, Resolved, Weights
from bcca_protocol.rules import RuleSet, neutral
from bcca_protocol.statement import FootprintRollUp, Method, Producer, Product, Sharing, Site
from bcca_protocol.substituted import Substituted

Bounds: TypeAlias = Mapping[tuple[str, str], str]
"""What gaps are bounded by, as written: kg CO2e for all of it, by consumer and line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a roll-up says beside its numbers; `rules` are the neutral ones if not given."""

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
    rules: RuleSet = field(default_factory=neutral)


def state(
    totals: Totals, needed: Demand, frame: Frame, bounds: Bounds | None = None
) -> FootprintRollUp:
    """Return the roll-up of `needed.amount` of the root's product, its nonce not yet set.

    Without `bounds`, gaps are bounded by what the graph knows of them. The same statements and the
    same frame give the same bytes (SPEC 9.6).
    """
    root = needed.root
    part = totals.graph.parts[root]
    with exact():
        scale = _Scale(needed.amount, part.declared)
        tally = {name: scale.apply(kg) for name, kg in totals.tally(root).items()}
        location = totals.table.has_location
        edges = tuple(_edges(totals, needed, bounds))
        cells = scale.all(totals.footprint(root))
        spreads = uncertainty.spreads(totals, needed)
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
            footprint=footprint.encode(cells),
            location_footprint=(
                footprint.encode(scale.all(totals.footprint(root, "location")))
                if location
                else None
            ),
            exempted_percent=plain(shares.exempted_percent(tally["absolute"], tally["excluded"])),
            weights=_weights(tally, edges),
            uncertainty=uncertainty.stated(footprint.total(cells), spreads, part),
            rules=frame.rules.named(),
            reference_date=frame.reference_date,
            logs=frame.logs,
            incomplete=root in totals.incomplete,
            manifest=edges,
        )


class _Scale:
    """From one declared unit to the roll-up's amount: x amount / declared, each rounded."""

    def __init__(self, amount: Decimal, declared: Decimal) -> None:
        self._amount = amount
        self._declared = declared

    def apply(self, kg: Decimal) -> Decimal:
        return kg if self._amount == self._declared else kg * self._amount / self._declared

    def all(self, values: Footprint) -> Footprint:
        return {cell: self.apply(kg) for cell, kg in values.items()}


def _edges(totals: Totals, needed: Demand, bounds: Bounds | None) -> Iterator[Edge]:
    """Yield every input of every part reached, parts in their order, lines as written."""
    graph = totals.graph
    for index in sorted(totals.vectors):
        part = graph.parts[index]
        fed = {term.line: term for term in graph.terms[index]}
        for line, bought in enumerate(part.bought):
            if line in fed:
                amount = needed.edges[index, line]
                resolved = _fed_by(graph.sources[fed[line].supplier])
            elif bought.line in graph.missing[index]:
                amount = _unfed(bought, part, needed.amounts[index])
                known = graph.bounds.get((index, bought.line))
                if bounds is not None:
                    bound = bounds.get((part.commitment, bought.line))
                else:
                    bound = None if known is None else plain(abs(known) * amount)
                reason = graph.missing[index][bought.line][:MAX_TEXT_CHARS]
                resolved = Resolved(gap=Gap(reason=reason, bound=bound))
            else:
                continue
            yield Edge(
                consumer=part.commitment,
                line=bought.line,
                amount=plain(amount),
                resolved=resolved,
            )


def _fed_by(source: Source) -> Resolved:
    if isinstance(source, Substituted):
        return Resolved(substitute=source.stated)
    return Resolved(commitment=source.fact.commitment)


def _unfed(bought: Bought, part: Part, amount: Decimal) -> Decimal:
    """Return how much of an input that nothing feeds is needed, in the line's own unit."""
    needed = bought.amount / bought.yield_ * amount / part.output
    return needed * bought.share


def _validity(totals: Totals, period: Interval) -> Interval:
    """Return the validity: no longer than that of the earliest input, or three years (SPEC 8.2).

    What had expired before says nothing of how long the rest is valid.
    """
    ends = (
        totals.graph.parts[index].validity.end
        for index in totals.vectors
        if index not in totals.expired
    )
    return Interval(start=period.start, end=min(validity(period, None).end, *ends))


def _weights(tally: Mapping[str, Decimal], edges: Iterable[Edge]) -> Weights:
    gaps = (edge.resolved.gap for edge in edges)
    bounds = (number(gap.bound) for gap in gaps if gap is not None and gap.bound is not None)
    return Weights(
        absolute=plain(tally["absolute"]),
        primary=plain(tally["primary"]),
        primary_amount=plain(tally["primary_amount"]),
        primary_factor=plain(tally["primary_factor"]),
        signed=plain(tally["absolute"] - tally["unsigned"]),
        introduced=plain(tally["introduced"]),
        limited=plain(tally["limited"]),
        reasonable=plain(tally["reasonable"]),
        default=plain(tally["default"]),
        gap_bound=plain(sum(bounds, tally["gap_bound"])),
        quality=QualitySums(
            covered=plain(tally["covered"]),
            technological=plain(tally["technological"]),
            geographical=plain(tally["geographical"]),
            temporal=plain(tally["temporal"]),
        ),
    )
