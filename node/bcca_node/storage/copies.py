"""Copies of other logs: the head up to which each was believed, its entries and its tiles.

A copy grows at its right edge, and is never written again as a whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from bcca_node.storage.tables import CopyRow
from bcca_node.storage.witnessed import origin_hash
from bcca_protocol import tiles
from bcca_protocol.errors import ConflictError
from bcca_protocol.limits import MAX_TREE_SIZE
from bcca_protocol.tiles import ENTRIES, TILE_WIDTH

TileContent = tuple[int, int, bytes]
"""Level, index and content of a tile; a bundle of entries has level ENTRIES."""

_PARKED = -2  # the level of bundles that were fetched, and hash to no head yet: nobody is shown one


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A log of others, as far as it was read: `checked_at` is when a quorum's head was last seen.

    `url` is the base URL of its own node; `introduced_by` is None for a log of the policy.
    """

    origin: str
    vkey: str
    size: int
    root: bytes
    note: str
    url: str | None
    introduced_by: str | None
    checked_at: int


# Of hundreds of logs these are asked in a row: the driver is told what it would be told for rows.
_GET = text(
    "SELECT origin, vkey, size, root, note, url, introduced_by, checked_at "
    'FROM "copy" WHERE origin = :origin AND vkey = :vkey'
)
_PUT = text(
    'INSERT INTO "copy" '
    "(origin, vkey, origin_hash, size, root, note, url, introduced_by, checked_at) VALUES "
    "(:origin, :vkey, :origin_hash, :size, :root, :note, :url, :introduced_by, :checked_at) "
    "ON CONFLICT (origin, vkey) DO UPDATE SET size = excluded.size, root = excluded.root, "
    "note = excluded.note, url = excluded.url, introduced_by = excluded.introduced_by, "
    "checked_at = excluded.checked_at"
)
_OF_LEVEL = "FROM copy_tile WHERE origin = :origin AND vkey = :vkey AND level = :level"
_TILE = text(f'SELECT content {_OF_LEVEL} AND "index" = :index')
_TILES = text(
    f'SELECT "index", content {_OF_LEVEL} AND "index" >= :start AND "index" < :end ORDER BY "index"'
)
_BYTES = text(f'SELECT sum(length(content)) {_OF_LEVEL} AND "index" < :end')
_PUT_TILE = text(
    'INSERT INTO copy_tile (origin, vkey, level, "index", content) '
    "VALUES (:origin, :vkey, :level, :index, :content)"
)
_CUT = text(f'DELETE {_OF_LEVEL} AND "index" >= :start')
_END = MAX_TREE_SIZE  # behind every tile


def get(session: Session, origin: str, vkey: str) -> Copy | None:
    """Return the copy of the log of `origin` that `vkey` signs."""
    row = session.connection().execute(_GET, {"origin": origin, "vkey": vkey}).one_or_none()
    return None if row is None else _copy(row)


def every(session: Session) -> list[Copy]:
    """Return every copy, by origin and key."""
    chosen = select(CopyRow).order_by(col(CopyRow.origin), col(CopyRow.vkey))
    return [_copy(row) for row in session.exec(chosen)]


def of_hash(session: Session, hashed: str) -> list[Copy]:
    """Return the copies of the log whose origin hashes to `hashed`, one for each key, by key."""
    chosen = select(CopyRow).where(col(CopyRow.origin_hash) == hashed)
    return [_copy(row) for row in session.exec(chosen.order_by(col(CopyRow.vkey)))]


def urls(session: Session) -> dict[str, str]:
    """Return where the nodes of the logs are that were read, by origin."""
    chosen = select(CopyRow.origin, CopyRow.url).order_by(col(CopyRow.vkey))
    return {origin: url for origin, url in session.exec(chosen) if url is not None}


def tile(session: Session, origin: str, vkey: str, level: int, index: int) -> bytes:
    """Return a tile of a copy as far as it has grown, nothing where it has not begun."""
    asked = {"origin": origin, "vkey": vkey, "level": level, "index": index}
    content = session.connection().execute(_TILE, asked).scalar_one_or_none()
    return b"" if content is None else bytes(content)


