"""What was collected, added up by the rules of an order (SPEC 9)."""

from collections.abc import Mapping
from dataclasses import dataclass

from bcca_node.ledger.node import Node
from bcca_node.packmaker import opinions
from bcca_node.packmaker.collect import Collected
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.order import Order
from bcca_node.storage import logs, seen
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.assurance import Weighed, levels, with_levels
from bcca_protocol.demand import Demand, demand
from bcca_protocol.exemption import Cut, Statements, cut_off, statements_in
from bcca_protocol.graph import Graph, connect, reconnect
from bcca_protocol.policy import VerifiedCheckpoint, verify_checkpoint
from bcca_protocol.rules import RuleSet
from bcca_protocol.substituted import Substituted


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sum:
    """What was collected for a root, added up by rules; `cut` says what they cut off.

    `lines` has the statements line by line where the rules cut off, by commitment; `weighed` is
    what opinions say of what was reached.
    """

    root: Held
    collected: Collected
    cut: Cut
    needed: Demand
    rules: RuleSet
    lines: Statements
    weighed: tuple[Weighed, ...] = ()

    @property
    def totals(self) -> Totals:
        """What was added up, without what was cut off."""
        return self.cut.totals


def add_up(node: Node, collected: Collected, root: Held, order: Order) -> Sum:
    """Return the totals upstream of `root` by the order's rules, and what its amount needs.

    The amount is one declared unit unless told.
    """
    rules, known = order.rules, None if order.last is None else order.last.known
    graph = _connected(collected, order)
    index = graph.index[root.part.commitment]
    totals = aggregate(graph, [index], known)
    weighed = _weighed(node, collected, totals, at=order.at)
    assured = levels(weighed)
    if assured:
        totals = aggregate(with_levels(totals.graph, assured), [index], known)
    amount = root.part.declared if order.amount is None else order.amount
    needed = demand(totals, index, amount, known)
    lines = _statements(node, collected) if rules.cut_off_percent else {}
    cut = cut_off(totals, needed, rules.cut_off_percent, lines, known)
    return Sum(
        root=root,
        collected=collected,
        cut=cut,
        needed=needed,
        rules=rules,
        lines=lines,
        weighed=weighed,
    )


def _connected(collected: Collected, order: Order) -> Graph:
    """Return what feeds what: of the graph of the last run, where it is known what changed since.

    Own values may feed what no statement fed before, so with them all is looked at.
    """
    offers, since = [each.signed for each in collected.reached.values()], collected.since
    if since is None or order.own_values:
        graph = connect(offers, collected.choose)
    else:
        graph = reconnect(since.graph, offers, collected.choose, since.changed)
    if order.last is not None and not order.own_values:
        order.last.graph = graph
    return graph


def _weighed(node: Node, collected: Collected, totals: Totals, *, at: int) -> tuple[Weighed, ...]:
    """Return what opinions say of what was reached, as of the trees that the roll-up names."""
    if not collected.opinions:
        return ()
    heads = heads_of(node, collected, totals, at)
    verifiers = node.trust.required().verifiers
    return opinions.weighed(collected, totals.sources(), heads, verifiers)


def _statements(node: Node, collected: Collected) -> Statements:
    """Return what was reached line by line: from its envelope, or from where that is kept."""
    envelopes: Mapping[str, bytes] = {n: e.envelope for n, e in collected.reached.items()}
    asked = (name for name, data in envelopes.items() if not data)
    with node.database.read() as session:
        kept = [each.envelope for each in seen.some(session, asked)]
    return statements_in((*filter(None, envelopes.values()), *kept))


def heads_of(node: Node, collected: Collected, totals: Totals, at: int) -> list[VerifiedCheckpoint]:
    """Return the heads that were read, by origin: of the own log the first that has it all.

    Else each roll-up would change the own log, and with it the next one.
    """
    graph = totals.graph
    issuers = {graph.parts[index].issuer for index in totals.vectors}
    issuers |= opinions.speakers(collected.opinions, totals.sources())
    read = {**collected.verifiers, **collected.logs}
    heads = {origin: each.log.head for origin, each in read.items() if origin in issuers}
    used = (graph.sources[index] for index in totals.vectors)
    signed = (each for each in used if not isinstance(each, Substituted))
    own = [each.index for each in signed if each.fact.issuer == node.origin]
    with node.database.read() as session:
        first = logs.published_head_over(session, max(own) + 1)
    key, trusted = node.key_of(first.note), node.trust.required()
    heads[node.origin] = verify_checkpoint(first.note, key, trusted, at=at)
    return [heads[origin] for origin in sorted(heads)]
