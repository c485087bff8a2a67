"""A run's result seen from every side: rows that sum to the signed total, shares, references.

For people. Rows are decimal128 sums; what rounding leaves in their last digits is settled in the
largest of them, so that every set of rows gives the total exactly.
"""

import decimal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from bcca_node.packmaker import batteries, explain, working
from bcca_node.packmaker.recalled import Recalled
from bcca_node.packmaker.simulation import Simulated, simulate
from bcca_protocol import balance, footprint, functional, shares, uncertainty
from bcca_protocol.balance import Balance
from bcca_protocol.errors import BccaError
from bcca_protocol.footprint import EXCLUDING_UPTAKE
from bcca_protocol.functional import Declared, Reference
from bcca_protocol.graph import Graph, Leaf, Source
from bcca_protocol.limits import MAX_DIGITS
from bcca_protocol.quantity import ONE, ZERO, exact
from bcca_protocol.shares import Shares
from bcca_protocol.statement import Site
from bcca_protocol.substituted import Substituted, is_unsigned_footprint
from bcca_protocol.uncertainty import Interval

SEED = 1  # of the simulation: whoever looks twice sees the same
NOT_STATED = "not stated"
UNSIGNED = "unsigned footprint"
MIIT = "kWh provided over life (MIIT)"
_WIDE = decimal.Context(prec=200)  # a sum of decimal128 numbers, every digit of it