def entries(session: Session, copy: Copy, start: int = 0) -> list[bytes]:
    """Return the entries of a copy from `start` on, a multiple of a bundle's width."""
    held = _tiles(session, (copy.origin, copy.vkey), ENTRIES, start // TILE_WIDTH, _END)
    return [
        entry
        for at, bundle in held
        for entry in tiles.decode_entries(bundle, min(TILE_WIDTH, copy.size - at * TILE_WIDTH))
    ]


def entry_bytes(session: Session, origin: str, vkey: str, end: int) -> int:
    """Return how long the entries before index `end` are, where a bundle ends that is held."""
    asked = {"origin": origin, "vkey": vkey, "level": ENTRIES, "end": end // TILE_WIDTH}
    found = session.connection().execute(_BYTES, asked).scalar_one()
    return max(int(found or 0) - 2 * end, 0)  # each has its length before it


def park(session: Session, origin: str, vkey: str, first: int, fetched: Sequence[bytes]) -> None:
    """Keep whole bundles of entries from index `first` on, to be believed or dropped later."""
    starts = range(0, len(fetched) - len(fetched) % TILE_WIDTH, TILE_WIDTH)
    parked = [
        (_PARKED, (first + at) // TILE_WIDTH, tiles.encode_entries(fetched[at : at + TILE_WIDTH]))
        for at in starts
    ]
    _put_tiles(session, origin, vkey, parked)


def parked(
    session: Session, origin: str, vkey: str, first: int, size: int
) -> tuple[int, list[bytes]]:
    """Return the entries that are parked before `size`, and from where on.

    That is `first`, where a bundle begins, or 0 if the whole log was being fetched.
    """
    kept = dict(_tiles(session, (origin, vkey), _PARKED, 0, size // TILE_WIDTH))
    start = at = 0 if 0 in kept else first // TILE_WIDTH
    found: list[bytes] = []
    while at in kept:
        found += tiles.decode_entries(kept[at], TILE_WIDTH)
        at += 1
    return start * TILE_WIDTH, found


def unpark(session: Session, origin: str, vkey: str) -> bool:
    """Drop the entries that are parked; say whether there were any."""
    asked = {"origin": origin, "vkey": vkey, "level": _PARKED, "start": 0}
    return session.connection().execute(_CUT, asked).rowcount > 0


def put(
    session: Session, copy: Copy, grown: Sequence[TileContent] = (), *, before: Copy | None
) -> bool:
    """Put a copy in the place of `before`, with the tiles that have grown since.

    Return False, and change nothing, if another has taken its place. Raises ConflictError if that
    would be to go back.
    """
    if before is not None and (
        copy.size < before.size or (copy.size == before.size and copy.root != before.root)
    ):
        raise ConflictError(
            f"log {copy.origin}: now of size {copy.size} and root {copy.root.hex()}, "
            f"seen before with size {before.size} and root {before.root.hex()}"
        )
    if get(session, copy.origin, copy.vkey) != before:
        return False
    _put_tiles(session, copy.origin, copy.vkey, grown)
    if grown:
        unpark(session, copy.origin, copy.vkey)
    told = {**asdict(copy), "origin_hash": origin_hash(copy.origin)}
    session.connection().execute(_PUT, told)
    return True


def _put_tiles(session: Session, origin: str, vkey: str, grown: Iterable[TileContent]) -> None:
    """Write tiles; whatever a level had from the first of them on gives way."""
    rows, first = [], dict[int, int]()
    for level, index, content in grown:
        first[level] = min(index, first.get(level, index))
        rows.append(
            {
                "origin": origin,
                "vkey": vkey,
                "level": level,
                "index": index,
                "content": content,
            }
        )
    if not rows:
        return
    name = {"origin": origin, "vkey": vkey}
    cut = [{**name, "level": level, "start": index} for level, index in first.items()]
    session.connection().execute(_CUT, cut)
    session.connection().execute(_PUT_TILE, rows)


def _tiles(
    session: Session, name: tuple[str, str], level: int, start: int, end: int
) -> list[tuple[int, bytes]]:
    """Return tiles of one level by index, from `start` to before `end`."""
    origin, vkey = name
    asked = {"origin": origin, "vkey": vkey, "level": level, "start": start, "end": end}
    found = session.connection().execute(_TILES, asked)
    return [(int(index), bytes(content)) for index, content in found]


def _copy(row: Any) -> Copy:
    return Copy(
        origin=row.origin,
        vkey=row.vkey,
        size=row.size,
        root=row.root,
        note=row.note,
        url=row.url,
        introduced_by=row.introduced_by,
        checked_at=row.checked_at,
    )
