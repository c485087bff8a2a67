"""A published result with all that stands behind it, verified again from what this node holds."""

from dataclasses import dataclass
from decimal import Decimal

from bcca_node.ledger.node import Node
from bcca_node.ledger.sign import predicate_of
from bcca_node.packmaker import bundling
from bcca_node.storage import statements
from bcca_protocol import footprint, period
from bcca_protocol.aggregate import Totals
from bcca_protocol.audit import OnStep, Report
from bcca_protocol.bundle import RecipeLine, StatementLine
from bcca_protocol.demand import Demand
from bcca_protocol.exemption import Line, Statements, statements_in
from bcca_protocol.recipe import revealed
from bcca_protocol.rules import RuleSet
from bcca_protocol.statement import FootprintRollUp
from bcca_protocol.wire import unb64


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A roll-up, the report on its evidence, and each partial footprint in it line by line.

    `lines` is by commitment; nothing is withheld from the node that made the roll-up, and a secret
    recipe stands in `statement`.
    """

    commitment: str
    report: Report
    statement: FootprintRollUp
    lines: Statements

    @property
    def totals(self) -> Totals:
        """What was added up."""
        return self.report.totals

    @property
    def needed(self) -> Demand:
        """What the amount needs."""
        return self.report.needed

    @property
    def rules(self) -> RuleSet:
        """The rules that were followed."""
        return self.report.rules

    @property
    def total(self) -> Decimal:
        """Kg CO2e of the amount, excluding uptake, as it was signed."""
        return self.report.total

    @property
    def by_location(self) -> Decimal:
        """Kg CO2e with every power line at its grid's factor; the same where none gives one."""
        located = self.statement.location_footprint
        return self.total if located is None else footprint.total(footprint.decode(located))

    def dropped(self) -> frozenset[tuple[int, int]]:
        """Return the own lines that were cut off: part, and place among its lines."""
        return frozenset((each.part, each.at) for each in self._dropped())

    def _dropped(self) -> tuple[Line, ...]:
        repeated = self.report.repeated
        return () if repeated is None else repeated.cut.dropped


def recall(node: Node, product: str, *, on_step: OnStep = lambda _: None) -> Recalled:
    """Return the newest published roll-up of `product`, everything in it checked again.

    Nobody is asked. Raises what `bundling.make` and `bundling.check` raise.
    """
    made = bundling.make(node, product, made=period.text_at(node.clock()), recipient=node.origin)
    report = bundling.check(node, made, on_step=on_step)
    name = made.header.roll_up
    statement = report.evidence.roll_ups()[name].fact.statement
    for each in made.body:
        if isinstance(each, RecipeLine):
            statement = revealed(statement, each.recipe)
    shown = (each for each in made.body if isinstance(each, StatementLine))
    return Recalled(
        commitment=name,
        report=report,
        statement=statement,
        lines=statements_in(unb64(each.envelope, "bundle: envelope") for each in shown),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The roll-up that another one corrects or follows: its total for so much of a unit."""

    commitment: str
    total: Decimal
    amount: str
    unit: str


def before(node: Node, recalled: Recalled) -> Before | None:
    """Return what was declared before a roll-up, None where it corrects and follows nothing."""
    name = recalled.statement.corrects or recalled.statement.follows
    if name is None:
        return None
    with node.database.read() as session:
        found = statements.get(session, name)
    earlier = None if found is None else predicate_of(found.envelope)
    if not isinstance(earlier, FootprintRollUp):
        return None
    return Before(
        commitment=name,
        total=footprint.total(footprint.decode(earlier.footprint)),
        amount=earlier.declared_unit.amount,
        unit=earlier.declared_unit.unit,
    )
