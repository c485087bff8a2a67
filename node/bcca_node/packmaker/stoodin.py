"""What stands in for statements in a roll-up: each with its kind, why, data set and version."""

import decimal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from bcca_node.packmaker.held import Held
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_protocol import footprint, shares
from bcca_protocol.graph import Graph
from bcca_protocol.partial import Bought, Part
from bcca_protocol.quantity import ZERO, arithmetic, number
from bcca_protocol.results import Edge, Substitute
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.substituted import is_unsigned_footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class StoodIn:
    """A bought line that a value feeds which no supplier signed, and kg CO2e that it adds.

    `amount` is in the unit of the value's factor.
    """

    product: str
    supplier: str
    consumer: Part
    amount: Decimal
    kg: Decimal
    substitute: Substitute

    @property
    def kg_per_unit(self) -> Decimal:
        """Kg CO2e per unit of the value's factor, excluding uptake."""
        return footprint.figures(self.substitute.factor.values).counted

    @property
    def is_unsigned(self) -> bool:
        """Whether it is the supplier's own footprint, which nobody signed (SPEC 9.10)."""
        return is_unsigned_footprint(self.substitute)


def stood_in(stated: FootprintRollUp, graph: Graph) -> Iterator[StoodIn]:
    """Yield what stands in, in the order of the manifest."""
    for edge in stated.manifest or ():
        substitute = edge.resolved.substitute
        if substitute is None:
            continue
        consumer, bought = _bought(edge, graph)
        amount = number(edge.amount)
        with decimal.localcontext(arithmetic()):
            kg = footprint.figures(substitute.factor.values).counted * amount
        yield StoodIn(
            product=bought.product,
            supplier=bought.origin,
            consumer=consumer,
            amount=amount,
            kg=kg,
            substitute=substitute,
        )


def idle(
    told: Iterable[OwnValue], stated: FootprintRollUp, graph: Graph, reached: Mapping[str, Held]
) -> tuple[OwnValue, ...]:
    """Return the own values that neither fill nor bound a gap; what was `reached` has names."""
    names = {each.part.product: each.part.name for each in reached.values()}
    edges = (edge for edge in stated.manifest or () if edge.resolved.commitment is None)
    used = {_bought(edge, graph)[1].product for edge in edges}
    return tuple(value for value in told if not any(value.is_for(urn, names) for urn in used))


def _bought(edge: Edge, graph: Graph) -> tuple[Part, Bought]:
    """Return who buys on an edge, and what."""
    consumer = graph.parts[graph.index[edge.consumer]]
    return consumer, next(each for each in consumer.bought if each.line == edge.line)


def unsigned_share(stated: FootprintRollUp) -> Decimal:
    """Return which share of the gross total unsigned footprints give, 0 to 1 (SPEC 8.7)."""
    weights = stated.weights
    absolute = number(weights.absolute)
    with decimal.localcontext(arithmetic()):
        return shares.unsigned(weights) / absolute if absolute else ZERO


def default_share(stated: FootprintRollUp) -> Decimal:
    """Return which share of the gross total is filled by defaults, 0 to 1 (SPEC 8.6)."""
    weights = stated.weights
    absolute = number(weights.absolute)
    with decimal.localcontext(arithmetic()):
        return number(weights.default) / absolute if absolute else ZERO
