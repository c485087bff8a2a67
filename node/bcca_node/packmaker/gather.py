"""What feeds this node's own statements, collected ahead, so that it can be handed on (SPEC 13.5).

A customer further down asks whoever it knows: a node shows what it holds and its author lets it
hand on. Companies that buy of each other in a loop hold all of it after a few turns each.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from bcca_node.ledger.copied import Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.packmaker import held
from bcca_node.packmaker.collect import Collected, collect
from bcca_node.packmaker.held import Held
from bcca_node.packmaker.last import Last
from bcca_node.packmaker.plan import Plan
from bcca_node.storage import logs, statements
from bcca_protocol.errors import BccaError
from bcca_protocol.graph import Missing
from bcca_protocol.period import Span

MAX_ROOTS = 1_000  # own statements that are followed upstream: a product list of a large company
MAX_HELD = 20_000  # statements that stay in memory between two turns: some 200 MB
MAX_PERIODS = 4  # of these, the newest: years, or the quarters of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """How many statements of others feed this node's own, and what is still missing, and why.

    `logs` are those read, with the number of entries each had; `size` is that of the own log.
    `walks` are what was read by period of the roots, where that is little enough to stay at hand.
    """

    statements: int
    missing: Mapping[tuple[str, str], str]
    logs: Mapping[Address, int]
    size: int
    walks: Mapping[Span, Last]


async def gather(node: Node, fetcher: Fetcher, last: Gathered | None = None) -> Gathered:
    """Collect and remember everything upstream of this node's own current partial footprints.

    Where all was there the `last` time and no log has grown since, that is all there is: only the
    heads are asked for. Where one has grown, what it changes is looked at. Raises UnusableError
    without a policy or a published log.
    """
    roots = await asyncio.to_thread(_roots, node)
    if last is not None and await _is_same(node, fetcher, last):
        return last
    at, size = node.clock(), await asyncio.to_thread(_size, node)
    walks = {} if last is None else last.walks
    walks = {period: walks.get(period) or Last() for period in roots}
    found = [
        await collect(node, fetcher, few, Plan(period=period, at=at), walks[period])
        for period, few in roots.items()
    ]
    is_little = sum(len(each.reached) for each in found) <= MAX_HELD
    return Gathered(
        statements=len({name for each in found for name in _of_others(node, each)}),
        missing={where: why for each in found for where, why in _missing(each).items()},
        logs={read.address: read.log.history.size for each in found for read in each.logs.values()},
        size=size,
        walks=walks if is_little else {},
    )


def _roots(node: Node) -> dict[Span, list[Held]]:
    """Return this node's own current parts by period, the latest first."""
    with node.database.read() as session:
        log = held.own_log(node, session, node.trust.required(), at=node.clock())
        products = statements.products(session)
        parts = [each for product in products for each in held.own_parts(session, product, log)]
    parts.sort(key=lambda each: (each.part.period.end, each.signed.index), reverse=True)
    by_period: dict[Span, list[Held]] = {}
    for each in parts[:MAX_ROOTS]:
        if each.part.bought and (each.part.period in by_period or len(by_period) < MAX_PERIODS):
            by_period.setdefault(each.part.period, []).append(each)
    return by_period


async def _is_same(node: Node, fetcher: Fetcher, last: Gathered) -> bool:
    """Say whether nothing was missing, and no log has grown since, as far as they answer."""
    if last.missing or last.size != await asyncio.to_thread(_size, node):
        return False
    reader = Reader(node=node, fetcher=fetcher, trusted=node.trust.required(), at=node.clock())

    async def grown(address: Address, size: int) -> bool:
        try:
            head = await reader.follow(address)
        except BccaError:
            return True
        return head.checkpoint.size != size

    asked = (grown(address, size) for address, size in last.logs.items())
    return not any(await asyncio.gather(*asked))


def _size(node: Node) -> int:
    with node.database.read() as session:
        head = logs.published_head(session)
    return 0 if head is None else head.size


def _of_others(node: Node, collected: Collected) -> set[str]:
    return {name for name, each in collected.reached.items() if each.part.issuer != node.origin}


def _missing(collected: Collected) -> dict[tuple[str, str], str]:
    """Return what nothing feeds, by supplier and product."""
    found = {}
    for each in collected.reached.values():
        for bought in each.part.bought:
            choice = collected.choose(each.part, bought)
            if isinstance(choice, Missing) and bought.amount:
                found[bought.origin, bought.product] = choice.reason
    return found
