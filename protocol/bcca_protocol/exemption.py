"""What is cut off: the least of all own lines, as far as the rules allow (SPEC 9.11)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple

import msgspec

from bcca_protocol import assurance, own, spread, statement
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.cones import Known
from bcca_protocol.demand import Demand
from bcca_protocol.envelope import Envelope, pae
from bcca_protocol.errors import StatementError
from bcca_protocol.own import Scale
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ZERO, exact
from bcca_protocol.rollup import HUNDRED
from bcca_protocol.statement import PartialFootprint, PartialStatement
from bcca_protocol.verify import Verified

Statements = Mapping[str, PartialFootprint]


class Line(NamedTuple):
    """An own line of a part, its place there, and its gross kg CO2e in the root's amount."""

    part: int
    at: int
    name: str
    kg: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Totals without what was cut off; `dropped` in the order in which it was: least first.

    `gross` is the sum of all absolute contributions, in kg CO2e, before anything was dropped.
    """

    totals: Totals
    dropped: tuple[Line, ...]
    gross: Decimal


def statements_in(envelopes: Iterable[bytes]) -> dict[str, PartialFootprint]:
    """Return the partial footprints in verified envelopes, by commitment."""
    found = {}
    for data in envelopes:
        envelope = Envelope.parse(data)
        read = statement.decode(envelope.payload)
        if isinstance(read, PartialStatement):
            message = pae(envelope.payload_type, envelope.payload)
            found[hashlib.sha256(message).hexdigest()] = read.predicate
    return found


def cut_off(
    totals: Totals,
    needed: Demand,
    percent: Decimal,
    statements: Statements,
    known: Known | None = None,
) -> Cut:
    """Return `totals` without the least own lines, up to `percent` of the gross total.

    `statements` are those of the partial footprints reached; of 0 percent none are needed. Raises
    StatementError for one that is not here.
    """
    if not percent:
        return Cut(totals=totals, dropped=(), gross=ZERO)
    with exact():
        gross, lines = _lines(totals, needed, statements)
        dropped = _least(lines, gross * percent / HUNDRED)
        parts = list(totals.graph.parts)
        lost: dict[int, set[int]] = {}
        for line in dropped:
            lost.setdefault(line.part, set()).add(line.at)
        for index, without in lost.items():
            parts[index] = _trimmed(parts[index], statements[parts[index].commitment], without)
    if not dropped:
        return Cut(totals=totals, dropped=(), gross=gross)
    graph = replace(totals.graph, parts=tuple(parts))
    return Cut(totals=aggregate(graph, [needed.root], known), dropped=tuple(dropped), gross=gross)


def _lines(totals: Totals, needed: Demand, statements: Statements) -> tuple[Decimal, list[Line]]:
    """Return the gross total, and every own line reached: parts by number, lines as written."""
    gross = ZERO
    lines: list[Line] = []
    for index in sorted(totals.vectors):
        part, amount = totals.graph.parts[index], needed.amounts[index]
        if not isinstance(totals.graph.sources[index], Verified):
            gross += part.tally.absolute * amount / part.declared
            continue
        found = statements.get(part.commitment)
        if found is None:
            raise StatementError(
                f"cut-off: the lines of {part.commitment} of {part.issuer} are not here"
            )
        for at, kg in enumerate(own.contributions(found, _scale(found))):
            scaled = kg * amount / part.output
            gross += scaled
            lines.append(Line(index, at, found.activities[at].id, scaled))
    return gross, lines


def _least(lines: Iterable[Line], limit: Decimal) -> list[Line]:
    """Return the least lines whose sum is within `limit`; of equal ones the first written."""
    dropped: list[Line] = []
    running = ZERO
    for line in sorted(lines, key=attrgetter("kg")):  # stable
        running += line.kg
        if running > limit:
            break
        dropped.append(line)
    return dropped


def _trimmed(part: Part, found: PartialFootprint, without: set[int]) -> Part:
    """Return a part added up without some of its own lines, these counted as excluded."""
    scale = _scale(found)
    gross = own.contributions(found, scale)
    kept = tuple(line for at, line in enumerate(found.activities) if at not in without)
    trimmed = msgspec.structs.replace(found, activities=kept)
    market, tally = own.add_up(trimmed, scale)
    (excluded,) = scale.apply((sum((gross[at] for at in sorted(without)), ZERO),))
    return msgspec.structs.replace(
        part,
        own=market,
        own_by_location=(
            None if part.own_by_location is None else own.add_up_by_location(trimmed, scale)
        ),
        tally=tally._replace(excluded=tally.excluded + excluded),
        handed=assurance.still(part.handed, tally.absolute),
        spreads=spread.of_lines(trimmed, scale),
    )


def _scale(found: PartialFootprint) -> Scale:
    return Scale.of(found, own.mass_of(found))
