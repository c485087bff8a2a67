"""All that a partner's PACT host shows this node, read page by page and kept (SPEC 16.5)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bcca_node.ledger.node import Node
from bcca_node.network.limits import Patience
from bcca_node.pact import client, intake, proving
from bcca_node.pact.client import Host
from bcca_node.pact.intake import Batch
from bcca_node.storage.foreign import Foreign
from bcca_node.storage.pactclients import PactPartner
from bcca_protocol.errors import BccaError, UnusableError

MAX_REFUSED = 100  # sentences on what cannot even be kept: the first ones tell what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What came of one list: `footprints` are all of it as kept, `new` how many had not come.

    `refused` says why others are not kept, `more` how many sentences that would be beside, and
    `stopped` why the list was not read to its end, if so; what came until then is kept.
    """

    footprints: tuple[Foreign, ...]
    new: int
    refused: tuple[str, ...]
    more: int
    stopped: str


async def pull(
    node: Node,
    partner: PactPartner,
    query: Sequence[tuple[str, str]] = (),
    *,
    patience: Patience = client.PATIENCE,
) -> Pulled:
    """Read the list of a partner's host, filtered by `query`, keep it and verify what is signed.

    Raises UnusableError where the partner has issued nothing to this node.
    """
    taken: dict[tuple[str, str], Foreign] = {}
    refused: list[str] = []
    new, stopped = 0, ""
    try:
        async with client.caller(partner, patience) as fetcher:
            async for page in Host(node, partner, fetcher).footprints(query):
                came = await asyncio.to_thread(_take, node, partner, page)
                new += sum(1 for each in came.taken if each.is_new)
                taken |= {
                    (each.footprint.id, each.footprint.digest): each.footprint
                    for each in came.taken
                }
                refused += came.refused
    except UnusableError:
        raise
    except BccaError as error:
        stopped = str(error)
    proven = await proving.prove(node, partner, again=True)
    taken |= {(each.id, each.digest): each for each in proven if (each.id, each.digest) in taken}
    return Pulled(
        footprints=tuple(taken.values()),
        new=new,
        refused=tuple(refused[:MAX_REFUSED]),
        more=max(0, len(refused) - MAX_REFUSED),
        stopped=stopped,
    )


def _take(node: Node, partner: PactPartner, page: Sequence[bytes]) -> Batch:
    with node.database.write() as session:
        return intake.take_all(node, session, partner.origin, page, node.clock())
