"""This node's own tree: appended to at its right edge, proved from its tiles.

Every function works in the session, and so in the transaction, of its caller.
"""

from collections.abc import Sequence
from functools import cache, partial

from sqlmodel import Session

from bcca_node.ledger.growth import grow
from bcca_node.storage import logs
from bcca_node.storage.logs import Head
from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint, sign_checkpoint
from bcca_protocol.keys import Signer
from bcca_protocol.merkle import HASH_BYTES, Subtree
from bcca_protocol.proof import TlogProof
from bcca_protocol.tiles import TILE_WIDTH, Tile


def append(session: Session, lines: Sequence[str], first: int | None = None) -> int:
    """Enter `lines`, one entry each, behind the `first` entries; return that."""
    first = logs.size(session) if first is None else first
    logs.add_entries(session, first, lines)
    leaves = [merkle.leaf_hash(line.encode()) for line in lines]
    for level, index, hashes in grow(partial(logs.tile, session), first, leaves):
        logs.put_tiles(session, level, index, [hashes])
    return first


def sign(session: Session, signers: Sequence[Signer], size: int | None = None) -> Head:
    """Sign the tree of all `size` entries, and keep its head, pending until it is cosigned.

    While a log key gives way to the next, both sign.
    """
    size = logs.size(session) if size is None else size
    root = merkle.root_hash(size, subtree(session, size))
    checkpoint = Checkpoint(origin=signers[0].key.name, size=size, root=root)
    head = Head(size=size, root=root, note=sign_checkpoint(checkpoint, signers).encode())
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


def prove(session: Session, index: int, head: Head) -> TlogProof:
    """Return that entry `index` is in the tree of `head`; `extra` is the entry."""
    return TlogProof(
        index=index,
        path=merkle.prove_inclusion(index, head.size, subtree(session, head.size)),
        checkpoint=head.note,
        extra=logs.entries(session, index, index + 1)[0],
    )


def content(session: Session, tile: Tile, size: int) -> bytes | None:
    """Return what a log of `size` entries serves as `tile`; None where it has no such tile."""
    first = tile.index * TILE_WIDTH
    if tile.level == tiles.ENTRIES:
        end = first + tile.width
        return tiles.encode_entries(logs.entries(session, first, end)) if end <= size else None
    if first + tile.width > size // TILE_WIDTH**tile.level:
        return None
    return logs.tile(session, tile.level, tile.index)[: tile.width * HASH_BYTES]
