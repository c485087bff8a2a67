"""A pack maker's run: collect, verify, add up, sign and publish (SPEC 9)."""

from dataclasses import dataclass, replace
from decimal import Decimal

from bcca_node.ledger import guard
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published, State, publish
from bcca_node.ledger.restate import restate
from bcca_node.ledger.sign import predicate_of
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import held
from bcca_node.packmaker.collect import CONCURRENCY, MAX_AGE, Collected, OnProgress, Plan, collect
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.standing import NoLongerCurrent, since_last
from bcca_node.storage import logs
from bcca_protocol import manifest, period
from bcca_protocol.aggregate import Totals, aggregate
from bcca_protocol.demand import Demand, demand
from bcca_protocol.errors import UnavailableError, UnusableError
from bcca_protocol.graph import connect
from bcca_protocol.manifest import Frame
from bcca_protocol.policy import VerifiedCheckpoint, verify_checkpoint
from bcca_protocol.results import ReadLog
from bcca_protocol.statement import FootprintRollUp, PartialFootprint
from bcca_protocol.wire import b64


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted: so much of one of this node's products, from POSIX second `at`."""

    product: str
    amount: Decimal | None
    at: int
    concurrency: int = CONCURRENCY
    max_age: int = MAX_AGE
    on_progress: OnProgress = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What was collected for a root, added up."""

    root: Held
    collected: Collected
    totals: Totals
    needed: Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run's result; `witnessed` is None where an earlier roll-up said the same and stands.

    Where too few witnesses answered to know that this log is the newest, nothing was entered:
    `published` is None, and `unentered` says why. `outdated` is what the last roll-up used and
    is no longer current.
    """

    sum: Sum
    statement: FootprintRollUp
    published: Published | None
    witnessed: Witnessed | None
    outdated: tuple[NoLongerCurrent, ...] = ()
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
    )
    collected = await collect(node, fetcher, [root], plan)
    outdated = since_last(node, collected, order.product, at=order.at)
    added = add_up(collected, root, order.amount)
    stated = restate(node, state(node, added, at=order.at), beside=("reference_date", "logs"))
    try:
        await guard.clear(node, fetcher)
    except UnavailableError as error:
        return Run(
            sum=added,
            statement=stated,
            published=None,
            witnessed=None,
            outdated=outdated,
            unentered=str(error),
        )
    published, witnessed = await _enter(node, fetcher, stated)
    return Run(
        sum=added, statement=stated, published=published, witnessed=witnessed, outdated=outdated
    )


def add_up(collected: Collected, root: Held, amount: Decimal | None) -> Sum:
    """Return the totals upstream of `root`, and what `amount` (one declared unit) of it needs."""
    graph = connect((each.signed for each in collected.reached.values()), collected.choose)
    index = graph.index[root.part.commitment]
    totals = aggregate(graph, [index])
    needed = demand(totals, index, root.part.declared if amount is None else amount)
    return Sum(root=root, collected=collected, totals=totals, needed=needed)


def state(node: Node, added: Sum, *, at: int) -> FootprintRollUp:
    """Return a sum as a roll-up of this node: the same statements and heads, the same bytes."""
    heads = _heads(node, added, at)
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
        sharing=made_of.sharing,
        period=made_of.period,
        reference_date=period.text_at(min(head.time for head in heads)),
        logs=tuple(
            ReadLog(origin=c.origin, size=str(c.size), root=b64(c.root))
            for c in (head.checkpoint for head in heads)
        ),
    )
    return manifest.state(added.totals, added.needed, frame)


async def _enter(
    node: Node, fetcher: Fetcher, stated: FootprintRollUp
) -> tuple[Published, Witnessed | None]:
    """Publish a roll-up, and have it witnessed while it is pending.

    What was entered before is answered as it is.
    """
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
        own = held.own_parts(session, order.product, log)
    if not own:
        raise UnusableError(
            f"{order.product}: {node.origin} has no published partial footprint of it; "
            "import and publish one first"
        )
    return max(own, key=lambda each: (each.part.period.end, each.part.commitment))


def _heads(node: Node, added: Sum, at: int) -> list[VerifiedCheckpoint]:
    """Return the heads that were read, by origin: of the own log the first that has it all.

    Else each roll-up would change the own log, and with it the next one.
    """
    graph, collected = added.totals.graph, added.collected
    issuers = {graph.parts[index].issuer for index in added.totals.vectors}
    heads = {o: read.log.head for o, read in collected.logs.items() if o in issuers}
    own = [
        graph.sources[index].index
        for index in added.totals.vectors
        if graph.parts[index].issuer == node.origin
    ]
    with node.database.read() as session:
        first = logs.published_head_over(session, max(own) + 1)
    key, trusted = node.key_of(first.note), node.trust.required()
    heads[node.origin] = verify_checkpoint(first.note, key, trusted, at=at)
    return [heads[origin] for origin in sorted(heads)]
