"""What this node has read and verified of others: their logs and their statements."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlmodel import Session, col, select

from bcca_node.storage.tables import FetchedRow, SeenLogRow
from bcca_protocol.errors import ConflictError


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLog:
    """A log as far as it was read: its cosigned head, and its entries as one tile bundle."""

    origin: str
    vkey: str
    size: int
    root: bytes
    note: str
    entries: bytes
    url: str | None
    introduced_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedStatement:
    """A statement of another node, found at `index` of the log that `vkey` signs."""

    commitment: str
    vkey: str
    origin: str
    index: int
    product: str
    sharing: str
    envelope: bytes


def log(session: Session, origin: str, vkey: str) -> SeenLog | None:
    """Return the log of `origin` that `vkey` signs, as it was last read."""
    row = session.get(SeenLogRow, (origin, vkey))
    return None if row is None else _log(row)


def logs(session: Session) -> list[SeenLog]:
    """Return every log that was read, by origin."""
    chosen = select(SeenLogRow).order_by(col(SeenLogRow.origin), col(SeenLogRow.vkey))
    return [_log(row) for row in session.exec(chosen)]


def urls(session: Session) -> dict[str, str]:
    """Return where the logs that were read are, by origin."""
    chosen = select(SeenLogRow.origin, SeenLogRow.url).order_by(col(SeenLogRow.vkey))
    return {origin: url for origin, url in session.exec(chosen) if url is not None}


def put_log(session: Session, seen: SeenLog) -> None:
    """Remember how far a log was read; raises ConflictError if that would be to go back."""
    known = session.get(SeenLogRow, (seen.origin, seen.vkey))
    if known is not None and (known.size > seen.size or _is_other_tree(known, seen)):
        raise ConflictError(
            f"log {seen.origin}: now of size {seen.size} and root {seen.root.hex()}, "
            f"seen before with size {known.size} and root {known.root.hex()}"
        )
    session.merge(SeenLogRow(**asdict(seen)))


def put_statements(session: Session, statements: Sequence[FetchedStatement]) -> None:
    """Keep verified statements of others."""
    for each in statements:
        session.merge(FetchedRow(**asdict(each)))


def statement(session: Session, commitment: str) -> FetchedStatement | None:
    """Return a fetched statement by its commitment."""
    chosen = select(FetchedRow).where(col(FetchedRow.commitment) == commitment)
    row = session.exec(chosen.order_by(col(FetchedRow.vkey))).first()
    return None if row is None else _fetched(row)


def statements_of(session: Session, vkey: str, product: str) -> list[FetchedStatement]:
    """Return the fetched statements of a product from the log that `vkey` signs, by index."""
    chosen = select(FetchedRow).where(
        col(FetchedRow.product) == product, col(FetchedRow.vkey) == vkey
    )
    return [_fetched(row) for row in session.exec(chosen.order_by(col(FetchedRow.index)))]


def _is_other_tree(known: SeenLogRow, seen: SeenLog) -> bool:
    return known.size == seen.size and known.root != seen.root


def _log(row: SeenLogRow) -> SeenLog:
    return SeenLog(
        origin=row.origin,
        vkey=row.vkey,
        size=row.size,
        root=row.root,
        note=row.note,
        entries=row.entries,
        url=row.url,
        introduced_by=row.introduced_by,
    )


def _fetched(row: FetchedRow) -> FetchedStatement:
    return FetchedStatement(
        commitment=row.commitment,
        vkey=row.vkey,
        origin=row.origin,
        index=row.index,
        product=row.product,
        sharing=row.sharing,
        envelope=row.envelope,
    )
