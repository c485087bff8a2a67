"""One supplier read over HTTP: its log up to a quorum's head, then its statements (SPEC 6).

Every byte is hostile until the head, the entries and each signature are verified.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from bcca_node.network import descriptor, lines
from bcca_node.network.client import Fetcher
from bcca_node.network.descriptor import Descriptor
from bcca_node.network.limits import MAX_ANSWER_BYTES, MAX_DESCRIPTOR_BYTES
from bcca_node.network.lines import Item
from bcca_node.storage.seen import SeenLog
from bcca_protocol import merkle, policy, tiles, verify
from bcca_protocol.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    RefusedError,
    UnavailableError,
)
from bcca_protocol.keys import VerifierKey
from bcca_protocol.limits import MAX_CHECKPOINT_BYTES, MAX_ENTRY_BYTES, MAX_LOG_ENTRIES
from bcca_protocol.policy import Policy, VerifiedCheckpoint
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH, Tile
from bcca_protocol.verify import VerifiedLog
from bcca_protocol.wire import showable

LOG = "/log"
MAX_BUNDLE_OF_ENTRIES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)  # each with its length in two bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a log is read, with which key, and who said so (None: the policy).

    `also_named` are other keys by which the same tier names it: one may have followed another.
    """

    origin: str
    key: VerifierKey
    url: str
    introduced_by: str | None
    also_named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """A supplier's log, verified, and where its node says things are."""

    address: Address
    log: VerifiedLog
    entries: tuple[bytes, ...]
    about: Descriptor

    def seen(self) -> SeenLog:
        """Return what this node remembers of it."""
        checkpoint = self.log.head.checkpoint
        return SeenLog(
            origin=self.address.origin,
            vkey=self.address.key.encode(),
            size=checkpoint.size,
            root=checkpoint.root,
            note=self.log.head.note.encode(),
            entries=tiles.encode_entries(self.entries),
            url=self.address.url.removesuffix(LOG),
            introduced_by=self.address.introduced_by,
        )


async def read_log(
    fetcher: Fetcher, address: Address, trusted: Policy, before: SeenLog | None, *, at: int
) -> ReadLog:
    """Return the log at `address`, fetching only what is new since `before`.

    Raises UnavailableError, ConflictError for a log that went back or shows another tree than
    before, and what `policy.verify_checkpoint` and `verify.verify_log` raise.
    """
    url = f"{address.url}/checkpoint"
    note = await fetcher.get(url, limit=MAX_CHECKPOINT_BYTES)
    also = "".join(f", of a log also named with {key}" for key in address.also_named)
    with _naming(f"{url}{also}"):
        head = policy.verify_checkpoint(_text(note), address.key, trusted, at=at)
    _require_forward(head, before)
    entries = await _entries(fetcher, address.url, head.checkpoint.size, before)
    log = verify.verify_log(head, entries, introduced=address.introduced_by is not None)
    _require_grown(entries, before)
    _require_one_log(log, address)
    about = await _describe(fetcher, address)
    return ReadLog(address=address, log=log, entries=entries, about=about)


async def read_statements(fetcher: Fetcher, source: ReadLog, product: str) -> list[Item]:
    """Return what a supplier says of one product, nothing of it verified yet."""
    url = f"{source.about.statements}?product={quote(product, safe='')}"
    body = await fetcher.get(url, limit=MAX_ANSWER_BYTES)
    with _naming(url):
        return lines.decode_lines(body)


async def read_statement(fetcher: Fetcher, source: ReadLog, commitment: str) -> Item:
    """Return one statement by its commitment, not verified yet."""
    body = await fetcher.get(f"{source.about.statements}/{commitment}", limit=MAX_ANSWER_BYTES)
    return Item(commitment=commitment, index=0, envelope=body)


def _require_one_log(log: VerifiedLog, address: Address) -> None:
    """Raise ConflictError unless every key by which the log is named is its own."""
    for key in address.also_named:
        if key not in log.log_keys:
            raise ConflictError(
                f"log {log.origin}: its customers name it with {address.key.encode()} and {key}, "
                "which are not both its own"
            )


async def _describe(fetcher: Fetcher, address: Address) -> Descriptor:
    if not address.url.endswith(LOG):
        raise UnavailableError(f"{address.url}: the URL of a log ends in {LOG}")
    url = address.url.removesuffix(LOG) + descriptor.PATH
    body = await fetcher.get(url, limit=MAX_DESCRIPTOR_BYTES)
    with _naming(url):
        found = descriptor.decode(body)
    if found.origin != address.origin:
        raise ConflictError(f"{url}: describes {found.origin}, where {address.origin} was asked")
    return found


async def _entries(
    fetcher: Fetcher, url: str, size: int, before: SeenLog | None
) -> tuple[bytes, ...]:
    """Return the first `size` entries: those known before, and bundles of 256 behind them."""
    if size > MAX_LOG_ENTRIES:
        raise LimitError(f"{url}: a log of {size} entries, over {MAX_LOG_ENTRIES}")
    known: tuple[bytes, ...] = ()
    if before is not None:
        known = tiles.decode_entries(before.entries, before.size)
    found = list(known)
    while len(found) < size:
        index = len(found) // TILE_WIDTH
        tile = Tile(level=ENTRIES, index=index, width=min(TILE_WIDTH, size - index * TILE_WIDTH))
        body = await _tile(fetcher, url, tile)
        found[index * TILE_WIDTH :] = body
    return tuple(found)


async def _tile(fetcher: Fetcher, url: str, tile: Tile) -> Sequence[bytes]:
    """Return the entries of a tile; a partial one may have given way to the full one."""
    at, width = f"{url}/{tile.encode()}", tile.width
    body = await fetcher.find(at, limit=MAX_BUNDLE_OF_ENTRIES)
    if body is None:
        width = TILE_WIDTH
        at = f"{url}/{Tile(level=tile.level, index=tile.index, width=width).encode()}"
        body = await fetcher.get(at, limit=MAX_BUNDLE_OF_ENTRIES)
    with _naming(at):
        return tiles.decode_entries(body, width)[: tile.width]


def _require_forward(head: VerifiedCheckpoint, before: SeenLog | None) -> None:
    """Raise ConflictError if this head is older than one believed before, or of another tree."""
    if before is None:
        return
    checkpoint = head.checkpoint
    if checkpoint.size < before.size:
        raise ConflictError(
            f"log {checkpoint.origin} was rolled back: it shows {checkpoint.size} entries, "
            f"{before.size} were seen before"
        )
    if checkpoint.size == before.size and checkpoint.root != before.root:
        raise _two_trees(before, checkpoint.root)


def _require_grown(entries: Sequence[bytes], before: SeenLog | None) -> None:
    """Raise ConflictError if a verified tree did not grow out of the one believed before."""
    if before is None:
        return
    first = entries[: before.size]
    if tiles.encode_entries(first) != before.entries:
        raise _two_trees(before, merkle.Tree(map(merkle.leaf_hash, first)).root())


def _two_trees(before: SeenLog, root: bytes) -> ConflictError:
    return ConflictError(
        f"log {before.origin} shows two trees of size {before.size}: root {root.hex()} now, "
        f"{before.root.hex()} before"
    )


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Say of whatever is refused that it came from `url`."""
    try:
        yield
    except RefusedError as error:
        raise type(error)(f"{showable(url)}: {error}") from error


def _text(note: bytes) -> str:
    try:
        return note.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"checkpoint: not UTF-8: {error.reason}") from error
