"""A whole log read bundle by bundle: entries hashed, every tile compared, every line understood."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bcca_node.auditor import places
from bcca_node.auditor.places import Place
from bcca_node.network.tlog import Found, all_of
from bcca_protocol import merkle, tiles
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import (
    BccaError,
    LimitError,
    ProofError,
    RefusedError,
    UnavailableError,
)
from bcca_protocol.history import History, Reading
from bcca_protocol.limits import MAX_LOG_ENTRIES
from bcca_protocol.merkle import EMPTY_ROOT, HASH_BYTES, Subtree
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile, tiles_for

T = TypeVar("T")

AT_ONCE = 16  # bundles, each with its tile: the connections that one host gets
MAX_PROBLEMS = 100  # told of one log; a log with more is no better known for a longer list


@dataclass(kw_only=True)
class Walk:
    """A log while it is read, and what is wrong with its tiles.

    Its tiles are kept as its entries make them: 32 bytes an entry.
    """

    head: Checkpoint
    problems: list[str] = field(default_factory=list)
    tiles: int = 0
    _made: dict[tuple[int, int], bytes] = field(default_factory=dict)
    _roots: dict[int, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a log of more entries than are read."""
        if self.head.size > MAX_LOG_ENTRIES:
            raise LimitError(
                f"log {self.head.origin}: {self.head.size} entries, over {MAX_LOG_ENTRIES}"
            )
        self._reading = Reading(origin=self.head.origin)

    @property
    def history(self) -> History:
        """What the entries say."""
        return self._reading.history()

    @property
    def subtree(self) -> Subtree:
        """The tree that the entries make."""
        return tiles.subtree_from(self._read, self.head.size)

    @property
    def root(self) -> bytes:
        """The root of the tree that the entries make."""
        return merkle.root_hash(self.head.size, self.subtree) if self.head.size else EMPTY_ROOT

    def take(self, tile: Tile, bundle: Found) -> Tile:
        """Read the next bundle of entries; return the tile of hashes that they make.

        Raises MalformedError for what is no bundle.
        """
        entries = bundle.entries(tile.width)
        self._reading.take(entries)
        self.tiles += 1
        return self._make(0, tile.index, merkle.leaf_hashes(entries))

    def compare(self, tile: Tile, shown: bytes | BccaError) -> None:
        """Compare a tile of hashes as it is served with the one that the entries make."""
        self.tiles += 1
        made = self._made[tile.level, tile.index]
        if isinstance(shown, BccaError):
            self._tell(f"{tile.encode()}: {shown}")
        elif shown != made:
            at = next(
                (
                    i
                    for i in range(0, len(made), HASH_BYTES)
                    if shown[i : i + 32] != made[i : i + 32]
                ),
                len(made),
            )
            self._tell(
                f"{tile.encode()}: {len(shown)} bytes, from hash {at // HASH_BYTES} on it has "
                f"{shown[at : at + 32].hex() or 'nothing'}, the entries hash to "
                f"{made[at : at + 32].hex() or 'nothing more'}"
            )

    def upper(self) -> Iterator[Tile]:
        """Yield the tiles above level 0, each made of those below."""
        for tile in tiles_for(self.head.size):
            if tile.level > 0:
                first = tile.index * TILE_WIDTH
                hashes = self._roots[tile.level - 1][first : first + tile.width]
                yield self._make(tile.level, tile.index, hashes)

    def _make(self, level: int, index: int, hashes: Sequence[bytes]) -> Tile:
        self._made[level, index] = b"".join(hashes)
        if len(hashes) == TILE_WIDTH:
            self._roots.setdefault(level, []).append(merkle.Tree(hashes).root())
        return Tile(level=level, index=index, width=len(hashes))

    def _read(self, tile: Tile) -> bytes:
        return self._made[tile.level, tile.index][: tile.width * HASH_BYTES]

    def _tell(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


async def walk(
    place: Place, head: Checkpoint, *, on_progress: Callable[[int], None] = lambda _: None
) -> Walk:
    """Return the log at `place` as read up to `head`; `on_progress` is told how many entries are.

    Raises ProofError for other entries than the head's, MalformedError for what are no bundles,
    LimitError, UnavailableError. Wrong tiles of hashes, and those not to be had, are in the answer.
    """
    found = Walk(head=head)
    wanted = [tile for tile in tiles_for(head.size) if tile.level == ENTRIES]
    for start in range(0, len(wanted), AT_ONCE):
        batch = wanted[start : start + AT_ONCE]
        bundles = await all_of([places.read(place, tile) for tile in batch])
        hashes = await all_of([_shown(place, _hashes_of(tile)) for tile in batch])
        for tile, bundle, shown in zip(batch, bundles, hashes, strict=True):
            found.compare(found.take(tile, bundle), shown)
        on_progress(batch[-1].index * TILE_WIDTH + batch[-1].width)
    for tile in found.upper():
        found.compare(tile, await _shown(place, tile))
    if found.root != head.root:
        raise ProofError(
            f"log {head.origin}: its {head.size} entries hash to {found.root.hex()}, "
            f"its checkpoint has {head.root.hex()}"
        )
    return found


async def _shown(place: Place, tile: Tile) -> bytes | BccaError:
    """Return a tile of hashes, or why it is none: a log without it is still read."""
    try:
        return (await places.read(place, tile)).hashes(tile.width)
    except (RefusedError, UnavailableError) as error:
        return error


def _hashes_of(bundle: Tile) -> Tile:
    return Tile(level=0, index=bundle.index, width=bundle.width)
