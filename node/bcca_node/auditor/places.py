"""Where a log can be read: at a URL, in a folder, in the database of a node (c2sp.org/tlog-tiles).

Nothing that comes from there is believed.
"""

import asyncio
import os
import stat
from pathlib import Path
from typing import Protocol

from bcca_node.ledger import log
from bcca_node.ledger.export import CHECKPOINT
from bcca_node.ledger.node import Node
from bcca_node.network import tlog
from bcca_node.network.client import Fetcher
from bcca_node.network.tlog import MAX_BUNDLE_OF_ENTRIES, Found
from bcca_node.storage import logs
from bcca_protocol.errors import (
    LimitError,
    MalformedError,
    ProofError,
    UnavailableError,
    UnusableError,
)
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES
from bcca_protocol.merkle import HASH_BYTES
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile
from bcca_protocol.wire import showable

TILE_BYTES = TILE_WIDTH * HASH_BYTES

_UNDER = ("", "log")  # a log is named itself, or the node or static folder whose log it is


class Place(Protocol):
    """Somewhere that a log can be read."""

    @property
    def name(self) -> str:
        """Where that is, for people."""
        ...

    async def checkpoint(self) -> str:
        """Return the note; raises UnavailableError, RefusedError."""
        ...

    async def tile(self, tile: Tile) -> bytes | None:
        """Return what is there as `tile`, None where nothing is."""
        ...


class Site:
    """A log behind a web server."""

    def __init__(self, fetcher: Fetcher, url: str) -> None:
        """Read below `url`."""
        self._fetcher = fetcher
        self._url = url

    @property
    def name(self) -> str:
        """The URL."""
        return showable(self._url)

    async def checkpoint(self) -> str:
        """Return the note."""
        return await tlog.fetch_checkpoint(self._fetcher, self._url)

    async def tile(self, tile: Tile) -> bytes | None:
        """Return what the server answers for a tile."""
        return await self._fetcher.find(f"{self._url}/{tile.encode()}", limit=_limit(tile))


class Folder:
    """A log as files, such as `bcca log export` and `bcca publish --static` write."""

    def __init__(self, path: Path) -> None:
        """Read below `path`."""
        self._path = path

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    async def checkpoint(self) -> str:
        """Return the note."""
        content = self._read(CHECKPOINT, MAX_CHECKPOINT_BYTES)
        if content is None:
            raise UnusableError(f"{self._path}: no file {CHECKPOINT} is in it: name a log's folder")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise MalformedError(f"{self._path / CHECKPOINT}: not UTF-8: {error}") from error

    async def tile(self, tile: Tile) -> bytes | None:
        """Return the file of a tile."""
        return self._read(tile.encode(), _limit(tile))

    def _read(self, name: str, limit: int) -> bytes | None:
        path = f"{self._path}/{name}"
        try:
            # A pipe would be waited for; what is opened is a file, or refused.
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with open(opened, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor has no path
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise UnusableError(f"{path}: not a file, so nothing is read from it")
            content = file.read(min(found.st_size, limit) + 1)
        if len(content) > limit:
            raise LimitError(f"{path}: over {limit} bytes")
        return content


class Own:
    """The published log of a node, in its database."""

    def __init__(self, node: Node) -> None:
        """Read what `node` would serve."""
        self._node = node

    @property
    def name(self) -> str:
        """The database."""
        return f"the database of {self._node.origin}"

    async def checkpoint(self) -> str:
        """Return the published head."""
        with self._node.database.read() as session:
            head = logs.published_head(session)
        if head is None:
            raise UnusableError(
                f"log {self._node.origin}: nothing of it is published yet, run `bcca publish` first"
            )
        return head.note

    async def tile(self, tile: Tile) -> bytes | None:
        """Return what this node would serve as a tile."""
        return await asyncio.to_thread(self._tile, tile)

    def _tile(self, tile: Tile) -> bytes | None:
        with self._node.database.read() as session:
            return log.content(session, tile, logs.size(session))


async def at_url(fetcher: Fetcher, url: str) -> Site:
    """Return the log at `url`, or at `url`/log; raises UnavailableError, RefusedError."""
    base = url.rstrip("/")
    tried = []
    for under in _UNDER:
        site = Site(fetcher, f"{base}/{under}".rstrip("/"))
        try:
            await site.checkpoint()
        except UnavailableError as error:
            tried.append(str(error))
        else:
            return site
    raise UnavailableError("; ".join(tried))


def in_folder(path: Path) -> Folder:
    """Return the log in `path`, or in `path`/log."""
    there = (path / under for under in _UNDER if (path / under / CHECKPOINT).is_file())
    return Folder(next(there, path))


async def read(place: Place, tile: Tile) -> Found:
    """Return a tile, or the full one that it gave way to.

    Raises ProofError where neither is there, UnavailableError, RefusedError.
    """
    found = await tlog.find(place.tile, tile)
    if found is None:
        raise ProofError(f"{place.name}: {tile.encode()} is not there, and its head promises it")
    return found


def _limit(tile: Tile) -> int:
    return MAX_BUNDLE_OF_ENTRIES if tile.level == ENTRIES else TILE_BYTES