class Row(NamedTuple):
    """One part of a result, kg CO2e excluding uptake; `label` is how people call it."""

    name: str
    label: str
    kg: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a result is made of. Each tuple of rows sums to `total`, the market-based result.

    `beside` are components that are shown and not in the total. `interval` and `simulated` are
    None where no statement gives a spread, or where one is wider than anything means.
    """

    total: Decimal
    by_location: Decimal
    stages: tuple[Row, ...]
    components: tuple[Row, ...]
    beside: tuple[Row, ...]
    suppliers: tuple[Row, ...]
    tiers: tuple[Row, ...]
    countries: tuple[Row, ...]
    kinds: tuple[Row, ...]
    shares: Shares
    references: tuple[Reference, ...]
    interval: Interval | None
    simulated: Simulated | None
    balance: Balance


def results(recalled: Recalled) -> Results:
    """Return all that a recalled roll-up says of its product."""
    cells = recalled.report.footprint
    components = footprint.by_component(cells)
    interval, simulated = _spread(recalled)
    graph, root = recalled.totals.graph, recalled.needed.root
    own = {each.part.commitment: each.kg for each in explain.by_product(recalled)}
    grouped = _Grouped(recalled, own)
    by_stage = footprint.by_stage(cells)
    return Results(
        total=recalled.total,
        by_location=recalled.by_location,
        stages=settled((Row(s, s, kg) for s, kg in by_stage.items()), recalled.total),
        components=settled((Row(c, c, components[c]) for c in EXCLUDING_UPTAKE), recalled.total),
        beside=tuple(
            Row(c, c, kg) for c, kg in components.items() if c not in EXCLUDING_UPTAKE and kg
        ),
        suppliers=grouped.by_supplier(),
        tiers=grouped.by_tier(),
        countries=grouped.by_country(),
        kinds=_ranked(by_kind(recalled), recalled.total),
        shares=shares.shares(recalled.statement.weights),
        references=_references(recalled),
        interval=interval,
        simulated=simulated,
        balance=balance.balance(graph, root, recalled.lines.get(graph.parts[root].commitment)),
    )


def tiers(graph: Graph, root: int) -> dict[int, int]:
    """Return by part how many purchases it is from the root, on the shortest way."""
    found, edge = {root: 0}, [root]
    while edge:
        nearer, edge = edge, []
        for index in nearer:
            for term in graph.terms[index]:
                if term.supplier not in found:
                    found[term.supplier] = found[index] + 1
                    edge.append(term.supplier)
    return found


def site_of(recalled: Recalled, source: Source) -> Site | None:
    """Return the site that a statement is about, None where it says none or nobody signed it."""
    if isinstance(source, Substituted):
        return None
    if isinstance(source, Leaf):
        return source.signed.fact.statement.site
    found = recalled.lines.get(source.fact.commitment)
    return None if found is None else found.site


def by_kind(recalled: Recalled) -> dict[str, Decimal]:
    """Return kg CO2e by kind of own line; what is no signed line is a kind of its own."""
    graph, needed = recalled.totals.graph, recalled.needed
    dropped = recalled.dropped()
    found: dict[str, Decimal] = {}
    for index in sorted(recalled.totals.vectors):
        part, source = graph.parts[index], graph.sources[index]
        amount = needed.amounts[index]
        statement = recalled.lines.get(part.commitment)
        lines: list[tuple[str, Decimal]] = []
        if isinstance(source, Substituted):
            kind = UNSIGNED if is_unsigned_footprint(source.stated) else "substitute"
            lines.append((kind, footprint.total(part.own)))
        elif isinstance(source, Leaf):
            lines.append(("cumulative", footprint.total(part.own)))
        elif statement is not None:
            lines += [
                (line.kind, working.own_line(statement, line).value)
                for at, line in enumerate(statement.activities)
                if (index, at) not in dropped
            ]
        with exact():
            for kind, kg in lines:
                found[kind] = found.get(kind, ZERO) + kg * amount / part.declared
    return found


def settled(rows: Iterable[Row], total: Decimal) -> tuple[Row, ...]:
    """Return `rows` with what they lack of `total` in the largest: the last of its digits."""
    found = list(rows)
    with decimal.localcontext(_WIDE):
        largest = max(found, key=lambda row: abs(row.kg), default=None)
        if largest is None or not largest.kg:
            return tuple(found)
        last = Decimal(1).scaleb(largest.kg.adjusted() - MAX_DIGITS + 1)
        found = [
            row._replace(kg=row.kg.quantize(last)) if (row.kg % last) else row for row in found
        ]
        place = max(range(len(found)), key=lambda i: abs(found[i].kg))
        left = total - sum((row.kg for row in found), ZERO)
        found[place] = found[place]._replace(kg=found[place].kg + left)
    return tuple(found)


class _Grouped:
    """What parts themselves add, put together in several ways."""

    def __init__(self, recalled: Recalled, own: Mapping[str, Decimal]) -> None:
        graph = recalled.totals.graph
        self._recalled = recalled
        self._own = [
            (index, graph.parts[index], own[graph.parts[index].commitment])
            for index in sorted(recalled.totals.vectors)
        ]

    def by_supplier(self) -> tuple[Row, ...]:
        names: dict[str, str] = {}
        sums: dict[str, Decimal] = {}
        with exact():
            for _, part, kg in self._own:
                who = part.issuer or f"{part.producer} (signed by nobody)"
                names.setdefault(who, part.producer if part.issuer else who)
                sums[who] = sums.get(who, ZERO) + kg
        return _ranked(sums, self._recalled.total, names)

    def by_tier(self) -> tuple[Row, ...]:
        distance = tiers(self._recalled.totals.graph, self._recalled.needed.root)
        sums: dict[int, Decimal] = {}
        with exact():
            for index, _, kg in self._own:
                sums[distance[index]] = sums.get(distance[index], ZERO) + kg
        rows = (Row(str(tier), str(tier), sums[tier]) for tier in sorted(sums))
        return settled(rows, self._recalled.total)

    def by_country(self) -> tuple[Row, ...]:
        sums: dict[str, Decimal] = {}
        with exact():
            for index, _, kg in self._own:
                source = self._recalled.totals.graph.sources[index]
                where = _country(self._recalled, source)
                sums[where] = sums.get(where, ZERO) + kg
        return _ranked(sums, self._recalled.total)


def _country(recalled: Recalled, source: Source) -> str:
    if isinstance(source, Substituted):
        where = source.stated.factor.geography
        return NOT_STATED if where == NOT_STATED else f"{where} (of a data set)"
    site = site_of(recalled, source)
    return NOT_STATED if site is None or site.country is None else site.country


def _ranked(
    sums: Mapping[str, Decimal], total: Decimal, labels: Mapping[str, str] | None = None
) -> tuple[Row, ...]:
    ranked = sorted(sums.items(), key=lambda item: (-abs(item[1]), item[0]))
    return settled((Row(name, (labels or {}).get(name, name), kg) for name, kg in ranked), total)


def _references(recalled: Recalled) -> tuple[Reference, ...]:
    """Return kg CO2e per functional unit; kWh over life by the draft EU rule and by MIIT's apart.

    How MIIT counts that energy was not read: it is as the battery's own figures have it.
    """
    cells, battery = recalled.report.footprint, recalled.statement.battery
    service = batteries.service(battery, recalled.rules)
    usable = None if battery is None else battery.usable_kwh
    try:
        kwh = functional.kwh_delivered(usable, service)
        over_life = Reference(unit=MIIT, kg=functional.miit(cells, kwh))
    except BccaError as error:
        over_life = Reference(unit=MIIT, kg=None, why_not=str(error))
    declared = Declared.of(recalled.statement)
    return (*functional.references(cells, declared, battery, service), over_life)


def _spread(recalled: Recalled) -> tuple[Interval | None, Simulated | None]:
    spreads = uncertainty.spreads(recalled.totals, recalled.needed)
    found = uncertainty.interval(recalled.total, spreads)
    if found is None or found.gsd == ONE:
        return None, None
    return found, simulate(recalled.total, spreads, found, seed=SEED)
