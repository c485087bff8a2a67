"""Copies of other logs: the head up to which each was believed, its entries and its tiles.

A copy grows at its right edge, and is never written again as a whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, func, insert, select

from bcca_node.storage.tables import CopyRow, CopyTileRow
from bcca_node.storage.witnessed import origin_hash
from bcca_protocol import tiles
from bcca_protocol.errors import ConflictError
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


def get(session: Session, origin: str, vkey: str) -> Copy | None:
    """Return the copy of the log of `origin` that `vkey` signs."""
    row = session.get(CopyRow, (origin, vkey))
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
    row = session.get(CopyTileRow, (origin, vkey, level, index))
    return b"" if row is None else row.content


def entries(session: Session, copy: Copy, start: int = 0) -> list[bytes]:
    """Return the entries of a copy from `start` on, a multiple of a bundle's width."""
    index = col(CopyTileRow.index)
    chosen = select(CopyTileRow.index, CopyTileRow.content).where(
        *_at_level(copy.origin, copy.vkey, ENTRIES), index >= start // TILE_WIDTH
    )
    return [
        entry
        for at, bundle in session.exec(chosen.order_by(index))
        for entry in tiles.decode_entries(bundle, min(TILE_WIDTH, copy.size - at * TILE_WIDTH))
    ]


def entry_bytes(session: Session, origin: str, vkey: str, end: int) -> int:
    """Return how long the entries before index `end` are, where a bundle ends that is held."""
    chosen = select(func.sum(func.length(col(CopyTileRow.content)))).where(
        *_at_level(origin, vkey, ENTRIES), col(CopyTileRow.index) < end // TILE_WIDTH
    )
    return max(int(session.exec(chosen).one() or 0) - 2 * end, 0)  # each has its length before it


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
    index = col(CopyTileRow.index)
    chosen = select(CopyTileRow.index, CopyTileRow.content)
    chosen = chosen.where(*_at_level(origin, vkey, _PARKED), index < size // TILE_WIDTH)
    kept = dict(session.exec(chosen).all())
    start = at = 0 if 0 in kept else first // TILE_WIDTH
    found: list[bytes] = []
    while at in kept:
        found += tiles.decode_entries(kept[at], TILE_WIDTH)
        at += 1
    return start * TILE_WIDTH, found


def unpark(session: Session, origin: str, vkey: str) -> bool:
    """Drop the entries that are parked; say whether there were any."""
    parked = _at_level(origin, vkey, _PARKED)
    return session.exec(delete(CopyTileRow).where(*parked)).rowcount > 0


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
    session.merge(CopyRow(**asdict(copy), origin_hash=origin_hash(copy.origin)))
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
    for level, index in first.items():
        session.exec(
            delete(CopyTileRow).where(
                *_at_level(origin, vkey, level), col(CopyTileRow.index) >= index
            )
        )
    if rows:
        session.exec(insert(CopyTileRow), params=rows)


def _at_level(origin: str, vkey: str, level: int) -> tuple[ColumnElement[bool], ...]:
    """Return what chooses the tiles of one level of a copy."""
    return (
        col(CopyTileRow.origin) == origin,
        col(CopyTileRow.vkey) == vkey,
        col(CopyTileRow.level) == level,
    )


def _copy(row: CopyRow) -> Copy:
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
