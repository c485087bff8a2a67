"""A pack maker's run: collect, verify, add up, sign and publish (SPEC 9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from bcca_node.ledger import guard
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published, State, publish
from bcca_node.ledger.restate import restate
from bcca_node.ledger.sign import predicate_of
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import batteries, held, opinions, ready, ruling, secrecy
from bcca_node.packmaker.collect import Collected, collect
from bcca_node.packmaker.filling import fill
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.plan import CONCURRENCY, MAX_AGE, OnProgress, Plan
from bcca_node.packmaker.secrecy import Keeping
from bcca_node.packmaker.standing import NoLongerCurrent, since_last
from bcca_node.packmaker.stoodin import idle
from bcca_node.storage import logs, seen
from bcca_protocol import manifest, period
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.assurance import Weighed, levels, with_levels
from bcca_protocol.cones import Known
from bcca_protocol.demand import Demand, demand
from bcca_protocol.errors import UnavailableError, UnusableError
from bcca_protocol.exemption import Cut, Statements, cut_off, statements_in
from bcca_protocol.graph import connect
from bcca_protocol.manifest import Frame
from bcca_protocol.period import Span
from bcca_protocol.policy import VerifiedCheckpoint, verify_checkpoint
from bcca_protocol.ready import Verdict
from bcca_protocol.recipe import Recipe, revealed
from bcca_protocol.results import Battery, ReadLog
from bcca_protocol.rules import RuleSet, neutral
from bcca_protocol.statement import FootprintRollUp, PartialFootprint, Sharing
from bcca_protocol.substituted import Substituted
from bcca_protocol.wire import b64


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted: so much of one of this node's products, by which rules, from second `at`.

    `own_values` are what its maker states for what is missing, `battery` is what the amount is;
    `period` is the one that is wanted, the latest unless told. What is `known` of earlier sums is
    not computed again.
    """

    product: str
    amount: Decimal | None
    at: int
    concurrency: int = CONCURRENCY
    max_age: int = MAX_AGE
    on_progress: OnProgress = lambda _: None
    rules: RuleSet = field(default_factory=neutral)
    own_values: tuple[OwnValue, ...] = ()
    battery: Battery | None = None
    keeping: Keeping | None = None
    sharing: Sharing | None = None
    is_offline: bool = False
    period: Span | None = None
    known: Known | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run:
    """A run's result; `witnessed` is None where an earlier roll-up said the same and stands.

    Where too few witnesses answered to know that this log is the newest, nothing was entered:
    `published` is None, and `unentered` says why. `outdated` is what the last roll-up used and
    is no longer current, `without_effect` are own values that stand for nothing. `verdict` says
    whether the result may be declared by its rules.
    """

    sum: Sum
    statement: FootprintRollUp
    verdict: Verdict
    published: Published | None
    witnessed: Witnessed | None
    outdated: tuple[NoLongerCurrent, ...] = ()
    without_effect: tuple[OwnValue, ...] = ()
    unentered: str | None = None


async def roll_up(node: Node, fetcher: Fetcher, order: Order) -> Run:
    """Return the roll-up of an order, signed and entered in this node's log.

    A result that differs from the current roll-up of the same period corrects it. While too few
    witnesses answer, it is returned and not entered. Raises
    UnusableError where this node has no published partial footprint of the product,
    UnproductiveError for a loop without an answer.
    """
    root = _root(node, order)
    plan = Plan(
        period=root.part.period,
        at=order.at,
        concurrency=order.concurrency,
        max_age=order.max_age,
        on_progress=order.on_progress,
        rules=order.rules,
        is_offline=order.is_offline,
    )
    read = await opinions.hear(node, fetcher, await collect(node, fetcher, [root], plan), plan)
    collected = fill(node, read, order.own_values, order.rules, root.part.period)
    outdated = since_last(node, collected, order.product, at=order.at)
    added = add_up(node, collected, root, order)
    stated = _stated(node, added, order)
    run = Run(
        sum=added,
        statement=stated.whole,
        verdict=ready.judge(order.rules, collected, added.totals, stated.whole, added.weighed),
        published=None,
        witnessed=None,
        outdated=outdated,
        without_effect=idle(order.own_values, stated.whole, added.totals.graph, collected.reached),
    )
    if order.is_offline:
        return replace(run, unentered="offline: nobody was asked, so nothing is entered either")
    try:
        await guard.clear(node, fetcher)
    except UnavailableError as error:
        return replace(run, unentered=str(error))
    with node.database.write() as session:
        ruling.keep(session, order.rules)
        if stated.recipe is not None:
            secrecy.keep(session, stated.recipe, order.product)
    published, witnessed = await _enter(node, fetcher, stated.entered)
    return replace(run, published=published, witnessed=witnessed)


