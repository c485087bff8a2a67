"""Another log fetched as tiles (c2sp.org/tlog-tiles): its head, and only the bundles that are new.

Nothing here is verified: entries are to be hashed up to a head that is believed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from bcca_node.network.client import Fetcher
from bcca_node.network.limits import MAX_LOG_BYTES
from bcca_protocol import tiles
from bcca_protocol.errors import LimitError, MalformedError, RefusedError, UnavailableError
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES, MAX_ENTRY_BYTES, MAX_LOG_ENTRIES
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile
from bcca_protocol.wire import showable

T = TypeVar("T")

MAX_BUNDLE_OF_ENTRIES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)  # each with its length in two bytes
BUNDLES_AT_ONCE = 16  # asked of one log: the connections that one host gets


@dataclass(kw_only=True)
class Run:
    """Entries of a log from index `first` on, whole bundles, as far as they have come.

    `bytes_before` is how long those before are: a log that grows in steps is no smaller for it.
    """

    first: int
    found: list[bytes] = field(default_factory=list)
    bytes_before: int = 0

    @property
    def end(self) -> int:
        """The index of the next entry."""
        return self.first + len(self.found)


class Found(NamedTuple):
    """What is in the place of a tile: `tile` itself, or the full one, whose beginning it is."""

    tile: Tile
    content: bytes

    def hashes(self, width: int) -> bytes:
        """Return as many hashes, whatever they are worth; fewer where there are no more."""
        return self.content if self.tile.width == width else self.content[: width * HASH_BYTES]

    def entries(self, width: int) -> Sequence[bytes]:
        """Return as many entries; raises MalformedError for what is no bundle."""
        try:
            return tiles.decode_entries(self.content, self.tile.width)[:width]
        except MalformedError as error:
            raise MalformedError(f"{self.tile.encode()}: {error}") from error


async def find(look: Callable[[Tile], Awaitable[bytes | None]], tile: Tile) -> Found | None:
    """Return what `look` sees of a tile; a partial one may have given way to the full one."""
    full = Tile(level=tile.level, index=tile.index)
    for each in dict.fromkeys((tile, full)):
        content = await look(each)
        if content is not None:
            return Found(each, content)
    return None


async def fetch_checkpoint(fetcher: Fetcher, url: str) -> str:
    """Return the note at `url`/checkpoint; raises UnavailableError, RefusedError."""
    at = f"{url}/checkpoint"
    note = await fetcher.get(at, limit=MAX_CHECKPOINT_BYTES)
    try:
        return note.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{showable(at)}: checkpoint: not UTF-8: {error.reason}") from error


async def fetch_from(fetcher: Fetcher, url: str, first: int, size: int) -> tuple[bytes, ...]:
    """Return the entries from index `first`, where a bundle begins, to before `size`.

    Raises what `fetch_behind` raises.
    """
    run = Run(first=first)
    await fetch_behind(fetcher, url, run, size)
    return tuple(run.found)


async def fetch_behind(fetcher: Fetcher, url: str, run: Run, size: int) -> None:
    """Add to `run` the entries of the log at `url` from its end to before `size`.

    Whoever ends this early finds there what came until then. Raises LimitError over
    MAX_LOG_ENTRIES, or MAX_LOG_BYTES of all entries together, UnavailableError, RefusedError.
    """
    if size > MAX_LOG_ENTRIES:
        raise LimitError(f"{showable(url)}: a log of {size} entries, over {MAX_LOG_ENTRIES}")
    taken = run.bytes_before + sum(map(len, run.found))
    for index in range(run.end // TILE_WIDTH, -(-size // TILE_WIDTH), BUNDLES_AT_ONCE):
        last = min(index + BUNDLES_AT_ONCE, -(-size // TILE_WIDTH))
        wanted = [_bundle(each, size) for each in range(index, last)]
        for entries in await all_of(_fetch(fetcher, url, tile) for tile in wanted):
            run.found.extend(entries)
            taken += sum(map(len, entries))
        if taken > MAX_LOG_BYTES:
            raise LimitError(f"{showable(url)}: entries of over {MAX_LOG_BYTES} bytes")


def _bundle(index: int, size: int) -> Tile:
    width = min(TILE_WIDTH, size - index * TILE_WIDTH)
    return Tile(level=ENTRIES, index=index, width=width)


async def all_of(asked: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Return every answer; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(each) for each in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _fetch(fetcher: Fetcher, url: str, tile: Tile) -> Sequence[bytes]:
    """Return the entries of a bundle."""

    async def look(at: Tile) -> bytes | None:
        return await fetcher.find(f"{url}/{at.encode()}", limit=MAX_BUNDLE_OF_ENTRIES)

    found = await find(look, tile)
    if found is None:
        raise UnavailableError(f"{showable(url)}/{tile.encode()}: answered 404, it is not there")
    try:
        return found.entries(tile.width)
    except RefusedError as error:
        raise type(error)(f"{showable(url)}/{error}") from error
