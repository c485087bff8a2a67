"""What commands ask of the witnesses: whether this process may append, and to cosign its head."""

import asyncio
from collections.abc import Collection

from bcca_node.cli.given import hosts
from bcca_node.ledger import guard, witnessing
from bcca_node.ledger.node import Node
from bcca_node.ledger.witnessing import Witnessed
from bcca_node.network.client import Fetcher


def named_by(node: Node) -> Collection[str]:
    """Return the hosts that may be asked; raises PolicyError before anything is signed."""
    policy = node.trust.policy()
    return frozenset() if policy is None else hosts(policy)


def clear(node: Node, named: Collection[str]) -> None:
    """Allow this process to append; raises what `guard.clear` raises."""

    async def ask() -> None:
        async with Fetcher(named) as fetcher:
            await guard.clear(node, fetcher)

    asyncio.run(ask())


def cosigned(node: Node, named: Collection[str]) -> Witnessed | None:
    """Return what came of asking to cosign the newest head; None where there is no policy."""

    async def ask() -> Witnessed:
        async with Fetcher(named) as fetcher:
            return await witnessing.witness(node, fetcher)

    return None if node.trust.policy() is None else asyncio.run(ask())