def add_up(node: Node, collected: Collected, root: Held, order: Order) -> Sum:
    """Return the totals upstream of `root` by the order's rules, and what its amount needs.

    The amount is one declared unit unless told.
    """
    rules = order.rules
    graph = connect((each.signed for each in collected.reached.values()), collected.choose)
    index = graph.index[root.part.commitment]
    totals = aggregate(graph, [index], order.known)
    weighed = _weighed(node, collected, totals, at=order.at)
    assured = levels(weighed)
    if assured:
        totals = aggregate(with_levels(totals.graph, assured), [index], order.known)
    needed = demand(totals, index, root.part.declared if order.amount is None else order.amount)
    lines = _statements(node, collected) if rules.cut_off_percent else {}
    cut = cut_off(totals, needed, rules.cut_off_percent, lines, order.known)
    return Sum(
        root=root,
        collected=collected,
        cut=cut,
        needed=needed,
        rules=rules,
        lines=lines,
        weighed=weighed,
    )


def _weighed(node: Node, collected: Collected, totals: Totals, *, at: int) -> tuple[Weighed, ...]:
    """Return what opinions say of what was reached, as of the trees that the roll-up names."""
    if not collected.opinions:
        return ()
    heads = _heads(node, collected, totals, at)
    verifiers = node.trust.required().verifiers
    return opinions.weighed(collected, totals.sources(), heads, verifiers)


def _statements(node: Node, collected: Collected) -> Statements:
    """Return what was reached line by line: from its envelope, or from where that is kept."""
    envelopes: Mapping[str, bytes] = {n: e.envelope for n, e in collected.reached.items()}
    asked = (name for name, data in envelopes.items() if not data)
    with node.database.read() as session:
        kept = [each.envelope for each in seen.some(session, asked)]
    return statements_in((*filter(None, envelopes.values()), *kept))


class _Stated(NamedTuple):
    """A roll-up with all that it is made of, as it is entered, and what of it stays secret."""

    whole: FootprintRollUp
    entered: FootprintRollUp
    recipe: Recipe | None


def _stated(node: Node, added: Sum, order: Order) -> _Stated:
    """Return what to publish of a sum; what stands already, where that says the same."""
    made = state(node, added, at=order.at, sharing=order.sharing)
    whole = entered = batteries.with_battery(made, order.battery, order.rules)
    recipe = None
    with node.database.read() as session:
        if secrecy.chosen(session, order.product, order.keeping) is Keeping.SECRET:
            entered, recipe = secrecy.conceal(session, whole, added.root.part)
    entered = restate(node, entered, beside=("reference_date", "logs"))
    whole = entered if recipe is None else revealed(entered, recipe)
    return _Stated(whole, entered, recipe)


def state(node: Node, added: Sum, *, at: int, sharing: Sharing | None = None) -> FootprintRollUp:
    """Return a sum as a roll-up of this node: the same statements and heads, the same bytes.

    It is shared as its part is, unless told.
    """
    heads = _heads(node, added.collected, added.totals, at)
    made_of = predicate_of(added.root.envelope)
    if not isinstance(made_of, PartialFootprint):
        raise UnusableError(f"{made_of.product.id}: not a partial footprint")
    frame = Frame(
        issuer=node.origin,
        product=made_of.product,
        producer=made_of.producer,
        site=made_of.site,
        batch=made_of.batch,
        method=made_of.method,
        sharing=sharing or made_of.sharing,
        period=made_of.period,
        reference_date=period.text_at(min(head.time for head in heads)),
        logs=tuple(
            ReadLog(origin=c.origin, size=str(c.size), root=b64(c.root))
            for c in (head.checkpoint for head in heads)
        ),
        rules=added.rules,
    )
    return manifest.state(added.totals, added.needed, frame)


async def _enter(
    node: Node, fetcher: Fetcher, stated: FootprintRollUp
) -> tuple[Published, Witnessed | None]:
    """Publish a roll-up, and have it witnessed while it is pending.

    What was entered before is answered as it is.
    """
    secrecy.require_room(stated)
    (published,) = publish(node, [stated])
    if published.state is not State.PENDING:
        return published, None
    witnessed = await witness(node, fetcher)
    if witnessed.published:
        published = replace(published, state=State.PUBLISHED)
    return published, witnessed


def _root(node: Node, order: Order) -> Held:
    """Return this node's own part of the product, that with the latest period."""
    with node.database.read() as session:
        log = held.own_log(node, session, node.trust.required(), at=order.at)
        found = held.own_parts(session, order.product, log)
    own = [each for each in found if order.period in (None, each.part.period)]
    if not own:
        raise UnusableError(
            f"{order.product}: {node.origin} has no published partial footprint of it; "
            "import and publish one first"
        )
    return max(own, key=lambda each: (each.part.period.end, each.part.commitment))


def _heads(node: Node, collected: Collected, totals: Totals, at: int) -> list[VerifiedCheckpoint]:
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
