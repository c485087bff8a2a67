"""This node as a mirror: it follows the logs of its policy, and shows its copies (SPEC 13.5).

A copy is believed by nobody for its host's sake: it carries the log's signature, the quorum's, and
all entries up to them.
"""

import asyncio
from dataclasses import dataclass

from sqlmodel import Session

from bcca_node.ledger.copied import Address
from bcca_node.ledger.copying import Reader
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_node.storage import copies, witnessed
from bcca_node.storage.copies import Copy
from bcca_protocol.errors import BccaError
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.policy import Policy
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile, decode_entries, encode_entries

MIRROR = "/mirror"
LOGS_AT_ONCE = 4  # each asks for many tiles at once itself
FOLLOW_SECONDS = 120.0  # of one log: two million entries, and the others have not waited long


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How far a log of the policy was followed, or why not."""

    origin: str
    size: int | None = None
    time: int | None = None
    refused: str | None = None


def url_of(base: str, origin: str) -> str:
    """Return where the node at `base` shows its copy of the log of `origin`."""
    return f"{base}{MIRROR}/{witnessed.origin_hash(origin)}"


async def follow_all(
    node: Node, fetcher: Fetcher, *, seconds: float = FOLLOW_SECONDS
) -> list[Followed]:
    """Bring the copy of every log of the policy up to date; return what came of each, by origin.

    One that is down, or lies, stops no other; one whose entries do not come within that many
    `seconds` is gone on with next time. Without a policy there is nothing to follow.
    """
    trusted = node.trust.policy()
    if trusted is None:
        return []
    reader = Reader(node=node, fetcher=fetcher, trusted=trusted, at=node.clock(), patience=seconds)
    turn = asyncio.Semaphore(LOGS_AT_ONCE)
    addresses = [each for each in addresses_in(trusted) if each.origin != node.origin]
    return await asyncio.gather(*(_follow(reader, each, turn) for each in addresses))


def addresses_in(trusted: Policy) -> list[Address]:
    """Return where the logs of a policy are, by origin; some have no URL there."""
    return [
        Address(origin=origin, key=line.key, url=line.url.rstrip("/"), introduced_by=None)
        for origin, line in sorted(trusted.logs.items())
        if line.url is not None
    ]


def checkpoint(node: Node, hashed: str) -> str | None:
    """Return the head of the copy of the log whose origin hashes to `hashed`."""
    with node.database.read() as session:
        copy = shown(node, session, hashed)
    return None if copy is None else copy.note


def tile(node: Node, hashed: str, wanted: Tile) -> bytes | None:
    """Return a tile or bundle of a copy, None where it has no such tile."""
    with node.database.read() as session:
        copy = shown(node, session, hashed)
        end = wanted.index * TILE_WIDTH + wanted.width
        if copy is None or end > copy.size // TILE_WIDTH ** max(wanted.level, 0):
            return None
        content = copies.tile(session, copy.origin, copy.vkey, wanted.level, wanted.index)
    if wanted.level != ENTRIES:
        return content[: wanted.width * HASH_BYTES]
    width = min(TILE_WIDTH, copy.size - wanted.index * TILE_WIDTH)
    if wanted.width == width:
        return content
    return encode_entries(decode_entries(content, width)[: wanted.width])


def shown(node: Node, session: Session, hashed: str) -> Copy | None:
    """Return the copy that this node shows of a log: that under the key of its policy, if any.

    Else the largest: whoever introduces a log with a false key has no quorum behind a longer one.
    """
    trusted = node.trust.policy()
    found = copies.of_hash(session, hashed)
    for each in found:
        line = None if trusted is None else trusted.logs.get(each.origin)
        if line is not None and line.key.encode() == each.vkey:
            return each
    return max(found, key=lambda each: each.size, default=None)


async def _follow(reader: Reader, address: Address, turn: asyncio.Semaphore) -> Followed:
    async with turn:
        try:
            head = await reader.follow(address)
        except BccaError as error:
            return Followed(origin=address.origin, refused=str(error))
    return Followed(origin=address.origin, size=head.checkpoint.size, time=head.time)
