"""Copies of a supplier's log and statements, read while its own node does not answer (SPEC 13.5).

A copy is verified like the log itself, and whoever holds it is believed nothing. It may lack what
is newer: how far it reaches and when a quorum last saw it, its head says. Anybody may name hosts
that show copies: their number and their fresh heads take no time from those that are near.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from bcca_node.ledger import mirror
from bcca_node.ledger.copied import Address, CopiedLog
from bcca_node.ledger.copying import Reader, naming
from bcca_node.network import descriptor, lines, tlog
from bcca_node.network.descriptor import Descriptor
from bcca_node.network.limits import MAX_ANSWER_BYTES, MAX_DESCRIPTOR_BYTES
from bcca_node.network.lines import Item
from bcca_node.packmaker.routes import Keepers
from bcca_node.packmaker.source import ReadLog, require_fresh, require_one_log
from bcca_node.packmaker.told import Ask
from bcca_node.sharing import copies, peers
from bcca_node.storage.witnessed import origin_hash
from bcca_protocol import policy
from bcca_protocol.errors import BccaError, UnavailableError
from bcca_protocol.policy import VerifiedCheckpoint

HEAD_SECONDS = 10.0  # for the head of a copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A copy of a log: the head it shows, at the node of which base URL (None: this very node).

    `is_near`: held here, by a customer that was met or by a node that the policy names.
    """

    url: str
    head: VerifiedCheckpoint
    base: str | None
    is_near: bool


async def places(reader: Reader, address: Address, keepers: Keepers) -> list[Place]:
    """Return where a copy of the log is under a head to be believed, the latest seen first."""
    near = (_shown(reader, address, base, is_near=True) for base in keepers.near)
    others = (_shown(reader, address, base, is_near=False) for base in keepers.others)
    asked = [_held(reader, address), *near, *others]
    found = [place for place in await asyncio.gather(*asked) if place is not None]
    return sorted(found, key=lambda each: (-each.head.time, -each.head.checkpoint.size))


async def read_log(
    reader: Reader, address: Address, found: Sequence[Place], seconds: float
) -> ReadLog:
    """Return the log as the first place has it that holds what it shows, and lately enough.

    All of them have `seconds` together, the near ones half of it. Raises UnavailableError, which
    says of each why not.
    """
    reasons = []
    waiting = Counter(place.is_near for place in found)
    left = dict.fromkeys(waiting, seconds / max(1, len(waiting)))
    clock = asyncio.get_running_loop().time
    for place in found:
        began, kind = clock(), place.is_near
        try:
            async with asyncio.timeout(left[kind] / waiting[kind]):
                return await _read(reader, address, place)
        except TimeoutError:
            reasons.append(f"{place.url}: not done in time")
        except BccaError as error:
            reasons.append(str(error))
        left[kind] -= clock() - began
        waiting[kind] -= 1
    why = "; ".join(dict.fromkeys(reasons))
    raise UnavailableError(why or "no node that was asked has a copy of its log")


async def read_statements(
    reader: Reader, origin: str, base: str | None, ask: Ask, audience: str | None
) -> list[Item]:
    """Return what the node at `base` holds of a product of `origin`, and the pinned statement.

    None is this very node. Nothing is verified yet. Raises UnavailableError, RefusedError.
    """
    if base is None:
        hashed = origin_hash(origin)
        return await asyncio.to_thread(copies.held, reader.node, hashed, ask.product, ask.pinned)
    copy = mirror.url_of(base, origin)
    url = f"{copy}/statements?product={quote(ask.product, safe='')}"
    body = await reader.fetcher.find(url, limit=MAX_ANSWER_BYTES, audience=audience)
    with naming(url):
        items = [] if body is None else await lines.decode_answer(body)
    if ask.pinned is None or ask.pinned in {item.commitment for item in items}:
        return items
    url = f"{copy}/statements/{ask.pinned}"
    envelope = await reader.fetcher.find(url, limit=MAX_ANSWER_BYTES, audience=audience)
    alone = [] if envelope is None else [Item(commitment=ask.pinned, index=0, envelope=envelope)]
    return items + alone


async def _held(reader: Reader, address: Address) -> Place | None:
    """Return this node's own copy, if its head is still to be believed."""
    copy = await asyncio.to_thread(CopiedLog(reader.node.database, address).held)
    if copy is None:
        return None
    try:
        head = policy.verify_checkpoint(copy.note, address.key, reader.trusted, at=reader.now)
    except BccaError:
        return None
    url = mirror.url_of(reader.node.settings.url, address.origin)
    return Place(url=url, head=head, base=None, is_near=True)


async def _shown(reader: Reader, address: Address, base: str, *, is_near: bool) -> Place | None:
    """Return the copy that another node shows, None where it shows none to be believed."""
    url = mirror.url_of(base, address.origin)
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            text = await tlog.fetch_checkpoint(reader.fetcher, url)
        head = policy.verify_checkpoint(text, address.key, reader.trusted, at=reader.now)
    except (TimeoutError, BccaError):
        return None
    return Place(url=url, head=head, base=base, is_near=is_near)


async def _read(reader: Reader, address: Address, place: Place) -> ReadLog:
    if place.base is None:
        log = await reader.read_held(address)
        about = await asyncio.to_thread(peers.known, reader.node)
    else:
        log = await reader.read(replace(address, via=place.url))
        about = await _description(reader, place.base)
    require_one_log(log, address)
    require_fresh(log, reader)
    return ReadLog(address=address, log=log, about=about, via=place.url)


async def _description(reader: Reader, base: str) -> Descriptor:
    """Return the descriptor of the node that holds a copy: it knows where others are."""
    url = base + descriptor.PATH
    body = await reader.fetcher.get(url, limit=MAX_DESCRIPTOR_BYTES)
    with naming(url):
        return descriptor.decode(body)
