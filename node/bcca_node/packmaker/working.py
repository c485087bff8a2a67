"""Numbers with their working, as on paper: each can be computed again by hand, to the last digit.

Operations are decimal128, one after the other from the left, in the order of SPEC 7.1 and 9.3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from bcca_protocol import activity, footprint, own
from bcca_protocol.demand import Demand
from bcca_protocol.graph import Graph, Term
from bcca_protocol.inventory import Activity
from bcca_protocol.loops import WAYS_SEEN
from bcca_protocol.own import Scale
from bcca_protocol.partial import Part
from bcca_protocol.quantity import ONE, ZERO, convert, exact, number, plain
from bcca_protocol.statement import PartialFootprint

KG = "kg CO2e"
Operation = Literal["x", "/"]


class Operand(NamedTuple):
    """One number of a working: what is done with it, its unit, and what it is."""

    operation: Operation
    value: Decimal
    unit: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A number and how it comes about; the first operand is multiplied with 1."""

    operands: tuple[Operand, ...]
    unit: str

    @property
    def value(self) -> Decimal:
        """The number."""
        with exact():
            first, *others = self.operands
            found = first.value
            for each in others:
                found = found * each.value if each.operation == "x" else found / each.value
            return found

    def tell(self) -> str:
        """Return the working on one line."""
        words = [_operand(self.operands[0])]
        words += [f"{each.operation} {_operand(each)}" for each in self.operands[1:]]
        return f"{' '.join(words)} = {plain(self.value)} {self.unit}"

    def as_json(self) -> dict[str, object]:
        """Return the same for programs, numbers as decimal strings."""
        return {
            "operands": [
                {
                    "operation": each.operation,
                    "value": plain(each.value),
                    "unit": each.unit,
                    "what": each.what,
                }
                for each in self.operands
            ],
            "value": plain(self.value),
            "unit": self.unit,
        }


def own_line(statement: PartialFootprint, line: Activity) -> Working:
    """Return kg CO2e of one own line per declared unit, excluding uptake, its sign kept."""
    with exact():
        scale = Scale.of(statement, own.mass_of(statement))
        unit = line.factor.unit
        amount = activity.converted(line, number(line.amount), unit)
    written = "amount" if unit == line.unit else f"amount, {line.amount} {line.unit} as written"
    counted = footprint.figures(line.factor.values).counted
    operands = [
        Operand("x", amount, unit, written),
        Operand("x", counted, f"{KG}/{unit}", f"factor {line.factor.dataset}"),
    ]
    if line.joint:
        operands.append(Operand("x", scale.share, "", "share of the joint process"))
    if not scale.declared == scale.output == ONE:
        unit = statement.declared_unit.unit
        operands.append(Operand("x", scale.declared, unit, "declared unit"))
        operands.append(Operand("/", scale.output, unit, "output"))
    return Working(operands=tuple(operands), unit=KG)


def in_amount(kg: Decimal, part: Part, needed: Decimal, what: str) -> Working:
    """Return kg CO2e per declared unit of a part as kg CO2e of all that is needed of it."""
    operands = [Operand("x", kg, KG, what), Operand("x", needed, part.unit, "needed in all")]
    if part.declared != ONE:
        operands.append(Operand("/", part.declared, part.unit, "declared unit"))
    return Working(operands=tuple(operands), unit=KG)


def taken(graph: Graph, consumer: int, term: Term, needed: Decimal) -> Working:
    """Return how much of a supplier's product `needed` of the consumer's takes on one line."""
    part, supplier = graph.parts[consumer], graph.parts[term.supplier]
    bought = part.bought[term.line]
    with exact():
        amount = convert(bought.amount, bought.unit, supplier.unit, mass_kg=supplier.piece_kg)
    written = "amount of the line"
    if bought.unit != supplier.unit:
        written = f"{written}, {plain(bought.amount)} {bought.unit} as written"
    operands = [Operand("x", amount, supplier.unit, written)]
    if bought.yield_ != ONE:
        operands.append(Operand("/", bought.yield_, "", "yield"))
    operands.append(Operand("x", needed, part.unit, f"needed of {part.name}"))
    operands.append(Operand("/", part.output, part.unit, "output"))
    if term.share != ONE:
        operands.append(Operand("x", term.share, "", "share of the joint process"))
    return Working(operands=tuple(operands), unit=supplier.unit)


def asked(graph: Graph, needed: Demand, consumer: int, term: Term) -> Iterator[Working]:
    """Yield what a line takes in all: apart for each way in which the root sees its stages."""
    for way in WAYS_SEEN:
        amount = needed.seen.get((consumer, way), ZERO)
        if amount:
            yield taken(graph, consumer, term, amount)


def added(values: Sequence[Decimal]) -> Decimal:
    """Return a sum in decimal128, in its order."""
    with exact():
        return sum(values, ZERO)


def _operand(each: Operand) -> str:
    unit = f" {each.unit}" if each.unit else ""
    return f"{plain(each.value)}{unit} ({each.what})"
