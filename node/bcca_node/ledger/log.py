"""This node's own tree: appended to at its right edge, proved from its tiles.

Every function works in the session, and so in the transaction, of its caller.
"""

from collections.abc import Sequence
from functools import cache

from sqlmodel import Session

from bcca_node.storage import logs
from bcca_node.storage.logs import Head
from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.keys import Signer
from bcca_protocol.merkle import HASH_BYTES, Subtree
from bcca_protocol.tiles import TILE_WIDTH, Tile

TILE_BYTES = TILE_WIDTH * HASH_BYTES


def append(session: Session, lines: Sequence[str]) -> int:
    """Enter `lines`, one entry each; return the index of the first."""
    first = logs.size(session)
    logs.add_entries(session, first, lines)
    hashes = [merkle.leaf_hash(line.encode()) for line in lines]
    level, start = 0, first
    while hashes:
        start, hashes = _grow(session, level, start, hashes)
        level += 1
    return first


def sign(session: Session, signer: Signer) -> Head:
    """Sign the tree as it is, and keep its head, pending until witnesses have cosigned it."""
    size = logs.size(session)
    root = merkle.root_hash(size, subtree(session, size))
    checkpoint = Checkpoint(origin=signer.key.name, size=size, root=root)
    head = Head(size=size, root=root, note=sign_checkpoint(checkpoint, (signer,)).encode())
    logs.put_head(session, head)
    return head


def subtree(session: Session, size: int) -> Subtree:
    """Return the perfect subtrees under the first `size` entries, for roots and proofs."""

    @cache
    def hashes(level: int, index: int) -> bytes:
        return logs.tile(session, level, index)

    def read(tile: Tile) -> bytes:
        return hashes(tile.level, tile.index)[: tile.width * HASH_BYTES]

    return tiles.subtree_from(read, size)


def content(session: Session, tile: Tile, size: int) -> bytes | None:
    """Return what a log of `size` entries serves as `tile`; None where it has no such tile."""
    first = tile.index * TILE_WIDTH
    if tile.level == tiles.ENTRIES:
        end = first + tile.width
        return tiles.encode_entries(logs.entries(session, first, end)) if end <= size else None
    if first + tile.width > size // TILE_WIDTH**tile.level:
        return None
    return logs.tile(session, tile.level, tile.index)[: tile.width * HASH_BYTES]


def _grow(
    session: Session, level: int, start: int, hashes: Sequence[bytes]
) -> tuple[int, list[bytes]]:
    """Put `hashes` behind the `start` ones of a level; return where and what the next level gets.

    Only the tile at the right edge is read, and no leaf is hashed again.
    """
    index, width = divmod(start, TILE_WIDTH)
    edge = logs.tile(session, level, index) if width else b""
    joined = edge + b"".join(hashes)
    grown = [joined[at : at + TILE_BYTES] for at in range(0, len(joined), TILE_BYTES)]
    logs.put_tiles(session, level, index, grown)
    return index, [_root(tile) for tile in grown if len(tile) == TILE_BYTES]


def _root(tile: bytes) -> bytes:
    starts = range(0, TILE_BYTES, HASH_BYTES)
    return merkle.Tree(tile[at : at + HASH_BYTES] for at in starts).root()
