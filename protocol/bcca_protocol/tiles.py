"""A log as static files: tiles of 256 hashes or entries (SPEC 5.2; c2sp.org/tlog-tiles).

    tile/<level>/<index>[.p/<width>]
    tile/entries/<index>[.p/<width>]

The index is written in groups of three digits, all but the last after an x: x001/x234/067.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from bcca_protocol import merkle
from bcca_protocol.errors import LimitError, MalformedError, ProofError
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.merkle import HASH_BYTES, Subtree

TILE_WIDTH = 256
ENTRIES = -1  # the level of a bundle of entries, below the hashes

_TILE_HEIGHT = 8  # a tile's levels: 2**8 is its width
_MAX_LEVEL = 63
_LENGTH_BYTES = 2
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Where a tile stands: `width` hashes of `level`, or entries, from index * 256 on."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        """Refuse what no tree has."""
        if not ENTRIES <= self.level <= _MAX_LEVEL or not 1 <= self.width <= TILE_WIDTH:
            raise MalformedError(
                f"tile of level {self.level} and width {self.width}: there is none"
            )
        if not 0 <= self.index <= MAX_TREE_SIZE // TILE_WIDTH:
            raise LimitError(
                f"tile {self.index}: the last possible is {MAX_TREE_SIZE // TILE_WIDTH}"
            )

    def encode(self) -> str:
        """Return the path of the tile under the log's prefix."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        groups = f"{self.index:,}".split(",")
        *upper, last = (group.zfill(3) for group in groups)
        path = "".join(f"x{group}/" for group in upper) + last
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{path}{partial}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """Return the tile at `path`; raises MalformedError or LimitError."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise MalformedError(f"{path[:80]!r} is not the path of a tile")
        level, index, width = match.groups()
        tile = cls(
            level=ENTRIES if level == "entries" else int(level),
            index=int(index.replace("x", "").replace("/", "")),
            width=TILE_WIDTH if width is None else int(width),
        )
        if tile.encode() != path:
            raise MalformedError(f"{path[:80]!r} is written {tile.encode()!r}")
        return tile


def tiles_for(size: int) -> Iterator[Tile]:
    """Yield every tile that a log of `size` entries serves, entries first, then level by level."""
    level, width = ENTRIES, size
    while width:
        full, rest = divmod(width, TILE_WIDTH)
        yield from (Tile(level=level, index=index) for index in range(full))
        if rest:
            yield Tile(level=level, index=full, width=rest)
        level += 1
        width = size >> _TILE_HEIGHT * level


def encode_tile(tile: Tile, subtree: Subtree) -> bytes:
    """Return the content of a tile of hashes."""
    first = tile.index * TILE_WIDTH
    indices = range(first, first + tile.width)
    return b"".join(subtree(_TILE_HEIGHT * tile.level, index) for index in indices)


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """Return the content of a bundle of entries; raises LimitError for one over 65,535 bytes."""
    return b"".join(_length(entry) + entry for entry in entries)


def decode_entries(bundle: bytes, width: int) -> tuple[bytes, ...]:
    """Return the `width` entries of which `bundle` consists, or raise MalformedError."""
    step = _LENGTH_BYTES + int.from_bytes(bundle[:_LENGTH_BYTES])
    if step * width == len(bundle) and _are_equal(bundle, step):
        return tuple([bundle[at : at + step - 2] for at in range(2, len(bundle) + 1, step)])
    entries = []
    end = 0
    try:
        for _ in range(width):
            start = end + _LENGTH_BYTES
            end = start + (bundle[end] << 8 | bundle[end + 1])
            entries.append(bundle[start:end])
    except IndexError:
        end = len(bundle) + 1  # one byte more is the least that is missing
    if end != len(bundle):
        raise MalformedError(f"bundle of {width} entries: {len(bundle)} bytes, they take {end}")
    return tuple(entries)


def _are_equal(bundle: bytes, step: int) -> bool:
    """Say whether every length in `bundle`, one each `step` bytes, is the first: most bundles."""
    high, low = bundle[::step], bundle[1::step]
    return high == high[:1] * len(high) and low == low[:1] * len(low)


def subtree_from(read: Callable[[Tile], bytes], size: int) -> Subtree:
    """Return the perfect subtrees of a log of `size` entries, computed from its tiles.

    `read` returns the content of a tile; the subtrees raise ProofError for one of another length.
    Nothing is verified: hold the root, or the proof, made from the subtrees against a checkpoint.
    """

    def subtree(level: int, index: int) -> bytes:
        if level < 0 or not 0 <= index < size >> level:
            raise ProofError(f"no subtree {index} of level {level} under {size} leaves")
        tile_level, height = divmod(level, _TILE_HEIGHT)
        tile_index, first = divmod(index << height, TILE_WIDTH)
        width = min(TILE_WIDTH, (size >> _TILE_HEIGHT * tile_level) - tile_index * TILE_WIDTH)
        tile = Tile(level=tile_level, index=tile_index, width=width)
        content = read(tile)
        if len(content) != width * HASH_BYTES:
            raise ProofError(f"{tile.encode()}: {len(content)} bytes, not {width * HASH_BYTES}")
        starts = range(first * HASH_BYTES, (first + (1 << height)) * HASH_BYTES, HASH_BYTES)
        return merkle.Tree(content[start : start + HASH_BYTES] for start in starts).root()

    return subtree


def _length(entry: bytes) -> bytes:
    try:
        return len(entry).to_bytes(_LENGTH_BYTES)
    except OverflowError as error:
        raise LimitError(f"entry of {len(entry)} bytes: its length takes two bytes") from error
