"""This node's own log at rest: entries, tiles, and the heads it signed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, insert, select

from bcca_node.storage.tables import CheckpointRow, EntryRow, RestoredRow, TileRow
from bcca_protocol.errors import ConflictError, UnusableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head this node signed: the note as it would be served."""

    size: int
    root: bytes
    note: str
    published: bool = False


def size(session: Session) -> int:
    """Return how many entries the log has."""
    index = col(EntryRow.index)
    last = session.exec(select(index).order_by(index.desc()).limit(1)).first()
    return 0 if last is None else last + 1


def add_entries(session: Session, first: int, lines: Sequence[str]) -> None:
    """Put `lines` behind the `first` entries that are there."""
    rows = [{"index": index, "line": line} for index, line in enumerate(lines, first)]
    session.exec(insert(EntryRow), params=rows)


def entries(session: Session, start: int, end: int) -> list[bytes]:
    """Return the entries from `start` to before `end`."""
    index = col(EntryRow.index)
    chosen = select(EntryRow.line).where(index >= start, index < end).order_by(index)
    return [line.encode() for line in session.exec(chosen)]


def lines_like(session: Session, beginning: str, start: int = 0) -> list[tuple[int, str]]:
    """Return the entries from `start` on that begin so, each with its index."""
    chosen = select(EntryRow.index, EntryRow.line).where(
        col(EntryRow.index) >= start, col(EntryRow.line).startswith(beginning, autoescape=True)
    )
    return [(index, line) for index, line in session.exec(chosen.order_by(col(EntryRow.index)))]


def tile(session: Session, level: int, index: int) -> bytes:
    """Return the hashes of a tile as far as it has grown, nothing where it has not begun."""
    row = session.get(TileRow, (level, index))
    return b"" if row is None else row.hashes


def put_tiles(session: Session, level: int, first: int, tiles: Sequence[bytes]) -> None:
    """Put tiles from index `first` on; the first may replace one that was narrower."""
    for index, hashes in enumerate(tiles, first):
        session.merge(TileRow(level=level, index=index, hashes=hashes))


def last_head(session: Session) -> Head | None:
    """Return the largest head signed so far."""
    return _head(session, published=False)


def published_head(session: Session) -> Head | None:
    """Return the largest head that a quorum has cosigned."""
    return _head(session, published=True)


def published_head_over(session: Session, size: int) -> Head:
    """Return the smallest published head of at least `size` entries; raises UnusableError."""
    enough = col(CheckpointRow.published), col(CheckpointRow.size) >= size
    chosen = select(CheckpointRow).where(*enough).order_by(col(CheckpointRow.size)).limit(1)
    row = session.exec(chosen).first()
    if row is None:
        raise UnusableError(f"no published head has {size} entries: run `bcca publish`")
    return Head(size=row.size, root=row.root, note=row.note, published=row.published)


def published_counts(session: Session, unit: int, above: int) -> list[int]:
    """Return how many whole `unit`s of entries published heads had, each number over `above` once.

    In rising order: 512 and 513 entries are two units of 256.
    """
    size = col(CheckpointRow.size)
    chosen = (
        select((size // unit).label("count"))
        .where(col(CheckpointRow.published), size >= (above + 1) * unit)
        .distinct()
        .order_by("count")
    )
    return list(session.exec(chosen))


def put_head(session: Session, head: Head) -> None:
    """Keep a signed head, or replace its note by one with more signatures.

    Raises ConflictError for another root than the one signed at this size.
    """
    row = session.get(CheckpointRow, head.size)
    if row is None:
        row = CheckpointRow(size=head.size, root=head.root, note=head.note, published=False)
    if row.root != head.root:
        raise ConflictError(
            f"tree of size {head.size}: signed with root {row.root.hex()}, "
            f"now it has {head.root.hex()}"
        )
    if head.published or not row.published:
        row.note, row.published = head.note, head.published
    session.add(row)


def restored(session: Session) -> bool:
    """Say whether the database was restored and no guard has passed since (SPEC 5.11)."""
    return session.exec(select(RestoredRow)).first() is not None


def set_restored(session: Session, is_restored: bool) -> None:
    """Mark the database as restored, or as passed by the guard."""
    row = session.get(RestoredRow, 1)
    if is_restored and row is None:
        session.add(RestoredRow(id=1))
    elif not is_restored and row is not None:
        session.delete(row)


def _head(session: Session, *, published: bool) -> Head | None:
    chosen = select(CheckpointRow).order_by(col(CheckpointRow.size).desc()).limit(1)
    if published:
        chosen = chosen.where(col(CheckpointRow.published))
    row = session.exec(chosen).first()
    if row is None:
        return None
    return Head(size=row.size, root=row.root, note=row.note, published=row.published)
