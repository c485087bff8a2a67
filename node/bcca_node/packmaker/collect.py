"""Everything upstream of some products, fetched supplier by supplier and verified."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.again import follow_again
from bcca_node.packmaker.ground import Means
from bcca_node.packmaker.hands import Hands
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.last import Last, Since
from bcca_node.packmaker.plan import Plan
from bcca_node.packmaker.source import ReadLog
from bcca_node.packmaker.suppliers import FromCopies
from bcca_node.packmaker.sweeps import passing_over
from bcca_node.packmaker.walk import Walk
from bcca_protocol.choices import Chooser
from bcca_protocol.graph import Graph
from bcca_protocol.partial import Part
from bcca_protocol.rollup import Opinion
from bcca_protocol.verify import Verified, VerifiedLog


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Collected:
    """What a run has read: `reached` are the parts that the roots are made of.

    `troubles` says by (origin, product) what went wrong with whom, `copied` by origin where copies
    stood in for a supplier that did not answer, `handed_on` by origin who handed on what a supplier
    does not show here itself. `cached` are the logs that were not asked for, with the seconds since
    a quorum last saw each; `proving` is how many seconds single signature checks took. `opinions`
    are of `verifiers`, whose logs these are. `beside` are current parts that were read, not
    reached, and claim electricity certificates. Where it was read again, it changed `since`.
    """

    own: VerifiedLog
    logs: Mapping[str, ReadLog]
    reached: Mapping[str, Held]
    troubles: Mapping[tuple[str, str], str]
    copied: Mapping[str, FromCopies]
    handed_on: Mapping[str, frozenset[str]]
    choose: Chooser
    cached: Mapping[str, int] = field(default_factory=dict)
    proving: float = 0.0
    opinions: tuple[Verified[Opinion], ...] = ()
    verifiers: Mapping[str, ReadLog] = field(default_factory=dict)
    beside: tuple[Part, ...] = ()
    since: Since | None = None


async def collect(
    node: Node, fetcher: Fetcher, roots: Sequence[Held], plan: Plan, last: Last | None = None
) -> Collected:
    """Return everything upstream of `roots`, this node's own; `collecting` says more."""
    async with collecting(node, fetcher, roots, plan, last) as found:
        return found


@asynccontextmanager
async def collecting(
    node: Node, fetcher: Fetcher, roots: Sequence[Held], plan: Plan, last: Last | None = None
) -> AsyncIterator[Collected]:
    """Yield everything upstream of `roots`, this node's own.

    What is read is remembered in the node's database meanwhile, and is when the context ends. What
    the `last` run left is not looked at again, as far as it still holds. Raises UnusableError
    without a policy or a published log.
    """
    before, graph = (None, None) if last is None else last.take()
    with passing_over() as pass_over:
        with Hands(plan.workers, plan.executor) as hands:
            means = Means(node, fetcher, hands, pass_over)
            walk = await _walked(means, plan, roots, before)
            del before
            began = monotonic()
            await walk.prove(roots)
            proving = monotonic() - began
        pass_over()
        # Mostly the database's work: another core does it while the walk is added up.
        remembering = asyncio.get_running_loop().run_in_executor(None, walk.remember)
        try:
            yield _collected(walk, graph, proving)
        finally:
            await remembering
    if last is not None:
        last.walk = walk


def _collected(walk: Walk, graph: Graph | None, proving: float) -> Collected:
    return Collected(
        own=walk.own,
        logs=walk.suppliers.logs,
        reached=walk.reached,
        troubles=walk.troubles,
        copied=walk.suppliers.copied,
        handed_on=walk.suppliers.handed_on,
        choose=walk.chooser(),
        cached=walk.cached(),
        proving=proving,
        beside=tuple(walk.beside()),
        since=None if walk.changed is None or graph is None else Since(graph, walk.changed),
    )


async def _walked(means: Means, plan: Plan, roots: Sequence[Held], before: Walk | None) -> Walk:
    """Return a walk that has reached everything, on the ground of the one before if it can."""
    if before is not None:
        logs = {origin: read.log for origin, read in before.suppliers.logs.items()}
        walk = Walk(means, plan, before.ground.again(logs))
        if await follow_again(walk, before, roots):
            return walk
    walk = Walk(means, plan)
    await walk.follow(roots)
    return walk
