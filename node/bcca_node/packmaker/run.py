"""A pack maker's run: collect, verify, add up, sign and publish (SPEC 9)."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from bcca_node.ledger import guard
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import Published, State, publish
from bcca_node.ledger.restate import restate
from bcca_node.ledger.sign import predicate_of
from bcca_node.ledger.witnessing import Witnessed, witness
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import batteries, held, incomplete, opinions, ready, ruling, secrecy
from bcca_node.packmaker.adding import Sum, add_up, heads_of
from bcca_node.packmaker.collect import collecting
from bcca_node.packmaker.filling import fill
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.ownvalues import OwnValue
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.secrecy import Keeping
from bcca_node.packmaker.standing import NoLongerCurrent, since_last
from bcca_node.packmaker.stoodin import idle
from bcca_protocol import manifest, period
from bcca_protocol.errors import UnavailableError, UnusableError
from bcca_protocol.manifest import Frame
from bcca_protocol.ready import Verdict
from bcca_protocol.recipe import Recipe, revealed
from bcca_protocol.results import ReadLog
from bcca_protocol.statement import FootprintRollUp, PartialFootprint, Sharing
from bcca_protocol.wire import b64


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
    async with collecting(node, fetcher, [root], plan, order.last) as found:
        read = await opinions.hear(node, fetcher, found, plan)
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
    if stated.unentered is not None:
        return replace(run, unentered=stated.unentered)
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


class _Stated(NamedTuple):
    """A roll-up with all that it is made of, as it is entered, and what of it stays secret."""

    whole: FootprintRollUp
    entered: FootprintRollUp
    recipe: Recipe | None
    unentered: str | None = None


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
    stated = _Stated(whole, entered, recipe)
    return _beside(node, stated) if order.keeps_whole and whole.incomplete else stated


def _beside(node: Node, stated: _Stated) -> _Stated:
    """Return what to publish of an incomplete result beside the roll-up that stands."""
    stands = incomplete.corrected(node, stated.entered)
    if stands is None:
        return stated
    if not stands.incomplete:
        why = (
            f"roll-up {stated.entered.corrects} is complete and this is not, so that one stands; "
            f"`bcca aggregate {stands.product.id}` alone corrects it all the same"
        )
        return stated._replace(unentered=why)
    if incomplete.says_the_same(node, stands, stated.whole):
        return stated._replace(entered=stands, recipe=None)
    return stated


def state(node: Node, added: Sum, *, at: int, sharing: Sharing | None = None) -> FootprintRollUp:
    """Return a sum as a roll-up of this node: the same statements and heads, the same bytes.

    It is shared as its part is, unless told.
    """
    heads = heads_of(node, added.collected, added.totals, at)
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
