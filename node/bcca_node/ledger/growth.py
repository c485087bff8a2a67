"""How the tiles of a tree grow at its right edge (SPEC 5.2; c2sp.org/tlog-tiles)."""

from collections.abc import Callable, Iterator, Sequence

from bcca_protocol import merkle
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.tiles import TILE_WIDTH

TILE_BYTES = TILE_WIDTH * HASH_BYTES


TileContent = tuple[int, int, bytes]
"""Level, index and content of a tile."""


def grow(
    edge: Callable[[int, int], bytes], first: int, hashes: Sequence[bytes]
) -> Iterator[TileContent]:
    """Yield the tiles that change when `hashes` come behind the `first` leaves, level by level.

    `edge` returns the content of a tile as it was, at least as wide as `first` leaves make it.
    Only tiles at the right edge are asked for, and no leaf before them is hashed again.
    """
    level, start = 0, first
    while hashes:
        start, width = divmod(start, TILE_WIDTH)
        before = edge(level, start)[: width * HASH_BYTES] if width else b""
        joined = before + b"".join(hashes)
        tiles = [joined[at : at + TILE_BYTES] for at in range(0, len(joined), TILE_BYTES)]
        yield from ((level, index, tile) for index, tile in enumerate(tiles, start))
        hashes = [_root(tile) for tile in tiles if len(tile) == TILE_BYTES]
        level += 1


def _root(tile: bytes) -> bytes:
    starts = range(0, TILE_BYTES, HASH_BYTES)
    return merkle.Tree(tile[at : at + HASH_BYTES] for at in starts).root()
